"""For whom a held mail is.

The one thing of it that is read strictly: a row in the wrong mailbox shows one person's mail to another.
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
    """No field says for whom the mail is."""


class UnreadableRecipient(ValueError):
    """A field says for whom the mail is, and part of it is not an address; the message says which."""


@dataclass(frozen=True, slots=True)
class Recipients:
    """For whom a field says that the mail is; at least one of the two is not empty.

    addresses: each once. unreadable: which parts are not addresses, for the operator; "" when all are.
    """

    addresses: tuple[Address, ...]
    unreadable: str


def read_recipients(fields: Mapping[bytes, bytes], names: Sequence[bytes]) -> Recipients:
    """Read the list of addresses in the first of these fields that is there. Raises NoRecipient.

    One invalid recipient does not affect the others, unless it is unclear where each begins and ends.
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


def _name(field: bytes) -> str:
    return field.decode("ascii", "replace").title()


@functools.lru_cache(maxsize=4096)  # many mails, few mailboxes
def _address(text: str) -> Address:
    return Address.parse(text)
