"""Both functions with the files of events/: one event per outcome, and each file is used."""

import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from email import message_from_bytes, policy
from email.utils import getaddresses
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_lambda_powertools import Logger

from quarantine.asking.admission import Refusal
from quarantine.jobs import ReportJob, from_json
from tests.feedback.test_event import EVENTS as SENDING
from tests.world import NOW, World, load_event, new_session

EVENTS = Path(__file__).parents[2] / "events"
HELD_FOR = ("bob@example.com", "alice@example.com", "eve@evil.example", "bob@evil.example")

type Records = Callable[[World], None]


def nothing(_: World) -> None:
    """No record at all."""


def relay(principal: str, network: str) -> Records:
    return lambda world: world.records.put_relay(principal, network)


def auth(principal: str, *accept: str, deny: bool = False) -> Records:
    return lambda world: world.records.put_auth(principal, accept, deny=deny)


def every(*records: Records) -> Records:
    def put(world: World) -> None:
        for record in records:
            record(world)

    return put


RELAY_OF_EXAMPLE = relay("example.com", "192.0.2.0/24")
EVERYTHING_COUNTS = every(RELAY_OF_EXAMPLE, auth("*", "dmarc", "dkim", "spf"))

BOB = "bob@example.com"
OWN_SERVER = "192.0.2.10"
STRANGER = "203.0.113.66"
ALL_PASS = {"spf": "PASS", "dkim": "PASS", "dmarc": "PASS"}


@dataclass(frozen=True, slots=True)
class Case:
    """The outcome of one file. evidence: the part of the evidence on which this outcome depends."""

    file: str
    records: Records
    outcome: str
    requester: str | None
    connecting_ip: str
    verdicts: dict[str, str]
    detail: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.outcome == "accepted"

    @property
    def event(self) -> dict[str, Any]:
        return load_event(self.file)

    @property
    def message_id(self) -> str:
        message_id: str = self.event["Records"][0]["ses"]["mail"]["messageId"]
        return message_id


