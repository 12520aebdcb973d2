"""The header section of a stored mail, read from any bytes: its fields, and the values that a row shows.

The bytes are hostile, and even a broken mail must be listed. So nothing here is strict, and nothing raises.
"""

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256

from quarantine.mail.charsets import LONGEST_TEXT, decode_words, decoded, field_text, storable
from quarantine.mail.domains import InvalidDomain, normalise_domain
from quarantine.mail.text import clean_text

_LONGEST_ID = 900  # bytes: with the time before it, it fits the 1024 bytes of a sort key
_LONGEST_FIELD = 16 * 1024  # characters of a Message-ID that are read
_LONGEST_NAME = 128  # bytes of a field's name
_YEARS = range(1980, 2200)  # another year comes from a wrong clock or a forgery


@dataclass(frozen=True, slots=True)
class Fields:
    """Fields of a header section, unfolded, under their names in lower case.

    every: all wanted fields, from the top.
    put_on: the topmost of each name above the first Received field. Each server adds its fields on top, its
    Received field (RFC 5321 4.4) among the first. So the fields above it come from this side of the last hop,
    not from the sender, whose fields are all below. Without a Received field, no server received the mail,
    and every field comes from the program that stored it here.
    """

    every: Mapping[bytes, Sequence[bytes]]
    put_on: Mapping[bytes, bytes]

    def top(self, name: bytes) -> bytes:
        """Return the topmost field of a name, which was added last; empty if there is none."""
        return self.every.get(name, (b"",))[0]


@dataclass(frozen=True, slots=True)
class ShownHeader:
    """What the header section says, as far as it can be read.

    sender, subject: decoded, cut, without lone surrogates; hostile. "" if missing.
    message_id: in the form in which it is compared, at most 900 bytes; "" if missing.
    received_at: UTC, from the topmost Received field, else from Date; None if neither can be read.
    """

    sender: str
    subject: str
    message_id: str
    received_at: datetime | None


SHOWN_FIELDS = frozenset({b"from", b"subject", b"message-id", b"received", b"date"})
"""The fields that parse_mail reads."""


def parse_mail(fields: Fields) -> ShownHeader:
    """Read the values of a mail that are shown; never raises."""
    return ShownHeader(
        sender=_sender(fields.top(b"from")),
        subject=decoded(fields.top(b"subject")),
        message_id=usable_id(fields.top(b"message-id")),
        received_at=parse_time(fields.top(b"received").rpartition(b";")[2])
        or parse_time(fields.top(b"date")),
    )


def header_fields(header: bytes, wanted: frozenset[bytes]) -> Fields:
    """Return the wanted fields of bytes that begin with a header section. wanted: names in lower case."""
    header = header.removeprefix(b"\xef\xbb\xbf")  # a byte order mark, which some programs write
    found: list[tuple[bytes, list[bytes]]] = []
    parts: list[bytes] = []
    for line in header[: end_of_header(header)].split(b"\n"):
        if line.startswith((b" ", b"\t")):  # RFC 5322 2.2.3: folded
            parts.append(line.rstrip(b"\r"))
            continue
        start, colon, value = line.partition(b":")
        name = _lower(start) if colon and len(start) <= _LONGEST_NAME else b""
        parts = [value.strip(b" \t\r")]
        if name in wanted:
            found.append((name, parts))
    every: dict[bytes, list[bytes]] = {}
    put_on: dict[bytes, bytes] = {}
    for name, lines in found:
        value = b"".join(lines)
        every.setdefault(name, []).append(value)
        if b"received" not in every:
            put_on.setdefault(name, value)
    return Fields(every, put_on)


def end_of_header(mail: bytes) -> int | None:
    """Return the position of the empty line that ends the header section; None if there is none."""
    if mail.startswith((b"\n", b"\r\n")):
        return 0
    ends = (mail.find(b"\n\n"), mail.find(b"\n\r\n"))
    return min((place for place in ends if place != -1), default=None)


