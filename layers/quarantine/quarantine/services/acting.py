"""Acting: a job becomes a preview, a release or a deletion of one held message, and exactly one answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Self, assert_never

from botocore.exceptions import BotoCoreError, ClientError

from quarantine.acting.answers import Answer
from quarantine.acting.offers import Offer, offers_on
from quarantine.acting.rules import OLDEST, STEPS, Action, Ruling, State, Step
from quarantine.acting.ways import WayBack
from quarantine.asking.admission import Accepted, Refusal, denial, mailboxes_of
from quarantine.asking.commands import WishCommand
from quarantine.feedback.tags import MailKind
from quarantine.held import HeldStatus, HoldReason
from quarantine.jobs import ActionJob, BounceJob, MalformedJob, ReportJob, from_json
from quarantine.mail.addresses import Address
from quarantine.outbox import Agents, Mailer, SendRefused
from quarantine.previewing.preview import Preview, read_preview
from quarantine.previewing.structure import CannotBeShown
from quarantine.release.pointer import MalformedResult, Result
from quarantine.reporting.preview import render_preview
from quarantine.runtime import Journal, utc_now
from quarantine.services import claiming
from quarantine.services.answering import Answering
from quarantine.services.asked import Asked
from quarantine.services.asking import MOST_PREVIEWS, Asking
from quarantine.services.claiming import claimed
from quarantine.services.relaying import relay_of
from quarantine.services.releasing import Failed, NotReached, Released, Releasing, Taken, Waits
from quarantine.services.ruling import Rulings
from quarantine.services.wishing import Wishing
from quarantine.settings import ActSettings
from quarantine.stores.asks import Asks
from quarantine.stores.mailboxes import Mailboxes
from quarantine.stores.objects import HeldObjects
from quarantine.stores.requests import ActionOutcome, Claim, Claimed, Requests, RequestStatus, Waiting
from quarantine.stores.senders import Senders
from quarantine.stores.transitions import HeldRow, Transitions

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient

HOPELESS = (*claiming.HOPELESS, MalformedResult)
"""Errors of a job or result that fails each time; SQS moves it to the dead-letter queue."""

_NEEDS_AGENTS = "only a request on a stack with agents waits for one"
_COUNTED_AS_ASKS = frozenset({Answer.ASKED, Answer.APPROVED, Answer.REFUSED})
_MOST_CHANGES = 5  # of a row, between two looks at it


class Contended(RuntimeError):
    """Others changed a row again and again while an action looked at it; the job must be retried."""


@dataclass(frozen=True, slots=True)
class Clients:
    """What act calls. connect_sqs, connect_secrets: make clients that only some stacks need."""

    dynamodb: "DynamoDBClient"
    s3: "S3Client"
    sesv2: "SESV2Client"
    connect_sqs: "Callable[[], SQSClient]"
    connect_secrets: "Callable[[], SecretsManagerClient]"


@dataclass(frozen=True, slots=True)
class Acting:
    """Handles the jobs of accepted actions."""

    settings: ActSettings
    senders: Senders
    transitions: Transitions
    releasing: Releasing
    requests: Requests
    answering: Answering
    asking: Asking
    rulings: Rulings
    wishing: Wishing
    journal: Journal
    clock: Callable[[], datetime]

    @classmethod
    def on(cls, settings: ActSettings, clients: Clients, clock: Callable[[], datetime] = utc_now) -> Self:
        """Return the service over these clients."""
        journal = Journal("act", "Actions", settings.stack)
        transitions = Transitions(clients.dynamodb, settings.quarantine_table, journal.unreadable)
        requests = Requests(clients.dynamodb, settings.requests_table)
        mailer = Mailer(clients.sesv2, settings.configuration_set)
        senders = Senders(clients.dynamodb, settings.senders_table, journal.unreadable)
        asks = Asks(clients.dynamodb, settings.requests_table, journal.unreadable)
        releasing = Releasing(
            settings,
            transitions,
            HeldObjects(clients.s3, settings.mail_bucket),
            requests,
            mailer,
            relay_of(settings, clients.connect_secrets),
            _agents(settings, clients),
            clock,
        )
        answering = Answering(settings, mailer, clock)
        return cls(
            settings,
            senders,
            transitions,
            releasing,
            requests,
            answering,
            Asking(settings, senders, asks, releasing, answering, journal, clock),
            Rulings(senders, asks, transitions, requests, answering, journal, clock),
            Wishing(
                senders,
                Mailboxes(clients.dynamodb, settings.mailboxes_table, journal.unreadable),
                answering,
                clock,
            ),
            journal,
            clock,
        )

    def handle(self, body: str) -> None:
        """Handle one job. Raises the errors in HOPELESS, InHand, Contended, and temporary errors."""
        job = from_json(body)
        match job:
            case ActionJob(request_id):
                self._act(request_id)
            case ReportJob() | BounceJob():
                raise MalformedJob(f"the job of a {job.kind}, on the queue of actions")
            case _:
                assert_never(job)

    def _act(self, request_id: str) -> None:
        def claim() -> Claim:
            return self.requests.claim_action(request_id, self.clock(), self.settings.lease)

        match claimed(request_id, claim, self.requests, self.journal):
            case None:
                return
            case Waiting(until):
                self._look_again(request_id, until)
            case Claimed(Accepted(command=WishCommand() as command) as request):
                self._wish(request, command)
            case Claimed() as found:
                self._serve(Asked.of(found))

    def _wish(self, request: Accepted, command: WishCommand) -> None:
        try:
            outcome = self.wishing.serve(request, command)
        except Exception as e:  # after any error, the row must not stay `sending`
            self.requests.give_back(request.request_id, reason=type(e).__name__, counts=False)
            raise
        self.requests.settle_action(request.request_id, None, outcome, self.clock())
        word = outcome.answer or outcome.reason or ""
        self.journal.record(
            f"digest-{command.wish}: {word}",
            outcome.status.value,
            message_id=request.request_id,
            requester=str(request.requester),
            action=f"digest-{command.wish}",
            answer=word,
            ses_message_id=outcome.ses_message_id,
            reason=outcome.reason,
        )

    def _look_again(self, request_id: str, until: datetime) -> None:
        """Come back when no agent may deliver the message any more."""
        assert self.releasing.agents is not None, _NEEDS_AGENTS
        self.releasing.agents.look_again(request_id, until - self.clock() + timedelta(seconds=1))

    def handle_result(self, body: str) -> None:
        """Handle the result of an agent. Raises the errors in HOPELESS, InHand, and temporary errors."""
        result = Result.from_json(body)

        def claim() -> Claim:
            return self.requests.claim_result(result.request_id, self.clock(), self.settings.lease)

        match claimed(result.request_id, claim, self.requests, self.journal):
            case None | Waiting():
                return
            case Claimed() as found:
                assert self.releasing.agents is not None, _NEEDS_AGENTS
                self.releasing.agents.forget(result.receipt)
                asked = Asked.of(found)
                self._settle(asked, self._resulting(asked, result))

    def _resulting(self, asked: Asked, result: Result) -> ActionOutcome:
        row = self.transitions.row(asked.held, self.clock()) if asked.held else None
        if row is None:  # the operator or TTL removed it
            return ActionOutcome(RequestStatus.REFUSED, reason=Refusal.NOT_YOURS)
        if (done := self._done_before(asked, row)) is not None:
            return done
        return self._delivered(asked, self.releasing.finish(asked, row, result))

    def _serve(self, asked: Asked) -> None:
        try:
            outcome = self._outcome(asked)
        except Exception as e:  # after any error, the row must not stay `sending`
            for_the_moment = isinstance(e, (ClientError, BotoCoreError, Contended, NotReached))
            self.requests.give_back(asked.request_id, reason=type(e).__name__, counts=not for_the_moment)
            raise
        if isinstance(outcome, Waits):
            self.journal.note("waits for an agent", message_id=asked.request_id, until=str(outcome.until))
            self._look_again(asked.request_id, outcome.until)
        else:
            self._settle(asked, outcome)

    def _settle(self, asked: Asked, outcome: ActionOutcome) -> None:
        self.requests.settle_action(asked.request_id, asked.reference, outcome, self.clock())
        word = outcome.answer or outcome.reason or ""
        if outcome.answer in _COUNTED_AS_ASKS:
            self.journal.count("Asks", outcome.answer.value)
        self.journal.record(
            f"{asked.action}: {word}",
            outcome.status.value,
            message_id=asked.request_id,
            requester=asked.by,
            action=asked.action.value,
            answer=word,
            recipient=outcome.held and outcome.held.recipient,
            entry=outcome.held and outcome.held.entry,
            ses_message_id=outcome.ses_message_id,
            reason=outcome.reason,
        )

    # --- Decide ---

    def _outcome(self, asked: Asked) -> ActionOutcome | Waits:
        if isinstance(asked.action, Ruling):
            return self._rule(asked, asked.action)
        mailboxes = self._mailboxes(asked)
        if isinstance(mailboxes, Refusal):
            return ActionOutcome(RequestStatus.REFUSED, reason=mailboxes)
        now = self.clock()
        if now - asked.asked_at > OLDEST:
            return self._answer(asked, Answer.TOO_OLD)
        for mailbox in mailboxes:
            if (row := self.transitions.find(mailbox, asked.reference, now)) is not None:
                return self._do(asked, row)
        return ActionOutcome(RequestStatus.REFUSED, reason=Refusal.NOT_YOURS)

    def _mailboxes(self, asked: Asked) -> Sequence[Address] | Refusal:
        """Return whose messages they may act on now."""
        if asked.requester is None:
            return () if asked.mailbox is None else (asked.mailbox,)
        auth, _ = self.senders.facts_for(asked.requester)
        return mailboxes_of(asked.requester, auth) if denial(auth) is None else Refusal.DENIED

    def _rule(self, asked: Asked, ruling: Ruling) -> ActionOutcome | Waits:
        """Do what an administrator answers to an ask. The first answer counts."""
        found = self.rulings.find(asked)
        if isinstance(found, ActionOutcome):
            return found
        ask, row = found
        if (done := self._done_before(asked, row)) is not None:
            return done
        is_by_ses = self.settings.way is WayBack.ATTACHMENT
        if ruling is Ruling.APPROVE and is_by_ses and row.message.reason is HoldReason.VIRUS:
            return self._answer(asked, Answer.APPROVED_HARMFUL, row)
        if (instead := self.rulings.take(asked, ruling, ask, row)) is not None:
            return instead
        outcome = self._do(asked, row)
        if isinstance(outcome, ActionOutcome) and outcome.answer not in {Answer.APPROVED, Answer.REFUSED}:
            self.rulings.take_back(asked, row)
        return outcome

    def _refuse(self, asked: Asked, row: HeldRow) -> ActionOutcome:
        self.rulings.tell_asker(asked, Answer.DENIED, row)
        return self._answer(asked, Answer.REFUSED, row)

    def _do(self, asked: Asked, row: HeldRow) -> ActionOutcome | Waits:
        """Do what the rules say of the row, again if somebody else changes it meanwhile."""
        for _ in range(_MOST_CHANGES):
            if (done := self._done_before(asked, row)) is not None:
                return done
            if asked.is_limited and _permission(asked.action) not in self.settings.policy.actions:
                return self._answer(asked, Answer.SWITCHED_OFF, row)
            # What this request took itself, before its process died or the server was away, it takes again.
            is_own = row.is_taken_by(asked.request_id)
            state = State.HELD if is_own else row.state(self.clock())
            result = self._take(_step(state, asked.action), asked, row)
            if isinstance(result, ActionOutcome | Waits):
                return result
            if result is None:  # the operator or TTL removed it
                return ActionOutcome(RequestStatus.REFUSED, reason=Refusal.NOT_YOURS)
            row = result
        raise Contended(asked.request_id)

    def _take(
        self, step: Step | Literal[Ruling.REFUSE], asked: Asked, row: HeldRow
    ) -> ActionOutcome | Waits | HeldRow | None:
        """Take a step; return the outcome, or the row if somebody has changed it, or None if it is gone."""
        match step:
            case Step.SHOW:
                return self._show(asked, row, asked.requester)
            case Step.DELIVER:
                return self._deliver(asked, row)
            case Step.DELETE:
                return self._delete(asked, row)
            case Step.ASK:
                return self.asking.ask(asked, row)
            case Ruling.REFUSE:
                return self._refuse(asked, row)
            case Step.TELL_ON_ITS_WAY | Step.TELL_RELEASED | Step.TELL_DELETED | Step.TELL_EXPIRED:
                return self._answer(asked, Answer(step.value), row)
            case _:
                assert_never(step)

    def _done_before(self, asked: Asked, row: HeldRow) -> ActionOutcome | None:
        """Answer what this request itself did, before its process died; None if it has not done it."""
        request_id = asked.request_id
        if row.status is HeldStatus.RELEASED and row.released_for == request_id:
            return self._delivered(asked, Released(row, self._answer_of_way))
        if asked.waited and row.is_taken_by(request_id):
            return self._delivered(asked, self.releasing.give_up(asked, row))
        if row.status is HeldStatus.DELETED and row.deleted_for == request_id:
            return self._answer(asked, Answer.DELETED, row)
        if row.returned_for == request_id:
            return _came_back(row)
        return None

    # --- Apply ---

    def _show(self, asked: Asked, row: HeldRow, requester: Address | None) -> ActionOutcome:
        if requester is None:
            raise AssertionError("an operator orders no preview by mail")
        preview: Preview | CannotBeShown = CannotBeShown.UNREADABLE
        if asked.attempt <= MOST_PREVIEWS:
            original = self.releasing.original(row)
            if isinstance(original, Answer):
                return self._answer(asked, original, row)
            preview = read_preview(original)
        mail = render_preview(
            preview,
            row.message,
            self._offers(asked, row),
            request_id=asked.request_id,
            requester=requester,
            reply=asked.reply,
            sender=self.settings.report_sender,
            reply_to=self.settings.reply_to,
            now=self.clock(),
        )
        reason = preview.value if isinstance(preview, CannotBeShown) else None
        try:
            ses_message_id = self.answering.send(asked.request_id, MailKind.PREVIEW, mail, requester)
        except SendRefused as e:
            return ActionOutcome(RequestStatus.FAILED, Answer.SHOWN, row.key, reason=str(e))
        return ActionOutcome(RequestStatus.DONE, Answer.SHOWN, row.key, ses_message_id, reason)

    def _offers(self, asked: Asked, row: HeldRow) -> list[Offer]:
        """Return what a preview offers: what a report would, but the preview itself."""
        if row.status is not HeldStatus.HELD:
            return []
        domain = self.settings.reports_domain
        offers = offers_on(row.message, self.settings.policy, domain, asked.administered)
        return [offer for offer in offers if offer.action is not Action.PREVIEW]

    def _delete(self, asked: Asked, row: HeldRow) -> ActionOutcome | HeldRow | None:
        request_id = asked.request_id
        deleted = self.transitions.delete(row, asked.by, request_id, self.clock())
        if deleted is None or deleted.deleted_for != request_id or deleted.status is not HeldStatus.DELETED:
            return deleted
        return self._answer(asked, Answer.DELETED, deleted)

    def _deliver(self, asked: Asked, row: HeldRow) -> ActionOutcome | Waits | HeldRow | None:
        if asked.is_limited and row.message.reason not in self.settings.policy.reasons:
            return self._answer(asked, Answer.NOT_RELEASABLE, row)
        match delivery := self.releasing.deliver(asked, row):
            case Answer():
                return self._answer(asked, delivery, row)
            case Released() | Failed():
                return self._delivered(asked, delivery)
            case Waits():
                return delivery
            case Taken(now):
                return now
            case _:
                assert_never(delivery)

    @property
    def _answer_of_way(self) -> Answer:
        return Answer.RELEASED if self.settings.way is WayBack.ATTACHMENT else Answer.HANDED_OVER

    def _delivered(self, asked: Asked, delivery: Released | Failed) -> ActionOutcome:
        """Answer what came of a delivery. An attachment to the requester's own mailbox is its own answer."""
        match delivery:
            case Released(row) if row.returned_for == asked.request_id:  # before the row could say released
                return _came_back(row)
            case Released(row) if asked.action is Ruling.APPROVE:
                self.rulings.tell_asker(asked, Answer.GRANTED, row)
                return self._answer(asked, Answer.APPROVED, row)
            case Released(row, answer, ses_message_id):
                is_own = row.message.recipient == asked.requester
                if answer is Answer.RELEASED and is_own:
                    return ActionOutcome(RequestStatus.DONE, Answer.DELIVERED, row.key, ses_message_id)
                if asked.requester is None:
                    return ActionOutcome(RequestStatus.DONE, answer, row.key, ses_message_id)
                return self._answer(asked, answer, row)
            case Failed(row, answer, said):
                if asked.action is Ruling.APPROVE:
                    self.rulings.take_back(asked, row)
                return self._answer(asked, answer, row, failure=said)
            case _:
                assert_never(delivery)

    # --- Answer ---

    def _answer(
        self, asked: Asked, answer: Answer, row: HeldRow | None = None, failure: str | None = None
    ) -> ActionOutcome:
        return self.answering.answer(asked, answer, row, failure=failure)


def _permission(action: Action | Ruling) -> Action | Ruling:
    """Return the word of UserActions that lets a user do this."""
    return Action.RELEASE if action is Action.ASK else action


def _step(state: State, action: Action | Ruling) -> Step | Literal[Ruling.REFUSE]:
    """Return what an action does in a state. An administrator's answer is about a release."""
    if not isinstance(action, Ruling):
        return STEPS[state][action]
    step = STEPS[state][Action.RELEASE]
    return Ruling.REFUSE if action is Ruling.REFUSE and step is Step.DELIVER else step


def _agents(settings: ActSettings, clients: Clients) -> Agents | None:
    if settings.way is not WayBack.AGENT:
        return None
    return Agents(clients.connect_sqs(), settings.releases_queue_url, settings.actions_queue_url)


def _came_back(row: HeldRow) -> ActionOutcome:
    """Return the outcome of a release whose mail came back: feedback has told the requester."""
    return ActionOutcome(RequestStatus.FAILED, Answer.CAME_BACK, row.key, reason="its mail came back")
