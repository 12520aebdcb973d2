"""A stack in moto's memory, made from template.yaml, with the functions on it."""

import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import hypothesis
import pytest
from moto.core.botocore_stubber import BotocoreStubber

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


@pytest.fixture(autouse=True, scope="session")
def _one_call_at_a_time() -> Iterator[None]:
    """moto is not made for threads: another one could write between a condition and what depends on it."""
    answer, lock = BotocoreStubber.__call__, threading.RLock()

    def answer_alone(self: BotocoreStubber, *arguments: Any, **named: Any) -> Any:
        with lock:
            return answer(self, *arguments, **named)

    with patch.object(BotocoreStubber, "__call__", answer_alone):
        yield


@pytest.fixture
def world() -> Iterator[World]:
    with empty_stack() as stack:
        yield World(new_session(), stack)
