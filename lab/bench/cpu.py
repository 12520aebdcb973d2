"""CPU per event, beside that of the same bare AWS calls: the difference is the CPU of our own code."""

import gc
import time
from collections.abc import Callable

from rich.table import Table

from lab.bench.figures import Spread, interleaved
from lab.bench.targets import Measured, Reached
from lab.bench.wire import Bare, Canned, new_session
from lab.bench.workload import FUNCTIONS, HUNDRED_ROWS, Recording, Workload

_ROUNDS = 11
_SAMPLE_SECONDS = 0.06  # of each sample, about: many clock ticks, but shorter than most disturbances

METHOD = f"""\
CPU (process_time) of one warm process, in batches of about {_SAMPLE_SECONDS * 1000:.0f} ms. Both sides
get moto's recorded answers at botocore's level (`before-send`):
no network, no TLS, no moto. bare: the same calls with the same parameters on boto3 clients and nothing
else, so that it pays for botocore's validation, signing and parsing. own code = handler - bare: parsing,
rules, log and metrics (written to the null device), batch, rendering. Median (least-most) of {_ROUNDS}
rounds, A B A B; differences and ratios are taken within a round. awscrt is hidden
from botocore, as the layer does not ship it.
"""


_MOST_OF_INTAKE = 2  # ms of our own code, for any event
_MOST_OF_REPORT = 10  # ms, for the report of 100 rows


def measured(workload: Workload) -> Measured:
    rows = Table(title="CPU per event, ms", title_justify="left")
    for name in ("function", "request"):
        rows.add_column(name)
    for name in ("handler", "bare calls", "own code", "handler / bare"):
        rows.add_column(name, justify="right", no_wrap=True)
    reached = []
    for recording in workload.recordings:
        if recording.scenario.common:
            function, name = recording.scenario.function, recording.scenario.name
            handler, bare = _measure(recording, workload)
            own = Spread.of_differences(handler, bare)
            rows.add_row(
                function,
                name,
                str(Spread.of(handler)),
                str(Spread.of(bare)),
                str(own),
                str(Spread.of_ratios(handler, bare)),
            )
            if (most := _most(function, name)) is not None:
                reached.append(Reached(f"{function}: own CPU, ms, {name}", most, own.median))
    return Measured(rows, reached)


def _most(function: str, scenario: str) -> int | None:
    if function == "intake":
        return _MOST_OF_INTAKE
    return _MOST_OF_REPORT if scenario == HUNDRED_ROWS else None


def _measure(recording: Recording, workload: Workload) -> tuple[list[float], list[float]]:
    scenario = recording.scenario
    session, floor_session = new_session(), new_session()
    for each in (session, floor_session):
        Canned(each).play(recording.calls)
    handler = FUNCTIONS[scenario.function](workload.environ, session)
    bare = Bare(floor_session, recording.calls)

    def handle() -> None:
        handler(scenario.event, None)

    samples = interleaved({"handler": _sampler(handle), "bare": _sampler(bare)}, _ROUNDS)
    return samples["handler"], samples["bare"]


def _sampler(work: Callable[[], None]) -> Callable[[], float]:
    """Return a function that runs a batch of the work and returns the CPU of one item, in ms."""
    work()
    once = _cpu(work, 3)
    batch = max(3, round(_SAMPLE_SECONDS / once))
    return lambda: _cpu(work, batch) * 1000


def _cpu(work: Callable[[], None], times: int) -> float:
    gc.collect()  # so that no sample collects another's garbage
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times
