"""Telling: a person who released a message hears that it did not arrive, and that it is held again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, assert_never

from quarantine.acting.answers import Answer
from quarantine.feedback.fate import Fate
from quarantine.feedback.tags import MailKind
from quarantine.mail.addresses import Address
from quarantine.outbox import Mailer
from quarantine.reporting.answering import render_answer
from quarantine.runtime import Journal, utc_now
from quarantine.services.feedback import FailedRelease
from quarantine.settings import FeedbackSettings
from quarantine.stores.requests import Requests
from quarantine.stores.transitions import Transitions

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sesv2 import SESV2Client


@dataclass(frozen=True, slots=True)
class Telling:
    """The `Tell` of feedback, by mail. sender, reply_to: as of a report."""

    requests: Requests
    transitions: Transitions
    mailer: Mailer
    sender: Address
    reply_to: Address | None
    clock: Callable[[], datetime]

    def __call__(self, failed: FailedRelease) -> None:
        """Send the mail. Raises SendRefused, and temporary errors."""
        asked_at, reply = self.requests.thread_of(failed.request_id)
        row = self.transitions.row(failed.held, self.clock())
        mail = render_answer(
            _answer(failed.fate),
            None if row is None else row.message,
            None,
            request_id=failed.request_id,
            requester=failed.requester,
            asked_at=asked_at,
            reply=reply,
            sender=self.sender,
            reply_to=self.reply_to,
            now=self.clock(),
            said=failed.detail if failed.is_bounce else "",
        )
        self.mailer.send(
            mail,
            sender=self.sender,
            to=failed.requester,
            request_id=failed.request_id,
            kind=MailKind.NOTICE,
        )


def telling(
    settings: FeedbackSettings,
    dynamodb: "DynamoDBClient",
    sesv2: "SESV2Client",
    clock: Callable[[], datetime] = utc_now,
) -> Telling:
    """Return what feedback tells with, over these clients."""
    journal = Journal("feedback", "SentMails", settings.stack)
    return Telling(
        Requests(dynamodb, settings.requests_table),
        Transitions(dynamodb, settings.quarantine_table, journal.unreadable),
        Mailer(sesv2, settings.configuration_set),
        settings.report_sender,
        settings.reply_to,
        clock,
    )


def _answer(fate: Fate) -> Answer:
    match fate:
        case Fate.REJECTED:
            return Answer.REJECTED
        case Fate.BOUNCED | Fate.DELAYED | Fate.DELIVERED | Fate.COMPLAINED:
            return Answer.CAME_BACK
        case _:
            assert_never(fate)
