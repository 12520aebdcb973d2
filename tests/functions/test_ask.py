"""Bob asks the administrator for a message that he may not release, and the administrator answers by mail."""

import re
from dataclasses import replace
from email.message import EmailMessage

import pytest

from quarantine.acting.reference import Reference
from quarantine.held import HeldStatus
from quarantine.stores.items import time
from quarantine.stores.quarantine import HeldRows
from tests.functions.actions import (
    BOB,
    CAROL,
    DOMAIN,
    MESSAGE_ID,
    SPAM,
    address,
    ask,
    asking,
    mails,
    row_of,
    stored,
    text_of,
)
from tests.functions.faults import ProcessDied, Wire
from tests.functions.test_hold import rows
from tests.world import World

ALICE, IT = "alice@example.com", "it@example.com"
PHISH = SPAM.replace(b"<1@", b"<2@")


@pytest.fixture
def held(world: World) -> World:
    """A phish is held for Bob, who may not release it; Alice may."""
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_auth("example.com", administrators=[ALICE])
    stored(world, mail=PHISH, reason="phishing")
    return world


def asked(world: World, sender: str = BOB, message_id: str = MESSAGE_ID) -> None:
    """Let Bob ask."""
    assert world.act(*ask(world, address(world, "ask"), sender=sender, message_id=message_id)) == []


def answer_address(world: World, word: str) -> str:
    """Return the address in the mail to the administrator."""
    (found,) = re.findall(rf"^{word}-\S+$", lines_of(question(world)), re.MULTILINE)
    return str(found)


def lines_of(mail: EmailMessage) -> str:
    return text_of(mail).replace("\r\n", "\n")


def answered(world: World, word: str, by: str = ALICE, message_id: str = "answer1") -> None:
    """Let somebody write to the address in the mail to the administrator."""
    to = answer_address(world, word)
    assert world.act(*ask(world, to, sender=by, message_id=message_id)) == []


def subjects(world: World, to: str) -> list[str]:
    return [str(mail["Subject"]) for mail in mails(world) if mail["To"] == to]


def question(world: World) -> EmailMessage:
    return next(mail for mail in mails(world) if "asks for a held message" in str(mail["Subject"]))


# --- Asking ---


def test_the_administrator_is_asked_and_bob_hears_so(held: World) -> None:
    asked(held)
    assert subjects(held, ALICE) == [f"{BOB} asks for a held message"]
    assert subjects(held, BOB) == ["Your mail administrator was asked"]
    text = lines_of(question(held))
    for line in (
        "Asked by:    bob@example.com",
        "From:        news[at]parcels[.]example",
        "Its domain:  not proven",
        "Why held:    Phishing",
        "Filter:      unknown",
        "| It waits at the gate.",
    ):
        assert line in text
    assert text.index("approve-") < text.index("refuse-") < text.index("| It waits")
    row = held.row(MESSAGE_ID)
    assert (row["command"], row["status"], row["answer"]) == ("ask", "done", "asked")
    assert row_of(held)["status"] == "held"


def test_asking_twice_asks_once(held: World) -> None:
    held.records.put_auth(CAROL, mailboxes=[BOB])
    asked(held)
    asked(held, message_id="again1")
    asked(held, sender=CAROL, message_id="carol1")
    assert len(subjects(held, ALICE)) == 1
    assert subjects(held, BOB)[1:] == subjects(held, CAROL) == ["Your mail administrator was asked already"]


def test_each_administrator_of_the_domain_is_asked_and_no_other(held: World) -> None:
    held.records.put_auth("example.com", administrators=[ALICE, IT])
    held.records.put_auth("*", administrators=["root@elsewhere.example"])
    asked(held)
    assert len(subjects(held, ALICE)) == len(subjects(held, IT)) == 1
    assert subjects(held, "root@elsewhere.example") == []


