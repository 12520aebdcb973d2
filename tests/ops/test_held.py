from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from quarantine.mail.addresses import Address
from quarantine.runtime import Journal
from quarantine.stores.quarantine import Quarantine
from tests.ops.conftest import Terminal
from tests.world import World

BOB = "bob@example.com"
ADD = ("held", "add", BOB, "--sender", "Eve <eve@spam.example>", "--subject", "Prize", "--reason", "spam")


@pytest.fixture
def held(world: World) -> World:
    """Four messages for Bob, an hour apart, one of each status; one for Alice."""
    now = world.clock.now
    messages: dict[str, dict[str, object]] = {
        "<held>": {},
        "<released>": {"status": "released"},
        "<deleted>": {"status": "deleted"},
        "<expired>": {"expires_at": int(now.timestamp())},
    }
    for age, (name, over) in enumerate(messages.items()):
        world.records.put_held(BOB, name, now - timedelta(hours=age), "e@x.example", f"Mail {age}", **over)
    world.records.put_held("alice@example.com", "<other>", now, "e@x.example", "Mail")
    return world


def ids(terminal: Terminal, *arguments: str, mailbox: str = BOB) -> list[str]:
    return [row["message_id"] for row in terminal.json("held", "list", mailbox, *arguments)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param((), ["<held>"], id="what the report shows"),
        pytest.param(("--all",), ["<held>", "<released>", "<deleted>", "<expired>"], id="all, newest first"),
        pytest.param(("--all", "--limit", "2"), ["<held>", "<released>"], id="limited"),
    ],
)
def test_a_list(held: World, terminal: Terminal, arguments: tuple[str, ...], expected: list[str]) -> None:
    assert ids(terminal, *arguments) == expected


def test_a_list_tells_that_there_is_more(held: World, terminal: Terminal) -> None:
    terminal("held", "list", BOB, "--all", "--limit", "3")
    assert "more than 3" in terminal.warned
    terminal("held", "list", BOB, "--all", "--limit", "4")
    assert terminal.warned == ""


def test_the_status_is_told(held: World, terminal: Terminal) -> None:
    rows = terminal.json("held", "list", BOB, "--all")
    assert [row["status"] for row in rows] == ["held", "released", "deleted", "expired"]


def test_hostile_text_does_not_reach_the_terminal(world: World, terminal: Terminal) -> None:
    world.records.put_held(BOB, "<1@x>", world.clock.now, "e@x", "\x1b[2J\u202egnp.exe [red]x")
    terminal("held", "list", BOB)
    assert "\x1b" not in terminal.said
    assert "\u202e" not in terminal.said
    assert "[red]x" in terminal.said


def test_a_row_that_no_report_can_read_is_listed(world: World, terminal: Terminal) -> None:
    item = {"recipient": BOB, "entry": "x", "status": "held", "reason": 7, "expires_at": "soon"}
    world.records.put("QUARANTINE_TABLE", item)
    (row,) = terminal.json("held", "list", BOB)
    assert (row["reason"], row["kept_until"]) == (7, None)


def test_what_is_added_is_what_report_reads(world: World, terminal: Terminal) -> None:
    time = "2026-11-22T13:00:00+01:00"
    assert terminal(*ADD, "--message-id", "<1@x>", "--received-at", time, "--days", "3") == 0
    store = Quarantine(
        world.session.client("dynamodb"),
        world.stack.environ["QUARANTINE_TABLE"],
        Journal("test", "Tests", "quarantine").unreadable,
    )
    (message,) = store.held_for(Address.parse(BOB), world.clock.now, 10).newest
    assert (message.message_id, message.subject, message.received_at.isoformat()) == (
        "<1@x>",
        "Prize",
        "2026-11-22T12:00:00+00:00",
    )
    assert message.expires_at == message.received_at + timedelta(days=3)
    assert terminal(*ADD, "--message-id", "<1@x>", "--received-at", time) == 3  # it is there


