"""A stack in moto's memory, made from template.yaml, with the functions on it."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from local.stack import create_stack
from tests.world import World, new_session


@pytest.fixture(autouse=True)
def _no_real_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def world() -> Iterator[World]:
    with mock_aws():
        session = new_session()
        yield World(session, create_stack(session))
