"""What act does to a held message, whom it tells, and what it leaves alone."""

from email.message import EmailMessage

import pytest

from quarantine.acting.rules import Action
from tests.functions.actions import (
    BOB,
    CAROL,
    DOMAIN,
    MESSAGE_ID,
    SALES,
    SPAM,
    address,
    ask,
    asking,
    mails,
    reference,
    row_of,
    stored,
    text_of,
)
from tests.world import World


@pytest.fixture
def held(world: World) -> World:
    """A spam is stored and held for Bob, whose server may relay."""
    world.records.put_relay("example.com", "192.0.2.0/24")
    stored(world)
    return world


def original_of(mail: EmailMessage) -> bytes:
    *_, attached = mail.iter_attachments()
    content = attached.get_content()
    return content if isinstance(content, bytes) else content.as_bytes()


def answer(world: World) -> tuple[str, str]:
    """Return the last mail's envelope recipient and subject."""
    return world.destinations()[-1][0], str(mails(world)[-1]["Subject"])


# --- The three actions ---


def test_a_preview_shows_the_text_and_changes_nothing(held: World) -> None:
    before = row_of(held)
    assert held.act(*ask(held, address(held, "preview"))) == []
    (mail,) = mails(held)
    assert mail["To"] == BOB
    assert "| It waits at the gate." in text_of(mail)
    assert address(held, "release") in text_of(mail)
    assert row_of(held) == before


def test_a_release_delivers_the_original_to_its_mailbox(held: World) -> None:
    assert held.act(*ask(held, address(held, "release"))) == []
    (mail,) = mails(held)
    assert held.destinations() == [[BOB]]
    assert b"It waits at the gate." in original_of(mail)
    row = row_of(held)
    assert (row["status"], row["acted_by"], row["released_for"]) == ("released", BOB, MESSAGE_ID)
    assert "lease_until" not in row


def test_a_deleted_message_is_in_no_report(held: World) -> None:
    assert held.act(*ask(held, address(held, "delete"))) == []
    assert answer(held) == (BOB, "The message was deleted")
    assert row_of(held)["status"] == "deleted"
    held.intake(asking(held, f"manual-report-request@{DOMAIN}", message_id="r2"))
    assert held.report(*held.jobs()) == []
    assert held.row("r2")["status"] == "empty"


def test_a_release_for_another_mailbox_goes_there_and_bob_is_told(held: World) -> None:
    held.records.put_auth(BOB, ["dmarc"], mailboxes=[SALES])
    stored(held, SALES, key="held/2")
    assert held.act(*ask(held, address(held, "release", SALES))) == []
    released, told = mails(held)
    assert held.destinations() == [[SALES], [BOB]]
    assert b"It waits at the gate." in original_of(released)
    assert told["Subject"] == "The message was released"
    assert "Your parcel" in text_of(told)
    assert row_of(held, SALES)["status"] == "released"


# --- Again, and in another state ---

AGAIN = {
    ("release", "release"): "The message was released before",
    ("release", "preview"): "Preview of a message held for bob@example.com",
    ("release", "delete"): "The message was deleted",
    ("delete", "release"): "The message was deleted before",
    ("delete", "preview"): "The message was deleted before",
    ("delete", "delete"): "The message was deleted before",
}


@pytest.mark.parametrize(("first", "then"), AGAIN, ids=" then ".join)
def test_a_second_action_is_answered_by_what_the_first_one_did(held: World, first: str, then: str) -> None:
    assert held.act(*ask(held, address(held, first))) == []
    assert held.act(*ask(held, address(held, then), message_id="second")) == []
    assert len(mails(held)) == 2
    assert answer(held) == (BOB, AGAIN[first, then])
    assert held.row("second")["status"] == "done"


@pytest.mark.parametrize("action", Action)
def test_what_has_expired_is_no_longer_kept(held: World, action: Action) -> None:
    held.clock.move(days=60)
    assert held.act(*ask(held, address(held, action))) == []
    assert answer(held) == (BOB, "The message is no longer kept")


def test_two_readers_who_release_at_the_same_moment_release_once(held: World) -> None:
    for reader in (BOB, CAROL):
        held.records.put_auth(reader, ["dmarc"], mailboxes=[SALES])
    stored(held, SALES, key="held/2")
    jobs = ask(held, address(held, "release", SALES), message_id="one")
    jobs += ask(held, address(held, "release", SALES), message_id="two", sender=CAROL)
    assert held.act(*jobs) == []
    assert sorted(to for (to,) in held.destinations()) == [BOB, CAROL, SALES]
    assert answer(held) == (CAROL, "The message was released before")


# --- What is not done ---


def test_a_mail_of_yesterday_is_too_late(held: World) -> None:
    jobs = ask(held, address(held, "delete"))
    held.clock.move(hours=24, seconds=1)
    assert held.act(*jobs) == []
    assert answer(held) == (BOB, "Your mail reached us too late")
    assert row_of(held)["status"] == "held"


@pytest.mark.parametrize("action", Action)
def test_actions_that_are_switched_off_do_nothing(held: World, action: Action) -> None:
    assert held.act(*ask(held, address(held, action)), USER_ACTIONS="none") == []
    assert answer(held) == (BOB, "This is not possible here")
    assert row_of(held)["status"] == "held"


def test_a_reason_that_users_may_not_release_stays_held(held: World) -> None:
    stored(held, key="held/phish", mail=SPAM.replace(b"<1@", b"<2@"), reason="phishing")
    assert held.act(*ask(held, address(held, "release"))) == []
    assert answer(held) == (BOB, "You cannot release this message yourself")
    assert {row_of(held)["status"], row_of(held)["reason"]} == {"held", "phishing"}


