"""The rows that hold creates for an object under held/, and the objects that it rejects."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from threading import Barrier
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from functions.hold import app as hold_app
from ops.hold.writer import HeldMailWriter, HoldMetadata
from quarantine.acting.reference import is_code
from quarantine.held import HoldReason
from quarantine.services.holding import Holding
from quarantine.settings import HoldSettings
from tests.functions.faults import Call, ProcessDied, Wire
from tests.world import World, new_session

BOB, AL = "bob@example.com", "al@example.com"
KEY = "held/1"
PATIENCE = 30  # seconds, for threads
NEXT_HOP = b"Received: from mail.example.net by mx.example.com; Mon, 23 Nov 2026 11:59:00 +0000\r\n"
MAIL = (
    NEXT_HOP
    + "From: Jürgen <j@supplier.example>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n".encode()
    + b"Message-ID: <1@supplier.example>\r\n\r\nbody\r\n"
)

READ: Call = ("s3", "GetObject")
PUT: Call = ("dynamodb", "PutItem")
SCHEDULES: Call = ("dynamodb", "Query")
TAG: Call = ("s3", "PutObjectTagging")
REJECT: Call = ("sqs", "SendMessage")


def store(world: World, key: str = KEY, mail: bytes = MAIL, /, **metadata: str) -> None:
    bucket = world.stack.environ["MAIL_BUCKET"]
    world.session.client("s3").put_object(Bucket=bucket, Key=key, Body=mail, Metadata=metadata)


def notification(world: World, *keys: str) -> str:
    """The message that S3 sends about objects, reduced to the parts that hold reads."""
    bucket = {"name": world.stack.environ["MAIL_BUCKET"]}
    records = [
        {"eventSource": "aws:s3", "s3": {"bucket": bucket, "object": {"key": quote_plus(key, safe="/")}}}
        for key in keys
    ]
    return json.dumps({"Records": records})


def rows(world: World, mailbox: str = BOB) -> list[dict[str, Any]]:
    """Return the plain attributes of a mailbox's rows."""
    found = world.session.client("dynamodb").query(
        TableName=world.stack.environ["QUARANTINE_TABLE"],
        KeyConditionExpression="recipient = :mailbox",
        ExpressionAttributeValues={":mailbox": {"S": mailbox}},
    )["Items"]
    return [{name: next(iter(value.values())) for name, value in item.items()} for item in found]


def tags(world: World, key: str = KEY) -> dict[str, str]:
    bucket = world.stack.environ["MAIL_BUCKET"]
    found = world.session.client("s3").get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}


def head(world: World, key: str = KEY) -> Any:
    bucket = world.stack.environ["MAIL_BUCKET"]
    return world.session.client("s3").head_object(Bucket=bucket, Key=key)


def reasons(world: World) -> list[str]:
    return [letter["MessageAttributes"]["rejection"]["StringValue"] for letter in world.dead()]


# --- An object ---


def test_an_object_that_lands_becomes_a_row(world: World) -> None:
    store(world, recipients=BOB, reason="phishing", score="7.5")
    assert world.hold(*world.held_messages()) == []
    stored_at = head(world)["LastModified"]
    time = f"{stored_at:%Y-%m-%dT%H:%M:%SZ}"
    (row,) = rows(world)
    assert is_code(row.pop("code"))
    assert [row] == [
        {
            "recipient": BOB,
            "entry": f"{time}#<1@supplier.example>",
            "message_id": "<1@supplier.example>",
            "received_at": time,
            "sender": "Jürgen <j@supplier.example>",
            "subject": "Grüße",
            "reason": "phishing",
            "score": "7.5",
            "size": str(len(MAIL)),
            "raw_key": KEY,
            "etag": head(world)["ETag"],
            "status": "held",
            "noted_at": "2026-11-23T12:00:00.000Z",
            "expires_at": str(int((stored_at + timedelta(days=30)).timestamp())),
        }
    ]
    assert tags(world) == {"reason": "phishing"}


def test_each_row_has_a_code_of_its_own_and_keeps_it(world: World) -> None:
    store(world, recipients=f"{BOB}, {AL}")
    (message,) = world.held_messages()
    world.hold(message)
    codes = [row["code"] for mailbox in (BOB, AL) for row in rows(world, mailbox)]
    world.hold(message)
    assert len({*codes}) == 2
    assert [row["code"] for mailbox in (BOB, AL) for row in rows(world, mailbox)] == codes
    assert world.dead() == []


