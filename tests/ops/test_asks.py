"""`quarantine asks`: an operator sees what users ask for, and answers."""

import pytest

from tests.functions.actions import BOB, address, ask, mails, row_of, stored
from tests.functions.test_ask import ALICE, PHISH, answered, asked, subjects
from tests.ops.conftest import Terminal
from tests.world import World

ID = "<2@parcels.example>"


@pytest.fixture
def open_ask(world: World) -> World:
    """Bob has asked for a phish."""
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_auth("example.com", administrators=[ALICE])
    stored(world, mail=PHISH, reason="phishing")
    asked(world)
    return world


def served(world: World) -> None:
    assert world.act(*world.actions()) == []


def test_what_is_asked_is_listed(open_ask: World, terminal: Terminal) -> None:
    (row,) = terminal.json("asks", "list", "--open")
    assert (row["mailbox"], row["asker"], row["state"], row["message_id"]) == (BOB, BOB, "open", ID)
    assert terminal.json("asks", "list", "--mailbox", "carol@example.com") == []
    answered(open_ask, "refuse")
    assert terminal.json("asks", "list", "--open") == []
    (row,) = terminal.json("asks", "list", "--mailbox", BOB)
    assert (row["state"], row["answered_by"]) == ("refused", ALICE)


@pytest.mark.parametrize(
    ("word", "status", "subject"),
    [
        ("approve", "released", "Your mail administrator released the message"),
        ("refuse", "held", "Your mail administrator did not release the message"),
    ],
)
def test_an_operator_answers(
    open_ask: World, terminal: Terminal, word: str, status: str, subject: str
) -> None:
    assert terminal("asks", word, BOB, ID) == 0
    served(open_ask)
    assert (row_of(open_ask)["status"], subjects(open_ask, BOB)[-1]) == (status, subject)
    assert "your mail administrator" in str(mails(open_ask)[-1].get_body(("plain",)))
    assert "arn:aws" not in mails(open_ask)[-1].as_string()
    assert len(subjects(open_ask, ALICE)) == 1
    assert terminal("asks", word, BOB, ID) == 3
    assert "already" in terminal.warned


def test_an_answer_that_came_first_is_left_alone(open_ask: World, terminal: Terminal) -> None:
    assert terminal("asks", "approve", BOB, ID) == 0
    jobs = open_ask.actions()
    answered(open_ask, "refuse")
    assert open_ask.act(*jobs) == []
    assert row_of(open_ask)["status"] == "held"


def test_what_nobody_asks_for_cannot_be_answered(world: World, terminal: Terminal) -> None:
    stored(world, mail=PHISH, reason="phishing")
    assert terminal("asks", "approve", BOB, ID) == 3
    assert "nobody asks for it" in terminal.warned


def test_a_virus_is_not_approved_where_ses_sends_it(world: World, terminal: Terminal) -> None:
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_auth("example.com", administrators=[ALICE])
    stored(world, mail=PHISH, reason="virus")
    assert world.act(*ask(world, address(world, "ask"))) == []
    assert terminal("asks", "approve", BOB, ID) == 3
    assert "SES sends no virus" in terminal.warned


def test_who_is_forgotten_asks_for_nothing(open_ask: World, terminal: Terminal) -> None:
    terminal("forget", BOB, "--yes")
    assert list(terminal.operator.asks.all()) == []
