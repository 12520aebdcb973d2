"""A report of one mailbox that the Subject names: one's own, or as an administrator that of somebody else."""

import re

import pytest

from quarantine.asking.event import parse_event
from quarantine.asking.options import read_options
from tests.functions.actions import BOB, CAROL, MESSAGE_ID, SALES, asking, mails, stored, text_of
from tests.world import World

ALICE, TRIGGER = "alice@example.com", "manual-report-request@reports.example.com"


@pytest.fixture
def held(world: World) -> World:
    """A spam is held for Bob; Alice is the administrator of his company."""
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_auth("example.com", administrators=[ALICE])
    stored(world)
    return world


def with_subject(world: World, subject: str, sender: str = ALICE) -> dict[str, object]:
    event = asking(world, TRIGGER, sender=sender)
    headers = event["Records"][0]["ses"]["mail"]["headers"]
    for header in headers:
        if header["name"] == "Subject":
            header["value"] = subject
    assert any(header["name"] == "Subject" for header in headers)
    return event


def asked(world: World, subject: str, sender: str = ALICE) -> str:
    outcome = str(world.intake(with_subject(world, subject, sender))["outcome"])
    assert world.report(*world.jobs()) == []
    return outcome


def test_an_administrator_sees_the_report_of_somebody_else_without_its_addresses(held: World) -> None:
    assert asked(held, "[EXTERNAL] Re: FWD: For Bob@Example.com") == "accepted"
    (mail,) = mails(held)
    assert (mail["To"], mail["Subject"]) == (ALICE, f"Held mail for {BOB}: 1 message")
    text = text_of(mail)
    assert "You see it as their mail" in text
    assert "Your parcel" in text
    html = mail.get_body(("html",))
    assert html is not None
    for part in (text, html.get_content()):
        assert not re.search(r"(?:preview|release|delete|ask)-\d", part)
    row = held.row(MESSAGE_ID)
    assert (row["requester"], row["mailboxes"]) == (ALICE, [BOB])


def test_those_of_everybody_may_see_it_too(held: World) -> None:
    held.records.put_auth("*", administrators=[CAROL])
    assert asked(held, f"for {BOB}", sender=CAROL) == "accepted"
    assert len(mails(held)) == 1


def test_without_the_right_nothing_is_sent(held: World) -> None:
    assert asked(held, f"for {BOB}", sender=CAROL) == "not_yours"
    assert (mails(held), held.row(MESSAGE_ID)["reason"]) == ([], "not_yours")


def test_an_administrator_of_one_domain_sees_no_other(held: World) -> None:
    assert asked(held, "for someone@other.example") == "not_yours"


def test_a_right_that_was_taken_away_is_gone(held: World) -> None:
    held.records.put_auth("example.com")
    assert asked(held, f"for {BOB}") == "not_yours"


def test_one_of_ones_own_mailboxes_keeps_its_addresses(held: World) -> None:
    stored(held, mailbox=SALES, key="held/2")
    held.records.put_auth(BOB, mailboxes=[SALES])
    assert asked(held, f"for {SALES}", sender=BOB) == "accepted"
    (mail,) = mails(held)
    assert mail["Subject"] == f"Held mail for {SALES}: 1 message"
    assert "release-" in text_of(mail)
    assert "as their mail administrator" not in text_of(mail)


@pytest.mark.parametrize(
    "subject",
    [
        "What is held for bob@example.com",
        "for bob@example.com please",
        "for bob",
        "for bob@example.com, alice@example.com",
        "for <bob@example.com>",
        "Aw: hello",
        "for",
        "x" * 600 + " for bob@example.com",
    ],
)
def test_any_other_subject_is_somebodys_own(held: World, subject: str) -> None:
    assert read_options(parse_event(with_subject(held, subject))).of is None


@pytest.mark.parametrize("prefix", ["", "Re: ", "re:Fwd: ", "[spam] [list] ", "  [a]Re :  "])
def test_what_mail_programs_put_before_a_subject_does_not_matter(held: World, prefix: str) -> None:
    found = read_options(parse_event(with_subject(held, f"{prefix}FOR sales@Example.com "))).of
    assert str(found) == SALES
