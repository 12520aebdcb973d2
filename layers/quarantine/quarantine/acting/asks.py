"""What a reader asks the administrators for: to release a message that the reader may not release."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from quarantine.acting.reference import Reference
from quarantine.acting.rules import Ruling
from quarantine.held import HeldKey
from quarantine.mail.addresses import Address

LONGEST: Final = timedelta(days=7)
"""How long an administrator may answer."""


class AskState(StrEnum):
    """What became of an ask."""

    OPEN = "open"
    APPROVED = "approved"
    REFUSED = "refused"


RULED: Final[Mapping[Ruling, AskState]] = {
    Ruling.APPROVE: AskState.APPROVED,
    Ruling.REFUSE: AskState.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Ask:
    """An ask about one held message. Only one is open at a time.

    reference: of the ask, in the addresses that answer it; it is not that of the message.
    asker, request_id: who asked first, with which request. told: the administrators who got its mail.
    answered_by: an address, or the ARN of an operator. answered_for: the request with the answer.
    is_asker_told: whether the asker has heard of the answer.
    """

    held: HeldKey
    reference: Reference
    asker: Address
    request_id: str
    asked_at: datetime
    expires_at: datetime
    state: AskState = AskState.OPEN
    told: AbstractSet[str] = frozenset()
    answered_by: str | None = None
    answered_at: datetime | None = None
    answered_for: str | None = None
    is_asker_told: bool = False

    @property
    def mailbox(self) -> Address:
        return Address.parse(self.held.recipient)
