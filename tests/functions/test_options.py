"""Requests that say what they want: older ones, words, the last days."""

import re
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from local.records import Records
from quarantine.services import gathering
from tests.functions.actions import BOB, CAROL, DOMAIN, SALES, asking, mails, text_of
from tests.functions.faults import Wire
from tests.world import World

TRIGGER = f"manual-report-request@{DOMAIN}"
OLDER = re.compile(rf"^manual-report-request\+older-\d+-\d+@{re.escape(DOMAIN)}(?=\r?$)", re.MULTILINE)


@pytest.fixture
def bob(world: World) -> World:
    world.records.put_relay("example.com", "192.0.2.0/24")
    return world


def put(records: Records, number: int, received_at: datetime, subject: str = "", mailbox: str = BOB) -> None:
    records.put_held(
        mailbox, f"<{number}@x>", received_at, f"s{number}@b.example", subject or f"No {number}."
    )


def requested(
    world: World, subject: str = "hello", to: str = TRIGGER, message_id: str = "m", sender: str = BOB
) -> list[str]:
    """Let somebody ask; return the texts of the mails that they get."""
    before = len(world.sent())
    event = asking(world, to, message_id=message_id, sender=sender)
    for header in event["Records"][0]["ses"]["mail"]["headers"]:
        if header["name"] == "Subject":
            header["value"] = subject
    assert world.intake(event) == {"outcome": "accepted"}
    assert world.report(*world.jobs()) == []
    return [text_of(mail) for mail in mails(world)[before:]]


def flat(text: str) -> str:
    return " ".join(text.split())


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"\bNo (\d+)\.", text)]


@pytest.mark.parametrize("seconds", [0, 1, 7], ids=["all in one second", "a second apart", "further apart"])
def test_older_ones_page_back_through_everything_that_is_held(bob: World, seconds: int) -> None:
    now = bob.clock.now - timedelta(hours=1)
    for number in range(57):
        mailbox = (BOB, SALES)[number % 2]
        put(bob.records, number, now - timedelta(seconds=seconds * number), mailbox=mailbox)
    bob.records.put_auth(BOB, mailboxes=[SALES])
    seen: list[int] = []
    to = TRIGGER
    for page in range(6):
        event = asking(bob, to, message_id=f"m{page}")
        assert bob.intake(event) == {"outcome": "accepted"}
        assert bob.report(*bob.jobs(), MAX_ROWS="10") == []
        text = text_of(mails(bob)[-1])
        assert len(mails(bob)) == page + 1
        seen += numbers(text)
        found = OLDER.search(text)
        assert (found is None) == (page == 5)
        to = found[0] if found else ""
    assert sorted(seen) == list(range(57))
    assert "The list goes on where an earlier report ended." in flat(text)
    assert mails(bob)[1]["Subject"] == f"Held mail for {BOB}: 47 messages found"


def test_a_place_from_long_ago_answers_that_nothing_is_there(bob: World) -> None:
    put(bob.records, 1, bob.clock.now)
    to = f"manual-report-request+older-0-0@{DOMAIN}"
    (text,) = requested(bob, to=to)
    assert "Nothing was found" in text
    assert "Others are held." in flat(text)


def test_words_are_found_in_any_case_and_the_report_says_what_it_answers(bob: World) -> None:
    for number, subject in enumerate(["Rechnung Größe No 0.", "x No 1.", "GROSSE Rechnung No 2."]):
        put(bob.records, number, bob.clock.now - timedelta(hours=number), subject)
    (text,) = requested(bob, "AW: find")  # not one of ours: a whole report
    assert numbers(text) == [0, 1, 2]
    (text,) = requested(bob, "Re: find größe rechnung", message_id="m2")
    assert numbers(text) == [0, 2]
    (text,) = requested(bob, "find grosse", message_id="m3")
    assert numbers(text) == [0, 2]
    assert "You asked for messages whose sender or subject has all of: grosse." in flat(text)
    assert "2 messages found, newest first." in text


def test_nothing_found_is_said_where_something_else_is_held(bob: World) -> None:
    put(bob.records, 1, bob.clock.now)
    (text,) = requested(bob, "find invoice")
    assert "No held message fits what you asked for." in flat(text)
    assert requested(bob, "find invoice", message_id="m2", sender=CAROL) == []  # nothing is held for Carol


