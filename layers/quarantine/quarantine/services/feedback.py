"""Feedback: what SES reports about a mail is kept with its request, and a failed release is undone."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, Self, assert_never

from quarantine.feedback.event import MalformedSendingEvent, Sending, SendingEvent, parse_sending_event
from quarantine.feedback.fate import Fate, report_of
from quarantine.feedback.tags import MailKind
from quarantine.mail.addresses import Address
from quarantine.outbox import SendRefused
from quarantine.runtime import Journal, utc_now
from quarantine.settings import FeedbackSettings
from quarantine.stores.quarantine import ReleasedRows, Returned
from quarantine.stores.requests import Concerned, Requests, Telling

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

HOPELESS = (MalformedSendingEvent,)
"""Errors of a message that fails each time; SQS moves the message to the dead-letter queue."""


class BeingTold(RuntimeError):
    """Another process tells the requester; the event must be retried, in case that process dies."""


@dataclass(frozen=True, slots=True)
class FailedRelease:
    """A release that did not arrive; its message is held again.

    requester: who asked for it, and can be reached. held: the key of the message, recipient and entry.
    detail: in the words of SES and of a mail server; hostile.
    """

    request_id: str
    requester: Address
    held: tuple[str, str]
    fate: Fate
    detail: str


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
        return cls(
            settings,
            Requests(dynamodb, settings.requests_table),
            ReleasedRows(dynamodb, settings.quarantine_table),
            tell,
            Journal("feedback", "SentMails", settings.stack),
            clock,
        )

    def handle(self, body: str) -> None:
        """Handle one message of the queue. Raises the errors in HOPELESS, BeingTold, and temporary errors."""
        event = parse_sending_event(body, self.settings.configuration_set)
        concerned = self.requests.note_fate(event, self.clock())
        if concerned is None:  # it expired, or an operator removed it
            self._record(event, "unknown request")
            return
        if concerned.is_new:
            self._record(event, report_of(event).fate.value)
        else:
            self._note(event, "nothing new")
        if event.mail_kind is MailKind.RELEASE:
            self._follow(event, concerned)

    def _follow(self, event: SendingEvent, concerned: Concerned) -> None:
        """Let the released message follow the mail that released it."""
        if concerned.held is None:
            self._note(event, "the request names no held message")
        elif event.kind is Sending.DELIVERY:
            if not self.released.confirm(concerned.held, event.request_id, event.at):
                self._note(event, "released by another request, or not any more")
        elif event.is_permanent:
            self._give_back(event, concerned.held, concerned.requester)

    def _give_back(self, event: SendingEvent, held: tuple[str, str], requester: Address | None) -> None:
        returned = self.released.give_back(held, event.request_id, self.clock())
        match returned:
            case Returned.NOT:
                self._note(event, "released by another request, or not any more")
            case Returned.NOW | Returned.BEFORE:
                if requester is not None and self.tell is not None and _can_be_told(event, held, requester):
                    failed = FailedRelease(
                        event.request_id, requester, held, report_of(event).fate, event.detail
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


def _can_be_told(event: SendingEvent, held: tuple[str, str], requester: Address) -> bool:
    """Return whether a mail may reach the requester; not where their own mailbox has just returned one."""
    own = requester.without_suffix()
    return event.kind is Sending.REJECT or own != Address.parse(held[0]).without_suffix()


def _described(event: SendingEvent) -> dict[str, str | bool]:
    return {
        "message_id": event.request_id,
        "mail": event.mail_kind.value,
        "event": event.kind.value,
        "permanent": event.is_permanent,
        "ses_message_id": event.ses_message_id,
        "detail": event.detail,
    }
