"""A request and the addresses in it, for the tests of reports."""

from datetime import UTC, datetime, timedelta

from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ReportCommand
from quarantine.asking.replying import ReplyContext
from quarantine.mail.addresses import Address

BOB = Address.parse("bob@example.com")
OURS = Address.parse("quarantine@reports.example.com")
HELPDESK = Address.parse("helpdesk@example.com")
NOW = datetime(2025, 3, 10, 8, 15, 30, tzinfo=UTC)
REQUEST = Accepted(
    request_id="dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81",
    requester=BOB,
    mailboxes=(BOB,),
    command=ReportCommand(Address.parse("manual-report-request@reports.example.com")),
    received_at=NOW - timedelta(seconds=30),
    reply=ReplyContext(utc_offset=timedelta(hours=1)),
)
