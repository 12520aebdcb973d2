"""The functions on a stack, and what a test does with them."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.loaders import Loader
from moto.ses.models import ses_backends

from functions.act import app as act_app
from functions.digest import app as digest_app
from functions.feedback import app as feedback_app
from functions.hold import app as hold_app
from functions.intake import app as intake_app
from functions.report import app as report_app
from local.records import Records
from local.stack import Stack
from quarantine.services.feedback import Tell

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


_LOADER = Loader()


def new_session() -> boto3.Session:
    """Return a session of its own, but for the service models: to read them takes longer than most tests."""
    session = botocore.session.get_session()
    session.register_component("data_loader", _LOADER)
    return boto3.Session(botocore_session=session)


@dataclass(slots=True)
class Clock:
    """A clock that moves only when it is told to."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass
class World:
    """The functions on one stack. `environ` may be changed until a handler is made."""

    session: boto3.Session
    stack: Stack
    clock: Clock = field(default_factory=Clock)

    @functools.cached_property
    def records(self) -> Records:
        return Records(self.session, self.stack.environ)

    def intake(self, event: object, session: boto3.Session | None = None, **environ: str) -> dict[str, str]:
        handler = intake_app.make_handler(
            {**self.stack.environ, **environ}, session or self.session, self.clock
        )
        outcome: dict[str, str] = handler(event, None)
        return outcome

    def report(
        self, *jobs: str, session: boto3.Session | None = None, received: int = 1, **environ: str
    ) -> list[str]:
        """Serve jobs as one batch; return the ids of those that failed, which are their places.

        received: how often SQS has delivered them, this time included.
        """
        handler = report_app.make_handler(
            {**self.stack.environ, **environ}, session or self.session, self.clock
        )
        return _failed(handler(_batch(jobs, received), None))

    def act(
        self, *jobs: str, session: boto3.Session | None = None, received: int = 1, **environ: str
    ) -> list[str]:
        """Serve jobs of actions as one batch; as report."""
        handler = act_app.make_handler({**self.stack.environ, **environ}, session or self.session, self.clock)
        return _failed(handler(_batch(jobs, received), None))

    def results(self, *results: str, session: boto3.Session | None = None, **environ: str) -> list[str]:
        """Let act serve results of agents, each as a batch; return the ids of those that failed."""
        handler = act_app.make_handler({**self.stack.environ, **environ}, session or self.session, self.clock)
        failed = []
        for result in results:
            batch = _batch([result], 1)
            batch["Records"][0]["eventSourceARN"] = self.stack.environ["RESULTS_QUEUE_ARN"]
            failed += _failed(handler(batch, None))
        return failed

    def hold(
        self, *bodies: str, session: boto3.Session | None = None, received: int = 1, **environ: str
    ) -> list[str]:
        """Serve messages of S3 as one batch; return the ids of those that failed, which are their places.

        received: as for report.
        """
        handler = hold_app.make_handler(
            {**self.stack.environ, **environ}, session or self.session, self.clock
        )
        return _failed(handler(_batch(bodies, received), None))

    def digest(self, session: boto3.Session | None = None, **environ: str) -> dict[str, int]:
        """Let digest look for readers who are due; return how many were, and how many digests were made."""
        handler = digest_app.make_handler(
            {**self.stack.environ, **environ}, session or self.session, self.clock
        )
        tick: dict[str, int] = handler({}, None)
        return tick

    def feedback(
        self,
        *events: object,
        session: boto3.Session | None = None,
        received: int = 1,
        tell: Tell | None = None,
        **environ: str,
    ) -> list[str]:
        """Serve events of SES as one batch; return the ids of those that failed, which are their places.

        events: a text is sent as it is. received: as for report. tell: tells a requester.
        """
        bodies = [event if isinstance(event, str) else json.dumps(event) for event in events]
        handler = feedback_app.make_handler(
            {**self.stack.environ, **environ}, session or self.session, self.clock, tell
        )
        return _failed(handler(_batch(bodies, received), None))

    def jobs(self) -> list[str]:
        """Take every job from the queue."""
        return [message["Body"] for message in self._taken(self.stack.environ["JOBS_QUEUE_URL"])]

    def actions(self) -> list[str]:
        """Take every job from the queue of actions."""
        return [message["Body"] for message in self._taken(self.stack.environ["ACTIONS_QUEUE_URL"])]

    def held_messages(self) -> list[str]:
        """Take what S3 told of objects under held/."""
        return [message["Body"] for message in self._taken(self.stack.held_queue_url)]

    def dead(self) -> list[dict[str, Any]]:
        """Take the messages about held mail that made no row, with their attributes."""
        return self._taken(self.stack.environ["HELD_DEAD_LETTERS_URL"])

    @functools.cached_property
    def _sqs(self) -> "SQSClient":
        return self.session.client("sqs")

    def _taken(self, url: str) -> list[dict[str, Any]]:
        taken: list[dict[str, Any]] = []
        while messages := self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in messages:
                taken.append({**message})
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return taken

    def sent(self) -> list[bytes]:
        """Return the mails that SES took, whichever process asked it to send them."""
        return [mail.raw_data.encode() for mail in ses_backends["123456789012"]["us-east-1"].sent_messages]

    def destinations(self) -> list[list[str]]:
        """Return the envelope recipients of those mails, each once."""
        return [
            sorted(set(mail.destinations)) for mail in ses_backends["123456789012"]["us-east-1"].sent_messages
        ]

    def row(self, request_id: str) -> dict[str, Any]:
        """Return the plain attributes of a request's row; empty when there is none."""
        item = self.records.request(request_id) or {}
        return {name: next(iter(value.values())) for name, value in item.items()}

    def store_mail(self, message_id: str, raw: bytes) -> None:
        bucket = self.stack.environ["MAIL_BUCKET"]
        self.session.client("s3").put_object(Bucket=bucket, Key=f"inbound/{message_id}", Body=raw)


def _batch(bodies: Sequence[str], received: int) -> dict[str, Any]:
    """Return bodies of messages as SQS hands them to Lambda."""
    return {
        "Records": [
            {
                "messageId": str(place),
                "body": body,
                "eventSource": "aws:sqs",
                "attributes": {"ApproximateReceiveCount": str(received)},
            }
            for place, body in enumerate(bodies)
        ]
    }


def _failed(response: dict[str, list[dict[str, str]]]) -> list[str]:
    return [failure["itemIdentifier"] for failure in response["batchItemFailures"]]


def load_event(name: str) -> dict[str, Any]:
    """Read a file of events/."""
    path = Path(__file__).parent.parent / "events" / f"{name}.json"
    event: dict[str, Any] = json.loads(path.read_text())
    return event