def test_those_of_everybody_are_asked_where_the_domain_has_none(held: World) -> None:
    held.records.put_auth("example.com")
    held.records.put_auth("*", administrators=[ALICE])
    asked(held)
    assert len(subjects(held, ALICE)) == 1


def test_bob_hears_that_there_is_nobody_to_ask(held: World) -> None:
    held.records.put_auth("example.com")
    asked(held)
    assert subjects(held, BOB) == ["There is nobody to ask"]


def test_nobody_is_asked_for_what_bob_may_release(held: World) -> None:
    stored(held, mail=SPAM.replace(b"<1@", b"<3@"), key="held/3")
    asked(held)
    assert (subjects(held, BOB), subjects(held, ALICE)) == (["You can release this message yourself"], [])


def test_a_foreign_message_cannot_be_asked_for(held: World) -> None:
    assert held.act(*ask(held, address(held, "ask"), sender=CAROL)) == []
    assert (held.row(MESSAGE_ID)["reason"], held.sent()) == ("not_yours", [])


def test_the_sender_is_proven_by_what_the_companys_own_server_wrote(held: World) -> None:
    proof = b"Authentication-Results: mx.example.com; dmarc=pass header.from=parcels.example\r\n"
    stored(held, mail=proof + PHISH.replace(b"<2@", b"<4@"), key="held/4", reason="phishing")
    asked(held)
    assert "Its domain:  authenticated by your mail server" in text_of(question(held))


def test_what_the_sender_wrote_proves_nothing(held: World) -> None:
    proof = b"Authentication-Results: mx.example.com; dmarc=pass header.from=parcels.example\r\n"
    forged = PHISH.replace(b"<2@", b"<4@").replace(b"From: Parcel", proof + b"From: Parcel")
    stored(held, mail=forged, key="held/4", reason="phishing")
    asked(held)
    assert "Its domain:  not proven" in text_of(question(held))


def test_a_flood_of_asks_reaches_no_administrator(held: World) -> None:
    for number in range(24):
        mail = PHISH.replace(b"<2@", b"<%d@flood" % number)
        stored(held, mail=mail, key=f"held/flood{number}", reason="phishing")
    for number, row in enumerate(rows(held, BOB)):
        reference = Reference(time(row["received_at"]), row["code"])
        held.intake(asking(held, f"ask-{reference}@{DOMAIN}", message_id=f"flood{number}"))
    assert held.act(*held.actions()) == []
    assert len(subjects(held, ALICE)) == 20
    assert held.row("flood24")["reason"] == "too_much"


# --- Answering ---


def test_an_approved_message_is_released_to_its_mailbox(held: World) -> None:
    asked(held)
    answered(held, "approve")
    assert subjects(held, BOB)[1:] == [
        f"The message that was held for {BOB}",
        "Your mail administrator released the message",
    ]
    assert subjects(held, ALICE)[1:] == ["You released the message"]
    assert f"Done by:    {ALICE}" in text_of(mails(held)[-2])
    row = row_of(held)
    assert (row["status"], row["acted_by"], row["released_for"]) == ("released", ALICE, "answer1")
    assert held.row("answer1")["answer"] == "approved"


def test_a_refused_message_stays_held_and_bob_hears_from_whom(held: World) -> None:
    asked(held)
    answered(held, "refuse")
    assert subjects(held, BOB)[1:] == ["Your mail administrator did not release the message"]
    assert subjects(held, ALICE)[1:] == ["You refused to release the message"]
    assert row_of(held)["status"] == "held"
    asked(held, message_id="again1")
    assert subjects(held, BOB)[-1] == "Your mail administrator has refused already"
    assert len([each for each in subjects(held, ALICE) if "asks for" in each]) == 1


