"""Peak memory of a warm process of each function, which contains only the function and its libraries."""

import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.bench.targets import Measured, Reached
from lab.bench.wire import Call, Canned, new_session

_EVENTS = 300  # of each everyday request
_ROOT = Path(__file__).parents[2]
_MEGABYTE = 1_000_000

TARGET = 120
METHOD = f"""\
VmHWM (Linux) of one process, started as for the start-up, which serves each everyday request {_EVENTS} times,
answered as for the CPU: without sockets and TLS, which add some megabytes. The target is {TARGET} MB.
"""


def measured(workload: Any) -> Measured:
    """Measure the processes of a lab.bench.workload.Workload, which the measured process does not import."""
    from rich.table import Table

    from lab.bench import startup

    rows = Table(title="Peak memory of a warm process, MB", title_justify="left")
    for name in ("function", "of", "MB"):
        rows.add_column(name, justify="right" if name == "MB" else "left")
    peaks = []
    with tempfile.TemporaryDirectory() as packages:
        startup.link_layer(Path(packages))
        for function in ("intake", "report"):
            work = pickle.dumps(
                [
                    (each.scenario.event, each.calls)
                    for each in workload.recordings
                    if each.scenario.function == function and each.scenario.common
                ]
            )
            for origin, paths in startup.origins(function, packages).items():
                done = subprocess.run(
                    [sys.executable, "-S", "-m", "lab.bench.memory"],
                    env=startup.environment(function, workload.environ, (*paths, str(_ROOT))),
                    input=work,
                    capture_output=True,
                    check=True,
                )
                peaks.append(int(done.stdout.splitlines()[-1]) / _MEGABYTE)
                rows.add_row(function, origin, f"{peaks[-1]:.0f}")
    return Measured(rows, [Reached("peak memory of a warm process, MB", TARGET, max(peaks))])


def _peak(work: Sequence[tuple[object, Sequence[Call]]]) -> int:
    """Serve it and return the peak in bytes."""
    import os

    import app  # type: ignore[import-not-found]  # of the function that PYTHONPATH names

    session = new_session()
    canned = Canned(session)
    handler = app.make_handler(os.environ, session)
    for event, calls in work:
        canned.play(calls)
        for _ in range(_EVENTS):
            handler(event, None)
    # Not ru_maxrss: a child inherits it from the process that forked it.
    (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak) * 1024


if __name__ == "__main__":
    print(_peak(pickle.load(sys.stdin.buffer)))  # noqa: S301 - written by measured()