def test_only_objects_under_held_are_told_of(world: World) -> None:
    world.store_mail("1", MAIL)
    assert world.held_messages() == []


def test_the_message_with_which_s3_tries_the_queue_is_about_no_mail(world: World) -> None:
    s3, bucket = world.session.client("s3"), world.stack.environ["MAIL_BUCKET"]
    found = s3.get_bucket_notification_configuration(Bucket=bucket)
    given: Any = {"QueueConfigurations": found["QueueConfigurations"]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=given)
    (message,) = world.held_messages()
    assert "s3:TestEvent" in message
    assert world.hold(message) == []
    assert (rows(world), world.dead()) == ([], [])


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("held/a b+c%", id="what a URL writes otherwise"),
        pytest.param("held/bücher/1", id="UTF-8, and a folder"),
        pytest.param("held/a?b#c&d=e", id="what a URL has for itself"),
        pytest.param("held/" + "x" * 1019, id="as long as keys are"),
    ],
)
def test_a_key_of_any_letters(key: str, world: World) -> None:
    store(world, key, recipients=BOB)
    assert world.hold(*world.held_messages()) == []
    (row,) = rows(world)
    assert row["raw_key"] == key
    assert tags(world, key) == {"reason": "policy"}


def test_a_row_for_each_recipient(world: World) -> None:
    store(world, recipients=f"{BOB},{AL},{BOB.upper()}")
    world.hold(notification(world, KEY))
    assert [len(rows(world, mailbox)) for mailbox in (BOB, AL)] == [1, 1]


def test_a_thousand_recipients(world: World) -> None:
    mailboxes = [f"user{number}@example.com" for number in range(1000)]
    field = f"X-Envelope-To-Blocked: {',\r\n '.join(f'<{each}>' for each in mailboxes)}\r\n"
    store(world, KEY, field.encode() + MAIL)
    assert world.hold(notification(world, KEY)) == []
    found = world.session.client("dynamodb").scan(
        TableName=world.stack.environ["QUARANTINE_TABLE"], Select="COUNT"
    )
    assert found["Count"] == 1000


@pytest.mark.parametrize("reason", HoldReason)
def test_the_row_is_kept_as_long_as_its_reason_says(reason: HoldReason, world: World) -> None:
    days = {each: number for number, each in enumerate(HoldReason, 1)}
    retention = ",".join(f"{each}={number}" for each, number in days.items())
    store(world, recipients=BOB, reason=reason)
    world.hold(notification(world, KEY), RETENTION_DAYS=retention)
    (row,) = rows(world)
    kept = int(row["expires_at"]) - int(head(world)["LastModified"].timestamp())
    assert kept == timedelta(days=days[reason]).total_seconds()
    assert tags(world) == {"reason": reason}


def test_an_empty_object(world: World) -> None:
    store(world, KEY, b"", recipients=BOB, reason="spam")
    assert world.hold(notification(world, KEY)) == []
    (row,) = rows(world)
    assert (row["size"], row["message_id"], row["sender"], row["subject"]) == ("0", KEY, "", "")


@pytest.mark.parametrize(
    "mail",
    [
        pytest.param(b"\xff" * 9, id="no text"),
        pytest.param(b"\0", id="NUL"),
        pytest.param(b"\r\n\r\n\r\n", id="only line ends"),
        pytest.param(b"Subject: \xe4\xff\n\n", id="8 bits without encoding"),
        pytest.param(b"Subject: =?utf-16-le?b?ANg=?=\n\n", id="a lone surrogate"),
        pytest.param(b"Subject: =?nothing?q?=FF?=\n\n", id="no such charset"),
        pytest.param(b"From: \x1b[2J\nMessage-ID: \xff\x00\n\n", id="control characters"),
        pytest.param(b"Message-ID: <" + b"x" * 2000 + b">\n\n", id="a long id"),
        pytest.param(b"Content-Type: multipart/mixed; boundary=\n\n--", id="broken MIME"),
        pytest.param(b"Date: Thu, 01 Jan 1970 00:00:00 +0000\n\n", id="1970"),
        pytest.param(b"Date: Fri, 01 Jan 2100 00:00:00 +0000\n\n", id="2100"),
    ],
)
def test_whatever_its_bytes_a_mail_is_held(mail: bytes, world: World) -> None:
    store(world, KEY, mail, recipients=BOB)
    assert world.hold(notification(world, KEY)) == []
    (row,) = rows(world)
    assert row["received_at"] == f"{head(world)['LastModified']:%Y-%m-%dT%H:%M:%SZ}"
    assert world.dead() == []


