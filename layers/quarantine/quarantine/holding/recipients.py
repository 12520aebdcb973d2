"""The recipients of a held mail.

Only this part of a held mail is read strictly: a row in the wrong mailbox shows one person's mail to another.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.charsets import decoded

_LONGEST_SHOWN = 254  # characters of an invalid recipient that a rejection repeats
_MOST_SHOWN = 10


class NoRecipient(ValueError):
    """No field names a recipient of the mail."""


class UnreadableRecipient(ValueError):
    """A field names the recipients, and at least one is not an address; the message says which."""


@dataclass(frozen=True, slots=True)
class Recipients:
    """The recipients that a field names; at least one of the two attributes is not empty.

    addresses: without duplicates. unreadable: the invalid ones, for the operator; "" if all are addresses.
    """

    addresses: tuple[Address, ...]
    unreadable: str


def read_recipients(fields: Mapping[bytes, bytes], names: Sequence[bytes]) -> Recipients:
    """Read the list of addresses in the first of these fields that is present. Raises NoRecipient.

    One invalid recipient does not affect the others, unless it is unclear where each begins and ends.
    """
    for name in names:
        if value := fields.get(name, b"").strip():
            return _read_recipients(_name(name), value)
    raise NoRecipient(f"no {', '.join(map(_name, names))}")


def parse_recipients(fields: Mapping[bytes, bytes], names: Sequence[bytes]) -> tuple[Address, ...]:
    """Return the addresses in the first of these fields that is present.

    Raises NoRecipient, and UnreadableRecipient if any of them is not an address.
    """
    found = read_recipients(fields, names)
    if found.unreadable:
        raise UnreadableRecipient(found.unreadable)
    return found.addresses


def _read_recipients(field: str, value: bytes) -> Recipients:
    if _ENCLOSED_COMMA.search(value):
        return Recipients((), f"{field}: not a plain list of addresses: {_quoted(value)}")
    addresses: list[Address] = []
    unreadable: list[bytes] = []
    for each in filter(None, (part.strip() for part in value.split(b","))):  # RFC 5322 4.4 allows empty ones
        try:
            addresses.append(_address(_without_brackets(each).decode("ascii")))
        except (InvalidAddress, UnicodeDecodeError):
            unreadable.append(each)
    if not addresses and not unreadable:
        unreadable.append(value)
    listed = ", ".join(map(_quoted, unreadable[:_MOST_SHOWN]))
    if more := len(unreadable[_MOST_SHOWN:]):
        listed += f" and {more} more"
    return Recipients(tuple(dict.fromkeys(addresses)), listed and f"{field}: not an address: {listed}")


# Where a comma may not separate: in a quoted string or pair, a comment, a literal, a group, a path.
# Of a path, the last `<` before the comma is enough: no letter is read twice.
_ENCLOSED_COMMA = re.compile(rb'["(\[:\\]|<[^<>,]*,')


def _without_brackets(text: bytes) -> bytes:
    return text[1:-1].strip() if text.startswith(b"<") and text.endswith(b">") else text


def _quoted(value: bytes) -> str:
    return ascii(decoded(value).strip()[:_LONGEST_SHOWN])


def _name(field: bytes) -> str:
    return field.decode("ascii", "replace").title()


@functools.lru_cache(maxsize=4096)  # many mails, few mailboxes
def _address(text: str) -> Address:
    return Address.parse(text)
