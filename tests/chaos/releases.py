"""Users release held mail through a relay or through agents, while everything fails, the mail server too."""

import base64
import json
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from functools import partial
from random import Random
from typing import Any
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from functions.act import app as act
from functions.intake import app as intake
from quarantine.acting.ways import WayBack
from quarantine.release.handover import Protocol, Server
from quarantine.services.relaying import Relay, Secret
from quarantine.stores.requests import RequestStatus
from tests.chaos.agents import Agents
from tests.chaos.faults import Chance, Fault, Invocation, Process, Wire, asked
from tests.chaos.holdings import COMPANY, Message, asking, hold, rows
from tests.chaos.mailserver import Mood, Moody
from tests.chaos.sources import Agenda, Asynchronous, Source
from tests.chaos.stage import Stage, batch_size, redrive, retries_of_intake, staged
from tests.release.servers import MailServer, running

_EVERY = 10.0  # seconds between two mails, on average
_SAME_AGAIN = 0.2  # of the mails ask for a message that another asked for a moment ago
_AWAY = (0.3, 0.3 + 1 / 8)  # of the run: the server is away, for longer than a message waits in a long run
_SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:relay"
_PARAMETERS = {
    WayBack.RELAY: {"ReleaseBy": "relay", "ReleaseRelay": "127.0.0.1:587", "ReleaseSecretArn": _SECRET},
    WayBack.AGENT: {"ReleaseBy": "agent", "ReleaseWaitHours": "1"},
}


@dataclass(frozen=True, slots=True)
class Asking:
    """A user's mail to the release address of a message."""

    request_id: str
    message: Message


@dataclass(slots=True)
class Ledger:
    """windows: by request, how often a fault came after a yes of the server or of SES, and before the row
    or the result said so. answers: by request, how many mails SES accepted.
    """

    results_url: str
    windows: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def took(self, invocation: Invocation, request_id: str) -> None:
        """The mail server said yes."""
        self.ended(invocation)
        invocation.sending, invocation.struck = request_id, False

    def saw(self, operation: str, request: AWSPreparedRequest, invocation: Invocation) -> None:
        if operation == "SendEmail":
            raw = base64.b64decode(asked(request)["Content"]["Raw"]["Data"])
            request_id, _, _ = str(message_from_bytes(raw)["Message-ID"]).strip("<>").partition(".answer")
            self.took(invocation, request_id)
            self.answers[request_id] += 1
        elif (operation == "UpdateItem" and _settles(asked(request))) or (
            operation == "SendMessage" and asked(request)["QueueUrl"] == self.results_url
        ):
            invocation.sending = None

    def ended(self, invocation: Invocation) -> None:
        if invocation.sending and invocation.struck:
            self.windows[invocation.sending] += 1


def _settles(update: Mapping[str, Any]) -> bool:
    values = update.get("ExpressionAttributeValues", {})
    final = {RequestStatus.DONE, RequestStatus.FAILED, RequestStatus.REFUSED, "released"}
    return values.get(":status", {}).get("S") in final


@dataclass(slots=True)
class Account:
    """The result of a run. outcomes: of the requests. moods: of the mail server, by mail."""

    seed: int
    way: WayBack
    requests: int
    calls: int
    faults: Mapping[Fault, int]
    moods: Mapping[Mood, int]
    deaths: int
    outcomes: Counter[str]
    windows: int
    delivered_again: int
    redriven: int
    lost: int
    violations: list[str]


def run(
    seed: int,
    way: WayBack,
    number: int,
    progress: Callable[[int], None] = lambda _: None,
    *,
    rate: float = 0.1,
) -> Account:
    """Release messages under faults, then end the faults and redrive. way: relay or agent.

    Only over moto: the driver ends the visibility timeout of the queue that agents read.
    """
    rng = Random(seed)  # noqa: S311 - chance, not a secret
    extensions = (b"8BITMIME", b"AUTH PLAIN") if way is WayBack.RELAY else (b"8BITMIME",)
    with (
        staged(rng, None, _PARAMETERS[way]) as stage,
        running(MailServer(extensions=extensions)) as server,
    ):
        return _Run(Chance(rng, rate=rate), stage, way, server).account(seed, number, progress)


