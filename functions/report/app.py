"""Report: a job from the queue becomes a mail with what is held, or silence when nothing is."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, assert_never

import boto3
from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from quarantine.clients import ONE_ATTEMPT, TWO_ATTEMPTS, made_for_good
from quarantine.outbox import Mailer, SendRefused
from quarantine.rendering import render
from quarantine.report import QuarantineReport, summarise
from quarantine.request import MalformedJob, ReportRequest
from quarantine.settings import ReportSettings, WhenEmpty
from quarantine.stores import Claim, Outcome, Quarantine, Requests, RequestStatus, UnknownRequest

logger = Logger(service="report")


class Busy(RuntimeError):
    """Another process has the request; its job must come again, in case that one dies."""


class Report:
    """One process's report; its clients are made once."""

    def __init__(
        self, settings: ReportSettings, session: boto3.Session, clock: Callable[[], datetime]
    ) -> None:
        dynamodb = session.client("dynamodb", config=TWO_ATTEMPTS)
        self._settings = settings
        self._clock = clock
        self._quarantine = Quarantine(dynamodb, settings.quarantine_table, logger)
        self._requests = Requests(dynamodb, settings.requests_table)
        self._mailer = Mailer(session.client("sesv2", config=ONE_ATTEMPT), settings.configuration_set)

    def handle(self, job: str) -> None:
        """Serve one job. Raises MalformedJob, UnknownRequest, Busy, and what may pass."""
        request = ReportRequest.from_json(job)
        claim = self._requests.claim(request.request_id, self._clock(), self._settings.lease)
        match claim:
            case Claim.MINE:
                self._serve(request)
            case Claim.BUSY:
                raise Busy(request.request_id)
            case Claim.DONE:
                logger.info("delivered again", message_id=request.request_id)
            case _:
                assert_never(claim)

    def _serve(self, request: ReportRequest) -> None:
        try:
            report = self._read(request)
            outcome = self._send(request, report)
        except Exception as e:  # whatever it was, the row must not go on saying that report is at it
            self._requests.give_back(request.request_id, reason=type(e).__name__)
            raise
        self._requests.settle(request.request_id, outcome, self._clock())
        _tell(request, outcome)

    def _read(self, request: ReportRequest) -> QuarantineReport:
        now, limit = self._clock(), self._settings.max_rows
        holdings = [self._quarantine.held_for(mailbox, now, limit) for mailbox in request.mailboxes]
        return summarise(request, holdings, limit)

    def _send(self, request: ReportRequest, report: QuarantineReport) -> Outcome:
        if not report.total and self._settings.when_empty is WhenEmpty.SILENT:
            return Outcome(RequestStatus.EMPTY, 0)
        sender = self._settings.report_sender
        message = render(report, sender=sender, reply_to=self._settings.reply_to, now=self._clock())
        try:
            ses_message_id = self._mailer.send(message, sender=sender, to=request.requester)
        except SendRefused as e:
            return Outcome(RequestStatus.FAILED, report.total, reason=str(e))
        status = RequestStatus.SENT if report.total else RequestStatus.EMPTY
        return Outcome(status, report.total, ses_message_id)


def make_handler(
    environ: Mapping[str, str],
    session: boto3.Session | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Callable[[dict[str, Any], object], dict[str, list[dict[str, str]]]]:
    """Return the Lambda handler, its clients made. Raises BadSetting."""
    report = Report(ReportSettings.from_environ(environ), session or boto3.Session(), clock)

    # Not Powertools' batch utility: its import alone is a tenth of a start (docs/decisions/0008-start-up.md).
    def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:
        """Serve a batch of SQS; name what must come again (ReportBatchItemFailures)."""
        failures = []
        for message in event["Records"]:
            try:
                report.handle(message["body"])
            except (MalformedJob, UnknownRequest) as e:  # it comes again, then goes to the dead-letter queue
                error = f"{type(e).__name__}: {e}"
                logger.error("not a job", sqs_message_id=message["messageId"], error=error)
                failures.append({"itemIdentifier": message["messageId"]})
            except Exception as e:  # noqa: BLE001 - the process's edge: whatever it is, SQS gives it again
                error = f"{type(e).__name__}: {e}"
                logger.warning("to be tried again", sqs_message_id=message["messageId"], error=error)
                failures.append({"itemIdentifier": message["messageId"]})
        return {"batchItemFailures": failures}

    return handler


def _tell(request: ReportRequest, outcome: Outcome) -> None:
    """Tell the log and the metrics what came of a request, in one line."""
    logger.info(
        outcome.status.value,
        message_id=request.request_id,
        requester=str(request.requester),
        accepted_by=request.accepted_by,
        messages=outcome.messages,
        ses_message_id=outcome.ses_message_id,
        reason=outcome.reason,
    )
    with single_metric("Reports", MetricUnit.Count, 1, namespace="QuarantineReport") as metric:
        metric.add_dimension("service", "report")
        metric.add_dimension("outcome", outcome.status.value)


def __getattr__(name: str) -> Any:
    """Make `handler` when Lambda first asks for it, which is at start: a missing setting is named there.

    A test or the local run imports this module without Lambda's environment and calls make_handler.
    """
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with made_for_good():
        globals()["handler"] = handler = make_handler(os.environ)
    return handler
