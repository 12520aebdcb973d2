"""`python layers/pack.py .aws-sam/build`: make the output of `sam build` smaller and quicker to start.

Run it after each `sam build`. Without it, everything works the same, but starts more slowly. It removes data
of the libraries that no function reads, and never code. The measured effect of each step:
docs/decisions/0008-start-up.md.
"""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from compileall import compile_dir
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

SERVICES: Final = frozenset({"dynamodb", "s3", "secretsmanager", "sesv2", "sqs"})
"""The services that the functions use; tests/deploy/test_built.py compares it with their code."""

# What no function imports. Python compiles a module without byte code on import.
_NOT_COMPILED: Final = re.compile(
    r"/aws_lambda_powertools/(event_handler|utilities/(?!jmespath_utils)\w+)/"
    r"|/dateutil/(easter|rrule|tzwin|zoneinfo)\b|/idna/(__main__|cli|codec)\b|/publicsuffixlist/(test|update)\b"
)


def pack(build: Path) -> None:
    """Pack every layer and function of a build. Raises FileNotFoundError if there is no build."""
    layer = build / "QuarantineLayer" / "python"
    reduce_data(layer)
    _compile_templates(layer)
    _compile(layer, "/opt/python")
    for function in build.glob("*Function"):
        _compile(function, "/var/task")


def reduce_data(packages: Path) -> None:
    """Keep only the botocore data that the services in use need; no code uses boto3's resources."""
    data = packages / "botocore" / "data"
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in SERVICES:
            shutil.rmtree(folder)
    for name in ("data", "examples"):
        shutil.rmtree(packages / "boto3" / name, ignore_errors=True)
    for examples in data.rglob("examples-1.json*"):
        examples.unlink()
    # The time zones of dateutil, which only reads times and knows UTC here.
    (packages / "dateutil" / "zoneinfo" / "dateutil-zoneinfo.tar.gz").unlink(missing_ok=True)
    # The pages of Powertools' web documentation, for functions behind a web address.
    for page in (packages / "aws_lambda_powertools").glob("event_handler/openapi/swagger_ui/*.min.*"):
        page.unlink()
    # pip's lists of the files that it installed, of which many are gone.
    for record in packages.glob("*.dist-info/RECORD"):
        record.unlink()
    _reduce_endpoints(data)


def _reduce_endpoints(data: Path) -> None:
    """Keep only the services in use: before its first client, botocore reads the whole file (over 1 MB)."""
    prefixes = {
        json.loads(gzip.decompress(model.read_bytes()))["metadata"]["endpointPrefix"]
        for model in data.rglob("service-2.json.gz")
    }
    path = data / "endpoints.json"
    endpoints = json.loads(path.read_bytes())
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services if name in prefixes}
    path.write_text(json.dumps(endpoints, separators=(",", ":")))


def _compile_templates(packages: Path) -> None:
    """Compile the templates with the layer's own Jinja2: the generated code works only with that version."""
    subprocess.run(
        [
            sys.executable,
            "-S",
            "-B",
            "-c",
            "from quarantine.reporting import markup; markup.compile_templates()",
        ],
        env={"PYTHONPATH": str(packages.resolve()), "PATH": os.defpath},
        check=True,
    )


def _compile(folder: Path, deployed: str) -> None:
    """Compile a folder for its path on Lambda, without checks: packaging changes the files' times."""
    done = compile_dir(
        folder,
        maxlevels=20,
        force=True,
        quiet=1,
        rx=_NOT_COMPILED,
        stripdir=str(folder),
        prependdir=deployed,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not done:
        raise RuntimeError(f"not all of {folder} can be compiled")


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
