"""Faults at each AWS call, all of them drawn from one seeded generator.

They occur where botocore sends a request (`before-send`), below its retries: whether a failed call is retried
depends on the configuration of the functions' own clients. Behind the wire is moto or an emulator.
"""

import json
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from io import BytesIO
from random import Random
from typing import Any, Final, Protocol

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from moto.core.models import botocore_stubber

from tests.functions.faults import ProcessDied
from tests.world import Clock, new_session


class Fault(StrEnum):
    """The faults. The first seven affect an AWS call, the others affect events around the calls."""

    ERROR = "error"  # the service answers 500 and has done nothing
    THROTTLED = "throttled"  # the service answers with its throttling error and has done nothing
    UNREACHABLE = "unreachable"  # no connection
    LOST_ANSWER = "lost answer"  # the call took effect, but the answer never arrives
    DIED_BEFORE = "death before a call"
    DIED_AFTER = "death after a call"  # the call took effect, but the process died
    CONFLICT = "transaction in conflict"  # with another transaction: it has done nothing
    DUPLICATE = "duplicate"  # an event or a message is delivered again
    OUT_OF_ORDER = "out of order"  # a later one is delivered first
    INTERLEAVED = "interleaved"  # another one is served during a call
    CLOCK_JUMP = "clock jump"  # a process's clock is wrong by some seconds


_WEIGHTS: Final = {
    Fault.ERROR: 27,
    Fault.THROTTLED: 27,
    Fault.UNREACHABLE: 15,
    Fault.LOST_ANSWER: 25,
    Fault.DIED_BEFORE: 3,
    Fault.DIED_AFTER: 3,
}
_CONFLICT_SHARE = 0.2  # of the faults of a transaction
# A time in the far future of every service's clock: otherwise an emulator's TTL would delete rows too early.
_BEGINS: Final = datetime(2100, 1, 4, 8, 0, tzinfo=UTC)
_FARTHEST_JUMP = 10.0  # seconds, either way


@dataclass(frozen=True, slots=True)
class Storm:
    """A time in which most calls fail."""

    begins: datetime
    ends: datetime


@dataclass(slots=True)
class Chance:
    """All chance in a run, with a count of the faults.

    rate: the share of AWS calls that fail; storm_rate: that in a storm.
    """

    rng: Random
    clock: Clock = field(default_factory=lambda: Clock(_BEGINS))
    rate: float = 0.1
    storm_rate: float = 0.7
    storms: Sequence[Storm] = ()
    calm: bool = False
    struck: Counter[Fault] = field(default_factory=Counter)

    def happens(self, fault: Fault, share: float) -> bool:
        """Return whether something happens this time, and count it."""
        happens = not self.calm and self.rng.random() < share
        self.struck[fault] += happens
        return happens

    def of_call(self, operation: str) -> Fault | None:
        """Draw the fault of an AWS call."""
        in_storm = any(storm.begins <= self.clock.now < storm.ends for storm in self.storms)
        if self.calm or self.rng.random() >= (self.storm_rate if in_storm else self.rate):
            return None
        fault = self.rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        if operation == "TransactWriteItems" and self.rng.random() < _CONFLICT_SHARE:
            fault = Fault.CONFLICT
        self.struck[fault] += 1
        return fault

    def process_clock(self) -> datetime:
        """Return the time as a process's clock shows it."""
        if not self.happens(Fault.CLOCK_JUMP, 0.1):
            return self.clock.now
        return self.clock.now + timedelta(seconds=self.rng.uniform(-_FARTHEST_JUMP, _FARTHEST_JUMP))


class Invocation:
    """One run of a function. dead: its process died; sending: a sent request whose row is not updated yet."""

    def __init__(self) -> None:
        self.dead = False
        self.struck = False  # by a fault, since SES accepted the mail of `sending`
        self.sending: str | None = None


class Witness(Protocol):
    """Sees the effects of the calls of a run, regardless of the answers that the caller got."""

    def saw(self, operation: str, request: AWSPreparedRequest, invocation: Invocation) -> None: ...

    def ended(self, invocation: Invocation) -> None: ...


type Answer = Callable[[str, AWSPreparedRequest], AWSResponse]
"""The service behind the wire. Called with botocore's event (`before-send...`) and the request."""


def of_moto(event_name: str, request: AWSPreparedRequest) -> AWSResponse:
    answer = botocore_stubber(event_name=event_name, request=request)
    if answer is None:
        raise RuntimeError(f"moto does not know {request.url}")
    return answer


def of_network() -> Answer:
    """Return a function that sends a request to its address."""
    # As in botocore: otherwise a header waits 40 ms for the body.
    http = URLLib3Session(socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)])  # type: ignore[list-item]  # the stub is wrong
    return lambda _, request: http.send(request)


_RUN: ContextVar[Invocation] = ContextVar("run")  # to which the calls of this thread belong


