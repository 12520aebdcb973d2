"""A message in the quarantine: why it is held, where it stands, and what is known of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from quarantine.mail.addresses import Address

_YEARS = range(1970, 9999)  # a day less than datetime can hold, so that every UTC offset can be added


class HoldReason(StrEnum):
    """Why the mail filter held a message; the report's templates say it to a person."""

    SPAM = "spam"  # unwanted advertising, by its content or its source
    PHISHING = "phishing"  # it imitates someone, to get at passwords or money
    VIRUS = "virus"  # it carries harmful code
    BULK = "bulk"  # newsletters and other mail to many
    POLICY = "policy"  # a rule of the organization: a file type, a size, a country
    BLOCKED = "blocked"  # its sender is on a block list of the organization


class HeldStatus(StrEnum):
    """Where a message in the quarantine stands."""

    HELD = "held"  # reports list it
    RELEASED = "released"  # it was delivered after all
    DELETED = "deleted"  # by its user or the filter


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """One message in the quarantine of one recipient.

    sender, subject: decoded text as it was in the mail: hostile.
    received_at, expires_at: aware; expires_at is when it is deleted, None when no time is set.

    Raises ValueError for a time without an offset, or in a year that no mail has.
    """

    recipient: Address
    message_id: str
    received_at: datetime
    sender: str
    subject: str
    reason: HoldReason
    expires_at: datetime | None

    def __post_init__(self) -> None:
        for time in filter(None, (self.received_at, self.expires_at)):
            if time.utcoffset() is None or time.year not in _YEARS:
                raise ValueError(f"not the time of a mail: {time.isoformat()}")


@dataclass(frozen=True, slots=True)
class MailboxListing:
    """The newest messages held for one mailbox, and how many there are in all.

    at_least: the mailbox was not read to its end, so `total` counts what was seen and there may be more.
    """

    newest: tuple[HeldMessage, ...]
    total: int
    at_least: bool = False
