"""Fits a report into a mail of 102 KB, the size at which Gmail cuts a mail off.

A mail of 100 rows must stay below that with any content, and the rows of an ordinary mail should not be cut.
So there is no fixed length: the rows share the space that the markup leaves of the 102 KB, and only the
longest texts are cut, to a length at which all texts fit.

The unit is weight: the number of bytes that a text needs in both parts of the mail together, before base64.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace

from quarantine.mail.lenient import Sender
from quarantine.mail.text import ELLIPSIS, clipped
from quarantine.reporting.summary import QuarantineReport, Row

_SHARED_WEIGHT = (
    34_000  # for sender, subject and mailbox of all rows; tests/reporting/test_message.py measures it
)
_LEAST_WEIGHT = 40  # no text is cut below this, even if thousands of rows exceed the 102 KB
_HEAVIEST_ADDRESS = 200  # about 90 ASCII letters
_HEAVIEST_DOMAIN = 150
_LONGEST_SUBJECT = 200
_LONGEST_NAME = 80

# In addition to UTF-8 in both parts: the HTML entities, and the marks that prevent automatic links.
_EXTRA_WEIGHT = {
    "<": 3,
    ">": 3,
    "&": 4,
    '"': 4,
    "'": 4,
    ".": 7,
    ":": 7,
    "@": 5,
    "。": 5,
    "．": 5,
    "｡": 5,
    "＠": 5,
}
_HEAVY = re.compile(f"[{''.join(_EXTRA_WEIGHT)}]")


def fit(report: QuarantineReport) -> QuarantineReport:
    """Return the report with texts that fit; a text that is short enough stays unchanged."""
    rows = [
        replace(row, sender=_bounded(row.sender), subject=clipped(row.subject, _LONGEST_SUBJECT))
        for row in report.rows
    ]
    fixed = sum(_weight(row.sender.address or "(no address that can be read)") for row in rows)
    if report.other_mailboxes:  # then each row names its mailbox
        fixed += sum(_weight(f"For: held for {row.mailbox}") for row in rows)
    weights = [_weight(text) for row in rows for text in (row.sender.name, row.subject)]
    weight = max(_LEAST_WEIGHT, _level(weights, _SHARED_WEIGHT - fixed))
    if weight < max(weights, default=0):
        rows = [_cut_row(row, weight) for row in rows]
    return replace(report, rows=tuple(rows))


def _cut_row(row: Row, weight: int) -> Row:
    sender = Sender(_cut(row.sender.name, weight), row.sender.address)
    return replace(row, sender=sender, subject=_cut(row.subject, weight))


def _weight(text: str) -> int:
    return 2 * len(text.encode()) + sum(map(_EXTRA_WEIGHT.__getitem__, _HEAVY.findall(text)))


def _head(text: str, weight: int) -> str:
    """Return the longest start of the text that does not exceed the weight."""
    # Not letter by letter: in a report of long subjects, hundreds of texts are cut.
    return text[: bisect_right(range(1, len(text) + 1), weight, key=lambda length: _weight(text[:length]))]


def _tail(text: str, weight: int) -> str:
    return _head(text[::-1], weight)[::-1]


def _cut(text: str, weight: int) -> str:
    if _weight(text) <= weight:
        return text
    return _head(text, weight - _weight(ELLIPSIS)).rstrip() + ELLIPSIS


def _bounded(sender: Sender) -> Sender:
    address = _cut_address(sender.address) if sender.address else ""
    return Sender(clipped(sender.name, _LONGEST_NAME), address)


def _cut_address(address: str) -> str:
    """Cut the local part in the middle. Keep the domain, or the end of a long one, which names the owner."""
    local, _, domain = address.rpartition("@")
    if _weight(domain) > _HEAVIEST_DOMAIN:
        domain = ELLIPSIS + _tail(domain, _HEAVIEST_DOMAIN - _weight(ELLIPSIS))
    room = _HEAVIEST_ADDRESS - _weight("@" + domain)
    if _weight(local) > room:
        half = (room - _weight(ELLIPSIS)) // 2
        local = _head(local, half) + ELLIPSIS + _tail(local, half)
    return f"{local}@{domain}"


def _level(weights: Iterable[int], total: int) -> int:
    """Return the weight to which the heaviest texts must be cut so that all texts together weigh `total`."""
    heaviest_last = sorted(weights)
    for position, weight in enumerate(heaviest_last):
        share = total // (len(heaviest_last) - position)
        if weight > share:
            return share
        total -= weight
    return max(heaviest_last, default=0)
