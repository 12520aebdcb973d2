"""The parts of a mail (RFC 2046), found without a parser that a hostile mail can bring down.

The standard library's parser takes a second for 300 nested multiparts, and fails with RecursionError at
1,000. Here a part is a pair of positions in the mail, and depth and number are bounded on the way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Final

from quarantine.mail.charsets import LONGEST_FIELD, decode_words
from quarantine.mail.lenient import Fields, end_of_header, header_fields
from quarantine.previewing.values import CannotBeShown

DEEPEST: Final = 20
"""How many multiparts may contain each other."""

MOST_PARTS: Final = 200
"""How many parts a mail may have, multiparts included."""

_LONGEST_HEADER = 256 * 1024  # bytes of the mail's own header section that are read
_LONGEST_PART_HEADER = 16 * 1024
_LONGEST_BOUNDARY = 200  # RFC 2046 5.1.1 allows 70
_LONGEST_PARAMETERS = 4096
_WANTED = frozenset({b"content-type", b"content-transfer-encoding", b"content-disposition"})
_SHOWN = frozenset({b"from", b"to", b"cc", b"date", b"subject"})


class NotShown(ValueError):
    """The mail has no preview; `reason` says why."""

    def __init__(self, reason: CannotBeShown) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a mail. media_type: in lower case. start, end: of its body, as positions in the mail.

    encoding: Content-Transfer-Encoding in lower case. charset: a label, "" for none. name: decoded, hostile.
    """

    media_type: str
    encoding: str
    charset: str
    name: str
    is_attachment: bool
    start: int
    end: int
    children: tuple["Part", ...] = ()

    @property
    def is_multipart(self) -> bool:
        return self.media_type.startswith("multipart/")

    def leaves(self) -> Iterator["Part"]:
        """Yield the parts that contain no other, in their order."""
        if not self.is_multipart:
            yield self
        for child in self.children:
            yield from child.leaves()


def shown_fields(raw: bytes, start: int = 0) -> Fields:
    """Return the fields of a header section, which begins at `start`, that a reader knows a mail by."""
    return header_fields(raw[start : start + _LONGEST_HEADER], _SHOWN)


def parts_of(raw: bytes) -> Part:
    """Return the mail as a tree of parts. Raises NotShown."""
    return _Scan(raw).part(0, len(raw), 0, "text/plain", _LONGEST_HEADER)


class _Scan:
    """One walk over a mail, which counts the parts that it meets."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._parts = raw, 0

    def part(self, start: int, end: int, depth: int, default_type: str, longest: int) -> Part:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise NotShown(CannotBeShown.TOO_MANY_PARTS)
        head = self._raw[start : min(end, start + longest)]
        fields = header_fields(head, _WANTED)
        body = min(end, start + _body_begin(head))
        content = _parameters(fields)
        boundary = content.get_boundary() or ""
        media_type = content.get_content_type() if fields.top(b"content-type") else default_type
        children: tuple[Part, ...] = ()
        if media_type.startswith("multipart/"):
            if not boundary or len(boundary) > _LONGEST_BOUNDARY:
                media_type = "text/plain"  # RFC 2046 5.1.1: no parts can be told apart; it is shown as it is
            elif depth == DEEPEST:
                raise NotShown(CannotBeShown.TOO_DEEP)
            else:
                children = tuple(self._children(body, end, depth, boundary, media_type))
        return Part(
            media_type=media_type,
            encoding=fields.top(b"content-transfer-encoding").strip().lower().decode("ascii", "replace"),
            charset=_charset(content),
            name=_name(content),
            is_attachment=content.get_content_disposition() == "attachment",
            start=body,
            end=end,
            children=children,
        )

    def _children(self, start: int, end: int, depth: int, boundary: str, media_type: str) -> Iterator[Part]:
        default = "message/rfc822" if media_type == "multipart/digest" else "text/plain"  # RFC 2046 5.1.5
        delimiter = b"--" + boundary.encode("utf-8", "surrogateescape")
        begin = None
        for line, after, is_last in self._delimiters(delimiter, start, end):
            if begin is not None:
                yield self.part(begin, max(begin, line), depth + 1, default, _LONGEST_PART_HEADER)
            begin = after
            if is_last:
                return
        if begin is not None:  # the last delimiter is missing: the mail was cut
            yield self.part(begin, end, depth + 1, default, _LONGEST_PART_HEADER)

    def _delimiters(self, delimiter: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Yield where the text before a delimiter ends, where that after it begins, and if it is the last."""
        raw, place, found = self._raw, start, 0
        while (place := raw.find(delimiter, place, end)) != -1:
            after = place + len(delimiter)
            is_line = place == start or raw[place - 1 : place] == b"\n"
            is_last = raw[after : after + 2] == b"--"
            rest = raw[after + 2 * is_last : after + 2 * is_last + 80].partition(b"\n")[0]
            if is_line and not rest.strip(b" \t\r"):
                if (found := found + 1) > MOST_PARTS + 1:
                    raise NotShown(CannotBeShown.TOO_MANY_PARTS)
                line_end = raw.find(b"\n", after, end)
                following = end if line_end == -1 else line_end + 1
                # RFC 2046 5.1.1: the line end before a delimiter belongs to it.
                before = place - (2 if raw[place - 2 : place] == b"\r\n" else 1)
                yield before, following, is_last
            place = after


def _body_begin(head: bytes) -> int:
    """Return where the body begins: after the empty line, or after all, if there is none."""
    if (end := end_of_header(head)) is None:
        return len(head)
    empty = head.find(b"\n", end + 1 if end else 0)
    return empty + 1


# --- Fields, with the standard library's reading of parameters (RFC 2045 5.1, RFC 2231) ---


def _parameters(fields: Fields) -> Message:
    message = Message()
    for name in (b"content-type", b"content-disposition"):
        if value := fields.top(name):
            message[name.decode()] = value[:_LONGEST_PARAMETERS].decode("utf-8", "replace")
    return message


def _charset(content: Message) -> str:
    try:
        return str(content.get_content_charset() or "")
    except (LookupError, ValueError, TypeError):
        return ""


def _name(content: Message) -> str:
    try:
        name = content.get_filename() or ""
    except (LookupError, ValueError, TypeError):
        return ""
    return decode_words(name.encode("utf-8", "replace")[:LONGEST_FIELD])  # many programs write encoded words