# --- Again ---


def test_an_object_twice_makes_no_row_twice(world: World) -> None:
    store(world, recipients=f"{BOB},{AL}")
    message = notification(world, KEY)
    assert world.hold(message, message) == []
    assert world.hold(message) == []
    assert [len(rows(world, mailbox)) for mailbox in (BOB, AL)] == [1, 1]


@pytest.mark.parametrize("status", ["released", "deleted"])
def test_a_row_that_is_no_longer_held_stays_so(status: str, world: World) -> None:
    store(world, recipients=BOB)
    world.hold(notification(world, KEY))
    (row,) = rows(world)
    world.session.client("dynamodb").update_item(
        TableName=world.stack.environ["QUARANTINE_TABLE"],
        Key={"recipient": {"S": BOB}, "entry": {"S": row["entry"]}},
        UpdateExpression="SET #status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": {"S": status}},
    )
    world.hold(notification(world, KEY))
    assert [row["status"] for row in rows(world)] == [status]


@pytest.fixture
def one_second(world: World) -> Iterator[None]:
    """Every object was stored at NOW."""

    def set_time(parsed: dict[str, Any], **_: object) -> None:
        parsed["LastModified"] = world.clock.now

    world.session.events.register("after-call.s3.GetObject", set_time)
    yield
    world.session.events.unregister("after-call.s3.GetObject", set_time)


@pytest.mark.usefixtures("one_second")
def test_two_mails_of_one_id_in_one_second_are_two(world: World) -> None:
    for key in ("held/1", "held/2"):
        store(world, key, recipients=BOB)
    messages = [notification(world, key) for key in ("held/1", "held/2")]
    assert world.hold(*messages, *messages) == []
    found = rows(world)
    assert sorted(row["raw_key"] for row in found) == ["held/1", "held/2"]
    assert {row["received_at"] for row in found} == {"2026-11-23T12:00:00Z"}
    assert all(row["message_id"].startswith("<1@supplier.example>") for row in found)


@pytest.mark.usefixtures("one_second")
def test_a_row_of_somebody_elses_making_is_not_written_over(world: World) -> None:
    world.records.put_held(BOB, "<1@supplier.example>", world.clock.now, "x@y.example", "By hand")
    store(world, recipients=BOB)
    world.hold(notification(world, KEY))
    world.hold(notification(world, KEY))
    assert sorted(row["subject"] for row in rows(world)) == ["By hand", "Grüße"]


def _dying(where: str, place: int) -> Wire:
    wire = Wire()
    (wire.die_before if where == "before" else wire.die_after)(place)
    return wire


CALLS = [READ, PUT, SCHEDULES, TAG]
"""Of the first mail of a process, which reads the schedules."""


def test_the_calls_of_a_held_mail(world: World) -> None:
    wire = Wire()
    store(world, recipients=BOB)
    world.hold(notification(world, KEY), session=wire.session)
    assert wire.calls == CALLS


def stored(world: World, number: int, *recipients: str) -> str:
    """Store a mail with an id of its own; return S3's message about it."""
    mail = MAIL.replace(b"<1@", b"<%d@" % number)
    store(world, f"held/{number}", mail, recipients=",".join(recipients))
    return notification(world, f"held/{number}")


def waiting(steps: Mapping[Call, Barrier]) -> boto3.Session:
    """Return a session whose calls wait at a step until enough of them have come there."""

    def wait(model: Any, **_: object) -> None:
        if step := steps.get((str(model.service_model.service_name), str(model.name))):
            step.wait(PATIENCE)

    session = new_session()
    session.events.register("before-call.*.*", wait)
    return session


def test_a_batch_is_served_at_once(world: World) -> None:
    """Each of the ten waits, at each step, until all ten have come there."""
    messages = [stored(world, number, BOB) for number in range(10)]
    session = waiting({call: Barrier(10) for call in (READ, PUT, TAG)})
    assert world.hold(*messages, session=session) == []
    assert len(rows(world)) == 10


