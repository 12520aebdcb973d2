"""A summary of the held mail: newest first, with a correct count, and safe to show.

An attacker chose the sender and the subject, in a mail that was held because it may be an attack. This module
removes all invisible characters and excessive combining marks. `fitting` prevents automatic links and cuts
the texts to a length, and the templates escape them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from heapq import nlargest

from quarantine.acting.offers import Offer, Offering
from quarantine.acting.rules import Action
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ReportCommand
from quarantine.held import HeldMessage, HoldReason, MailboxListing
from quarantine.mail.addresses import Address
from quarantine.mail.lenient import Sender, parse_sender
from quarantine.mail.text import clean_text


@dataclass(frozen=True, slots=True)
class Row:
    """One message as the report shows it; its times are in the requester's own UTC offset.

    subject: "" if the mail has none. claims_address: whether the sender's name looks like an address.
    offers: what the reader can do about it. is_releasing: it is on its way to the reader.
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


@dataclass(frozen=True, slots=True)
class QuarantineReport:
    """All values that the templates and the header fields need.

    rows: newest first. total: the number of all held messages, never less than the number of rows.
    at_least: a mailbox may hold more messages than were counted: "200 or more".
    asked_at: when the request was received; like all times here, in the requester's own UTC offset.
    """

    request: Accepted
    rows: tuple[Row, ...]
    total: int
    at_least: bool
    asked_at: datetime

    @property
    def requester(self) -> Address:
        return self.request.requester

    @property
    def _command(self) -> ReportCommand:
        command = self.request.command
        assert isinstance(command, ReportCommand), "only such a request has a report"
        return command

    @property
    def trigger(self) -> Address:
        return self._command.written_to

    @property
    def shown(self) -> int:
        return len(self.rows)

    @property
    def lists_all(self) -> bool:
        """Whether the rows are known to be all held messages."""
        return self.shown == self.total and not self.at_least

    @property
    def zone(self) -> str:
        """The requester's UTC offset as a label: `UTC+01:00`; plain `UTC` if it is zero."""
        return str(self.asked_at.tzinfo)

    @property
    def whose(self) -> Address:
        """Whose held mail is listed: that of the requester, or of the mailbox that they name."""
        return self._command.of or self.requester

    @property
    def is_of_another(self) -> bool:
        """Whether it is an administrator's view of a mailbox that is not theirs: nothing is offered there."""
        return self._command.as_administrator

    @property
    def other_mailboxes(self) -> tuple[Address, ...]:
        """The mailboxes listed beside the requester's own; if there are any, each row names its mailbox."""
        if self._command.of is not None:
            return ()
        return tuple(mailbox for mailbox in self.request.mailboxes if mailbox != self.requester)

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
    request: Accepted, listings: Iterable[MailboxListing], max_rows: int, offering: Offering
) -> QuarantineReport:
    """Merge the held messages of the mailboxes into one report of at most `max_rows` rows, newest first.

    Messages of the same time are ordered by mailbox and message id, so that two reports agree.
    """
    listings = tuple(listings)
    zone = _zone(request.reply.utc_offset)
    messages = (message for listing in listings for message in listing.newest)
    newest = nlargest(max_rows, messages, key=lambda m: (m.received_at, m.recipient, m.message_id))
    return QuarantineReport(
        request=request,
        rows=tuple(_row(message, zone, offering) for message in newest),
        total=sum(listing.total for listing in listings),
        at_least=any(listing.at_least for listing in listings),
        asked_at=request.received_at.astimezone(zone),
    )


# --- Times ---


def _zone(offset: timedelta) -> timezone:
    return timezone(offset) if abs(offset) < timedelta(days=1) else UTC


# --- Rows ---


def _row(message: HeldMessage, zone: timezone, offering: Offering) -> Row:
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
    )
