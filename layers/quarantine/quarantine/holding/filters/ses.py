"""Amazon SES, if it scans incoming mail: one verdict for spam, one for viruses. It names no recipients.

https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html
"""

from quarantine.held import HoldReason
from quarantine.holding.filters.finding import Finding, texts
from quarantine.mail.lenient import Fields

SPAM_VERDICT, VIRUS_VERDICT = b"x-ses-spam-verdict", b"x-ses-virus-verdict"
FIELDS = frozenset({SPAM_VERDICT, VIRUS_VERDICT})
MARKS = FIELDS


def read(fields: Fields) -> Finding:
    for name, reason in ((VIRUS_VERDICT, HoldReason.VIRUS), (SPAM_VERDICT, HoldReason.SPAM)):
        if "FAIL" in texts(fields, name):
            return Finding(reason)
    return Finding()
