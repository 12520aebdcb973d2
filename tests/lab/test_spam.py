import pytest

from lab.simulation.spam import HOUR, hour


def test_what_hold_cannot_hold_in_the_hour_it_holds_afterwards() -> None:
    result = hour(spam=1000, batch_seconds=0.5, hold_runs=20, all_runs=1000, asked_at=[])
    assert result.most_a_second == 400
    assert (result.waiting, result.late) == (600 * HOUR, 600 * HOUR // 400)


def test_a_batch_that_takes_less_time_holds_more() -> None:
    result = hour(spam=1000, batch_seconds=0.1, hold_runs=20, all_runs=1000, asked_at=[])
    assert (result.most_a_second, result.waiting, result.late) == (2000, 0, 0)


def test_requests_get_what_hold_leaves() -> None:
    asked_at = [1.0] * 100  # thirty seconds of runs
    apart = hour(spam=1000, batch_seconds=0.5, hold_runs=5, all_runs=10, asked_at=asked_at)
    assert apart.longest_wait == pytest.approx(30 / 5)


def test_requests_wait_for_good_where_hold_takes_all() -> None:
    alone = hour(spam=1000, batch_seconds=0.5, hold_runs=10, all_runs=10, asked_at=[1.0])
    assert alone.longest_wait is None
