"""Reporting: a job becomes a mail that lists the held mail, or no mail if nothing is held."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Self, assert_never

from quarantine.acting.offers import Offer, Offering, offers_on
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import DigestCommand, ReportCommand
from quarantine.digests.news import moved
from quarantine.feedback.tags import MailKind
from quarantine.held import HeldMessage
from quarantine.jobs import ActionJob, BounceJob, MalformedJob, ReportJob, from_json
from quarantine.outbox import Mailer, SendRefused
from quarantine.reporting.message import render
from quarantine.reporting.summary import QuarantineReport
from quarantine.runtime import Journal, utc_now
from quarantine.services.claiming import claimed
from quarantine.services.gathering import gather, is_anything_held
from quarantine.settings import ReportSettings, WhenEmpty
from quarantine.stores.mailboxes import ChangedMeanwhile, Mailboxes, MailboxRow, Telling, UnreadableRow
from quarantine.stores.quarantine import Quarantine
from quarantine.stores.requests import Claim, Claimed, Outcome, Requests, RequestStatus, Waiting

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sesv2 import SESV2Client


_MOST_DIGESTS = 3  # how often one is sent, if nothing can be recorded after it


@dataclass(frozen=True, slots=True)
class Reporting:
    """Handles the jobs of accepted requests."""

    settings: ReportSettings
    quarantine: Quarantine
    requests: Requests
    mailboxes: Mailboxes
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
            Mailboxes(dynamodb, settings.mailboxes_table, journal.unreadable),
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
            case Claimed(Accepted() as request, attempt):
                self._serve(request, attempt)
            case Claimed() | Waiting():
                raise AssertionError("claim_report claims reports only, which wait for no agent")

    def _serve(self, request: Accepted, attempt: int) -> None:
        try:
            outcome = self._answer(request, attempt)
        except Exception as e:  # after any error, the row must not stay `sending`
            self.requests.give_back(request.request_id, reason=type(e).__name__)
            raise
        self.requests.settle(request.request_id, outcome, self.clock())
        if isinstance(request.command, DigestCommand):
            self.journal.count("Digests", outcome.status.value)
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

    def _answer(self, request: Accepted, attempt: int) -> Outcome:
        """Send the report, and record what it tells its reader. A partial one counts as telling nothing."""
        row = self._row(request)
        if row is not None and row.told_by == request.request_id:  # before its process died
            return Outcome(RequestStatus.SENT, row.told_messages, row.told_mail)
        looked_at = self.clock()
        report = self._gather(request, row, looked_at)
        if not report.total and not self._says_nothing(request, report):
            if isinstance(request.command, DigestCommand):
                self._tell(row, report, looked_at, None)
            return Outcome(RequestStatus.EMPTY, 0)
        sender = self.settings.report_sender
        message = render(report, sender=sender, reply_to=self.settings.reply_to, now=self.clock())
        try:
            ses_message_id = self.mailer.send(
                message,
                sender=sender,
                to=request.requester,
                request_id=request.request_id,
                kind=MailKind.DIGEST if report.is_digest else MailKind.REPORT,
            )
        except SendRefused as e:
            if isinstance(request.command, DigestCommand):
                self.mailboxes.end_telling(request.requester, request.request_id)
            return Outcome(RequestStatus.FAILED, report.total, reason=str(e))
        try:
            self._tell(row, report, looked_at, ses_message_id)
        except Exception as e:
            # The mail is sent. A digest that is sent again is better than one whose messages come twice, but
            # not again and again.
            if report.is_digest and attempt < _MOST_DIGESTS:
                raise
            self.journal.reject("what the reader was told is not recorded", e, message_id=request.request_id)
        status = RequestStatus.SENT if report.total else RequestStatus.EMPTY
        return Outcome(status, report.total, ses_message_id)

    def _row(self, request: Accepted) -> MailboxRow | None:
        """Return the row of the reader of a report that tells all; None for any other report.

        Raises TellingMeanwhile, and for a digest UnreadableRow.
        """
        match request.command:
            case DigestCommand():
                lease = self.settings.lease
                return self.mailboxes.begin_telling(
                    request.requester, request.request_id, self.clock(), lease
                )
            case ReportCommand(view=view, as_administrator=False) if view.is_whole:
                try:
                    return self.mailboxes.row(request.requester)
                except UnreadableRow:  # they asked, and get their report
                    return None
            case _:
                return None

    def _gather(self, request: Accepted, row: MailboxRow | None, now: datetime) -> QuarantineReport:
        offering: Offering = partial(
            offers_on,
            policy=self.settings.policy,
            domain=self.settings.reports_domain,
            administered=request.administered,
        )
        if isinstance(request.command, ReportCommand) and request.command.as_administrator:
            offering = _nothing
        return gather(
            request,
            self.quarantine,
            self.settings.max_rows,
            offering,
            now,
            told=None if row is None else row.told,
            order=self.settings.order,
        )

    def _says_nothing(self, request: Accepted, report: QuarantineReport) -> bool:
        """Return whether a report without messages is sent, to say that there are none."""
        if report.is_digest:
            return False
        if self.settings.when_empty is WhenEmpty.REPLY or report.was_stopped:
            return True
        # What they chose is not there, but something else is: silence would look as if nothing were held.
        return not report.view.is_whole and is_anything_held(request.mailboxes, self.quarantine, self.clock())

    def _tell(
        self, row: MailboxRow | None, report: QuarantineReport, looked_at: datetime, mail: str | None
    ) -> None:
        """Record how far the reader was told. mail: SES's id of the mail; None if none was sent."""
        if row is None:
            return
        request = report.request
        told = {
            mailbox: moved(
                row.told.get(mailbox),
                [each for each in report.listed if each.recipient == mailbox],
                looked_at,
            )
            for mailbox in request.mailboxes
        }
        telling = Telling(request.request_id, told, report.total, mail)
        is_own = request.mailboxes == (request.requester,)
        try:
            self.mailboxes.tell(row, telling, stays_due=not is_own)
        except ChangedMeanwhile:  # by another report to the same reader
            self.mailboxes.tell_too(request.requester, telling)


def _nothing(_: HeldMessage) -> tuple[Offer, ...]:
    """Offer nothing: an administrator looks at a mailbox of somebody else."""
    return ()
