"""What each action does to a message in each state."""

from datetime import datetime, timedelta

import pytest

from quarantine.acting.rules import STEPS, Action, State, Step, state_of
from quarantine.held import HeldStatus
from tests.world import NOW

LATER, EARLIER = NOW + timedelta(minutes=1), NOW - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("status", "expires_at", "lease_until", "state"),
    [
        pytest.param(HeldStatus.HELD, LATER, None, State.HELD, id="held"),
        pytest.param(HeldStatus.HELD, None, None, State.HELD, id="held for ever"),
        pytest.param(HeldStatus.HELD, NOW, None, State.EXPIRED, id="expires at this moment"),
        pytest.param(HeldStatus.RELEASING, LATER, LATER, State.RELEASING, id="on its way"),
        pytest.param(HeldStatus.RELEASING, LATER, NOW, State.HELD, id="its lease is over"),
        pytest.param(HeldStatus.RELEASING, LATER, None, State.HELD, id="releasing without a lease"),
        pytest.param(HeldStatus.RELEASING, EARLIER, LATER, State.EXPIRED, id="expired on its way"),
        pytest.param(HeldStatus.RELEASED, LATER, EARLIER, State.RELEASED, id="released"),
        pytest.param(HeldStatus.RELEASED, EARLIER, None, State.EXPIRED, id="released, expired"),
        pytest.param(HeldStatus.DELETED, LATER, None, State.DELETED, id="deleted"),
        pytest.param(HeldStatus.DELETED, EARLIER, None, State.EXPIRED, id="deleted, expired"),
    ],
)
def test_the_state_of_a_row(
    status: HeldStatus, expires_at: datetime | None, lease_until: datetime | None, state: State
) -> None:
    assert state_of(status, expires_at, lease_until, NOW) is state


def test_only_a_held_message_is_delivered() -> None:
    assert [state for state in State if STEPS[state][Action.RELEASE] is Step.DELIVER] == [State.HELD]


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", [State.DELETED, State.EXPIRED])
def test_nothing_happens_to_a_message_that_is_gone(state: State, action: Action) -> None:
    assert STEPS[state][action] not in {Step.SHOW, Step.DELIVER, Step.DELETE}


def test_what_is_on_its_way_is_not_deleted() -> None:
    assert STEPS[State.RELEASING][Action.DELETE] is Step.TELL_ON_ITS_WAY
