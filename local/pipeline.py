"""AWS's part between the functions: invokes intake, serves the queues, keeps the mail that SES sends."""

import base64
import json
import logging
import mailbox
import queue
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.ses import Delivery, SentMail, new_message_id, receive, sending_event
from local.stack import Stack
from quarantine.asking.event import Verdicts
from quarantine.mail.escaping import escaped_lines
from quarantine.runtime import Journal, Map, serve_batch
from quarantine.services import acting as acting_service
from quarantine.services import feedback as feedback_service
from quarantine.services.acting import Acting, Clients
from quarantine.services.claiming import HOPELESS
from quarantine.services.digesting import Digesting
from quarantine.services.holding import Holding
from quarantine.services.intake import Intake
from quarantine.services.reporting import Reporting
from quarantine.services.telling import telling
from quarantine.settings import (
    ActSettings,
    DigestSettings,
    FeedbackSettings,
    HoldSettings,
    IntakeSettings,
    ReportSettings,
)

_RETRIES = 2  # of an asynchronous invocation, before the event goes to the on-failure destination
_BATCH = 10
TICK = 3.0
"""How often digest looks for readers who are due, in seconds: moto has no schedule that would invoke it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Serves the messages of a queue, as its function does."""

    serve: Callable[[str], None]
    journal: Journal
    attempts: int
    hopeless: tuple[type[Exception], ...] = ()
    calls: Map = map
    give_up: Callable[[str], None] = lambda _: None


class Outbox:
    """A maildir with each mail that SES was asked to send; SES reports to a queue what became of each.

    rejects: SES finds a virus in a mail that contains this; empty for none.
    """

    def __init__(
        self, directory: Path, session: boto3.Session, feedback_queue_url: str, rejects: bytes = b""
    ) -> None:
        self._sqs = session.client("sqs")
        self._feedback_queue_url, self._rejects = feedback_queue_url, rejects
        for name in ("tmp", "new", "cur"):  # Maildir creates them only if it also creates the directory
            (directory / name).mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._maildir = mailbox.Maildir(directory)
        session.events.register("before-call.sesv2.SendEmail", self._asked)
        session.events.register("after-call.sesv2.SendEmail", self._answered)

    def _asked(self, params: Mapping[str, Any], context: dict[str, Any], **_: object) -> None:
        context["asked"] = json.loads(params["body"])

    def _answered(
        self, http_response: Any, parsed: Mapping[str, Any], context: Mapping[str, Any], **_: object
    ) -> None:
        if http_response.status_code != HTTPStatus.OK:
            return
        asked = context["asked"]
        raw = base64.b64decode(asked["Content"]["Raw"]["Data"])
        self._maildir.add(raw)
        (to,) = asked["Destination"]["ToAddresses"]
        tags = {tag["Name"]: tag["Value"] for tag in asked.get("EmailTags", [])}
        sent = SentMail(parsed["MessageId"], to, raw, asked.get("ConfigurationSetName", ""), tags)
        event = sending_event(sent, self._rejects, datetime.now(UTC))
        self._sqs.send_message(QueueUrl=self._feedback_queue_url, MessageBody=json.dumps(event))


