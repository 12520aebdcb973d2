"""Intake: a mail that SES received becomes a decision, and an accepted one a job for report."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, assert_never

import boto3
from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from quarantine.addresses import Address, matching_trigger
from quarantine.admission import Refusal, Refused, decide, evidence, screen, too_soon
from quarantine.clients import TWO_ATTEMPTS, made_for_good
from quarantine.inbound import InboundMail, MalformedEvent, MalformedHeader, parse_event, with_raw_header
from quarantine.outbox import Jobs
from quarantine.request import ReportRequest
from quarantine.settings import IntakeSettings
from quarantine.stores import Admitted, CoolingDown, Known, Requests, Senders

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

type Decision = ReportRequest | Refused
type Evidence = Mapping[str, str]

_HEADER_LIMIT: Final = 1024 * 1024  # bytes of a raw mail that are read for its header section
logger = Logger(service="intake")


class Intake:
    """One process's intake; its clients are made once."""

    def __init__(
        self, settings: IntakeSettings, session: boto3.Session, clock: Callable[[], datetime]
    ) -> None:
        dynamodb = session.client("dynamodb", config=TWO_ATTEMPTS)
        self._settings = settings
        self._clock = clock
        self._mails = Mails(partial(session.client, "s3", config=TWO_ATTEMPTS), settings.mail_bucket)
        self._senders = Senders(dynamodb, settings.senders_table, logger)
        self._requests = Requests(dynamodb, settings.requests_table)
        self._jobs = Jobs(session.client("sqs", config=TWO_ATTEMPTS), settings.jobs_queue_url)

    def handle(self, event: object) -> Decision | Known:
        """Decide on one SES event, record the decision and queue the job. Raises MalformedEvent."""
        mail, decision = self.judge(parse_event(event))
        seen = evidence(mail)
        outcome = self._record(mail, decision, seen)
        _tell(mail, outcome, seen)
        return outcome

    def judge(self, mail: InboundMail) -> tuple[InboundMail, Decision]:
        """Say what becomes of a mail, and change nothing; return it with its whole header section."""
        trigger = matching_trigger(mail.recipients, self._settings.trigger)
        if trigger is None:
            return mail, Refused(Refusal.NOT_A_TRIGGER, "no recipient is the trigger")
        try:
            mail = self._whole(mail)
        except MalformedHeader as e:
            return mail, Refused(Refusal.AMBIGUOUS_SENDER, str(e))
        return mail, self._decide(mail, trigger)

    def _whole(self, mail: InboundMail) -> InboundMail:
        if not mail.headers_truncated:
            return mail
        return with_raw_header(mail, self._mails.start_of(mail.message_id))

    def _decide(self, mail: InboundMail, trigger: Address) -> Decision:
        requester = screen(mail, trigger, self._settings.report_sender)
        if isinstance(requester, Refused):
            return requester
        auth, relays = self._senders.facts_for(requester)
        return decide(mail, trigger, requester, auth, relays)

    def _record(self, mail: InboundMail, decision: Decision, seen: Evidence) -> Decision | Known:
        now = self._clock()
        match decision:
            case Refused(reason=Refusal.NOT_A_TRIGGER):  # anybody's mail to any address: logged, not kept
                return decision
            case Refused():
                known = self._requests.refuse(mail.message_id, decision, seen, mail.received_at, now)
                return known or decision
            case ReportRequest():
                return self._admit(mail, decision, seen, now)
            case _:
                assert_never(decision)

    def _admit(
        self, mail: InboundMail, request: ReportRequest, seen: Evidence, now: datetime
    ) -> Decision | Known:
        admission = self._requests.accept(request, seen, now, self._settings.cooldown)
        match admission:
            case Admitted():
                self._jobs.put(request)
                return request
            case CoolingDown():
                return self._record(mail, too_soon(request.requester, self._settings.cooldown), seen)
            case Known():
                return admission
            case _:
                assert_never(admission)


class Mails:
    """The raw mails that the receipt rule's S3 action stored. connect: makes the client."""

    def __init__(self, connect: "Callable[[], S3Client]", bucket: str) -> None:
        self._connect, self._bucket = connect, bucket

    @cached_property
    def _client(self) -> "S3Client":
        # Made for the first mail whose header SES cut: most processes never see one, and would wait at start.
        return self._connect()

    def start_of(self, message_id: str) -> bytes:
        response = self._client.get_object(
            Bucket=self._bucket, Key=f"inbound/{message_id}", Range=f"bytes=0-{_HEADER_LIMIT - 1}"
        )
        return response["Body"].read()


def make_handler(
    environ: Mapping[str, str],
    session: boto3.Session | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Callable[[object, object], dict[str, str]]:
    """Return the Lambda handler, its clients made. Raises BadSetting."""
    intake = Intake(IntakeSettings.from_environ(environ), session or boto3.Session(), clock)

    def handler(event: object, context: object) -> dict[str, str]:
        try:
            outcome = intake.handle(event)
        except MalformedEvent as e:  # Lambda tries again, then hands the event to the on-failure destination
            logger.error("not an SES event", error=str(e))
            raise
        return {"outcome": _word(outcome)}

    return handler


def _tell(mail: InboundMail, outcome: Decision | Known, seen: Evidence) -> None:
    """Tell the log and the metrics what became of a mail, in one line."""
    match outcome:
        case Known(status):  # it was told when it was decided
            logger.info("delivered again", message_id=mail.message_id, status=status)
            return
        case Refused(reason, detail, requester):
            message, word = "refused", reason.value
        case ReportRequest(requester=requester, accepted_by=detail):
            message = word = "accepted"
        case _:
            assert_never(outcome)
    logger.info(
        message,
        message_id=mail.message_id,
        requester=requester and str(requester),
        reason=word,
        detail=detail,
        evidence=seen,
    )
    with single_metric("Requests", MetricUnit.Count, 1, namespace="QuarantineReport") as metric:
        metric.add_dimension("service", "intake")
        metric.add_dimension("outcome", word)


def _word(outcome: Decision | Known) -> str:
    match outcome:
        case Known(status):
            return status.value
        case Refused(reason):
            return reason.value
        case ReportRequest():
            return "accepted"
        case _:
            assert_never(outcome)


def __getattr__(name: str) -> Any:
    """Make `handler` when Lambda first asks for it, which is at start: a missing setting is named there.

    A test or the local run imports this module without Lambda's environment and calls make_handler.
    """
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with made_for_good():
        globals()["handler"] = handler = make_handler(os.environ)
    return handler
