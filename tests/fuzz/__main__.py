"""Run the fuzz targets under atheris: `python -m tests.fuzz [--seconds N] [TARGET...]`.

Each runs in a separate process, from the seeds in corpus/, and ends when its time is over or at its first
finding. Its new corpus is deleted with its folder; the input of a finding is kept in build/fuzz/.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.fuzz.targets import TARGETS

PROJECT: Final = Path(__file__).parents[2]
FOUND: Final = PROJECT / "build/fuzz"
_LONGEST: Final = {  # bytes of an input
    "addresses": 2_000,
    "trace": 4_000,
    "event": 16_000,
    "header": 16_000,
    "release": 16_000,
    "report": 16_000,
    "preview": 16_000,
    "intake": 16_000,
    "shown": 2_000,
    "mbox": 4_000,
    "date": 300,
}
_START_UP: Final = 120  # seconds for imports, the seeds and a last slow input, on top of the time given
_COVERAGE = re.compile(r"^#\d+\s+\w+\s+cov: (\d+) ft: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a target.

    coverage, features: libFuzzer's counts of branches, and of branches with frequencies; after the seeds,
    and at the end. findings: the inputs that made it fail.
    """

    target: str
    executions: int
    per_second: int
    slowest: int
    coverage: tuple[int, int]
    features: tuple[int, int]
    ended: bool
    findings: tuple[Path, ...]
    output: str

    @property
    def is_clean(self) -> bool:
        """A target that did not run to its end is not clean, even without a finding."""
        return self.ended and not self.findings


def run(target: str, seconds: int) -> Run:
    FOUND.mkdir(parents=True, exist_ok=True)
    before = set(_found(target))
    with TemporaryDirectory() as learnt:
        command = [
            *(sys.executable, "-m", "tests.fuzz.one", target),
            *(f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024"),
            *(f"-max_len={_LONGEST[target]}", "-len_control=0", "-print_final_stats=1"),
            *(f"-artifact_prefix={FOUND}/{target}-", learnt, str(Path(__file__).parent / "corpus" / target)),
        ]
        try:
            done = subprocess.run(
                command,
                cwd=PROJECT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds + _START_UP,
                check=False,
            )
            ended, output = done.returncode == 0, done.stdout
        except subprocess.TimeoutExpired as e:  # libFuzzer's own -timeout cannot stop a regex in C
            ended, output = False, e.stdout or b""
    return _read(target, ended, output.decode("utf-8", "replace"), set(_found(target)) - before)


def _found(target: str) -> Iterator[Path]:
    return FOUND.glob(f"{target}-*")


def _read(target: str, ended: bool, output: str, findings: set[Path]) -> Run:
    seen = [(int(coverage), int(features)) for coverage, features in _COVERAGE.findall(output)] or [(0, 0)]
    return Run(
        target,
        executions=_stat("number_of_executed_units", output),
        per_second=_stat("average_exec_per_sec", output),
        slowest=_stat("slowest_unit_time_sec", output),
        coverage=(seen[0][0], seen[-1][0]),
        features=(seen[0][1], seen[-1][1]),
        ended=ended,
        findings=tuple(sorted(findings)),
        output=output,
    )


def _stat(name: str, output: str) -> int:
    match = re.search(rf"^stat::{name}:\s+(\d+)", output, re.MULTILINE)
    return int(match[1]) if match else 0


def table(runs: list[Run]) -> Table:
    shown = Table("target", title="fuzzing: from the seeds to the end")
    for column in ("executions", "exec/s", "slowest s", "coverage", "features", "findings"):
        shown.add_column(column, justify="right", no_wrap=True)
    for each in runs:
        shown.add_row(
            each.target,
            *(str(count) for count in (each.executions, each.per_second, each.slowest)),
            *(f"{seeds} → {end}" for seeds, end in (each.coverage, each.features)),
            str(len(each.findings)) if each.ended or each.findings else "did not end",
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="for each target; 30")
    parser.add_argument("target", nargs="*", help=f"of {', '.join(TARGETS)}; all")
    arguments = parser.parse_args()
    if unknown := set(arguments.target) - set(TARGETS):
        parser.error(f"no target: {', '.join(sorted(unknown))}")
    runs = [run(target, arguments.seconds) for target in arguments.target or TARGETS]
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a log has no width of its own
    for each in runs:
        if not each.is_clean:
            console.print(each.output[-4000:], markup=False, highlight=False)
    console.print(table(runs))
    for finding in (path for each in runs for path in each.findings):
        console.print(f"finding: {finding.relative_to(PROJECT)}", soft_wrap=True)
    sys.exit(0 if all(each.is_clean for each in runs) else 1)


if __name__ == "__main__":
    main()
