"""The commands of docs/operating.md, run unchanged on an empty emulator, lead to a report for Bob.

Features that the emulator lacks are configured in the environment, or left out:

- `PARAMETERS`: without a receipt rule (it receives no mail) and an identity (it makes no DKIM tokens), for
  this machine's processor. SES knows the sender's domain beforehand.
- `quarantine activate` and `doctor`: the emulator has no rule sets. tests/ops/ simulates AWS for both.

`y` is the operator's answer when SAM asks whether to deploy.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.deploy.emulation import (
    ARCHITECTURE,
    REGION,
    Emulator,
    environment,
    eventually,
    running,
    with_numbers,
)

PROJECT = Path(__file__).parents[2]
INSTALL = (PROJECT / "docs/operating.md").read_text().partition("## Install")[2].partition("\n## ")[0]

pytestmark = pytest.mark.deployed


def commands() -> list[str]:
    """Return the lines of the guide's installation, except those that need a receipt rule."""
    blocks = re.findall(r"```console\n(.*?)```", INSTALL, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.strip().splitlines()]
    return [line for line in lines if not line.endswith(("activate", "doctor"))]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    with running(tmp_path, {}) as emulator:
        boto3.client("sesv2", region_name=REGION, endpoint_url=emulator.url).create_email_identity(
            EmailIdentity="reports.example.com"
        )
        yield emulator


def test_the_guide_ends_in_a_report_for_bob(emulator: Emulator, tmp_path: Path) -> None:
    here = f"CreateIdentity=false CreateReceiptRule=false Architecture={ARCHITECTURE}"
    script = "\n".join(commands()).replace("CreateIdentity=true", here)
    assert here in script
    uv = os.environ.get("UV", "uv")
    path = os.pathsep.join([str(Path(uv).parent), environment(tmp_path)["PATH"]])
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=PROJECT,
        env=environment(tmp_path)
        | {"AWS_ENDPOINT_URL": emulator.url, "PATH": path, "UV_PYTHON": sys.executable},
        input="y\ny\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    with_numbers(boto3.client("lambda", region_name=REGION, endpoint_url=emulator.url))
    (report,) = eventually(lambda: emulator.get("ses/messages")["messages"].get("000000000000"))
    assert report["To"] == ["bob@example.com"]
    assert "Invoice 1187" in report["BodyText"]
