"""What a short mail repeats of a held message: facts, and the text that its sender wrote, safe to show."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Self

from quarantine.held import HeldMessage, HoldReason
from quarantine.mail.addresses import Address
from quarantine.mail.lenient import Sender
from quarantine.previewing.headline import headline_of


@dataclass(frozen=True, slots=True)
class QuotedMessage:
    """received_at, kept_until: in the requester's own UTC offset. sender, subject: defanged and cut."""

    mailbox: Address
    received_at: datetime
    kept_until: datetime | None
    reason: HoldReason
    sender: Sender
    claims_address: bool
    subject: str

    @classmethod
    def of(cls, message: HeldMessage, zone: timezone) -> Self:
        headline = headline_of(message.sender, message.subject)
        return cls(
            mailbox=message.recipient,
            received_at=message.received_at.astimezone(zone),
            kept_until=message.expires_at and message.expires_at.astimezone(zone),
            reason=message.reason,
            sender=headline.sender,
            claims_address=headline.claims_address,
            subject=headline.subject,
        )


def zone_of(offset: timedelta) -> timezone:
    """Return the UTC offset of a reader as a time zone; UTC for one that no clock has."""
    return timezone(offset) if abs(offset) < timedelta(days=1) else UTC
