"""The mail that a release delivers: the stored mail without the marks of the filter that held it.

Everything else stays as it is, byte for byte and in its order, so that a DKIM signature that verified before
verifies after. The mail is hostile, and may be 30 MB of header: regular expressions without backtracking find
the fields, and nothing is copied but what is delivered.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from io import BytesIO
from typing import Final

from quarantine.holding.filters.family import Family
from quarantine.holding.filters.reading import marks

RELEASED: Final = "X-Quarantine-Released"
"""The field on top of a released mail: the id of the request that released it, and the time."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._#-]{1,200}")


@dataclass(frozen=True, slots=True)
class ReleaseTrace:
    """Who released a mail, by the id of their request, and when; for the header of the mail.

    It is not a Received field, because no server received the mail, and not Resent-From (RFC 5322 3.6.6),
    which senders may name in a signature as absent. Raises ValueError for an id that no request has, and for
    a time without an offset.
    """

    request_id: str
    released_at: datetime

    def __post_init__(self) -> None:
        if not _REQUEST_ID.fullmatch(self.request_id):
            raise ValueError(f"not the id of a request: {self.request_id!r}")
        if self.released_at.utcoffset() is None:
            raise ValueError(f"a time without an offset: {self.released_at.isoformat()}")

    def field(self, line_end: bytes) -> bytes:
        """Return the field, folded, with its line end."""
        lines = (f"{RELEASED}: {self.request_id};", f" {format_datetime(self.released_at.astimezone(UTC))}")
        return b"".join(line.encode() + line_end for line in lines)


def deliverable(raw: bytes, families: Collection[Family], trace: ReleaseTrace) -> bytes:
    """Return a stored mail as it is delivered, with the trace on top. families: the filters that are enabled.

    Above the first Received field, where only the company's own servers write, there remains no field in
    which any filter says spam, that looks like a loop, or that names recipients. Below it there remains none
    of the enabled filters' fields. A field that a signature covers stays, and so does one with a lone CR,
    about whose end programs disagree.

    A byte order mark, and the line by which an mbox separates mails, are not part of a mail and go.
    """
    raw = _without_what_is_before(raw)
    end = _end_of_fields(raw)
    line_end = _line_end(raw)
    out = BytesIO()  # one copy, however many the fields: a list of their parts may take a gigabyte
    out.write(trace.field(line_end))
    if raw.startswith((b" ", b"\t")):
        out.write(line_end)  # a body that begins with a space must not continue our field
    place, whole = 0, memoryview(raw)
    for begin, finish in _removed(raw, end, families):
        out.write(whole[place:begin])
        place = finish
    out.write(whole[place:])
    return out.getvalue()


# --- The header section ---

# A field with its continuations (RFC 5322 2.2, and 4.5 for the spaces before the colon). A line of spaces
# continues a field (RFC 5322 4.2). What is neither a field nor a continuation ends the header section.
_VALUE = rb"[^\n]*+(?:\n[ \t][^\n]*+)*+(?:\n|\Z)"
_FIELDS = re.compile(rb"(?:[!-9;-~]++[ \t]*+:" + _VALUE + rb")*+")
# A mark that the mail began a file, which it no longer does; then the line before each mail in an mbox, which
# is not a From field with a space before its colon.
_BEFORE_MAIL = re.compile(rb"(?:\xef\xbb\xbf)?+(?:>?From (?![ \t]*+:)[^\n]*+\n)*+")
_LONE_CR = re.compile(rb"\r(?!\n)")


def _without_what_is_before(raw: bytes) -> bytes:
    found = _BEFORE_MAIL.match(raw)
    return raw[found.end() :] if found else raw  # the same bytes, and no copy, where there is nothing


def _end_of_fields(raw: bytes) -> int:
    found = _FIELDS.match(raw)
    return found.end() if found else 0


def _line_end(raw: bytes) -> bytes:
    """Return how the mail's first line ends, so that our field ends so, too."""
    first = raw.find(b"\n")
    return b"\n" if first == 0 or (first > 0 and raw[first - 1 : first] != b"\r") else b"\r\n"


def _field(*names: bytes) -> re.Pattern[bytes]:
    """Match a whole field of any of these names; its group 1 is the name."""
    either = b"|".join(re.escape(name) for name in sorted(names))
    return re.compile(rb"^(" + either + rb")[ \t]*+:" + _VALUE, re.IGNORECASE | re.MULTILINE)


# --- What goes ---

# Above the first Received field: what the delivering server says of the envelope. A server that sees its own
# Delivered-To again bounces the mail as a loop.
_ENVELOPE = frozenset(
    {
        b"return-path",  # RFC 5321 4.4
        b"delivered-to",  # RFC 9228
        b"x-original-to",  # Postfix
        b"envelope-to",  # Exim
        b"x-delivered-to",  # CommuniGate
        b"x-envelope-to",
        b"x-envelope-from",
    }
)
_PUT_ON = _field(*_ENVELOPE, *marks(Family))
_RECEIVED = _field(b"received")


def _removed(raw: bytes, end: int, families: Collection[Family]) -> Iterator[tuple[int, int]]:
    """Yield where each field begins and ends that is not delivered, in their order. end: of all fields."""
    received = _RECEIVED.search(raw, 0, end)
    # Without a Received field, the program that stored the mail wrote all of its fields, or the sender did.
    own = received.start() if received else end
    zones = [(_PUT_ON, 0, own)]
    if named := marks(families):
        zones.append((_field(*named), own, end))
    for fields, begin, finish in zones:
        # A signature covers no field that a later server put on above it.
        signed = _signed_names(raw, finish)
        for field in fields.finditer(raw, begin, finish):
            if field[1].lower() not in signed and not _LONE_CR.search(raw, *field.span()):
                yield field.span()


# --- What is signed ---

_SIGNATURE = _field(b"dkim-signature", b"arc-message-signature")  # RFC 6376 3.5, RFC 8617 4.1.2
_NEEDED = (b"b", b"bh", b"d", b"h", b"s")
_SPACE = b" \t\r\n"


def _signed_names(raw: bytes, end: int) -> frozenset[bytes]:
    """Return the names, in lower case, of the fields that any signature above `end` names.

    A signature counts the fields of a name from the bottom (RFC 6376 5.4.2). Which of them it covers is not
    asked here: if it names a field, all of that name stay.
    """
    return frozenset(name for signature in _SIGNATURE.finditer(raw, 0, end) for name in _named(signature[0]))


def _named(signature: bytes) -> frozenset[bytes]:
    """Return the names in `h=`; none if this is not a signature that anybody could verify."""
    value = signature.partition(b":")[2].translate(None, _SPACE)
    tags: dict[bytes, bytes] = {}
    for tag in value.split(b";"):
        name, _, said = tag.partition(b"=")
        tags.setdefault(name, said)
    if not all(map(tags.get, _NEEDED)):
        return frozenset()
    names = frozenset(tags[b"h"].lower().split(b":"))
    return names if b"from" in names else frozenset()  # RFC 6376 5.4: From must be signed
