"""Feedback: what SES reports about a mail is kept with its request, and a failed release is undone."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, Self, assert_never

from quarantine.feedback.event import MalformedSendingEvent, Sending, SendingEvent, parse_sending_event
from quarantine.feedback.fate import Fate, report_of
from quarantine.feedback.tags import MailKind
from quarantine.held import HeldKey
from quarantine.jobs import BounceJob, MalformedJob, from_json
from quarantine.mail.addresses import Address
from quarantine.outbox import SendRefused
from quarantine.runtime import Journal, utc_now
from quarantine.settings import FeedbackSettings
from quarantine.stores.mailboxes import Mailboxes
from quarantine.stores.quarantine import ReleasedRows, Returned
from quarantine.stores.requests import Bounce, Concerned, Requests, Telling, UnknownRequest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

HOPELESS = (MalformedSendingEvent, UnknownRequest)
"""Errors of a message that fails each time; SQS moves the message to the dead-letter queue."""


class BeingTold(RuntimeError):
    """Another process tells the requester; the event must be retried, in case that process dies."""


@dataclass(frozen=True, slots=True)
class FailedRelease:
    """A release that did not arrive; its message is held again.

    requester: who asked for it, and can be reached. held: the message.
    detail: in the words of SES and of a mail server; hostile. is_bounce: in a delivery report, not by SES.
    """

    request_id: str
    requester: Address
    held: HeldKey
    fate: Fate
    detail: str
    is_bounce: bool = False


class Tell(Protocol):
    """Tells a requester, by one short mail of the kind NOTICE, that a release failed.

    It raises SendRefused if SES will never accept the mail; any other error is temporary.
    """

    def __call__(self, failed: FailedRelease) -> None: ...


@dataclass(frozen=True, slots=True)
class Feedback:
    """Handles SES's events about the mails that we sent. tell: None while there is nobody to do it."""

    settings: FeedbackSettings
    requests: Requests
    released: ReleasedRows
    mailboxes: Mailboxes
    tell: Tell | None
    journal: Journal
    clock: Callable[[], datetime]

    @classmethod
    def on(
        cls,
        settings: FeedbackSettings,
        dynamodb: "DynamoDBClient",
        tell: Tell | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """Return the service over these clients."""
        journal = Journal("feedback", "SentMails", settings.stack)
        return cls(
            settings,
            Requests(dynamodb, settings.requests_table),
            ReleasedRows(dynamodb, settings.quarantine_table),
            Mailboxes(dynamodb, settings.mailboxes_table, journal.unreadable),
            tell,
            journal,
            clock,
        )

    def handle(self, body: str) -> None:
        """Handle one message of the queue. Raises the errors in HOPELESS, BeingTold, and temporary errors."""
        match _bounce_job(body):
            case None:
                self._note_event(parse_sending_event(body, self.settings.configuration_set))
            case BounceJob(request_id):
                self._note_event(_event_of(self.requests.bounce(request_id)))
                self.requests.settle_bounce(request_id, self.clock())

    def _note_event(self, event: SendingEvent) -> None:
        concerned = self.requests.note_fate(event, self.clock())
        if concerned is None:  # it expired, or an operator removed it
            self._record(event, "unknown request")
            return
        if concerned.is_new:
            self._record(event, report_of(event).fate.value)
        else:
            self._note(event, "nothing new")
        match event.mail_kind:
            case MailKind.RELEASE:
                self._follow(event, concerned)
            case MailKind.DIGEST | MailKind.REPORT if concerned.requester is not None and _is_unwelcome(
                event
            ):
                self.mailboxes.bounced(concerned.requester, event.at)
            case _:
                pass

    def _follow(self, event: SendingEvent, concerned: Concerned) -> None:
        """Let the released message follow the mail that released it."""
        if concerned.held is None:
            self._note(event, "the request names no held message")
        elif event.kind is Sending.DELIVERY:
            if not self.released.confirm(concerned.held, event.request_id, event.at):
                self._note(event, "released by another request, or not any more")
        elif event.is_permanent:
            self._give_back(event, concerned.held, concerned.requester)

    def _give_back(self, event: SendingEvent, held: HeldKey, requester: Address | None) -> None:
        returned = self.released.give_back(held, event.request_id, self.clock())
        match returned:
            case Returned.NOT:
                self._note(event, "released by another request, or not any more")
            case Returned.NOW | Returned.BEFORE:
                if requester is not None and self.tell is not None and _can_be_told(event, held, requester):
                    failed = FailedRelease(
                        request_id=event.request_id,
                        requester=requester,
                        held=held,
                        fate=report_of(event).fate,
                        detail=event.detail,
                        is_bounce=not event.is_by_ses,
                    )
                    self._tell(event, failed, self.tell)
                elif returned is Returned.NOW:
                    self._leave_untold(event)
            case _:
                assert_never(returned)

    def _tell(self, event: SendingEvent, failed: FailedRelease, tell: Tell) -> None:
        telling = self.requests.begin_telling(event.request_id, self.clock(), self.settings.lease)
        match telling:
            case Telling.DONE:
                self._note(event, "told before")
            case Telling.BUSY:
                raise BeingTold(event.request_id)
            case Telling.BEGUN:
                told_at = None
                try:
                    tell(failed)
                    told_at = self.clock()
                except SendRefused:
                    self._leave_untold(event)
                finally:  # after any other error, the next delivery of the event may tell them
                    self.requests.end_telling(event.request_id, told_at)
            case _:
                assert_never(telling)

    def _leave_untold(self, event: SendingEvent) -> None:
        self.journal.count("UntoldReturns")
        self._note(event, "held again, and nobody was told")

    def _record(self, event: SendingEvent, outcome: str) -> None:
        self.journal.record(outcome, outcome.replace(" ", "_"), **_described(event))

    def _note(self, event: SendingEvent, what: str) -> None:
        self.journal.note(what, **_described(event))


def _bounce_job(body: str) -> BounceJob | None:
    """Return the job of a delivery report; None for what must be an event of SES."""
    try:
        job = from_json(body)
    except MalformedJob:
        return None
    return job if isinstance(job, BounceJob) else None


def _event_of(bounce: Bounce) -> SendingEvent:
    """Return what a delivery report says, as SES would report a bounce."""
    return SendingEvent(
        kind=Sending.BOUNCE,
        request_id=bounce.of_request,
        mail_kind=MailKind.RELEASE,
        ses_message_id="",
        at=bounce.received_at,
        is_permanent=True,
        detail=bounce.detail,
    )


def _is_unwelcome(event: SendingEvent) -> bool:
    """Return whether no mail like this one should be sent to its reader, unless they ask again."""
    return event.kind is Sending.COMPLAINT or (event.kind is Sending.BOUNCE and event.is_permanent)


def _can_be_told(event: SendingEvent, held: HeldKey, requester: Address) -> bool:
    """Return whether a mail may reach the requester; not where their own mailbox has just returned one.

    A delivery report is about a stranger's mail, which went another way: ours may arrive.
    """
    if not event.is_by_ses or event.kind is Sending.REJECT:
        return True
    return requester.without_suffix() != Address.parse(held.recipient).without_suffix()


def _described(event: SendingEvent) -> dict[str, str | bool]:
    return {
        "message_id": event.request_id,
        "mail": event.mail_kind.value,
        "event": event.kind.value,
        "permanent": event.is_permanent,
        "ses_message_id": event.ses_message_id,
        "detail": event.detail,
    }
