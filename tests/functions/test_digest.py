"""Scheduled reports: hold makes readers due, digest asks for their reports, and report tells what is new."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from functions.digest import app as digest_app
from quarantine.feedback.tags import MailKind
from quarantine.mail.addresses import Address
from quarantine.services import digesting
from quarantine.services.digesting import digest_id
from tests.feedback.test_event import sending
from tests.functions.actions import BOB, CAROL, DOMAIN, SALES, SPAM, asking, mails, stored, text_of
from tests.functions.faults import Call, ProcessDied, Wire
from tests.functions.test_feedback import about
from tests.functions.test_hold import store
from tests.world import World

TRIGGER = f"manual-report-request@{DOMAIN}"


@pytest.fixture
def company(world: World) -> World:
    """A relay of the company, and a schedule for it: every day at 07:00. It is noon, after S3's own time."""
    world.clock.now = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(
        days=1
    )
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_digest("example.com", "07:00", now=world.clock.now)
    return world


def hold(world: World, number: int = 1, mailbox: str = BOB) -> None:
    mail = SPAM.replace(b"<1@", f"<{number}@".encode()).replace(b"Your parcel", f"Parcel {number}".encode())
    stored(world, mailbox, mail, key=f"held/{number}")


def prove(world: World, sender: str = BOB, message_id: str = "first") -> None:
    """Let a person ask for a report, before anything is held for them."""
    assert world.intake(asking(world, TRIGGER, message_id=message_id, sender=sender))["outcome"] == "accepted"
    assert world.report(*world.jobs()) == []


def seven(world: World) -> None:
    """Wait for the next 07:00."""
    now = world.clock.now
    day = now if now.hour < 7 else now + timedelta(days=1)
    world.clock.now = day.replace(hour=7, minute=0, second=0, microsecond=0)


def tick(world: World) -> list[str]:
    """Let digest and report run; return the Subjects of the mails that were sent then."""
    before = len(world.sent())
    world.digest()
    assert world.report(*world.jobs()) == []
    return [str(mail["Subject"]) for mail in mails(world)[before:]]


def reader(world: World, address: str = BOB) -> dict[str, Any]:
    response = world.session.client("dynamodb").get_item(
        TableName=world.stack.environ["MAILBOXES_TABLE"], Key={"reader": {"S": address}}
    )
    return {name: next(iter(value.values())) for name, value in response.get("Item", {}).items()}


NEW = f"Held mail for {BOB}: 1 new message"


def test_who_was_proven_gets_a_report_of_what_is_new_at_the_next_time(company: World) -> None:
    prove(company)
    hold(company)
    assert tick(company) == []
    seven(company)
    assert tick(company) == [NEW]
    (mail,) = mails(company)
    assert (mail["To"], mail["Auto-Submitted"]) == (BOB, "auto-generated")
    assert mail["List-Unsubscribe"] == f"<mailto:digest-off@{DOMAIN}>"
    assert mail["In-Reply-To"] is None
    text = text_of(mail)
    assert "Parcel 1" in text
    assert "by itself" in text
    assert f"digest-off@{DOMAIN}" in text
    row = company.row(digest_id(Address.parse(BOB), company.clock.now))
    assert (row["command"], row["status"], row["requester"]) == ("digest", "sent", BOB)
    assert row["detail"] == "07:00 every day, UTC, by the digest record of example.com"


def test_nothing_is_sent_where_nothing_is_new(company: World) -> None:
    prove(company)
    hold(company)
    seven(company)
    assert tick(company) == [NEW]
    for _ in range(3):
        seven(company)
        company.clock.move(minutes=1)
        assert tick(company) == []
    assert "due_at" not in reader(company)


def test_the_next_digest_lists_what_is_new_and_counts_the_rest(company: World) -> None:
    prove(company)
    hold(company, 1)
    seven(company)
    tick(company)
    company.clock.move(hours=9)
    hold(company, 2)
    seven(company)
    assert tick(company) == [NEW]
    text = text_of(mails(company)[-1])
    assert "Parcel 2" in text
    assert "Parcel 1" not in text
    assert "1 more is held, which an earlier report listed." in " ".join(text.split())


def test_a_requested_report_counts_as_told(company: World) -> None:
    prove(company)
    hold(company)
    company.clock.move(minutes=10)
    prove(company, message_id="second")
    assert len(mails(company)) == 1
    seven(company)
    assert tick(company) == []


