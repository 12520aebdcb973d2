"""amavis: it adds its fields on top of the mail that it quarantines.

X-Envelope-To names every recipient, X-Envelope-To-Blocked only those who did not receive the mail.
"""

from quarantine.held import HoldReason
from quarantine.holding.filters.finding import Finding, first_number, says_yes, texts
from quarantine.mail.lenient import Fields

BLOCKED, ENVELOPE_TO = b"x-envelope-to-blocked", b"x-envelope-to"
ALERT, QUARANTINE_ID = b"x-amavis-alert", b"x-quarantine-id"
FLAG, SCORE = b"x-spam-flag", b"x-spam-score"
FIELDS = frozenset({BLOCKED, ENVELOPE_TO, ALERT, QUARANTINE_ID, FLAG, SCORE})
# Of the fields that it may add (%allowed_added_header_fields), those that say spam; and its quarantine's.
MARKS = FIELDS | {
    b"x-amavis-hold",
    b"x-amavis-category",
    b"x-amavis-policybank",
    b"x-amavis-penpals",
    b"x-spam-status",
    b"x-spam-level",
    b"x-spam-report",
    b"x-spam-tests",
    b"x-spam-checker-version",
    b"x-bogosity",  # of bogofilter, which amavis runs
    b"x-crm114-status",
    b"x-dspam-result",
}


def read(fields: Fields) -> Finding:
    return Finding(_reason(fields), first_number(texts(fields, SCORE)), _recipients(fields))


def _reason(fields: Fields) -> HoldReason | None:
    alerts = [text.upper() for text in texts(fields, ALERT)]
    if any(alert.startswith("INFECTED") for alert in alerts):
        return HoldReason.VIRUS
    if any(alert.startswith("BANNED") for alert in alerts):  # a file name or file type
        return HoldReason.POLICY
    if says_yes(fields, FLAG):
        return HoldReason.SPAM
    return HoldReason.POLICY if alerts else None  # BAD HEADER and all others, if nothing is worse


def _recipients(fields: Fields) -> dict[bytes, bytes] | None:
    if BLOCKED in fields.put_on:
        return {BLOCKED: fields.put_on[BLOCKED]}  # even if it is empty: every recipient received the mail
    return {ENVELOPE_TO: fields.put_on[ENVELOPE_TO]} if ENVELOPE_TO in fields.put_on else None
