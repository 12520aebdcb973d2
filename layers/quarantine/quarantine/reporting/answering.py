"""The short mail that says what became of an action."""

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage

from quarantine.acting.answers import Answer
from quarantine.asking.replying import ReplyContext
from quarantine.held import HeldMessage
from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.links import defanged
from quarantine.mail.text import clean_text, clipped
from quarantine.reporting.composing import compose
from quarantine.reporting.markup import MailTemplates
from quarantine.reporting.quoting import QuotedMessage, zone_of

_LONGEST_SAID = 500  # characters
_TEMPLATES = MailTemplates("answer")
_OF_ADMINISTRATORS = frozenset(
    {Answer.APPROVED, Answer.REFUSED, Answer.RULED_BEFORE, Answer.APPROVED_HARMFUL}
)


@dataclass(frozen=True, slots=True)
class Deed:
    """Who released or deleted a message, and when. by: an address, or the ARN of an operator."""

    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AnsweredAction:
    """The values that the templates need. Times are in the requester's own UTC offset.

    message: None if the answer is about no message. by: None for an operator, and if nobody acted.
    said: by a mail server, safe to show; "" if none said anything.
    undo: the address to write to for the contrary. next_at: of a digest, in the zone of its schedule.
    """

    answer: Answer
    requester: Address
    asked_at: datetime
    message: QuotedMessage | None
    by: Address | None
    acted_at: datetime | None
    said: str
    undo: Address | None = None
    next_at: datetime | None = None

    @property
    def is_notice(self) -> bool:
        """Whether it reports what happened later, and was not asked for."""
        return self.answer in (Answer.REJECTED, Answer.CAME_BACK)

    @property
    def is_ruling(self) -> bool:
        """Whether it goes to an administrator, about their answer to an ask."""
        return self.answer in _OF_ADMINISTRATORS

    @property
    def next_zone(self) -> str:
        """The name of the time zone of the schedule, such as Europe/Berlin."""
        return str(self.next_at.tzinfo) if self.next_at else ""

    @property
    def zone(self) -> str:
        """The requester's UTC offset as a label: `UTC+01:00`; plain `UTC` if it is zero."""
        return str(self.asked_at.tzinfo)


def render_answer(
    answer: Answer,
    message: HeldMessage | None,
    deed: Deed | None,
    *,
    request_id: str,
    requester: Address,
    asked_at: datetime,
    reply: ReplyContext,
    sender: Address,
    reply_to: Address | None,
    now: datetime,
    said: str = "",
    undo: Address | None = None,
    next_at: datetime | None = None,
) -> EmailMessage:
    """Return the mail that answers a request. The same arguments give the same mail.

    message: the held message; None where the answer is about none. deed: what was done to it before.
    request_id, requester, asked_at, reply: of the request. said: by a mail server; hostile.
    undo, next_at: see AnsweredAction.
    """
    zone = zone_of(reply.utc_offset)
    answered = AnsweredAction(
        answer=answer,
        requester=requester,
        asked_at=asked_at.astimezone(zone),
        message=None if message is None else QuotedMessage.of(message, zone),
        by=_person(deed),
        acted_at=None if deed is None else deed.at.astimezone(zone),
        said=clipped(defanged(clean_text(said)), _LONGEST_SAID),
        undo=undo,
        next_at=next_at,
    )
    return compose(
        _TEMPLATES.render(answered=answered, reply_to=reply_to),
        kind=f"answer-{answer}",
        request_id=request_id,
        requester=requester,
        reply=reply,
        sender=sender,
        reply_to=reply_to,
        now=now,
    )


def _person(deed: Deed | None) -> Address | None:
    try:
        return None if deed is None else Address.parse(deed.by)
    except InvalidAddress:
        return None
