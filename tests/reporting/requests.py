"""A request and the addresses in it, for the tests of reports."""

from datetime import UTC, datetime, timedelta
from functools import partial

from quarantine.acting.offers import Policy, offers_on
from quarantine.acting.rules import Action
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ReportCommand
from quarantine.asking.replying import ReplyContext
from quarantine.held import HoldReason
from quarantine.mail.addresses import Address

BOB = Address.parse("bob@example.com")
OURS = Address.parse("quarantine@reports.example.com")
HELPDESK = Address.parse("helpdesk@example.com")
DOMAIN = "reports.example.com"
CODE = "abcdefghijklmnop"
EVERYTHING = partial(offers_on, policy=Policy(frozenset(Action), frozenset(HoldReason)), domain=DOMAIN)
"""Offers each action on each message that has a code and a stored mail."""
NOW = datetime(2025, 3, 10, 8, 15, 30, tzinfo=UTC)
REQUEST = Accepted(
    request_id="dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81",
    requester=BOB,
    mailboxes=(BOB,),
    command=ReportCommand(Address.parse("manual-report-request@reports.example.com")),
    received_at=NOW - timedelta(seconds=30),
    reply=ReplyContext(utc_offset=timedelta(hours=1)),
)
