"""What an operator orders for a user, who did not ask for it."""

from dataclasses import dataclass
from datetime import datetime

from quarantine.acting.reference import Reference
from quarantine.acting.rules import Action, Ruling
from quarantine.mail.addresses import Address


@dataclass(frozen=True, slots=True)
class Order:
    """Release a message to the mailbox that it was held for, or answer an ask; no limit for users applies.

    request_id: as of a request, but not of a mail. operator: the ARN of who orders it, at `ordered_at`.
    action: Action.RELEASE, or the answer. reference: of the message, or of the ask.
    """

    request_id: str
    operator: str
    mailbox: Address
    reference: Reference
    ordered_at: datetime
    action: Action | Ruling = Action.RELEASE
