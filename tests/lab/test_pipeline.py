"""The rules of the simulator, in mornings small enough to calculate by hand."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.simulation.load import LOADS, Load
from lab.simulation.pipeline import Durations, Fate, Morning, simulate
from lab.simulation.settings import Settings

FIVE_TRIES = Settings(visibility=180, max_receives=5, lease=60, maximum_concurrency=None)
AT_ONCE = Durations(intake=0, before_send=0, send=0, after_send=0, cold=0)


def summary(morning: Morning) -> list[tuple[Fate, float, int]]:
    return [(job.fate, job.ended_at - job.asked_at, job.received) for job in morning.jobs]


def test_a_report_takes_what_its_steps_take() -> None:
    steady = Durations(intake=1, before_send=2, send=4, after_send=8, cold=16, spread=0)
    morning = simulate([0, 100], FIVE_TRIES, 14, durations=steady)
    assert summary(morning) == [(Fate.SENT, 1 + 16 + 2 + 4, 1), (Fate.SENT, 1 + 2 + 4, 1)]


def test_a_throttled_job_comes_back_after_the_visibility_timeout() -> None:
    morning = simulate([0, 0, 0], FIVE_TRIES, 1, durations=AT_ONCE)
    assert summary(morning) == [(Fate.SENT, 0, 1), (Fate.SENT, 180, 2), (Fate.SENT, 360, 3)]
    assert morning.counts.throttled == 2 + 1


def test_it_is_hidden_from_when_it_was_received_and_not_from_when_it_failed() -> None:
    slow = replace(AT_ONCE, before_send=10, send=20, spread=0)
    morning = simulate([0, 0], FIVE_TRIES, 1, durations=slow)
    assert summary(morning) == [(Fate.SENT, 30, 1), (Fate.SENT, 180 + 30, 2)]


@pytest.mark.parametrize("max_receives", [1, 5, 20])
def test_a_job_that_fails_so_often_is_a_dead_letter(max_receives: int) -> None:
    morning = simulate([0], replace(FIVE_TRIES, max_receives=max_receives), 0, durations=AT_ONCE)
    assert summary(morning) == [(Fate.DEAD, 180 * max_receives, max_receives)]


def test_no_more_run_at_once_than_the_event_source_may_start() -> None:
    lasting = replace(AT_ONCE, before_send=10, spread=0)
    morning = simulate([0] * 7, replace(FIVE_TRIES, maximum_concurrency=3), 14, durations=lasting)
    assert [wait for _, wait, _ in summary(morning)] == [10, 10, 10, 20, 20, 20, 30]
    assert (morning.counts.most_running, morning.counts.runs) == (3, 7)


def test_no_more_run_at_once_than_the_account_may() -> None:
    lasting = replace(AT_ONCE, before_send=3000, spread=0)
    settings = replace(FIVE_TRIES, visibility=20_000, lease=10_000)
    morning = simulate([0] * 1500, settings, 10_000, durations=lasting)
    assert morning.counts.most_running == 1000
    assert morning.number(Fate.SENT) == 1500


def test_a_run_that_died_leaves_a_lease_that_is_over_when_its_job_comes_again() -> None:
    morning = simulate([0], FIVE_TRIES, 14, durations=AT_ONCE, deaths=1.0)
    assert summary(morning) == [(Fate.DEAD, 180 * 5, 5)]
    assert (morning.counts.died, morning.counts.busy) == (5, 0)


def test_a_run_that_failed_gives_the_request_back_and_its_lease_does_not_count() -> None:
    settings = replace(FIVE_TRIES, lease=179)  # from 5 s, when the new environments are up, to 184 s
    slow_to_start = replace(AT_ONCE, cold=5, spread=0)
    morning = simulate([0, 0], settings, 1, durations=slow_to_start)
    assert summary(morning) == [(Fate.SENT, 5, 1), (Fate.SENT, 180, 2)]


def test_a_job_that_comes_before_the_lease_is_over_waits_for_its_next_delivery() -> None:
    settings = replace(FIVE_TRIES, lease=179)
    uneven = replace(AT_ONCE, cold=20)
    morning = simulate([0] * 100, settings, 100, durations=uneven, deaths=1.0)
    assert morning.counts.busy > 0
    assert morning.counts.busy + morning.counts.died == morning.counts.runs == 5 * 100


def test_some_deaths_are_late_reports() -> None:
    morning = simulate(range(1000), FIVE_TRIES, 14, durations=AT_ONCE, deaths=0.01)
    assert morning.number(Fate.SENT) == 1000
    assert {round(wait) for _, wait, _ in summary(morning)} == {0, 180}


mornings = st.builds(
    lambda asked_at, max_receives, limit, in_order, rate, until: simulate(
        asked_at,
        Settings(visibility=180, max_receives=max_receives, lease=60, maximum_concurrency=limit),
        rate,
        deaths=0.05,
        in_order=in_order,
        until=until,
    ),
    asked_at=st.lists(st.floats(0, 60), max_size=60),
    max_receives=st.integers(1, 6),
    limit=st.none() | st.integers(2, 20),
    in_order=st.booleans(),
    rate=st.sampled_from([0, 1, 3, 14]),
    until=st.sampled_from([30.0, 300.0, 10_000.0]),
)


@settings(max_examples=50)
@given(mornings)
def test_no_request_is_lost_and_none_is_counted_twice(morning: Morning) -> None:
    assert len(morning.jobs) == sum(morning.number(fate) for fate in Fate)
    assert len(morning.waits()) == morning.number(Fate.SENT)


@pytest.mark.parametrize("in_order", [True, False], ids=["oldest first", "any"])
def test_the_order_of_the_queue_changes_who_waits_and_not_what_is_sent(in_order: bool) -> None:
    limited = replace(FIVE_TRIES, maximum_concurrency=3)
    steady = replace(AT_ONCE, send=0.25, spread=0)
    morning = simulate([0] * 240, limited, 14, durations=steady, in_order=in_order)
    assert (morning.number(Fate.SENT), morning.counts.throttled, morning.ended) == (240, 0, 240 / 3 * 0.25)


def test_the_queue_drains_no_faster_than_ses_sends() -> None:
    morning = simulate([0] * 1400, replace(FIVE_TRIES, maximum_concurrency=3), 14)
    assert morning.ended >= (1400 - 14) / 14


def test_the_oldest_request_without_an_answer_is_sampled() -> None:
    morning = simulate([0, 30], FIVE_TRIES, 0, durations=AT_ONCE, until=200)
    assert [(sample.at, sample.unanswered, sample.oldest) for sample in morning.samples] == [
        (0, 0, 0),
        (60, 2, 60),
        (120, 2, 120),
        (180, 2, 180),
    ]


def test_the_same_seed_is_the_same_morning() -> None:
    first, again, other = (simulate([0] * 50, FIVE_TRIES, 14, deaths=0.1, seed=seed) for seed in (1, 1, 2))
    assert summary(first) == summary(again) != summary(other)


def test_nobody_asks() -> None:
    assert simulate([], FIVE_TRIES, 14, until=60).jobs == []


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_a_load_is_its_share_in_order_within_the_hour(load: Load) -> None:
    asked_at = load.asked_at(users=10_000)
    assert len(asked_at) == round(10_000 * load.share)
    assert asked_at == sorted(asked_at) == load.asked_at(users=10_000)
    assert min(asked_at) >= 0
    assert max(asked_at) < 3600
