"""`quarantine redrive`: shows the messages in the dead-letter queues, and why they failed, and retries them.

A message is deleted only after its work was queued again. So a message can be redriven twice, but never
lost; each function recognises work that it has already done.
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
from quarantine.feedback.event import MalformedSendingEvent, parse_sending_event
from quarantine.holding.notification import MalformedNotification, parse_notification
from quarantine.jobs import MalformedJob, from_json
from quarantine.mail.text import clean_text
from quarantine.release.pointer import MalformedResult, Result

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef, SendMessageRequestTypeDef

_HIDDEN = 300  # seconds for which nobody else can redrive the messages that we read
_LONGEST_REASON = 200


class Queue(StrEnum):
    """Where failed work waits."""

    JOBS = "jobs"  # reports that were not made
    ACTIONS = "actions"  # previews, releases and deletions that were not done
    INTAKE = "intake"  # SES events that intake could not handle
    HELD = "held"  # objects under held/ for which some or all rows are missing
    RESULTS = "results"  # what agents said of a message, and act could not handle
    FEEDBACK = "feedback"  # SES's events about sent mail that feedback could not handle
    ALL = "all"


DEAD_LETTERS = {
    Queue.JOBS: "JobsDeadLettersUrl",
    Queue.ACTIONS: "ActionsDeadLettersUrl",
    Queue.INTAKE: "IntakeFailuresUrl",
    Queue.HELD: "HeldDeadLettersUrl",
    Queue.RESULTS: "ResultsDeadLettersUrl",
    Queue.FEEDBACK: "FeedbackDeadLettersUrl",
}
"""The stack outputs that contain their URLs. Only a stack with agents has that of results."""


def queues_of(operator: Operator) -> tuple[Queue, ...]:
    """Return the queues that the stack has."""
    return tuple(queue for queue, output in DEAD_LETTERS.items() if operator.has(output))


class Done(StrEnum):
    """What happens to a message."""

    WAITS = "waits"  # it would be redriven
    REDRIVEN = "redriven"  # its work was queued again, and the message was deleted
    LEFT = "left"  # it cannot succeed as it is; --force redrives it nevertheless


COLUMNS = ("queue", "request_id", "error", "done")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The content of a message.

    request_id: of a request; for held mail, the object's key.
    work: what to redrive; None if the message contains none. readable: whether it can succeed.
    """

    request_id: str
    error: str
    work: str | None
    readable: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """A message of a dead-letter queue. group: its MessageGroupId; None where it has none."""

    queue: Queue
    queue_url: str
    receipt: str
    group: str | None
    diagnosis: Diagnosis


def redrive(
    context: typer.Context,
    queue: Annotated[Queue, typer.Option(help="The queue to redrive.")] = Queue.ALL,
    dry_run: Annotated[bool, typer.Option(help="Only show what waits.")] = False,
    force: Annotated[
        bool, typer.Option(help="Also redrive messages that cannot be read or were rejected.")
    ] = False,
) -> None:
    """Show the messages in the dead-letter queues, and why they failed, and retry them.

    Fix the cause first: a message that fails again comes back.
    """
    operator: Operator = context.obj
    sqs: SQSClient = operator.client("sqs")
    rows: list[dict[str, Any]] = []
    kept: list[Failure] = []
    try:
        for each in queues_of(operator) if queue is Queue.ALL else (queue,):
            for failure in _failures(operator, sqs, each):
                kept.append(failure)
                redriven = (failure.diagnosis.readable or force) and failure.diagnosis.work is not None
                if redriven and not dry_run:
                    _redrive(operator, sqs, failure)
                    kept.remove(failure)
                rows.append(_row(failure, redriven=redriven, dry_run=dry_run))
    finally:
        for failure in kept:  # make them visible again at once
            sqs.change_message_visibility(
                QueueUrl=failure.queue_url, ReceiptHandle=failure.receipt, VisibilityTimeout=0
            )
    operator.answer(COLUMNS, rows, empty="nothing failed")
    if any(row["done"] is Done.LEFT for row in rows):
        operator.warn("the messages that are left would fail again: fix the cause, then use --force")
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
    """Yield each message of a queue once, and hide it meanwhile."""
    url = operator.name(DEAD_LETTERS[queue])
    seen: set[str] = set()
    began = datetime.now(UTC).timestamp() * 1000
    while messages := sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=_HIDDEN,
        WaitTimeSeconds=operator.queue_wait,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["SentTimestamp", "MessageGroupId"],
    ).get("Messages"):
        if seen.issuperset(message["MessageId"] for message in messages):
            return  # all messages became visible again: reading took too long
        if all(_sent_at(message) > began for message in messages):
            return  # these failed again meanwhile, and would do so as long as we read
        for message in messages:
            seen.add(message["MessageId"])
            match queue:
                case Queue.JOBS | Queue.ACTIONS:
                    diagnosis = _job(operator, message["Body"])
                case Queue.INTAKE:
                    diagnosis = _event(message["Body"])
                case Queue.RESULTS:
                    diagnosis = _result(operator, message["Body"])
                case Queue.FEEDBACK:
                    diagnosis = _sending_event(operator, message["Body"])
                case _:
                    diagnosis = _held(message)
            group = message.get("Attributes", {}).get("MessageGroupId")
            yield Failure(queue, url, message["ReceiptHandle"], group, diagnosis)


