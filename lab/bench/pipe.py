"""The pipe beside the least that any such process needs: boto3 and one S3 client."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from rich.table import Table

from lab.bench.figures import Spread, interleaved
from lab.bench.front import process
from lab.bench.targets import Measured, Reached

_ROUNDS = 9
_ROOT = Path(__file__).parents[2]
_MAIL = b"From: Eve <eve@x.example>\r\nSubject: x\r\n\r\n" + b"text of a mail\r\n" * 250
_BARE = """
import boto3, sys
boto3.Session().client("s3").put_object(Bucket="mail", Key="held/1", Body=sys.stdin.buffer.read())
"""

METHOD = f"""\
A process that stores a mail of 4 KB in an S3 on this machine that answers at once, with byte code: CPU of
the child (os.times). pipe: `quarantine-hold --bucket mail --recipient bob@example.com < mail`. bare: a
script that imports boto3, makes an S3 client and puts the mail. a core: how many such processes one core
runs in a second. Median (least-most) of {_ROUNDS} rounds, A B A B; the ratio is taken within a round.
"""


def measured() -> Measured:
    rows = Table(title="The pipe", title_justify="left")
    for name in ("process", "CPU, ms", "/ bare", "a core"):
        rows.add_column(name, justify="left" if name == "process" else "right", no_wrap=True)
    with process("lab.bench.slow_s3", "0", port_first=True) as (port, _):
        environ = {
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "PATH": os.defpath,
        }
        bare = [sys.executable, "-c", _BARE]
        pipe = [sys.executable, "-m", "ops.hold", "--bucket", "mail", "--recipient", "bob@example.com"]
        samples = interleaved(
            {"bare": partial(_cpu, bare, environ), "pipe": partial(_cpu, pipe, environ)}, _ROUNDS
        )
    ratio = Spread.of_ratios(samples["pipe"], samples["bare"])
    for name, beside in (("bare", "1"), ("pipe", str(ratio))):
        spread = Spread.of(samples[name])
        rows.add_row(name, str(spread), beside, f"{1000 / spread.median:.1f}")
    return Measured(rows, [Reached("pipe: CPU, / a bare process with boto3", 1.15, ratio.median)])


def _cpu(command: list[str], environ: dict[str, str]) -> float:
    """Return the milliseconds of CPU of one process."""
    before = os.times()
    subprocess.run(command, input=_MAIL, cwd=_ROOT, env=environ, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return 1000 * (
        after.children_user - before.children_user + after.children_system - before.children_system
    )
