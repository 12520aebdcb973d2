"""What every function needs around its service.

A handler made at start, the loop over a batch of SQS, one log line with one metric, and how patient its
clients are.
"""

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config

# --- Clients ---

# All the calls of a run must fit into a function's timeout, retries included: botocore's default waits a
# minute for one answer. DynamoDB, SQS and S3 answer in milliseconds, and asking again is safe.
TWO_ATTEMPTS: Final = Config(
    connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2}
)

# SES: SQS is what tries again. An attempt within botocore after a lost answer could send a report twice.
ONE_ATTEMPT: Final = Config(connect_timeout=3, read_timeout=8, retries={"total_max_attempts": 1})


# --- Handlers ---

type Handler = Callable[[Any, object], Any]


def utc_now() -> datetime:
    return datetime.now(UTC)


def at_start(
    module: dict[str, Any], make_handler: Callable[[Mapping[str, str]], Handler]
) -> Callable[[str], Any]:
    """Return a `__getattr__` for a function's module, that makes `handler` when Lambda first asks for it.

    Lambda asks at start, so a missing setting is named there. A test imports the module without Lambda's
    environment, and calls make_handler itself.
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
    """Keep the garbage collector off what is made in this block: clients and their models stay as they are.

    Reading the models makes objects by the ten thousand, none of them garbage: a tenth of a start went into
    looking for some (docs/decisions/0008-start-up.md), and each later collection would look again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


# --- What is logged and counted ---


_CALLER: Final = 3  # whose line a log entry names as its location: who called the journal


class Journal:
    """The log of one function: a line with a metric for each outcome.

    service: the function's name. metric: what is counted, by outcome.
    """

    def __init__(self, service: str, metric: str) -> None:
        self._service, self._metric = service, metric
        self._log = Logger(service=service)

    def record(self, message: str, outcome: str, **details: Any) -> None:
        """Log an outcome in one line, and count it."""
        self._log.info(message, stacklevel=_CALLER, **details)
        with single_metric(self._metric, MetricUnit.Count, 1, namespace="QuarantineReport") as metric:
            metric.add_dimension("service", self._service)
            metric.add_dimension("outcome", outcome)

    def note(self, message: str, **details: Any) -> None:
        """Log what is not an outcome, such as a second delivery of something settled."""
        self._log.info(message, stacklevel=_CALLER, **details)

    def retry(self, message: str, error: Exception, **details: Any) -> None:
        """Log what failed and comes again."""
        self._log.warning(message, stacklevel=_CALLER, error=f"{type(error).__name__}: {error}", **details)

    def reject(self, message: str, error: Exception, **details: Any) -> None:
        """Log input that will never succeed, and that somebody must look at."""
        self._log.error(message, stacklevel=_CALLER, error=f"{type(error).__name__}: {error}", **details)

    def unreadable(self, record: Mapping[str, Any], error: Exception) -> None:
        """Log a record that cannot be read, by its key."""
        self.reject("a record cannot be read", error, record=record)


type BatchResponse = dict[str, list[dict[str, str]]]


def serve_batch(
    event: Mapping[str, Any],
    serve: Callable[[str], None],
    journal: Journal,
    hopeless: tuple[type[Exception], ...] = (),
) -> BatchResponse:
    """Serve each message of a batch of SQS; return those that must come again (ReportBatchItemFailures).

    hopeless: errors of a message that will fail each time, until the queue hands it to its dead-letter queue.
    Not Powertools' batch utility: its import alone is a tenth of a start (docs/decisions/0008-start-up.md).
    """
    failures = []
    for message in event["Records"]:
        try:
            serve(message["body"])
        except hopeless as e:
            journal.reject("not a job", e, sqs_message_id=message["messageId"])
            failures.append({"itemIdentifier": message["messageId"]})
        except Exception as e:  # noqa: BLE001 - the process's edge: whatever it is, SQS gives it again
            journal.retry("to be tried again", e, sqs_message_id=message["messageId"])
            failures.append({"itemIdentifier": message["messageId"]})
    return {"batchItemFailures": failures}
