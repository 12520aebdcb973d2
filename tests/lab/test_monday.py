import pytest

from lab.simulation.monday import LONGEST_RUN, TICK, Wave, monday, waves


def test_the_sending_rate_decides_when_the_last_report_is_sent() -> None:
    result = monday([Wave(0, 14_000)], 14, made_a_second=1000)
    assert result.sent_late == 999
    assert result.asked_late == 13
    assert result.most_waiting == pytest.approx(14_000 - 14 * 14, rel=0.01)


def test_a_run_that_is_too_short_leaves_the_rest_to_the_next() -> None:
    readers = 100 * LONGEST_RUN + 1
    result = monday([Wave(0, readers)], 10_000, made_a_second=100)
    assert (result.runs, result.asked_late) == (2, TICK)


def test_time_zones_spread_the_peak() -> None:
    assert sum(wave.readers for wave in waves(300_000, 12)) == 300_000
    late = [monday(waves(300_000, zones), 14).sent_late for zones in (1, 12)]
    assert late[1] * 10 < late[0]


def test_waves_that_come_faster_than_they_are_sent_pile_up() -> None:
    result = monday(waves(24_000, 2), 3, made_a_second=1000)
    assert result.sent_late == pytest.approx(24_000 / 3 - 3600, abs=2)
