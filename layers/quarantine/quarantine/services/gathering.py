"""Gathering: which held messages a report lists, read from the quarantine."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from quarantine.acting.offers import Offering
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import DigestCommand, ReportCommand
from quarantine.asking.views import View
from quarantine.digests.news import Mark, is_new
from quarantine.held import HeldMessage, MailboxListing, Order
from quarantine.mail.addresses import Address
from quarantine.reporting.summary import QuarantineReport, summarise
from quarantine.stores.quarantine import Quarantine, Span

MOST_LOOKED_AT: Final = 50_000
"""How many rows a digest reads, of all its mailboxes together."""

MOST_SEARCHED: Final = 10_000
"""How many rows `find` reads, of all mailboxes together."""


def gather(
    request: Accepted,
    quarantine: Quarantine,
    max_rows: int,
    offering: Offering,
    now: datetime,
    *,
    told: Mapping[Address, Mark] | None = None,
    order: Order = Order.NEWEST,
) -> QuarantineReport:
    """Read and summarise the held mail of a request's mailboxes. told: how far its reader was told."""
    told = told or {}
    match request.command:
        case DigestCommand():
            most = MOST_LOOKED_AT // len(request.mailboxes)
            listings = [
                _news(quarantine, mailbox, told.get(mailbox), now, limit=max_rows, most=most)
                for mailbox in request.mailboxes
            ]
        case ReportCommand(view=view) if view.find:
            most = MOST_SEARCHED // len(request.mailboxes)
            listings = [
                _search(quarantine, mailbox, view, now, limit=max_rows, most=most)
                for mailbox in request.mailboxes
            ]
        case ReportCommand(view=view):
            limit = max_rows + (view.older.skip if view.older else 0)
            listings = [
                quarantine.held_for(mailbox, now, limit, _span(view, now)) for mailbox in request.mailboxes
            ]
        case _:
            raise AssertionError("only a report lists messages")

    def new(message: HeldMessage) -> bool:
        mark = told.get(message.recipient)
        return mark is not None and is_new(message, mark)

    return summarise(request, listings, max_rows, offering, order=order, new=new)


def is_anything_held(mailboxes: Iterable[Address], quarantine: Quarantine, now: datetime) -> bool:
    """Return whether any message is held for one of these mailboxes."""
    return any(quarantine.held_for(mailbox, now, 1).total for mailbox in mailboxes)


def _span(view: View, now: datetime) -> Span:
    return Span(view.begins(now), None if view.older is None else view.older.end)


def _news(
    quarantine: Quarantine, mailbox: Address, mark: Mark | None, now: datetime, *, limit: int, most: int
) -> MailboxListing:
    """List what is new in a mailbox, and count the rest.

    All of it is read: a row may have been written late. A mailbox with more rows than `most` is not read to
    its end, and a row that is written there later than a report is missed.
    """
    newest: list[HeldMessage] = []
    new = others = looked_at = 0
    more = False
    for page in quarantine.pages(mailbox, now, limit, Span(), consistent=True):
        for message in page.messages:
            if not is_new(message, mark):
                others += 1
                continue
            new += 1
            if len(newest) < limit:
                newest.append(message)
        looked_at += page.looked_at
        if (more := page.more) and looked_at >= most:
            break
    return MailboxListing(tuple(newest), new, at_least=more, others=others)


def _search(
    quarantine: Quarantine, mailbox: Address, view: View, now: datetime, *, limit: int, most: int
) -> MailboxListing:
    """List the messages of a mailbox that have the words, until there are enough, or enough was read."""
    limit += view.older.skip if view.older else 0
    found: list[HeldMessage] = []
    looked_at = 0
    last: datetime | None = None
    for page in quarantine.pages(mailbox, now, limit, _span(view, now)):
        found += filter(view.shows, page.messages)
        looked_at += page.looked_at
        last = page.messages[-1].received_at if page.messages else last
        if page.more and (len(found) >= limit or looked_at >= most):
            return MailboxListing(tuple(found), len(found), at_least=True, reached=last)
    return MailboxListing(tuple(found), len(found))
