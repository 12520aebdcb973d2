"""A delivery report about a released mail (RFC 3464), which comes to the mail's envelope sender.

Only who handled that mail knows the address, but what it sends is hostile all the same: at most a megabyte is
read, and nothing is parsed but the fields of the first part that says what became of the mail. What follows
it is the returned mail, which its sender wrote.
"""

import re
from dataclasses import dataclass
from typing import Final

from quarantine.mail.text import clean_text, clipped

_LONGEST_PART: Final = 64 * 1024
_LONGEST_DETAIL: Final = 500

# RFC 3464 2, RFC 6533 for mail in UTF-8. A part's header begins a line, and ends with an empty one.
# It has few lines here. Otherwise the rest of the mail would be searched from each of many such fields.
_STATUS_PART = re.compile(
    rb"^content-type[ \t]*:[ \t]*(?:\r?\n[ \t]+)?message/(?:global-)?delivery-status\b[^\n]*\n"
    rb"(?:[^\r\n][^\n]*\n){0,20}+\r?\n",
    re.IGNORECASE | re.MULTILINE,
)
_BOUNDARY = re.compile(rb"^--", re.MULTILINE)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_FIELD = re.compile(rb"^(action|status|diagnostic-code)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """has_failed: the mail will not arrive; else it is late, or has arrived. detail: a stranger's words."""

    has_failed: bool
    detail: str


def read_delivery_report(raw: bytes) -> DeliveryReport | None:
    """Read the beginning of a mail; None if it is not a delivery report, such as an automatic reply."""
    if (part := _STATUS_PART.search(raw)) is None:
        return None
    boundary = _BOUNDARY.search(raw, part.end())
    end = min(boundary.start() if boundary else len(raw), part.end() + _LONGEST_PART)
    found = _FIELD.findall(_FOLD.sub(b" ", raw[part.end() : end]))
    fields = {name.lower(): value.strip() for name, value in reversed(found)}  # the first of each counts
    if b"action" not in fields:
        return None
    said = b", ".join(filter(None, (fields.get(b"status"), fields.get(b"diagnostic-code"))))
    # RFC 3464 2.3.3: failed, delayed, delivered, relayed, expanded
    has_failed = any(
        name.lower() == b"action" and value.strip().lower() == b"failed" for name, value in found
    )
    return DeliveryReport(has_failed, clipped(clean_text(said.decode("utf-8", "replace")), _LONGEST_DETAIL))
