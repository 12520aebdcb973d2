"""The measured work: real events and jobs, each run once on moto while the wire is recorded."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import boto3
from moto import mock_aws

from functions.act import app as act
from functions.intake import app as intake
from functions.report import app as report
from lab.bench.wire import Call, Recorder, new_session
from local.records import Records
from local.ses import GRAY, Delivery, Received, new_message_id, receive
from local.stack import create_stack
from quarantine.acting.reference import CODE_BYTES, Reference, code_of
from quarantine.acting.rules import USER_ACTIONS
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ActionCommand, Command, ReportCommand
from quarantine.asking.event import Verdict, Verdicts
from quarantine.asking.replying import ReplyContext
from quarantine.jobs import ActionJob, ReportJob, to_json
from quarantine.mail.addresses import Address
from quarantine.stores.requests import Limits, Requests

FUNCTIONS = {"intake": intake.make_handler, "report": report.make_handler, "act": act.make_handler}
MAILBOX_OF_TEN = "ten@example.com"
MAILBOX_OF_HUNDRED = "hundred@example.com"
HUNDRED_ROWS = "sent, 100 rows"

_TRIGGER = "manual-report-request@reports.example.com"
_DMARC = Verdicts(Verdict.PASS, Verdict.PASS, Verdict.PASS, Verdict.PASS, Verdict.PASS)
_SUBJECT = "Your parcel could not be delivered: confirm your address before Friday"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One event and its required outcome, so that no other path is measured.

    leaves: the status of the request's row afterwards. common: whether it is an everyday path.
    """

    name: str
    function: Literal["intake", "report", "act"]
    event: dict[str, Any]
    request_id: str
    leaves: str
    common: bool = True


@dataclass(frozen=True, slots=True)
class Recording:
    """A scenario with all requests and answers on the wire."""

    scenario: Scenario
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """environ: the functions' environment in template.yaml."""

    environ: Mapping[str, str]
    recordings: tuple[Recording, ...]


def record() -> Workload:
    """Run each scenario once on moto. Raises RuntimeError if one has another outcome than it declares."""
    with mock_aws():
        setup = new_session()
        environ = create_stack(setup).environ
        session = new_session()
        recorder = Recorder(session)
        handlers = {name: make(environ, session) for name, make in FUNCTIONS.items()}
        records = Records(setup, environ)
        scenarios = (
            *_intake_scenarios(setup, environ),
            *_report_scenarios(setup, environ),
            *_act_scenarios(setup, environ),
        )
        return Workload(environ, tuple(_record(each, handlers, recorder, records) for each in scenarios))


def _record(
    scenario: Scenario, handlers: Mapping[str, Callable[..., Any]], recorder: Recorder, records: Records
) -> Recording:
    handlers[scenario.function](scenario.event, None)
    status = (records.request(scenario.request_id) or {}).get("status")
    if status != {"S": scenario.leaves}:
        raise RuntimeError(f"{scenario.name}: {status} instead of {scenario.leaves}")
    return Recording(scenario, recorder.take())


# --- Intake ---


def _intake_scenarios(session: boto3.Session, environ: Mapping[str, str]) -> Iterator[Scenario]:
    records = Records(session, environ)
    records.put_auth("dmarc.example.com", accept=["dmarc"])
    records.put_relay("relay.example.com", "192.0.2.0/24")
    records.put_relay("*", "198.51.100.0/24")

    yield _intake_scenario("accepted by dmarc", _mail("bob@dmarc.example.com", _DMARC))
    yield _intake_scenario("accepted by relay, of the domain", _mail("bob@relay.example.com"))
    yield _intake_scenario("accepted by relay, of *", _mail("bob@example.net", peer="198.51.100.7"))

    yield _intake_scenario("refused: unauthenticated", _mail("eve@example.org"), leaves="refused")

    long = _mail("eve@dmarc.example.com", _DMARC, more="X-Long: " + "x" * 900 + "\r\n", times=12)
    key = f"inbound/{long.message_id}"
    session.client("s3").put_object(Bucket=environ["MAIL_BUCKET"], Key=key, Body=long.raw)
    yield _intake_scenario("header cut by SES: the raw mail is read", long, common=False)


def _intake_scenario(name: str, mail: Received, *, leaves: str = "accepted", common: bool = True) -> Scenario:
    return Scenario(name, "intake", mail.event, mail.message_id, leaves, common)


