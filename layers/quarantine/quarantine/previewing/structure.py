"""The parts of a mail (RFC 2046), as places in its bytes. Nothing is decoded, and hardly anything is copied.

The standard library's parser needs a second for 300 nested parts and fails at 1,000, so the parts are found
here, within limits that no person's mail reaches. Each level is one search for its boundary.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from quarantine.mail.lenient import Fields, header_fields
from quarantine.previewing.contentfields import ContentField, read_content_field

DEEPEST: Final = 20
"""The levels of parts within parts that are read. A forwarded newsletter has five."""

MOST_PARTS: Final = 200
"""The parts that are read, those that only contain others included."""

_LONGEST_HEADER = 256 * 1024  # bytes of the mail's own header section that are read
_LONGEST_PART_HEADER = 16 * 1024  # the same for each part
_LONGEST_BOUNDARY = 200  # RFC 2046 5.1.1: 70

_SHOWN = frozenset({b"from", b"to", b"cc", b"date", b"subject"})
_MIME = frozenset({b"content-type", b"content-disposition", b"content-transfer-encoding"})
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,99}/[a-z0-9][a-z0-9!#$&^_.+-]{0,99}")
_END_OF_HEADER = re.compile(rb"\n\r?\n")


class CannotBeShown(StrEnum):
    """Why a mail has no preview."""

    TOO_DEEP = "too_deep"  # more than DEEPEST levels
    TOO_MANY_PARTS = "too_many_parts"  # more than MOST_PARTS
    UNREADABLE = "unreadable"  # a fault in our code: no mail is known that causes it


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a mail, or the mail itself.

    fields: those of its header that a preview needs. media_type: `text/plain` and the like, in lower case.
    start, end: of its body in the mail. children: of a multipart, in their order; empty for every other part,
    and for a multipart in which none can be found.
    """

    fields: Fields
    media_type: str
    content_type: ContentField
    disposition: ContentField
    start: int
    end: int
    children: tuple["Part", ...] = ()

    @property
    def encoding(self) -> bytes:
        """The transfer encoding (RFC 2045 6.1) in lower case; empty if there is none."""
        return self.fields.top(b"content-transfer-encoding").strip().lower()


class _Unbounded(Exception):
    """The structure exceeds a limit."""

    def __init__(self, reason: CannotBeShown) -> None:
        super().__init__(reason)
        self.reason = reason


def read_structure(raw: bytes) -> Part | CannotBeShown:
    """Find the parts of a mail, in linear time; never raises."""
    try:
        return _Reader(raw).part(0, len(raw), level=0)
    except _Unbounded as e:
        return e.reason


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._parts = 0

    def part(self, begin: int, end: int, *, level: int, default: str = "text/plain") -> Part:
        if level > DEEPEST:
            raise _Unbounded(CannotBeShown.TOO_DEEP)
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _Unbounded(CannotBeShown.TOO_MANY_PARTS)
        own = level == 0
        fields, start = self._header(begin, end, _LONGEST_HEADER if own else _LONGEST_PART_HEADER, own=own)
        content_type = read_content_field(fields.top(b"content-type"))
        media_type = _media_type(content_type, default)
        disposition = read_content_field(fields.top(b"content-disposition"))
        children: tuple[Part, ...] = ()
        if media_type.startswith("multipart/"):
            # RFC 2046 5.1.5
            inner = "message/rfc822" if media_type == "multipart/digest" else "text/plain"
            children = tuple(
                self.part(first, last, level=level + 1, default=inner)
                for first, last in self._between(content_type.octets(b"boundary"), start, end)
            )
            if not children:
                media_type = "text/plain"  # shown as it is, so that no boundary hides a text
        return Part(fields, media_type, content_type, disposition, start, end, children)

    def _header(self, begin: int, end: int, longest: int, *, own: bool) -> tuple[Fields, int]:
        """Return the fields that are wanted, and where the body begins."""
        if self._raw.startswith((b"\n", b"\r\n"), begin, end):
            finish, start = begin, self._raw.index(b"\n", begin) + 1
        elif found := _END_OF_HEADER.search(self._raw, begin, end):
            finish, start = found.start() + 1, found.end()
        else:
            finish = start = end
        header = self._raw[begin : min(finish, begin + longest)]
        return header_fields(header, _SHOWN | _MIME if own else _MIME), start

    def _between(self, boundary: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield where each part of a multipart begins and ends; the delimiter that closes it may be missing.

        A delimiter is a whole line, as most mail programs read it, not only the beginning of a line.
        """
        boundary = boundary.rstrip()
        if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
            return
        delimiter = re.compile(rb"--%b(--)?+[ \t]*+\r?+(?:\n|\Z)" % re.escape(boundary))
        found = delimiter.match(self._raw, start, end)
        later = re.compile(rb"\n" + delimiter.pattern)
        found = found or later.search(self._raw, start, end)
        while found and not found[1]:
            # The line end that begins a delimiter may be the one that ends the delimiter before it.
            begin = found.end()
            found = later.search(self._raw, max(begin - 1, start), end)
            finish = found.start() if found else end
            if found and self._raw.endswith(b"\r", begin, finish):
                finish -= 1
            yield begin, max(begin, finish)


def _media_type(field: ContentField, default: str) -> str:
    if not field.word:
        return default
    return field.word if _MEDIA_TYPE.fullmatch(field.word) else "text/plain"  # RFC 2045 5.2
