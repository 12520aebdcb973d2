"""One server for the tests that do not affect each other: each has its own requester."""

from collections.abc import Iterator

import pytest

from tests.local.serving import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose verdicts are all GRAY; 127.0.0.1 may relay for everyone."""
    with serving(tmp_path_factory.mktemp("serve")) as server:
        server.records.put_relay("*", "127.0.0.1/32")
        yield server
