"""A message in the quarantine: why it is held, its status, and its header data."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from quarantine.mail.addresses import Address

LONGEST_RETENTION: Final = timedelta(days=3650)
"""The longest time that any stack keeps a message; the maximum of the parameter LongestRetentionDays."""

_YEARS = range(1970, 9999)  # below the maximum of datetime, so that every UTC offset can be added


class HoldReason(StrEnum):
    """Why the mail filter held a message; the report's templates explain it to the reader."""

    SPAM = "spam"  # unwanted advertising, by its content or its source
    PHISHING = "phishing"  # it imitates someone, to steal passwords or money
    VIRUS = "virus"  # it carries harmful code
    BULK = "bulk"  # newsletters and other mail to many
    POLICY = "policy"  # a rule of the organization: a file type, a size, a country
    BLOCKED = "blocked"  # its sender is on a block list of the organization


SEVERITY: Final = (
    HoldReason.VIRUS,
    HoldReason.PHISHING,
    HoldReason.POLICY,
    HoldReason.BLOCKED,
    HoldReason.SPAM,
    HoldReason.BULK,
)
"""The reasons, the worst first: the reader must know of a virus before a phish, and so on."""


class Order(StrEnum):
    """The order of the messages in a report."""

    NEWEST = "newest"  # first
    WANTED = "wanted"  # what the reader most likely wants first


class HeldStatus(StrEnum):
    """The status of a message in the quarantine."""

    HELD = "held"  # reports list it
    RELEASING = "releasing"  # it is being delivered, or its delivery is not confirmed yet
    RELEASED = "released"  # it was delivered later
    DELETED = "deleted"  # the user or the filter deleted it


@dataclass(frozen=True, slots=True)
class HeldKey:
    """The key of a message's row in the quarantine table."""

    recipient: str
    entry: str


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """One message in the quarantine of one recipient.

    sender, subject: decoded text from the mail; hostile.
    received_at, expires_at: aware; expires_at is when the message is deleted, None if no time is set.
    code: by which a user names it in an address; None for a row of a version without codes, or of a program
    that wrote none. is_stored: whether the mail itself is kept, not only this row. is_releasing: it is on its
    way to the reader. written_at: when its row was written; None where the row does not say.
    score: on the filter's own scale; None if there is none.

    Raises ValueError for a time without an offset, or in a year that a mail cannot have.
    """

    recipient: Address
    message_id: str
    received_at: datetime
    sender: str
    subject: str
    reason: HoldReason
    expires_at: datetime | None
    code: str | None = None
    is_stored: bool = False
    is_releasing: bool = False
    written_at: datetime | None = None
    score: Decimal | None = None

    @property
    def noted_at(self) -> datetime:
        """When its row was written, as far as it is known."""
        return self.written_at or self.received_at

    def __post_init__(self) -> None:
        for time in filter(None, (self.received_at, self.expires_at)):
            if time.utcoffset() is None or time.year not in _YEARS:
                raise ValueError(f"not the time of a mail: {time.isoformat()}")


@dataclass(frozen=True, slots=True)
class MailboxListing:
    """The newest messages held for one mailbox, and the number of all of them.

    at_least: the mailbox was not read completely, so `total` counts only the rows read; there may be more.
    others: the number of messages that were read and are left out, because they are not new.
    reached: where a search stopped early, by the time of the last message that it looked at.
    """

    newest: tuple[HeldMessage, ...]
    total: int
    at_least: bool = False
    others: int = 0
    reached: datetime | None = None
