"""A report as a mail."""

from datetime import datetime
from email.message import EmailMessage

from quarantine.mail.addresses import Address
from quarantine.reporting.composing import compose
from quarantine.reporting.fitting import fit
from quarantine.reporting.markup import MailTemplates
from quarantine.reporting.summary import QuarantineReport

_TEMPLATES = MailTemplates("report")


def render(
    report: QuarantineReport, *, sender: Address, reply_to: Address | None, now: datetime
) -> EmailMessage:
    """Return the mail that carries the report to its requester; SES sends its `as_bytes()`.

    Its texts are cut so that the mail fits. now: for the Date field, aware. The same report at the same time
    gives the same mail, byte for byte.
    """
    return compose(
        _TEMPLATES.render(report=fit(report), reply_to=reply_to),
        kind="digest" if report.is_digest else "report",
        unsubscribe=report.unsubscribe,
        request_id=report.request.request_id,
        requester=report.requester,
        reply=report.request.reply,
        sender=sender,
        reply_to=reply_to,
        now=now,
    )