def test_the_recipients_of_a_batch_are_served_at_once(world: World) -> None:
    users = [f"u{number}@example.com" for number in range(4)]
    messages = [stored(world, number, *users) for number in range(3)]
    assert world.hold(*messages, session=waiting({PUT: Barrier(12)})) == []
    assert [len(rows(world, user)) for user in users] == [3] * 4


def test_a_message_of_a_batch_fails_alone(world: World) -> None:
    """It has a row of two, and no tag; the others have all."""
    messages = [
        stored(world, number, f"u{number}@example.com", f"v{number}@example.com") for number in range(10)
    ]

    def refuse(params: Mapping[str, Any], **_: object) -> None:
        if params["Item"]["recipient"]["S"] == "v7@example.com":
            raise refused("InternalServerError", "PutItem")

    session = new_session()
    session.events.register_first("before-parameter-build.dynamodb.PutItem", refuse)
    assert world.hold(*messages, session=session) == ["7"]
    assert [number for number in range(10) if not rows(world, f"v{number}@example.com")] == [7]
    assert [number for number in range(10) if not tags(world, f"held/{number}")] == [7]
    assert len(rows(world, "u7@example.com")) == 1
    assert world.hold(messages[7]) == []
    assert len(rows(world, "v7@example.com")) == 1


def test_a_process_reads_the_schedules_once_a_minute(world: World) -> None:
    wire = Wire()
    handler = hold_app.make_handler(world.stack.environ, wire.session, world.clock)
    for number in range(20):
        store(world, f"held/{number}", recipients=f"{BOB}, {AL}")
        handler({"Records": [{"messageId": "1", "body": notification(world, f"held/{number}")}]}, None)
        world.clock.move(seconds=6)
    assert wire.calls.count(SCHEDULES) == 2


@pytest.mark.parametrize("place", range(len(CALLS)), ids=[call for _, call in CALLS])
@pytest.mark.parametrize("where", ["before", "after"])
def test_hold_dies_and_the_message_comes_again(where: str, place: int, world: World) -> None:
    store(world, recipients=BOB)
    message = notification(world, KEY)
    with pytest.raises(ProcessDied):
        world.hold(message, session=_dying(where, place).session)
    assert world.hold(message) == []
    assert len(rows(world)) == 1
    assert tags(world) == {"reason": "policy"}
    assert world.dead() == []


@pytest.mark.parametrize(("where", "place", "letters"), [("before", 1, 1), ("after", 1, 2)])
def test_hold_dies_at_a_rejection_and_it_is_not_lost(
    where: str, place: int, letters: int, world: World
) -> None:
    store(world)
    message = notification(world, KEY)
    with pytest.raises(ProcessDied):
        world.hold(message, session=_dying(where, place).session)
    assert world.hold(message) == []
    assert reasons(world) == ["no_recipient"] * letters


# --- As much as it needs ---


@pytest.fixture
def ranges() -> list[tuple[str, int]]:
    return []


def reading(ranges: list[tuple[str, int]]) -> Wire:
    """A process whose reads are recorded: the requested range, the number of bytes received."""
    wire = Wire()

    def asked(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        context["range"] = params["headers"]["Range"]

    def answered(parsed: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        ranges.append((context["range"], parsed["ContentLength"]))

    wire.session.events.register("before-call.s3.GetObject", asked)
    wire.session.events.register("after-call.s3.GetObject", answered)
    return wire


FIRST, WHOLE = "bytes=0-32767", "bytes=0-1048575"


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        pytest.param(MAIL, [(FIRST, len(MAIL))], id="small"),
        pytest.param(MAIL + b"x" * 40_000_000, [(FIRST, 32768)], id="40 MB"),
        pytest.param(
            b"X-Padding: " + b"x" * 40_000 + b"\r\n" + MAIL,
            [(FIRST, 32768), (WHOLE, 40_013 + len(MAIL))],
            id="a header of 40 KB",
        ),
        pytest.param(b"\r\n" + b"x" * 99_999, [(FIRST, 32768)], id="no header, and large"),
        pytest.param(b"x" * 2_000_000, [(FIRST, 32768), (WHOLE, 1048576)], id="a header without an end"),
    ],
)
def test_no_more_is_read_than_the_header_needs(
    mail: bytes, expected: list[tuple[str, int]], ranges: list[tuple[str, int]], world: World
) -> None:
    store(world, KEY, mail, recipients=BOB)
    wire = reading(ranges)
    assert world.hold(notification(world, KEY), session=wire.session) == []
    assert ranges == expected
    assert wire.calls == [READ] * len(expected) + [PUT, SCHEDULES, TAG]
    (row,) = rows(world)
    assert row["size"] == str(len(mail))