@pytest.mark.parametrize("subject", ["find parcel", "last 7 days"])
def test_a_part_of_a_report_does_not(company: World, subject: str) -> None:
    prove(company)
    hold(company)
    event = asking(company, TRIGGER, message_id="second")
    for header in event["Records"][0]["ses"]["mail"]["headers"]:
        if header["name"] == "Subject":
            header["value"] = subject
    company.intake(event)
    assert company.report(*company.jobs()) == []
    assert len(mails(company)) == 1
    seven(company)
    assert tick(company) == [NEW]


@pytest.mark.parametrize("status", ["released", "deleted"])
def test_what_is_gone_meanwhile_is_not_new(company: World, status: str) -> None:
    prove(company)
    now = company.clock.now
    company.records.put_held(BOB, "<1@x>", now, "a@b.example", "Gone", status=status)
    company.records.put_held(BOB, "<2@x>", now, "a@b.example", "Over", expires_at=int(now.timestamp()) + 60)
    hold(company, 3)
    seven(company)
    assert tick(company) == [NEW]


def test_a_row_that_was_written_late_is_told_of(company: World) -> None:
    prove(company)
    hold(company, 1)
    seven(company)
    tick(company)
    old, now = company.clock.now - timedelta(days=5), company.clock.now + timedelta(hours=1)
    company.records.put_held(BOB, "<2@x>", old, "a@b.example", "Late", noted_at=now.isoformat())
    company.clock.move(hours=2)
    hold(company, 3)
    seven(company)
    assert tick(company) == [f"Held mail for {BOB}: 2 new messages"]
    assert "Late" in text_of(mails(company)[-1])


def test_one_mail_costs_one_write_where_a_schedule_covers_it_and_none_elsewhere(company: World) -> None:
    calls = {}
    for mailbox in (BOB, "eve@elsewhere.example"):
        store(company, f"held/{mailbox}", SPAM, recipients=mailbox, reason="spam")
        wire = Wire()
        assert company.hold(*company.held_messages(), session=wire.session) == []
        calls[mailbox] = wire.calls
    rest: list[Call] = [("s3", "GetObject"), ("dynamodb", "PutItem"), ("s3", "PutObjectTagging")]
    schedule, due = ("dynamodb", "Query"), ("dynamodb", "UpdateItem")
    assert sorted(calls[BOB]) == sorted([*rest, schedule, due])
    assert sorted(calls["eve@elsewhere.example"]) == sorted([*rest, schedule])


def test_hold_reads_the_schedules_once_a_minute(company: World) -> None:
    store(company, "held/1", SPAM, recipients=f"{BOB},{CAROL},{SALES}", reason="spam")
    (first,) = company.held_messages()
    wire = Wire()
    assert company.hold(first, first, first, session=wire.session) == []
    assert wire.calls.count(("dynamodb", "Query")) == 1


def test_a_tick_with_nobody_due_costs_sixteen_queries(company: World) -> None:
    prove(company)
    hold(company)
    wire = Wire()
    assert company.digest(session=wire.session) == {"due": 0, "made": 0}
    assert wire.calls == [("dynamodb", "Query")] * 16


def test_a_digest_costs_its_reader_two_writes_and_a_share_of_the_reads(company: World) -> None:
    company.records.put_digest("example.com", "07:00", everyone=True)
    for number in range(40):
        hold(company, number, f"user{number}@example.com")
    seven(company)
    wire = Wire()
    assert company.digest(session=wire.session) == {"due": 40, "made": 40}
    assert wire.calls.count(("dynamodb", "PutItem")) == 40
    assert wire.calls.count(("dynamodb", "UpdateItem")) == 40
    pages = 16  # one for each shard here; of up to a hundred readers
    assert wire.calls.count(("dynamodb", "BatchGetItem")) <= 2 * pages
    assert len(company.jobs()) == 40


# --- Who gets none ---


def no_record(world: World) -> None:
    world.session.client("dynamodb").delete_item(
        TableName=world.stack.environ["SENDERS_TABLE"],
        Key={"principal": {"S": "example.com"}, "record": {"S": "digest"}},
    )


WITHOUT: dict[str, Callable[[World], None]] = {
    "no_schedule": no_record,
    "switched_off": lambda world: world.records.put_digest(BOB),
    "unreadable": lambda world: world.records.put(
        "SENDERS_TABLE", {"principal": BOB, "record": "digest", "at": {"7"}, "zone": "UTC"}
    ),
    "denied": lambda world: world.records.put_auth(BOB, deny=True),
}


