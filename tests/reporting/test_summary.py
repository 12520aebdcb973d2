"""How listings are merged, ordered and counted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ReportCommand
from quarantine.asking.views import Cursor, View
from quarantine.held import HeldMessage, HoldReason, MailboxListing
from quarantine.mail.addresses import Address
from quarantine.reporting.summary import QuarantineReport, summarise
from tests.reporting.requests import EVERYTHING

BOB = Address.parse("bob@example.com")
SALES = Address.parse("sales@example.com")
NOON = datetime(2025, 3, 10, 12, tzinfo=UTC)
COMMAND = ReportCommand(Address.parse("manual-report-request@reports.example.com"))
REQUEST = Accepted(
    request_id="dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81",
    requester=BOB,
    mailboxes=(BOB,),
    command=COMMAND,
    received_at=NOON,
)
MESSAGE = HeldMessage(
    recipient=BOB,
    message_id="m",
    received_at=NOON,
    sender="Eve <eve@evil.example>",
    subject="Hello",
    reason=HoldReason.SPAM,
    expires_at=NOON + timedelta(days=30),
)


def summary(*messages: HeldMessage, request: Accepted = REQUEST, max_rows: int = 100) -> QuarantineReport:
    return summarise(request, [MailboxListing(messages, len(messages))], max_rows, EVERYTHING)


# --- What is merged ---


def test_messages_of_all_mailboxes_are_merged_newest_first() -> None:
    def at(hour: int, recipient: Address) -> HeldMessage:
        return replace(
            MESSAGE, received_at=NOON + timedelta(hours=hour), recipient=recipient, subject=str(hour)
        )

    holdings = [MailboxListing((at(5, BOB), at(1, BOB)), 2), MailboxListing((at(4, SALES), at(3, SALES)), 7)]
    report = summarise(replace(REQUEST, mailboxes=(BOB, SALES)), holdings, 3, EVERYTHING)
    assert [(row.subject, row.mailbox) for row in report.rows] == [("5", BOB), ("4", SALES), ("3", SALES)]
    assert (report.shown, report.total, report.other_mailboxes) == (3, 9, (SALES,))


@pytest.mark.parametrize(
    ("holdings", "counted"),
    [
        pytest.param([], (0, False, True), id="nothing"),
        pytest.param([MailboxListing((MESSAGE,) * 2, 2)], (2, False, True), id="all are listed"),
        pytest.param([MailboxListing((MESSAGE,) * 3, 3)], (3, False, False), id="more than a report lists"),
        pytest.param([MailboxListing((MESSAGE,) * 2, 9)], (9, False, False), id="more than were read"),
        pytest.param([MailboxListing((MESSAGE,) * 2, 2, True)], (2, True, False), id="maybe more"),
        pytest.param(
            [MailboxListing((MESSAGE,), 1), MailboxListing((MESSAGE,), 5, True), MailboxListing((), 0)],
            (6, True, False),
            id="one mailbox may hold more",
        ),
    ],
)
def test_the_count_is_a_bound_when_any_mailbox_has_one(
    holdings: list[MailboxListing], counted: tuple[int, bool, bool]
) -> None:
    report = summarise(REQUEST, holdings, 2, EVERYTHING)
    assert (report.total, report.at_least, report.lists_all) == counted


@given(
    held=st.lists(st.lists(st.integers(0, 50).map(lambda hours: NOON - timedelta(hours=hours)))),
    beyond=st.integers(0, 300),
    max_rows=st.integers(1, 12),
)
def test_the_count_is_honest_and_the_order_is_by_time(
    held: list[list[datetime]], beyond: int, max_rows: int
) -> None:
    holdings = [
        MailboxListing(
            tuple(replace(MESSAGE, received_at=time) for time in times),
            len(times) + beyond,
        )
        for times in held
    ]
    report = summarise(REQUEST, holdings, max_rows, EVERYTHING)
    everything = sorted((time for times in held for time in times), reverse=True)
    assert [row.received_at for row in report.rows] == everything[:max_rows]
    assert report.total == len(everything) + beyond * len(held)


def test_messages_of_the_same_moment_keep_one_order_however_they_come() -> None:
    messages = [replace(MESSAGE, message_id=each, subject=each) for each in "bca"]
    orders = {
        tuple(row.subject for row in summary(*given_order).rows) for given_order in (messages, messages[::-1])
    }
    assert orders == {("c", "b", "a")}


def test_nothing_held_is_a_report_too() -> None:
    report = summary()
    assert (report.rows, report.total, report.kept_until) == ((), 0, None)


def test_the_report_knows_whom_it_answers() -> None:
    report = summary()
    assert (report.requester, report.trigger, report.other_mailboxes) == (BOB, REQUEST.command.written_to, ())


def test_kept_until_spans_the_rows_that_have_a_date() -> None:
    soon, late = NOON + timedelta(days=3), NOON + timedelta(days=9)
    report = summary(*(replace(MESSAGE, expires_at=time) for time in (late, None, soon)))
    assert report.kept_until == (soon, late)


def test_a_name_that_claims_an_address_is_known_before_it_is_defanged() -> None:
    claims = summary(replace(MESSAGE, sender="bob@example.com <eve@evil.example>"), MESSAGE).rows
    assert sorted(row.claims_address for row in claims) == [False, True]


@pytest.mark.parametrize(
    ("dates", "all_are_dated"), [((NOON, NOON), True), ((NOON, None), False), ((None,), False)]
)
def test_whether_all_have_a_date_of_deletion(dates: tuple[datetime | None, ...], all_are_dated: bool) -> None:
    report = summary(*(replace(MESSAGE, expires_at=time) for time in dates))
    assert report.all_are_dated is all_are_dated


# --- Times ---


@pytest.mark.parametrize(
    ("offset", "label", "shown"),
    [
        pytest.param(timedelta(), "UTC", "12:00", id="zero"),
        pytest.param(timedelta(hours=1), "UTC+01:00", "13:00", id="east"),
        pytest.param(-timedelta(hours=3, minutes=30), "UTC-03:30", "08:30", id="west"),
        pytest.param(timedelta(days=1), "UTC", "12:00", id="impossible"),
        pytest.param(-timedelta(days=1), "UTC", "12:00", id="impossible-west"),
    ],
)
def test_times_are_in_the_offset_of_the_requester(offset: timedelta, label: str, shown: str) -> None:
    report = summary(MESSAGE, request=replace(REQUEST, reply=replace(REQUEST.reply, utc_offset=offset)))
    row = report.rows[0]
    assert row.kept_until is not None
    assert report.zone == label
    assert [f"{time:%H:%M}" for time in (report.asked_at, row.received_at, row.kept_until)] == [shown] * 3


@pytest.mark.parametrize(
    "time",
    [
        pytest.param(datetime(2025, 3, 10), id="no-offset"),  # noqa: DTZ001
        pytest.param(datetime(9999, 12, 31, 23, 59, tzinfo=UTC), id="no-offset-can-be-added"),
        pytest.param(datetime(1, 1, 1, tzinfo=UTC), id="before-mail"),
    ],
)
def test_a_time_that_no_mail_has_is_refused(time: datetime) -> None:
    with pytest.raises(ValueError, match="not the time of a mail"):
        replace(MESSAGE, received_at=time)
    with pytest.raises(ValueError, match="not the time of a mail"):
        replace(MESSAGE, expires_at=time)


@pytest.mark.parametrize(
    ("command", "subject"),
    [
        pytest.param(replace(COMMAND, view=View(find=("oak", "prices"))), "find oak prices", id="words"),
        pytest.param(replace(COMMAND, view=View(days=7)), "last 7 days", id="days"),
        pytest.param(replace(COMMAND, of=SALES), "for sales@example.com", id="a mailbox"),
        pytest.param(COMMAND, "", id="all"),
    ],
)
def test_what_was_asked_can_be_asked_again(command: ReportCommand, subject: str) -> None:
    assert summary(MESSAGE, request=replace(REQUEST, command=command)).subject == subject


def test_a_search_that_stops_within_the_second_of_its_last_find_goes_on_after_that() -> None:
    finds = [replace(MESSAGE, message_id=str(number)) for number in range(3)]
    command = replace(COMMAND, view=View(find=("hello",)))
    listing = MailboxListing(tuple(finds), 3, at_least=True, reached=NOON)
    assert summarise(replace(REQUEST, command=command), [listing], 100, EVERYTHING).rest == Cursor(NOON, 3)
