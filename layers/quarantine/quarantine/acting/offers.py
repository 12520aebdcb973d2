"""Which actions a report offers on a held message, and the address that each is written to."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import assert_never

from quarantine.acting.reference import Reference
from quarantine.acting.rules import Action, Ruling
from quarantine.held import HeldMessage, HoldReason
from quarantine.mail.addresses import Address


@dataclass(frozen=True, slots=True)
class Policy:
    """What the administrator lets users do (the parameters UserActions and ReleaseReasons).

    actions: the actions that users may ask for; none switches acting by mail off.
    reasons: a message may be released if it is held for one of these reasons.
    """

    actions: frozenset[Action]
    reasons: frozenset[HoldReason]

    def allows(self, action: Action, reason: HoldReason) -> bool:
        """Return whether users may do this to a message that is held for this reason."""
        match action:
            case Action.PREVIEW | Action.DELETE:
                return action in self.actions
            case Action.RELEASE:
                return action in self.actions and reason in self.reasons
            case Action.ASK:  # it takes the place of a release that the reason forbids
                return Action.RELEASE in self.actions and reason not in self.reasons
            case _:
                assert_never(action)


@dataclass(frozen=True, slots=True)
class Offer:
    """An action on one message, and the address to write to for it."""

    action: Action
    address: Address


type Offering = Callable[[HeldMessage], tuple[Offer, ...]]
"""Says what is offered on a message."""

NOTHING_OFFERED = Policy(frozenset(), frozenset())


def offered(
    message: HeldMessage, policy: Policy, administered: AbstractSet[str] = frozenset()
) -> tuple[Action, ...]:
    """Return the actions that a report offers on a message, in the order in which it shows them.

    administered: the domains that have administrators; `*` for any other.
    """
    if message.is_releasing or message.code is None:
        return ()
    return tuple(
        action
        for action in Action
        if policy.allows(action, message.reason)
        and (message.is_stored or not _needs_mail(action))
        and (action is not Action.ASK or administered & {message.recipient.domain, "*"})
    )


def _needs_mail(action: Action) -> bool:
    match action:
        case Action.PREVIEW | Action.RELEASE | Action.ASK:
            return True
        case Action.DELETE:
            return False
        case _:
            assert_never(action)


def offers_on(
    message: HeldMessage, policy: Policy, domain: str, administered: AbstractSet[str] = frozenset()
) -> tuple[Offer, ...]:
    """Return what is offered on a message, with addresses at this domain. administered: see `offered`."""
    if message.code is None:
        return ()
    reference = Reference(message.received_at, message.code)
    return tuple(
        Offer(action, address_of(action, reference, domain))
        for action in offered(message, policy, administered)
    )


def address_of(action: Action | Ruling, reference: Reference, domain: str) -> Address:
    """Return the address to write to, such as `release-1795426200-abcdefghijklmnop@reports.example.com`."""
    return Address(f"{action.value}-{reference}", domain)
