"""One server for the tests that do not affect each other: each has its own requester."""

import signal
from collections.abc import Iterator

import pytest

from tests.local.serving import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose verdicts are all GRAY; 127.0.0.1 may relay for everyone.

    Its outbox is an empty folder when it starts, and SIGINT stops it.
    """
    directory = tmp_path_factory.mktemp("serve")
    (directory / "outbox").mkdir()
    with serving(directory) as server:
        server.records.put_relay("*", "127.0.0.1/32")
        yield server
        assert server.stop(signal.SIGINT) == (0, "")
