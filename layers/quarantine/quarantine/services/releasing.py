"""Releasing: a message that was taken for its delivery goes back to its mailbox, by the stack's way."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final, assert_never

from botocore.exceptions import BotoCoreError, ClientError

from quarantine.acting.answers import Answer
from quarantine.acting.ways import WayBack, bounce_code, bounce_local_part
from quarantine.feedback.event import Sending, SendingEvent
from quarantine.feedback.tags import MailKind
from quarantine.held import HoldReason
from quarantine.mail.addresses import Address
from quarantine.outbox import Agents, Mailer, SendRefused
from quarantine.release import attachment
from quarantine.release.deliverable import ReleaseTrace, deliverable
from quarantine.release.handover import Envelope, Reply
from quarantine.release.pointer import Pointer, Result
from quarantine.release.wire import UnsafeMail, wire_mail
from quarantine.services.asked import Asked
from quarantine.services.relaying import Relay
from quarantine.settings import ActSettings
from quarantine.stores.objects import Changed, Gone, HeldObjects
from quarantine.stores.requests import Requests
from quarantine.stores.transitions import HeldRow, Transitions

GRACE: Final = timedelta(minutes=20)
"""How long an agent may take to hand over a message that it took in time, and to say so.

Longer than the visibility timeout of the queue of releases, within which it must be done.
"""

LARGEST_RELAYED: Final = 100_000_000
"""The bytes of the largest stored mail that act hands over itself; it is in memory four times."""


class NotReached(RuntimeError):
    """The server took nothing and refused nothing; the job must be retried. The message is what it said."""


@dataclass(frozen=True, slots=True)
class Released:
    """The message is back in its mailbox, as far as we can know. ses_message_id: of an attachment's mail."""

    row: HeldRow
    answer: Answer
    ses_message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The message is held again. said: by SES, the server or the agent; a stranger's."""

    row: HeldRow
    answer: Answer
    said: str


@dataclass(frozen=True, slots=True)
class Waits:
    """An agent may deliver it until then."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody else changed the row meanwhile. row: as it is now; None if it is gone."""

    row: HeldRow | None


type Delivery = Answer | Released | Failed | Waits | Taken
"""An Answer says why nothing was tried."""


