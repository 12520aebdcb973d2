"""The header section of a request, read strictly: text that two parsers could read differently is refused.

A report goes to the From address, so nothing here guesses. `lenient` reads held mail.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.charsets import decode_words

_FOLD = re.compile(r"\r?\n(?=[ \t])")
_LINE_END = re.compile(rb"\r?\n(?![ \t])")
_HEADER_END = re.compile(rb"\A\r\n|\r\n\r\n")
_HEADER_END_OF_LF = re.compile(rb"\A\n|\n\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")

_QUOTED_STRING = r'"(?:[^"\\]|\\.)*"'  # RFC 5322 3.2.4; control characters are refused earlier
_PHRASE = rf'(?:[^()<>\[\]:;@\\,"]|{_QUOTED_STRING})*'  # RFC 5322 3.2.5, with the dots of obs-phrase
_NAME_ADDR = re.compile(rf"(?P<display_name>{_PHRASE})<(?P<addr_spec>[^<>]*)>")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_WORD = re.compile(r"[^\s<>()\[\]\"',:;]+")
_DOT_WITHIN = re.compile(r"[^.][.。].")  # in the domain of an address that is shown: `Bob@Home` is a name
# A quoted string that does not end goes on to the end of the field, so that nothing is read twice.
_QUOTED_OR_PAREN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[()]')
# What counts within a comment, to four readers: with or without quoted pairs, with or without quoted strings.
_COMMENT_TOKENS = tuple(
    re.compile(pattern) for pattern in (r"\\.|[()]", r"[()]", rf"\\.|{_QUOTED_STRING}|[()]", r'"[^"]*"|[()]')
)
_SPACE = ("", " ", "\t")
_TOUCHED = "\x00"  # stands for a comment with no space beside it; no field that is read has this character
_MAX_FROM = 10 * 1024  # RFC 5322 2.1.1's limit is for a line; SES gives some 10 KB of all fields
_MAX_SHOWN = 254  # characters of the sender's text that an error repeats


class MalformedHeader(ValueError):
    """It is ambiguous where the raw mail's header section ends and its body begins."""


@dataclass(frozen=True, slots=True)
class Header:
    """One field of the mail, unfolded (RFC 5322 2.2.3) and otherwise unchanged."""

    name: str
    value: str

    @property
    def key(self) -> str:
        """The name to compare: without the white space that RFC 5322 4.5 allows before the colon."""
        return self.name.strip().lower()


def parse_header(raw: bytes) -> tuple[Header, ...]:
    """Read the header section of a raw message (RFC 5322 2.2).

    raw: the message from its start, at least to the empty line that ends the section. All lines end in CRLF,
    or all in LF as in a file.

    Raises MalformedHeader if that line is missing, because a second From field could follow, and if line ends
    are mixed, because parsers then disagree on what a line is and where the section ends.
    """
    of_lf = _BARE_LF.match(raw, raw.find(b"\n")) is not None
    end = (_HEADER_END_OF_LF if of_lf else _HEADER_END).search(raw)
    if end is None:
        raise MalformedHeader(f"no end of the header section in the first {len(raw)} bytes")
    section = raw[: end.start()]
    if b"\r\n" in section if of_lf else _BARE_LF.search(section):
        raise MalformedHeader("a header section with mixed line ends")
    # A bare CR does not end a line (RFC 5322 2.2): it stays in the value, and makes the field malformed.
    return tuple(_raw_header(line) for line in _LINE_END.split(section) if line)


_FIELD_NAME = re.compile(r"[!-9;-~]+[ \t]*")  # RFC 5322 2.2, with the white space that 4.5 allows
_LINE_BREAK = re.compile(r"[\x00\n\x0b\x0c\r]")


def malformed_field(headers: Iterable[Header]) -> str | None:
    """Return the start of a field that other parsers could split differently; None if there is none."""
    for header in headers:
        if not _FIELD_NAME.fullmatch(header.name) or _LINE_BREAK.search(header.value):
            return f"{header.name}: {header.value}"[:80]
    return None


def unfolded(value: str) -> str:
    """Return a field's value as one line (RFC 5322 2.2.3)."""
    return _FOLD.sub("", value)


def parse_from(value: str) -> Address:
    """Read the one address of an unfolded From field: `addr-spec` or `display name <addr-spec>`.

    Comments may stand beside either (RFC 5322 3.2.2), not within the addr-spec. Encoded words are never
    decoded before the address is found; decoded, neither the display name nor a comment may show another
    address.

    Raises InvalidAddress.
    """
    if len(value) > _MAX_FROM or _CONTROL.search(value):
        raise InvalidAddress(f"control characters, or too long: {value[:_MAX_SHOWN]!r}")
    text, comments = _split_comments(value)
    match = _NAME_ADDR.fullmatch(text.strip(" \t"))
    if match is None:
        if _TOUCHED in text:  # bob@example.com(.evil.example): for some readers a part of the domain
            raise InvalidAddress(f"a comment within an address: {value[:_MAX_SHOWN]!r}")
        address, display_name = Address.parse(text.strip(" \t")), ""
    else:
        address, display_name = Address.parse(match["addr_spec"]), match["display_name"]
    for shown in (display_name, *comments):
        if any(each != address for each in _shown_addresses(shown)):
            raise InvalidAddress(f"it shows another address: {value[:_MAX_SHOWN]!r}")
    return address


def _split_comments(value: str) -> tuple[str, list[str]]:
    """Part a From field into what stands outside comments and the comments' texts.

    Raises InvalidAddress for parentheses that are not in pairs, and for a comment that ends elsewhere for a
    reader that does not know quoted pairs, or that takes quoted strings in a comment for such.
    """
    rest: list[str] = []
    comments: list[str] = []
    start = 0
    while (match := _QUOTED_OR_PAREN.search(value, start)) is not None:
        rest.append(value[start : match.start()])
        if match[0] == "(":
            ends = {_comment_end(value, match.end(), token) for token in _COMMENT_TOKENS}
            if len(ends) > 1 or None in ends:
                raise InvalidAddress(f"a comment with more than one reading: {value[:_MAX_SHOWN]!r}")
            (end,) = ends
            assert end is not None
            comments.append(value[match.end() : end - 1])
            before, after = value[max(0, match.start() - 1) : match.start()], value[end : end + 1]
            is_apart = before in _SPACE and after in _SPACE
            rest.append(" " if is_apart else _TOUCHED)
            start = end
        else:  # a quoted string, or what will not parse
            rest.append(match[0])
            start = match.end()
    return "".join([*rest, value[start:]]), comments


def _comment_end(value: str, start: int, token: re.Pattern[str]) -> int | None:
    """Return where the comment ends whose text starts there; None where it does not end."""
    depth = 1
    for match in token.finditer(value, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return None


def _raw_header(line: bytes) -> Header:
    name, colon, value = line.decode("utf-8", "replace").partition(":")
    if not colon:  # not a field, and for some parsers the end of the header section: malformed for us
        return Header("", name)
    return Header(name, unfolded(value).strip(" \t"))


def _shown_addresses(display_name: str) -> Iterable[Address | None]:
    """Yield each text that a person would read as an address; None for one that is not valid."""
    # NFKC: a person reads a full-width @ as an @.
    for word in _WORD.findall(
        unicodedata.normalize("NFKC", decode_words(display_name.encode(errors="replace")))
    ):
        shown = word.lstrip("@")
        if not _DOT_WITHIN.search(shown.partition("@")[2]):
            continue
        try:
            yield Address.parse(shown.strip("."))
        except InvalidAddress:
            yield None