CASES = [
    Case(
        "accepted_dmarc",
        auth("example.com", "dmarc"),
        "accepted",
        BOB,
        OWN_SERVER,
        ALL_PASS,
        "dmarc, by the auth record of example.com",
    ),
    Case(
        "accepted_dkim",  # two signatures: of the list server, and of a sub-domain of Bob's
        auth(BOB, "dkim"),
        "accepted",
        BOB,
        "198.51.100.203",
        {"dkim": "PASS", "dmarc": "GRAY"},
        "dkim, by the auth record of bob@example.com",
    ),
    Case(
        "accepted_spf",
        auth("*", "spf"),
        "accepted",
        BOB,
        OWN_SERVER,
        {"spf": "PASS", "dkim": "GRAY"},
        "spf, by the auth record of *",
    ),
    Case(
        "accepted_relay_ipv4",
        RELAY_OF_EXAMPLE,
        "accepted",
        BOB,
        OWN_SERVER,
        {"spf": "GRAY", "dkim": "GRAY", "dmarc": "GRAY"},
        "192.0.2.10, by the relay record 192.0.2.0/24 of example.com",
    ),
    Case(
        "accepted_relay_ipv6",  # and it has no Subject
        relay("*", "2001:db8:25::/48"),
        "accepted",
        BOB,
        "2001:db8:25::a1",
        {"spf": "GRAY", "dkim": "GRAY", "dmarc": "GRAY"},
        "2001:db8:25::a1, by the relay record 2001:db8:25::/48 of *",
    ),
    Case(
        "accepted_headers_truncated",
        auth("example.com", "dkim"),
        "accepted",
        BOB,
        "2001:db8:7e1a::6b",
        {"dkim": "PASS", "dmarc": "GRAY"},
        "dkim, by the auth record of example.com",
    ),
    Case(
        "refused_replayed",  # a mail of two weeks ago, with its valid signature
        auth("bob@example.com", "dkim"),
        "replayed",
        BOB,
        "198.51.100.203",
        {"dkim": "PASS", "dmarc": "GRAY"},
        "only DKIM proves it, and: written on 2026-11-09T11:59:55+00:00, received on"
        " 2026-11-23T11:59:58.214000+00:00",
    ),
    Case(
        "refused_not_a_trigger",  # the trigger stands in To and in mail.destination only
        EVERYTHING_COUNTS,
        "not_a_trigger",
        None,
        OWN_SERVER,
        {},
    ),
    Case(
        "refused_automatic_out_of_office",
        EVERYTHING_COUNTS,
        "automatic",
        BOB,
        OWN_SERVER,
        {},
        "Auto-Submitted: auto-replied",
    ),
    Case(
        "refused_automatic_bounce",
        EVERYTHING_COUNTS,
        "automatic",
        "mailer-daemon@mail.example.com",
        OWN_SERVER,
        {},
        "an empty envelope sender",
    ),
    Case(
        "refused_automatic_list",
        EVERYTHING_COUNTS,
        "automatic",
        BOB,
        OWN_SERVER,
        {"spf": "PASS"},
        "Precedence: list",
    ),
    Case(
        "refused_automatic_our_own_report",
        EVERYTHING_COUNTS,
        "automatic",
        "quarantine@reports.example.com",
        "198.51.100.31",
        ALL_PASS,
        "Auto-Submitted: auto-replied",
    ),
    Case(
        "refused_ambiguous_two_from_fields",
        EVERYTHING_COUNTS,
        "ambiguous_sender",
        None,
        OWN_SERVER,
        ALL_PASS,
        "2 From fields",
    ),
    Case(
        "refused_ambiguous_two_addresses", EVERYTHING_COUNTS, "ambiguous_sender", None, OWN_SERVER, ALL_PASS
    ),
    Case("refused_ambiguous_group", EVERYTHING_COUNTS, "ambiguous_sender", None, OWN_SERVER, ALL_PASS),
    Case(
        "refused_infected",
        EVERYTHING_COUNTS,
        "infected",
        BOB,
        OWN_SERVER,
        ALL_PASS | {"virus": "FAIL", "spam": "PASS"},
    ),
    Case(
        "refused_spam",
        EVERYTHING_COUNTS,
        "spam",
        BOB,
        OWN_SERVER,
        ALL_PASS | {"spam": "FAIL", "virus": "PASS"},
    ),
    Case(
        "refused_denied",  # the more specific record accepts, and the server may relay
        every(RELAY_OF_EXAMPLE, auth(BOB, "dmarc"), auth("example.com", deny=True)),
        "denied",
        BOB,
        OWN_SERVER,
        ALL_PASS,
        "denied by the auth record of example.com",
    ),
    Case(
        "refused_unauthenticated",
        EVERYTHING_COUNTS,
        "unauthenticated",
        BOB,
        STRANGER,
        {"spf": "FAIL", "dkim": "GRAY", "dmarc": "FAIL"},
    ),
    Case(
        "refused_unauthenticated_forged_received",  # SES's block of an earlier mail, below the real one
        EVERYTHING_COUNTS,
        "unauthenticated",
        BOB,
        STRANGER,
        {"spf": "FAIL", "dmarc": "FAIL"},
    ),
    Case(
        "refused_unauthenticated_forged_results",
        EVERYTHING_COUNTS,
        "unauthenticated",
        BOB,
        STRANGER,
        {"dkim": "PASS", "dmarc": "FAIL"},
    ),
    Case(
        "refused_unauthenticated_helo_imitates_ses",
        EVERYTHING_COUNTS,
        "unauthenticated",
        BOB,
        STRANGER,
        {"dkim": "PASS", "dmarc": "FAIL"},
    ),
    Case(
        "refused_unauthenticated_other_dkim_domain",
        EVERYTHING_COUNTS,
        "unauthenticated",
        BOB,
        STRANGER,
        {"dkim": "PASS", "dmarc": "FAIL"},
    ),
    Case(
        "refused_unauthenticated_other_spf_domain",
        EVERYTHING_COUNTS,
        "unauthenticated",
        BOB,
        STRANGER,
        {"spf": "PASS", "dmarc": "FAIL"},
    ),
]
MALFORMED = {  # tests/functions/test_bad_input.py reads them; with the text of the error
    "malformed_no_ses_event": "aws:ses",
    "malformed_no_message_id": "mail.messageId",
    "malformed_no_recipients": "receipt.recipients",
    "malformed_no_headers": "mail.headers",
    "malformed_no_timestamp": "mail.timestamp",
}
TOO_SOON = Case(
    "refused_too_soon",
    RELAY_OF_EXAMPLE,
    "too_soon",
    BOB,
    OWN_SERVER,
    {"spf": "GRAY", "dkim": "GRAY", "dmarc": "GRAY"},
    "a report was asked for within the last 0:05:00",
)

