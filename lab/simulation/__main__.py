"""`python -m lab.simulation`: a Monday morning of a million users, as Markdown tables; the same each time.

Exits with 1 if a sized pipeline loses a report to the dead-letter queue.
"""

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lab.simulation import spam
from lab.simulation.load import AT_ONCE, LOADS, MONDAY, OUTAGE, USERS, Load
from lab.simulation.monday import monday, waves
from lab.simulation.pipeline import Durations, Fate, Morning, simulate
from lab.simulation.settings import Settings
from lab.simulation.spam import IN_TURN, hour
from local.stack import load_template

SEND_RATES = (14, 500)
_USUAL = Durations()
_FAST = Durations(before_send=0.05, send=0.05, after_send=0.01)
_SLOW = Durations(before_send=0.2, send=0.2, after_send=0.04)
_HALF_AN_HOUR = 30 * 60


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of a table."""

    load: Load
    send_rate: int
    name: str
    settings: Settings
    durations: Durations = _USUAL
    in_order: bool = True
    users: int = USERS

    def run(self) -> Morning:
        return simulate(
            self.load.asked_at(self.users),
            self.settings,
            self.send_rate,
            durations=self.durations,
            in_order=self.in_order,
        )


def unlimited(template: Settings) -> Settings:
    """Return the settings of a queue without sizing: no concurrency limit, and at most five receives."""
    return replace(template, maximum_concurrency=None, max_receives=5)


def sized(template: Settings, send_rate: float) -> Settings:
    """Return the settings for a sending rate: a fifth of it as runs, because each takes about 0.2 s."""
    return replace(template, maximum_concurrency=max(2, round(send_rate / 5)), max_receives=20)


def smaller(template: Settings) -> list[Scenario]:
    """Smaller companies, inside and outside SES's sandbox, with the settings for 14 a second."""
    return [
        Scenario(load, rate, f"{users:,} users, {load.name}", settings, users=users)
        for users in (100, 10_000)
        for load in (AT_ONCE, OUTAGE)
        for rate, settings in ((1, sized(template, 14)), (14, sized(template, 14)))
    ]


def mornings(template: Settings) -> list[Scenario]:
    """Each load at each rate, unlimited and sized."""
    return [
        Scenario(load, rate, name, settings)
        for load in LOADS
        for rate in SEND_RATES
        for name, settings in (("unlimited", unlimited(template)), ("sized", sized(template, rate)))
    ]


def margins(template: Settings) -> list[Scenario]:
    """The effect of each change alone, and the margin of both: 2 % in a minute, jobs in any order."""
    five, twenty = unlimited(template), sized(template, 14)
    three = replace(five, maximum_concurrency=twenty.maximum_concurrency)
    return [
        Scenario(AT_ONCE, rate, name, settings, durations, in_order=False)
        for rate, name, settings, durations in (
            (14, "unlimited, 20 receives", replace(five, max_receives=20), _USUAL),
            (14, "unlimited, visibility 900 s", replace(five, visibility=900), _USUAL),
            (14, "3 runs, 5 receives", three, _USUAL),
            (14, "3 runs, 5 receives, report twice as fast", three, _FAST),
            (7, "3 runs, 5 receives, half the rate is another's", three, _USUAL),
            (14, "sized, report twice as fast", twenty, _FAST),
            (14, "sized, report twice as slow", twenty, _SLOW),
            (7, "sized, half the rate is another's", twenty, _USUAL),
        )
    ]


# --- Tables ---

_HEAD = ("SES/s", "settings", "sent", "dead letters", "throttled", "most runs")
_WAITS = ("p50", "p95", "p99", "max", "last at")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def row(scenario: Scenario, morning: Morning) -> list[str]:
    waits = morning.waits()
    numbers = (
        morning.number(Fate.SENT),
        morning.number(Fate.DEAD),
        morning.counts.throttled,
        morning.counts.most_running,
    )
    return [
        str(scenario.send_rate),
        scenario.name,
        *(f"{number:,}" for number in numbers),
        *(_span(_quantile(waits, share)) for share in (0.5, 0.95, 0.99, 1.0)),
        _clock(morning.ended),
    ]


def ages(done: Sequence[tuple[Scenario, Morning]]) -> str:
    """Return the age of the oldest unanswered request, from 8:00 until the last is answered."""
    head = ["at", *(f"{scenario.send_rate}/s, {scenario.name}" for scenario, _ in done)]
    by_time = [{sample.at: sample.oldest for sample in morning.samples} for _, morning in done]
    end = max(morning.ended for _, morning in done)
    times = [at for at in range(0, round(end) + 300, 300) if at <= _HALF_AN_HOUR or at % 900 == 0]
    return table(head, [[_clock(at), *(_span(each.get(at, 0.0)) for each in by_time)] for at in times])


