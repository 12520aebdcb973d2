"""Exchange and Exchange Online Protection: a category, and a spam confidence level from -1 to 9.

https://learn.microsoft.com/en-us/defender-office-365/message-headers-eop-mdo
https://learn.microsoft.com/en-us/exchange/antispam-and-antimalware/antispam-protection/antispam-stamps
"""

import re

from quarantine.held import HoldReason
from quarantine.holding.filters.finding import Finding, number, texts, worst
from quarantine.mail.lenient import Fields

SCL, REPORT = b"x-ms-exchange-organization-scl", b"x-forefront-antispam-report"
FIELDS = frozenset({SCL, REPORT})
MARKS = FIELDS | {
    b"x-ms-exchange-organization-pcl",
    b"x-ms-exchange-organization-antispam-report",
    b"x-ms-exchange-organization-senderidresult",
    b"x-ms-exchange-organization-originalenveloperecipients",
    b"x-microsoft-antispam",
    b"x-microsoft-antispam-mailbox-delivery",  # dest:J is the junk folder
}

_SPAM_LEVEL = 5  # and above: spam; 9 is high-confidence spam
_PART = re.compile(r"(?:^|;)\s*(CAT|SCL):([^;]*)")
_CATEGORIES = {
    "MALW": HoldReason.VIRUS,
    "AMP": HoldReason.VIRUS,  # anti-malware
    "SAP": HoldReason.VIRUS,  # safe attachments
    "PHSH": HoldReason.PHISHING,
    "HPHSH": HoldReason.PHISHING,  # high confidence, in both spellings
    "HPHISH": HoldReason.PHISHING,
    "SPOOF": HoldReason.PHISHING,
    "DIMP": HoldReason.PHISHING,  # imitates a domain
    "GIMP": HoldReason.PHISHING,  # imitates a contact
    "UIMP": HoldReason.PHISHING,  # imitates a user
    "INTOS": HoldReason.PHISHING,  # within the organization
    "FTBP": HoldReason.POLICY,  # a file type
    "SPM": HoldReason.SPAM,
    "HSPM": HoldReason.SPAM,
    "OSPM": HoldReason.SPAM,  # outbound
    "BULK": HoldReason.BULK,
}


def read(fields: Fields) -> Finding:
    parts = [part for text in texts(fields, REPORT) for part in _PART.findall(text)]
    levels = [level for level in map(number, _levels(fields, parts)) if level is not None]
    reason = worst(_CATEGORIES.get(value.strip().upper()) for key, value in parts if key == "CAT")
    level = max(levels, default=None)
    if reason is None and level is not None and level >= _SPAM_LEVEL:
        reason = HoldReason.SPAM
    return Finding(reason, level)


def _levels(fields: Fields, parts: list[tuple[str, str]]) -> list[str]:
    return [*texts(fields, SCL), *(value for key, value in parts if key == "SCL")]
