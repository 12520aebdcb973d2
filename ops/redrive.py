"""`quarantine redrive`: what failed for good, why, and back to work.

A message is deleted only after its work was taken over again, so one that is redriven twice is possible and
one that is lost is not: each function knows what it has served.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, assert_never

import typer

from ops.operator import Operator, OperatorError
from quarantine.asking.event import MalformedEvent, parse_event
from quarantine.holding.notification import MalformedNotification, parse_notification
from quarantine.jobs import MalformedJob, from_json
from quarantine.mail.text import clean_text

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_HIDDEN = 300  # seconds for which nobody else redrives what we look at
_LONGEST_REASON = 200


class Queue(StrEnum):
    """Where failed work waits."""

    JOBS = "jobs"  # reports that were not made
    INTAKE = "intake"  # SES events that intake could not handle
    HELD = "held"  # objects under held/ that made no row, or lack one
    ALL = "all"

    @property
    def each(self) -> tuple["Queue", ...]:
        return (Queue.JOBS, Queue.INTAKE, Queue.HELD) if self is Queue.ALL else (self,)


_URLS = {
    Queue.JOBS: "JobsDeadLettersUrl",
    Queue.INTAKE: "IntakeFailuresUrl",
    Queue.HELD: "HeldDeadLettersUrl",
}
"""The stack's outputs with their URLs."""


class Done(StrEnum):
    """What becomes of a message."""

    WAITS = "waits"  # it would be redriven
    REDRIVEN = "redriven"  # its work is under way, and it is off the queue
    LEFT = "left"  # it cannot succeed as it is; --force redrives it all the same


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the body of a message says.

    request_id: of a request; of held mail, the object's key.
    work: what to redrive; None when the message holds none. readable: whether it can succeed.
    """

    request_id: str
    error: str
    work: str | None
    readable: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """A message of a dead-letter queue."""

    queue: Queue
    queue_url: str
    receipt: str
    diagnosis: Diagnosis


def redrive(
    context: typer.Context,
    queue: Annotated[Queue, typer.Option(help="Which.")] = Queue.ALL,
    dry_run: Annotated[bool, typer.Option(help="Only show what waits.")] = False,
    force: Annotated[bool, typer.Option(help="Also what cannot be read, or was rejected.")] = False,
) -> None:
    """Show what is in the dead-letter queues, and why, and put it back to work.

    Mend the cause first: what fails again comes back.
    """
    operator: Operator = context.obj
    sqs: SQSClient = operator.client("sqs")
    rows: list[dict[str, Any]] = []
    kept: list[Failure] = []
    try:
        for each in queue.each:
            for failure in _failures(operator, sqs, each):
                kept.append(failure)
                redriven = (failure.diagnosis.readable or force) and failure.diagnosis.work is not None
                if redriven and not dry_run:
                    _redrive(operator, sqs, failure)
                    kept.remove(failure)
                rows.append(_row(failure, redriven=redriven, dry_run=dry_run))
    finally:
        for failure in kept:  # to be seen again at once
            sqs.change_message_visibility(
                QueueUrl=failure.queue_url, ReceiptHandle=failure.receipt, VisibilityTimeout=0
            )
    operator.answer(["queue", "request_id", "error", "done"], rows, empty="nothing failed")
    if any(row["done"] is Done.LEFT for row in rows):
        operator.warn("what is left would fail again: mend the cause, then --force redrives it")
        raise typer.Exit(1)


def _row(failure: Failure, *, redriven: bool, dry_run: bool) -> dict[str, Any]:
    done = Done.LEFT if not redriven else Done.WAITS if dry_run else Done.REDRIVEN
    return {
        "queue": failure.queue,
        "request_id": clean_text(failure.diagnosis.request_id),
        "error": clean_text(failure.diagnosis.error[:_LONGEST_REASON]),
        "done": done,
    }


def _failures(operator: Operator, sqs: "SQSClient", queue: Queue) -> Iterator[Failure]:
    """Yield what is in a queue, each once; hide it meanwhile."""
    url = operator.name(_URLS[queue])
    seen: set[str] = set()
    began = datetime.now(UTC).timestamp() * 1000
    while messages := sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=_HIDDEN,
        WaitTimeSeconds=1,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["SentTimestamp"],
    ).get("Messages"):
        if seen.issuperset(message["MessageId"] for message in messages):
            return  # all of it came back: we are too slow for the queue
        if all(_sent_at(message) > began for message in messages):
            return  # it failed again meanwhile, and would do so as long as we look
        for message in messages:
            seen.add(message["MessageId"])
            match queue:
                case Queue.JOBS:
                    diagnosis = _job(operator, message["Body"])
                case Queue.INTAKE:
                    diagnosis = _event(message["Body"])
                case _:
                    diagnosis = _held(message)
            yield Failure(queue, url, message["ReceiptHandle"], diagnosis)


def _sent_at(message: "MessageTypeDef") -> float:
    """Return when a message came into the queue, epoch milliseconds."""
    return float(message.get("Attributes", {}).get("SentTimestamp", 0))


def _job(operator: Operator, body: str) -> Diagnosis:
    try:
        job = from_json(body)
    except MalformedJob as e:
        return Diagnosis("", f"not a job: {e}", body, readable=False)
    row = operator.requests.find(job.request_id)
    error = row.get("reason") or (f"the request is {row['status']}" if "status" in row else "no such request")
    return Diagnosis(job.request_id, str(error), body, readable=True)


def _event(body: str) -> Diagnosis:
    """Read Lambda's record of a failed asynchronous invocation."""
    try:
        record = json.loads(body)
    except ValueError as e:
        return Diagnosis("", f"not a record of Lambda: {e}", None, readable=False)
    payload = record.get("requestPayload") if isinstance(record, Mapping) else None
    if payload is None:
        return Diagnosis("", "not a record of Lambda: no requestPayload", None, readable=False)
    error = _error(record)
    try:
        mail = parse_event(payload)
    except MalformedEvent as e:
        return Diagnosis("", error or f"not an SES event: {e}", json.dumps(payload), readable=False)
    return Diagnosis(mail.message_id, error, json.dumps(payload), readable=True)


