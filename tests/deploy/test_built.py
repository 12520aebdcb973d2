"""What `sam build` made starts as Lambda starts it: a function beside the layer, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
BUILD = PROJECT / ".aws-sam" / "build"
LAYER = BUILD / "QuarantineLayer" / "python"

REQUIRED = {
    "IntakeFunction": {
        "SENDERS_TABLE": "senders",
        "REQUESTS_TABLE": "requests",
        "JOBS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/jobs",
        "MAIL_BUCKET": "mail",
        "REPORT_SENDER": "quarantine@reports.example.com",
    },
    "ReportFunction": {
        "QUARANTINE_TABLE": "quarantine",
        "REQUESTS_TABLE": "requests",
        "REPORT_SENDER": "quarantine@reports.example.com",
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
    expected = sorted(it.name for it in (PROJECT / "layers/quarantine/quarantine/templates").glob("*.j2"))
    assert expected == sorted(it.name for it in (LAYER / "quarantine" / "templates").glob("*.j2"))
