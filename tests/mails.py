"""Mails as SES delivers them, for the tests of the rules."""

from collections.abc import Sequence
from datetime import UTC, datetime

from quarantine.asking.event import InboundMail, Verdict, Verdicts
from quarantine.mail.strict import Header

MESSAGE_ID = "dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81"
PEER = "192.0.2.45"
HELO = "mail.example.com"
TRIGGER = "manual-report-request@reports.example.com"
RECEIVED_AT = datetime(2026, 11, 23, 11, 59, 58, tzinfo=UTC)


def received(helo: str = HELO, peer: str = PEER, message_id: str = MESSAGE_ID) -> tuple[str, str]:
    """Return the field that SES's own server adds."""
    server = f"inbound-smtp.us-east-1.amazonaws.com with SMTP id {message_id}"
    date = "Mon, 23 Nov 2026 11:59:58 +0000 (UTC)"
    return "Received", f"from {helo} (mail.example.com [{peer}]) by {server} for {TRIGGER}; {date}"


def results(*dkim: str, helo: str = HELO, envelope_from: str = "bob@example.com") -> tuple[str, str]:
    """Return SES's Authentication-Results; dkim: `pass header.i=@example.com` and the like."""
    spf = (
        f"spf=pass (spfCheck: domain of example.com designates {PEER} as permitted sender) client-ip={PEER};"
        f" envelope-from={envelope_from}; helo={helo};"
    )
    signatures = "".join(f" dkim={result};" for result in dkim)
    return "Authentication-Results", f"amazonses.com; {spf}{signatures} dmarc=pass header.from=example.com;"


def block(*more: tuple[str, str], first: tuple[str, str] | None = None) -> list[tuple[str, str]]:
    """Return SES's fields in their order; `more` are those between Received-SPF and X-SES-RECEIPT."""
    return [
        ("Return-Path", "<bob@example.com>"),
        first or received(),
        ("X-SES-Spam-Verdict", "PASS"),
        ("X-SES-Virus-Verdict", "PASS"),
        (
            "Received-SPF",
            f"pass (spfCheck: ...) client-ip={PEER}; envelope-from=bob@example.com; helo={HELO};",
        ),
        *more,
        ("X-SES-RECEIPT", "AEFBQUFBQUFBQUFHcGZ"),
        ("X-SES-DKIM-SIGNATURE", "a=rsa-sha256; q=dns/txt; b=x; c=relaxed/simple; s=y; d=amazonses.com; v=1"),
    ]


# What a mail program writes and a mail server signs.
FRESH = (
    ("To", TRIGGER),
    ("Date", "Mon, 23 Nov 2026 11:59:50 +0000"),
    ("Message-ID", "<fresh@example.com>"),
    ("DKIM-Signature", "v=1; a=rsa-sha256; d=example.com; s=x; h=From:To:Date:Message-ID; bh=x; b=x"),
)


def inbound(
    *fields: tuple[str, str],
    ses: Sequence[tuple[str, str]] | None = None,
    sender: str | None = "Bob <bob@example.com>",
    envelope_from: str = "bob@example.com",
    recipients: tuple[str, ...] = (TRIGGER,),
    truncated: bool = False,
    fresh: bool = True,
    **verdicts: Verdict,
) -> InboundMail:
    """Return a mail from Bob through a server that SES names; the default of the verdicts is GRAY.

    ses: the block on top. sender: the From field, None for none. fields: more of the sender's own; what makes
    a signed mail fresh is added where it is not among them, unless fresh is false.
    """
    own = [] if sender is None else [("From", sender)]
    given = {name.strip().lower() for name, _ in fields}
    more = [field for field in FRESH if fresh and field[0].lower() not in given]
    lines = [*(block(results()) if ses is None else ses), *own, *fields, *more]
    gray = dict.fromkeys(("spam", "virus", "spf", "dkim", "dmarc"), Verdict.GRAY)
    return InboundMail(
        message_id=MESSAGE_ID,
        recipients=recipients,
        envelope_from=envelope_from,
        headers=tuple(Header(name, value) for name, value in lines),
        headers_truncated=truncated,
        verdicts=Verdicts(**gray | verdicts),
        received_at=RECEIVED_AT,
    )