def _held(message: "MessageTypeDef") -> Diagnosis:
    """Read what hold rejected, which its attributes say, or what SQS gave up on."""
    body = message["Body"]
    attributes = message.get("MessageAttributes", {})
    why = [attributes[name].get("StringValue", "") for name in ("rejection", "detail") if name in attributes]
    try:
        keys = ", ".join(created.key for created in parse_notification(body))
    except MalformedNotification as e:
        return Diagnosis("", ": ".join(why) or f"not a notification: {e}", body, readable=False)
    return Diagnosis(
        keys, ": ".join(why) or "hold failed five times: its log says why", body, readable=not why
    )


def _error(record: Mapping[str, Any]) -> str:
    match record.get("responsePayload"):
        case {"errorType": name, "errorMessage": text}:
            return f"{name}: {text}"
        case {"errorMessage": text}:
            return str(text)
    match record.get("requestContext"):
        case {"condition": condition}:  # such as EventAgeExceeded: it was never run to its end
            return str(condition)
    return ""


def _redrive(operator: Operator, sqs: "SQSClient", failure: Failure) -> None:
    work = failure.diagnosis.work or ""
    match failure.queue:
        case Queue.JOBS:
            sqs.send_message(QueueUrl=operator.name("JobsQueueUrl"), MessageBody=work)
        case Queue.INTAKE:
            _invoke(operator, work)
        case Queue.HELD:
            sqs.send_message(QueueUrl=operator.name("HeldQueueUrl"), MessageBody=work)
        case Queue.ALL:
            raise AssertionError("a message is in one queue")
        case _:
            assert_never(failure.queue)
    sqs.delete_message(QueueUrl=failure.queue_url, ReceiptHandle=failure.receipt)


def _invoke(operator: Operator, payload: str) -> None:
    client: LambdaClient = operator.client("lambda")
    response = client.invoke(
        FunctionName=operator.name("IntakeFunctionName"), InvocationType="Event", Payload=payload
    )
    if response["StatusCode"] != _ACCEPTED:
        raise OperatorError(f"Lambda did not take the event: status {response['StatusCode']}")


_ACCEPTED = 202  # the answer to an asynchronous invocation
