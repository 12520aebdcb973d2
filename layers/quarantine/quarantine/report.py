"""What is held, made into a report: newest first, counted honestly, and safe to show.

Sender and subject are text that an attacker chose, in a mail that was held because it may be one of theirs.
What leaves this module has no control, format or bidi character, no pile of combining marks, and a length
that keeps the whole mail under the 102 KB at which Gmail cuts. Escaping it is the renderer's part.
"""

import functools
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from heapq import nlargest

from quarantine.addresses import Address
from quarantine.domains import InvalidDomain, normalise_domain
from quarantine.request import ReportRequest

NO_SUBJECT = "(no subject)"
NO_SENDER = "(no sender)"  # a bounce has none: RFC 5321 4.5.5


class HoldReason(StrEnum):
    """Why the mail filter held a message; `words` says it to a human."""

    SPAM = "spam"  # unwanted advertising, by its content or its source
    PHISHING = "phishing"  # it imitates someone, to get at passwords or money
    VIRUS = "virus"  # it carries harmful code
    BULK = "bulk"  # newsletters and other mail to many
    POLICY = "policy"  # a rule of the organization: a file type, a size, a country
    BLOCKED = "blocked"  # its sender is on a block list of the organization

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    HoldReason.SPAM: "Spam",
    HoldReason.PHISHING: "Phishing",
    HoldReason.VIRUS: "Virus",
    HoldReason.BULK: "Bulk mail",
    HoldReason.POLICY: "Policy",
    HoldReason.BLOCKED: "Blocked sender",
}

_YEARS = range(1970, 9999)  # a day less than datetime can hold, so that every UTC offset can be added


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """One message in the quarantine.

    sender, subject: decoded text as it was in the mail: hostile.
    received_at, expires_at: aware; expires_at is when it is deleted, None when nobody has said.

    Raises ValueError for a time without an offset, or in a year that no mail has.
    """

    recipient: Address
    message_id: str
    received_at: datetime
    sender: str
    subject: str
    reason: HoldReason
    expires_at: datetime | None

    def __post_init__(self) -> None:
        for time in filter(None, (self.received_at, self.expires_at)):
            if time.utcoffset() is None or time.year not in _YEARS:
                raise ValueError(f"not the time of a mail: {time.isoformat()}")


@dataclass(frozen=True, slots=True)
class Holding:
    """What one mailbox holds: its newest messages, and how many there are in all.

    at_least: the mailbox was not read to its end, so `total` is what was seen and there may be more.
    """

    newest: tuple[HeldMessage, ...]
    total: int
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a message says it is from: `name` is anybody's claim, `address` is "" when none can be read."""

    name: str
    address: str

    @property
    def claims_address(self) -> bool:
        """Whether the name looks like an address, so that it could be taken for the real one."""
        return "@" in unicodedata.normalize("NFKC", self.name)


@dataclass(frozen=True, slots=True)
class Row:
    """One message as the report shows it; its times are in the requester's own UTC offset."""

    mailbox: Address
    received_at: datetime
    kept_until: datetime | None
    sender: Sender
    subject: str
    reason: HoldReason


@dataclass(frozen=True, slots=True)
class QuarantineReport:
    """All that the templates and the header fields need.

    rows: newest first. total: how many messages are held in all, never less than there are rows.
    at_least: some mailbox may hold more than was counted: "200 or more".
    asked_at: when the request came, like all times here in the requester's own UTC offset.
    """

    request: ReportRequest
    rows: tuple[Row, ...]
    total: int
    at_least: bool
    asked_at: datetime

    @property
    def requester(self) -> Address:
        return self.request.requester

    @property
    def trigger(self) -> Address:
        return self.request.trigger

    @property
    def shown(self) -> int:
        return len(self.rows)

    @property
    def lists_all(self) -> bool:
        """Whether the rows are known to be all that is held."""
        return self.shown == self.total and not self.at_least

    @property
    def zone(self) -> str:
        """The requester's UTC offset as a label: `UTC+01:00`; plain `UTC` when it is zero."""
        return str(self.asked_at.tzinfo)

    @property
    def other_mailboxes(self) -> tuple[Address, ...]:
        """The mailboxes listed beside the requester's own; when there are any, each row names its own."""
        return tuple(mailbox for mailbox in self.request.mailboxes if mailbox != self.requester)

    @property
    def kept_until(self) -> tuple[datetime, datetime] | None:
        """When the first and the last of the rows are deleted; None when no row has a date."""
        times = [row.kept_until for row in self.rows if row.kept_until is not None]
        return (min(times), max(times)) if times else None


