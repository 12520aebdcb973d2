"""The text that a mail shows, out of its parts: which parts, their bytes, their charset, at most so much."""

import re
from binascii import a2b_qp
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from quarantine.mail.charsets import base64_bytes, labelled_text
from quarantine.mail.links import defanged
from quarantine.mail.text import ELLIPSIS, clean_text
from quarantine.previewing.reduction import reduce_html
from quarantine.previewing.structure import Part

LONGEST: Final = 20_000
"""The bytes of text, as UTF-8, that a preview shows."""

MOST_READ: Final = 1_000_000
"""The bytes of all text parts that are read."""

_UUENCODED = frozenset({b"x-uuencode", b"x-uue", b"uuencode", b"uue"})
_LONGEST_LINE = 1_000  # characters; clean_text would leave out the middle of twice as many
_PIECE = re.compile(rf".{{1,{_LONGEST_LINE - 100}}}(?: |\Z)|.{{1,{_LONGEST_LINE}}}")
_META = re.compile(rb"<meta\b[^>]{0,200}?\bcharset\s{0,9}=\s{0,9}[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_META_WITHIN = 1024  # https://html.spec.whatwg.org/multipage/semantics.html#charset


@dataclass(frozen=True, slots=True)
class ShownText:
    """What a preview shows of a mail's text: one-line texts, cleaned and defanged, "" for an empty line.

    is_cut: there is more, or there may be. size: the bytes of the parts that the text was taken from.
    """

    lines: tuple[str, ...]
    is_cut: bool
    size: int


def is_body(part: Part, *, is_whole: bool) -> bool:
    """Return whether mail programs show a part as text, and not in the list of attachments.

    is_whole: the part is the mail itself, whose text is shown even if it has a name.
    """
    return (
        part.media_type in {"text/plain", "text/html"}
        and part.disposition.word != "attachment"
        and part.encoding not in _UUENCODED
        and (is_whole or not name_of(part))
    )


def name_of(part: Part) -> str:
    """Return the file name of a part, hostile; "" if it has none."""
    return part.disposition.text(b"filename") or part.content_type.text(b"name")  # RFC 2183 2.3, RFC 2046 4.1


def size_of(raw: bytes, part: Part) -> int:
    """Return the bytes of a part when it is decoded; exact for what is encoded as it should be.

    Nothing is decoded: the letters of base64 and the escapes of quoted-printable are counted.
    """
    start, end = part.start, part.end
    match part.encoding:
        case b"base64":
            others = sum(raw.count(octet, start, end) for octet in (b"\r", b"\n", b" ", b"\t", b"="))
            return (end - start - others) * 3 // 4
        case b"quoted-printable":
            broken = raw.count(b"=\r\n", start, end), raw.count(b"=\n", start, end)
            escapes = raw.count(b"=", start, end) - sum(broken)
            return max(0, end - start - 3 * broken[0] - 2 * broken[1] - 2 * escapes)
        case _:
            return end - start


def octets(raw: bytes, part: Part, most: int) -> bytes:
    """Return the first bytes of a part, decoded as far as they can be."""
    match part.encoding:
        case b"base64":  # a line end, or some other letter, for each of the letters
            return base64_bytes(raw[part.start : min(part.end, part.start + 2 * most)])[:most]
        case b"quoted-printable":
            return a2b_qp(raw[part.start : min(part.end, part.start + 3 * most)])[:most]
        case _:
            return raw[part.start : min(part.end, part.start + most)]


def shown_text(raw: bytes, mail: Part) -> ShownText:
    """Return the text of a mail: its plain text, or else its HTML as text."""
    reader = _Reader(raw, mail)
    lines, is_cut = _fitted(reader.lines(mail))
    return ShownText(lines, is_cut or reader.is_cut, reader.size)


class _Reader:
    """Reads each part that is shown once, in order, until the limit is reached."""

    def __init__(self, raw: bytes, mail: Part) -> None:
        self._raw = raw
        self._mail = mail
        self._left = MOST_READ
        self.size = 0
        self.is_cut = False

    def lines(self, part: Part) -> Iterator[str]:
        """Yield lines of hostile text."""
        if part.media_type == "multipart/alternative":
            yield from self._alternative(part.children)
        elif (
            part.media_type == "multipart/related"
        ):  # RFC 2387 3.2: the first is shown, with the others in it
            yield from self.lines(part.children[0])
        elif part.children:
            for child in part.children:
                yield from self.lines(child)
                yield ""
        elif is_body(part, is_whole=part is self._mail):
            yield from self._text(part)

    def _alternative(self, parts: Iterable[Part]) -> Iterator[str]:
        """Yield the lines of the first part that has any text; of those with plain text, if there are any."""
        for part in sorted(parts, key=_has_no_plain_text):
            is_empty, size = True, self.size
            for line in self.lines(part):
                is_empty = is_empty and not clean_text(line)
                if not is_empty:
                    yield line
            if not is_empty:
                return
            self.size = size

    def _text(self, part: Part) -> Iterator[str]:
        size = size_of(self._raw, part)
        self.size += size
        data = octets(self._raw, part, self._left)
        self._left -= len(data)
        self.is_cut = self.is_cut or (len(data) < size and not self._left)
        label = part.content_type.octets(b"charset")
        if part.media_type == "text/plain":
            yield from labelled_text(data, label).splitlines()
        else:
            if not label and (meta := _META.search(data[:_META_WITHIN])):
                label = meta[1]
            yield from reduce_html(labelled_text(data, label))


def _has_no_plain_text(part: Part) -> bool:
    if part.children:
        return all(map(_has_no_plain_text, part.children))
    return part.media_type != "text/plain" or not is_body(part, is_whole=False)


def _fitted(lines: Iterable[str]) -> tuple[tuple[str, ...], bool]:
    """Return hostile lines made safe, up to the limit, and whether there were more."""
    fitted: list[str] = []
    left = LONGEST - len(ELLIPSIS.encode()) - 1
    for line in _safe(lines):
        if not line and (not fitted or not fitted[-1]):  # no empty line at the top, nor two in a row
            continue
        octets = line.encode()
        if len(octets) >= left:
            fitted.append(octets[:left].decode("utf-8", "ignore") + ELLIPSIS)
            return tuple(fitted), True
        left -= len(octets) + 1
        fitted.append(line)
    if fitted and not fitted[-1]:
        fitted.pop()
    return tuple(fitted), False


def _safe(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        for piece in _PIECE.findall(line) if len(line) > _LONGEST_LINE else (line,):
            cleaned = clean_text(piece)
            yield defanged(cleaned) if cleaned else ""
