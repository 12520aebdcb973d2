"""Requests of many mailboxes go through intake and report while everything fails; each is accounted for."""

import base64
import json
import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import StrEnum
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.awsrequest import AWSPreparedRequest

from functions.intake import app as intake
from functions.report import app as report
from local.records import Records
from local.ses import GRAY, Delivery, Received, receive
from quarantine.asking.admission import Refusal
from quarantine.asking.event import Verdict, Verdicts
from quarantine.stores.requests import RequestStatus
from tests.chaos.faults import Chance, Fault, Invocation, Process, Storm, Wire, asked
from tests.chaos.sources import Agenda, Asynchronous, Source
from tests.chaos.stage import Stage, batch_size, redrive, retries_of_intake, staged

_TRIGGER = "manual-report-request@reports.example.com"
_PEER, _STRANGER = "192.0.2.25", "203.0.113.66"
_EVERY = 20.0  # seconds between two requests, on average
_COOLDOWN = timedelta(seconds=300)
_CLOCKS_DIFFER = timedelta(seconds=25)  # two clocks, each wrong by the farthest jump, in whole seconds


class Kind(StrEnum):
    """The kinds of mail in a mailbox's name."""

    OWN = "own"  # proven to be the mailbox's own
    LONG = "long"  # the same, with more header fields than SES puts into its event
    FORGED = "forged"  # from another server
    ROBOT = "robot"  # an out-of-office reply
    TWO_FROM = "two from"
    SPAM = "spam"
    VIRUS = "virus"
    ELSEWHERE = "elsewhere"  # to an address that is not the trigger