def _mail(
    sender: str, verdicts: Verdicts = GRAY, peer: str = "192.0.2.25", more: str = "", times: int = 1
) -> Received:
    """Return a short mail with the header of an everyday mail."""
    domain = sender.rpartition("@")[2]
    header = (
        f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s=selector1;\r\n"
        f" h=From:Date:Subject:Message-ID:Content-Type:MIME-Version; bh={'A' * 43}=; b={'B' * 340}==\r\n"
        f"Received: from mail.{domain} (mail.{domain} [{peer}]) by out.{domain} with ESMTPS id 4XyZ\r\n"
        " for <manual-report-request@reports.example.com>; Mon, 23 Nov 2026 12:00:00 +0100\r\n"
        f"From: Bob Builder <{sender}>\r\n"
        f"To: <{_TRIGGER}>\r\n"
        "Subject: my report, please\r\n"
        "Date: Mon, 23 Nov 2026 12:00:00 +0100\r\n"
        f"Message-ID: <0123456789abcdef@{domain}>\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "User-Agent: Mozilla Thunderbird\r\n"
    )
    data = f"{header}{more * times}\r\nPlease.\r\n".encode()
    delivery = Delivery(peer, f"mail.{domain}", sender, (_TRIGGER,), data)
    return receive(delivery, verdicts, new_message_id(), datetime.now(UTC))


# --- Report ---


def _report_scenarios(session: boto3.Session, environ: Mapping[str, str]) -> Iterator[Scenario]:
    records = Records(session, environ)
    now = datetime.now(UTC)
    for mailbox, count in ((MAILBOX_OF_TEN, 10), (MAILBOX_OF_HUNDRED, 100)):
        for number in range(count):
            records.put_held(
                mailbox,
                f"held-{number}",
                now - timedelta(minutes=number),
                f"Parcel Service {number} <news{number}@parcels.example>",
                f"{_SUBJECT} ({number})",
            )
    requests = Requests(session.client("dynamodb"), environ["REQUESTS_TABLE"])
    for name, mailbox, leaves in (
        ("sent, 10 rows", MAILBOX_OF_TEN, "sent"),
        (HUNDRED_ROWS, MAILBOX_OF_HUNDRED, "sent"),
        ("empty, no mail", "nobody@example.com", "empty"),
    ):
        job = request_of(mailbox, now)
        requests.accept([job], {}, now, Limits(timedelta(minutes=5)))
        yield Scenario(name, "report", _batch([job]), job.request_id, leaves)


# --- Act ---


def _act_scenarios(session: boto3.Session, environ: Mapping[str, str]) -> Iterator[Scenario]:
    """Yield each action on a message of its own; all but a deletion read the mail from S3."""
    now, requests = datetime.now(UTC), Requests(session.client("dynamodb"), environ["REQUESTS_TABLE"])
    for number, action in enumerate(USER_ACTIONS):
        mailbox, key = f"{action}@example.com", f"held/{action}"
        etag = session.client("s3").put_object(
            Bucket=environ["MAIL_BUCKET"], Key=key, Body=f"Subject: {_SUBJECT}\r\n\r\nHello\r\n".encode()
        )["ETag"]
        reference = Reference(now.replace(microsecond=0), code_of(bytes([number] * CODE_BYTES)))
        Records(session, environ).put_held(
            mailbox, "1", now, "a@b.example", _SUBJECT, raw_key=key, etag=etag, code=reference.code
        )
        command = ActionCommand(action, reference, "reports.example.com")
        job = request_of(mailbox, now, command)
        requests.accept([job], {}, now, Limits(timedelta(minutes=5)))
        yield Scenario(action, "act", _batch([job], ActionJob), job.request_id, "done", common=False)


def request_of(requester: str, now: datetime, command: Command | None = None) -> Accepted:
    """Return a request as intake would accept it. command: by default, for a report."""
    address = Address.parse(requester)
    return Accepted(
        request_id=new_message_id(),
        requester=address,
        mailboxes=(address,),
        command=command or ReportCommand(Address.parse(_TRIGGER)),
        received_at=now,
        accepted_by="dmarc, by the auth record of example.com",
        reply=ReplyContext(utc_offset=timedelta(hours=1), message_id="<0123456789abcdef@example.com>"),
    )


def _batch(jobs: Iterable[Accepted], kind: type[ReportJob | ActionJob] = ReportJob) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": job.request_id,
                "body": to_json(kind(job.request_id)),
                "eventSource": "aws:sqs",
            }
            for job in jobs
        ]
    }