SPAM = 1000  # mails a second
HOLD_RUNS = 20  # the default of `HoldConcurrency`
ACCOUNTS = (10, 50, 100, 1000)  # runs at once: that of a new account is often 10
_HEAD_OF_SPAM = (
    "account's runs",
    "`HoldConcurrency`",
    "a batch",
    "mails a second, at most",
    "without a row after the hour",
    "last row after",
    "longest wait of a request",
)

DUE = 300_000
RATES = (14, 500, 2000)
_HEAD_OF_DIGESTS = (
    "zones",
    "SES/s",
    "last asked for after",
    "last sent after",
    "most waiting",
    "runs of digest",
)


def _digests(case: tuple[int, int]) -> list[str]:
    """Return the row of a Monday at 7:00. case: the number of time zones, and SES's rate."""
    zones, rate = case
    result = monday(waves(DUE, zones), rate)
    numbers = (f"{number:,}" for number in (result.most_waiting, result.runs))
    return [str(zones), f"{rate:,}", _hours(result.asked_late), _hours(result.sent_late), *numbers]


def _spam(case: tuple[int, str, float], asked_at: Sequence[float]) -> list[str]:
    """Return the row of an hour of spam. case: the account's runs, and how long a batch takes."""
    runs, name, seconds = case
    hold_runs = min(HOLD_RUNS, runs // 2)
    result = hour(SPAM, seconds, hold_runs, runs, asked_at)
    wait = "never served" if result.longest_wait is None else _span(result.longest_wait)
    return [
        f"{runs:,}",
        str(hold_runs),
        f"{name}, {seconds * 1000:.0f} ms",
        f"{result.most_a_second:,.0f}",
        f"{result.waiting:,}",
        _hours(result.late),
        wait,
    ]


def _hours(seconds: int) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the sorted values do not exceed."""
    return values[max(0, round(len(values) * share) - 1)] if values else 0.0


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def _clock(seconds: float) -> str:
    minutes = 8 * 60 + round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02}"


def main() -> int:
    start = time.perf_counter()
    template = Settings.from_template(load_template())
    print(f"template.yaml: {template}")
    print(f"unlimited: {unlimited(template)}")
    for rate in SEND_RATES:
        print(f"sized for {rate}/s: {sized(template, rate)}")
    done = [(scenario, scenario.run()) for scenario in mornings(template)]
    for load in LOADS:
        lines = [row(*each) for each in done if each[0].load is load]
        asked = round(USERS * load.share)
        print(f"\n{load.name}: {asked:,} of {USERS:,} users ask\n\n{table((*_HEAD, *_WAITS), lines)}")
    print(f"\n{OUTAGE.name}: age of the oldest request without an answer\n")
    print(ages([each for each in done if each[0].load is OUTAGE]))
    small = [(scenario, scenario.run()) for scenario in smaller(template)]
    print("\nSmaller companies, in SES's sandbox and out of it, sized for 14/s\n")
    print(table((*_HEAD, *_WAITS), [row(*each) for each in small]))
    done += (spare := [(scenario, scenario.run()) for scenario in margins(template)])
    print(f"\n{AT_ONCE.name}, the queue in no order: each change by itself, and what both bear\n")
    print(table((*_HEAD, *_WAITS), [row(*each) for each in spare]))
    print(f"\n{DUE:,} of {USERS:,} mailboxes have something new at 7:00, in one time zone or in twelve\n")
    print(
        table(_HEAD_OF_DIGESTS, list(map(_digests, ((zones, rate) for zones in (1, 12) for rate in RATES))))
    )
    print(f"\nAn hour of {SPAM:,} spams a second, and beside it {MONDAY.name}\n")
    cases = [(runs, *each) for runs in ACCOUNTS for each in (("in turn", IN_TURN), ("at once", spam.AT_ONCE))]
    asked_at = MONDAY.asked_at()
    print(table(_HEAD_OF_SPAM, [_spam(case, asked_at) for case in cases]))
    # Apart, because the tables are the same each time.
    print(f"\n{time.perf_counter() - start:.0f} s", file=sys.stderr)
    return int(any(each.name.startswith("sized") and morning.number(Fate.DEAD) for each, morning in done))


if __name__ == "__main__":
    sys.exit(main())
