"""A summary of the held mail: in order, with a correct count, and safe to show.

An attacker chose the sender and the subject, in a mail that was held because it may be an attack. This module
removes all invisible characters and excessive combining marks. `fitting` prevents automatic links and cuts
the texts to a length, and the templates escape them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from heapq import nlargest
from typing import assert_never

from quarantine.acting.offers import Offer, Offering
from quarantine.acting.rules import Action
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import (
    WHOLE,
    DigestCommand,
    ReportCommand,
    Wish,
    older_address,
    wish_address,
)
from quarantine.asking.views import Cursor, View
from quarantine.held import SEVERITY, HeldMessage, HoldReason, MailboxListing, Order
from quarantine.mail.addresses import Address
from quarantine.mail.lenient import Sender, parse_sender
from quarantine.mail.links import defanged
from quarantine.mail.text import clean_text


@dataclass(frozen=True, slots=True)
class Row:
    """One message as the report shows it; its times are in the requester's own UTC offset.

    subject: "" if the mail has none. claims_address: whether the sender's name looks like an address.
    offers: what the reader can do about it. is_releasing: it is on its way to the reader.
    is_new: no report before this one told of it; False where this is the first.
    """

    mailbox: Address
    received_at: datetime
    kept_until: datetime | None
    sender: Sender
    claims_address: bool
    subject: str
    reason: HoldReason
    offers: tuple[Offer, ...]
    is_releasing: bool
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class QuarantineReport:
    """All values that the templates and the header fields need.

    rows: in the order of the report. total: the number of all messages that it is about, never less than the
    number of rows. at_least: a mailbox may hold more messages than were counted: "200 or more".
    asked_at: when the request was received; like all times here, in the requester's own UTC offset.
    listed: the messages of the rows, newest first; hostile, and not shown.
    rest: where the list goes on; None if nothing comes after it. others: what a digest leaves out, because a
    report has told of it. was_stopped: a search did not look at all messages.
    """

    request: Accepted
    rows: tuple[Row, ...]
    total: int
    at_least: bool
    asked_at: datetime
    order: Order = Order.NEWEST
    listed: tuple[HeldMessage, ...] = ()
    rest: Cursor | None = None
    others: int = 0
    was_stopped: bool = False

    @property
    def requester(self) -> Address:
        return self.request.requester

    @property
    def _command(self) -> ReportCommand | DigestCommand:
        command = self.request.command
        assert isinstance(command, ReportCommand | DigestCommand), "only such a request has a report"
        return command

    @property
    def trigger(self) -> Address:
        return self._command.written_to

    @property
    def is_digest(self) -> bool:
        """Whether it comes by itself, and lists only what is new."""
        return isinstance(self._command, DigestCommand)

    @property
    def view(self) -> View:
        """What of the held messages it lists."""
        return self._command.view if isinstance(self._command, ReportCommand) else WHOLE

    @property
    def shown(self) -> int:
        return len(self.rows)

    @property
    def lists_all(self) -> bool:
        """Whether the rows are known to be all messages that it is about."""
        return self.shown == self.total and not self.at_least

    @property
    def zone(self) -> str:
        """The requester's UTC offset as a label: `UTC+01:00`; plain `UTC` if it is zero."""
        return str(self.asked_at.tzinfo)

    @property
    def _of(self) -> Address | None:
        return self._command.of if isinstance(self._command, ReportCommand) else None

    @property
    def whose(self) -> Address:
        """Whose held mail is listed: that of the requester, or of the mailbox that they name."""
        return self._of or self.requester

    @property
    def is_of_another(self) -> bool:
        """Whether it is an administrator's view of a mailbox that is not theirs: nothing is offered there."""
        return isinstance(self._command, ReportCommand) and self._command.as_administrator

    @property
    def other_mailboxes(self) -> tuple[Address, ...]:
        """The mailboxes listed beside the requester's own; if there are any, each row names its mailbox."""
        if self._of is not None:
            return ()
        return tuple(mailbox for mailbox in self.request.mailboxes if mailbox != self.requester)

    @property
    def older(self) -> Address | None:
        """The address to write to for what comes after the list; None if nothing does."""
        return None if self.rest is None else older_address(self.trigger, self.rest)

    @property
    def subject(self) -> str:
        """The Subject of the request, as far as it says what is listed, to write it again; "" for none."""
        if self._of is not None:
            return f"for {self._of}"
        if self.view.find:
            return f"find {' '.join(self.view.find)}"
        return "" if self.view.days is None else f"last {self.view.days} days"

    @property
    def words(self) -> str:
        """The words that were looked for, safe to show."""
        return ", ".join(map(defanged, self.view.find))

    @property
    def marks_new(self) -> bool:
        """Whether to mark the rows that are new: some are, and some are not."""
        return 0 < sum(row.is_new for row in self.rows) < len(self.rows)

    @property
    def unsubscribe(self) -> Address | None:
        """The address to write to so that no digest comes any more; None for what was asked for."""
        return wish_address(Wish.OFF, self.trigger.domain) if self.is_digest else None

    @property
    def offered(self) -> frozenset[Action]:
        """The actions that are offered on any row."""
        return frozenset(offer.action for row in self.rows for offer in row.offers)

    @property
    def kept_until(self) -> tuple[datetime, datetime] | None:
        """The earliest and the latest date at which a row is deleted; None if no row has such a date."""
        times = [row.kept_until for row in self.rows if row.kept_until is not None]
        return (min(times), max(times)) if times else None

    @property
    def all_are_dated(self) -> bool:
        """Whether each row has a date at which it is deleted."""
        return all(row.kept_until is not None for row in self.rows)