def test_a_field_beyond_the_first_read_is_seen(world: World) -> None:
    padding = b"X-Padding: " + b"x" * 40_000 + b"\r\n"
    store(world, KEY, padding + b"X-Envelope-To: <bob@example.com>\r\n" + MAIL)
    assert world.hold(notification(world, KEY)) == []
    assert [row["subject"] for row in rows(world)] == ["Grüße"]


def test_recipients_that_are_cut_off_are_not_believed(world: World) -> None:
    endless = b"X-Envelope-To: <bob@example.com>" + b",<al@example.com>" * 100_000
    store(world, KEY, endless + b"\r\n" + MAIL)
    assert world.hold(notification(world, KEY)) == []
    assert (rows(world), reasons(world)) == ([], ["no_recipient"])


# --- Objects without a row ---


@pytest.mark.parametrize("key", ["held/", "held/2026/", "held/2026/11/", "held/a folder/"])
def test_a_folder_of_the_console_is_ignored(world: World, key: str, caplog: pytest.LogCaptureFixture) -> None:
    store(world, key, b"")
    assert world.hold(*world.held_messages()) == []
    assert (rows(world), world.dead()) == ([], [])
    assert [record.message for record in caplog.records if record.name == "hold"] == ["folder"]


@pytest.mark.parametrize(
    ("key", "mail", "metadata", "made"),
    [
        pytest.param("held/1/", MAIL, {"recipients": BOB}, 1, id="a mail"),
        pytest.param("held/1/", b"", {"recipients": BOB}, 1, id="an empty mail with recipients"),
        pytest.param("held/1", b"", {}, 0, id="an empty mail"),
    ],
)
def test_only_an_empty_object_with_a_key_as_of_a_folder_is_ignored(
    world: World, key: str, mail: bytes, metadata: dict[str, str], made: int
) -> None:
    store(world, key, mail, **metadata)
    world.hold(*world.held_messages())
    assert (len(rows(world)), len(world.dead())) == (made, 1 - made)


def test_an_object_that_is_gone_is_no_dead_letter(world: World) -> None:
    assert world.hold(notification(world, "held/gone")) == []
    assert world.dead() == []


def test_an_object_that_goes_before_it_is_tagged_has_its_row(world: World) -> None:
    store(world, recipients=BOB)
    wire = Wire()
    bucket = world.stack.environ["MAIL_BUCKET"]

    def delete(**_: object) -> None:
        world.session.client("s3").delete_object(Bucket=bucket, Key=KEY)

    wire.session.events.register("before-call.s3.PutObjectTagging", delete)
    assert world.hold(notification(world, KEY), session=wire.session) == []
    assert len(rows(world)) == 1
    assert world.dead() == []


@pytest.mark.parametrize(
    ("metadata", "rejection", "says"),
    [
        pytest.param({}, "no_recipient", "no metadata recipients", id="nobody"),
        pytest.param({"recipients": "bob"}, "unreadable_recipient", "'bob'", id="no address"),
        pytest.param({"recipients": "=?utf-8?b?w7Y=?="}, "unreadable_recipient", "\\xf6", id="not ASCII"),
    ],
)
def test_a_rejection_waits_with_its_reason_and_can_be_sent_again(
    metadata: dict[str, str], rejection: str, says: str, world: World
) -> None:
    store(world, recipients=AL)
    store(world, "held/2", **metadata)
    assert world.hold(notification(world, KEY, "held/2")) == []
    (letter,) = world.dead()
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes["rejection"] == rejection
    assert says in attributes["detail"]
    assert tags(world, "held/2") == {}  # so that it is kept longest

    store(world, "held/2", recipients=BOB)
    assert world.hold(letter["Body"]) == []
    assert [row["raw_key"] for row in rows(world)] == ["held/2"]
    assert len(rows(world, AL)) == 1


SOME = f"{BOB},bob,{AL}"  # of which one is not an address


def test_a_recipient_that_is_no_address_takes_no_other_away(world: World) -> None:
    store(world, recipients=SOME, reason="spam")
    assert world.hold(notification(world, KEY)) == []
    assert [len(rows(world, mailbox)) for mailbox in (BOB, AL)] == [1, 1]
    (letter,) = world.dead()
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes["rejection"] == "unreadable_recipient"
    assert "'bob'" in attributes["detail"]
    assert AL not in attributes["detail"]
    assert tags(world) == {}  # the mail is kept longest, for the recipient without a row


