"""`python -m tests.attacks`: runs everything and shows a table. Exits with 1 if any outcome is wrong."""

import contextlib
import io
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from aws_lambda_powertools import Logger
from rich.box import HEAVY_HEAD, MARKDOWN
from rich.console import Console
from rich.table import Table

from local.ses import GRAY
from tests.attacks.attack import ALL_PASS, Attack
from tests.attacks.families import ATTACKS, FAMILIES
from tests.attacks.trial import Carried, Events, Judgement, Outcome, judge, try_on_wire
from tests.local.serving import serving
from tests.shared_stack import REGION, empty_stack
from tests.world import World, new_session

_WIDTH = 160
_HERE = Path(__file__).parent
_VERDICTS = {"spf=GRAY": GRAY, "spam=PASS,virus=PASS,spf=PASS,dkim=PASS,dmarc=PASS": ALL_PASS}
_WRONG = [judgement for judgement in Judgement if not judgement.is_right]


class _Passed:
    """A pytest plugin that counts passed and failed tests."""

    def __init__(self) -> None:
        self.outcomes: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.outcomes[report.nodeid] = self.outcomes.get(report.nodeid, True) and not report.failed


def main() -> int:
    for function in ("intake", "report"):
        Logger(service=function).setLevel("CRITICAL")  # a line for each decision: the table has them
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    as_events, carried = _as_events(), list(_on_wire())
    on_wire = {name: outcome for each in carried for name, outcome in each.outcomes.items()}
    strays = [report for each in carried for report in each.strays]

    table = Table(
        title="Forged report requests: who received what",
        title_justify="left",
        box=HEAVY_HEAD if console.is_terminal else MARKDOWN,  # a log must be easy to paste
    )
    table.add_column("family")
    for name in ("cases", "events", "wire", "refused", "accepted rightly", *_WRONG):
        table.add_column(name, justify="right")
    for family, attacks in FAMILIES.items():
        judgements = _judgements(attacks, as_events) + _judgements(attacks, on_wire)
        carried_count = sum(attack.id in on_wire for attack in attacks)
        table.add_row(family, *_cells(len(attacks), len(attacks), carried_count, judgements))
    judgements = _judgements(ATTACKS, as_events) + _judgements(ATTACKS, on_wire)
    table.add_row("sum", *_cells(len(ATTACKS), len(as_events), len(on_wire), judgements))
    scenarios = {name: _scenarios(name) for name in ("test_loops.py", "test_races.py")}
    for name, (count, failed) in scenarios.items():
        title = name.removeprefix("test_").removesuffix(".py")
        table.add_row(f"{title} (scenarios)", str(count), str(count), "", "", "", str(failed), "", "")
    console.print(table)
    console.print("Refused and accepted count both forms. A scenario that fails counts as accepted wrongly.")

    wrong = [
        (form, attack, outcomes[attack.id])
        for form, outcomes in (("event", as_events), ("wire", on_wire))
        for attack in ATTACKS
        if attack.id in outcomes and not judge(attack.expected, outcomes[attack.id]).is_right
    ]
    for form, attack, outcome in wrong:
        console.print(f"[red]{form} {attack.id}[/]: {attack.trick}; expected {attack.expected}: {outcome}")
    for stray in strays:
        console.print(f"[red]a report that is due to nobody[/]: {stray}")
    return 1 if wrong or strays or any(failed for _, failed in scenarios.values()) else 0


def _as_events() -> dict[str, Outcome]:
    os.environ["AWS_DEFAULT_REGION"] = REGION
    with empty_stack() as stack, contextlib.redirect_stdout(io.StringIO()):  # the functions' metrics
        events = Events(World(new_session(), stack))
        return {attack.id: events.run(attack) for attack in ATTACKS}


def _on_wire() -> Iterator[Carried]:
    for argument, verdicts in _VERDICTS.items():
        attacks = [attack for attack in ATTACKS if attack.is_for_smtp and attack.verdicts == verdicts]
        with (
            tempfile.TemporaryDirectory() as directory,
            serving(Path(directory), "--verdicts", argument) as server,
        ):
            yield try_on_wire(server, attacks)


def _scenarios(name: str) -> tuple[int, int]:
    """Run a file of scenarios; return how many there are, and how many failed."""
    plugin = _Passed()
    with contextlib.redirect_stdout(io.StringIO()):
        code = pytest.main(["-q", "-p", "no:cacheprovider", str(_HERE / name)], plugins=[plugin])
    failed = sum(not passed for passed in plugin.outcomes.values())
    return len(plugin.outcomes), failed or int(code != pytest.ExitCode.OK)


def _judgements(attacks: Sequence[Attack], outcomes: Mapping[str, Outcome]) -> Counter[Judgement]:
    return Counter(judge(attack.expected, outcomes[attack.id]) for attack in attacks if attack.id in outcomes)


def _cells(cases: int, events: int, wire: int, judgements: Counter[Judgement]) -> list[str]:
    counts = [judgements[each] for each in (Judgement.REFUSED, Judgement.ACCEPTED_RIGHTLY, *_WRONG)]
    return [str(number) for number in (cases, events, wire, *counts)]


if __name__ == "__main__":
    sys.exit(main())
