"""Both functions on a stack, and what a test does with them."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.loaders import Loader
from moto.ses.models import ses_backends

from functions.intake import app as intake_app
from functions.report import app as report_app
from local.records import Records
from local.stack import Stack

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


@dataclass(slots=True)
class World:
    """Both functions on one stack. `environ` may be changed until a handler is made."""

    session: boto3.Session
    stack: Stack
    clock: Clock = field(default_factory=Clock)

    @property
    def records(self) -> Records:
        return Records(self.session, self.stack.environ)

    def intake(self, event: object, session: boto3.Session | None = None, **environ: str) -> dict[str, str]:
        handler = intake_app.make_handler(
            {**self.stack.environ, **environ}, session or self.session, self.clock
        )
        return handler(event, None)

    def report(self, *jobs: str, session: boto3.Session | None = None, **environ: str) -> list[str]:
        """Serve jobs as one batch; return the ids of those that failed, which are their places."""
        handler = report_app.make_handler(
            {**self.stack.environ, **environ}, session or self.session, self.clock
        )
        records = [
            {"messageId": str(place), "body": job, "eventSource": "aws:sqs"} for place, job in enumerate(jobs)
        ]
        response = handler({"Records": records}, None)
        return [str(failure["itemIdentifier"]) for failure in response["batchItemFailures"]]

    def jobs(self) -> list[str]:
        """Take every job from the queue."""
        sqs = self.session.client("sqs")
        url = self.stack.environ["JOBS_QUEUE_URL"]
        jobs = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                jobs.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return jobs

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


def load_event(name: str) -> dict[str, Any]:
    """Read a file of events/."""
    path = Path(__file__).parent.parent / "events" / f"{name}.json"
    event: dict[str, Any] = json.loads(path.read_text())
    return event
