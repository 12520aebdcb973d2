"""Runs a case, and judges it by the mails that were sent and their recipients."""

import itertools
import re
import smtplib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses
from enum import StrEnum
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from functions.intake import app as intake_app
from local.records import Records
from local.ses import Delivery, receive
from quarantine.asking.admission import Refusal
from tests.attacks.attack import BOB, DATE, Accepted, Attack, Auth, Event, Relay, code_of, mail, secret_of
from tests.local.serving import PATIENCE, Server, eventually
from tests.shared_stack import empty
from tests.world import NOW, World


class Judgement(StrEnum):
    REFUSED = "refused"  # silence, for the declared reason
    ACCEPTED_RIGHTLY = "accepted rightly"  # the declared report, once, with the declared mailboxes
    ACCEPTED_WRONGLY = "accepted wrongly"  # any other report
    REFUSED_WRONGLY = "refused wrongly"  # silence where a report is due
    OTHER_REASON = "for another reason"  # silence, but with another reason in the log

    @property
    def is_right(self) -> bool:
        return self in {Judgement.REFUSED, Judgement.ACCEPTED_RIGHTLY}


@dataclass(frozen=True, slots=True)
class Report:
    """A mail that was sent. to: every address that it goes to or names; secrets: the subjects in it."""

    to: frozenset[str]
    secrets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """word: intake's outcome. reports: the mails that were sent because of the case."""

    word: str
    reports: tuple[Report, ...]


def judge(expected: Refusal | Accepted, outcome: Outcome) -> Judgement:
    due = [_due(expected)] if isinstance(expected, Accepted) else []
    if len(outcome.reports) > len(due) or any(report not in due for report in outcome.reports):
        return Judgement.ACCEPTED_WRONGLY
    if due:
        return Judgement.ACCEPTED_RIGHTLY if outcome.reports else Judgement.REFUSED_WRONGLY
    return Judgement.REFUSED if outcome.word == expected else Judgement.OTHER_REASON


def _due(expected: Accepted) -> Report:
    secrets = map(secret_of, [expected.requester, *expected.shows])
    return Report(frozenset([expected.requester]), frozenset(secrets))


_KEYS = {"SENDERS_TABLE": ("principal", "record"), "QUARANTINE_TABLE": ("recipient", "entry")}
_serialize = TypeSerializer().serialize
_SECRET = re.compile(r"secret[a-p]{16}")


def report_of(raw: bytes, destinations: Iterable[str] = ()) -> Report:
    """Read a mail that was sent. destinations: its envelope recipients, if they are known."""
    sent: EmailMessage = message_from_bytes(raw, policy=policy.default)
    fields = [str(value) for name in ("To", "Cc", "Bcc") for value in sent.get_all(name, [])]
    named = (address for _, address in getaddresses(fields))
    bodies = [part.get_content() for part in sent.walk() if part.get_content_maintype() == "text"]
    secrets = _SECRET.findall(" ".join([sent["Subject"], *bodies]))
    return Report(frozenset([*named, *destinations]), frozenset(secrets))


class _Batch(Records):
    """Records that are written in one call and deleted in another."""

    def __init__(self, session: Any, environ: Mapping[str, str]) -> None:
        super().__init__(session, environ)
        self._session = session
        self._items: list[tuple[str, dict[str, Any]]]
        self._written: int
        self.forget()

    def put(self, table: str, item: Mapping[str, Any]) -> None:
        self._items.append((table, {name: _serialize(value) for name, value in item.items()}))

    def write(self) -> None:
        new = self._items[self._written :]
        self._written = len(self._items)
        self._request([(table, {"PutRequest": {"Item": item}}) for table, item in new])

    def take_away(self) -> None:
        """Delete all written records: a record of `*` would affect the next case, and moto reads them all."""
        keys = {  # without duplicates: two cases may use one mailbox
            (table, *(item[name]["S"] for name in _KEYS[table])): {name: item[name] for name in _KEYS[table]}
            for table, item in self._items
        }
        self.forget()
        self._request([(place[0], {"DeleteRequest": {"Key": key}}) for place, key in keys.items()])

    def store(self, key: str, mail: bytes) -> None:
        """Store a held mail; it may stay, since no row names it when the records are gone."""
        self._session.client("s3").put_object(Bucket=self._environ["MAIL_BUCKET"], Key=key, Body=mail)

    def forget(self) -> None:
        """Start again without items, in the tables or not."""
        self._items, self._written = [], 0

    def _request(self, requests: Sequence[tuple[str, Any]]) -> None:
        for some in itertools.batched(requests, _MOST_WRITES, strict=False):
            tables = {table for table, _ in some}
            self._client.batch_write_item(
                RequestItems={
                    self._environ[table]: [request for of, request in some if of == table] for table in tables
                }
            )


