from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.functions.actions import BOB, CAROL, DOMAIN, SALES, mails
from tests.functions.test_digest import NEW, hold, prove, reader, seven, tick
from tests.ops.conftest import Terminal
from tests.world import World

# Later than S3's own time.
NINE = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=1)
THREE_IN_BERLIN = NINE.astimezone(ZoneInfo("Europe/Berlin")).replace(hour=15)


@pytest.fixture
def terminal(terminal: Terminal, world: World) -> Terminal:
    world.clock.now = NINE
    world.records.put_relay("example.com", "192.0.2.0/24")
    return terminal


def schedule(terminal: Terminal, principal: str = "example.com", *more: str) -> Any:
    return terminal.json("digest", "set", principal, "--at", "07:00,15:00", "--zone", "Europe/Berlin", *more)


def test_a_schedule_is_set_listed_replaced_and_removed(terminal: Terminal) -> None:
    assert schedule(terminal, "example.com", "--days", "mon,tue", "--day", "fri", "--note", "asked for")[
        "zone"
    ] == ("Europe/Berlin")
    (row,) = terminal.json("digest", "list")
    assert row == {
        "principal": "example.com",
        "record": "digest",
        "at": ["07:00", "15:00"],
        "days": ["mon", "tue", "fri"],
        "zone": "Europe/Berlin",
        "off": False,
        "everyone": False,
        "note": "asked for",
        "updated_at": NINE.isoformat(),
    }
    assert terminal("digest", "set", "example.com", "--at", "06:30") == 0
    assert "06:30 every day, UTC" in terminal.said
    (row,) = terminal.json("digest", "list")
    assert (row["at"], row["zone"], len(row["days"])) == (["06:30"], "UTC", 7)
    assert terminal("digest", "off", "example.com") == 0
    assert terminal.json("digest", "list")[0]["off"] is True
    assert terminal("digest", "remove", "example.com") == 0
    assert terminal.json("digest", "list") == []
    assert terminal("digest", "remove", "example.com") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["example.com", "--at", "7:00"], 2, "not a time of day such as 07:00"),
        (["example.com", "--at", "07:00", "--days", "someday"], 2, "not one of mon, tue"),
        (["example.com", "--at", "07:00", "--zone", "Europe/Atlantis"], 2, "not a time zone"),
        (["example.com", "--at", "1:00,2:00"], 2, "not a time of day"),
        (["example.com", "--at", "01:00,02:00,03:00,04:00,05:00,06:00"], 2, "6 times of day"),
        (["nobody", "--at", "07:00"], 2, ""),
        ([BOB, "--at", "07:00", "--everyone"], 3, "--everyone is for a domain"),
        (["*", "--at", "07:00", "--everyone"], 3, "--everyone is for a domain"),
        ([DOMAIN, "--at", "07:00"], 3, "it could write to ourselves"),
        ([f"x@{DOMAIN}", "--at", "07:00"], 3, "it could write to ourselves"),
    ],
)
def test_what_is_no_schedule_is_not_set(
    terminal: Terminal, arguments: list[str], code: int, said: str
) -> None:
    assert terminal("digest", "set", *arguments) == code
    assert said in terminal.warned
    assert terminal.json("digest", "list") == []


def test_an_operator_is_warned_of_everyone_and_of_everybody(terminal: Terminal) -> None:
    assert terminal("digest", "set", "example.com", "--at", "07:00", "--everyone") == 0
    assert "also to one that does not exist" in terminal.warned
    assert terminal("digest", "set", "*", "--at", "07:00") == 0
    assert "every domain with an auth or a relay record" in terminal.warned