@dataclass(frozen=True, slots=True)
class Releasing:
    """The three ways back. relay, agents: None where the stack uses another way."""

    settings: ActSettings
    transitions: Transitions
    mails: HeldObjects
    requests: Requests
    mailer: Mailer
    relay: Relay | None
    agents: Agents | None
    clock: Callable[[], datetime]

    def deliver(self, asked: Asked, row: HeldRow) -> Delivery:
        """Deliver a held message, or let an agent do it. Raises NotReached, and temporary errors."""
        way = self.settings.way
        match way:
            case WayBack.ATTACHMENT:
                return self._attach(asked, row)
            case WayBack.RELAY:
                assert self.relay is not None, "settings of this way name a server"
                return self._relay(asked, row, self.relay)
            case WayBack.AGENT:
                assert self.agents is not None, "settings of this way name a queue"
                return self._point(asked, row, self.agents)
            case _:
                assert_never(way)

    # --- By attachment ---

    def _attach(self, asked: Asked, row: HeldRow) -> Delivery:
        if row.message.reason is HoldReason.VIRUS:
            return Answer.HARMFUL
        original = self.original(row)
        if isinstance(original, Answer):
            return original
        if not attachment.fits(len(original)):
            return Answer.TOO_LARGE
        taken = self._take(asked, row, self.settings.lease)
        return taken if isinstance(taken, Taken) else self._send(asked, taken, original)

    def _send(self, asked: Asked, row: HeldRow, original: bytes) -> Delivery:
        self.requests.note_held(asked.request_id, row.key)
        now = self.clock()
        mail = attachment.render(
            deliverable(original, self.settings.families, ReleaseTrace(asked.request_id, now)),
            row.message,
            request_id=asked.request_id,
            requester=asked.requester,
            asked_at=asked.asked_at,
            reply=asked.reply,
            sender=self.settings.report_sender,
            reply_to=self.settings.reply_to,
            now=now,
        )
        try:
            ses_message_id = self.mailer.send(
                mail,
                sender=self.settings.report_sender,
                to=row.message.recipient,
                request_id=asked.request_id,
                kind=MailKind.RELEASE,
            )
        except SendRefused as e:
            return self._held_again(asked, row, Answer.NOT_SENT, str(e))
        return self._released(asked, row, Answer.RELEASED, ses_message_id)

    # --- By relay ---

    def _relay(self, asked: Asked, row: HeldRow, relay: Relay) -> Delivery:
        original = self.original(row)
        if isinstance(original, Answer):
            return original
        if len(original) > LARGEST_RELAYED:
            return Answer.TOO_LARGE
        taken = self._take(asked, row, self.settings.lease)
        return taken if isinstance(taken, Taken) else self._relay_taken(asked, taken, original, relay)

    def _relay_taken(self, asked: Asked, row: HeldRow, original: bytes, relay: Relay) -> Delivery:
        sender = self._bounce_address(asked, row)
        trace = ReleaseTrace(asked.request_id, self.clock())
        try:
            mail = wire_mail(deliverable(original, self.settings.families, trace))
        except UnsafeMail as e:
            return self._held_again(asked, row, Answer.REFUSED_BY_SERVER, str(e))
        reply = relay.deliver(Envelope(sender, row.message.recipient), mail)
        if reply.is_accepted:
            return self._handed_over(asked, row, reply, is_repaired=mail.is_repaired)
        if reply.is_final:
            return self._held_again(asked, row, Answer.REFUSED_BY_SERVER, str(reply))
        raise NotReached(str(reply))

    # --- By an agent ---

    def _point(self, asked: Asked, row: HeldRow, agents: Agents) -> Delivery:
        if row.raw_key is None:
            return Answer.NOT_STORED
        try:
            self.mails.check(row.raw_key, row.etag)
        except Gone:
            return Answer.NOT_STORED
        except Changed:
            return Answer.CHANGED
        taken = self._take(asked, row, self.settings.release_wait + GRACE)
        return taken if isinstance(taken, Taken) else self._point_to(asked, taken, row.raw_key, agents)

    def _point_to(self, asked: Asked, row: HeldRow, key: str, agents: Agents) -> Delivery:
        now = self.clock()
        until = now + self.settings.release_wait
        pointer = Pointer(
            request_id=asked.request_id,
            bucket=self.settings.mail_bucket,
            key=key,
            etag=row.etag,
            sender=self._bounce_address(asked, row),
            recipient=row.message.recipient,
            families=self.settings.families,
            released_at=now,
            until=until,
        )
        # First: it must not be put again, since agents would follow both. SQS knows a second one for minutes.
        self.requests.wait(asked.request_id, until + GRACE)
        try:
            agents.point(pointer.to_json(), row.message.recipient, asked.request_id)
        except ClientError as e:
            if _has_refused(e):
                raise
        except BotoCoreError:  # no answer: perhaps it is on the queue
            pass
        return Waits(until + GRACE)

    def finish(self, asked: Asked, row: HeldRow, result: Result) -> Released | Failed:
        """Do what the result of an agent says."""
        reply = Reply(result.code, result.text)
        if reply.is_accepted:
            return self._handed_over(asked, row, reply, is_repaired=result.is_repaired)
        answer = Answer.REFUSED_BY_SERVER if reply.is_final else Answer.NOT_TAKEN
        return self._held_again(asked, row, answer, str(reply))

    def give_up(self, asked: Asked, row: HeldRow) -> Failed:
        """Hold a message again that no agent delivered in time."""
        return self._held_again(asked, row, Answer.NOT_TAKEN, "no agent took it in time")

    # --- For more than one way ---

    def original(self, row: HeldRow) -> bytes | Answer:
        """Return the stored mail that was judged, or why there is none."""
        if row.raw_key is None:
            return Answer.NOT_STORED
        try:
            return self.mails.whole(row.raw_key, row.etag)
        except Gone:
            return Answer.NOT_STORED
        except Changed:
            return Answer.CHANGED

    def _take(self, asked: Asked, row: HeldRow, lease: timedelta) -> HeldRow | Taken:
        """Take the row for this request, so that nobody else delivers or deletes the message."""
        taken = self.transitions.begin_release(row, asked.by, asked.request_id, self.clock(), lease)
        return taken if taken is not None and taken.is_taken_by(asked.request_id) else Taken(taken)

    def _bounce_address(self, asked: Asked, row: HeldRow) -> Address:
        """Return the envelope sender, whose delivery reports come to intake, and note whose they are."""
        self.requests.note_held(asked.request_id, row.key)
        code = bounce_code(asked.reference.code, asked.request_id)
        self.requests.remember_bounce(code, asked.request_id, self.clock())
        return Address(bounce_local_part(code), self.settings.reports_domain)

    def _handed_over(self, asked: Asked, row: HeldRow, reply: Reply, *, is_repaired: bool) -> Released:
        now = self.clock()
        delivery = SendingEvent(
            Sending.DELIVERY,
            asked.request_id,
            MailKind.RELEASE,
            "",
            now,
            is_permanent=False,
            detail=str(reply),
        )
        self.requests.note_fate(delivery, now)
        answer = Answer.HANDED_OVER_REPAIRED if is_repaired else Answer.HANDED_OVER
        return self._released(asked, row, answer)

    def _released(
        self, asked: Asked, row: HeldRow, answer: Answer, ses_message_id: str | None = None
    ) -> Released:
        released = self.transitions.finish_release(row, asked.request_id, self.clock())
        return Released(released or row, answer, ses_message_id)

    def _held_again(self, asked: Asked, row: HeldRow, answer: Answer, said: str) -> Failed:
        by = "SES" if self.settings.way is WayBack.ATTACHMENT else "the mail server"
        self.transitions.undo_release(row, asked.request_id, self.clock(), by=by)
        return Failed(row, answer, said)


def _has_refused(error: ClientError) -> bool:
    """Return whether AWS has certainly not done what it was asked for: its own failure says nothing."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"] < HTTPStatus.INTERNAL_SERVER_ERROR
