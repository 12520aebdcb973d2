"""The output of `sam build` starts as on Lambda: a function with the layer, and nothing else."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from importlib.util import cache_from_source
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
BUILD = PROJECT / ".aws-sam" / "build"
LAYER = BUILD / "QuarantineLayer" / "python"
TEMPLATES = LAYER / "quarantine" / "reporting" / "templates"

REQUIRED = {
    "IntakeFunction": {
        "SENDERS_TABLE": "senders",
        "REQUESTS_TABLE": "requests",
        "MAILBOXES_TABLE": "mailboxes",
        "JOBS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/jobs",
        "ACTIONS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/actions",
        "MAIL_BUCKET": "mail",
        "REPORT_SENDER": "quarantine@reports.example.com",
        "STACK_NAME": "quarantine-report",
    },
    "ReportFunction": {
        "QUARANTINE_TABLE": "quarantine",
        "REQUESTS_TABLE": "requests",
        "MAILBOXES_TABLE": "mailboxes",
        "REPORTS_DOMAIN": "reports.example.com",
        "REPORT_SENDER": "quarantine@reports.example.com",
        "STACK_NAME": "quarantine-report",
    },
    "ActFunction": {
        "SENDERS_TABLE": "senders",
        "QUARANTINE_TABLE": "quarantine",
        "REQUESTS_TABLE": "requests",
        "MAILBOXES_TABLE": "mailboxes",
        "MAIL_BUCKET": "mail",
        "REPORTS_DOMAIN": "reports.example.com",
        "REPORT_SENDER": "quarantine@reports.example.com",
        "STACK_NAME": "quarantine-report",
    },
    "FeedbackFunction": {
        "QUARANTINE_TABLE": "quarantine",
        "REQUESTS_TABLE": "requests",
        "MAILBOXES_TABLE": "mailboxes",
        "CONFIGURATION_SET": "quarantine-report",
        "REPORTS_DOMAIN": "reports.example.com",
        "REPORT_SENDER": "quarantine@reports.example.com",
        "STACK_NAME": "quarantine-report",
    },
    "HoldFunction": {
        "MAIL_BUCKET": "mail",
        "QUARANTINE_TABLE": "quarantine",
        "SENDERS_TABLE": "senders",
        "MAILBOXES_TABLE": "mailboxes",
        "REPORTS_DOMAIN": "reports.example.com",
        "HELD_DEAD_LETTERS_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/dead",
        "RETENTION_DAYS": "spam=30,phishing=30,virus=30,bulk=30,policy=30,blocked=30",
        "STACK_NAME": "quarantine-report",
    },
    "DigestFunction": {
        "SENDERS_TABLE": "senders",
        "REQUESTS_TABLE": "requests",
        "MAILBOXES_TABLE": "mailboxes",
        "JOBS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/jobs",
        "REPORTS_DOMAIN": "reports.example.com",
        "STACK_NAME": "quarantine-report",
    },
}
"""The settings that have no default."""

pytestmark = [
    pytest.mark.built,
    pytest.mark.skipif(not BUILD.is_dir(), reason="nothing is built: run `make build`"),
]


def start(function: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Import the built handler in a Python that sees only it, the layer and the standard library."""
    return subprocess.run(
        [
            sys.executable,
            "-S",
            "-s",
            "-B",
            "-c",
            "import app; assert callable(app.handler); print(app.__file__)",
        ],
        env={
            "PYTHONPATH": os.pathsep.join([str(BUILD / function), str(LAYER)]),
            "AWS_DEFAULT_REGION": "eu-west-1",
            "POWERTOOLS_SERVICE_NAME": "test",
            "POWERTOOLS_METRICS_NAMESPACE": "QuarantineReport",
        }
        | settings,
        cwd=BUILD,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("function", REQUIRED)
def test_handler_starts(function: str) -> None:
    started = start(function, REQUIRED[function])
    assert (0, f"{BUILD / function / 'app.py'}\n") == (started.returncode, started.stdout), started.stderr


@pytest.mark.parametrize(
    ("function", "missing"),
    [
        pytest.param(function, name, id=f"{function}-{name}")
        for function, settings in REQUIRED.items()
        for name in settings
    ],
)
def test_missing_setting_is_named_at_start(function: str, missing: str) -> None:
    started = start(function, {name: value for name, value in REQUIRED[function].items() if name != missing})
    assert started.returncode != 0
    assert missing in started.stderr


def test_layer_has_what_the_report_is_rendered_from() -> None:
    source = PROJECT / "layers/quarantine/quarantine/reporting/templates"
    assert names_of(source) == names_of(TEMPLATES) != []


def names_of(templates: Path) -> list[str]:
    return sorted(str(path.relative_to(templates)) for path in templates.rglob("*.j2"))


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_layer_is_small() -> None:
    assert size(LAYER) < 15_000_000


def clients_in(source: str) -> set[str]:
    """Name the services that some code makes clients for."""
    return set(re.findall(r"\bclient[(,]\s*\"([a-z0-9-]+)\"", source))


def sources() -> Iterator[str]:
    for folder in ("functions", "layers/quarantine/quarantine"):
        for path in (PROJECT / folder).rglob("*.py"):
            yield path.read_text()


def test_layer_has_the_models_of_the_services_in_use_and_no_other() -> None:
    models = {path.name for path in (LAYER / "botocore" / "data").iterdir() if path.is_dir()}
    assert models == set.union(*map(clients_in, sources()))


SHOWN = """
import boto3, json
session = boto3.Session("key", "secret")
shown = {}
for service in ("dynamodb", "s3", "sesv2", "sqs"):
    for region in ("eu-west-1", "us-gov-west-1", "cn-north-1", "zz-future-1"):
        meta = session.client(service, region_name=region).meta
        shown[f"{service} {region}"] = [meta.endpoint_url, meta.partition, meta.config.signature_version]
    shown[service] = [each.name for each in meta.service_model.client_context_parameters]
print(json.dumps(shown))
"""


ZONES = """
import zoneinfo
zoneinfo.reset_tzpath(to=())  # as Lambda's runtime, which has none
print(zoneinfo.ZoneInfo("Australia/Lord_Howe").key)
"""


def test_layer_has_the_time_zones_that_the_runtime_lacks() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-c", ZONES],
        env={"PYTHONPATH": str(LAYER)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "Australia/Lord_Howe\n"


def shown(packages: Path) -> dict[str, list[object]]:
    """Describe boto3's clients, region by region, with the libraries of a folder."""
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-c", SHOWN],
        env={"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=True,
    )
    clients: dict[str, list[object]] = json.loads(done.stdout)
    return clients


def test_clients_are_those_of_the_whole_library() -> None:
    """The data removed from botocore changes no endpoint and no signature, in any partition."""
    whole = Path(str(distribution("botocore").locate_file("")))
    assert shown(whole) == shown(LAYER)


@pytest.mark.parametrize("built", [*(BUILD / function for function in REQUIRED), LAYER / "quarantine"])
def test_byte_code_is_there_and_is_not_checked_against_times(built: Path) -> None:
    """Lambda's file system is read-only, with its own file times (PEP 552: flags 1, unchecked)."""
    flags = {path.stem: Path(cache_from_source(str(path))).read_bytes()[4:8] for path in built.rglob("*.py")}
    assert {name: (1).to_bytes(4, "little") for name in flags} == flags


def test_templates_are_compiled() -> None:
    """Without the sources, the built layer renders from the compiled templates."""
    assert len(names_of(TEMPLATES)) == len(list((TEMPLATES / "compiled").glob("*.py"))) > 0
