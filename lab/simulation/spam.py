"""An hour of spam with a Monday's requests beside it, in steps of a second: who gets the account's runs.

A model of rates, not of single mails. Hold takes its runs first, which is the worse case for requests.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

BATCH: Final = 10
"""Messages of a batch, as in the event source mapping."""

IN_TURN: Final = 0.445
"""Seconds of a batch whose mails are served one after the other, three calls each, if a call takes 10 ms."""

AT_ONCE: Final = 0.075
"""The same for a batch at once: `python -m lab.bench waiting`."""

A_REQUEST: Final = 0.3
"""Seconds of runs that a request takes: 0.1 of intake, 0.2 of report."""

HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Result:
    """How an hour goes. most_a_second: mails that hold can hold.

    waiting: mails without a row when the spam ends. late: seconds from the end of the spam to the last row.
    longest_wait: of a request, in seconds; None if not all are served within two hours.
    """

    most_a_second: float
    waiting: int
    late: int
    longest_wait: float | None


def hour(spam: int, batch_seconds: float, hold_runs: int, all_runs: int, asked_at: Iterable[float]) -> Result:
    """Return how an hour goes.

    spam: mails a second. batch_seconds: of a run of hold. hold_runs: `HoldConcurrency`. all_runs: the
    account's concurrency. asked_at: seconds at which somebody asks.
    """
    asked = Counter(int(moment) for moment in asked_at)
    a_run = BATCH / batch_seconds
    most = min(hold_runs, all_runs) * a_run
    waiting, work, longest, second, waiting_at_end = 0.0, 0.0, 0.0, 0, 0
    while second < HOUR or waiting > 0 or (work > 0 and second < 2 * HOUR):
        waiting += spam if second < HOUR else 0
        held = min(waiting, most)
        waiting -= held
        work += asked[second] * A_REQUEST
        free = all_runs - held / a_run
        longest = max(longest, work / free if free > 0 else float("inf"))
        work = max(0.0, work - free)
        second += 1
        if second == HOUR:
            waiting_at_end = round(waiting)
    return Result(most, waiting_at_end, second - HOUR, longest if longest < HOUR else None)
