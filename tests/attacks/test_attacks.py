"""Every case of the corpus, as an event and over the wire: only the honest requester gets an answer."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.ses import GRAY
from quarantine.asking.admission import Refusal
from quarantine.asking.event import Verdicts
from tests.attacks.attack import ALL_PASS, Accepted, Attack
from tests.attacks.families import ATTACKS, FAMILIES
from tests.attacks.trial import Events, Judgement, Outcome, Report, judge, try_on_wire
from tests.local.serving import serving
from tests.shared_stack import REGION, empty_stack
from tests.world import World, new_session


@pytest.fixture(scope="module")
def events() -> Iterator[Events]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", REGION)  # the fixture of tests/conftest.py is per test
        with empty_stack() as stack:
            yield Events(World(new_session(), stack))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_as_an_event(attack: Attack, events: Events) -> None:
    outcome = events.run(attack)
    assert judge(attack.expected, outcome).is_right, (attack.expected, outcome)


@pytest.mark.attack
@pytest.mark.parametrize(
    ("verdicts", "argument"),
    [
        pytest.param(GRAY, "spf=GRAY", id="gray"),
        pytest.param(ALL_PASS, "spam=PASS,virus=PASS,spf=PASS,dkim=PASS,dmarc=PASS", id="pass"),
    ],
)
def test_over_the_wire(verdicts: Verdicts, argument: str, tmp_path: Path) -> None:
    attacks = [attack for attack in ATTACKS if attack.is_for_smtp and attack.verdicts == verdicts]
    with serving(tmp_path, "--verdicts", argument) as server:
        carried = try_on_wire(server, attacks)
    wrong = {
        attack.id: carried.outcomes[attack.id]
        for attack in attacks
        if attack.id in carried.outcomes and not judge(attack.expected, carried.outcomes[attack.id]).is_right
    }
    assert (wrong, carried.strays) == ({}, ())
    lost = [attack.id for attack in attacks if attack.id not in carried.outcomes]
    assert not [
        attack.id for attack in attacks if attack.id in lost and isinstance(attack.expected, Accepted)
    ]


def test_the_corpus_is_large_and_each_case_is_named_and_has_a_source() -> None:
    assert len(ATTACKS) >= 150
    assert [name for name, count in Counter(attack.id for attack in ATTACKS).items() if count > 1] == []
    assert [attack.id for attack in ATTACKS if not (attack.source.strip() and attack.trick.strip())] == []


def test_two_cases_share_no_mailbox() -> None:
    """But alice@bank.example, for whom nothing is ever due, and our own addresses."""
    shared = Counter(
        mailbox
        for attack in ATTACKS
        for mailbox in ({attack.expected.requester} if isinstance(attack.expected, Accepted) else ())
    )
    assert [mailbox for mailbox, count in shared.items() if count > 1] == []


def test_each_refusal_but_the_cooldown_has_a_case() -> None:
    words = {attack.expected for attack in ATTACKS if isinstance(attack.expected, Refusal)}
    assert words == set(Refusal) - {Refusal.TOO_SOON}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_a_mail_that_is_rightly_accepted(family: str) -> None:
    assert any(isinstance(attack.expected, Accepted) for attack in FAMILIES[family])


_BOBS = Report(frozenset({"bob@x.example"}), frozenset())


@pytest.mark.parametrize(
    ("expected", "outcome", "judgement"),
    [
        (Refusal.SPAM, Outcome("spam", ()), Judgement.REFUSED),
        (Refusal.SPAM, Outcome("infected", ()), Judgement.OTHER_REASON),
        (Refusal.SPAM, Outcome("spam", (_BOBS,)), Judgement.ACCEPTED_WRONGLY),
        (Accepted("bob@x.example"), Outcome("spam", ()), Judgement.REFUSED_WRONGLY),
        (Accepted("bob@x.example"), Outcome("accepted", (_BOBS,)), Judgement.ACCEPTED_WRONGLY),
        (Accepted("eve@x.example"), Outcome("accepted", (_BOBS,)), Judgement.ACCEPTED_WRONGLY),
    ],
    ids=["refused", "other reason", "a report", "silence", "without his mail", "for another"],
)
def test_who_received_what_is_what_counts(
    expected: Refusal | Accepted, outcome: Outcome, judgement: Judgement
) -> None:
    assert judge(expected, outcome) == judgement
