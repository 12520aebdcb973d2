"""Intake: it decides on each mail that SES received, and queues a job for report if it accepts the mail."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Self, assert_never

from quarantine.asking.admission import (
    Accepted,
    Decision,
    Refusal,
    Refused,
    decide,
    evidence,
    screen,
    seen_before,
    too_much,
    too_soon,
)
from quarantine.asking.commands import Command, ReportCommand, first_command
from quarantine.asking.event import InboundMail, parse_event, with_raw_header
from quarantine.jobs import Job, ReportJob
from quarantine.mail.strict import MalformedHeader
from quarantine.outbox import Jobs
from quarantine.runtime import Journal, utc_now
from quarantine.settings import IntakeSettings
from quarantine.stores.items import Unreadable
from quarantine.stores.objects import InboundObjects
from quarantine.stores.requests import (
    Admitted,
    CoolingDown,
    Exhausted,
    Known,
    Limits,
    Requests,
    SeenBefore,
)
from quarantine.stores.senders import Senders

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

type Evidence = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides on a mail and changes nothing."""

    settings: IntakeSettings
    mails: InboundObjects
    senders: Senders

    @classmethod
    def on(
        cls,
        settings: IntakeSettings,
        dynamodb: "DynamoDBClient",
        connect_s3: "Callable[[], S3Client]",
        unreadable: Unreadable,
    ) -> Self:
        """Return a judge over these clients; the S3 client is made only if it is needed."""
        return cls(
            settings,
            InboundObjects(connect_s3, settings.mail_bucket),
            Senders(dynamodb, settings.senders_table, unreadable),
        )

    def judge(self, mail: InboundMail) -> tuple[InboundMail, Decision]:
        """Return the mail with its whole header section, and the decision on it."""
        command = first_command(mail.recipients, self.settings.trigger)
        if command is None:
            return mail, Refused(Refusal.NOT_A_TRIGGER, "no recipient is the trigger")
        try:
            mail = self._whole(mail)
        except MalformedHeader as e:
            return mail, Refused(Refusal.AMBIGUOUS_SENDER, str(e))
        return mail, self._decide(mail, command)

    def _whole(self, mail: InboundMail) -> InboundMail:
        if not mail.headers_truncated:
            return mail
        return with_raw_header(mail, self.mails.start_of(mail.message_id))

    def _decide(self, mail: InboundMail, command: Command) -> Decision:
        requester = screen(mail, self.settings.trigger, self.settings.report_sender)
        if isinstance(requester, Refused):
            return requester
        auth, relays = self.senders.facts_for(requester)
        return decide(mail, command, requester, auth, relays)


@dataclass(frozen=True, slots=True)
class Intake:
    """Decides on the mails that SES received, records each decision and queues the jobs."""

    settings: IntakeSettings
    judge: Judge
    requests: Requests
    jobs: Jobs
    journal: Journal
    clock: Callable[[], datetime]

    @classmethod
    def on(
        cls,
        settings: IntakeSettings,
        dynamodb: "DynamoDBClient",
        connect_s3: "Callable[[], S3Client]",
        sqs: "SQSClient",
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """Return an intake over these clients; the S3 client is made only if it is needed."""
        journal = Journal("intake", "Requests", settings.stack)
        return cls(
            settings,
            Judge.on(settings, dynamodb, connect_s3, journal.unreadable),
            Requests(dynamodb, settings.requests_table),
            Jobs(sqs, settings.jobs_queue_url),
            journal,
            clock,
        )

    def handle(self, event: object) -> str:
        """Handle one SES event; return the outcome as a word. Raises MalformedEvent."""
        mail, decision = self.judge.judge(parse_event(event))
        seen = evidence(mail)
        outcome = self._record(mail, decision, seen)
        match outcome:
            case Known(status):  # it was logged and counted with the decision
                self.journal.note("delivered again", message_id=mail.message_id, status=status)
                return status.value
            case Refused(reason, detail, requester):
                message, word = "refused", reason.value
                self.journal.count("RefusedRequests")
            case Accepted(requester=requester, accepted_by=detail):
                message = word = "accepted"
            case _:
                assert_never(outcome)
        self.journal.record(
            message,
            word,
            message_id=mail.message_id,
            requester=requester and str(requester),
            reason=word,
            detail=detail,
            evidence=seen,
        )
        return word

    def _record(self, mail: InboundMail, decision: Decision, seen: Evidence) -> Decision | Known:
        now = self.clock()
        match decision:
            case Refused(reason=Refusal.NOT_A_TRIGGER):  # anybody can send such mail: it is only logged
                return decision
            case Refused():
                known = self.requests.refuse(mail.message_id, decision, seen, mail.received_at, now)
                return known or decision
            case Accepted():
                return self._admit(mail, decision, seen, now)
            case _:
                assert_never(decision)

    def _admit(self, mail: InboundMail, request: Accepted, seen: Evidence, now: datetime) -> Decision | Known:
        limits = limits_of(request, self.settings)
        admission = self.requests.accept(request, seen, now, limits)
        match admission:
            case Admitted():
                self.jobs.put(_job(request), group=request.requester.domain)
                return request
            case Known():
                return admission
            case _:
                return self._record(mail, refusal_of(admission, request, limits), seen)


def refusal_of(admission: SeenBefore | CoolingDown | Exhausted, request: Accepted, limits: Limits) -> Refused:
    """Return the refusal of a request that only the requests table forbids."""
    match admission:
        case SeenBefore():
            return seen_before(request.requester)
        case CoolingDown():
            return too_soon(request.requester, limits.cooldown)
        case Exhausted(limited, limit):
            return too_much(request.requester, limited, limit)
        case _:
            assert_never(admission)


def limits_of(request: Accepted, settings: IntakeSettings) -> Limits:
    """Return what the mailbox and the domain of a request may ask for."""
    match request.command:
        case ReportCommand():
            return Limits(settings.cooldown, settings.mailbox_reports, settings.domain_requests)
        case _:
            assert_never(request.command)


def _job(request: Accepted) -> Job:
    match request.command:
        case ReportCommand():
            return ReportJob(request.request_id)
        case _:
            assert_never(request.command)