_MOST_WRITES = 25  # the maximum of BatchWriteItem


def _put(batch: _Batch, attack: Attack) -> None:
    """Put the records of the case into the tables, and hold mail for each of its mailboxes."""
    for record in attack.records:
        match record:
            case Relay(principal, network):
                batch.put_relay(principal, network)
            case Auth(principal, accept, deny, mailboxes, forwarded):
                batch.put_auth(principal, accept, deny=deny, mailboxes=mailboxes, forwarded=forwarded)
    for mailbox in attack.mailboxes:
        more = {"code": code_of(mailbox), "raw_key": _key(mailbox)} if attack.is_of_an_action else {}
        batch.put_held(mailbox, "<1@supplier.example>", NOW, "x@supplier.example", secret_of(mailbox), **more)
    batch.write()
    if attack.is_of_an_action:
        for mailbox in attack.mailboxes:
            batch.store(_key(mailbox), f"Subject: {secret_of(mailbox)}\r\n\r\nbody\r\n".encode())


def _key(mailbox: str) -> str:
    return f"held/{mailbox}"


def event_of(attack: Attack) -> tuple[dict[str, Any], bytes]:
    """Return the event of a case, and the raw mail that is stored with it."""
    received = receive(attack.delivery, attack.verdicts, attack.message_id, NOW)
    ses = received.event["Records"][0]["ses"]
    ses["mail"]["headers"] = _fields(attack.event, ses["mail"]["headers"], attack.message_id)
    ses["mail"]["headersTruncated"] |= attack.event.truncated
    for name, value in attack.event.receipt:
        if value is None:
            del ses["receipt"][name]
        else:
            ses["receipt"][name] = value
    return received.event, received.raw if attack.event.stored is None else attack.event.stored


def _fields(event: Event, fields: Sequence[dict[str, str]], message_id: str) -> list[dict[str, str]]:
    end = 1 + [field["name"] for field in fields].index("X-SES-DKIM-SIGNATURE")
    changed = {
        "Return-Path": event.return_path,
        "Received": event.received,
        "Authentication-Results": event.results,
    }
    block = [
        {"name": field["name"], "value": text.replace("{id}", message_id)}
        for field in fields[:end]
        if field["name"].lower() not in event.without
        and (text := changed.get(field["name"]) or field["value"]) is not None
    ]
    return block + list(fields[end:])


