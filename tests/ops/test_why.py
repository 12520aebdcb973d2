import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.ses import GRAY, Delivery, new_message_id, receive
from ops.operator import Output
from ops.words import ADVICE, MEANING
from quarantine.asking.admission import Refusal
from quarantine.asking.event import Verdict, Verdicts
from tests.functions.test_events import (
    CASES,
    EVENTS,
    MALFORMED,
    TOO_MUCH,
    TOO_SOON,
    Case,
    every,
    named,
    relay,
)
from tests.mails import MESSAGE_ID, TRIGGER, block, received, results
from tests.ops.conftest import Terminal
from tests.world import NOW, World, load_event, new_session

ACCEPTED_EXIT, ERROR_EXIT, REFUSED_EXIT = 0, 1, 3
BOB = "bob@example.com"


def judged(terminal: Terminal, source: Path | str) -> dict[str, Any]:
    """Return the JSON output for a mail that can be judged."""
    code = terminal("why", str(source), output=Output.JSON)
    answer: dict[str, Any] = json.loads(terminal.said)
    assert code == (ACCEPTED_EXIT if answer["decision"] == "accepted" else REFUSED_EXIT)
    return answer


def outcome(answer: dict[str, Any]) -> str:
    return str(answer.get("reason", answer["decision"]))


# --- The files of events/ ---


def test_each_event_is_judged_here() -> None:
    files = {path.stem for path in EVENTS.glob("*.json") if not path.stem.startswith("sending_")}
    assert files == {case.file for case in (*CASES, TOO_SOON, TOO_MUCH)} | set(MALFORMED)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_why_says_what_intake_does(case: Case, world: World, terminal: Terminal) -> None:
    case.records(world)
    answer = judged(terminal, EVENTS / f"{case.file}.json")
    assert (outcome(answer), answer["requester"]) == (case.outcome, case.requester)
    assert case.detail in answer["detail"]
    assert answer["evidence"]["connecting_ip"] == case.connecting_ip
    assert answer["evidence"] | case.verdicts == answer["evidence"]
    # And intake itself, on the same records.
    if case.file == "accepted_headers_truncated":
        world.store_mail(case.message_id, (EVENTS / f"{case.file}.eml").read_bytes())
    assert world.intake(case.event) == {"outcome": outcome(answer)}


def test_why_minds_the_cooldown_as_intake_does(world: World, terminal: Terminal) -> None:
    TOO_SOON.records(world)
    path = EVENTS / f"{TOO_SOON.file}.json"
    assert outcome(judged(terminal, path)) == "accepted"
    world.intake(load_event("accepted_relay_ipv4"))
    answer = judged(terminal, path)
    assert (outcome(answer), answer["detail"]) == ("too_soon", TOO_SOON.detail)
    assert answer["notes"] == [
        "bob@example.com asked for a report recently: the cooldown ends on 2026-11-23T12:05:00Z"
    ]
    world.clock.move(minutes=5)
    assert outcome(judged(terminal, path)) == "accepted"
    assert world.intake(TOO_SOON.event) == {"outcome": "accepted"}


def test_its_own_cooldown_refuses_no_mail(world: World, terminal: Terminal) -> None:
    TOO_SOON.records(world)
    world.intake(TOO_SOON.event)
    answer = judged(terminal, EVENTS / f"{TOO_SOON.file}.json")
    assert outcome(answer) == "accepted"
    decided, cooling = answer["notes"]
    assert decided.startswith("this request was decided on 2026-11-23T12:00:00Z and is accepted")
    assert f"quarantine requests show {TOO_SOON.message_id}" in decided
    assert "12:05:00" in cooling


def test_what_was_decided_before_the_records_changed_is_a_note(world: World, terminal: Terminal) -> None:
    assert world.intake(TOO_SOON.event) == {"outcome": "unauthenticated"}
    TOO_SOON.records(world)
    answer = judged(terminal, EVENTS / f"{TOO_SOON.file}.json")
    assert outcome(answer) == "accepted"
    assert "is refused (unauthenticated)" in answer["notes"][0]


