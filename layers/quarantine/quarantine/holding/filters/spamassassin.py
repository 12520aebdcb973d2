"""SpamAssassin, and other filters that write fields in its format. They name no recipients.

https://spamassassin.apache.org/full/4.0.x/doc/Mail_SpamAssassin_Conf.html (add_header)
"""

import re

from quarantine.held import HoldReason
from quarantine.holding.filters.finding import Finding, first_number, says_yes, texts
from quarantine.mail.lenient import Fields

FLAG, STATUS, SCORE = b"x-spam-flag", b"x-spam-status", b"x-spam-score"
FIELDS = frozenset({FLAG, STATUS, SCORE})
# Those that it adds by default, with `report_safe 0` and in the examples of add_header, and what
# spamass-milter adds; X-Spam-Orig-To names the recipients of spam that it diverts (its option -b).
MARKS = FIELDS | {
    b"x-spam-level",
    b"x-spam-report",
    b"x-spam-checker-version",
    b"x-spam-bar",
    b"x-spam-tests",
    b"x-spam-details",
    b"x-spam-pyzor",
    b"x-spam-dcc",
    b"x-spam-orig-to",
}

_STATUS_SCORE = re.compile(r"\bscore=(\S+)")  # Yes, score=26.4 required=5.0 tests=...


def read(fields: Fields) -> Finding:
    scores = [match[1] for text in texts(fields, STATUS) if (match := _STATUS_SCORE.search(text))]
    is_spam = says_yes(fields, FLAG) or says_yes(fields, STATUS)
    return Finding(HoldReason.SPAM if is_spam else None, first_number([*scores, *texts(fields, SCORE)]))
