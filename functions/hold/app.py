"""Hold: a mail that a filter left in the bucket becomes a row of the quarantine for each recipient."""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, assert_never

import boto3
from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import ClientError

from quarantine.clients import TWO_ATTEMPTS, made_for_good
from quarantine.heldstore import HeldDeadLetters, HeldRows
from quarantine.holding import (
    Hold,
    MalformedNotification,
    ObjectCreated,
    Rejected,
    Rejection,
    StoredMail,
    judge,
    parse_notification,
)
from quarantine.mailheader import end_of_header
from quarantine.report import HoldReason
from quarantine.settings import HoldSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_START: Final = 32 * 1024  # bytes of a mail that are read: nearly always its whole header section
_LONGEST_HEADER: Final = 1024 * 1024
_THREADS: Final = 8  # fewer than the connections of a client
logger = Logger(service="hold")


class Gone(RuntimeError):
    """The object is not there any more: deleted, or released by whoever holds it."""


class Holder:
    """One process's hold; its clients are made once."""

    def __init__(self, settings: HoldSettings, session: boto3.Session) -> None:
        self._settings = settings
        self._mails = HeldMails(session.client("s3", config=TWO_ATTEMPTS), settings.mail_bucket)
        dynamodb = session.client("dynamodb", config=TWO_ATTEMPTS)
        self._rows = HeldRows(dynamodb, settings.quarantine_table)
        sqs = session.client("sqs", config=TWO_ATTEMPTS)
        self._dead_letters = HeldDeadLetters(sqs, settings.dead_letters_url)

    def handle(self, body: str) -> None:
        """Serve one message of the queue: hold or reject what it names."""
        try:
            objects = parse_notification(body)
        except MalformedNotification as e:
            self._reject(body, None, Rejected(Rejection.NOT_A_NOTIFICATION, str(e)))
            return
        for each in objects:
            self._serve(each)

    def _serve(self, created: ObjectCreated) -> None:
        try:
            decision = judge(self._mails.read(created.key), self._settings.families)
        except Gone:
            _tell("gone", created.key)
            return
        match decision:
            case Hold():
                self._hold(decision)
                rejected = decision.unreadable  # last: a row that must come again leaves no second letter
            case Rejected():
                rejected = decision
            case _:
                assert_never(decision)
        if rejected:
            self._reject(json.dumps({"Records": [created.record]}), created.key, rejected)

    def _hold(self, hold: Hold) -> None:
        put = partial(
            self._rows.put,
            hold=hold,
            expires_at=hold.received_at + self._settings.retention[hold.reason],
        )
        if len(hold.recipients) == 1:
            rows = [put(*hold.recipients)]
        else:
            with ThreadPoolExecutor(_THREADS) as threads:
                rows = list(threads.map(put, hold.recipients))
        # Last: an object without its tag is kept longest, so a row never outlives its mail. And so is one of
        # which a recipient has no row yet.
        if hold.unreadable is None:
            self._mails.keep_for(hold.raw_key, hold.reason)
        _tell(
            "held",
            hold.raw_key,
            recipients=[str(recipient) for recipient in hold.recipients],
            message_id=hold.mail.message_id,
            reason=hold.reason.value,
            rows=sum(rows),  # fewer than recipients when it came before
        )

    def _reject(self, body: str, key: str | None, rejected: Rejected) -> None:
        self._dead_letters.put(body, rejected)
        _tell(rejected.reason.value, key, detail=rejected.detail)


class HeldMails:
    """The mails that filters left under held/."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def read(self, key: str) -> StoredMail:
        """Read an object as far as its header section goes, at most a megabyte. Raises Gone."""
        mail = self._read(key, _START)
        if len(mail.start) < mail.size and end_of_header(mail.start) is None:
            return self._read(key, _LONGEST_HEADER)
        return mail

    def _read(self, key: str, length: int) -> StoredMail:
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes=0-{length - 1}")
        except ClientError as e:
            match e.response["Error"]["Code"]:
                case "NoSuchKey":
                    raise Gone(key) from e
                case "InvalidRange":  # no range of an empty object can be read
                    return self._empty(key)
            raise
        with found["Body"] as body:
            start = body.read()
        size = int(found.get("ContentRange", "").rpartition("/")[2] or len(start))  # bytes 0-99/1234
        return StoredMail(key, found["Metadata"], start, size, found["LastModified"])

    def _empty(self, key: str) -> StoredMail:
        head = self._client.head_object(Bucket=self._bucket, Key=key)
        return StoredMail(key, head["Metadata"], b"", 0, head["LastModified"])

    def keep_for(self, key: str, reason: HoldReason) -> None:
        """Tag an object with its reason, by which the bucket's lifecycle rules know how long to keep it."""
        try:
            self._client.put_object_tagging(
                Bucket=self._bucket, Key=key, Tagging={"TagSet": [{"Key": "reason", "Value": reason.value}]}
            )
        except self._client.exceptions.NoSuchKey:
            logger.info("deleted meanwhile", key=key)


def make_handler(
    environ: Mapping[str, str],
    session: boto3.Session | None = None,
) -> Callable[[dict[str, Any], object], dict[str, list[dict[str, str]]]]:
    """Return the Lambda handler, its clients made. Raises BadSetting."""
    holder = Holder(HoldSettings.from_environ(environ), session or boto3.Session())

    def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:
        """Serve a batch of SQS; name what must come again (ReportBatchItemFailures)."""
        failures = []
        for message in event["Records"]:
            try:
                holder.handle(message["body"])
            except Exception as e:  # noqa: BLE001 - the process's edge: whatever it is, SQS gives it again
                error = f"{type(e).__name__}: {e}"
                logger.warning("to be tried again", sqs_message_id=message["messageId"], error=error)
                failures.append({"itemIdentifier": message["messageId"]})
        return {"batchItemFailures": failures}

    return handler


def _tell(outcome: str, key: str | None, **details: Any) -> None:
    """Tell the log and the metrics what came of an object, in one line."""
    logger.info(outcome, key=key, **details)
    with single_metric("HeldMails", MetricUnit.Count, 1, namespace="QuarantineReport") as metric:
        metric.add_dimension("service", "hold")
        metric.add_dimension("outcome", outcome)


def __getattr__(name: str) -> Any:
    """Make `handler` when Lambda first asks for it, which is at start: a missing setting is named there.

    A test or the local run imports this module without Lambda's environment and calls make_handler.
    """
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with made_for_good():
        globals()["handler"] = handler = make_handler(os.environ)
    return handler
