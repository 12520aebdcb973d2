"""The header section of a stored mail, whatever its bytes: its fields, and what of them a row shows.

The bytes are hostile, and a mail is listed however broken it is. So nothing here is strict and nothing raises
but for one thing: the recipients, because a row in the wrong mailbox shows one person's mail to another.
"""

import codecs
import functools
import re
from binascii import a2b_base64, a2b_qp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256

from quarantine.addresses import Address, InvalidAddress

_LONGEST_TEXT = 1000  # characters of a sender or subject: more than any report shows
_LONGEST_ID = 900  # bytes: with the time before it, within the 1024 of a sort key
_LONGEST_FIELD = 16 * 1024  # bytes that are decoded: bounds the work that one field can make
_LONGEST_NAME = 128  # bytes of a field's name
_LONGEST_SHOWN = 254  # characters of what is no address, in what is told of it
_MOST_SHOWN = 10
_YEARS = range(1980, 2200)  # another year is a wrong clock's, or a lie


class NoRecipient(ValueError):
    """No field says for whom the mail is."""


class UnreadableRecipient(ValueError):
    """A field says for whom the mail is, and part of it is no address; the message says which."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Fields of a header section, unfolded, under their names in lower case.

    every: all that were wanted, from the top.
    put_on: the topmost of each name above the first Received field. Each server puts its fields on top, its
    Received (RFC 5321 4.4) among the first: what is above came from this side of the last hop, and not from
    the sender, whose own fields are all below. Where there is no Received field, no server took the mail from
    anybody, and every field is of whoever left it here.
    """

    every: Mapping[bytes, Sequence[bytes]]
    put_on: Mapping[bytes, bytes]

    def top(self, name: bytes) -> bytes:
        """Return the topmost field of a name, which is the one that was put on last; empty for none."""
        return self.every.get(name, (b"",))[0]


@dataclass(frozen=True, slots=True)
class HeldMail:
    """What the header section says, as far as it can be read.

    sender, subject: decoded, cut, without lone surrogates; hostile. "" for none.
    message_id: as it is compared, at most 900 bytes; "" for none.
    received_at: UTC, of the topmost Received field, else of Date; None when neither can be read.
    """

    sender: str
    subject: str
    message_id: str
    received_at: datetime | None


SHOWN_FIELDS = frozenset({b"from", b"subject", b"message-id", b"received", b"date"})
"""What parse_mail reads."""


def parse_mail(fields: Fields) -> HeldMail:
    """Read what is shown of a mail; never raises."""
    return HeldMail(
        sender=_sender(fields.top(b"from")),
        subject=decoded(fields.top(b"subject")),
        message_id=usable_id(fields.top(b"message-id")),
        received_at=parse_time(fields.top(b"received").rpartition(b";")[2])
        or parse_time(fields.top(b"date")),
    )


@dataclass(frozen=True, slots=True)
class Recipients:
    """For whom a field says that the mail is; of addresses and unreadable not both are empty.

    addresses: each once. unreadable: which of the field is no address, for the operator; "" when all are.
    """

    addresses: tuple[Address, ...]
    unreadable: str


def read_recipients(fields: Mapping[bytes, bytes], names: Sequence[bytes]) -> Recipients:
    """Read the list of addresses in the first of these fields that is there. Raises NoRecipient.

    One that cannot be read takes none of the others away, unless it is not sure where each begins and ends.
    """
    for name in names:
        if value := fields.get(name, b"").strip():
            return _read_recipients(_name(name), value)
    raise NoRecipient(f"no {', '.join(map(_name, names))}")


def parse_recipients(fields: Mapping[bytes, bytes], names: Sequence[bytes]) -> tuple[Address, ...]:
    """Return the addresses in the first of these fields that is there.

    Raises NoRecipient, UnreadableRecipient: one that cannot be read spoils the whole.
    """
    found = read_recipients(fields, names)
    if found.unreadable:
        raise UnreadableRecipient(found.unreadable)
    return found.addresses


def _read_recipients(field: str, value: bytes) -> Recipients:
    if _ENCLOSED_COMMA.search(value):
        return Recipients((), f"{field}: not a plain list of addresses: {_shown(value)}")
    addresses: list[Address] = []
    unreadable: list[bytes] = []
    for each in filter(None, (part.strip() for part in value.split(b","))):  # RFC 5322 4.4: empty ones, too
        try:
            addresses.append(_address(_without_brackets(each).decode("ascii")))
        except (InvalidAddress, UnicodeDecodeError):
            unreadable.append(each)
    if not addresses and not unreadable:
        unreadable.append(value)
    told = ", ".join(map(_shown, unreadable[:_MOST_SHOWN]))
    if more := len(unreadable[_MOST_SHOWN:]):
        told += f" and {more} more"
    return Recipients(tuple(dict.fromkeys(addresses)), told and f"{field}: not an address: {told}")


# Where a comma may be within something: a quoted string or pair, a comment, a literal, a group, a path.
_ENCLOSED_COMMA = re.compile(rb'["(\[:\\]|<[^>]*,')


def _without_brackets(text: bytes) -> bytes:
    return text[1:-1].strip() if text.startswith(b"<") and text.endswith(b">") else text


def _shown(value: bytes) -> str:
    return ascii(decoded(value).strip()[:_LONGEST_SHOWN])


