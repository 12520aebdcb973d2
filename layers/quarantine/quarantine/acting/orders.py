"""What an operator orders for a user, who did not ask for it."""

from dataclasses import dataclass
from datetime import datetime

from quarantine.acting.reference import Reference
from quarantine.mail.addresses import Address


@dataclass(frozen=True, slots=True)
class ReleaseOrder:
    """Release a message to the mailbox that it was held for; no limit for users applies.

    request_id: as of a request, but not of a mail. operator: the ARN of who orders it, at `ordered_at`.
    """

    request_id: str
    operator: str
    mailbox: Address
    reference: Reference
    ordered_at: datetime