TOO_MUCH = replace(
    TOO_SOON,
    file="refused_too_much",
    outcome="too_much",
    detail="bob@example.com may make 1 accepted requests in an hour",
)

ACCEPTED = [case for case in CASES if case.is_accepted]
REFUSED = [case for case in CASES if not case.is_accepted]


def named(case: Case) -> str:
    return case.file


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Intake's log output, from now on."""
    stream = io.StringIO()
    monkeypatch.setattr(Logger(service="intake").registered_handler, "stream", stream)
    return stream


@pytest.fixture
def held(world: World) -> World:
    """A world in which mail is held for every address that a file names."""
    for mailbox in HELD_FOR:
        world.records.put_held(mailbox, f"<1@{mailbox}>", NOW, "x@supplier.example", f"held for {mailbox}")
    return world


def arrive(case: Case, world: World, session: boto3.Session | None = None) -> dict[str, str]:
    """Store the raw mail as SES does, if there is one, and invoke intake."""
    raw = EVENTS / f"{case.file}.eml"
    if raw.exists():
        world.store_mail(case.message_id, raw.read_bytes())
    return world.intake(case.event, session)


def decision_lines(log: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, log.splitlines()) if "reason" in line]


def test_every_file_of_the_folder_is_in_a_table() -> None:
    in_tables = {case.file for case in [*CASES, TOO_SOON, TOO_MUCH]} | set(MALFORMED)
    in_tables |= {f"sending_{name}" for name in SENDING}
    assert {path.stem for path in EVENTS.glob("*.json")} == in_tables


def test_every_raw_mail_belongs_to_a_file() -> None:
    assert {path.stem for path in EVENTS.glob("*.eml")} == {"accepted_headers_truncated"}


def test_every_refusal_has_a_file() -> None:
    by_intake = set(Refusal) - {Refusal.NOT_YOURS}
    assert {case.outcome for case in [*REFUSED, TOO_SOON, TOO_MUCH]} == {str(word) for word in by_intake}


def test_each_message_id_is_used_once() -> None:
    message_ids = Counter(case.message_id for case in [*CASES, TOO_SOON, TOO_MUCH])
    assert message_ids.most_common(1)[0][1] == 1


@pytest.mark.parametrize("case", CASES, ids=named)
def test_outcome_job_row_and_log(case: Case, world: World, logged: io.StringIO) -> None:
    case.records(world)
    assert arrive(case, world) == {"outcome": case.outcome}

    jobs = [from_json(job) for job in world.jobs()]
    assert jobs == ([ReportJob(case.message_id)] if case.is_accepted else [])

    row = world.row(case.message_id)
    if case.outcome == "not_a_trigger":
        assert row == {}
    else:
        assert row["status"] == ("accepted" if case.is_accepted else "refused")
        assert row.get("reason") == (None if case.is_accepted else case.outcome)
        assert row.get("requester") == case.requester
        assert case.detail in row["detail"]
        evidence = {name: value["S"] for name, value in row["evidence"].items()}
        assert evidence["connecting_ip"] == case.connecting_ip
        assert evidence | case.verdicts == evidence

    (line,) = decision_lines(logged.getvalue())
    assert line["message_id"] == case.message_id
    assert line["reason"] == case.outcome
    assert line.get("requester") == case.requester
    assert line["evidence"]["connecting_ip"] == case.connecting_ip
    assert line["evidence"] | case.verdicts == line["evidence"]
    assert case.detail in line["detail"]
    assert "The plumber says" not in logged.getvalue()  # the body of the one raw mail
    assert "What is held for me?" not in logged.getvalue()  # the subject of most


def test_too_much_within_an_hour(held: World) -> None:
    TOO_MUCH.records(held)
    (first,) = [case for case in CASES if case.file == "accepted_relay_ipv4"]
    limits = {"COOLDOWN_SECONDS": "0", "MAILBOX_REPORTS_PER_HOUR": "1"}
    assert held.intake(first.event, None, **limits) == {"outcome": "accepted"}
    assert held.intake(TOO_MUCH.event, None, **limits) == {"outcome": "too_much"}
    row = held.row(TOO_MUCH.message_id)
    assert (row["status"], row["reason"], row["detail"]) == ("refused", "too_much", TOO_MUCH.detail)
    assert held.intake(TOO_MUCH.event, None, **limits | {"MAILBOX_REPORTS_PER_HOUR": "0"}) == {
        "outcome": "refused"
    }