class Pipeline:
    """Runs the functions as their event sources do."""

    def __init__(self, session: boto3.Session, stack: Stack, verdicts: Verdicts) -> None:
        self._stack = stack
        self._verdicts = verdicts
        self._s3 = session.client("s3")
        self._sqs = session.client("sqs")
        dynamodb, s3, sqs = session.client("dynamodb"), session.client("s3"), session.client("sqs")
        settings = IntakeSettings.from_environ(stack.environ)
        self._intake = Intake.on(settings, dynamodb, lambda: s3, sqs)
        reporting = Reporting.on(
            ReportSettings.from_environ(stack.environ), dynamodb, session.client("sesv2")
        )
        clients = Clients(
            dynamodb, s3, session.client("sesv2"), lambda: sqs, lambda: session.client("secretsmanager")
        )
        acting = Acting.on(ActSettings.from_environ(stack.environ), clients)
        holding = Holding.on(HoldSettings.from_environ(stack.environ), dynamodb, s3, sqs)
        feedback = feedback_service.Feedback.on(
            FeedbackSettings.from_environ(stack.environ),
            dynamodb,
            telling(FeedbackSettings.from_environ(stack.environ), dynamodb, session.client("sesv2")),
        )
        self._sources: dict[str, Source] = {
            stack.environ["JOBS_QUEUE_URL"]: Source(
                reporting.handle, reporting.journal, reporting.settings.attempts, HOPELESS
            ),
            stack.environ["ACTIONS_QUEUE_URL"]: Source(
                acting.handle, acting.journal, acting.settings.attempts, HOPELESS
            ),
            stack.held_queue_url: Source(
                holding.handle,
                holding.journal,
                holding.settings.attempts,
                calls=holding.threads.map,
                give_up=holding.give_up,
            ),
            stack.feedback_queue_url: Source(
                feedback.handle, feedback.journal, feedback.settings.attempts, feedback_service.HOPELESS
            ),
        }
        if stack.results_queue_url is not None:
            self._sources[stack.results_queue_url] = Source(
                acting.handle_result, acting.journal, acting.settings.attempts, acting_service.HOPELESS
            )
        self._digesting = Digesting.on(DigestSettings.from_environ(stack.environ), dynamodb, sqs)
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=run, daemon=True) for run in (self._run_intake, self._run_schedule)
        ] + [
            threading.Thread(target=self._run_source, args=source, daemon=True)
            for source in self._sources.items()
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop after the current event and batch."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def accept(self, delivery: Delivery, verdicts: Verdicts | None = None) -> str:
        """Act as the receipt rule: store the raw mail, then invoke intake. Return the message id.

        verdicts: for this mail, instead of the pipeline's.
        """
        received = receive(delivery, verdicts or self._verdicts, new_message_id(), datetime.now(UTC))
        self._s3.put_object(
            Bucket=self._stack.environ["MAIL_BUCKET"], Key=f"inbound/{received.message_id}", Body=received.raw
        )
        self._events.put(received.event)
        return received.message_id

    def _run_intake(self) -> None:
        while not self._stopping.is_set():
            try:
                event = self._events.get(timeout=0.1)
            except queue.Empty:
                continue
            self._invoke_intake(event)

    def _invoke_intake(self, event: dict[str, Any]) -> None:
        for _ in range(1 + _RETRIES):
            try:
                self._intake.handle(event)
            except Exception as e:  # noqa: BLE001 - the process's edge: Lambda would catch any error
                error = e
                _log.error("intake failed\n%s", escaped_lines(traceback.format_exc()))
            else:
                return
        failure = {"requestPayload": event, "responsePayload": {"errorMessage": str(error)}}
        self._sqs.send_message(QueueUrl=self._stack.intake_failures_url, MessageBody=json.dumps(failure))

    def _run_schedule(self) -> None:
        while not self._stopping.wait(TICK):
            try:
                self._digesting.tick()
            except Exception:  # noqa: BLE001 - the process's edge: the next run does the work
                _log.error("digest failed\n%s", escaped_lines(traceback.format_exc()))

    def _run_source(self, url: str, source: Source) -> None:
        while not self._stopping.is_set():
            try:
                self._invoke(url, source)
            except (BotoCoreError, ClientError):
                _log.error("the queue cannot be read\n%s", escaped_lines(traceback.format_exc()))
                self._stopping.wait(1)

    def _invoke(self, url: str, source: Source) -> None:
        """Serve one batch; a message that fails stays on the queue until its visibility timeout ends."""
        messages = self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=_BATCH, WaitTimeSeconds=1, AttributeNames=["All"]
        ).get("Messages", [])
        if not messages:
            return
        event = {"Records": [_sqs_record(message) for message in messages]}
        response = serve_batch(
            event,
            source.serve,
            source.journal,
            source.attempts,
            source.hopeless,
            calls=source.calls,
            give_up=source.give_up,
        )
        failed = {failure["itemIdentifier"] for failure in response["batchItemFailures"]}
        for message in messages:
            if message["MessageId"] not in failed:
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _sqs_record(message: Mapping[str, Any]) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html"""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue",
        "awsRegion": "us-east-1",
    }
