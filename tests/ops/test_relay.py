import pytest

from tests.ops.conftest import Terminal


def test_a_network_is_added_listed_and_removed(terminal: Terminal) -> None:
    assert terminal("relay", "add", "Example.com", "192.0.2.0/24", "--note", "Exchange") == 0
    (row,) = terminal.json("relay", "list")
    assert (row["principal"], row["network"], row["note"]) == ("example.com", "192.0.2.0/24", "Exchange")
    assert row["updated_at"] == "2026-11-23T12:00:00+00:00"
    assert terminal("relay", "remove", "example.com", "192.0.2.0/24") == 0
    assert terminal.json("relay", "list") == []


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        pytest.param("192.0.2.7", "192.0.2.7/32", id="address"),
        pytest.param("192.0.2.7/24", "192.0.2.0/24", id="host bits"),
        pytest.param("2001:DB8:0::/48", "2001:db8::/48", id="IPv6"),
    ],
)
def test_a_network_is_written_in_canonical_cidr(terminal: Terminal, network: str, expected: str) -> None:
    assert terminal("relay", "add", "example.com", network) == 0
    assert expected in terminal.warned
    assert [row["network"] for row in terminal.json("relay", "list", "example.com")] == [expected]


def test_what_is_covered_is_not_added(terminal: Terminal) -> None:
    terminal("relay", "add", "example.com", "192.0.2.0/24")
    assert terminal("relay", "add", "example.com", "192.0.2.7") == 0
    assert "already covered by 192.0.2.0/24" in terminal.said
    assert len(terminal.json("relay", "list")) == 1


@pytest.mark.parametrize(
    ("domain", "network", "warning"),
    [
        pytest.param("*", "192.0.2.7", "anybody at any domain", id="every domain"),
        pytest.param("example.com", "10.0.0.0/8", "16777216 addresses", id="wide"),
        pytest.param("example.com", "2001:db8::/32", "addresses", id="wide IPv6"),
        pytest.param("example.com", "0.0.0.0/0", "4294967296 addresses", id="everything"),
    ],
)
def test_what_lets_strangers_in_has_to_be_meant(
    terminal: Terminal, domain: str, network: str, warning: str
) -> None:
    assert terminal("relay", "add", domain, network) == 3
    assert warning in terminal.warned
    assert terminal.json("relay", "list") == []
    assert terminal("relay", "add", domain, network, "--force") == 0
    assert len(terminal.json("relay", "list")) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("example.com", "192.0.2.0/33"),
        ("example.com", "mail.example.com"),
        ("localhost", "192.0.2.1"),
        ("a b", "::1"),
    ],
)
def test_bad_input_is_one_line(terminal: Terminal, arguments: tuple[str, str]) -> None:
    assert terminal("relay", "add", *arguments) == 2
    assert terminal.warned.startswith("error: ")
    assert terminal.warned.count("\n") == 1


def test_what_is_not_there_is_not_removed(terminal: Terminal) -> None:
    terminal("relay", "add", "example.com", "192.0.2.0/24")
    assert terminal("relay", "remove", "example.com", "198.51.100.0/24") == 3
    assert "it has 192.0.2.0/24" in terminal.warned


def test_a_stack_that_is_not_there_is_named(terminal: Terminal) -> None:
    terminal.operator = type(terminal.operator)(terminal.operator.session, "nowhere")
    assert terminal("relay", "list") == 1
    assert "no stack nowhere" in terminal.warned
