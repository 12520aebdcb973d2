"""What a short mail repeats of a held message: facts, and the text that its sender wrote, safe to show."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Self

from quarantine.held import HeldMessage, HoldReason
from quarantine.mail.addresses import Address
from quarantine.mail.lenient import Sender, parse_sender
from quarantine.mail.links import defanged
from quarantine.mail.text import clean_text, clipped

_LONGEST_NAME, _LONGEST_SUBJECT = 80, 200


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
        sender = parse_sender(message.sender)
        return cls(
            mailbox=message.recipient,
            received_at=message.received_at.astimezone(zone),
            kept_until=message.expires_at and message.expires_at.astimezone(zone),
            reason=message.reason,
            sender=Sender(clipped(defanged(sender.name), _LONGEST_NAME), defanged(sender.address)),
            claims_address=sender.claims_address,
            subject=clipped(defanged(clean_text(message.subject)), _LONGEST_SUBJECT),
        )


def zone_of(offset: timedelta) -> timezone:
    """Return the UTC offset of a reader as a time zone; UTC for one that no clock has."""
    return timezone(offset) if abs(offset) < timedelta(days=1) else UTC
