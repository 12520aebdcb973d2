"""The process of act dies around each AWS call, and SQS delivers the job again."""

import pytest

from quarantine.feedback.tags import MailKind
from tests.feedback.test_event import sending
from tests.functions.actions import BOB, MESSAGE_ID, SALES, address, ask, mails, row_of, stored
from tests.functions.faults import Call, ProcessDied, Wire
from tests.functions.test_feedback import about
from tests.world import World

CLAIM: Call = ("dynamodb", "UpdateItem")
RIGHTS: Call = ("dynamodb", "ExecuteStatement")
FIND: Call = ("dynamodb", "Query")
READ: Call = ("s3", "GetObject")
CHANGE: Call = ("dynamodb", "UpdateItem")
SEND: Call = ("sesv2", "SendEmail")
SETTLE: Call = ("dynamodb", "UpdateItem")

CALLS = {
    "preview": [CLAIM, RIGHTS, FIND, READ, SEND, SETTLE],
    # released: taken, named in the request, sent, noted as sent
    "release": [CLAIM, RIGHTS, FIND, READ, CHANGE, CHANGE, SEND, CHANGE, SETTLE],
    "delete": [CLAIM, RIGHTS, FIND, CHANGE, SEND, SETTLE],
}
# SES accepted the mail, and no row says so: the only places where a crash sends a mail twice.
TWICE = {
    "preview": {("after", 4), ("before", 5)},
    "release": {("after", 6), ("before", 7)},
    "delete": {("after", 4), ("before", 5)},
}
LEFT = {"preview": "held", "release": "released", "delete": "deleted"}


@pytest.fixture
def held(world: World) -> World:
    world.records.put_relay("example.com", "192.0.2.0/24")
    stored(world)
    return world


@pytest.mark.parametrize("action", CALLS)
def test_the_calls_of_an_action(held: World, action: str) -> None:
    wire = Wire()
    assert held.act(*ask(held, address(held, action)), session=wire.session) == []
    assert wire.calls == CALLS[action]


@pytest.mark.parametrize(
    ("action", "place"), [(action, place) for action, calls in CALLS.items() for place in range(len(calls))]
)
@pytest.mark.parametrize("where", ["before", "after"])
def test_act_dies_and_the_job_comes_again(held: World, action: str, place: int, where: str) -> None:
    (job,) = ask(held, address(held, action))
    wire = Wire()
    (wire.die_before if where == "before" else wire.die_after)(place)
    with pytest.raises(ProcessDied):
        held.act(job, session=wire.session)
    held.clock.move(seconds=720)  # the queue's visibility timeout
    assert held.act(job) == []
    assert len(held.sent()) == (2 if (where, place) in TWICE[action] else 1)
    assert held.row(MESSAGE_ID)["status"] == "done"
    assert row_of(held)["status"] == LEFT[action]


@pytest.mark.parametrize("place", range(len(CALLS["release"]) + 1))
def test_a_release_for_a_shared_mailbox_is_answered_once_it_is_released(held: World, place: int) -> None:
    held.records.put_auth(BOB, ["dmarc"], mailboxes=[SALES])
    stored(held, SALES, key="held/2")
    (job,) = ask(held, address(held, "release", SALES))
    wire = Wire()
    wire.die_before(place)
    with pytest.raises(ProcessDied):
        held.act(job, session=wire.session)
    held.clock.move(seconds=720)
    assert held.act(job) == []
    assert row_of(held, SALES)["status"] == "released"
    assert mails(held)[-1]["Subject"] == "The message was released"


def test_nothing_is_delivered_after_a_deletion_was_answered(held: World) -> None:
    """The release died before SES had the mail; its lease is over when the deletion comes."""
    (release,) = ask(held, address(held, "release"))
    wire = Wire()
    wire.die_before(6)
    with pytest.raises(ProcessDied):
        held.act(release, session=wire.session)
    assert held.act(*ask(held, address(held, "delete"), message_id="early")) == []
    assert mails(held)[-1]["Subject"] == "The message is on its way"
    held.clock.move(seconds=720)
    assert held.act(*ask(held, address(held, "delete"), message_id="late")) == []
    assert mails(held)[-1]["Subject"] == "The message was deleted"
    assert held.act(release) == []
    assert mails(held)[-1]["Subject"] == "The message was deleted before"
    assert len(held.sent()) == 3


def test_a_mail_that_came_back_before_the_release_was_recorded_is_not_sent_again(held: World) -> None:
    (job,) = ask(held, address(held, "release"))
    wire = Wire()
    wire.die_after(6)  # SES has accepted it
    with pytest.raises(ProcessDied):
        held.act(job, session=wire.session)
    reject = about(sending("reject"), MailKind.RELEASE, MESSAGE_ID)
    assert held.feedback(reject) == []
    assert row_of(held)["status"] == "held"
    held.clock.move(seconds=720)
    assert held.act(job) == []
    assert [str(mail["Subject"]) for mail in mails(held)] == [
        "The message that was held for bob@example.com",
        "The message did not arrive",
    ]
    assert held.row(MESSAGE_ID)["status"] == "failed"
    assert row_of(held)["status"] == "held"


def test_a_preview_that_killed_the_process_twice_is_not_tried_again(held: World) -> None:
    (job,) = ask(held, address(held, "preview"))
    for _ in range(2):
        wire = Wire()
        wire.die_after(3)
        with pytest.raises(ProcessDied):
            held.act(job, session=wire.session)
        held.clock.move(seconds=720)
    wire = Wire()
    assert held.act(job, session=wire.session) == []
    assert READ not in wire.calls
    (mail,) = mails(held)
    assert "cannot be shown" in str(mail.get_body(("plain",)))
    assert held.row(MESSAGE_ID)["reason"] == "unreadable"
