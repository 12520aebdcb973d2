"""Two robots that answer each other: each mail of a loop is really delivered again, and the loop ends."""

import re
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from local.ses import GRAY, Delivery, receive
from quarantine.asking.admission import Refusal
from tests.attacks.attack import ALL_PASS, OWN_SERVER, TRIGGER, mail
from tests.world import NOW, World

REPORTER = "quarantine@reports.example.com"


@pytest.fixture
def bobs(world: World) -> World:
    """A world in which anybody may ask on any route, and mail is held for Bob and for our own addresses."""
    world.records.put_relay("*", "127.0.0.0/8")
    world.records.put_auth("*", ["dmarc", "dkim", "spf"])
    for mailbox in ("bob@example.com", REPORTER, TRIGGER, "quarantine@reports.other.example"):
        world.records.put_held(mailbox, "<1@supplier.example>", NOW, "x@supplier.example", "Invoice")
    return world


def deliver(
    world: World, data: bytes, number: int, *, to: str = TRIGGER, envelope_from: str = "bob@example.com"
) -> str:
    """Deliver a mail; return intake's outcome, after its report was sent."""
    delivery = Delivery(OWN_SERVER, "mail.example.com", envelope_from, (to,), data)
    received = receive(delivery, ALL_PASS, f"{number:040}", world.clock())
    word = world.intake(received.event)["outcome"]
    if jobs := world.jobs():
        world.report(*jobs)
    return word


def ask(world: World, sender: str = "bob@example.com", number: int = 0) -> str:
    """Ask for a report, which starts a cooldown; return intake's outcome."""
    return deliver(world, mail(sender=f"From: {sender}"), number)


def answered(report: bytes, *fields: str, sender: str = "bob@example.com", quote: bool = True) -> bytes:
    """Return the answer of a robot at the report's address."""
    body = report.decode() if quote else "I am away."
    lines = [f"From: {sender}", f"To: {REPORTER}", "Subject: Re: Held mail", *fields, "", body]
    return "\r\n".join(lines).encode()


def test_a_report_that_comes_back_is_refused(bobs: World) -> None:
    """Bob's server forwards all his mail to the trigger: each report requests the next one."""
    assert ask(bobs) == "accepted"
    (report,) = bobs.sent()
    for number in range(1, 4):
        bobs.clock.move(hours=1)
        assert deliver(bobs, report, number, envelope_from=REPORTER) == Refusal.AUTOMATIC
    assert len(bobs.sent()) == 1


def test_two_of_our_systems_that_report_to_each_other(bobs: World) -> None:
    """Each system is the other's requester: a report sent to the other's trigger gets no report."""
    assert deliver(bobs, mail(sender="From: quarantine@reports.other.example"), 0) == "accepted"
    (report,) = bobs.sent()
    others = report.replace(REPORTER.encode(), b"quarantine@reports.other.example")
    bobs.clock.move(hours=1)
    assert deliver(bobs, others, 1, envelope_from="bounce@reports.other.example") == Refusal.AUTOMATIC
    assert len(bobs.sent()) == 1


@pytest.mark.parametrize(
    ("to", "word"),
    [
        pytest.param(REPORTER, Refusal.NOT_A_TRIGGER, id="to the report's sender"),
        pytest.param("bounces@mail.reports.example.com", Refusal.NOT_A_TRIGGER, id="to its bounce address"),
        pytest.param(TRIGGER, Refusal.AUTOMATIC, id="to the trigger"),
    ],
)
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(("Auto-Submitted: auto-replied",), id="as RFC 3834 asks"),
        pytest.param(("Precedence: bulk",), id="as vacation does"),
    ],
)
def test_an_out_of_office_at_the_reports_address(
    to: str, word: Refusal, fields: tuple[str, ...], bobs: World
) -> None:
    assert ask(bobs) == "accepted"
    (report,) = bobs.sent()
    bobs.clock.move(hours=1)
    assert deliver(bobs, answered(report, *fields), 1, to=to) == word
    assert len(bobs.sent()) == 1