def test_next_says_when_and_by_which_record(terminal: Terminal, world: World) -> None:
    schedule(terminal)
    prove(world)
    assert terminal("digest", "next", BOB) == 0
    assert terminal.said == (
        f"{THREE_IN_BERLIN:%a %d %b %Y}, 15:00 (Europe/Berlin), by the digest record of example.com,"
        " if anything is held for it until then\n"
    )
    hold(world)
    answer = terminal.json("digest", "next", BOB)
    assert datetime.fromisoformat(answer["next"]) == THREE_IN_BERLIN
    assert (answer["by"], answer["held_since"]) == ("example.com", True)
    terminal.json("digest", "set", BOB, "--at", "10:00")
    assert terminal.json("digest", "next", BOB)["by"] == BOB


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda _terminal, world: world.records.put_digest("other.example", "07:00"), "no_schedule"),
        (lambda terminal, _world: schedule(terminal), "unproven"),
        (lambda terminal, _world: (schedule(terminal), terminal("digest", "off", BOB)), "switched_off"),
        (lambda terminal, world: (schedule(terminal), world.records.put_auth(BOB, deny=True)), "denied"),
    ],
    ids=["no_schedule", "unproven", "switched_off", "denied"],
)
def test_next_says_why_there_is_none(terminal: Terminal, world: World, prepare: Any, reason: str) -> None:
    prepare(terminal, world)
    answer = terminal.json("digest", "next", BOB)
    assert (answer["next"], answer["reason"]) == (None, reason)
    assert terminal("digest", "next", BOB) == 0
    assert terminal.said.startswith("none: ")


@pytest.mark.parametrize("hour", ["06:00", "12:00"], ids=["earlier", "later"])
def test_a_change_moves_those_who_are_due(terminal: Terminal, world: World, hour: str) -> None:
    schedule(terminal)
    prove(world)
    hold(world)
    assert terminal.json("digest", "set", "example.com", "--at", hour)["moved"] == 1
    due_at = datetime.fromtimestamp(int(reader(world)["due_at"]), UTC)
    expected = NINE.replace(hour=int(hour[:2])) + timedelta(days=hour == "06:00")
    assert due_at == expected
    world.clock.now = due_at - timedelta(minutes=1)
    assert tick(world) == []
    world.clock.move(minutes=1)
    assert tick(world) == [NEW]


def test_a_change_for_one_domain_moves_nobody_else(terminal: Terminal, world: World) -> None:
    schedule(terminal)
    hold(world)
    assert terminal.json("digest", "set", "other.example", "--at", "12:00")["moved"] == 0


def test_who_sees_other_mailboxes_is_due_from_the_first_time_on(terminal: Terminal, world: World) -> None:
    """Nothing was held for themselves: the schedule, or the permission, makes them due."""
    terminal("auth", "allow", BOB, "-m", "spf", "--mailbox", SALES)
    assert "due_at" not in reader(world)
    schedule(terminal)
    assert "due_at" in reader(world)
    terminal("auth", "allow", CAROL, "-m", "spf", "--mailbox", SALES)
    hold(world, 1, SALES)
    seven(world)
    assert sorted(tick(world)) == [f"Held mail for {each}: 1 new message" for each in (BOB, CAROL)]


def test_run_asks_for_the_reports_of_all_who_are_due(terminal: Terminal, world: World) -> None:
    schedule(terminal)
    prove(world)
    hold(world)
    assert terminal.json("digest", "run") == {"due": 0, "made": 0}
    seven(world)
    assert terminal.json("digest", "run") == {"due": 1, "made": 1}
    assert world.report(*world.jobs()) == []
    assert len(mails(world)) == 1


def test_run_makes_one_report_at_once(terminal: Terminal, world: World) -> None:
    schedule(terminal)
    assert terminal("digest", "run", BOB) == 3
    assert "no request from the address was accepted within a year" in terminal.warned
    prove(world)
    hold(world)
    request_id = terminal.json("digest", "run", BOB)["request_id"]
    assert terminal("digest", "run", BOB) == 3
    assert f"quarantine requests show {request_id}" in terminal.warned
    assert world.report(*world.jobs()) == []
    assert [mail["Subject"] for mail in mails(world)] == [NEW]
    assert terminal("requests", "show", request_id) == 0
    assert "It is a scheduled report, for" in terminal.said
    assert "Digest asked for it on" in terminal.said
    listed = terminal.json("requests", "list", "--requester", BOB)
    assert sorted(row["command"] for row in listed) == ["digest", "report"]
    world.clock.move(hours=2)
    assert tick(world) == []
