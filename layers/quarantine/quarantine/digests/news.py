"""What is new to a reader in a mailbox: what no report has told them yet.

A row may be written late, or become visible after one that was written later. So a report tells of rows that
were noted up to five minutes before the last report, unless that report listed them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from quarantine.held import HeldMessage

OVERLAP: Final = timedelta(minutes=5)
"""For how long before a report a row may have been noted that the report did not see."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a reader was told of a mailbox.

    until: when the last report looked. listed: the messages that it listed and that were noted later than
    five minutes before, by their `name_of`, with the time at which they were noted.
    """

    until: datetime
    listed: Mapping[str, datetime] = field(default_factory=dict)


def name_of(message: HeldMessage) -> str:
    """Return a short name of a message in its mailbox: 24 hexadecimal digits."""
    return sha256(f"{message.received_at.isoformat()}#{message.message_id}".encode()).hexdigest()[:24]


def is_new(message: HeldMessage, mark: Mark | None) -> bool:
    """Return whether no report has told of a message. mark: None if there was no report."""
    if mark is None:
        return True
    return message.noted_at > mark.until - OVERLAP and name_of(message) not in mark.listed


def moved(mark: Mark | None, listed: Iterable[HeldMessage], now: datetime) -> Mark:
    """Return the mark after a report that looked at `now` and listed these messages of the mailbox."""
    until = now if mark is None else max(now, mark.until)
    known = {} if mark is None else dict(mark.listed)
    known |= {name_of(message): message.noted_at for message in listed}
    return Mark(until, {name: noted for name, noted in known.items() if noted > until - OVERLAP})


def joined(one: Mark | None, other: Mark) -> Mark:
    """Return the mark of a mailbox after two reports that did not know of each other."""
    if one is None:
        return other
    until = max(one.until, other.until)
    listed = {**one.listed, **other.listed}
    return Mark(until, {name: noted for name, noted in listed.items() if noted > until - OVERLAP})
