"""Start-up of each function, beside a process that makes the same clients and nothing else."""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Literal, TypedDict

from rich.table import Table

from bench.figures import Spread, interleaved
from bench.wire import REGION

_ROOT = Path(__file__).parent.parent
_LAYER = _ROOT / "layers" / "quarantine"
_ROUNDS = 9

_TIMES: tuple[Literal["CPU"], Literal["wall"]] = ("CPU", "wall")
_NOTHING = "pass"
_BARE = "import boto3; session = boto3.Session(); clients = [session.client(name) for name in {clients!r}]"
_FUNCTION = "import app; app.handler"
_CLIENTS = {"intake": ("dynamodb", "s3", "sqs"), "report": ("dynamodb", "sesv2")}


def _named(clients: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{function}: {', '.join(names)}" for function, names in clients.items())


METHOD = f"""\
One process per sample, `python -S -c`, with the environment that Lambda sets and nothing of the shell's.
function: imports functions/<name>/app.py as `app` and asks it for its handler, which makes its clients.
bare: imports boto3 and makes the same clients ({_named(_CLIENTS)}). Both find what
the layer's requirements.txt names and nothing else that is installed: botocore takes longer where it finds
awscrt or pyOpenSSL. The interpreter's own start is in both; `pass` tells how much that is. CPU: user +
system of the child (getrusage). Median (least-most) of {_ROUNDS} rounds, in each of which every process is
started once, in turn; ratios and differences are taken within a round. All byte code was cached by a round
before, which does not count.
"""


class _Sample(TypedDict):
    """Milliseconds of one process."""

    CPU: float
    wall: float


def table(environ: Mapping[str, str]) -> Table:
    rows = Table(title="Start-up, ms", title_justify="left")
    for name in ("function", "time"):
        rows.add_column(name)
    for name in ("function", "bare", "function - bare", "function / bare", "pass"):
        rows.add_column(name, justify="right", no_wrap=True)
    with tempfile.TemporaryDirectory() as packages:
        _link_layer(Path(packages))
        samples = interleaved(_samplers(environ, packages), _ROUNDS)
    for function in _CLIENTS:
        for time_of in _TIMES:
            own, bare, nothing = (
                [sample[time_of] for sample in samples[name]]
                for name in (function, f"bare {function}", "pass")
            )
            rows.add_row(
                function,
                time_of,
                str(Spread.of(own)),
                str(Spread.of(bare)),
                str(Spread.of_differences(own, bare)),
                str(Spread.of_ratios(own, bare)),
                str(Spread.of(nothing)),
            )
    return rows


def _samplers(environ: Mapping[str, str], packages: str) -> dict[str, Callable[[], _Sample]]:
    samplers = {"pass": _sampler(_NOTHING, _lambda_environment("intake", environ, packages))}
    for name, clients in _CLIENTS.items():
        environment = _lambda_environment(name, environ, packages)
        samplers[f"bare {name}"] = _sampler(_BARE.format(clients=clients), environment)
        samplers[name] = _sampler(_FUNCTION, environment)
    return samplers


def _link_layer(packages: Path) -> None:
    """Fill a folder with links to what the layer's requirements name, as it is installed here."""
    requirements = (_LAYER / "requirements.txt").read_text()
    for name in re.findall(r"^([A-Za-z0-9._-]+)==", requirements, re.MULTILINE):
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            (packages / top).symlink_to(str(installed.locate_file(top)))


def _lambda_environment(function: str, environ: Mapping[str, str], packages: str) -> dict[str, str]:
    return {
        **environ,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_SESSION_TOKEN": "bench",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "POWERTOOLS_SERVICE_NAME": function,
        "POWERTOOLS_METRICS_NAMESPACE": "QuarantineReport",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": os.defpath,
        "PYTHONPATH": f"{_ROOT / 'functions' / function}:{_LAYER}:{packages}",
    }


def _sampler(code: str, environment: dict[str, str]) -> Callable[[], _Sample]:
    command = [sys.executable, "-S", "-c", code]

    def sample() -> _Sample:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return _Sample(CPU=cpu * 1000, wall=wall * 1000)

    return sample
