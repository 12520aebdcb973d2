"""`python -m lab.bench`: the functions' costs, as ratios measured in one run. Exits with 1 if S3 is called.

`python -m lab.bench importing`: the same for the operator's import; it takes some minutes.
`python -m lab.bench front`, `pipe`, `previewing`, `digesting`, `waiting`: only that part.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

from rich.box import MARKDOWN
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

_WIDTH = 200


def main() -> int:
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    start = time.perf_counter()
    # The functions log to stdout, as on Lambda: the figures include the writing, but not the terminal.
    with Path(os.devnull).open("w") as null, contextlib.redirect_stdout(null):
        status = _run(console)
    console.print(f"Measured in one run of {time.perf_counter() - start:.0f} s.")
    return status


def _run(console: Console) -> int:
    # Powertools opens stdout when the functions are imported, so stdout must be the null device before that.
    # botocore would sign with awscrt if another tool has installed it; the layer does not contain it.
    sys.modules["awscrt"] = None  # type: ignore[assignment]  # an import of it fails
    if sys.argv[1:] == ["importing"]:
        from lab.bench import importing

        _show(console, importing.table(), importing.METHOD)
        return 0
    if sys.argv[1:] == ["waiting"]:
        from lab.bench import bill, targets, waiting, workload

        environ = workload.record().environ
        both = waiting.measured(environ), bill.measured(environ)
        _show(console, both[0].table, waiting.METHOD)
        _show(console, both[1].table, bill.METHOD)
        _show(console, targets.table([*both[0].reached, *both[1].reached]), targets.METHOD)
        return 0
    if sys.argv[1:] in (["front"], ["pipe"], ["previewing"], ["digesting"]):
        from lab.bench import digesting, front, pipe, previewing, targets

        parts = {"front": front, "pipe": pipe, "previewing": previewing, "digesting": digesting}
        part = parts[sys.argv[1]]
        alone = part.measured()
        _show(console, alone.table, part.METHOD)
        _show(console, targets.table(alone.reached), targets.METHOD)
        return 0
    from lab.bench import (
        bill,
        calls,
        cpu,
        digesting,
        front,
        holding,
        memory,
        pipe,
        previewing,
        rendering,
        startup,
        targets,
        waiting,
        workload,
    )
    from quarantine.settings import ReportSettings

    work = workload.record()
    reached: list[targets.Reached] = []
    for measured, method in (
        (calls.measured(work), calls.METHOD),
        (startup.measured(work.environ), startup.METHOD),
        (cpu.measured(work), cpu.METHOD),
        (memory.measured(work), memory.METHOD),
        (holding.measured(work.environ), holding.METHOD),
        (waiting.measured(work.environ), waiting.METHOD),
        (bill.measured(work.environ), bill.METHOD),
        (rendering.measured(ReportSettings.from_environ(work.environ)), rendering.METHOD),
        (previewing.measured(), previewing.METHOD),
        (digesting.measured(), digesting.METHOD),
        (pipe.measured(), pipe.METHOD),
        (front.measured(), front.METHOD),
    ):
        _show(console, measured.table, method)
        reached += measured.reached
    _show(console, targets.table(reached), targets.METHOD)
    if asked := calls.s3_on_common_path(work):
        console.print(f"[bold red]S3 is called on the common path:[/] {', '.join(asked)}")
        return 1
    return 0


def _show(console: Console, table: Table, method: str) -> None:
    if not console.is_terminal:  # a log must be easy to paste
        table.box, table.show_lines = MARKDOWN, False
    console.print(table)
    console.print(Padding(" ".join(method.split()), (0, 2, 1, 2)), style="dim")


if __name__ == "__main__":
    sys.exit(main())
