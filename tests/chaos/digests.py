"""Two months of scheduled reports while everything fails: each held mail is told of in exactly one of them.

Readers are in six time zones on both hemispheres, over the clock changes of autumn and spring. Mail is held
at random: some of its rows become visible minutes after they were noted, and some are of mail that is days
old. The readers ask in between, and some of what is held is gone before they are told. Faults come in storms,
so that it can be said when they are over. The rows are written by the store and the service of hold; S3 is
left out, since it knows only the time of today.
"""

import base64
import email
import heapq
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from functools import partial
from itertools import count
from random import Random
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.dynamodb.models import dynamodb_backends

from functions.digest import app as digest
from functions.report import app as report
from local.records import Records
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ReportCommand
from quarantine.digests.schedule import Schedule, Weekday, next_time
from quarantine.held import HeldStatus, HoldReason
from quarantine.jobs import ReportJob
from quarantine.mail.addresses import Address
from quarantine.mail.lenient import ShownHeader
from quarantine.outbox import Jobs
from quarantine.runtime import TWO_ATTEMPTS
from quarantine.services.scheduling import Scheduling
from quarantine.stores.mailboxes import Mailboxes, shard_of
from quarantine.stores.quarantine import HeldRows, held_row, new_code
from quarantine.stores.requests import Limits, Requests
from quarantine.stores.senders import Senders
from tests.chaos.faults import Chance, Fault, Invocation, Process, Storm, Wire, asked
from tests.chaos.stage import Stage, staged
from tests.functions.faults import ProcessDied

# In the far future of every service's clock, as in the other runs; the rules of the zones go on.
_BEGINS = datetime(2100, 10, 1, tzinfo=UTC)
_TICK = timedelta(minutes=5)
_RETRY = timedelta(minutes=3)  # the visibility timeout of the queues
_SLOWEST = timedelta(minutes=4)  # from when a row is noted until it can be seen
_AFTERWARDS = timedelta(days=9)  # a schedule of one day in the week has had its time
_SHARED = 0.05  # of the readers also see a shared mailbox
_OWN = 0.1  # of the readers have a schedule of their own
_ZONES = {  # domain, and when its reports come
    "berlin.example": (["07:00", "02:30"], "Europe/Berlin"),
    "york.example": (["07:00"], "America/New_York"),
    "howe.example": (["07:00", "02:15"], "Australia/Lord_Howe"),
    "santiago.example": (["00:00", "13:00"], "America/Santiago"),
    "kolkata.example": (["07:00"], "Asia/Kolkata"),
    "auckland.example": (["07:00", "02:59"], "Pacific/Auckland"),
}
_LISTED = re.compile(r"\bNo (\d+)\b")


@dataclass(frozen=True, slots=True)
class Mailing:
    """A mail that told somebody of held mail."""

    reader: str
    request_id: str
    at: datetime

    @property
    def is_digest(self) -> bool:
        return self.request_id.startswith("digest-")


@dataclass(slots=True)
class HeldMail:
    """A held mail. noted_at: in its row. visible_at: when its row is there. gone_at: None if it stays held.

    marked_at: when its reader was made due.
    """

    number: int
    mailbox: str
    received_at: datetime
    noted_at: datetime
    visible_at: datetime | None = None
    marked_at: datetime | None = None
    gone_at: datetime | None = None


@dataclass(slots=True)
class Account:
    """The result of a run.

    told: pairs of a held mail and a reader, by how the reader was told of it. sent_again: mails of a request
    that SES had taken already; windows: faults after SES took one, which allow that.
    """

    seed: int
    readers: int
    days: int
    held: int
    calls: int
    faults: Mapping[Fault, int]
    ticks: int
    digests: int
    told: Counter[str]
    sent_again: int
    windows: int
    latest: timedelta
    lost: int
    violations: list[str]


@dataclass(slots=True)
class Witness:
    """Counts the runs of report that failed after SES took a mail: a retry may send it again."""

    windows: int = 0

    def saw(self, operation: str, request: AWSPreparedRequest, invocation: Invocation) -> None:
        if operation == "SendEmail":
            invocation.sending, invocation.struck = "a mail", False
        elif operation == "UpdateItem" and "told = :told" in str(request.body):
            invocation.sending = None

    def ended(self, invocation: Invocation) -> None:
        self.windows += invocation.sending is not None and invocation.struck


def run(
    seed: int,
    readers: int = 500,
    days: int = 61,
    progress: Callable[[int], None] = lambda _: None,
    begins: datetime = _BEGINS,
) -> Account:
    """Play the days. progress: called with each day's number. begins: a midnight, UTC."""
    rng = Random(seed)  # noqa: S311 - chance, not a secret
    with staged(rng) as stage:
        return _Months(seed, rng, stage, readers, days, begins).play(progress)