@pytest.mark.parametrize("reason", WITHOUT)
def test_a_change_of_the_administrator_counts_at_once(company: World, reason: str) -> None:
    prove(company)
    hold(company)
    WITHOUT[reason](company)
    seven(company)
    assert tick(company) == []
    assert "due_at" not in reader(company)


def test_held_mail_for_strangers_makes_no_mail_and_leaves_nothing_behind(company: World) -> None:
    """A leaked credential of hold, or a filter that holds mail for users who do not exist."""
    company.records.put_digest("*", "07:00")
    for number, mailbox in enumerate(("nobody@example.com", "victim@elsewhere.example", f"x@{DOMAIN}")):
        hold(company, number, mailbox)
    seven(company)
    assert tick(company) == []
    assert [reader(company, each) for each in ("nobody@example.com", "victim@elsewhere.example")] == [{}, {}]


def test_everyone_of_a_domain_gets_one(company: World) -> None:
    company.records.put_digest("example.com", "07:00", everyone=True)
    hold(company, 1, CAROL)
    seven(company)
    assert tick(company) == [f"Held mail for {CAROL}: 1 new message"]


def test_everyone_on_the_record_of_everybody_counts_for_nothing(company: World) -> None:
    no_record(company)
    company.records.put_digest("*", "07:00", everyone=True)
    hold(company, 1, CAROL)
    seven(company)
    assert tick(company) == []


def test_the_schedule_of_everybody_covers_a_known_domain(company: World) -> None:
    no_record(company)
    company.records.put_digest("*", "07:00")
    prove(company)
    hold(company)
    seven(company)
    assert tick(company) == [NEW]


@pytest.mark.parametrize("event", ["bounce_permanent", "complaint"])
def test_a_digest_that_bounces_is_the_last_until_they_ask_again(company: World, event: str) -> None:
    prove(company)
    hold(company, 1)
    seven(company)
    assert tick(company) == [NEW]
    failed = about(sending(event), MailKind.DIGEST, digest_id(Address.parse(BOB), company.clock.now))
    failed["detail"][event.partition("_")[0]]["timestamp"] = company.clock.now.isoformat()
    assert company.feedback(failed) == []
    hold(company, 2)
    seven(company)
    assert tick(company) == []
    prove(company, message_id="again")
    assert len(mails(company)) == 2
    hold(company, 3)
    seven(company)
    assert tick(company) == [NEW]


def test_a_bounce_for_the_moment_stops_nothing(company: World) -> None:
    prove(company)
    hold(company, 1)
    seven(company)
    tick(company)
    late = about(
        sending("bounce_transient"), MailKind.DIGEST, digest_id(Address.parse(BOB), company.clock.now)
    )
    assert company.feedback(late) == []
    assert "bounced_at" not in reader(company)


# --- Shared mailboxes ---


def test_a_shared_mailbox_is_told_to_each_who_sees_it_on_their_own_schedule(company: World) -> None:
    for each in (BOB, CAROL):
        company.records.put_auth(each, mailboxes=[SALES])
        prove(company, each, message_id=each.partition("@")[0])
    company.records.put_digest(CAROL, "15:00")
    for each in (BOB, CAROL):  # something of their own: from then on they are due at each of their times
        hold(company, len(each), each)
    carols = [f"Held mail for {CAROL}: 1 new message"]
    company.clock.move(hours=3)
    assert tick(company) == carols
    seven(company)
    assert tick(company) == [NEW]
    hold(company, 99, SALES)
    company.clock.move(hours=8)
    assert tick(company) == carols
    assert "Parcel 99" in text_of(mails(company)[-1])
    seven(company)
    assert tick(company) == [NEW]
    company.clock.move(hours=8)
    assert tick(company) == []


# --- Crashes, and two runs at once ---


@pytest.fixture
def due(company: World) -> World:
    prove(company)
    hold(company)
    seven(company)
    return company


DIGEST_CALLS = 16 + 7  # the queries; then: rows, facts, facts, (no digest before), request, job, move


def calls_of_a_digest(world: World) -> list[Call]:
    wire = Wire()
    world.digest(session=wire.session)
    return wire.calls


def test_the_calls_of_a_digest(due: World) -> None:
    calls = calls_of_a_digest(due)
    assert calls[16:] == [
        ("dynamodb", "BatchGetItem"),
        ("dynamodb", "ExecuteStatement"),
        ("dynamodb", "BatchGetItem"),
        ("dynamodb", "PutItem"),
        ("sqs", "SendMessageBatch"),
        ("dynamodb", "UpdateItem"),
    ]


