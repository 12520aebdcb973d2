"""Which AWS requests one event causes, and how many; the everyday events do not use S3."""

from collections.abc import Iterable, Iterator

from rich.table import Table

from lab.bench.targets import Measured, Reached
from lab.bench.workload import Recording, Workload

METHOD = """\
Counted at the wire: each `before-send` event of botocore, retries included, while the real handler
serves one event on moto, in a stack made from template.yaml. The row that it writes into the requests
table is checked, so that each line shows the outcome that it names. The rare path proves that the count
includes S3.
"""


def s3_on_common_path(workload: Workload) -> list[str]:
    """Return the names of the everyday scenarios that called S3; there should be none."""
    return [each.scenario.name for each in workload.recordings if each.scenario.common and _s3(each)]


_MOST = {"intake": 4, "report": 6}
_MOST_OF_ACTION = {"preview": 6, "release": 9, "delete": 6}


def measured(workload: Workload) -> Measured:
    return Measured(_table(workload), tuple(_reached(workload)))


def _reached(workload: Workload) -> Iterator[Reached]:
    """Compare the everyday request with the most calls, for each function."""
    for function, most in _MOST.items():
        counts = [
            len(each.calls)
            for each in workload.recordings
            if each.scenario.function == function and each.scenario.common
        ]
        yield Reached(f"{function}: AWS calls for an accepted request", most, max(counts))
    for each in workload.recordings:
        if each.scenario.function == "act":
            name = each.scenario.name
            yield Reached(f"act: AWS calls for a {name}", _MOST_OF_ACTION[name], len(each.calls))


def _table(workload: Workload) -> Table:
    rows = Table(title="AWS calls per request", title_justify="left", show_lines=True)
    for name, justify in (("function", "left"), ("request", "left"), ("calls", "right"), ("of S3", "right")):
        rows.add_column(name, justify=justify)  # type: ignore[arg-type]  # of two literals
    rows.add_column("which, in order")
    for each in workload.recordings:
        path = " (rare)" if each.scenario.function == "intake" and not each.scenario.common else ""
        rows.add_row(
            each.scenario.function,
            each.scenario.name + path,
            str(len(each.calls)),
            str(_s3(each)),
            _listed(map(str, each.calls)),
        )
    return rows


def _s3(recording: Recording) -> int:
    return sum(call.service == "s3" for call in recording.calls)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