def test_a_message_of_which_only_the_row_is_kept_can_be_deleted_alone(held: World) -> None:
    held.session.client("s3").delete_object(Bucket=held.stack.environ["MAIL_BUCKET"], Key="held/1")
    for number, action in enumerate(("preview", "release")):
        assert held.act(*ask(held, address(held, action), message_id=f"m{number}")) == []
        assert answer(held) == (BOB, "The message itself is not stored")
    assert held.act(*ask(held, address(held, "delete"), message_id="last")) == []
    assert row_of(held)["status"] == "deleted"


@pytest.mark.parametrize("action", ["preview", "release"])
def test_an_object_that_was_overwritten_after_it_was_judged_is_not_used(held: World, action: str) -> None:
    held.session.client("s3").put_object(
        Bucket=held.stack.environ["MAIL_BUCKET"], Key="held/1", Body=SPAM + b"evil"
    )
    assert held.act(*ask(held, address(held, action))) == []
    assert answer(held) == (BOB, "The message was changed")
    assert row_of(held)["status"] == "held"


def test_a_mail_that_does_not_fit_into_a_mail_stays_held(
    held: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarantine.release.attachment.LARGEST", len(SPAM) - 1)
    assert held.act(*ask(held, address(held, "release"))) == []
    assert answer(held) == (BOB, "The message is too large to be released")
    assert row_of(held)["status"] == "held"


# --- Whose message it is ---


def foreign(held: World) -> str:
    stored(held, CAROL, key="held/carol")
    return address(held, "release", CAROL)


def altered(held: World) -> str:
    code = reference(held).code
    return address(held, "release").replace(code, code[:-1] + ("a" if code[-1] != "a" else "b"))


def of_another_second(held: World) -> str:
    seconds, _, code = str(reference(held)).partition("-")
    return f"release-{int(seconds) + 1}-{code}@{DOMAIN}"


@pytest.mark.parametrize("wrong", [foreign, altered, of_another_second])
def test_a_reference_of_nothing_of_the_requesters_is_met_with_silence(held: World, wrong: object) -> None:
    assert callable(wrong)
    assert held.act(*ask(held, wrong(held))) == []
    assert held.sent() == []
    row = held.row(MESSAGE_ID)
    assert (row["status"], row["reason"]) == ("refused", "not_yours")
    assert row_of(held)["status"] == "held"


def test_a_mailbox_that_was_taken_away_meanwhile_is_not_theirs(held: World) -> None:
    held.records.put_auth(BOB, ["dmarc"], mailboxes=[SALES])
    stored(held, SALES, key="held/2")
    jobs = ask(held, address(held, "release", SALES))
    held.records.put_auth(BOB, ["dmarc"])
    assert held.act(*jobs) == []
    assert held.sent() == []


def test_a_requester_who_was_denied_meanwhile_gets_nothing(held: World) -> None:
    jobs = ask(held, address(held, "release"))
    held.records.put_auth("example.com", deny=True)
    assert held.act(*jobs) == []
    assert held.sent() == []
    assert held.row(MESSAGE_ID)["reason"] == "denied"


# --- Several commands in one mail ---


def test_one_mail_may_ask_for_several_things(held: World) -> None:
    jobs = ask(held, f"manual-report-request@{DOMAIN}", address(held, "preview"), address(held, "delete"))
    assert len(held.jobs()) == 1
    assert held.act(*jobs) == []
    assert [held.row(f"{MESSAGE_ID}{end}")["command"] for end in ("", ".2", ".3")] == [
        "report",
        "preview",
        "delete",
    ]
    assert len(mails(held)) == 2


def test_a_mail_that_asks_for_more_than_ten_things_is_refused_as_a_whole(held: World) -> None:
    one = address(held, "preview")
    seconds = int(one.split("-")[1])
    many = [one.replace(str(seconds), str(seconds + number)) for number in range(11)]
    assert held.intake(asking(held, *many)) == {"outcome": "too_much"}
    assert held.actions() == []
    assert held.row(MESSAGE_ID)["status"] == "refused"
    assert held.row(f"{MESSAGE_ID}.2") == {}


def test_an_action_has_no_cooldown_and_a_limit_of_its_own(held: World) -> None:
    for number in range(3):
        assert len(ask(held, address(held, "preview"), message_id=f"m{number}")) == 1
    event = asking(held, address(held, "preview"), message_id="m3")
    assert held.intake(event, MAILBOX_ACTIONS_PER_HOUR="3") == {"outcome": "too_much"}
    report = asking(held, f"manual-report-request@{DOMAIN}", message_id="m4")
    assert held.intake(report, MAILBOX_ACTIONS_PER_HOUR="3") == {"outcome": "accepted"}


def test_a_report_that_comes_too_soon_does_not_stop_the_actions_beside_it(held: World) -> None:
    ask(held, f"manual-report-request@{DOMAIN}", message_id="m0")
    event = asking(held, f"manual-report-request@{DOMAIN}", address(held, "delete"))
    assert held.intake(event) == {"outcome": "too_soon, accepted"}
    assert held.act(*held.actions()) == []
    assert row_of(held)["status"] == "deleted"
    assert held.intake(event) == {"outcome": "refused, done"}


# --- What a row keeps ---


def test_a_reference_is_shortened_wherever_others_can_read_it(
    held: World, capsys: pytest.CaptureFixture[str]
) -> None:
    code = reference(held).code
    assert held.act(*ask(held, address(held, "delete"))) == []
    row = held.row(MESSAGE_ID)
    assert code not in str(row)
    assert code[:4] in str(row["asked"])
    assert code not in capsys.readouterr().out
