"""A stack in moto's memory, made from template.yaml, with the functions on it."""

from collections.abc import Iterator

import hypothesis
import pytest

from tests.shared_stack import REGION, empty_stack
from tests.world import World, new_session

# A deadline is about the machine: a loaded one is slow, and nothing is wrong.
hypothesis.settings.register_profile("everywhere", deadline=None)
hypothesis.settings.load_profile("everywhere")


@pytest.fixture(autouse=True)
def _no_real_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def world() -> Iterator[World]:
    with empty_stack() as stack:
        yield World(new_session(), stack)