_WEIGHTS = {
    Kind.OWN: 76,
    Kind.LONG: 6,
    Kind.FORGED: 6,
    Kind.ROBOT: 4,
    Kind.TWO_FROM: 2,
    Kind.SPAM: 2,
    Kind.VIRUS: 2,
    Kind.ELSEWHERE: 2,
}
_REFUSED_AS = {
    Kind.FORGED: Refusal.UNAUTHENTICATED,
    Kind.ROBOT: Refusal.AUTOMATIC,
    Kind.TWO_FROM: Refusal.AMBIGUOUS_SENDER,
    Kind.SPAM: Refusal.SPAM,
    Kind.VIRUS: Refusal.INFECTED,
    Kind.ELSEWHERE: Refusal.NOT_A_TRIGGER,
}


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A requester. by_dmarc: proven by DMARC, else by a relay. held: the number of messages."""

    name: str
    by_dmarc: bool
    denied: bool
    held: int

    @property
    def address(self) -> str:
        return f"{self.name}@{'dmarc' if self.by_dmarc else 'relay'}.example"

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset(f"parcel-{self.name}-{number}" for number in range(self.held))


@dataclass(frozen=True, slots=True)
class Request:
    """An incoming mail."""

    request_id: str
    kind: Kind
    mailbox: Mailbox
    at: datetime

    @property
    def refusal(self) -> Refusal | None:
        """Why it gets no report; None if it gets one unless it is too soon."""
        if self.mailbox.denied and self.kind in {Kind.OWN, Kind.LONG, Kind.FORGED}:
            return Refusal.DENIED
        return _REFUSED_AS.get(self.kind)

    def received(self) -> Received:
        """Return the mail as SES receives it."""
        fields = {
            "From": f"<{self.mailbox.address}>",
            "To": f"<{_TRIGGER}>",
            "Subject": "my report",
            "Message-ID": f"<{self.request_id[:8]}@client.example>",
        }
        if self.kind is Kind.ROBOT:
            fields["Auto-Submitted"] = "auto-replied"
        header = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        if self.kind is Kind.TWO_FROM:
            header += "From: <other@dmarc.example>\r\n"
        if self.kind is Kind.LONG:
            header = f"X-Long: {'x' * 900}\r\n" * 12 + header
        relayed = not self.mailbox.by_dmarc and self.kind is not Kind.FORGED
        peer = _PEER if relayed else _STRANGER
        to = "someone@reports.example.com" if self.kind is Kind.ELSEWHERE else _TRIGGER
        data = f"{header}\r\nPlease.\r\n".encode()
        delivery = Delivery(peer, "mail.example", self.mailbox.address, (to,), data)
        return receive(delivery, self._verdicts(), self.request_id, self.at)

    def _verdicts(self) -> Verdicts:
        passed, failed = Verdict.PASS, Verdict.FAIL
        if self.kind is Kind.FORGED or not self.mailbox.by_dmarc:
            proof = (GRAY.spf, GRAY.dkim, GRAY.dmarc)
        else:
            proof = (passed, passed, passed)
        spam = failed if self.kind is Kind.SPAM else passed
        virus = failed if self.kind is Kind.VIRUS else passed
        return Verdicts(spam, virus, *proof)


def mailboxes(rng: Random, number: int) -> tuple[Mailbox, ...]:
    """Generate mailboxes: some have no held mail, a few are denied."""
    return tuple(
        Mailbox(f"u{place}", rng.random() < 0.5, rng.random() < 0.02, rng.choice([0, 1, 1, 2, 3]))
        for place in range(number)
    )


def requests(rng: Random, number: int, of: tuple[Mailbox, ...], start: datetime) -> Iterator[Request]:
    """Generate requests; one in three comes from a recent requester, so that the cooldown matters."""
    at, recent = start, [of[0]]
    for _ in range(number):
        at += timedelta(seconds=rng.expovariate(1 / _EVERY))
        mailbox = rng.choice(recent[-20:]) if rng.random() < 1 / 3 else rng.choice(of)
        recent.append(mailbox)
        request_id = "".join(rng.choices(string.ascii_lowercase + string.digits, k=40))
        yield Request(request_id, rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0], mailbox, at)


# --- The ledger ---


class Fate(StrEnum):
    """The end of a request."""

    ONCE = "reported once"
    TWICE = "reported more than once"  # SES accepted the mail, but a fault prevented the update of the row
    EMPTY = "nothing held"
    REFUSED = "refused"
    WAITING = "waiting in a dead-letter queue"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Report:
    """A mail that SES accepted. subjects: of the held messages that it lists."""

    to: tuple[str, ...]
    to_field: str
    subjects: frozenset[str]


@dataclass(slots=True)
class Ledger:
    """The results of each request, as seen behind the wire.

    windows: how often a fault occurred after SES accepted a request's report and before the row's update.
    """

    reports: defaultdict[str, list[Report]] = field(default_factory=lambda: defaultdict(list))
    windows: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, str] = field(default_factory=dict)  # intake's last answer
    jobs_sent: bool = False

    def saw(self, operation: str, request: AWSPreparedRequest, invocation: Invocation) -> None:
        match operation:
            case "SendMessage":
                self.jobs_sent = True
            case "SendEmail":
                request_id, report = _report(asked(request))
                self.reports[request_id].append(report)
                invocation.sending, invocation.struck = request_id, False
            case "UpdateItem" if _settles(asked(request)):
                invocation.sending = None

    def ended(self, invocation: Invocation) -> None:
        if invocation.sending and invocation.struck:
            self.windows[invocation.sending] += 1


def _report(sent: Mapping[str, Any]) -> tuple[str, Report]:
    mail = message_from_bytes(base64.b64decode(sent["Content"]["Raw"]["Data"]), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    body = mail.get_body(("plain",))
    assert body is not None
    subjects = frozenset(re.findall(r"parcel-u\d+-\d+", body.get_content()))
    to = [address for field in sent["Destination"].values() for address in field]
    return str(mail["X-Quarantine-Report"]), Report(tuple(to), str(mail["To"]), subjects)


def _settles(update: Mapping[str, Any]) -> bool:
    status = update["ExpressionAttributeValues"].get(":status", {}).get("S")
    return status in {RequestStatus.SENT, RequestStatus.EMPTY, RequestStatus.FAILED}


@dataclass(slots=True)
class Account:
    """The result of a run. waited: how many were in a dead-letter queue until they were redriven."""

    seed: int
    requests: int
    calls: int
    faults: Mapping[Fault, int]
    fates: Counter[str]
    windows: int
    sent_again: int
    dead_jobs: int
    dead_events: int
    waited: int
    violations: list[str]


def run(
    seed: int,
    number: int,
    mailbox_count: int,
    progress: Callable[[int], None] = lambda _: None,
    *,
    rate: float = 0.1,
    endpoint_url: str | None = None,
) -> Account:
    """Deliver requests under faults, then end the faults and redrive.

    progress: called with the number of requests. rate: the share of AWS calls that fail, outside storms.
    endpoint_url: of an emulator; None for moto.
    """
    rng = Random(seed)  # noqa: S311 - chance, not a secret
    chance = Chance(rng, rate=rate)
    with staged(rng, endpoint_url) as stage:
        return _Run(chance, stage, number, mailbox_count, progress).account(seed)


class _Run:
    """A run in progress."""

    def __init__(
        self,
        chance: Chance,
        stage: Stage,
        number: int,
        mailbox_count: int,
        progress: Callable[[int], None],
    ) -> None:
        self._chance, self._stage, self._progress = chance, stage, progress
        self._ledger = Ledger()
        self._agenda = Agenda(chance)
        self._wire = Wire(chance, self._ledger, stage.answer)
        self._wire.interleave = self._agenda.interleave
        self._sqs = stage.session.client("sqs")
        self._s3 = stage.session.client("s3")
        environ, clock = stage.stack.environ, chance.process_clock
        self._intake = Process[Any, dict[str, str]](
            self._wire, lambda session: intake.make_handler(environ, session, clock)
        )
        report_process = Process[Any, Any](
            self._wire, lambda session: report.make_handler(environ, session, clock)
        )
        self._lambda = Asynchronous(
            self._agenda, chance, self._serve_event, retries_of_intake(), self._failed
        )
        self._jobs = Source(
            self._agenda,
            chance,
            report_process,
            self._sqs,
            environ["JOBS_QUEUE_URL"],
            batch_size("ReportJobs"),
        )
        self._dead_events: list[str] = []
        of = mailboxes(chance.rng, mailbox_count)
        self._requests = tuple(requests(chance.rng, number, of, chance.clock.now))
        chance.storms = tuple(_storms(chance.rng, chance.clock.now, self._requests[-1].at))
        self._hold_mail(of)

    def account(self, seed: int) -> Account:
        """Do it all."""
        for place, request in enumerate(self._requests):
            self._agenda.at(request.at, partial(self._come_in, place, request))
        self._agenda.run()
        violations: list[str] = []
        before = self._fates(violations)
        self._chance.calm = True
        dead_jobs, dead_events = len(self._jobs.dead), len(self._dead_events)
        calls, faults = self._wire.calls, dict(self._chance.struck)
        redrive(self._stage, self._lambda.invoke)
        self._jobs.pull()
        self._agenda.run()
        left = redrive(self._stage, self._lambda.invoke)
        violations += [f"still in a dead-letter queue: {row}" for row in left]
        self._dead_events.clear()
        self._jobs.dead.clear()
        after = self._fates(violations)
        violations += self._checked(after)
        return Account(
            seed=seed,
            requests=len(self._requests),
            calls=calls,
            faults=faults,
            fates=Counter(str(fate) for fate in after.values()),
            windows=self._ledger.windows.total(),
            sent_again=sum(len(each) - 1 for each in self._ledger.reports.values()),
            dead_jobs=dead_jobs,
            dead_events=dead_events,
            waited=sum(fate == Fate.WAITING for fate in before.values()),
            violations=violations,
        )

    # --- What happens ---

    def _hold_mail(self, of: tuple[Mailbox, ...]) -> None:
        records = Records(self._stage.session, self._stage.stack.environ)
        records.put_auth("dmarc.example", ["dmarc"])
        records.put_relay("relay.example", "192.0.2.0/24")
        for mailbox in of:
            if mailbox.denied:
                records.put_auth(mailbox.address, deny=True)
            for subject in mailbox.subjects:
                records.put_held(
                    mailbox.address,
                    f"<{subject}@x>",
                    self._chance.clock.now,
                    "a@b.example",
                    subject,
                    expires_at=int((self._chance.clock.now + timedelta(days=365)).timestamp()),
                )

    def _come_in(self, place: int, request: Request) -> None:
        """Act as the receipt rule: store the raw mail, then invoke intake."""
        received = request.received()
        if request.kind is Kind.LONG:
            self._s3.put_object(
                Bucket=self._stage.stack.environ["MAIL_BUCKET"],
                Key=f"inbound/{request.request_id}",
                Body=received.raw,
            )
        self._lambda.invoke(received.event)
        self._progress(place + 1)

    def _serve_event(self, event: dict[str, Any]) -> None:
        try:
            outcome = self._intake(event)["outcome"]
            self._ledger.outcomes[event["Records"][0]["ses"]["mail"]["messageId"]] = outcome
        finally:
            if self._ledger.jobs_sent:
                self._ledger.jobs_sent = False
                self._jobs.pull()

    def _failed(self, record: dict[str, Any]) -> None:
        self._dead_events.append(record["requestPayload"]["Records"][0]["ses"]["mail"]["messageId"])
        self._sqs.send_message(QueueUrl=self._stage.stack.intake_failures_url, MessageBody=json.dumps(record))

    # --- What came of it ---

    def _rows(self) -> dict[str, dict[str, Any]]:
        client = self._stage.session.client("dynamodb")
        pages = client.get_paginator("scan").paginate(TableName=self._stage.stack.environ["REQUESTS_TABLE"])
        plain = TypeDeserializer().deserialize
        return {
            item["request_id"]["S"]: {name: plain(value) for name, value in item.items()}
            for page in pages
            for item in page["Items"]
        }

    def _fates(self, violations: list[str]) -> dict[str, str]:
        """Return where each request ended, and note the lost ones."""
        rows = self._rows()
        dead = {*self._dead_events, *(json.loads(body)["request_id"] for body in self._jobs.dead)}
        fates = {}
        for request in self._requests:
            row = rows.get(request.request_id, {})
            fate = self._fate(request, row)
            if fate == Fate.LOST and request.request_id in dead:
                fate = Fate.WAITING
            if fate == Fate.LOST:
                violations.append(f"lost: {request}: its row is {row or 'missing'}")
            fates[request.request_id] = fate
        return fates

    def _fate(self, request: Request, row: Mapping[str, Any]) -> str:
        sent = len(self._ledger.reports.get(request.request_id, []))
        match row.get("status"):
            case RequestStatus.SENT if sent:
                return Fate.ONCE if sent == 1 else Fate.TWICE
            case RequestStatus.EMPTY:
                return Fate.EMPTY
            case RequestStatus.REFUSED:
                return f"{Fate.REFUSED}: {row['reason']}"
            case None if self._ledger.outcomes.get(request.request_id) == Refusal.NOT_A_TRIGGER:
                return f"{Fate.REFUSED}: {Refusal.NOT_A_TRIGGER}"
        return Fate.LOST

    def _checked(self, fates: Mapping[str, str]) -> Iterator[str]:
        rows = self._rows()
        known = {request.request_id: request for request in self._requests}
        for row in rows.values():
            if row.get("status") in {RequestStatus.SENDING, RequestStatus.ACCEPTED}:
                yield f"unfinished: {row}"
        for request_id, sent in self._ledger.reports.items():
            if request_id not in known:
                yield f"a report that nobody asked for: {request_id} {sent}"
            elif sent:
                yield from self._of_reports(known[request_id], sent)
        accepted = _accepted_at(self._requests, rows)
        for request in self._requests:
            yield from _of_fate(request, fates[request.request_id], rows, accepted)
        for address, times in accepted.items():
            for earlier, later in pairwise(sorted(times)):
                if later - earlier < _COOLDOWN - timedelta(seconds=1):  # the row stores whole seconds
                    yield f"the cooldown of {address} did not hold: {earlier}, {later}"

    def _of_reports(self, request: Request, sent: list[Report]) -> Iterator[str]:
        if len(sent) - 1 > self._ledger.windows[request.request_id]:
            yield f"sent {len(sent)} times without cause: {request}"
        if request.refusal:
            yield f"a report in spite of {request.refusal}: {request}"
        address = request.mailbox.address
        for each in sent:
            if (each.to, each.to_field, each.subjects) != ((address,), address, request.mailbox.subjects):
                yield f"not the asker's report: {request} {each}"


def _storms(rng: Random, begins: datetime, ends: datetime) -> Iterator[Storm]:
    """Half an hour out of every four is a storm; in a short run, a tenth of it."""
    lasts = min(timedelta(minutes=30), (ends - begins) / 10)
    while begins < ends:
        starts = begins + rng.random() * min(timedelta(hours=3), (ends - begins) / 2)
        yield Storm(starts, starts + lasts)
        begins += timedelta(hours=4)


def _accepted_at(
    requests_: tuple[Request, ...], rows: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[datetime]]:
    """When each mailbox's requests were accepted."""
    found: dict[str, list[datetime]] = defaultdict(list)
    for request in requests_:
        row = rows.get(request.request_id, {})
        if row.get("status") in {RequestStatus.SENT, RequestStatus.EMPTY}:
            found[request.mailbox.address].append(datetime.fromisoformat(row["decided_at"]))
    return found


def _of_fate(
    request: Request,
    fate: str,
    rows: Mapping[str, Mapping[str, Any]],
    accepted: Mapping[str, list[datetime]],
) -> Iterator[str]:
    """Yield what is wrong with a request's end, unless it is lost, which is reported elsewhere."""
    if fate == Fate.LOST:
        return
    if request.refusal:
        expected = {f"{Fate.REFUSED}: {request.refusal}"}
    else:
        reported = {Fate.ONCE, Fate.TWICE} if request.mailbox.held else {Fate.EMPTY}
        expected = {f"{Fate.REFUSED}: {Refusal.TOO_SOON}", *reported}
    if fate not in expected:
        yield f"{fate}, where {' or '.join(sorted(expected))} should be: {request}"
    elif fate == f"{Fate.REFUSED}: {Refusal.TOO_SOON}":
        decided = datetime.fromisoformat(rows[request.request_id]["decided_at"])
        if not any(
            -_CLOCKS_DIFFER < decided - at < _COOLDOWN + _CLOCKS_DIFFER
            for at in accepted.get(request.mailbox.address, [])
        ):
            yield f"too soon after nothing: {request}"