def header_fields(header: bytes, wanted: frozenset[bytes]) -> Fields:
    """Return the wanted fields of what begins with a header section. wanted: names in lower case."""
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
    """Return where the empty line is that ends the header section; None when there is none."""
    if mail.startswith((b"\n", b"\r\n")):
        return 0
    ends = (mail.find(b"\n\n"), mail.find(b"\n\r\n"))
    return min((place for place in ends if place != -1), default=None)


def without_last_field(header: bytes) -> bytes:
    """Return a header section that was cut off, less the field where it was: a half may read as a whole."""
    place = header.rfind(b"\n")
    while place != -1 and header[place + 1 : place + 2] in (b" ", b"\t", b""):
        place = header.rfind(b"\n", 0, place)
    return header[: place + 1]


@functools.lru_cache(maxsize=1024)
def _lower(name: bytes) -> bytes:
    return name.lower().rstrip(b" \t")  # RFC 5322 4.5: obsolete, and still written


@functools.lru_cache(maxsize=4096)  # many mails, few mailboxes
def _address(text: str) -> Address:
    return Address.parse(text)


def clean(text: str) -> str:
    """Return a text cut to what a row holds, with nothing that UTF-8 cannot say."""
    return _cut(text)


# --- Fields ---


def _sender(value: bytes) -> str:
    # Encoded words are decoded beside the address, never in it or into one: what is read as the address
    # afterwards must be what was the address in the mail.
    text = _text(value)
    name, bracket, address = text.rpartition("<")
    if bracket and address.rstrip().endswith(">"):
        # Cut apart: a name of any length leaves the address whole.
        room = _LONGEST_TEXT - len(address) - 1
        return _cut(f"{_decoded(name)[: max(0, room)]}<{address}")
    decoded = _decoded(text)
    return _cut(decoded if decoded == text else decoded.translate(_NO_BRACKETS))


_NO_BRACKETS = str.maketrans("<>", "‹›")


def usable_id(value: bytes) -> str:
    """Return a Message-ID as a key can hold it: one too long for that, or not printable, by its digest."""
    if not value:
        return ""
    text = " ".join(_cut(_text(value), _LONGEST_FIELD).split())
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
    """Read a date-time (RFC 5322 3.3) as UTC; None when it cannot be, or is of no year of mail."""
    try:
        time = _common_date(value) or parsedate_to_datetime(value[:200].decode("ascii", "replace"))
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return time.replace(microsecond=0) if time.year in _YEARS else None


def _common_date(value: bytes) -> datetime | None:
    """Read the form that nearly all dates have, in a tenth of the time."""
    match = _DATE.search(value, 0, 60)
    if match is None or (month := _MONTHS.get(match[2])) is None or (offset := _offset(match[7])) is None:
        return None
    day, year, hour, minute, second = map(int, match.group(1, 3, 4, 5, 6))
    if year not in _YEARS:
        return None
    return datetime.fromtimestamp(
        datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() - offset, UTC
    )


# --- Text ---

_ENCODED_WORD = re.compile(r"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]*)?\?([BbQq])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)[ \t]+(?==\?)")  # RFC 2047 6.2: white space between two is not shown
_SURROGATES = re.compile("[\ud800-\udfff]")
_NO_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"})


def _name(field: bytes) -> str:
    return field.decode("ascii", "replace").title()


def _text(value: bytes) -> str:
    value = value[:_LONGEST_FIELD]
    try:
        return value.decode()  # RFC 6532
    except UnicodeDecodeError:
        return value.decode("latin-1")  # against the rules, and the likeliest of what is


def _cut(text: str, length: int = _LONGEST_TEXT) -> str:
    text = text[:length]
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def decoded(value: bytes) -> str:
    """Return the text of an unstructured field (RFC 5322 3.6.5), its encoded words decoded; cut, hostile."""
    return _cut(_decoded(_text(value)))


def _decoded(text: str) -> str:
    """Decode encoded words (RFC 2047), also where they stand in other text; what is none stays."""
    if "=?" not in text:
        return text
    text = _BETWEEN_WORDS.sub(r"\1", text)
    parts: list[str] = []
    pending, charset, end = b"", "", 0
    for match in _ENCODED_WORD.finditer(text):
        # Two that touch may share a character, in spite of RFC 2047 5: decoded as one if in one charset.
        if match.start() != end or match[1].lower() != charset:
            parts += [_bytes_decoded(pending, charset), text[end : match.start()]]
            pending, charset = b"", match[1].lower()
        pending += _word_bytes(match[2], match[3])
        end = match.end()
    return "".join([*parts, _bytes_decoded(pending, charset), text[end:]])


def _word_bytes(encoding: str, word: str) -> bytes:
    data = word.encode("utf-8", "replace")
    if encoding in "Qq":
        return a2b_qp(data, header=True)
    try:
        return a2b_base64(data + b"==")  # what pads it already may be followed by more
    except ValueError:  # a letter too many
        return a2b_base64(re.sub(rb"[^A-Za-z0-9+/]", b"", data)[:-1] + b"==")


def _bytes_decoded(data: bytes, charset: str) -> str:
    if not data:
        return ""
    try:
        return data.decode(_codec(charset), "replace")
    except (LookupError, ValueError):
        return data.decode("latin-1")


@functools.lru_cache(maxsize=256)
def _codec(charset: str) -> str:
    try:
        codec = codecs.lookup(charset)
        b"x".decode(charset, "replace")  # raises LookupError for one that is not of text
    except (LookupError, ValueError):
        return "utf-8"
    return "utf-8" if codec.name.replace("-", "_") in _NO_CHARSETS else codec.name