def summarise(request: ReportRequest, holdings: Iterable[Holding], max_rows: int) -> QuarantineReport:
    """Merge what the mailboxes hold into one report of at most `max_rows` rows, newest first.

    Messages of the same moment are ordered by mailbox and message id, so that two reports agree.
    """
    holdings = tuple(holdings)
    zone = _zone(request.utc_offset)
    messages = (message for holding in holdings for message in holding.newest)
    newest = nlargest(max_rows, messages, key=lambda m: (m.received_at, m.recipient, m.message_id))
    shared = any(mailbox != request.requester for mailbox in request.mailboxes)
    return QuarantineReport(
        request=request,
        rows=_fitted([_row(message, zone) for message in newest], names_mailbox=shared),
        total=sum(holding.total for holding in holdings),
        at_least=any(holding.at_least for holding in holdings),
        asked_at=request.received_at.astimezone(zone),
    )


def clean_text(text: str) -> str:
    """Return hostile text as one line in NFC that can be shown beside other text and not disturb it.

    Gone are control, format and bidi characters (Cc, Cf: also the joiners of emoji, which then stand side
    by side) and blank letters; what has no meaning here (Cs, Co, Cn) becomes U+FFFD.
    """
    if len(text) > 2 * _LONGEST_READ:  # the end is read too: that is where the address of a sender is
        text = text[:_LONGEST_READ] + "…" + text[-_LONGEST_READ:]
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    text = _without_piles("".join(map(_safe, text)))
    # Again after NFC: it takes some letters apart into a letter and its marks.
    return " ".join(_without_piles(unicodedata.normalize("NFC", text)).split())


def parse_sender(text: str) -> Sender:
    """Take a decoded From field apart: the address is what stands in the last angle brackets, or alone.

    Its domain is shown in A-labels, so that no letter can imitate another.
    """
    text = clean_text(text)
    name, bracket, address = ("", "", text) if text[-1:] != ">" else text[:-1].rpartition("<")
    if "@" not in address or (not bracket and " " in address):
        return Sender(_unquoted(text) if text.strip("<> ") else NO_SENDER, "")
    address = _shown_address(address)
    name = _unquoted(name)
    return Sender("" if name.casefold() == address.casefold() else name, address)


# --- Times ---


def _zone(offset: timedelta) -> timezone:
    return timezone(offset) if abs(offset) < timedelta(days=1) else UTC


# --- Rows ---


def _row(message: HeldMessage, zone: timezone) -> Row:
    return Row(
        mailbox=message.recipient,
        received_at=message.received_at.astimezone(zone),
        kept_until=message.expires_at and message.expires_at.astimezone(zone),
        sender=_bounded(parse_sender(message.sender)),
        subject=_clipped(clean_text(message.subject), _LONGEST_SUBJECT) or NO_SUBJECT,
        reason=message.reason,
    )


# --- Characters ---

_LONGEST_READ = 1_000  # characters at either end of a text: bounds the work that one message can make
_MOST_MARKS = 3  # on one letter; Hebrew, Thai and Vietnamese need no more

# Letters and symbols (Lo, So) that show nothing: Hangul fillers, the empty Braille pattern.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")


@functools.lru_cache(maxsize=4096)
def _safe(char: str) -> str:
    if char.isspace() or char in _BLANK:
        return " "
    match unicodedata.category(char):
        case "Cc" | "Cf":
            return ""
        case "Cs" | "Co" | "Cn":
            return "\ufffd"
        case _:
            return char


# What is neither a letter nor a digit of any script, nor ASCII: a mark is among it.
_MAYBE_A_MARK = re.compile(r"[^\w\s!-~]")