@pytest.mark.parametrize(("file", "warning"), MALFORMED.items())
def test_what_is_no_event_is_one_line(terminal: Terminal, file: str, warning: str) -> None:
    assert terminal("why", str(EVENTS / f"{file}.json")) == ERROR_EXIT
    assert terminal.warned.startswith("error: ")
    assert warning in terminal.warned


# --- The answer to a person ---


def test_an_acceptance_is_told_in_words(world: World, terminal: Terminal) -> None:
    world.records.put_auth(BOB, ["dmarc"], mailboxes=["sales@example.com"])
    assert terminal("why", str(EVENTS / "accepted_dmarc.json")) == ACCEPTED_EXIT
    assert "gets a report of the mail held for bob@example.com, sales@example.com." in terminal.said
    assert "Accepted by: dmarc, by the auth record of bob@example.com." in terminal.said
    assert "from the IP 192.0.2.10" in terminal.said


def test_a_refusal_is_told_in_words_with_what_to_do(terminal: Terminal) -> None:
    assert terminal("why", str(EVENTS / "refused_unauthenticated.json")) == REFUSED_EXIT
    answer = " ".join(terminal.said.split())
    assert f"Refused as unauthenticated: {MEANING[Refusal.UNAUTHENTICATED]}." in answer
    assert "no auth record; connecting IP 203.0.113.66 in no relay record" in answer
    assert f"What to do: {ADVICE[Refusal.UNAUTHENTICATED]}" in answer


