"""A Monday at 07:00: scheduled reports for all who have something new, in steps of a second.

A model of rates, not of single jobs: digest makes jobs, SES takes mails, and a job waits where the slower of
the two is. What one job goes through is in `pipeline`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TICK: Final = 300
"""Seconds from one run of digest to the next."""

MADE_A_SECOND: Final = 175.0
"""Readers that a run of digest serves in a second, if a call takes 10 ms: `python -m lab.bench digesting`."""

LONGEST_RUN: Final = 210
"""Seconds after which a run of digest begins no other page: its timeout without the time that it leaves."""


@dataclass(frozen=True, slots=True)
class Wave:
    """Readers who become due at one moment. at: seconds since the first wave."""

    at: int
    readers: int


@dataclass(frozen=True, slots=True)
class Result:
    """How late the last reader of any wave was asked for and was sent a report, in seconds.

    most_waiting: jobs on the queue at once. runs: of digest, with somebody due.
    """

    asked_late: int
    sent_late: int
    most_waiting: int
    runs: int


def waves(readers: int, zones: int) -> Sequence[Wave]:
    """Spread readers evenly over time zones that are an hour apart; 1 for all at the same moment."""
    return [Wave(zone * 3600, readers // zones) for zone in range(zones)]


def monday(due: Sequence[Wave], send_rate: float, made_a_second: float = MADE_A_SECOND) -> Result:
    """Return how a morning goes. send_rate: mails a second that SES takes. Readers are served in order."""
    ends = _ends(due)
    asked, sent, total = 0.0, 0.0, sum(wave.readers for wave in due)
    asked_late = sent_late = most_waiting = runs = 0
    second = 0
    while sent < total:
        is_due = float(sum(wave.readers for wave in due if wave.at <= second))
        into_tick = second % TICK
        runs += into_tick == 0 and asked < is_due
        if into_tick < LONGEST_RUN:
            asked = min(is_due, asked + made_a_second)
        sent = min(asked, sent + send_rate)
        second += 1
        most_waiting = max(most_waiting, round(asked - sent))
        for end, at in ends:
            if asked < end:
                asked_late = max(asked_late, second - at)
            if sent < end:
                sent_late = max(sent_late, second - at)
    return Result(asked_late, sent_late, most_waiting, runs)


def _ends(due: Sequence[Wave]) -> Sequence[tuple[int, int]]:
    """Return for each wave how many readers there are up to its last, and when it became due."""
    found, total = [], 0
    for wave in due:
        total += wave.readers
        found.append((total, wave.at))
    return found