def _sent_at(message: "MessageTypeDef") -> float:
    """Return when a message was put into the queue, in epoch milliseconds."""
    return float(message.get("Attributes", {}).get("SentTimestamp", 0))


def _job(operator: Operator, body: str) -> Diagnosis:
    try:
        job = from_json(body)
    except MalformedJob as e:
        return Diagnosis("", f"not a job: {e}", body, readable=False)
    row = operator.requests.find(job.request_id)
    error = row.get("reason") or (f"the request is {row['status']}" if "status" in row else "no such request")
    return Diagnosis(job.request_id, str(error), body, readable=True)


def _result(operator: Operator, body: str) -> Diagnosis:
    try:
        result = Result.from_json(body)
    except MalformedResult as e:
        return Diagnosis("", str(e), body, readable=False)
    status = operator.requests.find(result.request_id).get("status", "unknown")
    return Diagnosis(result.request_id, f"the request is {status}: see act's log", body, readable=True)


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
    """Read a message that hold rejected, as its attributes say, or that SQS gave up on."""
    body = message["Body"]
    attributes = message.get("MessageAttributes", {})
    why = [attributes[name].get("StringValue", "") for name in ("rejection", "detail") if name in attributes]
    try:
        keys = ", ".join(created.key for created in parse_notification(body))
    except MalformedNotification as e:
        return Diagnosis("", ": ".join(why) or f"not a notification: {e}", body, readable=False)
    return Diagnosis(keys, ": ".join(why) or "hold failed five times: see its log", body, readable=not why)


def _sending_event(operator: Operator, body: str) -> Diagnosis:
    """Read an event of SES, or the job of a delivery report."""
    if (found := _job(operator, body)).readable:
        return found
    try:
        event = parse_sending_event(body, operator.stack_name)  # the name of its configuration set, too
    except MalformedSendingEvent as e:
        return Diagnosis("", str(e), body, readable=False)
    return Diagnosis(
        event.request_id, f"{event.kind} of the {event.mail_kind}: see feedback's log", body, readable=True
    )


def _error(record: Mapping[str, Any]) -> str:
    match record.get("responsePayload"):
        case {"errorType": name, "errorMessage": text}:
            return f"{name}: {text}"
        case {"errorMessage": text}:
            return str(text)
    match record.get("requestContext"):
        case {"condition": condition}:  # such as EventAgeExceeded: no run completed
            return str(condition)
    return ""


def _redrive(operator: Operator, sqs: "SQSClient", failure: Failure) -> None:
    work = failure.diagnosis.work or ""
    match failure.queue:
        case Queue.JOBS | Queue.ACTIONS:
            # Its group, too: jobs of one domain must not delay those of others.
            output = "JobsQueueUrl" if failure.queue is Queue.JOBS else "ActionsQueueUrl"
            message: SendMessageRequestTypeDef = {"QueueUrl": operator.name(output), "MessageBody": work}
            if failure.group is not None:
                message["MessageGroupId"] = failure.group
            sqs.send_message(**message)
        case Queue.INTAKE:
            _invoke(operator, work)
        case Queue.HELD:
            sqs.send_message(QueueUrl=operator.name("HeldQueueUrl"), MessageBody=work)
        case Queue.RESULTS:
            sqs.send_message(QueueUrl=operator.name("ResultsQueueUrl"), MessageBody=work)
        case Queue.FEEDBACK:
            sqs.send_message(QueueUrl=operator.name("FeedbackQueueUrl"), MessageBody=work)
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
        raise OperatorError(f"Lambda did not accept the event: status {response['StatusCode']}")


_ACCEPTED = 202  # the status of an accepted asynchronous invocation
