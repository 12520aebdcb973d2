"""A stored mail as a held message: the bytes of its header section to a value, and nothing that can raise.

The bytes are hostile, and a mail is listed however broken it is. So nothing here is strict but one thing:
the recipient, because a row in the wrong mailbox shows one person's mail to another.
"""

import codecs
import functools
import re
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any, Protocol

from quarantine.addresses import Address, InvalidAddress
from quarantine.report import HoldReason

# Who writes them: amavis and other filters; Postfix, Dovecot, qmail; Postfix, before aliases.
RECIPIENT_FIELDS = ("X-Envelope-To", "Delivered-To", "X-Original-To")

_LONGEST_TEXT = 1000  # characters of a sender or subject: more than any report shows
_LONGEST_ID = 900  # bytes: with the time before it, within the 1024 of a sort key
_LONGEST_FIELD = 16 * 1024  # bytes that are decoded: bounds the work that one field can make
_YEARS = range(1980, 2200)  # another year is a wrong clock's, or a lie


class NotImported(ValueError):
    """The mail cannot be put into a mailbox; the message says why."""


class Buffer(Protocol):
    """Bytes that can be searched: bytes, or a file in memory (mmap)."""

    def find(self, sub: bytes, start: int = ..., end: int = ..., /) -> int: ...
    def __getitem__(self, place: slice, /) -> bytes: ...
    def __len__(self) -> int: ...


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


def parse_mail(fields: dict[bytes, bytes]) -> HeldMail:
    """Read the fields of a header section; never raises."""
    return HeldMail(
        sender=_sender(fields.get(b"from", b"")),
        subject=_cut(_decoded(_text(fields.get(b"subject", b"")))),
        message_id=usable_id(fields.get(b"message-id", b"")),
        received_at=_time(fields.get(b"received", b"").rpartition(b";")[2])
        or _time(fields.get(b"date", b"")),
    )


def parse_recipients(fields: dict[bytes, bytes], names: Sequence[bytes]) -> tuple[Address, ...]:
    """Return the addresses in the first of these fields that is there. Raises NotImported.

    One of them that cannot be read spoils the whole: no mail is listed in some of its mailboxes only.
    """
    for name in names:
        if value := fields.get(name, b"").strip():
            try:
                found = [_address(each.strip(" \t<>")) for each in value.decode("ascii").split(",")]
            except (InvalidAddress, UnicodeDecodeError) as e:
                raise NotImported(f"{_name(name)}: {e}") from e
            return tuple(dict.fromkeys(found))
    raise NotImported(f"no {', '.join(map(_name, names))}")


def wanted_fields(recipient_fields: Sequence[bytes]) -> frozenset[bytes]:
    """Return the names, in lower case, of the fields that are read."""
    return frozenset({b"from", b"subject", b"message-id", b"received", b"date", *recipient_fields})


def header_fields(header: bytes, wanted: frozenset[bytes]) -> dict[bytes, bytes]:
    """Return the wanted fields, unfolded, by their names in lower case; the topmost where there are several.

    The topmost is the one that was put on last: what stands below may be the sender's own.
    """
    fields: dict[bytes, bytes] = {}
    name = b""
    ends = (header.find(b"\n\n"), header.find(b"\n\r\n"))
    end = min((place for place in ends if place != -1), default=None)
    for line in header[:end].split(b"\n"):
        if line.startswith((b" ", b"\t")):  # RFC 5322 2.2.3: folded
            if name and len(fields[name]) < _LONGEST_FIELD:
                fields[name] += line.rstrip(b"\r")
            continue
        start, colon, value = line.partition(b":")
        name = _lower(start) if colon else b""
        if name not in wanted or name in fields:
            name = b""
        else:
            fields[name] = value.strip(b" \t\r")[:_LONGEST_FIELD]
    return fields


@functools.lru_cache(maxsize=1024)
def _lower(name: bytes) -> bytes:
    return name.lower().rstrip(b" \t")  # RFC 5322 4.5: obsolete, and still written


@functools.lru_cache(maxsize=4096)  # many mails, few mailboxes
def _address(text: str) -> Address:
    return Address.parse(text)


def held_item(
    recipient: Address,
    mail: HeldMail,
    message_id: str,
    received_at: datetime,
    reason: HoldReason,
    expires_at: int,
    size: int | None = None,
) -> dict[str, Any]:
    """Return the row of a held message as the wire of DynamoDB has it. expires_at: epoch seconds."""
    time = iso(received_at)
    item = {
        "recipient": {"S": str(recipient)},
        "entry": {"S": f"{time}#{message_id}"},
        "message_id": {"S": message_id},
        "received_at": {"S": time},
        "sender": {"S": mail.sender},
        "subject": {"S": mail.subject},
        "reason": {"S": reason.value},
        "status": {"S": "held"},
        "expires_at": {"N": str(expires_at)},
    }
    return item if size is None else item | {"size": {"N": str(size)}}


def iso(time: datetime) -> str:
    """Return a time as the quarantine table has it: UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def clean(text: str) -> str:
    """Return a text cut to what a row holds, with nothing that UTF-8 cannot say."""
    return _cut(text)


# --- mbox (RFC 4155) ---

_FROM_LINE = re.compile(rb"From [^\n]*\d:\d\d[^\n]* (?:19|20)\d\d\b")
_FROM_DATE = re.compile(rb"(\w{3}) +(\d{1,2}) (\d\d:\d\d(?::\d\d)?)(?: ([+-]\d{4}))? (\d{4})")


def split_mbox(data: Buffer) -> Iterator[tuple[int, int]]:
    """Yield where each mail of an mbox begins, with its From line, and where it ends.

    A From line begins the file, or follows an empty line and has a time and a year: so that a sentence that
    begins with `From` is text, also in an mbox whose writer did not quote it.
    """
    begin = 0
    place = data.find(b"\nFrom ")
    while place != -1:
        line = data[place + 1 : place + 1000]
        if data[max(0, place - 2) : place].replace(b"\r", b"")[-1:] == b"\n" and _FROM_LINE.match(line):
            yield begin, place
            begin = place + 1
        place = data.find(b"\nFrom ", place + 1)
    if begin < len(data):
        yield begin, len(data)


def from_line_time(line: bytes) -> datetime | None:
    """Return the time in a From line, UTC; None when it cannot be read."""
    match = _FROM_DATE.search(line)
    if match is None:
        return None
    month, day, clock, zone, year = match.groups()
    return _time(b" ".join((day, month, year, clock, zone or b"+0000")))


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


def _time(value: bytes) -> datetime | None:
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
    try:
        return value.decode()  # RFC 6532
    except UnicodeDecodeError:
        return value.decode("latin-1")  # against the rules, and the likeliest of what is


def _cut(text: str, length: int = _LONGEST_TEXT) -> str:
    text = text[:length]
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


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