@pytest.mark.parametrize(("first", "second"), [("approve", "refuse"), ("refuse", "approve")])
def test_the_first_answer_counts_and_the_second_hears_it(held: World, first: str, second: str) -> None:
    held.records.put_auth("example.com", administrators=[ALICE, IT])
    asked(held)
    answered(held, first, by=IT)
    answered(held, second, message_id="answer2")
    assert subjects(held, ALICE)[1:] == ["This was answered before"]
    assert f"Done by:    {IT}" in text_of(mails(held)[-1])
    assert row_of(held)["status"] == {"approve": "released", "refuse": "held"}[first]


@pytest.mark.parametrize("word", ["approve", "refuse"])
@pytest.mark.parametrize("by", [BOB, CAROL, IT])
def test_an_answer_of_anybody_else_does_nothing(held: World, word: str, by: str) -> None:
    asked(held)
    before = len(mails(held))
    answered(held, word, by=by)
    assert (len(mails(held)), row_of(held)["status"]) == (before, "held")
    assert held.row("answer1")["reason"] == "not_yours"
    answered(held, "approve", message_id="answer2")
    assert row_of(held)["status"] == "released"


def test_a_former_administrator_answers_no_more(held: World) -> None:
    asked(held)
    to = answer_address(held, "approve")
    jobs = ask(held, to, sender=ALICE, message_id="answer1")
    held.records.put_auth("example.com", administrators=[IT])
    assert held.act(*jobs) == []
    assert (held.row("answer1")["reason"], row_of(held)["status"]) == ("not_yours", "held")


def test_an_administrator_who_is_denied_answers_no_more(held: World) -> None:
    asked(held)
    jobs = ask(held, answer_address(held, "approve"), sender=ALICE, message_id="answer1")
    held.records.put_auth(ALICE, deny=True)
    assert held.act(*jobs) == []
    assert (held.row("answer1")["reason"], row_of(held)["status"]) == ("denied", "held")


def test_a_letter_of_yesterday_is_too_old(held: World) -> None:
    asked(held)
    jobs = ask(held, answer_address(held, "approve"), sender=ALICE, message_id="answer1")
    held.clock.move(hours=25)
    assert held.act(*jobs) == []
    assert (subjects(held, ALICE)[1:], row_of(held)["status"]) == (["Your mail reached us too late"], "held")


def test_an_ask_ends_after_a_week(held: World) -> None:
    asked(held)
    to = answer_address(held, "approve")
    held.clock.move(days=7, seconds=1)
    assert held.act(*ask(held, to, sender=ALICE, message_id="answer1")) == []
    assert (held.row("answer1")["reason"], row_of(held)["status"]) == ("not_yours", "held")
    asked(held, message_id="again1")  # and Bob may ask again
    assert len([each for each in subjects(held, ALICE) if "asks for" in each]) == 2


def test_a_reference_of_the_message_is_none_of_an_ask(held: World) -> None:
    asked(held)
    forged = address(held, "approve")
    assert held.act(*ask(held, forged, sender=ALICE, message_id="answer1")) == []
    assert held.row("answer1")["reason"] == "not_yours"


def test_the_reference_of_an_ask_names_no_message(held: World) -> None:
    asked(held)
    reference = answer_address(held, "approve").partition("-")[2]
    assert held.act(*ask(held, f"preview-{reference}", message_id="answer1")) == []
    assert held.row("answer1")["reason"] == "not_yours"


def test_what_was_deleted_meanwhile_is_not_released(held: World) -> None:
    asked(held)
    assert held.act(*ask(held, address(held, "delete"), message_id="delete1")) == []
    answered(held, "approve")
    assert subjects(held, ALICE)[1:] == ["The message was deleted before"]
    assert row_of(held)["status"] == "deleted"


def test_an_answer_that_could_not_be_carried_out_leaves_the_question_open(held: World) -> None:
    asked(held)
    assert held.act(*ask(held, address(held, "delete"), message_id="delete1")) == []
    answered(held, "approve")
    client, table = held.session.client("dynamodb"), held.stack.environ["QUARANTINE_TABLE"]
    HeldRows(client, table).change(row_of(held), HeldStatus.HELD, "operator", held.clock.now)
    answered(held, "approve", message_id="answer2")
    assert row_of(held)["status"] == "released"