def test_a_search_that_stops_early_says_so_and_goes_on(bob: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_SEARCHED", 200)
    for number in range(450):
        subject = f"wanted No {number}." if number % 100 == 0 else f"No {number}."
        put(bob.records, number, bob.clock.now - timedelta(minutes=number), subject)
    seen: list[int] = []
    to = TRIGGER
    for page in range(9):
        (text,) = requested(bob, "find wanted", to=to, message_id=f"m{page}")
        seen += numbers(text)
        found = OLDER.search(text)
        if found is None:
            break
        assert "or more messages found" in flat(text)
        to = found[0]
    assert seen == [0, 100, 200, 300, 400]


def test_a_search_that_finds_nothing_in_its_part_says_so(bob: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_SEARCHED", 200)
    for number in range(300):
        put(bob.records, number, bob.clock.now - timedelta(minutes=number))
    (text,) = requested(bob, "find wanted")
    assert "Only a part of the messages was looked at" in flat(text)
    assert OLDER.search(text)


@pytest.mark.parametrize(
    "words", ["(a+)+$", "%s%s%n", "{{7*7}}", "' OR 1=1", "a" * 400, "\u0301" * 200, "[[[[("]
)
def test_no_pattern_does_harm(bob: World, words: str) -> None:
    for number in range(30):
        put(bob.records, number, bob.clock.now - timedelta(minutes=number), "a" * 900 + "!")
    texts = requested(bob, f"find {words}")
    assert len(texts) == 1


def test_the_last_days(bob: World) -> None:
    for number, days in enumerate([0, 2, 6, 8, 20]):
        put(bob.records, number, bob.clock.now - timedelta(days=days))
    bob.clock.move(minutes=1)
    (text,) = requested(bob, "last 7 days")
    assert numbers(text) == [0, 1, 2]
    assert "You asked for the messages of the last 7 days." in flat(text)
    assert requested(bob, "last 1 day", message_id="m2") != []


def test_a_choice_needs_no_cooldown_and_starts_none_but_is_counted(bob: World) -> None:
    put(bob.records, 1, bob.clock.now)

    def outcome(subject: str, message_id: str) -> str:
        event = asking(bob, TRIGGER, message_id=message_id)
        for header in event["Records"][0]["ses"]["mail"]["headers"]:
            if header["name"] == "Subject":
                header["value"] = subject
        return bob.intake(event, MAILBOX_REPORTS_PER_HOUR="3")["outcome"]

    subjects = ["find no", "hello", "last 2 days", "hello", "find no"]
    assert [outcome(subject, f"m{place}") for place, subject in enumerate(subjects)] == [
        "accepted",
        "accepted",
        "accepted",
        "too_soon",
        "too_much",
    ]


def test_a_search_of_a_large_mailbox_reads_a_bounded_part(bob: World) -> None:
    wire = Wire()
    assert gathering.MOST_SEARCHED == 10_000
    for number in range(5):
        put(bob.records, number, bob.clock.now - timedelta(minutes=number))
    bob.intake(asking(bob, TRIGGER))
    bob.report(*bob.jobs(), session=wire.session)
    assert wire.calls.count(("dynamodb", "Query")) == 1


def test_what_is_new_is_marked_among_what_is_not(bob: World) -> None:
    put(bob.records, 1, bob.clock.now)
    (first,) = requested(bob)
    assert "New:" not in first
    bob.clock.move(minutes=20)
    put(bob.records, 2, bob.clock.now)
    (second,) = requested(bob, message_id="m2")
    assert second.count("New:   since your last report") == 1
    assert second.index("New:") < second.index("No 1.")


def test_the_most_likely_wanted_come_first(bob: World) -> None:
    kinds = [
        ("virus", None),
        ("spam", "9.5"),
        ("bulk", None),
        ("spam", None),
        ("spam", "5.1"),
        ("phishing", "1"),
    ]
    for number, (reason, score) in enumerate(kinds):
        more = {} if score is None else {"score": Decimal(score)}
        bob.records.put_held(
            BOB,
            f"<{number}@x>",
            bob.clock.now - timedelta(minutes=number),
            "s@b.example",
            f"No {number}.",
            reason=reason,
            **more,
        )
    bob.intake(asking(bob, TRIGGER))
    assert bob.report(*bob.jobs(), REPORT_ORDER="wanted") == []
    text = text_of(mails(bob)[0])
    assert numbers(text) == [2, 4, 1, 3, 5, 0]
    assert "6 messages held in quarantine, the most likely wanted first." in flat(text)