class Events:
    """Both functions on the stack of this process, for cases in the form of events."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._batch = _Batch(world.session, world.stack.environ)
        self._intake = intake_app.make_handler(world.stack.environ, world.session, world.clock)

    def run(self, attack: Attack) -> Outcome:
        """Pass a case to intake as the event that SES would make, and its jobs to report.

        The stack is empty before and after: a record of `*` would also count for the next case.
        """
        _put(self._batch, attack)
        try:
            return self._run(attack)
        finally:
            self._batch.forget()
            empty()

    def _run(self, attack: Attack) -> Outcome:
        event, raw = event_of(attack)
        if event["Records"][0]["ses"]["mail"]["headersTruncated"]:
            self._world.store_mail(attack.message_id, raw)
        word = self._intake(event, None)["outcome"]
        if jobs := self._world.jobs():
            self._world.report(*jobs)
        if actions := self._world.actions():
            self._world.act(*actions)
            row = self._world.row(attack.message_id)
            word = row["reason"] if row["status"] == "refused" else word
        sent = zip(self._world.sent(), self._world.destinations(), strict=True)
        return Outcome(word, tuple(report_of(raw, to) for raw, to in sent))


@dataclass(frozen=True, slots=True)
class Carried:
    """outcomes: by id, of the cases that the server accepted. strays: reports to any other address."""

    outcomes: dict[str, Outcome]
    strays: tuple[Report, ...]


def try_on_wire(server: Server, attacks: Sequence[Attack]) -> Carried:
    """Send cases by SMTP unchanged, and wait until all are decided and served.

    A command that the SMTP server itself refuses is not transmitted.
    """
    batch = _Batch(server, server.environ)
    taken: dict[str, str] = {}
    rows: dict[str, dict[str, Any]] = {}
    everybody: set[str] = set()
    for number, some in enumerate(itertools.batched(attacks, _AT_ONCE, strict=False)):
        last = Attack(f"last-{number}", "control", "own", BOB, mail()).apart()
        for attack in (*some, last):
            _put(batch, attack)
            everybody |= attack.mailboxes
            if (message_id := _send(server, attack.delivery)) is not None:
                taken[attack.id] = message_id
        rows = _rows_when_settled(server, taken.pop(last.id))
        batch.take_away()
    reports = [report_of(path.read_bytes()) for path in Path(server.ready["outbox"]).glob("new/*")]
    outcomes = {
        attack.id: Outcome(
            _word(rows.get(taken[attack.id], {})),
            tuple(report for report in reports if report.to & attack.mailboxes),
        )
        for attack in attacks
        if attack.id in taken
    }
    return Carried(outcomes, tuple(report for report in reports if not report.to <= everybody))


_AT_ONCE = 25  # cases: moto reads a whole table for each query


def _send(server: Server, delivery: Delivery) -> str | None:
    host, _, port = server.ready["smtp"].rpartition(":")
    source = (delivery.peer, 0)
    with smtplib.SMTP(host, int(port), source_address=source, timeout=PATIENCE) as client:
        client.command_encoding = "utf-8"
        client.ehlo(delivery.helo)
        commands = [f"MAIL FROM:<{delivery.envelope_from}> SMTPUTF8"]
        commands += [f"RCPT TO:<{recipient}>" for recipient in delivery.recipients]
        for command in commands:
            if client.docmd(command)[0] != _OK:
                return None
        written_now = f"Date: {format_datetime(datetime.now(UTC))}"
        code, answer = client.data(delivery.data.replace(DATE.encode(), written_now.encode()))
    return answer.decode().rpartition(" ")[2] if code == _OK else None


def _rows_when_settled(server: Server, last: str) -> dict[str, dict[str, Any]]:
    """Return the rows of the requests table when the last mail has its report and no request is open."""
    dynamodb = server.client("dynamodb")

    def rows() -> dict[str, dict[str, Any]]:
        pages = dynamodb.get_paginator("scan").paginate(TableName=server.environ["REQUESTS_TABLE"])
        items = [item for page in pages for item in page["Items"]]
        found = {item["request_id"]["S"]: item for item in items if "status" in item}
        is_over = all(row["status"]["S"] in _OVER for row in found.values())
        return found if last in found and is_over else {}

    return eventually(rows, f"all mails are settled; see {server.log}")


def _word(row: Mapping[str, Any]) -> str:
    """Return intake's outcome for a request; only mail that is not to the trigger has no row."""
    if not row:
        return Refusal.NOT_A_TRIGGER
    reason: str = row["reason"]["S"] if row["status"]["S"] == "refused" else "accepted"
    return reason


_OK = 250
_OVER = {"refused", "sent", "empty", "done", "failed"}