def summarise(
    request: Accepted,
    listings: Iterable[MailboxListing],
    max_rows: int,
    offering: Offering,
    *,
    order: Order = Order.NEWEST,
    new: Callable[[HeldMessage], bool] = lambda _: False,
) -> QuarantineReport:
    """Merge the held messages of the mailboxes into one report of at most `max_rows` rows.

    The newest are listed, whatever their order. Messages of the same time are ordered by mailbox and message
    id, so that two reports agree. new: says of a message whether it is to be marked as new.
    """
    listings = tuple(listings)
    zone = _zone(request.reply.utc_offset)
    before = request.command.view.older if isinstance(request.command, ReportCommand) else None
    reached = max((each.reached for each in listings if each.reached is not None), default=None)
    messages = [
        message
        for listing in listings
        for message in listing.newest
        if reached is None or message.received_at >= reached.replace(microsecond=0)
    ]
    skipped = 0 if before is None else len(messages)
    room = max_rows if before is None else len(messages)
    newest = nlargest(room, messages, key=lambda m: (m.received_at, m.recipient, m.message_id))
    if before is not None:
        newest = list(before.rest(newest))
        skipped -= len(newest)
    listed = newest[:max_rows]
    total = sum(listing.total for listing in listings) - skipped
    at_least = any(listing.at_least for listing in listings)
    rest = Cursor.after(listed, before)
    if reached is not None and len(newest) <= max_rows:  # the search goes on where it stopped
        rest = _stopped_at(reached, rest, before)
    return QuarantineReport(
        request=request,
        rows=tuple(_row(message, zone, offering, new) for message in _ordered(listed, order)),
        total=total,
        at_least=at_least,
        asked_at=request.received_at.astimezone(zone),
        order=order,
        listed=tuple(listed),
        rest=rest if at_least or total > len(listed) else None,
        others=sum(listing.others for listing in listings),
        was_stopped=reached is not None,
    )


def _stopped_at(reached: datetime, rest: Cursor | None, before: Cursor | None) -> Cursor:
    """Return the place where a search stopped. rest: after its last find."""
    second = reached.replace(microsecond=0)
    for place in (rest, before):
        if place is not None and place.second == second:
            return place
    return Cursor(second)


def _ordered(newest: Sequence[HeldMessage], order: Order) -> Sequence[HeldMessage]:
    match order:
        case Order.NEWEST:
            return newest
        case Order.WANTED:
            return sorted(newest, key=_unwanted)
        case _:
            assert_never(order)


def _unwanted(message: HeldMessage) -> tuple[int, Decimal]:
    """Return how unlikely it is that the reader wants a message.

    By its reason, the mildest first, then by the filter's score, the lowest first; without a score last.
    """
    return -SEVERITY.index(message.reason), Decimal("Infinity") if message.score is None else message.score


# --- Times ---


def _zone(offset: timedelta) -> timezone:
    return timezone(offset) if abs(offset) < timedelta(days=1) else UTC


# --- Rows ---


def _row(message: HeldMessage, zone: timezone, offering: Offering, new: Callable[[HeldMessage], bool]) -> Row:
    sender = parse_sender(message.sender)
    return Row(
        mailbox=message.recipient,
        received_at=message.received_at.astimezone(zone),
        kept_until=message.expires_at and message.expires_at.astimezone(zone),
        sender=sender,
        claims_address=sender.claims_address,
        subject=clean_text(message.subject),
        reason=message.reason,
        offers=offering(message),
        is_releasing=message.is_releasing,
        is_new=new(message),
    )
