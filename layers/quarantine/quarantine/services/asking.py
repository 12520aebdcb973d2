"""Asking: a reader asks the administrators to release a message that the reader may not release."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from quarantine.acting.answers import Answer
from quarantine.acting.asks import LONGEST, Ask, AskState
from quarantine.acting.reference import CODE_BYTES, Reference, code_of
from quarantine.acting.rules import Action
from quarantine.feedback.tags import MailKind
from quarantine.holding.provenance import Provenance, provenance_of
from quarantine.mail.addresses import Address
from quarantine.outbox import SendRefused
from quarantine.previewing.preview import Preview, read_preview
from quarantine.previewing.structure import CannotBeShown
from quarantine.reporting.ask import render_ask
from quarantine.runtime import Journal
from quarantine.services.answering import Answering
from quarantine.services.asked import Asked
from quarantine.services.releasing import Releasing
from quarantine.settings import ActSettings
from quarantine.stores.asks import Asks
from quarantine.stores.requests import ActionOutcome
from quarantine.stores.senders import Senders
from quarantine.stores.transitions import HeldRow

MOST_PREVIEWS: Final = 2
"""How many attempts to read a stored mail may fail before it is answered that it cannot be shown."""


class LostAsk(RuntimeError):
    """An ask was removed while it was opened; the job must be retried."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the administrators learn of a stored mail."""

    preview: Preview | CannotBeShown
    said: Provenance


@dataclass(frozen=True, slots=True)
class Asking:
    """Opens asks, and tells the administrators of them."""

    settings: ActSettings
    senders: Senders
    asks: Asks
    releasing: Releasing
    answering: Answering
    journal: Journal
    clock: Callable[[], datetime]

    def ask(self, asked: Asked, row: HeldRow) -> ActionOutcome:
        """Ask the administrators about a held message, and answer. Raises temporary errors."""
        if self.settings.policy.allows(Action.RELEASE, row.message.reason):
            return self.answering.answer(asked, Answer.MAY_RELEASE, row)
        administrators = self.senders.administrators_of(row.message.recipient.domain).asked
        if not administrators:
            return self.answering.answer(asked, Answer.NO_ADMINISTRATOR, row)
        content = self._read(asked, row)
        if isinstance(content, Answer):
            return self.answering.answer(asked, content, row)
        ask = self._open(asked, row)
        if ask.request_id != asked.request_id:
            before = Answer.REFUSED_BEFORE if ask.state is AskState.REFUSED else Answer.ASKED_BEFORE
            return self.answering.answer(asked, before, row)
        # If a process died, somebody may have answered before every administrator got the mail.
        is_open = ask.state is AskState.OPEN
        if is_open and not self._tell_all(administrators, asked, ask, row, content):
            self.asks.withdraw(ask)
            return self.answering.answer(asked, Answer.NO_ADMINISTRATOR, row)
        return self.answering.answer(asked, Answer.ASKED, row)

    def _read(self, asked: Asked, row: HeldRow) -> Content | Answer:
        """Read the stored mail, but not again after it has killed a process twice."""
        if asked.attempt > MOST_PREVIEWS:
            return Content(CannotBeShown.UNREADABLE, Provenance((), None, is_proven=False))
        original = self.releasing.original(row)
        if isinstance(original, Answer):
            return original
        return Content(read_preview(original), provenance_of(original, self.settings.families))

    def _open(self, asked: Asked, row: HeldRow) -> Ask:
        assert asked.requester is not None, "an operator asks nobody"
        now = self.clock()
        over = now + LONGEST
        ask = Ask(
            held=row.key,
            reference=Reference(
                row.message.received_at.replace(microsecond=0), code_of(secrets.token_bytes(CODE_BYTES))
            ),
            asker=asked.requester,
            request_id=asked.request_id,
            asked_at=asked.asked_at,
            expires_at=min(over, row.message.expires_at or over),
        )
        opened = self.asks.open(ask, now)
        if opened is None:
            raise LostAsk(asked.request_id)
        return opened

    def _tell_all(
        self, administrators: Iterable[Address], asked: Asked, ask: Ask, row: HeldRow, content: Content
    ) -> bool:
        """Send the mail to each administrator who has not got it; return whether any of them has it now."""
        told = {each for each in administrators if str(each) in ask.told}
        for number, administrator in enumerate(administrators, start=1):
            if administrator in told:
                continue
            mail = render_ask(
                ask,
                row.message,
                content.preview,
                content.said,
                number=number,
                administrator=administrator,
                domain=self.settings.reports_domain,
                sender=self.settings.report_sender,
                reply_to=self.settings.reply_to,
                now=self.clock(),
            )
            try:
                self.answering.send(ask.request_id, MailKind.ASK, mail, administrator)
            except SendRefused as e:  # the others can answer
                self.journal.note(
                    "an administrator cannot be asked",
                    message_id=asked.request_id,
                    administrator=str(administrator),
                    error=str(e),
                )
                continue
            self.asks.note_told(ask, administrator)
            told.add(administrator)
        return bool(told)
