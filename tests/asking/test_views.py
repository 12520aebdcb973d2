from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.asking.commands import ReportCommand, read_command
from quarantine.asking.event import parse_event
from quarantine.asking.options import Options, read_options
from quarantine.asking.views import MOST_WORDS, Cursor, View, words_of
from quarantine.held import HeldMessage, HoldReason
from quarantine.mail.addresses import Address
from tests.world import load_event

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BOB = Address.parse("bob@example.com")
TRIGGER = "manual-report-request"


def held(sender: str, subject: str, ago: timedelta = timedelta(0), number: int = 1) -> HeldMessage:
    return HeldMessage(BOB, f"<{number}@x>", NOW - ago, sender, subject, HoldReason.SPAM, None)


def options(subject: str, *more: str) -> Options:
    event = load_event("accepted_relay_ipv4")
    mail = event["Records"][0]["ses"]["mail"]
    mail["headers"] = [each for each in mail["headers"] if each["name"] != "Subject"]
    mail["headers"] += [{"name": "Subject", "value": each} for each in (subject, *more)]
    return read_options(parse_event(event))


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("find invoice", Options(find=("invoice",))),
        ("FIND  Invoice   Müller ", Options(find=("Invoice", "Müller"))),
        ("Re: [EXTERNAL] Fwd: FW: find x", Options(find=("x",))),
        ("=?utf-8?q?find_Gr=C3=B6=C3=9Fe?=", Options(find=("Größe",))),
        ("=?utf-8?b?ZmluZCDQv9GA0LjQstC10YI=?=", Options(find=("привет",))),
        ("last 7 days", Options(days=7)),
        ("Last 1 day", Options(days=1)),
        ("re: last 9999 days", Options(days=9999)),
        ("for sales@Example.com", Options(of=Address.parse("sales@example.com"))),
        # All that is somebody's own Subject.
        ("find", Options()),
        ("finder invoice", Options()),
        ("please find invoice", Options()),
        ("findinvoice", Options()),
        ("last 0 days", Options()),
        ("last 07 days", Options()),
        ("last 99999 days", Options()),
        ("last seven days", Options()),
        ("last 7 days, please", Options()),
        ("last ٧ days", Options()),
        ("for", Options()),
        ("for lunch", Options()),
        ("for sales@example.com and me", Options()),
        ("find \u200b\u00ad", Options()),
        ("", Options()),
        ("Subject: find x", Options()),
    ],
)
def test_what_a_subject_asks_for(subject: str, expected: Options) -> None:
    assert options(subject) == expected


def test_two_subjects_and_one_of_a_megabyte_ask_for_nothing() -> None:
    assert options("find x", "find y") == Options()
    assert options("find " + "x" * 1_000_000) == Options()
    assert options("[a] " * 250_000 + "find x") == Options()


def test_only_so_many_words_are_looked_for() -> None:
    assert len(options("find " + "a " * 99).find) == MOST_WORDS


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("invoice", True),
        ("INVOICE supplier", True),
        ("müller", True),
        ("muller", True),
        ("MÜLLER", True),
        ("strasse", True),
        ("straße", True),
        ("istanbul", True),
        ("supplier.example", True),
        ("invoice missing", False),
        ("(a+)+$", False),
        (".*", False),
        ("%", False),
    ],
)
def test_words_are_looked_for_in_sender_and_subject_without_case_and_accents(words: str, shown: bool) -> None:
    message = held("Jürgen Mu\u0308ller <j@supplier.example>", "Invoice, Straße in İstanbul")
    assert View(find=words_of(words)).shows(message) is shown


@pytest.mark.parametrize(
    ("suffix", "older"),
    [
        ("+older-1795426200-3", Cursor(datetime.fromtimestamp(1795426200, UTC), 3)),
        ("+OLDER-1795426200-3", Cursor(datetime.fromtimestamp(1795426200, UTC), 3)),
        ("+older-0-0", Cursor(datetime.fromtimestamp(0, UTC))),
        ("+older-99999999999-999999", Cursor(datetime.fromtimestamp(99999999999, UTC), 999999)),
        ("+older-1795426200", None),
        ("+older-1795426200-3-3", None),
        ("+older--1-3", None),
        ("+older-999999999999-1", None),
        ("+older-", None),
        ("+older", None),
        ("+x", None),
        ("", None),
    ],
)
def test_where_a_list_goes_on(suffix: str, older: Cursor | None) -> None:
    command = read_command(f"{TRIGGER}{suffix}@reports.example.com", TRIGGER)
    assert command == ReportCommand(Address(TRIGGER, "reports.example.com"), view=View(older=older))


@given(
    st.lists(st.integers(0, 5), max_size=40),
    st.integers(1, 9),
)
def test_a_list_that_goes_on_again_and_again_shows_each_message_once(ages: list[int], page: int) -> None:
    """Also where more messages than a page holds were received in one second."""
    messages = sorted(
        (held("", "", timedelta(seconds=age), number) for number, age in enumerate(ages)),
        key=lambda each: (each.received_at, each.message_id),
        reverse=True,
    )
    shown: list[HeldMessage] = []
    cursor: Cursor | None = None
    for _ in range(len(messages) + 1):
        rest = messages if cursor is None else list(cursor.rest(messages))
        listed = rest[:page]
        shown += listed
        cursor = Cursor.after(listed, cursor)
        if len(rest) <= page:
            break
    assert shown == messages
