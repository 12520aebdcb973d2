"""Intake: it decides on each mail that SES received, and queues a job for report if it accepts the mail."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Self, assert_never

from quarantine.asking.admission import (
    Accepted,
    Decision,
    Refusal,
    Refused,
    decide,
    evidence,
    not_theirs,
    request_id,
    screen,
    seen_before,
    too_many_commands,
    too_much,
    too_soon,
)
from quarantine.asking.commands import (
    MOST_COMMANDS,
    ActionCommand,
    Command,
    DigestCommand,
    ReportCommand,
    RulingCommand,
    WishCommand,
    read_commands,
)
from quarantine.asking.event import InboundMail, parse_event, with_raw_header
from quarantine.asking.options import read_options
from quarantine.asking.views import View
from quarantine.jobs import ActionJob, Job, ReportJob
from quarantine.mail.addresses import Address
from quarantine.mail.strict import MalformedHeader
from quarantine.outbox import Jobs
from quarantine.runtime import Journal, utc_now
from quarantine.services.bouncing import Bouncing, bounce_code_of
from quarantine.settings import IntakeSettings
from quarantine.stores.items import Unreadable
from quarantine.stores.mailboxes import Mailboxes
from quarantine.stores.objects import InboundObjects
from quarantine.stores.requests import (
    Admission,
    Admitted,
    Bounce,
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

    def judge(self, mail: InboundMail) -> tuple[InboundMail, tuple[Decision, ...]]:
        """Return the mail with its whole header section, and the decision on each of its commands.

        If none is accepted, there is one decision, on the mail.
        """
        commands = read_commands(mail.recipients, self.settings.trigger)
        if not commands and is_to(self.settings.report_sender, mail):
            return mail, (Refused(Refusal.NOT_A_TRIGGER, "it was written to the sender of the reports"),)
        if not commands:
            return mail, (Refused(Refusal.NOT_A_TRIGGER, "no recipient is an address that asks"),)
        try:
            mail = self._whole(mail)
        except MalformedHeader as e:
            return mail, (Refused(Refusal.AMBIGUOUS_SENDER, str(e)),)
        decisions = self._decide(mail, commands)
        accepted = any(isinstance(each, Accepted) for each in decisions)
        return mail, decisions if accepted else decisions[:1]

    def _whole(self, mail: InboundMail) -> InboundMail:
        if not mail.headers_truncated:
            return mail
        return with_raw_header(mail, self.mails.start_of(mail.message_id))

    def _decide(self, mail: InboundMail, commands: tuple[Command, ...]) -> tuple[Decision, ...]:
        requester = screen(mail, self.settings.trigger, self.settings.report_sender)
        if isinstance(requester, Refused):
            return (requester,)
        auth, relays = self.senders.facts_for(requester)
        networks = relays if len(commands) == 1 else tuple(relays)
        decisions = tuple(
            self._narrowed(mail, decide(mail, command, requester, auth, networks, number=number))
            for number, command in enumerate(commands[:MOST_COMMANDS], start=1)
        )
        if len(commands) > MOST_COMMANDS and any(isinstance(each, Accepted) for each in decisions):
            return (too_many_commands(requester, len(commands)),)
        return decisions

    def _narrowed(self, mail: InboundMail, decision: Decision) -> Decision:
        """Limit a report to what the Subject names: some messages, or a mailbox that they may see."""
        if not isinstance(decision, Accepted) or not isinstance(decision.command, ReportCommand):
            return decision
        options = read_options(mail)
        view = View(decision.command.view.older, options.find, options.days)
        command = replace(decision.command, view=view)
        mailbox, requester = options.of, decision.requester
        if mailbox is None:
            return replace(decision, command=command)
        is_own = mailbox in decision.mailboxes
        if not is_own and requester not in self.senders.administrators_of(mailbox.domain).may_answer:
            return not_theirs(requester, mailbox)
        command = replace(command, of=mailbox, as_administrator=not is_own)
        return replace(decision, command=command, mailboxes=(mailbox,))


@dataclass(frozen=True, slots=True)
class Intake:
    """Decides on the mails that SES received, records each decision and queues the jobs."""

    settings: IntakeSettings
    judge: Judge
    bouncing: Bouncing
    requests: Requests
    mailboxes: Mailboxes
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
        judge = Judge.on(settings, dynamodb, connect_s3, journal.unreadable)
        requests = Requests(dynamodb, settings.requests_table)
        urls = (settings.jobs_queue_url, settings.actions_queue_url, settings.feedback_queue_url)
        jobs = Jobs(sqs, *urls)
        return cls(
            settings,
            judge,
            Bouncing(judge.mails, requests, jobs),
            requests,
            Mailboxes(dynamodb, settings.mailboxes_table, journal.unreadable),
            jobs,
            journal,
            clock,
        )

    def handle(self, event: object) -> str:
        """Handle one SES event; return the outcomes as words. Raises MalformedEvent."""
        mail = parse_event(event)
        if (code := bounce_code_of(mail)) is not None:
            outcome = self.bouncing.take(mail, code, evidence(mail), self.clock())
            return self._tell(mail.message_id, outcome, evidence(mail))
        mail, decisions = self.judge.judge(mail)
        seen = evidence(mail)
        outcomes = self._record_all(mail, decisions, seen)
        words = [self._tell(request_id(mail, number), each, seen) for number, each in enumerate(outcomes, 1)]
        return ", ".join(dict.fromkeys(words))

    def _tell(self, request_id: str, outcome: Decision | Bounce | Known, seen: Evidence) -> str:
        requester: Address | None = None
        match outcome:
            case Known(status):  # it was logged and counted with the decision
                self.journal.note("delivered again", message_id=request_id, status=status)
                return status.value
            case Refused(reason, detail, requester):
                message, word = "refused", reason.value
                self.journal.count("RefusedRequests")
            case Accepted(requester=requester, accepted_by=detail):
                message = word = "accepted"
            case Bounce(detail=detail):
                message = word = "bounce"
            case _:
                assert_never(outcome)
        self.journal.record(
            message,
            word,
            message_id=request_id,
            requester=requester and str(requester),
            reason=word,
            detail=detail,
            evidence=seen,
        )
        return word

    def _record_all(
        self, mail: InboundMail, decisions: tuple[Decision, ...], seen: Evidence
    ) -> list[Decision | Known]:
        """Record each decision and queue the jobs; return what became of each."""
        now = self.clock()
        accepted = [each for each in decisions if isinstance(each, Accepted)]
        limits = limits_of(self.settings)
        admissions = dict(zip(accepted, self.requests.accept(accepted, seen, now, limits), strict=True))
        if any(isinstance(each, Admitted) for each in admissions.values()):
            self.mailboxes.prove(accepted[0].requester, mail.received_at)
        outcomes: list[Decision | Known] = []
        for number, decision in enumerate(decisions, start=1):
            outcome = (
                self._admit(decision, admissions[decision]) if isinstance(decision, Accepted) else decision
            )
            if isinstance(outcome, Refused):
                outcome = self._refuse(mail, number, outcome, seen, now)
            outcomes.append(outcome)
        return outcomes

    def _admit(self, request: Accepted, admission: Admission) -> Decision | Known:
        match admission:
            case Admitted():
                self.jobs.put(_job(request), group=request.requester.domain)
                return request
            case Known():
                return admission
            case _:
                return refusal_of(admission, request, limits_of(self.settings))

    def _refuse(
        self, mail: InboundMail, number: int, refused: Refused, seen: Evidence, now: datetime
    ) -> Refused | Known:
        # Anybody can send such mail, so it is only logged; but for replies and bounces to a mail from us.
        if refused.reason is Refusal.NOT_A_TRIGGER and not is_to(self.settings.report_sender, mail):
            return refused
        known = self.requests.refuse(request_id(mail, number), refused, seen, mail.received_at, now)
        return known or refused


def is_to(address: Address, mail: InboundMail) -> bool:
    """Return whether an address is among the envelope recipients of a mail."""
    return any(recipient.lower() == str(address) for recipient in mail.recipients)


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


def limits_of(settings: IntakeSettings) -> Limits:
    """Return what a mailbox and a domain may ask for."""
    return Limits(
        settings.cooldown, settings.mailbox_reports, settings.domain_requests, settings.mailbox_actions
    )


def _job(request: Accepted) -> Job:
    match request.command:
        case ReportCommand():
            return ReportJob(request.request_id)
        case ActionCommand() | RulingCommand() | WishCommand():
            return ActionJob(request.request_id)
        case DigestCommand():
            raise AssertionError("no mail asks for a digest")
        case _:
            assert_never(request.command)