def _without_piles(text: str) -> str:
    """Leave so many combining marks on a letter, and none without a letter to stand on."""
    if not _MAYBE_A_MARK.search(text):
        return text
    kept, marks = [], _MOST_MARKS
    for char in text:
        if unicodedata.category(char) in ("Mn", "Me"):
            marks += 1
        else:
            marks = _MOST_MARKS if char == " " else 0
        if marks <= _MOST_MARKS:
            kept.append(char)
    return "".join(kept)


def _unquoted(name: str) -> str:
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] == '"':  # RFC 5322 3.2.4
        name = name[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return name.strip()


def _shown_address(address: str) -> str:
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{normalise_domain(domain)}"
    except InvalidDomain:
        return address


# --- Lengths ---
#
# A mail of 100 rows must stay under 102 KB whatever the rows say, and the rows of an ordinary mail should be
# whole. So there is no fixed length: what is left of the 102 KB beside the markup is shared out, and only
# the longest texts are cut, to whatever length makes all of them fit.
#
# The unit is weight: the bytes that a text needs in both parts of the mail together, before base64.

_SHARED_WEIGHT = 34_000  # for sender, subject and mailbox of all rows; tests/unit/test_rendering.py measures
_LEAST_WEIGHT = 40  # no text is cut below this, even where thousands of rows outgrow the 102 KB
_HEAVIEST_ADDRESS = 200  # about 90 ASCII letters
_HEAVIEST_DOMAIN = 150
_LONGEST_SUBJECT = 200
_LONGEST_NAME = 80

# On top of UTF-8 in both parts: the HTML entities, and what keeps a mail client from making links.
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
ELLIPSIS = "…"


def _weight(text: str) -> int:
    return 2 * len(text.encode()) + sum(map(_EXTRA_WEIGHT.__getitem__, _HEAVY.findall(text)))


def _head(text: str, weight: int) -> str:
    """Return the longest start of the text that weighs no more than this."""
    # Not letter by letter: a report of long subjects cuts hundreds of texts.
    return text[: bisect_right(range(1, len(text) + 1), weight, key=lambda length: _weight(text[:length]))]


def _tail(text: str, weight: int) -> str:
    return _head(text[::-1], weight)[::-1]


def _clipped(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + ELLIPSIS


def _cut(text: str, weight: int) -> str:
    if _weight(text) <= weight:
        return text
    return _head(text, weight - _weight(ELLIPSIS)).rstrip() + ELLIPSIS


def _bounded(sender: Sender) -> Sender:
    address = _cut_address(sender.address) if sender.address else ""
    return Sender(_clipped(sender.name, _LONGEST_NAME), address)


def _cut_address(address: str) -> str:
    """Cut the local part in the middle. The domain stays, or the end of one that is endless: its owner."""
    local, _, domain = address.rpartition("@")
    if _weight(domain) > _HEAVIEST_DOMAIN:
        domain = ELLIPSIS + _tail(domain, _HEAVIEST_DOMAIN - _weight(ELLIPSIS))
    room = _HEAVIEST_ADDRESS - _weight("@" + domain)
    if _weight(local) > room:
        half = (room - _weight(ELLIPSIS)) // 2
        local = _head(local, half) + ELLIPSIS + _tail(local, half)
    return f"{local}@{domain}"


def _fitted(rows: Sequence[Row], *, names_mailbox: bool) -> tuple[Row, ...]:
    """Cut the longest names and subjects as far as all rows together need."""
    fixed = sum(_weight(row.sender.address) for row in rows)
    if names_mailbox:
        fixed += sum(_weight(f"For: held for {row.mailbox}") for row in rows)
    weights = [_weight(text) for row in rows for text in (row.sender.name, row.subject)]
    weight = max(_LEAST_WEIGHT, _level(weights, _SHARED_WEIGHT - fixed))
    if weight >= max(weights, default=0):
        return tuple(rows)
    return tuple(
        replace(
            row,
            sender=Sender(_cut(row.sender.name, weight), row.sender.address),
            subject=_cut(row.subject, weight),
        )
        for row in rows
    )


def _level(weights: Iterable[int], total: int) -> int:
    """Return the level to which the heaviest must be cut, so that all of them weigh `total` together."""
    heaviest_last = sorted(weights)
    for position, weight in enumerate(heaviest_last):
        share = total // (len(heaviest_last) - position)
        if weight > share:
            return share
        total -= weight
    return max(heaviest_last, default=0)