def test_a_mail_that_made_some_rows_makes_no_other_when_it_comes_again(world: World) -> None:
    store(world, recipients=SOME)
    world.hold(notification(world, KEY))
    for _ in range(2):
        (letter,) = world.dead()
        assert world.hold(letter["Body"]) == []  # as redrive does
    assert reasons(world) == ["unreadable_recipient"]
    assert [len(rows(world, mailbox)) for mailbox in (BOB, AL)] == [1, 1]


def test_who_lacks_a_row_gets_it_when_named_alone(world: World) -> None:
    store(world, recipients=SOME)
    world.hold(notification(world, KEY))
    store(world, recipients="bob@x.example", reason="spam")  # as a copy onto itself does
    assert world.hold(notification(world, KEY)) == []
    assert [len(rows(world, mailbox)) for mailbox in (BOB, AL, "bob@x.example")] == [1, 1, 1]
    assert tags(world) == {"reason": "spam"}


CALLS_OF_SOME = [READ, PUT, SCHEDULES, REJECT]


def test_the_calls_of_a_mail_of_which_a_recipient_is_no_address(world: World) -> None:
    wire = Wire()
    store(world, recipients=f"bob,{BOB}")
    world.hold(notification(world, KEY), session=wire.session)
    assert wire.calls == CALLS_OF_SOME


@pytest.mark.parametrize("place", range(len(CALLS_OF_SOME)), ids=[call for _, call in CALLS_OF_SOME])
@pytest.mark.parametrize("where", ["before", "after"])
def test_hold_dies_and_who_is_no_address_is_not_lost(where: str, place: int, world: World) -> None:
    store(world, recipients=f"bob,{BOB}")
    message = notification(world, KEY)
    with pytest.raises(ProcessDied):
        world.hold(message, session=_dying(where, place).session)
    assert world.hold(message) == []
    assert len(rows(world)) == 1
    assert set(reasons(world)) == {"unreadable_recipient"}


def test_a_row_that_fails_leaves_no_letter_of_the_others(world: World) -> None:
    store(world, recipients=SOME)
    wire = Wire()
    wire.fail(*PUT, refused("InternalServerError", "PutItem"))
    assert world.hold(notification(world, KEY), session=wire.session) == ["0"]
    assert world.dead() == []
    assert world.hold(notification(world, KEY)) == []
    assert reasons(world) == ["unreadable_recipient"]
    assert [len(rows(world, mailbox)) for mailbox in (BOB, AL)] == [1, 1]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("hello", id="no JSON"),
        pytest.param('{"Records": []}', id="no record"),
        pytest.param(
            '{"Records": [{"eventSource": "aws:s3", "s3": '
            '{"bucket": {"name": "mail"}, "object": {"key": "inbound/1"}}}]}',
            id="another prefix",
        ),
        pytest.param('{"Records": ["\\ud800"]}', id="a lone surrogate"),
    ],
)
def test_what_is_no_notification_waits_as_it_came(body: str, world: World) -> None:
    assert world.hold(body) == []
    (letter,) = world.dead()
    assert letter["Body"] == body
    assert letter["MessageAttributes"]["rejection"]["StringValue"] == "not_a_notification"


def test_the_bucket_that_a_notification_names_is_not_asked(world: World) -> None:
    """Any bucket of the account can write to the queue; hold reads mail only from our bucket."""
    world.session.client("s3").create_bucket(Bucket="another")
    world.session.client("s3").put_object(
        Bucket="another", Key="held/theirs", Body=MAIL, Metadata={"recipients": BOB}
    )
    message = notification(world, "held/theirs").replace(world.stack.environ["MAIL_BUCKET"], "another")
    assert world.hold(message) == []
    assert rows(world) == []


# --- Tags from the start ---


UNTAG: Call = ("s3", "DeleteObjectTagging")


def store_tagged(world: World, tags: str = "reason=spam", /, **metadata: str) -> None:
    """Store a mail as our own pipe does, unless the metadata say otherwise."""
    world.session.client("s3").put_object(
        Bucket=world.stack.environ["MAIL_BUCKET"],
        Key=KEY,
        Body=MAIL,
        Metadata={"recipients": BOB, "reason": "spam", "tagged": "spam"} | metadata,
        Tagging=tags,
    )


