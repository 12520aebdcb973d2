"""The commands of docs/operating.md, run unchanged on an empty emulator, lead to a report for Bob.

Features that the emulator lacks are configured in the environment, or left out:

- `PARAMETERS`: without a receipt rule (it receives no mail) and an identity (it makes no DKIM tokens), for
  this machine's processor. SES knows the sender's domain beforehand.
- `quarantine activate` and `doctor`: the emulator has no rule sets. tests/ops/ simulates AWS for both.

`y` is the operator's answer when SAM asks whether to deploy. `aws` is the AWS CLI, in an environment of its
own, because its botocore differs from SAM's.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
GUIDE = (PROJECT / "docs/operating.md").read_text()
CAROL = "carol@example.com"
AWS_CLI = "awscli==1.46.3"

pytestmark = pytest.mark.deployed


def commands(section: str) -> list[str]:
    """Return the lines of a section of the guide, except those that need a receipt rule."""
    text = GUIDE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.strip().splitlines()]
    return [line for line in lines if not line.endswith(("activate", "doctor"))]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    with running(tmp_path, {}) as emulator:
        boto3.client("sesv2", region_name=REGION, endpoint_url=emulator.url).create_email_identity(
            EmailIdentity="reports.example.com"
        )
        yield emulator


def typed(lines: list[str], emulator: Emulator, home: Path) -> str:
    """Type lines of the guide into a shell that has no other AWS than the emulator; return what it shows."""
    here = f"CreateIdentity=false CreateReceiptRule=false Architecture={ARCHITECTURE}"
    script = "\n".join(lines).replace("CreateIdentity=true", here)
    assert here in script
    uv = os.environ.get("UV", "uv")
    programs = home / "bin"
    programs.mkdir()
    # The AWS CLI reads AWS_ENDPOINT_URL, but not for SQS.
    aws = f"{uv} tool run --quiet --python {sys.executable} --from {AWS_CLI} aws"
    (programs / "aws").write_text(f'#!/bin/sh\nexec {aws} --endpoint-url "$AWS_ENDPOINT_URL" "$@"\n')
    (programs / "aws").chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(uv).parent), environment(home)["PATH"]])
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=PROJECT,
        env=environment(home) | {"AWS_ENDPOINT_URL": emulator.url, "PATH": path, "UV_PYTHON": sys.executable},
        input="y\n" * 100_000,  # a program that asks once reads ahead
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def client(service: Any, emulator: Emulator) -> Any:
    return boto3.client(service, region_name=REGION, endpoint_url=emulator.url)


def test_the_guide_ends_in_a_report_for_bob(emulator: Emulator, tmp_path: Path) -> None:
    typed(commands("Install"), emulator, tmp_path)
    with_numbers(client("lambda", emulator))
    (report,) = eventually(lambda: emulator.get("ses/messages")["messages"].get("000000000000"))
    assert report["To"] == ["bob@example.com"]
    assert "Invoice 1187" in report["BodyText"]


def outputs(emulator: Emulator) -> dict[str, str]:
    (stack,) = client("cloudformation", emulator).describe_stacks(StackName="quarantine-report")["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def test_a_table_that_the_guide_restores_is_that_of_the_functions(emulator: Emulator, tmp_path: Path) -> None:
    install = [line for line in commands("Install") if "make deploy" in line or "PARAMETERS" in line]
    restore = commands("Restore a table")
    holding = [line for line in commands("Install") if "held add" in line]
    mail = tmp_path / "mail"
    mail.write_bytes(b"Subject: Later\n\n")
    bucket = "$(" + next(line for line in restore if "MAIL_BUCKET=" in line).partition("$(")[2]
    later = f'aws s3api put-object --bucket "{bucket}" --key held/later --body {mail}'
    later += f" --metadata recipients={CAROL}"
    said = typed([*install, *holding, later, *restore], emulator, tmp_path)
    assert "Invoice" in said.rpartition("held list bob@example.com")[2]
    found = outputs(emulator)
    assert found["QuarantineTableName"] == "quarantine-restored"
    functions = client("lambda", emulator)
    for name in ("ReportFunctionName", "HoldFunctionName"):
        configuration = functions.get_function_configuration(FunctionName=found[name])
        assert configuration["Environment"]["Variables"]["QUARANTINE_TABLE"] == "quarantine-restored"
    with_numbers(functions)
    dynamodb = client("dynamodb", emulator)
    query: Any = {
        "TableName": "quarantine-restored",
        "KeyConditionExpression": "recipient = :carol",
        "ExpressionAttributeValues": {":carol": {"S": CAROL}},
    }
    (row,) = eventually(lambda: dynamodb.query(**query)["Items"])  # S3 told of the mail, and so did the guide
    assert row["raw_key"] == {"S": "held/later"}
    tables = dynamodb.list_tables()["TableNames"]
    assert any("QuarantineTable" in name for name in tables)  # the table before stays
    table = dynamodb.describe_table(TableName="quarantine-restored")["Table"]
    assert table["DeletionProtectionEnabled"] is True