@pytest.mark.parametrize("place", range(15, 22))
@pytest.mark.parametrize("where", ["before", "after"])
def test_digest_dies_and_the_next_run_does_its_work(due: World, where: str, place: int) -> None:
    wire = Wire()
    (wire.die_before if where == "before" else wire.die_after)(place)
    with pytest.raises(ProcessDied):
        due.digest(session=wire.session)
    assert due.report(*due.jobs()) == []
    due.clock.move(minutes=5)
    tick(due)
    assert [str(mail["Subject"]) for mail in mails(due)] == [NEW]
    due.clock.move(minutes=5)
    assert tick(due) == []


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("where", ["before", "after"])
def test_report_dies_over_a_digest_and_the_job_comes_again(due: World, where: str, place: int) -> None:
    due.digest()
    (job,) = due.jobs()
    wire = Wire()
    (wire.die_before if where == "before" else wire.die_after)(place)
    with pytest.raises(ProcessDied):
        due.report(job, session=wire.session)
    slot = due.clock.now
    due.clock.move(minutes=3)
    assert due.report(job) == []
    # SES took the mail, and nothing says so.
    is_twice = (where, place) in {("after", 3), ("before", 4)}
    assert len(mails(due)) == (2 if is_twice else 1)
    assert due.row(digest_id(Address.parse(BOB), slot))["status"] == "sent"
    seven(due)
    assert tick(due) == []


def test_two_runs_at_once_make_one_digest(due: World) -> None:
    due.digest()
    due.session.client("dynamodb").update_item(  # as the index still shows it to another run
        TableName=due.stack.environ["MAILBOXES_TABLE"],
        Key={"reader": {"S": BOB}},
        UpdateExpression="SET due_at = :due",
        ExpressionAttributeValues={":due": {"N": str(int(due.clock.now.timestamp()))}},
    )
    due.digest()
    jobs = due.jobs()
    assert len(jobs) == 2  # the second finds the request open, and its job may be lost
    assert due.report(*jobs) == []
    assert len(mails(due)) == 1


def test_a_reader_has_one_open_digest(due: World) -> None:
    due.digest()
    (waiting,) = due.jobs()
    hold(due, 2)
    assert due.report(waiting) == []
    assert [str(mail["Subject"]) for mail in mails(due)] == [f"Held mail for {BOB}: 2 new messages"]


def test_while_a_digest_is_open_no_other_is_made(due: World) -> None:
    due.records.put_digest("example.com", "07:00", "09:00", now=due.clock.now)
    assert due.digest()["made"] == 1
    (waiting,) = due.jobs()
    hold(due, 2)
    due.clock.now = due.clock.now.replace(hour=9)
    assert due.digest() == {"due": 1, "made": 0}
    assert due.report(waiting) == []
    assert [str(mail["Subject"]) for mail in mails(due)] == [f"Held mail for {BOB}: 2 new messages"]
    due.clock.move(minutes=5)
    assert tick(due) == []


def test_a_digest_that_is_lost_keeps_its_reader_from_others_for_a_day_only(due: World) -> None:
    due.digest()
    assert len(due.jobs()) == 1  # lost
    seven(due)
    due.clock.move(minutes=1)
    assert tick(due) == [NEW]


def test_what_is_held_while_a_digest_is_made_is_told_the_next_time(due: World) -> None:
    """Hold finds the reader due still, and digest then makes them due for the next time."""
    due.digest()
    (job,) = due.jobs()
    assert due.report(job) == []
    hold(due, 2)
    seven(due)
    assert tick(due) == [NEW]


def test_two_reports_to_one_reader_do_not_lose_what_the_other_told(due: World) -> None:
    """A requested report reads the row of its reader, and a digest writes it before it does."""
    due.digest()
    (digest,) = due.jobs()
    due.intake(asking(due, TRIGGER, message_id="second"))
    (requested,) = due.jobs()
    wire = Wire()

    def meanwhile(**_: object) -> None:
        assert due.report(digest) == []

    wire.session.events.register_first("before-call.sesv2.SendEmail", meanwhile)
    assert due.report(requested, session=wire.session) == []
    assert reader(due)["version"] == "2"
    seven(due)
    assert tick(due) == []


def test_two_digests_of_one_reader_are_not_sent_at_once(due: World) -> None:
    due.digest()
    (job,) = due.jobs()
    due.session.client("dynamodb").update_item(
        TableName=due.stack.environ["MAILBOXES_TABLE"],
        Key={"reader": {"S": BOB}},
        UpdateExpression="SET telling = :other, telling_until = :until",
        ExpressionAttributeValues={
            ":other": {"S": "digest-other"},
            ":until": {"N": str(int(due.clock.now.timestamp()) + 30)},
        },
    )
    assert due.report(job) == ["0"]
    due.clock.move(minutes=1)
    assert due.report(job) == []
    assert len(mails(due)) == 1


