"""Acting: a job becomes a preview, a release or a deletion of one held message, and exactly one answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from typing import TYPE_CHECKING, Self, assert_never

from botocore.exceptions import BotoCoreError, ClientError

from quarantine.acting.answers import Answer
from quarantine.acting.offers import Offer, offers_on
from quarantine.acting.rules import OLDEST, STEPS, Action, Step
from quarantine.asking.admission import Refusal, denial, mailboxes_of
from quarantine.feedback.tags import MailKind
from quarantine.held import HeldStatus
from quarantine.jobs import ActionJob, MalformedJob, ReportJob, from_json
from quarantine.mail.addresses import Address
from quarantine.outbox import Mailer, SendRefused
from quarantine.previewing.preview import Preview, read_preview
from quarantine.previewing.structure import CannotBeShown
from quarantine.release import attachment
from quarantine.release.deliverable import ReleaseTrace, deliverable
from quarantine.reporting.answering import Deed, render_answer
from quarantine.reporting.preview import render_preview
from quarantine.runtime import Journal, utc_now
from quarantine.services.asked import Asked
from quarantine.services.claiming import claimed
from quarantine.settings import ActSettings
from quarantine.stores.objects import Changed, Gone, HeldObjects
from quarantine.stores.requests import ActionOutcome, Claim, HeldKey, Requests, RequestStatus
from quarantine.stores.senders import Senders
from quarantine.stores.transitions import HeldRow, Transitions

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sesv2 import SESV2Client

_MOST_PREVIEWS = 2  # attempts that may fail before a preview is answered "cannot be shown"
_MOST_CHANGES = 5  # of a row, between two looks at it


class Contended(RuntimeError):
    """Others changed a row again and again while an action looked at it; the job must be retried."""


@dataclass(frozen=True, slots=True)
class Acting:
    """Handles the jobs of accepted actions."""

    settings: ActSettings
    senders: Senders
    transitions: Transitions
    mails: HeldObjects
    requests: Requests
    mailer: Mailer
    journal: Journal
    clock: Callable[[], datetime]

    @classmethod
    def on(
        cls,
        settings: ActSettings,
        dynamodb: "DynamoDBClient",
        s3: "S3Client",
        sesv2: "SESV2Client",
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """Return the service over these clients."""
        journal = Journal("act", "Actions", settings.stack)
        return cls(
            settings,
            Senders(dynamodb, settings.senders_table, journal.unreadable),
            Transitions(dynamodb, settings.quarantine_table, journal.unreadable),
            HeldObjects(s3, settings.mail_bucket),
            Requests(dynamodb, settings.requests_table),
            Mailer(sesv2, settings.configuration_set),
            journal,
            clock,
        )

    def handle(self, body: str) -> None:
        """Handle one job. Raises the errors in HOPELESS, InHand, Contended, and temporary errors."""
        job = from_json(body)
        match job:
            case ActionJob(request_id):
                self._act(request_id)
            case ReportJob():
                raise MalformedJob("a report's job, on the queue of actions")
            case _:
                assert_never(job)

    def _act(self, request_id: str) -> None:
        def claim() -> Claim:
            return self.requests.claim_action(request_id, self.clock(), self.settings.lease)

        if (found := claimed(request_id, claim, self.requests, self.journal)) is not None:
            self._serve(Asked.of(found))

    def _serve(self, asked: Asked) -> None:
        try:
            outcome = self._outcome(asked)
        except Exception as e:  # after any error, the row must not stay `sending`
            for_the_moment = isinstance(e, (ClientError, BotoCoreError, Contended))
            self.requests.give_back(asked.request_id, reason=type(e).__name__, counts=not for_the_moment)
            raise
        self.requests.settle_action(asked.request_id, asked.reference, outcome, self.clock())
        word = outcome.answer or outcome.reason or ""
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

    def _outcome(self, asked: Asked) -> ActionOutcome:
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

    def _do(self, asked: Asked, row: HeldRow) -> ActionOutcome:
        """Do what the rules say of the row, again if somebody else changes it meanwhile."""
        if asked.requester is not None and asked.action not in self.settings.policy.actions:
            return self._answer(asked, Answer.SWITCHED_OFF, row)
        for _ in range(_MOST_CHANGES):
            if (done := self._done_before(asked, row)) is not None:
                return done
            result = self._take(STEPS[row.state(self.clock())][asked.action], asked, row)
            if isinstance(result, ActionOutcome):
                return result
            if result is None:  # the operator or TTL removed it
                return ActionOutcome(RequestStatus.REFUSED, reason=Refusal.NOT_YOURS)
            row = result
        raise Contended(asked.request_id)

    def _take(self, step: Step, asked: Asked, row: HeldRow) -> ActionOutcome | HeldRow | None:
        """Take a step; return the outcome, or the row if somebody has changed it, or None if it is gone."""
        match step:
            case Step.SHOW:
                return self._show(asked, row, asked.requester)
            case Step.DELIVER:
                return self._deliver(asked, row)
            case Step.DELETE:
                return self._delete(asked, row)
            case Step.TELL_ON_ITS_WAY | Step.TELL_RELEASED | Step.TELL_DELETED | Step.TELL_EXPIRED:
                return self._answer(asked, Answer(step.value), row)
            case _:
                assert_never(step)

    def _done_before(self, asked: Asked, row: HeldRow) -> ActionOutcome | None:
        """Answer what this request itself did, before its process died; None if it has not done it."""
        request_id = asked.request_id
        if row.status is HeldStatus.RELEASED and row.released_for == request_id:
            return self._released(asked, row)
        if row.status is HeldStatus.DELETED and row.deleted_for == request_id:
            return self._answer(asked, Answer.DELETED, row)
        if row.returned_for == request_id:  # feedback told the requester; it must not be sent once more
            return ActionOutcome(
                RequestStatus.FAILED, Answer.CAME_BACK, _key(row), reason="its mail came back"
            )
        return None

    # --- Apply ---

    def _show(self, asked: Asked, row: HeldRow, requester: Address | None) -> ActionOutcome:
        if requester is None:
            raise AssertionError("an operator orders no preview by mail")
        preview: Preview | CannotBeShown = CannotBeShown.UNREADABLE
        if asked.attempt <= _MOST_PREVIEWS:
            original = self._original(row)
            if isinstance(original, Answer):
                return self._answer(asked, original, row)
            preview = read_preview(original)
        mail = render_preview(
            preview,
            row.message,
            self._offers(row),
            request_id=asked.request_id,
            requester=requester,
            reply=asked.reply,
            sender=self.settings.report_sender,
            reply_to=self.settings.reply_to,
            now=self.clock(),
        )
        reason = preview.value if isinstance(preview, CannotBeShown) else None
        try:
            ses_message_id = self._send(asked, MailKind.PREVIEW, mail, requester)
        except SendRefused as e:
            return ActionOutcome(RequestStatus.FAILED, Answer.SHOWN, _key(row), reason=str(e))
        return ActionOutcome(RequestStatus.DONE, Answer.SHOWN, _key(row), ses_message_id, reason)

    def _offers(self, row: HeldRow) -> list[Offer]:
        """Return what a preview offers: what a report would, but the preview itself."""
        if row.status is not HeldStatus.HELD:
            return []
        offers = offers_on(row.message, self.settings.policy, self.settings.reports_domain)
        return [offer for offer in offers if offer.action is not Action.PREVIEW]

    def _delete(self, asked: Asked, row: HeldRow) -> ActionOutcome | HeldRow | None:
        request_id = asked.request_id
        deleted = self.transitions.delete(row, asked.by, request_id, self.clock())
        if deleted is None or deleted.deleted_for != request_id or deleted.status is not HeldStatus.DELETED:
            return deleted
        return self._answer(asked, Answer.DELETED, deleted)

    def _deliver(self, asked: Asked, row: HeldRow) -> ActionOutcome | HeldRow | None:
        if asked.requester is not None and row.message.reason not in self.settings.policy.reasons:
            return self._answer(asked, Answer.NOT_RELEASABLE, row)
        original = self._original(row)
        if isinstance(original, Answer):
            return self._answer(asked, original, row)
        if not attachment.fits(len(original)):
            return self._answer(asked, Answer.TOO_LARGE, row)
        request_id, now = asked.request_id, self.clock()
        taken = self.transitions.begin_release(row, asked.by, request_id, now, self.settings.lease)
        if taken is None or taken.released_for != request_id or taken.status is not HeldStatus.RELEASING:
            return taken
        return self._hand_over(asked, taken, original)

    def _hand_over(self, asked: Asked, row: HeldRow, original: bytes) -> ActionOutcome:
        request_id, now = asked.request_id, self.clock()
        self.requests.note_held(request_id, _key(row))
        mail = attachment.render(
            deliverable(original, self.settings.families, ReleaseTrace(request_id, now)),
            row.message,
            request_id=request_id,
            requester=asked.requester,
            asked_at=asked.asked_at,
            reply=asked.reply,
            sender=self.settings.report_sender,
            reply_to=self.settings.reply_to,
            now=now,
        )
        try:
            ses_message_id = self._send(asked, MailKind.RELEASE, mail, row.message.recipient)
        except SendRefused as e:
            self.transitions.undo_release(row, request_id, self.clock())
            return self._answer(asked, Answer.NOT_SENT, row, failure=str(e))
        released = self.transitions.finish_release(row, request_id, self.clock())
        return self._released(asked, released or row, ses_message_id)

    def _released(self, asked: Asked, row: HeldRow, ses_message_id: str | None = None) -> ActionOutcome:
        if row.message.recipient == asked.requester:  # the released mail is the answer
            return ActionOutcome(RequestStatus.DONE, Answer.DELIVERED, _key(row), ses_message_id)
        if asked.requester is None:
            return ActionOutcome(RequestStatus.DONE, Answer.RELEASED, _key(row), ses_message_id)
        return self._answer(asked, Answer.RELEASED, row)

    def _original(self, row: HeldRow) -> bytes | Answer:
        """Return the stored mail that was judged, or why there is none."""
        if row.raw_key is None:
            return Answer.NOT_STORED
        try:
            return self.mails.whole(row.raw_key, row.etag)
        except Gone:
            return Answer.NOT_STORED
        except Changed:
            return Answer.CHANGED

    # --- Answer ---

    def _answer(
        self, asked: Asked, answer: Answer, row: HeldRow | None = None, failure: str | None = None
    ) -> ActionOutcome:
        """Send the answer to the requester, but to no operator. failure: SES's error at a release."""
        held = None if row is None else _key(row)
        status = RequestStatus.DONE if failure is None else RequestStatus.FAILED
        if asked.requester is None:
            return ActionOutcome(status, answer, held, reason=failure)
        mail = render_answer(
            answer,
            None if row is None else row.message,
            _deed(row),
            request_id=asked.request_id,
            requester=asked.requester,
            asked_at=asked.asked_at,
            reply=asked.reply,
            sender=self.settings.report_sender,
            reply_to=self.settings.reply_to,
            now=self.clock(),
        )
        try:
            ses_message_id = self._send(asked, MailKind.ANSWER, mail, asked.requester)
        except SendRefused as e:
            return ActionOutcome(RequestStatus.FAILED, answer, held, reason=failure or str(e))
        return ActionOutcome(status, answer, held, ses_message_id, failure)

    def _send(self, asked: Asked, kind: MailKind, mail: EmailMessage, to: Address) -> str:
        return self.mailer.send(
            mail,
            sender=self.settings.report_sender,
            to=to,
            request_id=asked.request_id,
            kind=kind,
        )


def _key(row: HeldRow) -> HeldKey:
    return HeldKey(str(row.message.recipient), row.entry)


def _deed(row: HeldRow | None) -> Deed | None:
    """Return who released or deleted a message; None while it is held."""
    if row is None or row.status is HeldStatus.HELD or row.acted_by is None or row.acted_at is None:
        return None
    return Deed(row.acted_by, row.acted_at)
