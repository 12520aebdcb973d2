"""Actions on held mail go through intake, act and feedback while everything fails.

SES reports late, twice, in any order or never what became of a mail, and some releases come back. For some
messages users ask two administrators, who answer at the same time, as do strangers.
"""

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
from functools import partial
from random import Random
from typing import Any

from botocore.awsrequest import AWSPreparedRequest

from functions.act import app as act
from functions.feedback import app as feedback
from functions.intake import app as intake
from local.records import Records
from local.ses import BOUNCING, SentMail, sending_event
from quarantine.acting.rules import Action, Ruling
from quarantine.stores.requests import RequestStatus
from tests.chaos.faults import Chance, Fault, Invocation, Process, Wire, asked
from tests.chaos.holdings import COMPANY, Message, asking, hold, rows
from tests.chaos.sources import Agenda, Asynchronous, Source
from tests.chaos.stage import Stage, batch_size, redrive, retries_of_intake, staged

_EVERY = 10.0  # seconds between two mails, on average
_MESSAGES_EACH = 3
_SAME_AGAIN = 0.4  # of the mails are about a message that another was about a moment ago
_FOREIGN = 0.5  # of the further commands of a mail may be about a message of somebody else
_NEVER, _TWICE, _REJECTED, _BOUNCED = 0.05, 0.1, 0.05, 0.05  # of the events of SES
_LATEST_EVENT = 7200.0  # seconds
_REJECT = b"a virus"
_PHISH_EACH = 3
_ADMINISTRATORS = (f"a0@{COMPANY}", f"a1@{COMPANY}")
_ANSWERED, _FORWARDED, _LATEST_ANSWER = 0.8, 0.3, 40.0  # of the mails to administrators; seconds