def test_a_mail_of_our_own_pipe_takes_two_calls(world: World) -> None:
    wire = Wire()
    writer = HeldMailWriter(world.session.client("s3"), world.stack.environ["MAIL_BUCKET"])
    (key,) = writer.put(MAIL, HoldMetadata((BOB,), HoldReason.PHISHING))
    assert world.hold(notification(world, key), session=wire.session) == []
    assert wire.calls == [READ, PUT, SCHEDULES]  # these once a minute
    assert tags(world, key) == {"reason": "phishing"}
    assert [row["reason"] for row in rows(world)] == ["phishing"]


def test_a_schedule_that_covers_the_recipient_takes_one_call_more(world: World) -> None:
    world.records.put_digest("example.com", "07:00")
    store_tagged(world)
    wire = Wire()
    assert world.hold(notification(world, KEY), session=wire.session) == []
    assert wire.calls == [READ, PUT, SCHEDULES, ("dynamodb", "UpdateItem")]


@pytest.mark.parametrize(
    ("given", "metadata"),
    [
        pytest.param("reason=spam", {"reason": "phishing"}, id="a tag of another reason"),
        pytest.param("reason=spam&team=mail", {"reason": "phishing", "tagged": "phishing"}, id="two tags"),
        pytest.param("team=mail", {"reason": "phishing", "tagged": ""}, id="a tag of somebody else"),
        pytest.param("", {"reason": "phishing", "tagged": "phishing"}, id="a tag that was removed"),
    ],
)
def test_any_other_tag_is_replaced(given: str, metadata: dict[str, str], world: World) -> None:
    store_tagged(world, given, **metadata)
    assert world.hold(notification(world, KEY)) == []
    assert tags(world) == {"reason": "phishing"}


@pytest.mark.parametrize("recipients", ["bob", f"bob,{BOB}", " "], ids=["no address", "one of two", "nobody"])
def test_what_makes_not_all_rows_loses_its_tag_before_its_letter(recipients: str, world: World) -> None:
    store_tagged(world, recipients=recipients)
    wire = Wire()
    world.hold(notification(world, KEY), session=wire.session)
    assert wire.calls[-2:] == [UNTAG, REJECT]
    assert (tags(world), len(reasons(world))) == ({}, 1)


@pytest.mark.parametrize(("received", "left"), [(4, {"reason": "spam"}), (5, {})], ids=["again", "for good"])
def test_what_fails_for_the_last_time_is_kept_longest(
    received: int, left: dict[str, str], world: World
) -> None:
    store_tagged(world)
    wire = Wire()
    wire.fail(*PUT, refused("InternalServerError", "PutItem"))
    assert world.hold(notification(world, KEY), session=wire.session, received=received) == ["0"]
    assert tags(world) == left
    assert world.hold(notification(world, KEY)) == []  # it is redriven
    assert tags(world) == {"reason": "spam"}


def test_what_hold_tagged_keeps_its_tag_if_its_message_comes_once_more_and_fails(world: World) -> None:
    store(world, recipients=BOB)
    world.hold(notification(world, KEY))
    wire = Wire()
    wire.fail(*PUT, refused("InternalServerError", "PutItem"))
    world.hold(notification(world, KEY), session=wire.session, received=5)
    assert tags(world) == {"reason": "policy"}


@pytest.mark.parametrize("failing", [READ, UNTAG], ids=["it cannot be read", "the tag cannot be removed"])
def test_a_tag_that_cannot_be_removed_stays_and_the_message_goes_its_way(failing: Call, world: World) -> None:
    store_tagged(world)
    wire = Wire()
    for call in (PUT, failing):
        wire.fail(*call, refused("InternalError", call[1]))
    assert world.hold(notification(world, KEY), session=wire.session, received=5) == ["0"]
    assert tags(world) == {"reason": "spam"}


@pytest.mark.parametrize("body", ["hello", '{"Records": 1}'])
def test_a_message_that_names_nothing_is_given_up_all_the_same(body: str, world: World) -> None:
    wire = Wire()
    wire.fail(*REJECT, refused("InternalError", "SendMessage"))
    assert world.hold(body, session=wire.session, received=5) == ["0"]


