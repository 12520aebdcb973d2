"""Wishing: a reader writes that scheduled reports come to them, or do not come any more."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from quarantine.acting.answers import Answer
from quarantine.acting.rules import OLDEST
from quarantine.asking.admission import Accepted, Refusal, denial
from quarantine.asking.commands import Wish, WishCommand, wish_address
from quarantine.digests.rules import DigestRecord, NoDigest, Reader, entitled
from quarantine.digests.schedule import next_time
from quarantine.mail.addresses import Address
from quarantine.services.answering import Answering
from quarantine.stores.mailboxes import Mailboxes
from quarantine.stores.requests import ActionOutcome, RequestStatus
from quarantine.stores.senders import Senders


@dataclass(frozen=True, slots=True)
class Wishing:
    """Does what a mail to digest-on or digest-off asks for. It never writes the administrator's records."""

    senders: Senders
    mailboxes: Mailboxes
    answering: Answering
    clock: Callable[[], datetime]

    def serve(self, request: Accepted, command: WishCommand) -> ActionOutcome:
        """Note the wish and answer it. Raises temporary errors."""
        now = self.clock()
        facts = self.senders.covering(request.requester)
        if denial(facts.auth) is not None:
            return ActionOutcome(RequestStatus.REFUSED, reason=Refusal.DENIED)
        if now - request.received_at > OLDEST:
            return self._answer(request, Answer.TOO_OLD)
        wanted = Reader(request.requester, Wish.ON, proven_at=now)  # they have just written to us
        record = entitled(wanted, facts, now, self._domain)
        next_at = _next_at(record, now)
        undo = wish_address(Wish.OFF if command.wish is Wish.ON else Wish.ON, self._domain)
        if command.wish is Wish.ON:
            self.mailboxes.wish(request, Wish.ON, next_at)
            if next_at is None:
                return self._answer(request, _without(record))
            return self._answer(request, Answer.DIGEST_ON, undo, next_at)
        is_news = self.mailboxes.wish(request, Wish.OFF, None)
        if not is_news and self.mailboxes.row(request.requester).wished_by != request.request_id:
            return ActionOutcome(RequestStatus.DONE, Answer.DIGEST_OFF_BEFORE)  # they were answered once
        return self._answer(request, Answer.DIGEST_OFF, undo)

    @property
    def _domain(self) -> str:
        return self.answering.settings.reports_domain

    def _answer(
        self,
        request: Accepted,
        answer: Answer,
        undo: Address | None = None,
        next_at: datetime | None = None,
    ) -> ActionOutcome:
        return self.answering.answer_wish(request, answer, undo, next_at)


def _next_at(record: DigestRecord | NoDigest, now: datetime) -> datetime | None:
    """Return when the next digest is due, in the zone of its schedule; None if none will be."""
    if isinstance(record, NoDigest) or record.schedule is None:
        return None
    return next_time(record.schedule, now).astimezone(record.schedule.zone)


def _without(record: DigestRecord | NoDigest) -> Answer:
    return Answer.DIGEST_STOPPED if record is NoDigest.SWITCHED_OFF else Answer.DIGEST_UNPLANNED
