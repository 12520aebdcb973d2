"""One server for the tests that do not disturb each other: each has a requester of its own."""

from collections.abc import Iterator

import pytest

from tests.local.serving import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that says GRAY of everything; 127.0.0.1 may relay for everyone."""
    with serving(tmp_path_factory.mktemp("serve")) as server:
        server.records.put_relay("*", "127.0.0.1/32")
        yield server
