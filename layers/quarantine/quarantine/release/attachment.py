"""The release that needs no set-up: our own mail with the original attached.

SES sends only in our own name, so the original cannot be the mail itself.
"""

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from itertools import count
from typing import Final

from quarantine.asking.replying import ReplyContext
from quarantine.held import HeldMessage, HoldReason
from quarantine.mail.addresses import Address
from quarantine.mail.lenient import Sender
from quarantine.reporting.composing import compose
from quarantine.reporting.markup import MailTemplates
from quarantine.reporting.quoting import QuotedMessage, zone_of

LARGEST: Final = 29_000_000
"""The bytes of the largest stored mail that fits, with any content.

SES sends 40 MB (https://docs.aws.amazon.com/ses/latest/dg/quotas.html), base64 makes 76 bytes and a line end
of 57, and our own text needs less than 100 KB.
"""

FILE: Final = "original.eml"  # never a name from the mail

_TEMPLATES = MailTemplates("release")


def fits(size: int) -> bool:
    """Return whether a stored mail of this many bytes can be released by attachment."""
    return size <= LARGEST


@dataclass(frozen=True, slots=True)
class ReleasedMessage:
    """What the mail says of the message that it carries.

    requester: who asked for the release, at `asked_at`; the mailbox is their own, or one that they may see.
    None for an operator.
    received_at, asked_at: in the requester's own UTC offset. sender, subject: safe to show, and not as links.
    """

    mailbox: Address
    requester: Address | None
    asked_at: datetime
    received_at: datetime
    reason: HoldReason
    sender: Sender
    claims_address: bool
    subject: str
    file: str = FILE

    @property
    def is_own(self) -> bool:
        return self.mailbox == self.requester

    @property
    def zone(self) -> str:
        """The requester's UTC offset as a label: `UTC+01:00`; plain `UTC` if it is zero."""
        return str(self.asked_at.tzinfo)


def render(
    original: bytes,
    message: HeldMessage,
    *,
    request_id: str,
    requester: Address | None,
    asked_at: datetime,
    reply: ReplyContext,
    sender: Address,
    reply_to: Address | None,
    now: datetime,
) -> EmailMessage:
    """Return the mail to the mailbox that a message was held for; SES sends its `as_bytes()`.

    original: what is delivered (quarantine.release.deliverable). message: its row. request_id, requester,
    asked_at, reply: of the request. now: for the Date field, aware; SES sets its own, and a Message-ID
    (https://docs.aws.amazon.com/ses/latest/dg/header-fields.html). The same arguments give the same mail.
    """
    released = _released_message(message, requester, asked_at, reply)
    mail = compose(
        _TEMPLATES.render(released=released, reply_to=reply_to),
        kind="release",
        request_id=request_id,
        requester=released.mailbox,
        # The thread of the request is in the requester's own mailbox.
        reply=reply if released.is_own else ReplyContext(),
        sender=sender,
        reply_to=reply_to,
        now=now,
    )
    return _with_original(mail, original, request_id)


def _released_message(
    message: HeldMessage, requester: Address | None, asked_at: datetime, reply: ReplyContext
) -> ReleasedMessage:
    zone = zone_of(reply.utc_offset)
    quoted = QuotedMessage.of(message, zone)
    return ReleasedMessage(
        mailbox=quoted.mailbox,
        requester=requester,
        asked_at=asked_at.astimezone(zone),
        received_at=quoted.received_at,
        reason=quoted.reason,
        sender=quoted.sender,
        claims_address=quoted.claims_address,
        subject=quoted.subject,
    )


# --- The attachment ---

_LINE = rb"[\x01-\x09\x0b\x0c\x0e-\x7f]{0,998}+"  # RFC 5322 2.1.1; RFC 2045 2.7: CR and LF in pairs, no NUL
_SEVEN_BIT = re.compile(rb"(?:" + _LINE + rb"\r\n)*+" + _LINE)


def _with_original(mail: EmailMessage, original: bytes, request_id: str) -> EmailMessage:
    """Return the mail with the original as its last part, so that none of our words seem to follow it."""
    ours = EmailMessage(policy=mail.policy)
    ours["Content-Type"] = mail["Content-Type"]
    ours.set_payload(mail.get_payload())
    mail.replace_header("Content-Type", f'multipart/mixed; boundary="{_boundary(original, request_id)}"')
    mail.set_payload([ours, _attachment(mail, original)])
    return mail


def _boundary(original: bytes, request_id: str) -> str:
    """Return a text that is not in the original; it does not begin like the boundary of our own parts."""
    boundaries = (f"=original_{number}_{request_id}" for number in count())
    return next(each for each in boundaries if each.encode() not in original)


def _attachment(mail: EmailMessage, original: bytes) -> EmailMessage:
    part = EmailMessage(policy=mail.policy)
    if _SEVEN_BIT.fullmatch(original):
        content_type, encoding, body = "message/rfc822", "7bit", original
    else:  # RFC 2046 5.2.1: no base64 for message/rfc822; and 8-bit may not be sent
        content_type, encoding = "application/octet-stream", "base64"
        body = base64.encodebytes(original).replace(b"\n", b"\r\n")
    part["Content-Type"] = f'{content_type}; name="{FILE}"'
    part["Content-Disposition"] = f'attachment; filename="{FILE}"'
    part["Content-Transfer-Encoding"] = encoding
    # A text, not a parsed message: EmailMessage would write that in its own way.
    part.set_payload(body.decode("ascii"))
    return part
