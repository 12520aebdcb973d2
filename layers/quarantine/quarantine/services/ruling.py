"""Ruling: an administrator answers an ask, and who asked hears of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from quarantine.acting.answers import Answer
from quarantine.acting.asks import Ask
from quarantine.acting.rules import OLDEST, Ruling
from quarantine.asking.admission import Refusal, denial
from quarantine.feedback.tags import MailKind
from quarantine.mail.addresses import Address
from quarantine.outbox import SendRefused
from quarantine.reporting.answering import Deed, render_answer
from quarantine.runtime import Journal
from quarantine.services.answering import Answering
from quarantine.services.asked import Asked
from quarantine.stores.asks import Asks
from quarantine.stores.requests import ActionOutcome, Requests, RequestStatus, UnknownRequest
from quarantine.stores.senders import Senders
from quarantine.stores.transitions import HeldRow, Transitions

_NOT_THEIRS = ActionOutcome(RequestStatus.REFUSED, reason=Refusal.NOT_YOURS)


@dataclass(frozen=True, slots=True)
class Rulings:
    """Finds what is answered, takes the first answer, and tells who asked."""

    senders: Senders
    asks: Asks
    transitions: Transitions
    requests: Requests
    answering: Answering
    journal: Journal
    clock: Callable[[], datetime]

    def find(self, asked: Asked) -> tuple[Ask, HeldRow] | ActionOutcome:
        """Return the ask and its message if the requester may answer now, or else what is done instead."""
        now = self.clock()
        ask = self.asks.find(asked.reference, now)
        if ask is None:
            return _NOT_THEIRS
        if asked.requester is not None:
            if (refusal := self._refusal(asked.requester, ask)) is not None:
                return ActionOutcome(RequestStatus.REFUSED, reason=refusal)
            if now - asked.asked_at > OLDEST:
                return self.answering.answer(asked, Answer.TOO_OLD)
        row = self.transitions.row(ask.held, now)
        return self.answering.answer(asked, Answer.EXPIRED) if row is None else (ask, row)

    def _refusal(self, requester: Address, ask: Ask) -> Refusal | None:
        """Read the rights of this moment."""
        auth, _ = self.senders.facts_for(requester)
        if denial(auth) is not None:
            return Refusal.DENIED
        administrators = self.senders.administrators_of(ask.mailbox.domain)
        return None if requester in administrators.may_answer else Refusal.NOT_YOURS

    def take(self, asked: Asked, ruling: Ruling, ask: Ask, row: HeldRow) -> ActionOutcome | None:
        """Let this answer count; return what is done instead if another one came first."""
        now = self.asks.answer(ask, ruling, asked.by, asked.request_id, self.clock())
        if now is None:
            return _NOT_THEIRS
        if now.answered_for == asked.request_id:
            return None
        deed = Deed(now.answered_by or "", now.answered_at or now.asked_at)
        return self.answering.answer(asked, Answer.RULED_BEFORE, row, deed=deed)

    def take_back(self, asked: Asked, row: HeldRow) -> None:
        """Let an administrator answer again, because this answer could not be carried out."""
        if (ask := self.asks.of(row.key)) is not None:
            self.asks.reopen(ask, asked.request_id)

    def tell_asker(self, asked: Asked, answer: Answer, row: HeldRow) -> None:
        """Tell who asked, once. Raises temporary errors."""
        ask = self.asks.of(row.key)
        if ask is None or ask.is_asker_told or ask.answered_for != asked.request_id:
            return
        if ask.asker != asked.requester:
            self._send(ask, answer, row)
        self.asks.note_asker_told(ask)

    def _send(self, ask: Ask, answer: Answer, row: HeldRow) -> None:
        try:
            asked_at, reply = self.requests.thread_of(ask.request_id)
        except UnknownRequest:  # an operator has removed what was kept of this person
            return
        mail = render_answer(
            answer,
            row.message,
            Deed(ask.answered_by or "", ask.answered_at or ask.asked_at),
            request_id=ask.request_id,
            requester=ask.asker,
            asked_at=asked_at,
            reply=reply,
            sender=self.answering.settings.report_sender,
            reply_to=self.answering.settings.reply_to,
            now=self.clock(),
        )
        try:
            self.answering.send(ask.request_id, MailKind.NOTICE, mail, ask.asker)
        except SendRefused as e:
            self.journal.note("who asked cannot be told", message_id=ask.request_id, error=str(e))
