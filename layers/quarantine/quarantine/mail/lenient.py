"""The header section of a stored mail, read from any bytes: its fields, and the values that a row shows.

The bytes are hostile, and even a broken mail must be listed. So nothing here is strict, and nothing raises.
"""

import functools
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from quarantine.mail.charsets import (
    LONGEST_FIELD,
    LONGEST_TEXT,
    decode_words,
    decoded,
    raw_text,
    storable,
)
from quarantine.mail.dates import parse_time
from quarantine.mail.mailbox import Mailbox, read_mailbox, shown_address, write_mailbox
from quarantine.mail.text import clean_text

_LONGEST_ID = 900  # bytes: with the time before it, it fits the 1024 bytes of a sort key
_LONGEST_FIELD = 16 * 1024  # characters of a Message-ID that are read
_LONGEST_NAME = 128  # bytes of a field's name


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
        sender=field_sender(fields.top(b"from")),
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


def field_sender(value: bytes) -> str:
    """Return a From field as a row keeps it and `parse_sender` reads it: decoded, cut, hostile.

    Encoded words are decoded beside the address, never in it or into one: what is read as the address
    afterwards must be what was the address in the mail.
    """
    if b"=?" not in value and len(value) <= LONGEST_FIELD and len(text := raw_text(value)) <= LONGEST_TEXT:
        return storable(text)
    if len(value) > LONGEST_FIELD:
        value = value[:LONGEST_FIELD] + b" ..."  # so that no half of an address reads as a whole
    # Bytes that are not UTF-8 pass the grammar as they are, to be decoded with the words beside them.
    name, address = (
        part.encode("utf-8", "surrogateescape")
        for part in read_mailbox(value.decode("utf-8", "surrogateescape"))
    )
    shown = Mailbox(decode_words(name).strip(), raw_text(address))
    room = LONGEST_TEXT - len(shown.address) - len(" <>")  # the name is cut, and the address stays whole
    field = write_mailbox(_cut(shown, room))
    if len(field) > LONGEST_TEXT:  # a name to be quoted, which at most doubles it
        field = write_mailbox(_cut(shown, room // 2 - 1))
    return storable(field)


def _cut(mailbox: Mailbox, length: int) -> Mailbox:
    return Mailbox(mailbox.name[:length].strip(), mailbox.address)


def usable_id(value: bytes) -> str:
    """Return a Message-ID that fits in a key; its digest if it is too long or not printable."""
    if not value:
        return ""
    start = value[:_LONGEST_FIELD]
    try:
        text = start.decode()
    except UnicodeDecodeError:
        text = start.decode("latin-1")  # always: a change would give the same mail another key
    text = " ".join(text.split())
    if len(text.encode()) <= _LONGEST_ID and text.isprintable():
        return text
    return f"sha256:{sha256(value).hexdigest()}"


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
    before, at, domain = text.rpartition("@")
    if not domain.isascii():
        text = f"{before}{at}{domain.translate(_NOT_IN_DOMAINS)}"
    name, address = read_mailbox(clean_text(text))
    if address:
        address = shown_address(address)
    # Without its quotation marks, a name may have two spaces in a row, or a mark on nothing.
    return Sender("" if name.casefold() == address.casefold() else clean_text(name), address)


# What the cleaning would drop or turn into an ASCII letter or sign: the domain would become another.
_NOT_IN_DOMAINS = dict.fromkeys(map(ord, "\u037e\u1fef\u200c\u200d\N{KELVIN SIGN}"), "\ufffd")