class Wire:
    """A session whose calls may fail, and a record of their effects. Make it before any client.

    switch: called before each call; it may let another thread go on.
    answered: called with each answer that took effect, also if the caller never gets it.
    """

    def __init__(self, chance: Chance, witness: Witness, answer: Answer = of_moto) -> None:
        self.session = new_session()
        self.calls = 0
        self.interleave: Callable[[], None] = lambda: None
        self.switch: Callable[[], None] = lambda: None
        self.answered: Callable[[str, AWSPreparedRequest, AWSResponse], None] = lambda *_: None
        self._chance, self._witness, self._answer = chance, witness, answer
        self._running: list[Invocation] = []
        # moto's own handler is called only in of_moto, for calls that the fault lets through.
        self.session.events.unregister("before-send", botocore_stubber)  # type: ignore[arg-type]
        self.session.events.register("before-send", self._sent)  # type: ignore[arg-type]  # it may answer

    @property
    def running(self) -> Invocation:
        """The run of a function that is going on; of several, the latest."""
        return self._running[-1]

    @contextmanager
    def invocation(self) -> Iterator[None]:
        """All calls in this block belong to one run of a function; another run may interleave."""
        invocation = Invocation()
        self._running.append(invocation)
        before = _RUN.set(invocation)
        try:
            yield
        finally:
            _RUN.reset(before)
            self._running.remove(invocation)
            self._witness.ended(invocation)

    def _sent(self, event_name: str, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        service, operation = event_name.split(".")[1:]
        self.switch()
        run = _RUN.get()
        if run.dead:  # another thread of a process that died
            raise ProcessDied(operation)
        self.calls += 1
        if self._chance.happens(Fault.INTERLEAVED, 0.05):
            self.interleave()
        fault = self._chance.of_call(operation)
        if fault:
            run.struck = True
        match fault:
            case Fault.ERROR | Fault.THROTTLED | Fault.CONFLICT:
                return _refusal(fault, service, request)
            case Fault.UNREACHABLE:
                raise ConnectTimeoutError(endpoint_url=request.url)
            case Fault.DIED_BEFORE:
                run.dead = True
                raise ProcessDied(operation)
        answer = self._answer(event_name, request)
        if answer.status_code < 300:
            self._witness.saw(operation, request, run)
            self.answered(operation, request, answer)
        match fault:
            case Fault.LOST_ANSWER:
                run.struck = True
                raise ReadTimeoutError(endpoint_url=request.url)
            case Fault.DIED_AFTER:
                run.dead = run.struck = True
                raise ProcessDied(operation)
        return answer


def asked(request: AWSPreparedRequest) -> dict[str, Any]:
    """Return the parameters of a JSON service's call."""
    assert isinstance(request.body, str | bytes)
    parameters: dict[str, Any] = json.loads(request.body)
    return parameters


# --- What the services say when they do nothing ---


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An error answer. code: the service's name of the error."""

    status: int
    code: str


_REFUSALS: Final = {
    ("dynamodb", Fault.ERROR): _Refusal(500, "InternalServerError"),
    ("dynamodb", Fault.THROTTLED): _Refusal(400, "ThrottlingException"),
    ("sqs", Fault.ERROR): _Refusal(500, "InternalFailure"),
    ("sqs", Fault.THROTTLED): _Refusal(400, "RequestThrottled"),
    ("s3", Fault.ERROR): _Refusal(500, "InternalError"),
    ("s3", Fault.THROTTLED): _Refusal(503, "SlowDown"),
    ("secretsmanager", Fault.ERROR): _Refusal(500, "InternalServiceError"),
    ("secretsmanager", Fault.THROTTLED): _Refusal(400, "ThrottlingException"),
    ("sesv2", Fault.ERROR): _Refusal(500, "InternalServiceErrorException"),
    ("sesv2", Fault.THROTTLED): _Refusal(429, "TooManyRequestsException"),
}
_CONFLICT: Final = {
    "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
    "message": "Transaction cancelled [TransactionConflict, None]",
    "CancellationReasons": [{"Code": "TransactionConflict", "Message": "ongoing"}, {"Code": "None"}],
}


def _refusal(fault: Fault, service: str, request: AWSPreparedRequest) -> AWSResponse:
    if fault is Fault.CONFLICT:
        return _response(request, 400, json.dumps(_CONFLICT))
    refusal = _REFUSALS[service, fault]
    if service == "s3":
        body = f"<Error><Code>{refusal.code}</Code><Message>chaos</Message></Error>"
    else:
        body = json.dumps({"__type": f"com.amazonaws#{refusal.code}", "message": "chaos"})
    return _response(request, refusal.status, body, refusal.code)


class _Body(BytesIO):
    """The body of an answer, in the form that urllib3 uses."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


def _response(request: AWSPreparedRequest, status: int, body: str, code: str = "") -> AWSResponse:
    headers = {"x-amzn-errortype": code} if code else {}
    return AWSResponse(request.url, status, headers, _Body(body.encode()))  # type: ignore[arg-type]


class Process[Event, Answer]:
    """A function on Lambda: a process that died is not used again, another replaces it."""

    def __init__(self, wire: Wire, make: Callable[[boto3.Session], Callable[[Event, None], Answer]]) -> None:
        self._wire, self._make = wire, make
        self._idle: list[Callable[[Event, None], Answer]] = []

    def __call__(self, event: Event) -> Answer:
        """Run it once. Raises ProcessDied, and the function's exceptions."""
        handler = self._idle.pop() if self._idle else self._make(self._wire.session)
        with self._wire.invocation():
            try:
                answer = handler(event, None)
            except Exception:  # not ProcessDied: that handler is gone
                self._idle.append(handler)
                raise
        self._idle.append(handler)
        return answer
