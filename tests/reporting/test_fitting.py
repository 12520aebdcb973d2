"""Which texts are cut, and where."""

import html
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ReportCommand
from quarantine.held import HeldMessage, HoldReason, MailboxListing
from quarantine.mail.addresses import Address
from quarantine.mail.lenient import Sender
from quarantine.reporting.fitting import fit
from quarantine.reporting.summary import QuarantineReport, summarise
from tests.reporting.requests import CODE, EVERYTHING

BOB = Address.parse("bob@example.com")
SALES = Address.parse("sales@example.com")
NOON = datetime(2025, 3, 10, 12, tzinfo=UTC)
REQUEST = Accepted(
    request_id="dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81",
    requester=BOB,
    mailboxes=(BOB,),
    command=ReportCommand(Address.parse("manual-report-request@reports.example.com")),
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
    code=CODE,
    is_stored=True,
)


def fitted(*messages: HeldMessage, request: Accepted = REQUEST, max_rows: int = 100) -> QuarantineReport:
    return fit(summarise(request, [MailboxListing(messages, len(messages))], max_rows, EVERYTHING))


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        pytest.param("x" * 200, "x" * 200, id="fits"),
        pytest.param("x" * 201, "x" * 199 + "…", id="cut"),
        pytest.param("x" * 198 + " xx", "x" * 198 + "…", id="no-space-before-the-ellipsis"),
        pytest.param("\U0001f600" * 200, "\U0001f600" * 200, id="four-bytes"),
    ],
)
def test_a_subject_on_its_own_has_200_characters(subject: str, shown: str) -> None:
    assert fitted(replace(MESSAGE, subject=subject)).rows[0].subject == shown


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        pytest.param(
            "n" * 99 + " <e@evil.example>", Sender("n" * 79 + "…", "e[at]evil[.]example"), id="name"
        ),
        pytest.param(
            f"<{'a' * 90}{'z' * 90}@evil.example>",
            Sender("", f"{'a' * 37}…{'z' * 37}[at]evil[.]example"),
            id="local-part",
        ),
        pytest.param(
            "<news: x@evil.example>", Sender("<news[:] x[at]evil[.]example>", ""), id="scheme-in-brackets"
        ),
        pytest.param("x@y <e@evil.example>", Sender("x[at]y", "e[at]evil[.]example"), id="name-with-an-at"),
        pytest.param("nobody", Sender("nobody", ""), id="no-address"),
        pytest.param(
            f"<e@{'a.' * 99}evil.example>", Sender("", f"e[at]…{'a[.]' * 14}evil[.]example"), id="domain"
        ),
        pytest.param(
            "n" * 5000 + " <e@evil.example>", Sender("n" * 79 + "…", "e[at]evil[.]example"), id="endless"
        ),
    ],
)
def test_a_sender_is_cut_but_not_the_owner_of_its_domain(sender: str, shown: Sender) -> None:
    assert fitted(replace(MESSAGE, sender=sender)).rows[0].sender == shown


def test_a_hundred_ordinary_rows_are_whole() -> None:
    message = replace(MESSAGE, sender="Some Name <some.name@company.example>", subject="Subject " * 13)
    rows = fitted(*[message] * 100, request=replace(REQUEST, mailboxes=(BOB,))).rows
    assert {(row.subject, row.sender.name) for row in rows} == {(("Subject " * 13).strip(), "Some Name")}


def test_links_take_room_from_the_texts_and_an_action_that_is_not_offered_takes_none() -> None:
    def letters(message: HeldMessage) -> int:
        return len(fitted(*[replace(message, subject="三" * 200)] * 100).rows[0].subject)

    assert (
        letters(MESSAGE) < letters(replace(MESSAGE, is_stored=False)) < letters(replace(MESSAGE, code=None))
    )


def test_only_the_longest_are_cut_when_not_all_fit() -> None:
    heavy = [replace(MESSAGE, subject="\U0001f600" * 200)] * 99
    light = replace(MESSAGE, subject="Invoice 4711 for your order of 3 March, as we agreed")
    subjects = {row.subject for row in fitted(*heavy, light).rows}
    assert subjects == {light.subject, "\U0001f600" * 71 + "…"}


def test_a_thousand_rows_are_still_readable() -> None:
    rows = fitted(*[replace(MESSAGE, subject="Subject " * 15)] * 1000, max_rows=1000).rows
    assert {row.subject for row in rows} == {"Subject Subject S…"}


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=300)), min_size=1, max_size=20))
def test_hostile_text_keeps_its_share(texts: list[tuple[str, str]]) -> None:
    messages = [replace(MESSAGE, sender=sender, subject=subject) for sender, subject in texts]
    every = (messages * 100)[:100]
    rows = fitted(*every, request=replace(REQUEST, mailboxes=(BOB, SALES))).rows
    shown = [text for row in rows for text in (row.sender.name, row.sender.address, row.subject)]
    assert max(map(len, shown)) <= 200
    assert sum(len(html.escape(text).encode()) for text in shown) <= 30_000
