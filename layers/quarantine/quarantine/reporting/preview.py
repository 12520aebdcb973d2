"""A preview as a mail: our own words and addresses, then what the held mail says, and nothing below."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage

from quarantine.acting.offers import Offer
from quarantine.asking.admission import Accepted
from quarantine.held import HeldMessage
from quarantine.mail.addresses import Address
from quarantine.previewing.values import CannotBeShown, Preview
from quarantine.reporting.composing import compose
from quarantine.reporting.markup import MailTemplates
from quarantine.reporting.quoting import QuotedMessage, zone_of

_TEMPLATES = MailTemplates("preview")


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """The values that the templates need. Times are in the requester's own UTC offset.

    preview: None if the message cannot be shown.
    """

    requester: Address
    asked_at: datetime
    message: QuotedMessage
    preview: Preview | None
    offers: tuple[Offer, ...]

    @property
    def zone(self) -> str:
        """The requester's UTC offset as a label: `UTC+01:00`; plain `UTC` if it is zero."""
        return str(self.asked_at.tzinfo)


def render_preview(
    preview: Preview | CannotBeShown,
    request: Accepted,
    message: HeldMessage,
    offers: Sequence[Offer],
    *,
    sender: Address,
    reply_to: Address | None,
    now: datetime,
) -> EmailMessage:
    """Return the mail that shows a held message to the requester. The same arguments give the same mail."""
    zone = zone_of(request.reply.utc_offset)
    shown = ShownMessage(
        requester=request.requester,
        asked_at=request.received_at.astimezone(zone),
        message=QuotedMessage.of(message, zone),
        preview=preview if isinstance(preview, Preview) else None,
        offers=tuple(offers),
    )
    return compose(
        _TEMPLATES.render(shown=shown, reply_to=reply_to),
        kind="preview",
        request_id=request.request_id,
        requester=request.requester,
        reply=request.reply,
        sender=sender,
        reply_to=reply_to,
        now=now,
    )
