"""What act was asked to do, by a user or by an operator."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self, assert_never

from quarantine.acting.orders import Order
from quarantine.acting.reference import Reference
from quarantine.acting.rules import Action, Ruling
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ActionCommand, DigestCommand, ReportCommand, RulingCommand, WishCommand
from quarantine.asking.replying import ReplyContext
from quarantine.held import HeldKey
from quarantine.mail.addresses import Address
from quarantine.stores.requests import Claimed


@dataclass(frozen=True, slots=True)
class Asked:
    """A claimed action. attempt: 1 for the first claim.

    by: who asked, an address, or the ARN of an operator. requester: None for an operator, to whom no mail is
    sent, and whom no limit for users binds. mailbox: of an operator's order; a user's are read anew.
    held: the message, if a process noted it. waited: for an agent, in vain. administered: see Accepted.
    """

    request_id: str
    action: Action | Ruling
    reference: Reference
    by: str
    requester: Address | None
    mailbox: Address | None
    asked_at: datetime
    reply: ReplyContext
    attempt: int
    held: HeldKey | None
    waited: bool
    administered: frozenset[str] = frozenset()

    @property
    def is_limited(self) -> bool:
        """Whether the limits for users bind it: neither an operator nor an administrator who answers."""
        return self.requester is not None and not isinstance(self.action, Ruling)

    @classmethod
    def of(cls, claimed: Claimed) -> Self:
        match claimed.request:
            case Accepted():
                return cls._of_user(claimed.request, claimed)
            case Order():
                return cls._of_operator(claimed.request, claimed)
            case _:
                assert_never(claimed.request)

    @classmethod
    def _of_user(cls, request: Accepted, claimed: Claimed) -> Self:
        match request.command:
            case ActionCommand(action, reference):
                pass
            case RulingCommand(action, reference):
                pass
            case ReportCommand() | DigestCommand():
                raise AssertionError("claim_action claims no report")
            case WishCommand():
                raise AssertionError("a wish is about no message")
            case _:
                assert_never(request.command)
        return cls(
            request_id=request.request_id,
            action=action,
            reference=reference,
            by=str(request.requester),
            requester=request.requester,
            mailbox=None,
            asked_at=request.received_at,
            reply=request.reply,
            attempt=claimed.attempt,
            held=claimed.held,
            waited=claimed.waited,
            administered=request.administered,
        )

    @classmethod
    def _of_operator(cls, order: Order, claimed: Claimed) -> Self:
        return cls(
            request_id=order.request_id,
            action=order.action,
            reference=order.reference,
            by=order.operator,
            requester=None,
            mailbox=order.mailbox,
            asked_at=order.ordered_at,
            reply=ReplyContext(),
            attempt=claimed.attempt,
            held=claimed.held,
            waited=claimed.waited,
        )
