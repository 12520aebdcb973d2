"""The recipes of docs/holding.md, tested with the real programs: `make test-interop`.

A company's Postfix receives mail from the internet and asks a filter. Spam goes to the quarantine, through
`quarantine hold` or its front. Then Bob's mail client asks, Postfix relays that to SES, the report lists it.
"""

from collections.abc import Iterator
from functools import partial

import pytest

from quarantine.mail.links import defanged
from tests.interop.circles import (
    ALICE,
    BOB,
    NEEDS_A_NETWORK_OF_ITS_OWN,
    SPAM,
    STRANGER,
    Circle,
    running,
)
from tests.interop.programs import FILTERS, eventually, mail_from_outside
from tests.local.serving import TRIGGER

pytestmark = NEEDS_A_NETWORK_OF_ITS_OWN


@pytest.fixture(scope="module", params=FILTERS)
def circle(request: pytest.FixtureRequest) -> Iterator[Circle]:
    with running(request) as circle:
        yield circle


def test_an_ordinary_mail_is_delivered(circle: Circle) -> None:
    mail_from_outside("anna@supplier.example", BOB, "Lunch", "Shall we have lunch on Tuesday, as always?")
    (mail,) = eventually(lambda: circle.postfix.delivered("bob"), "the mail is in Bob's mailbox")
    assert b"Subject: Lunch" in mail
    assert circle.held(BOB) == []


def test_spam_is_held_for_each_recipient_and_reported(circle: Circle) -> None:
    before = circle.postfix.delivered("bob")
    mail_from_outside(STRANGER, f"{BOB},{ALICE}", "Cheap watches", SPAM[circle.filter])
    rows = [
        row
        for recipient in (BOB, ALICE)
        for row in eventually(partial(circle.held, recipient), f"the mail is held for {recipient}")
    ]
    shown = [(row["subject"], row["reason"], row["status"]) for row in rows]
    assert shown == [("Cheap watches", "spam", "held")] * 2
    assert all(STRANGER in row["sender"] for row in rows)
    assert [circle.metadata(row).get("tagged") for row in rows] == ["spam"] * 2  # our command knew why

    circle.ask(BOB, TRIGGER)
    (report,) = eventually(lambda: circle.aws.reports(BOB), "the report is sent")
    text = report.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    print(f"\n--- {circle.filter}: the report ---\n{text}")  # noqa: T201 - what `make test-interop` shows
    assert "Cheap watches" in text
    assert defanged(STRANGER) in text
    assert before == circle.postfix.delivered("bob")
    eventually(circle.postfix.is_empty, "nothing waits in Postfix's queue")


def test_postfix_hands_mail_over_to_the_front_by_tls(circle: Circle) -> None:
    to = "bob@held.example"
    mail_from_outside("anna@supplier.example", to, "By TLS", "Nobody on the way can read this.")
    (row,) = eventually(partial(circle.held, to), "the mail is held")
    assert row["subject"] == "By TLS"
    eventually(circle.postfix.is_empty, "nothing waits in Postfix's queue")


def test_nothing_is_lost_while_s3_is_away(circle: Circle) -> None:
    circle.s3.shut()
    mail_from_outside(STRANGER, BOB, "Cheap rings", SPAM[circle.filter])
    eventually(circle.postfix.deferred, "Postfix keeps the mail")
    assert "Cheap rings" not in circle.subjects(BOB)

    circle.s3.open()
    circle.postfix.flush()
    eventually(lambda: "Cheap rings" in circle.subjects(BOB), "the mail is held")
    eventually(circle.postfix.is_empty, "nothing waits in Postfix's queue")
    assert not any(b"Cheap rings" in mail for mail in circle.postfix.delivered("bob"))
