"""Which actions a row offers, and the address of each."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from quarantine.acting.offers import NOTHING_OFFERED, Policy, address_of, offered
from quarantine.acting.reference import Reference
from quarantine.acting.rules import USER_ACTIONS, Action
from quarantine.held import HeldMessage, HoldReason
from quarantine.mail.addresses import Address

MESSAGE = HeldMessage(
    recipient=Address.parse("bob@example.com"),
    message_id="m",
    received_at=datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
    sender="eve@evil.example",
    subject="Hello",
    reason=HoldReason.SPAM,
    expires_at=None,
    code="abcdefghijklmnop",
    is_stored=True,
)
ROW_ALONE = replace(MESSAGE, is_stored=False)
PHISH = replace(MESSAGE, reason=HoldReason.PHISHING)
PREVIEW, RELEASE, DELETE, ASK = Action.PREVIEW, Action.RELEASE, Action.DELETE, Action.ASK
POLICY = Policy(frozenset(Action), frozenset({HoldReason.SPAM}))


@pytest.mark.parametrize(
    ("message", "policy", "expected"),
    [
        pytest.param(MESSAGE, POLICY, (PREVIEW, RELEASE, DELETE), id="all"),
        pytest.param(ROW_ALONE, POLICY, (DELETE,), id="no stored mail"),
        pytest.param(replace(MESSAGE, code=None), POLICY, (), id="no code"),
        pytest.param(replace(ROW_ALONE, code=None), POLICY, (), id="neither"),
        pytest.param(replace(MESSAGE, is_releasing=True), POLICY, (), id="on its way"),
        pytest.param(PHISH, POLICY, (PREVIEW, DELETE), id="not releasable"),
        pytest.param(PHISH, replace(POLICY, reasons=frozenset(HoldReason)), USER_ACTIONS, id="releasable"),
        pytest.param(MESSAGE, replace(POLICY, reasons=frozenset()), (PREVIEW, DELETE), id="no reason is"),
        pytest.param(MESSAGE, replace(POLICY, actions=frozenset({RELEASE})), (RELEASE,), id="release alone"),
        pytest.param(PHISH, replace(POLICY, actions=frozenset({RELEASE})), (), id="release, not releasable"),
        pytest.param(MESSAGE, NOTHING_OFFERED, (), id="switched off"),
        pytest.param(MESSAGE, replace(POLICY, actions=frozenset()), (), id="no action"),
    ],
)
def test_what_is_offered(message: HeldMessage, policy: Policy, expected: tuple[Action, ...]) -> None:
    assert offered(message, policy) == expected


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("reason", HoldReason)
def test_nothing_is_offered_that_the_policy_refuses(action: Action, reason: HoldReason) -> None:
    message = replace(MESSAGE, reason=reason)
    assert (action in offered(message, POLICY, {"example.com"})) == POLICY.allows(action, reason)


@pytest.mark.parametrize(
    ("message", "administered", "expected"),
    [
        pytest.param(PHISH, {"example.com"}, (PREVIEW, DELETE, ASK), id="of the domain"),
        pytest.param(PHISH, {"*"}, (PREVIEW, DELETE, ASK), id="of everybody"),
        pytest.param(PHISH, {"other.example"}, (PREVIEW, DELETE), id="of another domain"),
        pytest.param(PHISH, set(), (PREVIEW, DELETE), id="there are none"),
        pytest.param(MESSAGE, {"example.com"}, (PREVIEW, RELEASE, DELETE), id="releasable without asking"),
        pytest.param(replace(PHISH, is_stored=False), {"example.com"}, (DELETE,), id="not stored"),
    ],
)
def test_asking_takes_the_place_of_a_release(
    message: HeldMessage, administered: set[str], expected: tuple[Action, ...]
) -> None:
    assert offered(message, POLICY, administered) == expected


def test_who_may_not_release_may_not_ask() -> None:
    policy = replace(POLICY, actions=frozenset({PREVIEW, DELETE}))
    assert offered(PHISH, policy, {"example.com"}) == (PREVIEW, DELETE)


@pytest.mark.parametrize("action", Action)
def test_an_address_names_the_action_and_the_message(action: Action) -> None:
    reference = Reference(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), "abcdefghijklmnop")
    address = address_of(action, reference, "reports.example.com")
    assert str(address) == f"{action}-1795426200-abcdefghijklmnop@reports.example.com"
    assert Address.parse(str(address)) == address
    assert Reference.parse(address.local.partition("-")[2]) == reference