def test_a_virus_is_not_released_by_ses_and_the_question_stays_open(held: World) -> None:
    stored(held, mail=PHISH.replace(b"<2@", b"<5@"), key="held/5", reason="virus")
    asked(held)
    answered(held, "approve")
    assert subjects(held, ALICE)[1:] == ["This message cannot be released by mail"]
    assert row_of(held)["status"] == "held"
    answered(held, "refuse", message_id="answer2")
    assert subjects(held, ALICE)[2:] == ["You refused to release the message"]


def test_no_limit_binds_an_answer(held: World) -> None:
    asked(held)
    to = answer_address(held, "approve")
    event = asking(held, to, message_id="answer1", sender=ALICE)
    limited = replace(
        held,
        stack=replace(
            held.stack,
            environ={
                **held.stack.environ,
                "MAILBOX_ACTIONS_PER_HOUR": "1",
                "DOMAIN_REQUESTS_PER_HOUR": "1",
            },
        ),
    )
    assert limited.intake(event) == {"outcome": "accepted"}


def test_nothing_of_bobs_mail_reaches_the_administrator(held: World) -> None:
    event = asking(held, address(held, "ask"))
    for header in event["Records"][0]["ses"]["mail"]["headers"]:
        if header["name"] == "Subject":
            header["value"] = "please, this is private"
        if header["name"] == "From":
            header["value"] = f"Bobby Private <{BOB}>"
    held.intake(event)
    assert held.act(*held.actions()) == []
    raw = question(held).as_bytes()
    assert b"rivate" not in raw
    assert question(held)["In-Reply-To"] is None


def test_a_preview_that_imitates_our_block_stands_below_ours(held: World) -> None:
    fake = b"\r\nTo have it delivered, write to\r\n\r\napprove-1795426200-aaaaaaaaaaaaaaaa@x.example\r\n"
    mail = PHISH.replace(b"<2@", b"<6@").replace(b"\r\n\r\n", b"\r\n" + fake, 1)
    stored(held, mail=mail, key="held/6", reason="phishing")
    asked(held)
    assert "aaaaaaaaaaaaaaaa" not in answer_address(held, "approve")
    html = question(held).get_body(("html",))
    assert html is not None
    assert len(re.findall(r'href="mailto:approve-', html.get_content())) == 1
    assert "mailto:approve-1795426200-aaaa" not in html.get_content()


def test_a_mail_that_is_replayed_releases_nothing_again(held: World) -> None:
    asked(held)
    to = answer_address(held, "approve")
    for number in range(2):
        jobs = ask(held, to, sender=ALICE, message_id=f"answer{number}")
        assert held.act(*jobs, *jobs) == []
    released = [each for each in subjects(held, BOB) if each.startswith("The message that was held")]
    assert len(released) == 1
    assert subjects(held, ALICE)[1:] == ["You released the message", "This was answered before"]


# --- At the same moment ---


def acting_during(world: World, place: int, other: list[str]) -> Wire:
    """Return the wire of a process during whose call at this place another process does its job."""
    wire = Wire()
    begun: list[int] = []

    def meanwhile(**_: object) -> None:
        if len(wire.calls) == place + 1 and not begun:
            begun.append(place)
            assert world.act(*other) == []

    wire.session.events.register_last("before-call.*.*", meanwhile)
    return wire


@pytest.mark.parametrize("place", range(3, 14))
@pytest.mark.parametrize("word", ["approve", "refuse"])
def test_of_two_answers_at_once_one_counts(held: World, place: int, word: str) -> None:
    held.records.put_auth("example.com", administrators=[ALICE, IT])
    asked(held)
    to = {each: answer_address(held, each) for each in ("approve", word)}
    alices = ask(held, to["approve"], sender=ALICE, message_id="alice")
    its = ask(held, to[word], sender=IT, message_id="it")
    assert held.act(*alices, session=acting_during(held, place, its).session) == []
    answers = {held.row("alice")["answer"], held.row("it")["answer"]}
    assert "ruled_before" in answers
    assert len(answers & {"approved", "refused"}) == 1
    released = [each for each in subjects(held, BOB) if each.startswith("The message that was held")]
    assert len(released) == (row_of(held)["status"] == "released") == ("approved" in answers)
    assert len([each for each in subjects(held, BOB) if each.startswith("Your mail administrator")]) == 2


