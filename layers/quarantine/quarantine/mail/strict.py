"""The header section of a request, read strictly: text that two parsers could read differently is refused.

A report goes to the From address, so nothing here guesses. `lenient` reads held mail.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header

from quarantine.mail.addresses import Address, InvalidAddress

_FOLD = re.compile(r"\r?\n(?=[ \t])")
_LINE_END = re.compile(rb"\r?\n(?![ \t])")
_HEADER_END = re.compile(rb"\A\r\n|\r\n\r\n")
_HEADER_END_OF_LF = re.compile(rb"\A\n|\n\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")

_QUOTED_STRING = r'"(?:[^"\\]|\\.)*"'  # RFC 5322 3.2.4; control characters are refused earlier
_PHRASE = rf'(?:[^()<>\[\]:;@\\,"]|{_QUOTED_STRING})*'  # RFC 5322 3.2.5, with the dots of obs-phrase
_NAME_ADDR = re.compile(rf"(?P<display_name>{_PHRASE})<(?P<addr_spec>[^<>]*)>")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_SHOWN_ADDRESS = re.compile(r"[^\s<>()\[\]\"',:;]+@[^\s<>()\[\]\"',:;]+")
_MAX_FROM = 998  # RFC 5322 2.1.1: a line
_MAX_SHOWN = 254  # characters of the sender's text that an error message repeats


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

    The address is found before any encoded word is decoded. The decoded display name must not show
    an address other than the real one.

    Raises InvalidAddress.
    """
    if len(value) > _MAX_FROM or _CONTROL.search(value):
        raise InvalidAddress(f"control characters, or too long: {value[:_MAX_SHOWN]!r}")
    text = value.strip(" \t")
    match = _NAME_ADDR.fullmatch(text)
    if match is None:
        return Address.parse(text)
    address = Address.parse(match["addr_spec"])
    if any(shown != address for shown in _shown_addresses(match["display_name"])):
        raise InvalidAddress(f"the display name shows another address: {value[:_MAX_SHOWN]!r}")
    return address


def _raw_header(line: bytes) -> Header:
    name, colon, value = line.decode("utf-8", "replace").partition(":")
    if not colon:  # not a field, and for some parsers the end of the header section: malformed for us
        return Header("", name)
    return Header(name, unfolded(value).strip(" \t"))


def _shown_addresses(display_name: str) -> Iterable[Address | None]:
    """Yield each text that a person would read as an address; None for one that is not valid."""
    # NFKC: a person reads a full-width @ as an @.
    for shown in _SHOWN_ADDRESS.findall(unicodedata.normalize("NFKC", _decoded(display_name))):
        try:
            yield Address.parse(shown.strip("."))
        except InvalidAddress:
            yield None


def _decoded(text: str) -> str:
    try:
        return str(make_header(decode_header(text)))
    except (MessageError, LookupError, ValueError):
        return text  # a text that cannot be decoded is shown unchanged