@dataclass(frozen=True, slots=True)
class Asking:
    """A command of a mail. is_theirs: whether the requester may do so."""

    request_id: str
    requester: str
    action: Action | Ruling
    message: Message
    is_theirs: bool


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that SES accepted. number: its place among all of them. kind: of its Message-ID."""

    number: int
    to: str
    kind: str
    carries: frozenset[str]


@dataclass(slots=True)
class Ledger:
    """What SES accepted, by request. windows: as in requests.Ledger, by request."""

    report: Callable[[str, str, bytes, Mapping[str, str]], None] = lambda *_: None
    question: Callable[[str, str], None] = lambda *_: None
    mails: defaultdict[str, list[Mail]] = field(default_factory=lambda: defaultdict(list))
    windows: Counter[str] = field(default_factory=Counter)
    count: int = 0

    def saw(self, operation: str, request: AWSPreparedRequest, invocation: Invocation) -> None:
        if operation == "SendEmail":
            self.ended(invocation)
            sent = asked(request)
            raw = base64.b64decode(sent["Content"]["Raw"]["Data"])
            (to,) = sent["Destination"]["ToAddresses"]
            request_id, mail = _read(self.count, to, raw)
            self.count += 1
            self.mails[request_id].append(mail)
            if mail.kind.startswith("ask-"):
                self.question(to, _text(raw))
            self.report(
                f"ses-{self.count}", to, raw, {tag["Name"]: tag["Value"] for tag in sent["EmailTags"]}
            )
            invocation.sending, invocation.struck = request_id, False
        elif operation == "UpdateItem" and _settles(asked(request)):
            invocation.sending = None

    def ended(self, invocation: Invocation) -> None:
        if invocation.sending and invocation.struck:
            self.windows[invocation.sending] += 1


def _read(number: int, to: str, raw: bytes) -> tuple[str, Mail]:
    mail = message_from_bytes(raw, policy=policy.default)
    request_id, _, kind = str(mail["Message-ID"]).strip("<>").rpartition("@")[0].rpartition(".")
    attached = raw.rpartition(b"original_")[0] if kind == "release" else b""
    return request_id, Mail(number, to, kind, frozenset(re.findall(r"body-(m\d+)", attached.decode())))


def _text(raw: bytes) -> str:
    mail = message_from_bytes(raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def _settles(update: Mapping[str, Any]) -> bool:
    values = update.get("ExpressionAttributeValues", {})
    final = {RequestStatus.DONE, RequestStatus.FAILED, RequestStatus.REFUSED}
    return values.get(":status", {}).get("S") in final or not values.keys().isdisjoint(_TOLD)


_TOLD = {":told_at", ":told", ":yes"}  # a mail was noted beside the row of its request


@dataclass(slots=True)
class Account:
    """The result of a run. outcomes: of the commands: the answer or the refusal of each row."""

    seed: int
    commands: int
    calls: int
    faults: Mapping[Fault, int]
    events: int
    outcomes: Counter[str]
    windows: int
    sent_again: int
    redriven: int
    lost: int
    violations: list[str]


def run(
    seed: int,
    number: int,
    progress: Callable[[int], None] = lambda _: None,
    *,
    rate: float = 0.1,
    endpoint_url: str | None = None,
) -> Account:
    """Deliver mails with commands under faults, then end the faults and redrive; as requests.run."""
    rng = Random(seed)  # noqa: S311 - chance, not a secret
    with staged(rng, endpoint_url) as stage:
        return _Run(Chance(rng, rate=rate), stage, number, progress).account(seed)


class _Run:
    """A run in progress."""

    def __init__(self, chance: Chance, stage: Stage, number: int, progress: Callable[[int], None]) -> None:
        self._chance, self._stage, self._number, self._progress = chance, stage, number, progress
        self._ledger = Ledger(self._report, self._question)
        self._agenda = Agenda(chance)
        wire = Wire(chance, self._ledger, stage.answer)
        wire.interleave = self._agenda.interleave
        self._wire, self._sqs = wire, stage.session.client("sqs")
        environ, clock = stage.stack.environ, chance.process_clock
        self._intake = Process[Any, Any](wire, lambda session: intake.make_handler(environ, session, clock))
        self._lambda = Asynchronous(self._agenda, chance, self._serve, retries_of_intake(), self._failed)
        self._actions = self._source(
            Process(wire, lambda session: act.make_handler(environ, session, clock)),
            environ["ACTIONS_QUEUE_URL"],
            "Actions",
        )
        self._feedback = self._source(
            Process(wire, lambda session: feedback.make_handler(environ, session, clock)),
            stage.stack.feedback_queue_url,
            "SendingEventsSource",
        )
        self._events = 0
        self._dead_events: set[str] = set()
        self._messages = tuple(self._held())
        self._commands: list[Asking] = []

    def _source(self, process: Process[Any, Any], url: str, mapping: str) -> Source:
        return Source(self._agenda, self._chance, process, self._sqs, url, batch_size(mapping))

    def account(self, seed: int) -> Account:
        """Do it all."""
        at = self._chance.clock.now
        while len(self._commands) < self._number:
            at += timedelta(seconds=self._chance.rng.expovariate(1 / _EVERY))
            self._agenda.at(at, partial(self._lambda.invoke, self._mail(at)))
        self._agenda.run()
        calls, faults = self._wire.calls, dict(self._chance.struck)
        redriven = len(self._dead_events) + len(self._actions.dead) + len(self._feedback.dead)
        self._chance.calm = True
        left = self._redrive_all()
        found = rows(self._stage, "REQUESTS_TABLE", "request_id")
        outcomes = Counter(_outcome(found.get(each.request_id, {})) for each in self._commands)
        violations = [f"still in a dead-letter queue: {each}" for each in left]
        violations += self._checked(found)
        return Account(
            seed=seed,
            commands=len(self._commands),
            calls=calls,
            faults=faults,
            events=self._events,
            outcomes=outcomes,
            windows=self._ledger.windows.total(),
            sent_again=sum(_again(mails) for mails in self._ledger.mails.values()),
            redriven=redriven,
            lost=outcomes["lost"],
            violations=violations,
        )

    def _redrive_all(self) -> list[dict[str, Any]]:
        """Redrive, twice: what intake is given again makes new jobs. Return what is left."""
        for _ in range(2):
            redrive(self._stage, self._lambda.invoke)
            self._pull()
            self._agenda.run()
        return redrive(self._stage, self._lambda.invoke)

    # --- What happens ---

    def _held(self) -> Iterator[Message]:
        """Hold some messages for each user, and for a mailbox that two users share."""
        records = Records(self._stage.session, self._stage.stack.environ)
        users = [f"u{number}@{COMPANY}" for number in range(max(2, self._number // 5))]
        for reader in users[:2]:
            records.put_auth(reader, ["dmarc"], mailboxes=[f"shared@{COMPANY}"])
        records.put_auth(COMPANY, administrators=_ADMINISTRATORS)
        mailboxes = [*users, f"shared@{COMPANY}"] * _MESSAGES_EACH
        now = self._chance.clock.now
        return hold(self._stage, self._chance.rng, mailboxes, now, phish_each=_PHISH_EACH)

    def _mail(self, at: datetime) -> dict[str, Any]:
        """Return the event of a mail with one to three distinct commands of one user."""
        rng = self._chance.rng
        first = self._message()
        requester = rng.choice(_readers(first.mailbox))
        request_id = "".join(rng.choices(string.ascii_lowercase + string.digits, k=40))
        wanted: dict[tuple[Action, str], Message] = {}
        for message in (first, *rng.sample(self._messages, rng.choice([0, 0, 0, 1, 2]))):
            is_theirs = requester in _readers(message.mailbox)
            if is_theirs or message is first or rng.random() < _FOREIGN:
                wanted[rng.choice(list(Action)), message.name] = message
        local_parts = []
        for number, ((action, _), message) in enumerate(wanted.items(), start=1):
            own_id = request_id if number == 1 else f"{request_id}.{number}"
            is_theirs = requester in _readers(message.mailbox)
            self._commands.append(Asking(own_id, requester, action, message, is_theirs))
            local_parts.append(f"{action}-{message.reference}")
        self._progress(len(self._commands))
        return asking(request_id, requester, local_parts, at)

    def _question(self, to: str, text: str) -> None:
        """Let an administrator answer a mail that SES has just accepted, or a stranger who was sent it on."""
        rng = self._chance.rng
        names = set(re.findall(r"body-(m\d+)", text))  # none if the message was not read again
        if not names or rng.random() >= _ANSWERED:
            return
        ruling = rng.choice(list(Ruling))
        (address,) = re.findall(rf"^({ruling}-\S+)@", text, re.MULTILINE)
        (name,) = names
        message = next(each for each in self._messages if each.name == name)
        is_theirs = rng.random() >= _FORWARDED
        by = to if is_theirs else f"u0@{COMPANY}"
        request_id = "".join(rng.choices(string.ascii_lowercase + string.digits, k=40))
        self._commands.append(Asking(request_id, by, ruling, message, is_theirs))
        seconds = rng.uniform(0, _LATEST_ANSWER)
        at = self._chance.clock.now + timedelta(seconds=seconds)
        self._agenda.at(at, partial(self._lambda.invoke, asking(request_id, by, [address], at)))

    def _message(self) -> Message:
        if self._commands and self._chance.rng.random() < _SAME_AGAIN:
            return self._commands[-1].message
        return self._chance.rng.choice(self._messages)

    def _serve(self, event: dict[str, Any]) -> None:
        try:
            self._intake(event)
        finally:
            self._pull()

    def _pull(self) -> None:
        self._actions.pull()
        self._feedback.pull()

    def _failed(self, record: dict[str, Any]) -> None:
        self._dead_events.add(record["requestPayload"]["Records"][0]["ses"]["mail"]["messageId"])
        self._sqs.send_message(QueueUrl=self._stage.stack.intake_failures_url, MessageBody=json.dumps(record))

    def _report(self, message_id: str, to: str, raw: bytes, tags: Mapping[str, str]) -> None:
        """Let SES report what became of a mail that it has just accepted."""
        rng = self._chance.rng
        if rng.random() < _NEVER:
            return
        fate = rng.random() if b"original_" in raw else 1.0  # only releases are refused
        rejects = _REJECT if fate < _REJECTED else b""
        to = f"x@{BOUNCING}" if _REJECTED <= fate < _REJECTED + _BOUNCED else to
        sent = SentMail(message_id, to, raw + rejects, self._stage.stack.environ["CONFIGURATION_SET"], tags)
        body = json.dumps(sending_event(sent, rejects, self._chance.clock.now))
        for _ in range(1 + (rng.random() < _TWICE)):
            self._events += 1
            self._agenda.after(
                rng.choice([0.1, 5.0, rng.uniform(0, _LATEST_EVENT)]), partial(self._tell, body)
            )

    def _tell(self, body: str) -> None:
        self._sqs.send_message(QueueUrl=self._stage.stack.feedback_queue_url, MessageBody=body)
        self._feedback.pull()

    # --- What came of it ---

    def _checked(self, found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        for row in found.values():
            if row.get("status") in {RequestStatus.SENDING, RequestStatus.ACCEPTED}:
                yield f"unfinished: {row}"
        known = {each.request_id: each for each in self._commands}
        for request_id in self._ledger.mails.keys() - known.keys():
            yield f"a mail that nobody asked for: {request_id}"
        for each in self._commands:
            row = found.get(each.request_id, {})
            if _outcome(row) == "lost":
                yield f"lost: {each}: its row is {row or 'missing'}"
            yield from self._of_command(each, row)
        yield from self._of_messages(rows(self._stage, "QUARANTINE_TABLE", "raw_key"))

    def _of_command(self, each: Asking, row: Mapping[str, Any]) -> Iterator[str]:
        mails = self._ledger.mails[each.request_id]
        if not each.is_theirs and (mails or row.get("reason") != "not_yours"):
            yield f"done for a stranger: {each} {row}"
        for mail in mails:
            if mail.kind == "release":
                if (mail.to, mail.carries) != (each.message.mailbox, frozenset({each.message.name})):
                    yield f"not what was released, or not to whom: {each} {mail}"
            elif mail.to != each.requester and not (
                mail.kind.startswith("ask-") and mail.to in _ADMINISTRATORS
            ):
                yield f"an answer to another: {each} {mail}"
        if _again(mails) > self._ledger.windows[each.request_id]:
            yield f"sent again without cause: {each} {mails}"
        if row.get("status") == RequestStatus.DONE and not mails:
            yield f"not answered: {each} {row}"

    def _of_messages(self, found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        releases, deletions = defaultdict(list), defaultdict(list)
        for each in self._commands:
            for mail in self._ledger.mails[each.request_id]:
                if mail.kind == "release":
                    releases[each.message.name].append(mail.number)
                elif mail.kind == "answer-deleted":
                    deletions[each.message.name].append(mail.number)
        for message in self._messages:
            status = found[message.key]["status"]
            released, deleted = releases[message.name], deletions[message.name]
            if deleted and (status != "deleted" or max(released, default=-1) > min(deleted)):
                yield f"deleted, and then {status} or delivered: {message}"
            if status == "released" and not released:
                yield f"released, and never delivered: {message}"
            if status == "releasing":
                yield f"still on its way: {message}"


def _readers(mailbox: str) -> tuple[str, ...]:
    return (f"u0@{COMPANY}", f"u1@{COMPANY}") if mailbox.startswith("shared") else (mailbox,)


def _again(mails: list[Mail]) -> int:
    """Return how many of a request's mails are one too many of their kind."""
    return len(mails) - len({mail.kind for mail in mails})


def _outcome(row: Mapping[str, Any]) -> str:
    match row.get("status"):
        case RequestStatus.DONE | RequestStatus.FAILED:
            return f"{row['status']}: {row['answer']}"
        case RequestStatus.REFUSED:
            return f"refused: {row['reason']}"
        case _:
            return "lost"