def test_a_record_that_cannot_be_read_is_a_warning(
    world: World, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    world.records.put("SENDERS_TABLE", {"principal": "example.com", "record": "relay#192.0.2.7/24"})
    assert outcome(judged(terminal, EVENTS / "accepted_relay_ipv4.json")) == "unauthenticated"
    assert "a record cannot be read" in terminal.warned
    assert "192.0.2.7/24" in terminal.warned
    assert capsys.readouterr().out == ""


# --- Raw mails ---

SIGNED = (
    b"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s1; h=from:to:date:message-id; b=abc\r\n"
    b"From: Bob <bob@example.com>\r\nTo: manual-report-request@reports.example.com\r\n"
    b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nThe body.\r\n"
)
DELIVERY = Delivery("192.0.2.10", "mail.example.com", BOB, (TRIGGER,), SIGNED)
ALL_PASS = Verdicts(*[Verdict.PASS] * 5)


@pytest.mark.parametrize(
    ("delivery", "verdicts", "expected"),
    [
        pytest.param(DELIVERY, GRAY, "unauthenticated", id="nothing"),
        pytest.param(DELIVERY, ALL_PASS, "accepted", id="all pass"),
        pytest.param(DELIVERY, Verdicts(*[Verdict.FAIL] * 5), "infected", id="all fail"),
        pytest.param(DELIVERY, replace(GRAY, spam=Verdict.FAIL), "spam", id="spam"),
        pytest.param(
            DELIVERY, replace(GRAY, dkim=Verdict.PASS, spf=Verdict.FAIL), "accepted", id="dkim alone"
        ),
        pytest.param(
            DELIVERY, replace(GRAY, spf=Verdict.PASS, dmarc=Verdict.FAIL), "accepted", id="spf alone"
        ),
        pytest.param(
            replace(DELIVERY, envelope_from="x@evil.example"),
            replace(GRAY, spf=Verdict.PASS, dkim=Verdict.FAIL),
            "unauthenticated",
            id="spf of another domain",
        ),
        pytest.param(replace(DELIVERY, peer="2001:db8:25::a1"), GRAY, "accepted", id="relay"),
        pytest.param(replace(DELIVERY, envelope_from=""), ALL_PASS, "automatic", id="a bounce"),
        pytest.param(
            replace(DELIVERY, recipients=("info@example.com",)), ALL_PASS, "not_a_trigger", id="no trigger"
        ),
    ],
)
@pytest.mark.parametrize("stored", [True, False], ids=["stored", "file"])
def test_a_raw_mail_is_judged_as_its_event(
    world: World,
    terminal: Terminal,
    tmp_path: Path,
    *,
    delivery: Delivery,
    verdicts: Verdicts,
    expected: str,
    stored: bool,
) -> None:
    every(relay("*", "2001:db8:25::/48"))(world)
    world.records.put_auth("*", ["dmarc", "dkim", "spf"])
    mail = receive(delivery, verdicts, new_message_id(), NOW)
    event = tmp_path / "event.json"
    event.write_text(json.dumps(mail.event))
    raw = tmp_path / "raw.eml"
    raw.write_bytes(mail.raw)
    world.store_mail(mail.message_id, mail.raw)
    answer = judged(terminal, mail.message_id if stored else raw)
    assert outcome(answer) == expected
    assert answer == judged(terminal, event)
    assert terminal.warned == ""


def test_a_raw_mail_as_ses_stored_it(world: World, terminal: Terminal) -> None:
    world.records.put_auth("example.com", ["dkim"])
    answer = judged(terminal, EVENTS / "accepted_headers_truncated.eml")
    expected = judged(terminal, EVENTS / "accepted_headers_truncated.json")
    expected["received_at"] = expected["received_at"].replace(
        ".214000", ""
    )  # the field contains whole seconds
    assert answer == expected
    assert (outcome(answer), answer["evidence"]["dkim"]) == ("accepted", "PASS")


def raw_mail(*fields: tuple[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode() + b"\r\nThe body.\r\n"


OWN = [("From", "Bob <bob@example.com>"), ("To", f"<{TRIGGER}>")]


@pytest.mark.parametrize(
    ("fields", "warning", "expected"),
    [
        pytest.param(OWN, "nothing proves where it came from", "unauthenticated", id="no fields of SES"),
        pytest.param(
            [*OWN, *block(results("pass header.i=@example.com"))],
            "",
            "accepted",
            id="below the sender's own, but the first Received",
        ),
        pytest.param(
            [("Received", "from x (x [192.0.2.10]) by mx.example.org; today"), *block(), *OWN],
            "nothing proves where it came from",
            "unauthenticated",
            id="below another Received",
        ),
        pytest.param([("From", BOB), ("To", BOB)], "To and Cc", "not_a_trigger", id="not to the trigger"),
        pytest.param(
            [*block(), *OWN], "spf, dkim and dmarc count as GRAY", "unauthenticated", id="no results"
        ),
        pytest.param(
            [*block(results(helo='x"'), first=received()), *OWN],
            "spf, dkim and dmarc count as GRAY",
            "unauthenticated",
            id="results in doubt",
        ),
        pytest.param(
            [*block(results(), first=("Received", received()[1].replace(f" for {TRIGGER}", ""))), *OWN],
            "SES names no envelope recipient",
            "accepted",
            id="no recipient named",
        ),
    ],
)
def test_what_ses_does_not_say_is_a_warning(
    world: World,
    terminal: Terminal,
    tmp_path: Path,
    *,
    fields: list[tuple[str, str]],
    warning: str,
    expected: str,
) -> None:
    every(relay("example.com", "198.51.100.0/24"))(world)
    world.records.put_auth("example.com", ["dmarc"])
    path = tmp_path / "raw.eml"
    path.write_bytes(raw_mail(*fields))
    assert outcome(judged(terminal, path)) == expected
    assert bool(terminal.warned) == bool(warning)
    assert warning in " ".join(terminal.warned.split())


def test_a_stored_mail_that_names_another_id_proves_nothing(world: World, terminal: Terminal) -> None:
    every(relay("*", "192.0.2.0/24"))(world)
    world.records.put_auth("example.com", ["dmarc"])
    world.store_mail("another-id", raw_mail(*block(results()), *OWN))
    answer = judged(terminal, "another-id")
    assert (outcome(answer), answer["message_id"]) == ("unauthenticated", "another-id")
    assert answer["evidence"]["connecting_ip"] == "unknown"
    world.store_mail(MESSAGE_ID, raw_mail(*block(results()), *OWN))
    assert outcome(judged(terminal, MESSAGE_ID)) == "accepted"


# --- Mails that SES cut ---


def test_a_cut_event_is_completed_from_the_bucket(world: World, terminal: Terminal, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.file == "accepted_headers_truncated")
    case.records(world)
    alone = tmp_path / "event.json"
    shutil.copy(EVENTS / f"{case.file}.json", alone)
    assert terminal("why", str(alone)) == ERROR_EXIT
    assert f"no stored mail {case.message_id}" in terminal.warned
    world.store_mail(case.message_id, (EVENTS / f"{case.file}.eml").read_bytes())
    assert outcome(judged(terminal, alone)) == "accepted"


@pytest.mark.parametrize(
    ("name", "content", "warning"),
    [
        pytest.param(None, b"", "not a file", id="neither a file nor an id"),
        pytest.param("mail.eml", b"From: bob", "not a mail", id="no end of the header section"),
        pytest.param("event.json", b"{", "error: ", id="broken JSON"),
        pytest.param("event.json", b"{}", "aws:ses", id="another JSON"),
        pytest.param("empty.eml", b"", "not a mail", id="empty"),
    ],
)
def test_what_cannot_be_judged_is_one_line(
    terminal: Terminal, tmp_path: Path, name: str | None, content: bytes, warning: str
) -> None:
    path = tmp_path / (name or "not here.eml")
    if name:
        path.write_bytes(content)
    assert terminal("why", str(path)) == ERROR_EXIT
    assert warning in terminal.warned


def test_an_id_that_is_not_stored_says_what_to_try(terminal: Terminal) -> None:
    assert terminal("why", MESSAGE_ID) == ERROR_EXIT
    assert f"quarantine requests show {MESSAGE_ID}" in " ".join(terminal.warned.split())


# --- It changes nothing ---


@pytest.mark.parametrize("case", [*CASES, TOO_SOON], ids=named)
def test_nothing_is_changed(case: Case, world: World, terminal: Terminal) -> None:
    case.records(world)
    world.intake(load_event("accepted_relay_ipv4"))
    before = state(world)
    called: list[str] = []
    terminal.operator = replace(terminal.operator, session=watched(called))
    terminal("why", str(EVENTS / f"{case.file}.json"))
    assert state(world) == before
    assert world.sent() == []
    reads = {"DescribeStacks", "ExecuteStatement", "GetItem", "GetObject"}
    assert {call.partition(".")[2] for call in called} <= reads
    assert called


def watched(called: list[str]) -> boto3.Session:
    """Return a session that records its AWS calls."""
    session = new_session()
    session.events.register_first(
        "before-send.*.*", lambda event_name, **_: called.append(event_name.removeprefix("before-send."))
    )
    return session


def state(world: World) -> dict[str, Any]:
    """Return all data of the stack."""
    environ = world.stack.environ
    tables = ("SENDERS_TABLE", "QUARANTINE_TABLE", "REQUESTS_TABLE")
    dynamodb, s3 = world.session.client("dynamodb"), world.session.client("s3")
    sqs = world.session.client("sqs")
    queue = sqs.get_queue_attributes(QueueUrl=environ["JOBS_QUEUE_URL"], AttributeNames=["All"])
    return {
        **{table: dynamodb.scan(TableName=environ[table])["Items"] for table in tables},
        "bucket": s3.list_objects_v2(Bucket=environ["MAIL_BUCKET"]).get("Contents", []),
        "queue": {name: n for name, n in queue["Attributes"].items() if name.startswith("Approximate")},
    }


# --- The endpoint ---


def test_intake_asks_at_the_endpoint_of_the_command_line(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Stopped(OSError):
        pass

    def stop(_settings: object, dynamodb: Any, connect_s3: Callable[[], Any], _unreadable: object) -> None:
        asked.extend(client.meta.endpoint_url for client in (dynamodb, connect_s3()))
        raise Stopped

    monkeypatch.setattr("ops.why.Judge.on", stop)
    monkeypatch.setattr("ops.operator.Operator.stack", terminal.operator.stack)
    terminal.operator = replace(terminal.operator, endpoint_url="http://127.0.0.1:9")
    assert terminal("why", str(EVENTS / "accepted_dmarc.json")) == ERROR_EXIT
    assert asked == ["http://127.0.0.1:9"] * 2