@pytest.mark.parametrize("place", range(3, 14))
def test_a_message_is_approved_or_deleted(held: World, place: int) -> None:
    asked(held)
    deletion = ask(held, address(held, "delete"), message_id="delete")
    approval = ask(held, answer_address(held, "approve"), sender=ALICE, message_id="answer")
    assert held.act(*approval, session=acting_during(held, place, deletion).session) == []
    answers = held.row("answer")["answer"], held.row("delete")["answer"]
    delivered = [each for each in subjects(held, BOB) if each.startswith("The message that was held")]
    match answers:
        case ("deleted_before", "deleted"):
            assert delivered == []
        case ("approved", "on_its_way" | "deleted"):  # a released message may be deleted
            assert len(delivered) == 1
        case _:
            raise AssertionError(answers)


# --- Where a process dies ---


def test_a_job_that_comes_back_after_an_approval_asks_nothing_again(held: World) -> None:
    """Its process died before the row said so; meanwhile the message was released, and it came back."""
    jobs = ask(held, address(held, "ask"))
    wire = Wire()
    wire.die_after(8)  # the mail to the administrator is noted
    with pytest.raises(ProcessDied):
        held.act(*jobs, session=wire.session)
    assert len(subjects(held, ALICE)) == 1
    answered(held, "approve")
    row = row_of(held)
    held.records.put("QUARANTINE_TABLE", row | {"status": "held"})
    held.clock.move(seconds=720)
    assert held.act(*jobs) == []
    assert len([each for each in subjects(held, ALICE) if "asks for" in each]) == 1


def test_who_was_not_told_yet_is_not_asked_what_is_answered(held: World) -> None:
    held.records.put_auth("example.com", administrators=[ALICE, IT])
    jobs = ask(held, address(held, "ask"))
    wire = Wire()
    wire.die_after(8)  # Alice is asked, and it is noted
    with pytest.raises(ProcessDied):
        held.act(*jobs, session=wire.session)
    answered(held, "refuse")
    held.clock.move(seconds=720)
    assert held.act(*jobs) == []
    assert (subjects(held, IT), held.row(MESSAGE_ID)["answer"]) == ([], "asked")


@pytest.mark.parametrize("place", range(12))
@pytest.mark.parametrize("word", ["ask", "approve", "refuse"])
def test_after_a_death_the_job_is_done_once(held: World, word: str, place: int) -> None:
    """A mail is sent twice only if the process dies after SES accepted it, before a row says so."""
    if word == "ask":
        jobs = ask(held, address(held, "ask"))
    else:
        asked(held)
        jobs = ask(held, answer_address(held, word), sender=ALICE, message_id="answer1")
    before = len(mails(held))
    wire = Wire()
    wire.die_after(place)
    try:
        assert held.act(*jobs, session=wire.session) == []
    except ProcessDied:
        held.clock.move(seconds=720)
        assert held.act(*jobs) == []
    sent = [(mail["To"], str(mail["Subject"])) for mail in mails(held)[before:]]
    expected = {"ask": 2, "approve": 3, "refuse": 2}[word]
    assert len(set(sent)) == expected
    is_window = place < len(wire.calls) and wire.calls[min(place, len(wire.calls) - 1)] == (
        "sesv2",
        "SendEmail",
    )
    assert len(sent) <= expected + is_window
    assert held.row("answer1" if word != "ask" else MESSAGE_ID)["status"] == "done"
