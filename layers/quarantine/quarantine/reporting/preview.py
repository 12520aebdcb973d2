"""A preview as a mail: the facts and what can be done first, and the text of the message last."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import EmailMessage
from typing import Final, Self

from quarantine.acting.offers import Offer
from quarantine.asking.replying import ReplyContext
from quarantine.held import HeldMessage, HoldReason
from quarantine.mail.addresses import Address
from quarantine.previewing.headline import Headline, headline_of
from quarantine.previewing.preview import Attachment, Preview
from quarantine.previewing.structure import CannotBeShown
from quarantine.reporting.composing import compose
from quarantine.reporting.markup import MailTemplates
from quarantine.reporting.quoting import zone_of

MOST_ATTACHMENTS: Final = 50
"""The attachments that are listed; the others are counted."""

_TEMPLATES = MailTemplates("preview")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the mail says of the message; times in the requester's own UTC offset.

    headline: what the message says of itself. preview: None if it cannot be shown, which has a reason in
    `cannot`. date: see Preview.
    """

    message: HeldMessage
    requester: Address
    zone: timezone
    preview: Preview | None
    cannot: CannotBeShown | None

    @classmethod
    def of(
        cls, preview: Preview | CannotBeShown, message: HeldMessage, *, requester: Address, zone: timezone
    ) -> Self:
        return cls(
            message=message,
            requester=requester,
            zone=zone,
            preview=preview if isinstance(preview, Preview) else None,
            cannot=preview if isinstance(preview, CannotBeShown) else None,
        )

    @property
    def mailbox(self) -> Address:
        return self.message.recipient

    @property
    def reason(self) -> HoldReason:
        return self.message.reason

    @property
    def is_releasing(self) -> bool:
        return self.message.is_releasing

    @property
    def held_at(self) -> datetime:
        return self.message.received_at.astimezone(self.zone)

    @property
    def kept_until(self) -> datetime | None:
        until = self.message.expires_at
        return until and until.astimezone(self.zone)

    @property
    def headline(self) -> Headline:
        if self.preview is None:
            return headline_of(self.message.sender, self.message.subject)
        return self.preview.headline

    @property
    def date(self) -> datetime | None:
        date = self.preview.date if self.preview else None
        return date and date.astimezone(self.zone)

    @property
    def attachments(self) -> Sequence[Attachment]:
        return self.preview.attachments[:MOST_ATTACHMENTS] if self.preview else ()

    @property
    def attachment_count(self) -> int:
        return len(self.preview.attachments) if self.preview else 0

    @property
    def attachments_left_out(self) -> int:
        return len(self.preview.attachments) - len(self.attachments) if self.preview else 0


def render_preview(
    preview: Preview | CannotBeShown,
    message: HeldMessage,
    offers: Sequence[Offer],
    *,
    request_id: str,
    requester: Address,
    reply: ReplyContext,
    sender: Address,
    reply_to: Address | None,
    now: datetime,
) -> EmailMessage:
    """Return the mail that shows a held message to a requester; SES sends its `as_bytes()`.

    message: its row. offers: what this requester can do with it, in order. now: for the Date field, aware.
    The same arguments give the same mail, byte for byte.
    """
    facts = Facts.of(preview, message, requester=requester, zone=zone_of(reply.utc_offset))
    return compose(
        _TEMPLATES.render(facts=facts, offers=offers, reply_to=reply_to),
        kind="preview",
        request_id=request_id,
        requester=requester,
        reply=reply,
        sender=sender,
        reply_to=reply_to,
        now=now,
    )