def test_a_mail_that_is_gone_is_given_up_all_the_same(world: World) -> None:
    store_tagged(world)
    world.session.client("s3").delete_object(Bucket=world.stack.environ["MAIL_BUCKET"], Key=KEY)
    holding = Holding.on(
        HoldSettings.from_environ(world.stack.environ),
        *(world.session.client(service) for service in ("dynamodb", "s3", "sqs")),  # type: ignore[arg-type]
    )
    holding.give_up(notification(world, KEY))


# --- Infrastructure ---


def refused(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param(READ, refused("AccessDenied", "GetObject"), id="S3 forbids"),
        pytest.param(READ, refused("SlowDown", "GetObject"), id="S3 is busy"),
        pytest.param(READ, ConnectTimeoutError(endpoint_url="s3"), id="S3 does not answer"),
        pytest.param(
            PUT, refused("ProvisionedThroughputExceededException", "PutItem"), id="DynamoDB is busy"
        ),
        pytest.param(TAG, refused("AccessDenied", "PutObjectTagging"), id="no tag"),
    ],
)
def test_a_mail_that_cannot_be_held_now_comes_again(call: Call, error: Exception, world: World) -> None:
    store(world, recipients=BOB)
    wire = Wire()
    wire.fail(*call, error)
    assert world.hold(notification(world, KEY), session=wire.session) == ["0"]
    assert world.dead() == []
    assert world.hold(notification(world, KEY)) == []
    assert len(rows(world)) == 1


def test_a_rejection_that_cannot_be_kept_comes_again(world: World) -> None:
    store(world)
    wire = Wire()
    wire.fail(*REJECT, refused("ServiceUnavailable", "SendMessage"))
    assert world.hold(notification(world, KEY), "no JSON", session=wire.session) == ["0", "1"]


def test_one_message_that_fails_takes_no_other_down(world: World) -> None:
    mailboxes = {"held/1": AL, "held/2": BOB, "held/3": AL}
    for key, mailbox in mailboxes.items():
        store(world, key, recipients=mailbox)
    wire = Wire()

    def fail_for_bob(params: dict[str, Any], **_: object) -> None:
        if BOB in params["body"].decode():
            raise refused("InternalServerError", "PutItem")

    wire.session.events.register("before-call.dynamodb.PutItem", fail_for_bob)
    messages = [notification(world, key) for key in mailboxes]
    assert world.hold(*messages, session=wire.session) == ["1"]
    assert sorted(row["raw_key"] for row in rows(world, AL)) == ["held/1", "held/3"]
    assert (rows(world), tags(world, "held/2")) == ([], {})


def test_one_row_that_fails_leaves_the_mail_untagged(world: World) -> None:
    store(world, recipients=f"{BOB},{AL}")
    wire = Wire()

    def fail_for_bob(params: dict[str, Any], **_: object) -> None:
        if BOB in params["body"].decode():
            raise refused("InternalServerError", "PutItem")

    wire.session.events.register("before-call.dynamodb.PutItem", fail_for_bob)
    assert world.hold(notification(world, KEY), session=wire.session) == ["0"]
    assert tags(world) == {}
    assert world.hold(notification(world, KEY)) == []
    assert [len(rows(world, mailbox)) for mailbox in (BOB, AL)] == [1, 1]


# --- Logs and metrics ---


def logged_lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    ("body", "metadata", "outcome"),
    [
        pytest.param(None, {"recipients": BOB}, "held", id="held"),
        pytest.param(None, {}, "no_recipient", id="no recipient"),
        pytest.param("no JSON", {}, "not_a_notification", id="no notification"),
    ],
)
def test_each_object_is_counted_by_its_outcome(
    body: str | None, metadata: dict[str, str], outcome: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    store(world, **metadata)
    capsys.readouterr()
    world.hold(body or notification(world, KEY))
    metrics = [line for line in logged_lines(capsys.readouterr().out) if "_aws" in line]
    assert [(line["service"], line["outcome"]) for line in metrics if "HeldMails" in line] == [
        ("hold", outcome)
    ]
    assert sum("DeadLetters" in line for line in metrics) == (outcome != "held")


def test_a_mail_that_made_some_rows_is_counted_as_both(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    store(world, recipients=SOME)
    capsys.readouterr()
    world.hold(notification(world, KEY))
    metrics = [line for line in logged_lines(capsys.readouterr().out) if "_aws" in line]
    counted = [line["outcome"] for line in metrics if "HeldMails" in line]
    assert counted == ["held", "unreadable_recipient"]
