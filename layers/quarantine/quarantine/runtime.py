"""The code that every function needs around its service.

A handler made at start, the serving of an SQS batch, one log line with one metric, and the timeouts and
retries of its clients.
"""

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final, Protocol

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config

from quarantine.mail.escaping import escaped

# --- Clients ---

# botocore puts its own name together anew for each call, of many parts: a seventh of the CPU of a held mail.
_AGENT: Final = "quarantine-report"

# All calls of a run must fit into the function's timeout, including retries. By default, botocore waits a
# minute for one answer. DynamoDB, SQS and S3 answer in milliseconds, and a retry is safe.
TWO_ATTEMPTS: Final = Config(
    connect_timeout=2,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 2},
    user_agent=_AGENT,
)

# SES: SQS does the retries. A retry by botocore after a lost response could send a report twice.
ONE_ATTEMPT: Final = Config(
    connect_timeout=3, read_timeout=8, retries={"total_max_attempts": 1}, user_agent=_AGENT
)

# The same for a mail of up to 40 MB, which SES may take a while to accept.
ONE_LONG_ATTEMPT: Final = Config(
    connect_timeout=3, read_timeout=60, retries={"total_max_attempts": 1}, user_agent=_AGENT
)


# --- Handlers ---

type Handler = Callable[[Any, object], Any]


def utc_now() -> datetime:
    return datetime.now(UTC)


def at_start(
    module: dict[str, Any], make_handler: Callable[[Mapping[str, str]], Handler]
) -> Callable[[str], Any]:
    """Return a `__getattr__` for a function's module that creates `handler` when Lambda first reads it.

    Lambda reads it at start, so a missing setting is reported then. A test imports the module without
    Lambda's environment, and calls make_handler itself.
    """

    def getattr_(name: str) -> Any:
        if name != "handler":
            raise AttributeError(f"module {module['__name__']!r} has no attribute {name!r}")
        with _made_for_good():
            module["handler"] = handler = make_handler(os.environ)
        return handler

    return getattr_


@contextmanager
def _made_for_good() -> Iterator[None]:
    """Exclude all objects made in this block from garbage collection: clients and their models.

    Reading the models makes tens of thousands of objects, and none of them is garbage. Searching them took a
    tenth of a start (docs/decisions/0008-start-up.md), and each later collection would search them again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


# --- Log and metrics ---


_CALLER: Final = 3  # frames up to the caller of the journal, whose line the log names as its location
_LINES: Final = Lock()  # the log and the metrics are lines of one stream, which print does not write whole


class Journal:
    """The log of one function: one line with one metric for each outcome.

    Whatever a mail says, the log has no control, format or bidi character: they are written out.
    service: the function's name. metric: the metric's name; the outcome is its dimension. stack: a dimension
    too, so that two stacks of a region do not share a metric.
    """

    def __init__(self, service: str, metric: str, stack: str) -> None:
        self._service, self._metric, self._stack = service, metric, stack
        self._log = Logger(service=service)

    def record(self, message: str, outcome: str, **details: Any) -> None:
        """Log an outcome in one line and count it."""
        with _LINES:
            self._log.info(escaped(message), stacklevel=_CALLER, **_escaped_fields(details))
        self._count(self._metric, outcome=outcome)

    def count(self, metric: str, outcome: str | None = None) -> None:
        """Count something else of this function; without an outcome for an alarm, which cannot add up."""
        self._count(metric, **({} if outcome is None else {"outcome": outcome}))

    def measure(self, metric: str, seconds: float) -> None:
        """Record a duration of this function."""
        with (
            _LINES,
            single_metric(metric, MetricUnit.Seconds, seconds, namespace="QuarantineReport") as found,
        ):
            for dimension, value in {"stack": self._stack, "service": self._service}.items():
                found.add_dimension(dimension, value)

    def dead_letter(self) -> None:
        """Count a message that moves to the dead-letter queue: SQS counts only what is sent there."""
        self._count("DeadLetters")

    def _count(self, name: str, **dimensions: str) -> None:
        with _LINES, single_metric(name, MetricUnit.Count, 1, namespace="QuarantineReport") as metric:
            for dimension, value in {"stack": self._stack, "service": self._service, **dimensions}.items():
                metric.add_dimension(dimension, value)

    def note(self, message: str, **details: Any) -> None:
        """Log an event that is not an outcome, such as a second delivery of a settled request."""
        with _LINES:
            self._log.info(escaped(message), stacklevel=_CALLER, **_escaped_fields(details))

    def retry(self, message: str, error: Exception, **details: Any) -> None:
        """Log a failure that will be retried."""
        with _LINES:
            self._log.warning(escaped(message), stacklevel=_CALLER, **_escaped_fields(_with(error, details)))

    def reject(self, message: str, error: Exception, **details: Any) -> None:
        """Log input that will never succeed and that an operator must examine."""
        with _LINES:
            self._log.error(escaped(message), stacklevel=_CALLER, **_escaped_fields(_with(error, details)))

    def unreadable(self, record: Mapping[str, Any], error: Exception) -> None:
        """Log the key of a record that cannot be read."""
        self.reject("a record cannot be read", error, record=record)


def _with(error: Exception, details: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"error": f"{type(error).__name__}: {error}", **details}


def _escaped_fields(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {escaped(str(name)): _escaped_value(value) for name, value in values.items()}


def _escaped_value(value: Any) -> Any:
    """Return a value as JSON has it, with every text in it escaped."""
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return _escaped_fields(value)
        case list() | tuple() | set() | frozenset():
            return [_escaped_value(each) for each in value]
        case _:
            return escaped(str(value))


# --- Batches ---


type BatchResponse = dict[str, list[dict[str, str]]]


class Map(Protocol):
    """`map`, or what makes the same calls at once."""

    def __call__[A, B](self, do: Callable[[A], B], values: Iterable[A], /) -> Iterable[B]: ...


def serve_batch(
    event: Mapping[str, Any],
    serve: Callable[[str], None],
    journal: Journal,
    attempts: int,
    hopeless: tuple[type[Exception], ...] = (),
    *,
    calls: Map = map,
    give_up: Callable[[str], None] = lambda _: None,
) -> BatchResponse:
    """Serve each message of an SQS batch; return those that must be retried (ReportBatchItemFailures).

    attempts: after so many, SQS moves a message to the dead-letter queue.
    hopeless: errors of a message that will fail each time, until SQS moves it to the dead-letter queue.
    calls: how the messages are served: one after the other, or (Threads.map) at once.
    give_up: called with the body of each message that SQS now moves there.
    Not Powertools' batch utility: its import alone is a tenth of a start (docs/decisions/0008-start-up.md).
    """

    def failed(message: Mapping[str, Any]) -> bool:
        try:
            serve(message["body"])
        except hopeless as e:
            journal.reject("not a job", e, sqs_message_id=message["messageId"])
        except Exception as e:  # noqa: BLE001 - the process's edge: after any error, SQS delivers it again
            journal.retry("to be tried again", e, sqs_message_id=message["messageId"])
        else:
            return False
        return True

    messages = event["Records"]
    failures = [message for message, has in zip(messages, calls(failed, messages), strict=True) if has]
    for message in failures:
        if int(message.get("attributes", {}).get("ApproximateReceiveCount", 1)) >= attempts:
            journal.dead_letter()
            give_up(message["body"])
    return {"batchItemFailures": [{"itemIdentifier": message["messageId"]} for message in failures]}
