"""A report as a mail: in the thread of the request, and marked so that no machine answers it."""

import base64
import functools
import quopri
from collections.abc import Iterable
from datetime import datetime
from email import policy
from email.headerregistry import Address as Mailbox
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage

from quarantine.asking.machines import LOOP_MARKER
from quarantine.mail.addresses import Address
from quarantine.reporting.fitting import fit
from quarantine.reporting.markup import MailTemplates
from quarantine.reporting.summary import QuarantineReport

_LINE = 998  # RFC 5322 2.1.1
_TEMPLATES = MailTemplates("report")


def render(
    report: QuarantineReport, *, sender: Address, reply_to: Address | None, now: datetime
) -> EmailMessage:
    """Return the mail that carries the report to its requester; SES sends its `as_bytes()`.

    Its texts are cut so that the mail fits. now: for the Date field, aware. The same report at the same time
    gives the same mail, byte for byte.
    """
    report = fit(report)
    request_id = report.request.request_id
    parts = _TEMPLATES.render(report=report, reply_to=reply_to)
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = Mailbox(parts.from_name, addr_spec=str(sender))
    mail["To"] = str(report.requester)
    mail["Subject"] = parts.subject
    mail["Date"] = now
    mail["Message-ID"] = f"<{request_id}.report@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-replied"  # RFC 3834 3.1.7
    mail["X-Auto-Response-Suppress"] = "All"  # the field that Exchange reads instead: MS-OXCMAIL 2.2.3.2.14
    mail[LOOP_MARKER] = request_id
    if reply_to is not None:
        mail["Reply-To"] = str(reply_to)
    _thread(mail, report.request.reply.message_id, report.request.reply.references)
    _fill(mail, parts.text, "plain")
    mail.make_alternative(boundary=f"=_{request_id}")
    html = EmailMessage(policy=_POLICY)
    _fill(html, parts.html, "html")
    del html["MIME-Version"]  # RFC 2045 4: only the whole message has it
    mail.attach(html)
    mail["Content-Language"] = "en"  # last, because setting the content removes earlier Content- fields
    return mail


def _thread(mail: EmailMessage, message_id: str | None, references: Iterable[str]) -> None:
    if message_id is not None:  # RFC 5322 3.6.4
        mail["In-Reply-To"] = message_id
        mail["References"] = " ".join((*references, message_id))


def _fill(part: EmailMessage, text: str, subtype: str) -> None:
    part.set_content(text, subtype, cte=_transfer_encoding(text))


def _transfer_encoding(text: str) -> str:
    """Return the smallest 7-bit encoding (EmailMessage itself guesses from the first ten lines)."""
    if text.isascii() and all(len(line) <= _LINE for line in text.splitlines()):
        return "7bit"
    data = text.encode()
    quoted, based = len(quopri.encodestring(data)), len(base64.encodebytes(data))
    return "quoted-printable" if quoted <= based else "base64"


# --- Header fields ---


class _MessageIds(UnstructuredHeader, BaseHeader):
    """Message ids, one per line: EmailMessage turns long ones into encoded words (python/cpython#79986)."""

    def fold(self, *, policy: policy.Policy) -> str:
        return f"{self.name}: " + f"{policy.linesep} ".join(self.split()) + policy.linesep


class _Registry(HeaderRegistry):
    """Makes the class of each field once; the standard library makes one for each field of each mail."""

    __getitem__ = functools.cache(HeaderRegistry.__getitem__)


def _header_registry() -> HeaderRegistry:
    registry = _Registry()
    for name in ("message-id", "in-reply-to", "references"):
        registry.map_to_type(name, _MessageIds)
    return registry


_POLICY = policy.SMTP.clone(header_factory=_header_registry())
