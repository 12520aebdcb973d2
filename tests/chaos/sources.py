"""The parts of Lambda and SQS, with a clock that only the driver moves: retries, visibility, dead letters.

There are no threads and no waiting: the due events are a list, whose order depends on the seed.
"""

import heapq
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.chaos.faults import Chance, Fault
from tests.functions.faults import ProcessDied

type Event = dict[str, Any]
type Action = Callable[[], None]

_AT_ONCE = timedelta(seconds=5)  # an event that is due so soon may interleave with another
_DEEPEST = 3


class Agenda:
    """The coming events and their times."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._due: list[tuple[datetime, int, Action]] = []
        self._number = self._depth = 0

    def after(self, seconds: float, action: Action) -> None:
        self.at(self._chance.clock.now + timedelta(seconds=seconds), action)

    def at(self, when: datetime, action: Action) -> None:
        self._number += 1
        heapq.heappush(self._due, (when, self._number, action))

    def run(self) -> None:
        """Run all events, including those that they cause."""
        clock = self._chance.clock
        while self._due:
            when, _, action = heapq.heappop(self._due)
            clock.now = max(clock.now, when)
            action()

    def interleave(self) -> None:
        """Run an event that is due about now, if there is one, during the current one."""
        if self._due and self._depth < _DEEPEST and self._due[0][0] <= self._chance.clock.now + _AT_ONCE:
            self._depth += 1
            try:
                heapq.heappop(self._due)[2]()
            finally:
                self._depth -= 1


@dataclass(slots=True)
class Asynchronous:
    """Asynchronous invocations: three attempts, then a record for the on-failure destination.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html
    """

    agenda: Agenda
    chance: Chance
    serve: Callable[[Event], object]
    retries: int
    on_failure: Callable[[Event], None]
    _taken: int = 0
    _latest: int = 0

    def invoke(self, event: Event, within: float = 20) -> None:
        """Accept an event: it is served soon, and sometimes twice."""
        self._taken += 1
        number = self._taken

        def first() -> None:
            self.chance.struck[Fault.OUT_OF_ORDER] += number < self._latest
            self._latest = max(self._latest, number)
            self._attempt(event, 1)

        self.agenda.after(self.chance.rng.uniform(0, within), first)
        if self.chance.happens(Fault.DUPLICATE, 0.05):
            self.agenda.after(self.chance.rng.uniform(0, 200), lambda: self._attempt(event, 1))

    def _attempt(self, event: Event, number: int) -> None:
        try:
            self.serve(event)
        except (Exception, ProcessDied) as e:  # noqa: BLE001 - the process's edge: what Lambda would see
            if number <= self.retries:  # a minute after the first attempt, two after the second
                self.agenda.after(60 * number, lambda: self._attempt(event, number + 1))
            else:
                self.on_failure(failure_record(event, e, number))


def failure_record(event: Event, error: BaseException, attempts: int) -> Event:
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html"""
    return {
        "version": "1.0",
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": attempts},
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
        "responsePayload": {"errorType": type(error).__name__, "errorMessage": str(error)},
    }


@dataclass(slots=True)
class Message:
    """A message of a queue. received: how often it was delivered."""

    body: str
    received: int = 0


@dataclass(slots=True)
class Source:
    """A queue and the event source mapping that empties it in batches, in any order.

    A message is removed from moto's queue as soon as it is sent; this class simulates its visibility and its
    receive count. A message that is received too often is put into moto's dead-letter queue.
    dead: the bodies of those messages.
    """

    agenda: Agenda
    chance: Chance
    serve: Callable[[Event], Mapping[str, Any]]
    sqs: Any
    url: str
    batch: int
    dead: list[str] = field(default_factory=list)
    _visible: list[Message] = field(default_factory=list)
    _arn: str = field(init=False)
    _visibility: int = field(init=False)
    _most_received: int = field(init=False)
    _dead_letters: str = field(init=False)

    def __post_init__(self) -> None:
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        policy = json.loads(found["RedrivePolicy"])
        self._arn = found["QueueArn"]
        self._visibility = int(found["VisibilityTimeout"])
        self._most_received = int(policy["maxReceiveCount"])
        self._dead_letters = self.sqs.get_queue_url(
            QueueName=policy["deadLetterTargetArn"].rpartition(":")[2]
        )["QueueUrl"]

    def pull(self, within: float = 2, copies: int = 1) -> int:
        """Take the sent messages from moto, to serve each soon, `copies` times. Return their number."""
        bodies = list(drain(self.sqs, self.url))
        for body in bodies:
            for _ in range(copies):
                self._show(Message(body), self.chance.rng.uniform(0, within))
        return len(bodies)

    def show_later(self, body: str, seconds: float) -> None:
        """Serve a message that was sent with a delay, which moto would really wait for."""
        self._show(Message(body), seconds)

    def dead_letters(self) -> list[dict[str, Any]]:
        """Read the dead-letter queue, like a script that then puts all messages back."""
        found: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(
            QueueUrl=self._dead_letters,
            MaxNumberOfMessages=10,
            VisibilityTimeout=600,
            MessageAttributeNames=["All"],
        ).get("Messages"):
            found += messages
        for message in found:
            self.sqs.change_message_visibility(
                QueueUrl=self._dead_letters, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return found

    def _show(self, message: Message, after: float) -> None:
        def appear() -> None:
            self._visible.append(message)
            self._poll()

        self.agenda.after(after, appear)

    def _poll(self) -> None:
        if len(self._visible) < self.batch:  # Lambda waits a little for a batch to be full
            self.agenda.after(1, self._serve)
        else:
            self._serve()

    def _serve(self) -> None:
        if not (messages := [*self._taken()]):
            return
        records = [
            {
                "messageId": str(place),
                "body": message.body,
                "eventSource": "aws:sqs",
                "eventSourceARN": self._arn,
                "attributes": {"ApproximateReceiveCount": str(message.received)},
            }
            for place, message in enumerate(messages)
        ]
        try:
            response = self.serve({"Records": records})
        except (Exception, ProcessDied):  # noqa: BLE001 - the process's edge: the whole batch comes again
            failed = {record["messageId"] for record in records}
        else:
            failed = {str(failure["itemIdentifier"]) for failure in response["batchItemFailures"]}
        for record, message in zip(records, messages, strict=True):
            if record["messageId"] in failed:
                self._show(message, self._visibility)
            elif self.chance.happens(Fault.DUPLICATE, 0.02):  # a late copy of a deleted message
                self._show(Message(message.body, message.received), self._visibility)

    def _taken(self) -> Iterator[Message]:
        """Receive a batch in any order; messages received too often move to the dead-letter queue."""
        for _ in range(min(self.batch, len(self._visible))):
            place = self.chance.rng.randrange(len(self._visible))
            self.chance.struck[Fault.OUT_OF_ORDER] += place > 0
            message = self._visible.pop(place)
            message.received += 1
            if message.received > self._most_received:
                self.dead.append(message.body)
                self.sqs.send_message(QueueUrl=self._dead_letters, MessageBody=message.body)
                continue
            if self.chance.happens(Fault.DUPLICATE, 0.02):  # at least once: another server has it too
                self._show(Message(message.body, message.received), self.chance.rng.uniform(0, 3))
            yield message


def drain(sqs: Any, url: str) -> Iterator[str]:
    """Remove and return every message of a queue."""
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        sqs.delete_message_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
                for place, message in enumerate(messages)
            ],
        )
        for message in messages:
            yield message["Body"]
