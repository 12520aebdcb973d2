"""What a user may do to a held message, and what each action does to a message in each status."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from quarantine.acting.answers import Answer
from quarantine.held import HeldStatus


class Action(StrEnum):
    """What a user can do to a held message: the word in an address, and the command of a request."""

    PREVIEW = "preview"  # read it as text; it stays held
    RELEASE = "release"  # have it delivered to the mailbox that it was held for
    DELETE = "delete"  # have no report list it any more
    ASK = "ask"  # ask the administrators to release it, where its reader may not


USER_ACTIONS: Final = (Action.PREVIEW, Action.RELEASE, Action.DELETE)
"""The actions that UserActions can name; who may release may ask for what they may not release."""


class Ruling(StrEnum):
    """What an administrator can answer to an ask: the word in an address, and the command of a request."""

    APPROVE = "approve"  # have the message delivered to the mailbox that it was held for
    REFUSE = "refuse"  # leave it held, and say so to who asked


class State(StrEnum):
    """The status of a message at the moment of an action."""

    HELD = "held"  # also while the lease of a release is over
    RELEASING = "releasing"  # another request delivers it
    RELEASED = "released"
    DELETED = "deleted"
    EXPIRED = "expired"  # DynamoDB has not removed its row yet


class Step(StrEnum):
    """What an action does; all but the first four only answer."""

    SHOW = "show"  # answers with the text of the message
    DELIVER = "deliver"  # held -> releasing -> released
    DELETE = "delete"  # -> deleted
    ASK = "ask"  # asks the administrators
    TELL_ON_ITS_WAY = Answer.ON_ITS_WAY.value
    TELL_RELEASED = Answer.RELEASED_BEFORE.value
    TELL_DELETED = Answer.DELETED_BEFORE.value
    TELL_EXPIRED = Answer.EXPIRED.value


STEPS: Final[Mapping[State, Mapping[Action, Step]]] = MappingProxyType(
    {
        State.HELD: {
            Action.PREVIEW: Step.SHOW,
            Action.RELEASE: Step.DELIVER,
            Action.DELETE: Step.DELETE,
            Action.ASK: Step.ASK,
        },
        State.RELEASING: {
            Action.PREVIEW: Step.SHOW,
            Action.RELEASE: Step.TELL_ON_ITS_WAY,
            Action.DELETE: Step.TELL_ON_ITS_WAY,
            Action.ASK: Step.TELL_ON_ITS_WAY,
        },
        State.RELEASED: {
            Action.PREVIEW: Step.SHOW,
            Action.RELEASE: Step.TELL_RELEASED,
            Action.DELETE: Step.DELETE,
            Action.ASK: Step.TELL_RELEASED,
        },
        State.DELETED: {
            Action.PREVIEW: Step.TELL_DELETED,
            Action.RELEASE: Step.TELL_DELETED,
            Action.DELETE: Step.TELL_DELETED,
            Action.ASK: Step.TELL_DELETED,
        },
        State.EXPIRED: {
            Action.PREVIEW: Step.TELL_EXPIRED,
            Action.RELEASE: Step.TELL_EXPIRED,
            Action.DELETE: Step.TELL_EXPIRED,
            Action.ASK: Step.TELL_EXPIRED,
        },
    }
)
"""What each action does to a message in each state; docs/reference.md prints the same table."""


OLDEST: Final = timedelta(hours=24)
"""How old the mail that asked for an action may be; an older one, such as a redriven letter, does nothing."""


def state_of(
    status: HeldStatus, expires_at: datetime | None, lease_until: datetime | None, now: datetime
) -> State:
    """Return the state of a row. lease_until: of a release that has begun; None for none."""
    if expires_at is not None and expires_at <= now:
        return State.EXPIRED
    if status is HeldStatus.RELEASING and (lease_until is None or lease_until <= now):
        return State.HELD
    return State(status.value)
