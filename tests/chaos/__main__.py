"""`python -m tests.chaos`: everything fails, and nothing may be lost. Exits with 1 if something is lost."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.box import HEAVY_HEAD, MARKDOWN
from rich.console import Console
from rich.table import Table

from quarantine.acting.ways import WayBack
from tests.chaos import actions, digests, objects, releases, requests
from tests.chaos.faults import Fault
from tests.chaos.mailserver import Mood
from tests.deploy.emulation import running

_EVERY = 100  # steps between two progress reports
_MOST_SHOWN = 20
_WIDTH = 110
type Row = tuple[str, object]


def main(arguments: list[str]) -> int:
    """Run the requested parts; all if none is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed is the same run")
    parser.add_argument("--requests", type=int, help="how many, through intake and report")
    parser.add_argument("--mailboxes", type=int, default=500, help="that they come from")
    parser.add_argument("--objects", type=int, help="how many, through hold")
    parser.add_argument("--actions", type=int, help="how many, through intake, act and feedback")
    parser.add_argument("--releases", type=int, help="how many, by a relay, and as many by agents")
    parser.add_argument("--digests", type=int, help="how many readers, for two months of scheduled reports")
    parser.add_argument("--emulator", action="store_true", help="over ministack, in place of moto")
    given = parser.parse_args(arguments)
    named = (given.requests, given.objects, given.actions, given.releases, given.digests)
    everything = not any(named)
    console = Console(
        file=sys.stdout, width=_WIDTH, highlight=False
    )  # of now: a run lets the functions print nowhere
    over = "ministack" if given.emulator else "moto"
    bad = 0
    if number := given.requests or (5000 if everything else 0):
        progress = _progress("requests came in")
        with _emulator(wanted=given.emulator) as url:
            of_requests = requests.run(given.seed, number, given.mailboxes, progress, endpoint_url=url)
        title = f"chaos over {over}, requests, seed {given.seed}"
        bad += _tell(console, title, _of_requests(of_requests), of_requests.violations)
    if number := given.objects or (10_000 if everything else 0):
        with _emulator(wanted=given.emulator) as url:
            of_objects = objects.run(given.seed, number, _progress("batches"), endpoint_url=url)
        title = f"chaos over {over}, objects, seed {given.seed}"
        bad += _tell(console, title, _of_objects(of_objects), of_objects.violations)
    if number := given.actions or (2000 if everything else 0):
        with _emulator(wanted=given.emulator) as url:
            of_actions = actions.run(given.seed, number, _progress("commands came in"), endpoint_url=url)
        title = f"chaos over {over}, actions, seed {given.seed}"
        bad += _tell(console, title, _of_actions(of_actions), of_actions.violations)
    if number := given.releases or (2000 if everything and not given.emulator else 0):
        for way in (WayBack.RELAY, WayBack.AGENT):
            of_releases = releases.run(given.seed, way, number, _progress(f"releases by {way} came in"))
            title = f"chaos over moto, releases by {way}, seed {given.seed}"
            bad += _tell(console, title, _of_releases(of_releases), of_releases.violations)
    if number := given.digests or (500 if everything and not given.emulator else 0):
        of_digests = digests.run(given.seed, number, progress=lambda day: _say(f"day {day}"))
        title = f"chaos over moto, scheduled reports, seed {given.seed}"
        bad += _tell(console, title, _of_digests(of_digests), of_digests.violations)
    return 1 if bad else 0


@contextmanager
def _emulator(*, wanted: bool) -> Iterator[str | None]:
    """Run an empty emulator and return its address; None if no emulator is wanted."""
    if not wanted:
        yield None
        return
    with TemporaryDirectory() as home, running(Path(home), {}) as emulator:
        yield emulator.url


def _say(text: str) -> None:
    Console(stderr=True, highlight=False).print(text, style="dim")


