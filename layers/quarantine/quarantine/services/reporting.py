"""Reporting: a job becomes a mail that lists the held mail, or no mail if nothing is held."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Self, assert_never

from quarantine.acting.offers import Offer, Offering, offers_on
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ReportCommand
from quarantine.feedback.tags import MailKind
from quarantine.held import HeldMessage
from quarantine.jobs import ActionJob, BounceJob, MalformedJob, ReportJob, from_json
from quarantine.outbox import Mailer, SendRefused
from quarantine.reporting.message import render
from quarantine.reporting.summary import QuarantineReport, summarise
from quarantine.runtime import Journal, utc_now
from quarantine.services.claiming import claimed
from quarantine.settings import ReportSettings, WhenEmpty
from quarantine.stores.quarantine import Quarantine
from quarantine.stores.requests import Claim, Claimed, Outcome, Requests, RequestStatus, Waiting

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sesv2 import SESV2Client


def gather(
    request: Accepted, quarantine: Quarantine, max_rows: int, offering: Offering, now: datetime
) -> QuarantineReport:
    """Read and summarise the held mail of a request's mailboxes."""
    listings = [quarantine.held_for(mailbox, now, max_rows) for mailbox in request.mailboxes]
    return summarise(request, listings, max_rows, offering)


@dataclass(frozen=True, slots=True)
class Reporting:
    """Handles the jobs of accepted requests."""

    settings: ReportSettings
    quarantine: Quarantine
    requests: Requests
    mailer: Mailer
    journal: Journal
    clock: Callable[[], datetime]

    @classmethod
    def on(
        cls,
        settings: ReportSettings,
        dynamodb: "DynamoDBClient",
        sesv2: "SESV2Client",
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """Return the service over these clients."""
        journal = Journal("report", "Reports", settings.stack)
        return cls(
            settings,
            Quarantine(dynamodb, settings.quarantine_table, journal.unreadable, settings.longest_retention),
            Requests(dynamodb, settings.requests_table, settings.trigger),
            Mailer(sesv2, settings.configuration_set),
            journal,
            clock,
        )

    def handle(self, body: str) -> None:
        """Handle one job. Raises the errors in HOPELESS, InHand, and temporary errors."""
        job = from_json(body)
        match job:
            case ReportJob(request_id):
                self._report(request_id)
            case ActionJob() | BounceJob():
                raise MalformedJob(f"the job of a {job.kind}, on the queue of reports")
            case _:
                assert_never(job)

    def _report(self, request_id: str) -> None:
        def claim() -> Claim:
            return self.requests.claim_report(request_id, self.clock(), self.settings.lease)

        match claimed(request_id, claim, self.requests, self.journal):
            case None:
                return
            case Claimed(Accepted() as request):
                self._serve(request)
            case Claimed() | Waiting():
                raise AssertionError("claim_report claims reports only, which wait for no agent")

    def _serve(self, request: Accepted) -> None:
        try:
            outcome = self._answer(request)
        except Exception as e:  # after any error, the row must not stay `sending`
            self.requests.give_back(request.request_id, reason=type(e).__name__)
            raise
        self.requests.settle(request.request_id, outcome, self.clock())
        self.journal.record(
            outcome.status.value,
            outcome.status.value,
            message_id=request.request_id,
            requester=str(request.requester),
            accepted_by=request.accepted_by,
            messages=outcome.messages,
            ses_message_id=outcome.ses_message_id,
            reason=outcome.reason,
        )

    def _answer(self, request: Accepted) -> Outcome:
        offering: Offering = partial(
            offers_on,
            policy=self.settings.policy,
            domain=self.settings.reports_domain,
            administered=request.administered,
        )
        if isinstance(request.command, ReportCommand) and request.command.as_administrator:
            offering = _nothing
        report = gather(request, self.quarantine, self.settings.max_rows, offering, self.clock())
        if not report.total and self.settings.when_empty is WhenEmpty.SILENT:
            return Outcome(RequestStatus.EMPTY, 0)
        sender = self.settings.report_sender
        message = render(report, sender=sender, reply_to=self.settings.reply_to, now=self.clock())
        try:
            ses_message_id = self.mailer.send(
                message,
                sender=sender,
                to=request.requester,
                request_id=request.request_id,
                kind=MailKind.REPORT,
            )
        except SendRefused as e:
            return Outcome(RequestStatus.FAILED, report.total, reason=str(e))
        status = RequestStatus.SENT if report.total else RequestStatus.EMPTY
        return Outcome(status, report.total, ses_message_id)


def _nothing(_: HeldMessage) -> tuple[Offer, ...]:
    """Offer nothing: an administrator looks at a mailbox of somebody else."""
    return ()