def test_what_fails_for_one_page_keeps_no_other_reader_from_their_digest(due: World) -> None:
    wire = Wire()
    error = ClientError({"Error": {"Code": "InternalFailure"}}, "PutItem")
    wire.fail("dynamodb", "PutItem", error)
    with pytest.raises(ClientError):
        due.digest(session=wire.session)
    due.clock.move(minutes=5)
    assert tick(due) == [NEW]


def test_a_schedule_in_another_zone_gives_its_own_time(company: World) -> None:
    company.records.put_digest(BOB, "07:00", zone="Asia/Kolkata", now=company.clock.now)
    prove(company)
    hold(company)
    now = company.clock.now
    company.clock.now = datetime(now.year, now.month, now.day, 1, 30, tzinfo=UTC) + timedelta(days=1)
    assert tick(company) == [NEW]
    assert "UTC+05:30" in text_of(mails(company)[-1])


def test_a_report_that_was_asked_for_is_sent_once_even_if_what_it_told_cannot_be_recorded(due: World) -> None:
    due.intake(asking(due, TRIGGER, message_id="second"))
    wire = Wire()
    calls = 0

    def denied(params: dict[str, Any], **_: object) -> None:
        nonlocal calls
        if "told = :told" in str(params["body"]):
            calls += 1
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "UpdateItem")

    wire.session.events.register_first("before-call.dynamodb.UpdateItem", denied)
    assert due.report(*due.jobs(), session=wire.session) == []
    assert (len(mails(due)), calls, due.row("second")["status"]) == (1, 1, "sent")
    assert tick(due) == [NEW]  # it does not count as told


def test_a_digest_that_cannot_be_recorded_is_sent_three_times_at_most(due: World) -> None:
    due.digest()
    (job,) = due.jobs()
    wire = Wire()

    def denied(params: dict[str, Any], **_: object) -> None:
        if "told = :told" in str(params["body"]):
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "UpdateItem")

    wire.session.events.register_first("before-call.dynamodb.UpdateItem", denied)
    for _ in range(9):
        due.report(job, session=wire.session)
        due.clock.move(minutes=3)
    assert len(mails(due)) == 3


@pytest.mark.parametrize("attribute", ["told", "version", "due_at"])
def test_a_row_that_cannot_be_read_sends_no_digest_and_what_was_asked_for(due: World, attribute: str) -> None:
    due.digest()
    (job,) = due.jobs()
    due.records.put("MAILBOXES_TABLE", {"reader": BOB, attribute: "broken"})
    assert due.report(job) == ["0"]
    assert mails(due) == []
    due.intake(asking(due, TRIGGER, message_id="second"))
    assert due.report(*due.jobs()) == []
    assert len(mails(due)) == 1


class Context:
    """Lambda's, as far as digest looks at it: how much time is left, at each look."""

    def __init__(self, *seconds: int) -> None:
        self._left = iter(seconds)

    def get_remaining_time_in_millis(self) -> int:
        return next(self._left) * 1000


def test_a_run_that_has_no_time_left_stops_and_the_next_one_goes_on(company: World) -> None:
    company.records.put_digest("example.com", "07:00", everyone=True)
    for number in range(20):
        hold(company, number, f"user{number}@example.com")
    seven(company)
    handler = digest_app.make_handler(company.stack.environ, company.session, company.clock)
    first = handler({}, Context(200, 100, 31, 29))
    assert first["due"] < 20
    assert 0 < first["made"] < 20
    second = handler({}, Context(*[200] * 99))
    assert first["made"] + second["made"] == 20
    assert len(set(company.jobs())) == 20


def test_more_readers_than_a_page_are_all_served(company: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digesting, "_PAGE", 1)
    company.records.put_digest("example.com", "07:00", everyone=True)
    for number in range(40):
        hold(company, number, f"user{number}@example.com")
    seven(company)
    assert company.digest() == {"due": 40, "made": 40}
    assert company.digest() == {"due": 0, "made": 0}


def test_lateness_is_measured(due: World, capsys: pytest.CaptureFixture[str]) -> None:
    due.clock.move(minutes=42)
    capsys.readouterr()
    due.digest()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "DigestsLate" in line]
    assert [line["DigestsLate"] for line in lines] == [[42 * 60.0]]