def without_last_field(header: bytes) -> bytes:
    """Return a header section that was cut off, without its last field: half a field may look complete."""
    place = header.rfind(b"\n")
    while place != -1 and header[place + 1 : place + 2] in (b" ", b"\t", b""):
        place = header.rfind(b"\n", 0, place)
    return header[: place + 1]


@functools.lru_cache(maxsize=1024)
def _lower(name: bytes) -> bytes:
    return name.lower().rstrip(b" \t")  # RFC 5322 4.5: obsolete, but still in use


# --- Fields ---


def _sender(value: bytes) -> str:
    # Encoded words are decoded beside the address, never in it or into one: the address that is read
    # afterwards must be the address in the mail.
    text = field_text(value)
    name, bracket, address = text.rpartition("<")
    if bracket and address.rstrip().endswith(">"):
        # Name and address are cut separately, so that a long name does not cut the address.
        room = LONGEST_TEXT - len(address) - 1
        return storable(f"{decode_words(name)[: max(0, room)]}<{address}")
    shown = decode_words(text)
    return storable(shown if shown == text else shown.translate(_NO_BRACKETS))


_NO_BRACKETS = str.maketrans("<>", "‹›")


def usable_id(value: bytes) -> str:
    """Return a Message-ID that fits in a key; its digest if it is too long or not printable."""
    if not value:
        return ""
    text = " ".join(storable(field_text(value), _LONGEST_FIELD).split())
    if len(text.encode()) <= _LONGEST_ID and text.isprintable():
        return text
    return f"sha256:{sha256(value).hexdigest()}"


@functools.lru_cache(maxsize=64)
def _offset(zone: bytes) -> int | None:
    sign, hours, minutes = zone[:1], int(zone[1:3]), int(zone[3:])
    seconds = (hours * 60 + minutes) * 60
    return None if seconds >= 24 * 60 * 60 else -seconds if sign == b"-" else seconds


_DATE = re.compile(rb"(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) ([+-]\d{4})\b")
_MONTHS = {
    name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}


def parse_time(value: bytes) -> datetime | None:
    """Read a date-time (RFC 5322 3.3) as UTC; None if it cannot be read, or if its year is implausible."""
    try:
        time = _common_date(value) or parsedate_to_datetime(value[:200].decode("ascii", "replace"))
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return time.replace(microsecond=0) if time.year in _YEARS else None


def _common_date(value: bytes) -> datetime | None:
    """Read the format of nearly all dates, in a tenth of the time."""
    match = _DATE.search(value, 0, 60)
    if match is None or (month := _MONTHS.get(match[2])) is None or (offset := _offset(match[7])) is None:
        return None
    day, year, hour, minute, second = map(int, match.group(1, 3, 4, 5, 6))
    if year not in _YEARS:
        return None
    return datetime.fromtimestamp(
        datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() - offset, UTC
    )


# --- Senders, as they are shown ---


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender that a message claims.

    name: not verified. address: "" if none can be read. Both are "" if there is no sender, as in a bounce
    (RFC 5321 4.5.5).
    """

    name: str
    address: str

    @property
    def claims_address(self) -> bool:
        """Whether the name looks like an address, so that it could be taken for the real one."""
        return "@" in unicodedata.normalize("NFKC", self.name)


def parse_sender(text: str) -> Sender:
    """Parse a decoded From field: the address is in the last angle brackets, or is the whole field.

    The domain is shown in A-labels, so that no letter can imitate another.
    """
    text = clean_text(text)
    name, bracket, address = ("", "", text) if text[-1:] != ">" else text[:-1].rpartition("<")
    if "@" not in address or (not bracket and " " in address):
        return Sender(_unquoted(text) if text.strip("<> ") else "", "")
    address = _shown_address(address)
    name = _unquoted(name)
    return Sender("" if name.casefold() == address.casefold() else name, address)


def _unquoted(name: str) -> str:
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] == '"':  # RFC 5322 3.2.4
        name = name[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return name.strip()


def _shown_address(address: str) -> str:
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{normalise_domain(domain)}"
    except InvalidDomain:
        return address