def test_two_added_without_an_id_are_two(terminal: Terminal) -> None:
    assert [terminal(*ADD), terminal(*ADD)] == [0, 0]
    assert len(ids(terminal)) == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param((*ADD, "--received-at", "yesterday"), 2, id="no time"),
        pytest.param((*ADD, "--days", "0"), 2, id="no days"),
        pytest.param((*ADD[:-1], "ugly"), 2, id="no reason"),
        pytest.param(("held", "add", "bob", *ADD[3:]), 2, id="no address"),
        pytest.param(("held", "list", "bob"), 2, id="no address to list"),
        pytest.param(("held", "purge", BOB), 2, id="purge of what"),
        pytest.param(("held", "purge", BOB, "--all", "--before", "2026-11-23"), 2, id="purge of both"),
        pytest.param(("held", "purge", BOB, "--before", "noon", "--yes"), 2, id="purge before no time"),
    ],
)
def test_bad_input(terminal: Terminal, arguments: tuple[str, ...], code: int) -> None:
    assert terminal(*arguments) == code
    assert ids(terminal, "--all") == []


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        pytest.param(("--all",), [], id="all"),
        pytest.param(("--before", "2026-11-23T11:00:00Z"), ["<held>", "<released>"], id="before a time"),
        pytest.param(
            ("--before", "2026-11-23T12:00:00+01:00"), ["<held>", "<released>"], id="with an offset"
        ),
        pytest.param(
            ("--before", "2020-01-01"), ["<held>", "<released>", "<deleted>", "<expired>"], id="nothing"
        ),
    ],
)
def test_a_purge(held: World, terminal: Terminal, arguments: tuple[str, ...], left: list[str]) -> None:
    answer = terminal.json("held", "purge", BOB, "--yes", *arguments)
    assert answer["deleted"] == 4 - len(left)
    assert ids(terminal, "--all") == left
    assert ids(terminal, mailbox="alice@example.com") == ["<other>"]


def test_a_purge_keeps_what_came_in_the_second_that_it_names(world: World, terminal: Terminal) -> None:
    for entry in ("2026-11-23T10:59:59.999Z#a", "2026-11-23T11:00:00Z#b", "2026-11-23T11:00:00.500Z#c"):
        name = entry.partition("#")[2]
        world.records.put_held(BOB, name, world.clock.now, "e@x.example", "Mail", entry=entry)
    assert terminal.json("held", "purge", BOB, "--before", "2026-11-23T11:00:00Z", "--yes")["deleted"] == 1
    assert sorted(ids(terminal, "--all")) == ["b", "c"]


@pytest.mark.parametrize(("answer", "code", "left"), [(True, 0, 0), (False, 3, 4)])
def test_a_purge_asks(  # noqa: PLR0917
    held: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, answer: bool, code: int, left: int
) -> None:
    monkeypatch.setattr("typer.confirm", lambda question, **_: answer and "Delete 4 rows" in question)
    assert terminal("held", "purge", BOB, "--all") == code
    assert len(ids(terminal, "--all")) == left


def test_a_purge_of_many(world: World, terminal: Terminal) -> None:
    for number in range(60):  # three batches
        world.records.put_held(BOB, f"<{number}>", world.clock.now, "e@x.example", "Mail")
    assert terminal.json("held", "purge", BOB, "--all", "--yes")["deleted"] == 60
    assert ids(terminal, "--all") == []


# --- How long it is kept ---


@pytest.fixture
def set_days(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Let the stack have another parameter."""

    def set_(name: str, value: str) -> None:
        parameters = [
            each | {"ParameterValue": value} if each["ParameterKey"] == name else each
            for each in terminal.operator.stack["Parameters"]
        ]
        stack = {**terminal.operator.stack, "Parameters": parameters}
        monkeypatch.setattr("ops.operator.Operator.stack", stack)

    return set_


@pytest.mark.parametrize(
    ("parameter", "days", "code"),
    [
        pytest.param(("LongestRetentionDays", "30"), "30", 0, id="as long as the stack keeps any"),
        pytest.param(("LongestRetentionDays", "30"), "31", 1, id="longer"),
        pytest.param(("LongestRetentionDays", "3649"), "3650", 1, id="longer by a day"),
        pytest.param(("LongestRetentionDays", "3650"), "3650", 0, id="as long as a stack can"),
        pytest.param(("LongestRetentionDays", ""), "30", 0, id="a stack without the parameter"),
        pytest.param(("BulkRetentionDays", "90"), "90", 0, id="as long as another reason"),
    ],
)
def test_nothing_is_kept_longer_than_reports_list_it(
    terminal: Terminal, set_days: Callable[[str, str], None], parameter: tuple[str, str], days: str, code: int
) -> None:
    set_days(*parameter)
    now = terminal.operator.clock()
    received_at = now - timedelta(days=int(days)) + timedelta(seconds=1)
    assert terminal(*ADD, "--received-at", received_at.isoformat(), "--days", days) == code
    assert ("LongestRetentionDays" in terminal.warned) is bool(code)
    listed = replace(terminal.operator).quarantine.held_for(Address.parse(BOB), now, 9)
    assert len(listed.newest) == 1 - code


def test_an_import_is_kept_no_longer_than_reports_list_it(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(b"Delivered-To: bob@example.com\nSubject: x\n\nText")
    assert terminal("held", "import", str(tmp_path), "--reason", "spam", "--days", "31") == 1
    assert "reports list no message that is older than 30 days" in terminal.warned