def test_an_out_of_office_that_does_not_say_so_answers_where_no_report_is_asked_for(bobs: World) -> None:
    assert ask(bobs) == "accepted"
    (report,) = bobs.sent()
    sent = message_from_bytes(report, policy=policy.default)
    assert isinstance(sent, EmailMessage)
    answers_to = {
        address.addr_spec for name in ("Reply-To", "From") if name in sent for address in sent[name].addresses
    }
    assert TRIGGER not in answers_to
    for number, to in enumerate(sorted(answers_to), start=1):
        bobs.clock.move(hours=1)
        assert deliver(bobs, answered(report), number, to=to) == Refusal.NOT_A_TRIGGER
    assert len(bobs.sent()) == 1


@pytest.mark.parametrize("sender", ["MAILER-DAEMON@example.com", "postmaster@example.com", "bob@example.com"])
def test_a_bounce_of_the_report(sender: str, bobs: World) -> None:
    assert ask(bobs) == "accepted"
    (report,) = bobs.sent()
    bounce = answered(report, "Content-Type: multipart/report", sender=sender)
    bobs.clock.move(hours=1)
    assert deliver(bobs, bounce, 1, envelope_from="") == Refusal.AUTOMATIC
    assert len(bobs.sent()) == 1


def test_a_mailing_list_in_between(bobs: World) -> None:
    """The trigger is a member of a list to which Bob writes: each mail of the list would be a request."""
    listed = mail("List-Id: <team.example.com>", "Precedence: list", sender="From: bob@example.com")
    for number in range(3):
        bobs.clock.move(hours=1)
        assert deliver(bobs, listed, number, envelope_from="team-bounces@example.com") == Refusal.AUTOMATIC
    assert bobs.sent() == []


def test_a_list_that_strips_its_own_fields_is_held_by_the_marker(bobs: World) -> None:
    """A list is the requester: the report goes to its members, the trigger among them, and comes back."""
    assert ask(bobs) == "accepted"
    (report,) = bobs.sent()
    bare = re.sub(rb"(?m)^(Auto-Submitted|X-Auto-Response-Suppress):.*\r?\n", b"", report)
    assert bare != report
    from_bob = bare.replace(f"<{REPORTER}>".encode(), b"<bob@example.com>", 1)
    bobs.clock.move(hours=1)
    assert deliver(bobs, from_bob, 1) == Refusal.AUTOMATIC
    assert len(bobs.sent()) == 1


def test_a_robot_that_asks_without_end_has_a_report_a_cooldown(bobs: World) -> None:
    """A robot that does not identify itself: only the cooldown limits it."""
    words = []
    for number in range(20):
        words.append(ask(bobs, number=number))
        bobs.clock.move(seconds=60)
    assert words == (["accepted"] + [Refusal.TOO_SOON] * 4) * 4
    assert len(bobs.sent()) == words.count("accepted")


def test_the_same_mail_replayed_reaches_only_bob_and_only_once_a_cooldown(bobs: World) -> None:
    """A signature stays valid: anyone holding Bob's mail can replay it (RFC 6376 8.6)."""
    words = [ask(bobs, number=number) for number in range(10)]
    assert words == ["accepted"] + [Refusal.TOO_SOON] * 9
    assert bobs.destinations() == [["bob@example.com"]]


def test_an_event_replayed_with_another_from_changes_nothing(bobs: World) -> None:
    """The id identifies a request: SES assigns each id once."""
    assert ask(bobs, number=7) == "accepted"
    bobs.clock.move(hours=1)
    bobs.records.put_held("eve@evil.example", "<1@x>", NOW, "x@supplier.example", "Eve's")
    assert ask(bobs, "eve@evil.example", number=7) == "sent"
    assert bobs.destinations() == [["bob@example.com"]]


def test_a_replay_after_a_refusal_stays_refused(bobs: World) -> None:
    delivery = Delivery(
        "198.51.100.9", "x.example", "bob@example.com", (TRIGGER,), mail(sender="From: bob@example.com")
    )
    refused = receive(delivery, GRAY, "5" * 40, NOW)
    accepted = receive(replace(delivery, peer=OWN_SERVER), GRAY, "5" * 40, NOW)
    assert bobs.intake(refused.event)["outcome"] == Refusal.UNAUTHENTICATED
    assert bobs.intake(accepted.event)["outcome"] == "refused"
    assert (bobs.jobs(), bobs.sent()) == ([], [])