class _Run:
    """A run in progress."""

    def __init__(self, chance: Chance, stage: Stage, way: WayBack, server: MailServer) -> None:
        self._chance, self._stage, self._way = chance, stage, way
        self._ledger = Ledger(stage.stack.environ.get("RESULTS_QUEUE_URL", ""))
        self._agenda = Agenda(chance)
        self._wire = Wire(chance, self._ledger, stage.answer)
        self._wire.interleave, self._wire.answered = self._agenda.interleave, self._answered
        self._server = Moody(
            server, chance.rng, self._is_away, lambda each: self._ledger.took(self._wire.running, each)
        )
        self._begins = chance.clock.now
        self._requests: list[Asking] = []
        environ, clock = stage.stack.environ, chance.process_clock
        sqs = stage.session.client("sqs")
        self._sqs = sqs
        self._intake = Process[Any, Any](
            self._wire, lambda session: intake.make_handler(environ, session, clock)
        )
        self._lambda = Asynchronous(self._agenda, chance, self._ask, retries_of_intake(), self._failed)
        acting = Process[Any, Any](self._wire, lambda session: act.make_handler(environ, session, clock))
        url = environ["ACTIONS_QUEUE_URL"]
        self._sources = [Source(self._agenda, chance, acting, sqs, url, batch_size("Actions"))]
        self._agents: Agents | None = None
        if way is WayBack.AGENT:
            self._agents = Agents(stage, self._wire, chance, self._agenda, self._server)
            results_url = environ["RESULTS_QUEUE_URL"]
            self._sources.append(
                Source(self._agenda, chance, acting, sqs, results_url, batch_size("Results"))
            )
        else:
            secret = json.dumps({"username": "quarantine", "password": "x"})
            stage.session.client("secretsmanager").create_secret(Name="relay", SecretString=secret)
        self._dead_events = 0

    def account(self, seed: int, number: int, progress: Callable[[int], None]) -> Account:
        """Do it all."""
        mailboxes = [f"u{each}@{COMPANY}" for each in range(max(2, number // 3))] * 3
        self._messages = list(hold(self._stage, self._chance.rng, mailboxes, self._begins))
        at = self._begins
        for place in range(number):
            progress(place + 1)
            at += timedelta(seconds=self._chance.rng.expovariate(1 / _EVERY))
            self._agenda.at(at, partial(self._lambda.invoke, self._mail()))
        self._ends = at
        with patch("quarantine.services.acting.relay_of", self._relay):
            self._agenda.run()
            calls, faults = self._wire.calls, dict(self._chance.struck)
            redriven = self._dead_events + sum(len(each.dead) for each in self._sources)
            self._chance.calm = self._server.is_calm = True
            left = self._redrive_all()
        found = rows(self._stage, "REQUESTS_TABLE", "request_id")
        outcomes = Counter(_outcome(found.get(each.request_id, {})) for each in self._requests)
        violations = [f"still in a dead-letter queue: {each}" for each in left]
        violations += self._checked(found)
        return Account(
            seed=seed,
            way=self._way,
            requests=len(self._requests),
            calls=calls,
            faults=faults,
            moods=self._server.moods,
            deaths=self._agents.deaths if self._agents else 0,
            outcomes=outcomes,
            windows=self._ledger.windows.total() + self._server.unheard.total(),
            delivered_again=sum(len(mails) - 1 for mails in self._server.mails.values() if mails),
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

    def _mail(self) -> dict[str, Any]:
        """Return the event of a mail to a release address."""
        rng = self._chance.rng
        message = rng.choice(self._messages)
        if self._requests and rng.random() < _SAME_AGAIN:
            message = self._requests[-1].message
        request_id = "".join(rng.choices(string.ascii_lowercase + string.digits, k=40))
        self._requests.append(Asking(request_id, message))
        return asking(request_id, message.mailbox, [f"release-{message.reference}"], self._begins)

    def _ask(self, event: dict[str, Any]) -> None:
        try:
            self._intake(event)
        finally:
            self._pull()

    def _pull(self) -> None:
        for source in self._sources:
            source.pull()

    def _answered(self, operation: str, request: AWSPreparedRequest, answer: AWSResponse) -> None:
        """See what goes on the queues between act and the agents."""
        if self._agents is not None:
            self._agents.answered(operation, request, answer)
        if operation != "SendMessage":
            return
        sent = asked(request)
        if sent["QueueUrl"] == self._stage.stack.environ.get("RELEASES_QUEUE_URL") and self._agents:
            self._agents.wake()
        elif sent.get("DelaySeconds"):  # act looks again whether an agent has delivered the message
            self._sources[0].show_later(sent["MessageBody"], sent["DelaySeconds"])
        else:
            self._agenda.after(1, self._pull)

    def _failed(self, record: dict[str, Any]) -> None:
        self._dead_events += 1
        self._sqs.send_message(QueueUrl=self._stage.stack.intake_failures_url, MessageBody=json.dumps(record))

    def _is_away(self) -> bool:
        length = self._ends - self._begins
        return self._begins + length * _AWAY[0] <= self._chance.clock.now < self._begins + length * _AWAY[1]

    def _relay(self, _: object, connect: Callable[[], Any]) -> Relay | None:
        if self._way is not WayBack.RELAY:
            return None
        named = Server(Protocol.SMTP, "relay", 587)
        return Relay(named, Secret(connect(), _SECRET), self._server.hand_over)

    # --- What came of it ---

    def _checked(self, found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        by_message = defaultdict(list)
        for each in self._requests:
            by_message[each.message].append(each)
            row = found.get(each.request_id, {})
            if _outcome(row) == "lost":
                yield f"lost: {each}: its row is {row or 'missing'}"
            yield from self._of_request(each, row)
        for request_id in self._server.mails.keys() - {each.request_id for each in self._requests}:
            yield f"a mail that nobody asked for: {request_id}"
        held = rows(self._stage, "QUARANTINE_TABLE", "raw_key")
        for message, requests in by_message.items():
            yield from self._of_message(message, requests, held[message.key]["status"])

    def _of_request(self, each: Asking, row: Mapping[str, Any]) -> Iterator[str]:
        mails, windows = self._server.mails[each.request_id], self._windows(each.request_id)
        for mail in mails:
            if (mail.recipient, mail.name) != (each.message.mailbox, each.message.name):
                yield f"not what was released, or not to whom: {each} {mail}"
        if len(mails) - 1 > windows:
            yield f"delivered again without cause: {each} {len(mails)} times"
        if self._ledger.answers[each.request_id] - 1 > windows:
            yield f"answered again without cause: {each}"
        if (
            row.get("status") in {RequestStatus.DONE, RequestStatus.FAILED}
            and not self._ledger.answers[each.request_id]
        ):
            yield f"not answered: {each} {row}"

    def _of_message(self, message: Message, requests: list[Asking], status: str) -> Iterator[str]:
        delivered = sum(len(self._server.mails[each.request_id]) for each in requests)
        windows = sum(self._windows(each.request_id) for each in requests)
        if status == "releasing":
            yield f"still on its way: {message}"
        if status == "released" and not delivered:
            yield f"released, and never delivered: {message}"
        if status == "held" and delivered > windows:
            yield f"delivered, and held: {message}"
        if delivered - 1 > windows:
            yield f"delivered by more than one request: {message}"

    def _windows(self, request_id: str) -> int:
        return self._ledger.windows[request_id] + self._server.unheard[request_id]


def _outcome(row: Mapping[str, Any]) -> str:
    match row.get("status"):
        case RequestStatus.DONE | RequestStatus.FAILED:
            return f"{row['status']}: {row['answer']}"
        case RequestStatus.REFUSED:
            return f"refused: {row['reason']}"
        case _:
            return "lost"