def test_a_signed_mail_is_accepted_once(held: World) -> None:
    (first,) = [case for case in CASES if case.file == "accepted_dkim"]
    first.records(held)
    assert arrive(first, held) == {"outcome": "accepted"}
    again = json.loads(json.dumps(first.event).replace(first.message_id, "another0id"))
    held.clock.move(hours=2)
    assert held.intake(again) == {"outcome": "replayed"}
    row = held.row("another0id")
    assert (row["status"], row["reason"]) == ("refused", "replayed")


def test_too_soon_within_the_cooldown(held: World, logged: io.StringIO) -> None:
    TOO_SOON.records(held)
    (first,) = [case for case in CASES if case.file == "accepted_relay_ipv4"]
    assert arrive(first, held) == {"outcome": "accepted"}
    held.clock.move(seconds=299)
    assert arrive(TOO_SOON, held) == {"outcome": "too_soon"}
    row = held.row(TOO_SOON.message_id)
    assert (row["status"], row["reason"], row["requester"]) == ("refused", "too_soon", BOB)
    assert row["evidence"]["connecting_ip"] == {"S": OWN_SERVER}
    line = decision_lines(logged.getvalue())[-1]
    assert (line["message_id"], line["reason"]) == (TOO_SOON.message_id, "too_soon")
    assert held.report(*held.jobs()) == []
    assert len(held.sent()) == 1


def test_no_longer_too_soon_after_the_cooldown(held: World) -> None:
    TOO_SOON.records(held)
    (first,) = [case for case in CASES if case.file == "accepted_relay_ipv4"]
    arrive(first, held)
    held.clock.move(seconds=300)
    assert arrive(TOO_SOON, held) == {"outcome": "accepted"}


@pytest.mark.parametrize("case", ACCEPTED, ids=named)
def test_an_accepted_mail_is_answered_to_its_requester_alone(case: Case, held: World) -> None:
    case.records(held)
    arrive(case, held)
    assert held.report(*held.jobs()) == []
    (mail,) = (message_from_bytes(raw, policy=policy.default) for raw in held.sent())
    assert [address for _, address in getaddresses([mail["To"]])] == [case.requester]
    assert {"Cc", "Bcc"}.isdisjoint(mail.keys())
    text = mail.as_string()
    assert "held for bob@" in text
    assert "held for alice@" not in text
    assert held.row(case.message_id)["status"] == "sent"


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_a_refused_mail_sends_to_nobody(case: Case, held: World) -> None:
    case.records(held)
    arrive(case, held)
    arrive(case, held)  # SES may deliver an event twice
    assert held.jobs() == []
    assert held.sent() == []


@pytest.mark.parametrize("case", [case for case in CASES if "unauthenticated" in case.file], ids=named)
def test_a_forgery_is_accepted_from_the_real_server(case: Case, world: World) -> None:
    """The forged files lack only the proof: with a relay record for the real peer they pass."""
    world.records.put_relay("example.com", f"{STRANGER}/32")
    assert arrive(case, world) == {"outcome": "accepted"}


@pytest.mark.parametrize("case", ACCEPTED, ids=named)
def test_only_a_mail_with_cut_headers_is_read_from_s3(case: Case, world: World) -> None:
    case.records(world)
    called: list[str] = []
    session = new_session()
    # First, because moto answers on this event too, and later handlers are not called after an answer.
    session.events.register_first(
        "before-send.*.*", lambda event_name, **_: called.append(event_name.removeprefix("before-send."))
    )
    arrive(case, world, session)
    truncated = case.file == "accepted_headers_truncated"
    assert [call for call in called if call.startswith("s3.")] == (["s3.GetObject"] if truncated else [])
    proves = "dynamodb.UpdateItem"  # that the requester may get scheduled reports
    assert called[-3:] == ["dynamodb.TransactWriteItems", proves, "sqs.SendMessage"]
    assert len(called) <= (7 if truncated else 6)
