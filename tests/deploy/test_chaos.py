"""A small chaos over the emulator: another DynamoDB, SQS, S3 and SES than moto's, and the same checks."""

from pathlib import Path

import pytest

from tests.chaos import objects, requests
from tests.deploy.emulation import running

pytestmark = [
    pytest.mark.deployed,
    # boto3's clients leave their connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_requests_come_to_the_same_end_as_over_moto(tmp_path: Path) -> None:
    over_moto = requests.run(seed=3, number=80, mailbox_count=30)
    with running(tmp_path, {}) as emulator:
        over_emulator = requests.run(seed=3, number=80, mailbox_count=30, endpoint_url=emulator.url)
    assert over_emulator.violations == []
    assert over_emulator == over_moto


def test_held_mails_have_their_rows(tmp_path: Path) -> None:
    with running(tmp_path, {}) as emulator:
        account = objects.run(seed=3, number=80, endpoint_url=emulator.url)
    assert account.violations == []
    assert account.rows > 80
