"""Answering: what became of an action goes to who asked for it, by mail."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage

from quarantine.acting.answers import Answer
from quarantine.asking.admission import Accepted
from quarantine.feedback.tags import MailKind
from quarantine.held import HeldStatus
from quarantine.mail.addresses import Address
from quarantine.outbox import Mailer, SendRefused
from quarantine.reporting.answering import Deed, render_answer
from quarantine.services.asked import Asked
from quarantine.settings import ActSettings
from quarantine.stores.requests import ActionOutcome, RequestStatus
from quarantine.stores.transitions import HeldRow


@dataclass(frozen=True, slots=True)
class Answering:
    """Sends the mails of act."""

    settings: ActSettings
    mailer: Mailer
    clock: Callable[[], datetime]

    def answer(
        self,
        asked: Asked,
        answer: Answer,
        row: HeldRow | None = None,
        *,
        failure: str | None = None,
        deed: Deed | None = None,
    ) -> ActionOutcome:
        """Send the answer to the requester, but to no operator. Raises temporary errors.

        failure: of a release; a stranger's words. deed: what was done before; that of the row if it is None.
        """
        held = None if row is None else row.key
        status = RequestStatus.DONE if failure is None else RequestStatus.FAILED
        if asked.requester is None:
            return ActionOutcome(status, answer, held, reason=failure)
        mail = render_answer(
            answer,
            None if row is None else row.message,
            deed or deed_of(row),
            request_id=asked.request_id,
            requester=asked.requester,
            asked_at=asked.asked_at,
            reply=asked.reply,
            sender=self.settings.report_sender,
            reply_to=self.settings.reply_to,
            now=self.clock(),
            said=failure or "" if answer is Answer.REFUSED_BY_SERVER else "",
        )
        try:
            ses_message_id = self.send(asked.request_id, MailKind.ANSWER, mail, asked.requester)
        except SendRefused as e:
            return ActionOutcome(RequestStatus.FAILED, answer, held, reason=failure or str(e))
        return ActionOutcome(status, answer, held, ses_message_id, failure)

    def answer_wish(
        self, request: Accepted, answer: Answer, undo: Address | None, next_at: datetime | None
    ) -> ActionOutcome:
        """Send the answer to a wish for scheduled reports. Raises temporary errors.

        undo: the address to write to for the contrary. next_at: when the next report is due.
        """
        mail = render_answer(
            answer,
            None,
            None,
            request_id=request.request_id,
            requester=request.requester,
            asked_at=request.received_at,
            reply=request.reply,
            sender=self.settings.report_sender,
            reply_to=self.settings.reply_to,
            now=self.clock(),
            undo=undo,
            next_at=next_at,
        )
        try:
            ses_message_id = self.send(request.request_id, MailKind.ANSWER, mail, request.requester)
        except SendRefused as e:
            return ActionOutcome(RequestStatus.FAILED, answer, reason=str(e))
        return ActionOutcome(RequestStatus.DONE, answer, ses_message_id=ses_message_id)

    def send(self, request_id: str, kind: MailKind, mail: EmailMessage, to: Address) -> str:
        """Send a mail about a request; return SES's id of it. Raises SendRefused, and temporary errors."""
        return self.mailer.send(
            mail,
            sender=self.settings.report_sender,
            to=to,
            request_id=request_id,
            kind=kind,
        )


def deed_of(row: HeldRow | None) -> Deed | None:
    """Return who released or deleted a message; None while it is held."""
    if row is None or row.status is HeldStatus.HELD or row.acted_by is None or row.acted_at is None:
        return None
    return Deed(row.acted_by, row.acted_at)