def _progress(what: str) -> Callable[[int], None]:
    began = time.monotonic()
    console = Console(stderr=True, highlight=False)

    def show(number: int) -> None:
        if number % _EVERY == 0:
            console.print(f"{number} {what}, {time.monotonic() - began:.0f} s", style="dim")

    return show


def _of_requests(account: requests.Account) -> Iterable[Row]:
    yield "requests", account.requests
    yield "AWS calls", account.calls
    yield from _of_faults(account.faults)
    for fate in (requests.Fate.ONCE, requests.Fate.TWICE, requests.Fate.EMPTY):
        yield fate, account.fates[fate]
    yield "reports sent again", account.sent_again
    yield "faults between SES and the row, which allow that", account.windows
    for word, number in sorted(account.fates.items()):
        if word.startswith(requests.Fate.REFUSED):
            yield word, number
    yield "jobs in the dead-letter queue, redriven", account.dead_jobs
    yield "events in IntakeFailures, redriven", account.dead_events
    yield "requests that had to be redriven", account.waited
    yield "lost", account.fates[requests.Fate.LOST]


def _of_objects(account: objects.Account) -> Iterable[Row]:
    yield "objects", account.objects
    yield "notifications", account.notifications
    yield "AWS calls", account.calls
    yield from _of_faults(account.faults)
    yield "rows", account.rows
    yield "failed too often, redriven", account.bad_luck
    yield "objects with a recipient missing or unreadable, in the dead-letter queue", account.rejected
    yield "messages there that say so", account.rejections
    yield "lost", account.lost


def _of_actions(account: actions.Account) -> Iterable[Row]:
    yield "commands", account.commands
    yield "AWS calls", account.calls
    yield from _of_faults(account.faults)
    yield "events of SES", account.events
    yield from sorted(account.outcomes.items())
    yield "mails sent again", account.sent_again
    yield "faults between SES and the row, which allow that", account.windows
    yield "in a dead-letter queue, redriven", account.redriven
    yield "lost", account.lost


def _of_releases(account: releases.Account) -> Iterable[Row]:
    yield "requests", account.requests
    yield "AWS calls", account.calls
    yield from _of_faults(account.faults)
    for mood in Mood:
        yield f"the mail server: {mood}", account.moods.get(mood, 0)
    if account.way is WayBack.AGENT:
        yield "agents that died", account.deaths
    yield from sorted(account.outcomes.items())
    yield "mails delivered again", account.delivered_again
    yield "between the server's yes and the row or the result, which allow that", account.windows
    yield "in a dead-letter queue, redriven", account.redriven
    yield "lost", account.lost


def _of_digests(account: digests.Account) -> Iterable[Row]:
    yield "readers", account.readers
    yield "days", account.days
    yield "held mails", account.held
    yield "AWS calls", account.calls
    yield from _of_faults(account.faults)
    yield "runs of digest with somebody due", account.ticks
    yield "digests", account.digests
    for how, number in sorted(account.told.items()):
        yield f"a held mail and a reader: {how}", number
    yield "mails sent again", account.sent_again
    yield "faults between SES and the row, which allow that", account.windows
    yield "latest digest, after its time or the last fault before it (s)", int(account.latest.total_seconds())
    yield "lost", account.lost


def _of_faults(faults: Mapping[Fault, int]) -> Iterable[Row]:
    for fault in Fault:
        yield f"fault: {fault}", faults.get(fault, 0)


def _tell(console: Console, title: str, rows: Iterable[Row], violations: list[str]) -> int:
    box = HEAVY_HEAD if console.is_terminal else MARKDOWN  # a log must be easy to paste
    table = Table(title=title, title_justify="left", box=box)
    table.add_column("what")
    table.add_column("", justify="right")
    for name, value in rows:
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    console.print(table)
    for each in violations[:_MOST_SHOWN]:
        console.print(f"violation: {each}", style="red", markup=False)
    if violations:
        console.print(f"{len(violations)} violations; the same arguments make the same run", style="red")
    return len(violations)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
