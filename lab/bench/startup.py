"""Start-up of each function, beside a process that only makes the same clients."""

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Literal, TypedDict

from rich.table import Table

from lab.bench.figures import Spread, interleaved
from lab.bench.targets import Measured, Reached
from lab.bench.wire import REGION

_ROOT = Path(__file__).parents[2]
_LAYER = _ROOT / "layers" / "quarantine"
_BUILD = _ROOT / ".aws-sam" / "build"
_BUILT_LAYER = _BUILD / "QuarantineLayer" / "python"
_ROUNDS = 9
_UNCOMPILED = "built, no byte code"

_MOST_RATIO = 1.15
_MOST_SIZE = 15

_TIMES: tuple[Literal["CPU"], Literal["wall"]] = ("CPU", "wall")
_BARE = "import boto3; session = boto3.Session(); clients = [session.client(name) for name in {clients!r}]"
_FUNCTION = "import app; app.handler"
_CLIENTS = {"intake": ("dynamodb", "sqs"), "report": ("dynamodb", "sesv2"), "hold": ("dynamodb", "s3", "sqs")}


def _named(clients: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{function}: {', '.join(names)}" for function, names in clients.items())


METHOD = f"""\
One process per sample, `python -S -c`, with the environment that Lambda sets and nothing of the shell's.
function: imports app.py as `app` and asks it for its handler, which makes its clients.
bare: imports boto3 and makes the same clients ({_named(_CLIENTS)}). Both find what
the layer's requirements.txt names and nothing else that is installed: botocore takes longer where it finds
awscrt or pyOpenSSL. sources: this tree, with the libraries as they are installed. built: what `make build`
left in .aws-sam/build, when there is one, on both sides; its data is reduced, so that its bare process is
quicker too. "/ as installed" compares with the bare process of the sources: what a layer made by pip alone
would cost at least. built, no byte code: the same without what was compiled ahead, as every start on Lambda
would find it. The interpreter's own start is in both. CPU: user +
system of the child (getrusage). Median (least-most) of {_ROUNDS} rounds, in each of which every process is
started once, in turn; ratios and differences are taken within a round. All other byte code was cached by
a round before, which does not count.
"""


class _Sample(TypedDict):
    """Milliseconds of one process."""

    CPU: float
    wall: float


def measured(environ: Mapping[str, str]) -> Measured:
    size = _size()
    built = "nothing is built: run `make build`" if size is None else f"the built layer has {size:.1f} MB"
    rows = Table(title=f"Start-up, ms; {built}", title_justify="left")
    for name in ("function", "of", "time"):
        rows.add_column(name, no_wrap=True)
    for name in ("function", "bare", "function / bare", "/ as installed"):
        rows.add_column(name, justify="right", no_wrap=True)
    with tempfile.TemporaryDirectory() as packages, tempfile.TemporaryDirectory() as uncompiled:
        link_layer(Path(packages))
        _copy_uncompiled(Path(uncompiled))
        samplers: dict[str, Callable[[], _Sample]] = {}
        for function, clients in _CLIENTS.items():
            for origin, paths in origins(function, packages, uncompiled).items():
                surroundings = environment(function, environ, paths)
                if origin == _UNCOMPILED:
                    surroundings["PYTHONDONTWRITEBYTECODE"] = "1"  # as where Lambda mounts a layer
                samplers[f"bare {function} {origin}"] = _sampler(_BARE.format(clients=clients), surroundings)
                samplers[f"{function} {origin}"] = _sampler(_FUNCTION, surroundings)
        samples = interleaved(samplers, _ROUNDS)
    reached = [] if size is None else [Reached("the built layer unzipped, MB", _MOST_SIZE, size)]
    for name in samples:
        function, _, origin = name.partition(" ")
        if function in _CLIENTS:
            _add_rows(rows, function, origin, samples)
            own, bare = ([sample["CPU"] for sample in samples[of]] for of in (name, f"bare {name}"))
            ratio = Spread.of_ratios(own, bare)
            if origin != _UNCOMPILED:
                reached.append(
                    Reached(f"{function}: start-up, CPU, {origin}, / bare", _MOST_RATIO, ratio.median)
                )
    return Measured(rows, reached)


def _add_rows(rows: Table, function: str, origin: str, samples: Mapping[str, Sequence[_Sample]]) -> None:
    for time_of in _TIMES:
        own, bare, installed = (
            [sample[time_of] for sample in samples[name]]
            for name in (
                f"{function} {origin}",
                f"bare {function} {origin}",
                f"bare {function} sources",
            )
        )
        rows.add_row(
            function,
            origin,
            time_of,
            str(Spread.of(own)),
            str(Spread.of(bare)),
            str(Spread.of_ratios(own, bare)),
            str(Spread.of_ratios(own, installed)),
        )


def origins(function: str, packages: str, uncompiled: str = "") -> dict[str, Sequence[str]]:
    """Return the search path for each origin of a function; the build only if there is one.

    uncompiled: a copy of the build without byte code.
    """
    origins: dict[str, Sequence[str]] = {
        "sources": (str(_ROOT / "functions" / function), str(_LAYER), packages)
    }
    if _BUILT_LAYER.is_dir():
        origins["built"] = _built(_BUILD, function)
        if uncompiled:
            origins[_UNCOMPILED] = _built(Path(uncompiled), function)
    return origins


def _built(build: Path, function: str) -> Sequence[str]:
    return (str(build / f"{function.title()}Function"), str(build / "QuarantineLayer" / "python"))


def _copy_uncompiled(folder: Path) -> None:
    if _BUILT_LAYER.is_dir():
        shutil.copytree(_BUILD, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)


def _size() -> float | None:
    """Return the megabytes of the built layer, unzipped."""
    if not _BUILT_LAYER.is_dir():
        return None
    return sum(file.stat().st_size for file in _BUILT_LAYER.rglob("*") if file.is_file()) / 1_000_000


def link_layer(packages: Path) -> None:
    """Fill a folder with links to the installed packages that the layer's requirements name."""
    requirements = (_LAYER / "requirements.txt").read_text()
    for name in re.findall(r"^([A-Za-z0-9._-]+)==", requirements, re.MULTILINE):
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            (packages / top).symlink_to(str(installed.locate_file(top)))


def environment(function: str, environ: Mapping[str, str], paths: Sequence[str]) -> dict[str, str]:
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
        "PYTHONPATH": os.pathsep.join(paths),
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