@dataclass(slots=True)
class _Months:
    seed: int
    rng: Random
    stage: Stage
    number: int
    days: int
    begins: datetime
    chance: Chance = field(init=False)
    wire: Wire = field(init=False)
    witness: Witness = field(init=False)
    agenda: list[tuple[datetime, int, Callable[[], None]]] = field(default_factory=list)
    order: Iterator[int] = field(default_factory=count)
    held: list[HeldMail] = field(default_factory=list)
    mailings: list[tuple[Mailing, frozenset[int]]] = field(default_factory=list)
    faults_at: list[datetime] = field(default_factory=list)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    sees: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    ticks: int = 0

    # --- The world ---

    def play(self, progress: Callable[[int], None]) -> Account:
        self.chance = Chance(self.rng, rate=0, storm_rate=0.3, storms=self._storms())
        self.chance.clock.now = self.begins
        self.witness = Witness()
        self.wire = Wire(self.chance, self.witness, self.stage.answer)
        self.wire.answered = self._answered
        self._settle()
        environ = self.stage.stack.environ
        hold = Process[HeldMail, None](self.wire, self._hold)
        reporting = Process[Any, Any](
            self.wire, lambda session: report.make_handler(environ, session, self._clock)
        )
        digesting = Process[Any, Any](
            self.wire, lambda session: digest.make_handler(environ, session, self._clock)
        )
        for mail in self._arrivals():
            self._at(mail.visible_at or mail.noted_at, partial(self._until_done, hold, mail))
        for when, reader in self._questions():
            self._at(when, partial(self._ask, reader))
        end = self.begins + timedelta(days=self.days)
        tick = self.begins
        while tick < end + _AFTERWARDS:
            if tick == end:
                self.chance.calm = True
            self._work_until(tick, reporting)
            if self._is_anybody_due(tick):  # any other run of digest does nothing
                self.ticks += 1
                self._once(digesting, {})
                self._queue(reporting)
            if tick.hour == tick.minute == 0:
                progress((tick - self.begins).days)
            tick += _TICK
        self._work_until(tick, reporting)
        return self._account()

    def _clock(self) -> datetime:
        return self.chance.clock.now

    def _storms(self) -> list[Storm]:
        """Begin some storms at any hour, and some when many readers are due."""
        storms = []
        for day in range(self.days):
            for _ in range(2):
                begin = self.begins + timedelta(days=day, minutes=self.rng.randrange(24 * 60))
                storms.append(Storm(begin, begin + timedelta(minutes=self.rng.randrange(10, 90))))
        return storms

    def _settle(self) -> None:
        """Let there be readers: proven ones, two of a domain where everyone counts, and strangers."""
        records = Records(self.stage.session, self.stage.stack.environ)
        for domain, (at, zone) in _ZONES.items():
            records.put_relay(domain, "192.0.2.0/24")
            records.put_digest(domain, *at, zone=zone, now=self.begins)
        for number in range(self.number):
            domain = self.rng.choice(list(_ZONES))
            reader = f"u{number}@{domain}"
            at, zone = _ZONES[domain]
            days = tuple(Weekday)
            row: dict[str, Any] = {"reader": reader, "proven_at": int(self.begins.timestamp())}
            if self.rng.random() < _OWN:
                at, days = ["16:45"], (self.rng.choice(list(Weekday)),)
                records.put_digest(reader, *at, days=days, zone=zone, now=self.begins)
            self.schedules[reader] = Schedule.parse(at, days, zone)
            self.sees[reader].append(reader)
            if self.rng.random() < _SHARED:
                shared = f"shared@{domain}"
                records.put_auth(reader, ["spf"], mailboxes=[shared])
                self.sees[shared].append(reader)
                due = next_time(self.schedules[reader], self.begins)  # as `quarantine digest set` does it
                row |= {"due_at": int(due.timestamp()), "due_shard": shard_of(Address.parse(reader))}
            records.put("MAILBOXES_TABLE", row)

    def _arrivals(self) -> Iterator[HeldMail]:
        """Hold mail for readers, for what they share and for strangers, during all days."""
        shared = [mailbox for mailbox in self.sees if mailbox.startswith("shared@")]
        strangers = [f"nobody{number}@{domain}" for number, domain in enumerate(_ZONES)]
        for number in range(self.number * self.days * 3 // 10):
            kind = self.rng.random()
            mailboxes = list(self.schedules)
            if shared and kind < 0.05:
                mailboxes = shared
            elif kind < 0.08:
                mailboxes = strangers
            noted_at = self.begins + timedelta(seconds=self.rng.randrange(self.days * 86400))
            age = timedelta(seconds=self.rng.choice([0, 1, 60, 86400, 3 * 86400]))
            slow = self.rng.random() * _SLOWEST if self.rng.random() < 0.2 else timedelta(0)
            mail = HeldMail(number, self.rng.choice(mailboxes), noted_at - age, noted_at, noted_at + slow)
            self.held.append(mail)
            yield mail
            mail.visible_at = None  # until its row is written
            if self.rng.random() < 0.1:
                gone_at = noted_at + timedelta(seconds=self.rng.randrange(2 * 86400))
                self._at(gone_at, partial(self._remove, mail))

    def _questions(self) -> Iterator[tuple[datetime, str]]:
        for _ in range(self.number * self.days // 30):
            when = self.begins + timedelta(seconds=self.rng.randrange(self.days * 86400))
            yield when, self.rng.choice(list(self.schedules))

    # --- What happens ---

    def _at(self, when: datetime, do: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (when, next(self.order), do))

    def _work_until(self, until: datetime, reporting: Process[Any, Any]) -> None:
        while self.agenda and self.agenda[0][0] <= until:
            when, _, do = heapq.heappop(self.agenda)
            self.chance.clock.now = max(self.chance.clock.now, when)
            do()
            self._queue(reporting)
        self.chance.clock.now = max(self.chance.clock.now, until)

    def _once[E](self, process: Process[E, Any], event: E) -> Any:
        """Let a function run; None if it dies or fails."""
        before = self.chance.struck.total()
        try:
            return process(event)
        except (ProcessDied, Exception):  # noqa: BLE001 - any fault may come out of a function
            return None
        finally:
            if self.chance.struck.total() > before:
                self.faults_at.append(self.chance.clock.now)

    def _until_done(self, process: Process[HeldMail, None], mail: HeldMail) -> None:
        """Let SQS deliver a message until it is served."""
        self._once(process, mail)
        if mail.marked_at is None:
            self._at(self.chance.clock.now + timedelta(seconds=30), partial(self._until_done, process, mail))

    def _hold(self, session: boto3.Session) -> Callable[[HeldMail, None], None]:
        """Do what hold does with a mail that it has judged."""
        environ = self.stage.stack.environ
        dynamodb = session.client("dynamodb", config=TWO_ATTEMPTS)
        rows = HeldRows(dynamodb, environ["QUARANTINE_TABLE"])
        scheduling = Scheduling(
            Senders(dynamodb, environ["SENDERS_TABLE"], _never),
            Mailboxes(dynamodb, environ["MAILBOXES_TABLE"], _never),
            environ["REPORTS_DOMAIN"],
        )

        def handle(mail: HeldMail, _: None) -> None:
            mailbox = Address.parse(mail.mailbox)
            shown = ShownHeader("s@b.example", f"No {mail.number}", "", mail.received_at)
            row = held_row(
                mailbox,
                shown,
                f"<{mail.number}@x>",
                mail.received_at,
                HoldReason.SPAM,
                mail.noted_at + timedelta(days=90),
                mail.noted_at,
                code=new_code(),
            )
            rows.put_new(row)
            mail.visible_at = mail.visible_at or self._clock()
            scheduling.note_held(mailbox, self._clock())
            mail.marked_at = self._clock()

        return handle

    def _ask(self, reader: str) -> None:
        """Let intake accept a request: it is tested elsewhere, so no fault strikes it."""
        environ, session = self.stage.stack.environ, self.stage.session
        address = Address.parse(reader)
        own = [Address.parse(each) for each, readers in self.sees.items() if reader in readers]
        request = Accepted(
            f"m{next(self.order)}",
            address,
            (address, *(each for each in own if each != address)),
            ReportCommand(Address("manual-report-request", "reports.example.com")),
            self._clock(),
        )
        dynamodb = session.client("dynamodb")
        requests = Requests(dynamodb, environ["REQUESTS_TABLE"])
        requests.accept([request], {}, self._clock(), Limits(timedelta(0)))
        Mailboxes(dynamodb, environ["MAILBOXES_TABLE"], _never).prove(address, self._clock())
        jobs = Jobs(session.client("sqs"), environ["JOBS_QUEUE_URL"], "")
        jobs.put(ReportJob(request.request_id), address.domain)

    def _queue(self, reporting: Process[Any, Any]) -> None:
        """Take the jobs from the queue; some come twice."""
        sqs, url = self.stage.session.client("sqs"), self.stage.stack.environ["JOBS_QUEUE_URL"]
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                for _ in range(1 + (self.rng.random() < 0.05)):
                    soon = self._clock() + timedelta(seconds=self.rng.randrange(20))
                    self._at(soon, partial(self._report, reporting, message["Body"]))

    def _report(self, reporting: Process[Any, Any], body: str) -> None:
        record = {"messageId": "0", "body": body, "attributes": {"ApproximateReceiveCount": "1"}}
        answer = self._once(reporting, {"Records": [record]})
        if answer is None or answer["batchItemFailures"]:
            self._at(self._clock() + _RETRY, partial(self._report, reporting, body))

    def _remove(self, mail: HeldMail) -> None:
        """Let the reader, or the operator, delete a message."""
        if mail.visible_at is None:
            return
        time = mail.received_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.stage.session.client("dynamodb").update_item(
            TableName=self.stage.stack.environ["QUARANTINE_TABLE"],
            Key={"recipient": {"S": mail.mailbox}, "entry": {"S": f"{time}#<{mail.number}@x>"}},
            UpdateExpression="SET #status = :deleted",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":deleted": {"S": HeldStatus.DELETED}},
        )
        mail.gone_at = self._clock()

    def _is_anybody_due(self, now: datetime) -> bool:
        """Look into moto's memory: two months have 17,568 ticks."""
        name = self.stage.stack.environ["MAILBOXES_TABLE"]
        table: Any = dynamodb_backends[ACCOUNT]["us-east-1"].tables[name]
        return any(
            "due_at" in row.attrs and int(row.attrs["due_at"].value) <= now.timestamp()
            for row in table.items.values()
        )

    # --- What is seen ---

    def _answered(self, operation: str, request: AWSPreparedRequest, _: AWSResponse) -> None:
        if operation != "SendEmail":
            return
        sent = asked(request)
        mail = email.message_from_bytes(
            base64.b64decode(sent["Content"]["Raw"]["Data"]), policy=policy.default
        )
        assert isinstance(mail, EmailMessage)
        body = mail.get_body(("plain",))
        assert body is not None
        request_id = str(mail["Message-ID"]).strip("<>").partition("@")[0].rpartition(".")[0]
        (reader,) = sent["Destination"]["ToAddresses"]
        listed = frozenset(map(int, _LISTED.findall(body.get_content())))
        self.mailings.append((Mailing(reader, request_id, self._clock()), listed))

    def _account(self) -> Account:
        told: dict[tuple[int, str], list[Mailing]] = defaultdict(list)
        for mailing, listed in self.mailings:
            for number in listed:
                told[number, mailing.reader].append(mailing)
        outcomes: Counter[str] = Counter()
        violations: list[str] = []
        lost, latest = 0, timedelta(0)
        for mail in self.held:
            readers = self.sees.get(mail.mailbox, [])
            for reader in readers:
                mailings = told.pop((mail.number, reader), [])
                outcome = self._outcome(mail, mailings)
                outcomes[outcome] += 1
                lost += outcome == "never"
                if outcome in {"never", "twice"}:
                    violations.append(f"{outcome}: {mail}, {reader}, {mailings}")
                if outcome == "in one digest":
                    late = self._lateness(mail, reader, mailings)
                    latest = max(latest, late)
                    if late > _TICK + _RETRY:
                        violations.append(f"late by {late}: {mail}, {reader}, {mailings}")
        violations += [f"told of another's: {key}" for key in told]
        requests = Counter(mailing.request_id for mailing, _ in self.mailings)
        again = sum(requests.values()) - len(requests)
        if again > self.witness.windows:
            violations.append(f"{again} mails sent again in {self.witness.windows} windows")
        return Account(
            seed=self.seed,
            readers=self.number,
            days=self.days,
            held=len(self.held),
            calls=self.wire.calls,
            faults=dict(self.chance.struck),
            ticks=self.ticks,
            digests=len({each.request_id for each, _ in self.mailings if each.is_digest}),
            told=outcomes,
            sent_again=again,
            windows=self.witness.windows,
            latest=latest,
            lost=lost,
            violations=violations,
        )

    @staticmethod
    def _outcome(mail: HeldMail, mailings: list[Mailing]) -> str:
        digests = {each.request_id for each in mailings if each.is_digest}
        if len(digests) > 1:
            return "twice"
        if digests:
            return "in one digest"
        if mailings:
            return "in a requested report"
        return "gone before" if mail.gone_at is not None else "never"

    def _lateness(self, mail: HeldMail, reader: str, mailings: list[Mailing]) -> timedelta:
        """Return how late a digest was: after its time, and after the last fault that may have delayed it."""
        at = min(each.at for each in mailings if each.is_digest)
        known = max(mail.marked_at or at, mail.visible_at or at)
        due = next_time(self.schedules[reader], known - timedelta(seconds=1))
        delays = [fault for fault in self.faults_at if due - timedelta(hours=2) <= fault <= at]
        return at - max(due, *delays, due)


def _never(record: Mapping[str, Any], error: Exception) -> None:
    raise AssertionError(f"a record that cannot be read: {json.dumps(record, default=str)}") from error
