"""Invalid input: each gets a clear error, and does not affect anything else."""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from functions.intake import app as intake_app
from functions.report import app as report_app
from quarantine.asking.event import MalformedEvent
from quarantine.settings import BadSetting
from tests.functions.test_events import BOB, MALFORMED
from tests.world import NOW, World, load_event, new_session

HEADERS_TRUNCATED = "accepted_headers_truncated"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The log output of both functions, from now on."""
    stream = io.StringIO()
    for service in ("intake", "report"):
        monkeypatch.setattr(Logger(service=service).registered_handler, "stream", stream)
    return stream


def errors(logged: io.StringIO) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, logged.getvalue().splitlines()) if line["level"] == "ERROR"]


def message_id(file: str) -> str:
    id_: str = load_event(file)["Records"][0]["ses"]["mail"]["messageId"]
    return id_


def recorded(world: World) -> list[dict[str, Any]]:
    """Every row of the requests table."""
    table = world.stack.environ["REQUESTS_TABLE"]
    return list(world.session.client("dynamodb").scan(TableName=table)["Items"])


def accepted_job(world: World, file: str = "accepted_relay_ipv4") -> str:
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_relay("*", "2001:db8:25::/48")
    assert world.intake(load_event(file)) == {"outcome": "accepted"}
    (job,) = world.jobs()
    return job


# --- Events ---


@pytest.mark.parametrize(("file", "says"), MALFORMED.items(), ids=MALFORMED)
def test_a_file_that_is_no_ses_event(file: str, says: str, world: World, logged: io.StringIO) -> None:
    with pytest.raises(MalformedEvent, match=says):
        world.intake(load_event(file))
    (error,) = errors(logged)
    assert (error["message"], says in error["error"]) == ("not an SES event", True)
    assert recorded(world) == []
    assert world.jobs() == []


@pytest.mark.parametrize(
    "event",
    [None, [], "text", 1, {}, {"Records": []}, {"Records": [{}]}, {"Records": [{"eventSource": "aws:ses"}]}],
    ids=str,
)
def test_a_value_that_is_no_ses_event(event: object, world: World, logged: io.StringIO) -> None:
    with pytest.raises(MalformedEvent):
        world.intake(event)
    assert [error["message"] for error in errors(logged)] == ["not an SES event"]
    assert recorded(world) == []


def test_two_records_in_one_event(world: World) -> None:
    record = load_event("accepted_relay_ipv4")["Records"][0]
    with pytest.raises(MalformedEvent):
        world.intake({"Records": [record, record]})
    assert recorded(world) == []


# --- Raw mails ---


def test_the_raw_mail_is_missing(world: World) -> None:
    world.records.put_auth("example.com", ["dkim"])
    with pytest.raises(ClientError, match="NoSuchKey"):  # so that the event is retried
        world.intake(load_event(HEADERS_TRUNCATED))
    assert recorded(world) == []
    assert world.jobs() == []


def test_the_raw_mail_comes_later(world: World) -> None:
    world.records.put_auth("example.com", ["dkim"])
    with pytest.raises(ClientError):
        world.intake(load_event(HEADERS_TRUNCATED))
    raw = b"Return-Path: <bob@example.com>\r\nFrom: eve@example.com\r\n\r\n"
    world.store_mail(message_id(HEADERS_TRUNCATED), raw)
    assert world.intake(load_event(HEADERS_TRUNCATED)) == {"outcome": "unauthenticated"}


@pytest.mark.parametrize(
    "raw",
    [
        b"From: bob@example.com\r\nTo: manual-report-request@reports.example.com\r\n",
        b"From: bob@example.com\r\nX-Long: " + 1024 * 1024 * b"x" + b"\r\n\r\nThe end is too far away.",
    ],
    ids=["no empty line", "beyond what is read"],
)
def test_a_raw_mail_whose_header_has_no_end(raw: bytes, world: World) -> None:
    world.records.put_relay("*", "::/0")
    world.store_mail(message_id(HEADERS_TRUNCATED), raw)
    assert world.intake(load_event(HEADERS_TRUNCATED)) == {"outcome": "ambiguous_sender"}
    row = world.row(message_id(HEADERS_TRUNCATED))
    assert (row["status"], row["reason"]) == ("refused", "ambiguous_sender")
    assert "no end of the header section" in row["detail"]
    assert world.jobs() == []


# --- Jobs ---


def changed(job: str, **fields: object) -> str:
    return json.dumps(json.loads(job) | fields)


NO_JOBS: list[Callable[[str], str]] = [
    lambda _: "",
    lambda _: "hello",
    lambda _: "[]",
    lambda _: "null",
    lambda _: "{}",
    lambda job: job[:-1],
    lambda job: changed(job, version=3),
    lambda job: changed(job, version=None),
    lambda job: changed(job, kind="release"),
    lambda job: changed(job, kind=None),
    lambda job: changed(job, request_id=1),
    lambda job: changed(job, request_id="\ud800"),
    lambda job: changed(job, request_id="unknown0000000000000000000000000000000000"),
]


@pytest.fixture
def held(world: World) -> World:
    world.records.put_held(BOB, "<1@supplier.example>", NOW, "x@supplier.example", "Invoice 7")
    return world


@pytest.mark.parametrize("spoil", NO_JOBS, ids=range(len(NO_JOBS)))
def test_a_job_that_is_none_fails_alone(
    spoil: Callable[[str], str], held: World, logged: io.StringIO
) -> None:
    job = accepted_job(held)
    assert held.report(spoil(job), job, spoil(job)) == ["0", "2"]
    assert len(held.sent()) == 1
    assert [(error["message"], error["sqs_message_id"]) for error in errors(logged)] == [
        ("not a job", "0"),
        ("not a job", "2"),
    ]
    assert all(error["error"] for error in errors(logged))


@pytest.mark.parametrize("status", ["on its way", None, 5], ids=str)
def test_a_row_that_cannot_be_read_fails_alone(status: object, held: World) -> None:
    job = accepted_job(held)
    unreadable = "9" * 40
    held.records.put("REQUESTS_TABLE", {"request_id": unreadable, "requester": BOB, "status": status})
    assert held.report(changed(job, request_id=unreadable), job) == ["0"]
    assert len(held.sent()) == 1


@pytest.mark.parametrize("status", ["on its way", None, 5], ids=str)
def test_a_row_that_cannot_be_read_accepts_nothing(status: object, world: World) -> None:
    world.records.put_relay("example.com", "192.0.2.0/24")
    event = load_event("accepted_relay_ipv4")
    row = {"request_id": message_id("accepted_relay_ipv4"), "status": status}
    world.records.put("REQUESTS_TABLE", row)
    with pytest.raises((ValueError, KeyError)):  # the event ends in the on-failure destination
        world.intake(event)
    assert world.jobs() == []


# --- Records of senders ---


@pytest.mark.parametrize(
    "record",
    [
        "relay#192.0.2.10/24",
        "relay#192.0.2.0/33",
        "relay#192.0.2",
        "relay#everywhere",
        "relay#",
        "relay#192.0.2.10-192.0.2.20",
        "relay#::ffff:192.0.2.0/96",
    ],
)
def test_a_relay_record_that_cannot_be_read(record: str, world: World, logged: io.StringIO) -> None:
    world.records.put("SENDERS_TABLE", {"principal": "example.com", "record": record})
    assert world.intake(load_event("accepted_relay_ipv4")) == {"outcome": "unauthenticated"}
    (error,) = errors(logged)
    assert (error["message"], error["record"]["record"]) == ("a record cannot be read", record)
    assert world.jobs() == []


def test_a_relay_record_that_cannot_be_read_hides_no_other(world: World) -> None:
    world.records.put("SENDERS_TABLE", {"principal": "example.com", "record": "relay#1"})
    world.records.put_relay("example.com", "192.0.2.0/24")
    assert world.intake(load_event("accepted_relay_ipv4")) == {"outcome": "accepted"}


AUTH_NOT_READABLE: dict[str, Mapping[str, object]] = {
    "an unknown method": {"accept": {"dmarc", "password"}},
    "a method in upper case": {"accept": {"DMARC"}},
    "a text": {"accept": "dmarc"},
    "a list": {"accept": ["dmarc", "dkim", "spf"]},
    "numbers": {"accept": {1, 2}},
    "null": {"accept": None},
}


@pytest.mark.parametrize("attributes", AUTH_NOT_READABLE.values(), ids=AUTH_NOT_READABLE)
def test_an_auth_record_that_cannot_be_read(
    attributes: Mapping[str, object], world: World, logged: io.StringIO
) -> None:
    world.records.put("SENDERS_TABLE", {"principal": BOB, "record": "auth", **attributes})
    world.records.put_auth("*", ["dmarc"])  # more general: it is not used instead
    assert world.intake(load_event("accepted_dmarc")) == {"outcome": "unauthenticated"}
    (error,) = errors(logged)
    assert (error["message"], error["record"]["principal"]) == ("a record cannot be read", BOB)


@pytest.mark.parametrize("deny", ["false", "true", "", 0, 1, None, ["no"]], ids=str)
def test_a_deny_that_is_no_boolean_denies(deny: object, world: World) -> None:
    item = {"principal": BOB, "record": "auth", "accept": {"dmarc"}, "deny": deny}
    world.records.put("SENDERS_TABLE", item)
    assert world.intake(load_event("accepted_dmarc")) == {"outcome": "denied"}
    assert world.jobs() == []


@pytest.mark.parametrize("accept", [{"password"}, "dmarc"], ids=str)
def test_an_auth_record_that_cannot_be_read_still_denies(accept: object, world: World) -> None:
    item = {"principal": "example.com", "record": "auth", "accept": accept, "deny": True}
    world.records.put("SENDERS_TABLE", item)
    assert world.intake(load_event("accepted_dmarc")) == {"outcome": "denied"}


@pytest.mark.parametrize("mailboxes", ["sales@example.com", {1}, ["sales@example.com"], {"sales"}], ids=str)
def test_mailboxes_that_cannot_be_read_show_no_others(
    mailboxes: object, world: World, logged: io.StringIO
) -> None:
    item = {"principal": BOB, "record": "auth", "accept": {"dmarc"}, "mailboxes": mailboxes}
    world.records.put("SENDERS_TABLE", item)
    assert world.intake(load_event("accepted_dmarc")) == {"outcome": "accepted"}
    assert world.row(message_id("accepted_dmarc"))["mailboxes"] == [BOB]
    assert [error["message"] for error in errors(logged)] == ["a record cannot be read"]


# --- Held messages ---

HELD_NOT_READABLE: dict[str, Mapping[str, object]] = {
    "an unknown reason": {"reason": "because"},
    "a reason that is a list": {"reason": ["spam"]},
    "no reason": {"reason": None},
    "received_at is no time": {"received_at": "yesterday"},
    "received_at is null": {"received_at": None},
    "received_at is a number": {"received_at": 1795435198},
    "received_at is out of range": {"received_at": "0001-01-01T00:00:00+14:00"},
    "the sender is a number": {"sender": 1},
    "the sender is null": {"sender": None},
    "the subject is a list": {"subject": ["Invoice"]},
    "the subject is bytes": {"subject": b"Invoice"},
    "expires_at is out of range": {"expires_at": 10**30},
    "the message id is a number": {"message_id": 7},
}


@pytest.mark.parametrize("attributes", HELD_NOT_READABLE.values(), ids=HELD_NOT_READABLE)
def test_a_held_message_that_cannot_be_read_is_left_out(
    attributes: Mapping[str, object], held: World, logged: io.StringIO
) -> None:
    item: dict[str, object] = {
        "recipient": BOB,
        "entry": "2026-11-23T12:00:00Z#<2@x.example>",
        "status": "held",
        "message_id": "<2@x.example>",
        "received_at": "2026-11-23T12:00:00Z",  # the same as in the readable row: the two are compared
        "reason": "spam",
        "sender": "x@x.example",
        "subject": "Spoilt",
    }
    held.records.put("QUARANTINE_TABLE", {**item, **attributes})
    assert held.report(accepted_job(held)) == []
    (mail,) = held.sent()
    assert b"Invoice 7" in mail
    assert b"Spoilt" not in mail
    assert b"1 message held" in mail  # the count does not include it either
    (error,) = errors(logged)
    assert error["message"] == "a record cannot be read"
    assert error["record"] == {"recipient": BOB, "entry": "2026-11-23T12:00:00Z#<2@x.example>"}


@pytest.mark.parametrize("missing", ["received_at", "reason", "message_id"])
def test_a_held_message_without_what_it_needs_is_left_out(
    missing: str, held: World, logged: io.StringIO
) -> None:
    item = {"recipient": BOB, "entry": "2026-11-23T12:00:01Z#<2@x.example>", "status": "held"}
    rest = {"message_id": "<2@x.example>", "received_at": "2026-11-23T12:00:01Z", "reason": "spam"}
    del rest[missing]
    held.records.put("QUARANTINE_TABLE", {**item, **rest, "subject": "Spoilt"})
    assert held.report(accepted_job(held)) == []
    (mail,) = held.sent()
    assert b"Spoilt" not in mail
    assert [missing in error["error"] for error in errors(logged)] == [True]


def test_nothing_but_what_cannot_be_read_is_nothing_held(world: World) -> None:
    world.records.put_held(BOB, "<2@x.example>", NOW, "x@x.example", "Spoilt", reason="because")
    job = accepted_job(world)
    assert world.report(job) == []
    assert world.sent() == []
    assert world.row(json.loads(job)["request_id"])["status"] == "empty"


# --- Settings ---

INTAKE_NEEDS = (
    "SENDERS_TABLE",
    "REQUESTS_TABLE",
    "MAILBOXES_TABLE",
    "JOBS_QUEUE_URL",
    "ACTIONS_QUEUE_URL",
    "MAIL_BUCKET",
    "REPORT_SENDER",
    "STACK_NAME",
)
REPORT_NEEDS = (
    "QUARANTINE_TABLE",
    "REQUESTS_TABLE",
    "MAILBOXES_TABLE",
    "REPORTS_DOMAIN",
    "REPORT_SENDER",
    "STACK_NAME",
)
COMPLETE = dict.fromkeys({*INTAKE_NEEDS, *REPORT_NEEDS}, "x") | {
    "REPORT_SENDER": "quarantine@reports.example.com",
    "REPORTS_DOMAIN": "reports.example.com",
}

type MakeHandler = Callable[[Mapping[str, str], boto3.Session], object]


@pytest.mark.parametrize(
    ("make_handler", "name"),
    [(intake_app.make_handler, name) for name in INTAKE_NEEDS]
    + [(report_app.make_handler, name) for name in REPORT_NEEDS],
)
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_a_missing_setting_is_named(make_handler: MakeHandler, name: str, value: str | None) -> None:
    environ = {key: text for key, text in COMPLETE.items() if key != name}
    with pytest.raises(BadSetting, match=f"{name} is missing"):
        make_handler(environ if value is None else environ | {name: value}, new_session())


@pytest.mark.parametrize(
    ("make_handler", "name", "value"),
    [
        (intake_app.make_handler, "REPORT_SENDER", "quarantine"),
        (intake_app.make_handler, "TRIGGER", "report me"),
        (intake_app.make_handler, "TRIGGER", "report+me"),
        (intake_app.make_handler, "COOLDOWN_SECONDS", "five"),
        (intake_app.make_handler, "COOLDOWN_SECONDS", "-1"),
        (report_app.make_handler, "REPORT_SENDER", "@example.com"),
        (report_app.make_handler, "REPLY_TO", "help desk"),
        (report_app.make_handler, "TRIGGER", "report me"),
        (report_app.make_handler, "REPORTS_DOMAIN", "reports"),
        (report_app.make_handler, "MAX_ROWS", "0"),
        (report_app.make_handler, "MAX_ROWS", "many"),
        (report_app.make_handler, "WHEN_EMPTY", "shout"),
        (report_app.make_handler, "LEASE_SECONDS", "1.5"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(make_handler: MakeHandler, name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"{name} cannot be read"):
        make_handler({**COMPLETE, name: value}, new_session())


@pytest.mark.parametrize("app", [intake_app, report_app], ids=["intake", "report"])
def test_a_missing_setting_is_named_when_lambda_asks_for_the_handler(
    app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in COMPLETE:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadSetting, match=r"(_TABLE|REPORTS_DOMAIN) is missing"):
        _ = app.handler
    with pytest.raises(AttributeError, match="no attribute 'hander'"):
        _ = app.hander


@pytest.mark.parametrize("app", [intake_app, report_app], ids=["intake", "report"])
def test_lambda_finds_one_handler(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(vars(app), "handler", raising=False)
    handler = app.handler
    monkeypatch.setitem(vars(app), "handler", handler)  # so that it is removed after this test
    assert app.handler is handler
