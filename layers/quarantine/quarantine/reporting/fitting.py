"""Fits the HTML of a report into 102 KB, the size at which Gmail cuts it off.

A page of 100 rows must stay below that with any content, and the rows of an ordinary mail should not be cut.
So there is no fixed length: the rows share the space that the markup and the links leave of the 102 KB, and
only the longest texts are cut, to a length at which all texts fit. They are defanged before they are cut.

The unit is weight: the number of bytes that a text needs in the HTML. Gmail does not count the plain text.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import starmap

from markupsafe import escape

from quarantine.acting.offers import Offer
from quarantine.mail.lenient import Sender
from quarantine.mail.links import defanged
from quarantine.mail.text import ELLIPSIS, clipped
from quarantine.reporting.summary import QuarantineReport, Row

# tests/reporting/test_message.py measures these three.
_CUT_AT = 102 * 1024
_PAGE_WEIGHT = 11_000  # of all but the rows, with long addresses
_ROW_WEIGHT = 245  # of a row without its texts, its mailbox and its links
_NEW_WEIGHT = 16  # of the mark of a row that is new
_LEAST_WEIGHT = 20  # no text is cut below this, even if thousands of rows exceed the 102 KB
_HEAVIEST_ADDRESS = 95  # about 80 ASCII letters, and the brackets
_HEAVIEST_DOMAIN = 75
_LONGEST_SUBJECT = 200
_LONGEST_NAME = 80

_ELLIPSIS_WEIGHT = len(ELLIPSIS.encode())
_HEAVIEST_LETTER = 5  # escaped: &amp;
_LINK = '\n<a href="mailto:?subject=Preview" aria-label="Preview 1000">Preview</a>'  # without its address


def fit(report: QuarantineReport) -> QuarantineReport:
    """Return the report with defanged texts that fit; a text that is short enough is not cut."""
    names = [clipped(defanged(row.sender.name), _LONGEST_NAME) for row in report.rows]
    subjects = [clipped(defanged(row.subject), _LONGEST_SUBJECT) for row in report.rows]
    addresses = [_shown_address(row.sender.address) for row in report.rows]
    fixed = _PAGE_WEIGHT + _ROW_WEIGHT * len(report.rows)
    fixed += sum(_weight(address or "(no address that can be read)") for address in addresses)
    fixed += sum(_link_weight(offer) for row in report.rows for offer in row.offers)
    fixed += _NEW_WEIGHT * sum(row.is_new for row in report.rows)
    if report.other_mailboxes:  # then each row names its mailbox
        fixed += sum(_mailbox_weight(str(row.mailbox)) for row in report.rows)
    texts = names + subjects
    weights = [_weight(text) for text in texts]
    level = max(_LEAST_WEIGHT, _level(weights, _CUT_AT - fixed))
    cut = [_cut(text, level) if weight > level else text for text, weight in zip(texts, weights, strict=True)]
    count = len(report.rows)
    fitted = zip(report.rows, addresses, cut[:count], cut[count:], strict=True)
    return replace(report, rows=tuple(starmap(_with_texts, fitted)))


def _with_texts(row: Row, address: str, name: str, subject: str) -> Row:
    # Not replace(): it takes as long as all the rest of a row.
    return Row(
        row.mailbox,
        row.received_at,
        row.kept_until,
        Sender(name, address),
        row.claims_address,
        subject,
        row.reason,
        row.offers,
        row.is_releasing,
        row.is_new,
    )


def _weight(text: str) -> int:
    return len(escape(text).encode())


def _mailbox_weight(mailbox: str) -> int:
    joints = 1 + mailbox.count(".")
    return _weight(f"Held for {mailbox}") + len("<br>") + joints * len("<wbr>")


def _link_weight(offer: Offer) -> int:
    return len(_LINK) + _weight(str(offer.address))


def _head(text: str, weight: int) -> str:
    """Return the longest start of the text that does not exceed the weight."""
    head = text.encode()[:weight].decode(errors="ignore")
    while (excess := _weight(head) - weight) > 0:
        head = head[: -max(1, excess // _HEAVIEST_LETTER)]
    return head


def _tail(text: str, weight: int) -> str:
    return _head(text[::-1], weight)[::-1]


def _cut(text: str, weight: int) -> str:
    return _head(text, weight - _ELLIPSIS_WEIGHT).rstrip() + ELLIPSIS


def _shown_address(address: str) -> str:
    """Cut the local part in the middle. Keep the domain, or the end of a long one, which names the owner."""
    shown = defanged(address)
    if _weight(shown) <= _HEAVIEST_ADDRESS:
        return shown
    local, at, domain = map(defanged, address.rpartition("@"))
    if _weight(domain) > _HEAVIEST_DOMAIN:
        domain = ELLIPSIS + _tail(domain, _HEAVIEST_DOMAIN - _ELLIPSIS_WEIGHT).lstrip(".]")
    room = _HEAVIEST_ADDRESS - _weight(at + domain)
    if _weight(local) > room:
        half = (room - _ELLIPSIS_WEIGHT) // 2
        local = _head(local, half) + ELLIPSIS + _tail(local, half)
    return local + at + domain


def _level(weights: Iterable[int], total: int) -> int:
    """Return the weight to which the heaviest texts must be cut so that all texts together weigh `total`."""
    heaviest_last = sorted(weights)
    for position, weight in enumerate(heaviest_last):
        share = total // (len(heaviest_last) - position)
        if weight > share:
            return share
        total -= weight
    return max(heaviest_last, default=0)
