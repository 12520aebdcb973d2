"""The log of a function: whatever a mail says, it has no character that acts on a viewer."""

import io
import json
import logging
import sys
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from aws_lambda_powertools import Logger
from hypothesis import given
from hypothesis import strategies as st

from quarantine.held import HoldReason
from quarantine.mail.addresses import Address
from quarantine.runtime import Journal
from quarantine.threads import Threads
from tests.world import World, load_event

HOSTILE = "\u202egnp.exe \x1b[2J\u2028\x85"
WRITTEN_OUT = r"\u202egnp.exe \x1b[2J\u2028\x85"


class Lines(logging.Handler):
    """Keeps what a logger writes, as Powertools formats it."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


def lines_of(service: str) -> Lines:
    lines = Lines(Logger(service=service).registered_formatter)
    logging.getLogger(service).addHandler(lines)
    return lines


@pytest.fixture
def lines() -> Iterator[Lines]:
    found = lines_of("test")
    yield found
    logging.getLogger("test").removeHandler(found)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(HOSTILE, WRITTEN_OUT, id="text"),
        pytest.param([HOSTILE, (HOSTILE,)], [WRITTEN_OUT, [WRITTEN_OUT]], id="lists"),
        pytest.param({"a": {HOSTILE: HOSTILE}}, {"a": {WRITTEN_OUT: WRITTEN_OUT}}, id="keys and values"),
        pytest.param({HOSTILE}, [WRITTEN_OUT], id="a set"),
        pytest.param(ValueError(HOSTILE), WRITTEN_OUT, id="any other object"),
        pytest.param(HoldReason.SPAM, "spam", id="a word of ours"),
        pytest.param(Address("bob", "example.com"), "bob@example.com", id="an address"),
        pytest.param(Decimal("7.5"), "7.5", id="a number of DynamoDB"),
        pytest.param([None, True, 1, 2.5, "Jürgen 你好"], [None, True, 1, 2.5, "Jürgen 你好"], id="as it is"),
    ],
)
def test_a_detail_in_the_log(lines: Lines, value: object, expected: object) -> None:
    Journal("test", "Tests", "quarantine").note("noted", detail=value)
    assert json.loads(lines.texts[-1])["detail"] == expected


def test_every_line_is_escaped(lines: Lines) -> None:
    journal = Journal("test", "Tests", "quarantine")
    error = ValueError(HOSTILE)
    journal.record(HOSTILE, "outcome", detail=HOSTILE)
    journal.note(HOSTILE, detail=HOSTILE)
    journal.retry(HOSTILE, error, detail=HOSTILE)
    journal.reject(HOSTILE, error, detail=HOSTILE)
    journal.unreadable({"recipient": HOSTILE}, error)
    entries = [json.loads(text) for text in lines.texts]
    assert len(entries) == 5
    assert all(acts_not(value) for entry in entries for value in strings(entry))
    assert [entry["message"] for entry in entries[:4]] == [WRITTEN_OUT] * 4
    assert [entry["error"] for entry in entries[2:]] == [f"ValueError: {WRITTEN_OUT}"] * 3
    assert entries[4]["record"] == {"recipient": WRITTEN_OUT}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_no_value_acts(value: object) -> None:
    found = lines_of("property")
    Journal("property", "Tests", "quarantine").note("noted", detail=value)
    logging.getLogger("property").removeHandler(found)
    assert all(map(acts_not, strings(json.loads(found.texts[-1]))))


def test_a_hostile_mail_is_in_the_log_and_as_it_came_in_its_row(world: World) -> None:
    event = load_event("accepted_relay_ipv4")
    mail = event["Records"][0]["ses"]["mail"]
    for header in mail["headers"]:
        if header["name"] == "From":
            header["value"] = f"{HOSTILE} <bob@example.com>"
    found = lines_of("intake")
    world.intake(event)
    logging.getLogger("intake").removeHandler(found)
    (entry,) = (json.loads(text) for text in found.texts)
    assert entry["evidence"]["from"] == f"{WRITTEN_OUT} <bob@example.com>"
    row = world.records.request(mail["messageId"])
    assert row is not None
    assert row["evidence"]["M"]["from"]["S"] == f"{HOSTILE} <bob@example.com>"


def strings(value: Any) -> Iterator[str]:
    """Yield every text in a value of JSON, also the names."""
    match value:
        case dict():
            for name, each in value.items():
                yield name
                yield from strings(each)
        case list():
            for each in value:
                yield from strings(each)
        case str():
            yield value


def acts_not(text: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs") for char in text)


@pytest.mark.parametrize(
    ("received", "letters"),
    [
        pytest.param(19, 0, id="an attempt before the last"),
        pytest.param(20, 1, id="the last attempt"),
        pytest.param(21, 1, id="one more, as SQS counts approximately"),
    ],
)
def test_what_fails_in_its_last_attempt_is_counted_as_a_dead_letter(
    received: int, letters: int, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.report("no job", received=received) == ["0"]
    counted = [line for line in capsys.readouterr().out.splitlines() if '"DeadLetters"' in line]
    assert len(counted) == letters


def test_what_succeeds_in_its_last_attempt_is_no_dead_letter(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.intake(load_event("accepted_relay_ipv4"))
    assert world.report(*world.jobs(), received=20) == []
    assert "DeadLetters" not in capsys.readouterr().out


class Stream(io.StringIO):
    """A stream that may let another thread run at each write, as a file does."""

    def write(self, text: str) -> int:
        return super().write(text)


def test_threads_write_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)  # of the metrics
    Logger(service="threads", stream=stream)
    journal = Journal("threads", "Tests", "quarantine")

    def write(number: int) -> None:
        for _ in range(50):
            journal.record("done", "done", number=number)
            journal.dead_letter()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        Threads(7).map(write, range(8))
    finally:
        sys.setswitchinterval(interval)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 8 * 50 * 3
