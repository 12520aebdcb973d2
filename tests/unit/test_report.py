"""report.py: what is merged, what is cut, and what is left of hostile text."""

import html
import sys
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.addresses import Address
from quarantine.report import (
    HeldMessage,
    Holding,
    HoldReason,
    QuarantineReport,
    Sender,
    clean_text,
    parse_sender,
    summarise,
)
from quarantine.request import ReportRequest

BOB = Address.parse("bob@example.com")
SALES = Address.parse("sales@example.com")
NOON = datetime(2025, 3, 10, 12, tzinfo=UTC)
REQUEST = ReportRequest(
    request_id="dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81",
    requester=BOB,
    mailboxes=(BOB,),
    trigger=Address.parse("manual-report-request@reports.example.com"),
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


def summary(
    *messages: HeldMessage, request: ReportRequest = REQUEST, max_rows: int = 100
) -> QuarantineReport:
    return summarise(request, [Holding(messages, len(messages))], max_rows)


# --- What is merged ---


def test_messages_of_all_mailboxes_are_merged_newest_first() -> None:
    def at(hour: int, recipient: Address) -> HeldMessage:
        return replace(
            MESSAGE, received_at=NOON + timedelta(hours=hour), recipient=recipient, subject=str(hour)
        )

    holdings = [Holding((at(5, BOB), at(1, BOB)), 2), Holding((at(4, SALES), at(3, SALES)), 7)]
    report = summarise(replace(REQUEST, mailboxes=(BOB, SALES)), holdings, max_rows=3)
    assert [(row.subject, row.mailbox) for row in report.rows] == [("5", BOB), ("4", SALES), ("3", SALES)]
    assert (report.shown, report.total, report.other_mailboxes) == (3, 9, (SALES,))


@pytest.mark.parametrize(
    ("holdings", "counted"),
    [
        pytest.param([], (0, False, True), id="nothing"),
        pytest.param([Holding((MESSAGE,) * 2, 2)], (2, False, True), id="all are listed"),
        pytest.param([Holding((MESSAGE,) * 3, 3)], (3, False, False), id="more than a report lists"),
        pytest.param([Holding((MESSAGE,) * 2, 9)], (9, False, False), id="more than were read"),
        pytest.param([Holding((MESSAGE,) * 2, 2, True)], (2, True, False), id="maybe more"),
        pytest.param(
            [Holding((MESSAGE,), 1), Holding((MESSAGE,), 5, True), Holding((), 0)],
            (6, True, False),
            id="one mailbox may hold more",
        ),
    ],
)
def test_the_count_is_a_bound_when_any_mailbox_has_one(
    holdings: list[Holding], counted: tuple[int, bool, bool]
) -> None:
    report = summarise(REQUEST, holdings, max_rows=2)
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
        Holding(
            tuple(replace(MESSAGE, received_at=time) for time in times),
            len(times) + beyond,
        )
        for times in held
    ]
    report = summarise(REQUEST, holdings, max_rows)
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
    assert (report.requester, report.trigger, report.other_mailboxes) == (BOB, REQUEST.trigger, ())


def test_kept_until_spans_the_rows_that_have_a_date() -> None:
    soon, late = NOON + timedelta(days=3), NOON + timedelta(days=9)
    report = summary(*(replace(MESSAGE, expires_at=time) for time in (late, None, soon)))
    assert report.kept_until == (soon, late)


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
    report = summary(MESSAGE, request=replace(REQUEST, utc_offset=offset))
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


# --- Why ---


def test_every_reason_has_words() -> None:
    assert [reason.words for reason in HoldReason] == [
        "Spam",
        "Phishing",
        "Virus",
        "Bulk mail",
        "Policy",
        "Blocked sender",
    ]


# --- Hostile text ---


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("Grüße aus Köln", "Grüße aus Köln", id="ordinary"),
        pytest.param(" a\t b\r\nc  ", "a b c", id="whitespace"),
        pytest.param("a\r\nBcc: eve@evil.example", "a Bcc: eve@evil.example", id="line-break"),
        pytest.param("a\u2028b\u2029c", "a b c", id="line-separators"),
        pytest.param("a\0\x1b[31mb\x7f\x85c", "a[31mb c", id="control"),
        pytest.param("a\u202egnp.exe\u202c\u2066b\u200f", "agnp.exeb", id="bidi"),
        pytest.param("a\u200bb\ufeffc\u00add\u2060e", "abcde", id="zero-width"),
        pytest.param("a\U000e0041\U000e007fb", "ab", id="tags"),
        pytest.param("\U0001f468\u200d\U0001f469", "\U0001f468\U0001f469", id="emoji-joiner"),
        pytest.param("\u2764\ufe0f", "\u2764\ufe0f", id="emoji-style"),
        pytest.param("a\u3164b\u2800", "a b", id="blank-letters"),
        pytest.param("\ud800\ue000\U0010ffff", "\ufffd" * 3, id="no-characters"),
        pytest.param("e\u0301", "é", id="nfc"),
        pytest.param("\u0301\u0301a \u0301b", "a b", id="marks-on-nothing"),
        pytest.param("x" + "\u0336" * 50 + "y", "x" + "\u0336" * 3 + "y", id="zalgo"),
        pytest.param("\ufb2c" + "\u0591" * 9, "ש\u05bc\u05c1\u0591", id="zalgo-by-nfc"),
        pytest.param("\u200b\u202e", "", id="nothing-left"),
        pytest.param("a" * 5000 + "b" * 5000, "a" * 1000 + "…" + "b" * 1000, id="endless"),
    ],
)
def test_text_is_cleaned(text: str, shown: str) -> None:
    assert clean_text(text) == shown


@given(st.text(st.characters(), max_size=200))
def test_no_character_that_disturbs_survives(text: str) -> None:
    cleaned = clean_text(text)
    assert {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}.isdisjoint(map(unicodedata.category, cleaned))
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert clean_text(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        pytest.param("Eve <eve@evil.example>", "Eve", "eve@evil.example", id="both"),
        pytest.param("eve@evil.example", "", "eve@evil.example", id="address"),
        pytest.param("<Eve@Evil.Example>", "", "Eve@evil.example", id="brackets"),
        pytest.param(
            '"Eve, \\"the\\" one" <e@evil.example>', 'Eve, "the" one', "e@evil.example", id="quoted"
        ),
        pytest.param('" <e@evil.example>', '"', "e@evil.example", id="half-quoted"),
        pytest.param("EVE@evil.example <eve@evil.example>", "", "eve@evil.example", id="name-is-address"),
        pytest.param(
            "bob@example.com <eve@evil.example>", "bob@example.com", "eve@evil.example", id="name-is-another"
        ),
        pytest.param(
            "Bob <bob@example.com> <eve@evil.example>",
            "Bob <bob@example.com>",
            "eve@evil.example",
            id="name-with-brackets",
        ),
        pytest.param('<"a b"@evil.example>', "", '"a b"@evil.example', id="quoted-local-part"),
        pytest.param("E <e@EXÄMPLE.example>", "E", "e@xn--exmple-cua.example", id="idn"),
        pytest.param("E <e@[192.0.2.1]>", "E", "e@[192.0.2.1]", id="domain-literal"),
        pytest.param("Eve", "Eve", "", id="name"),
        pytest.param("Eve <nowhere>", "Eve <nowhere>", "", id="no-at-sign"),
        pytest.param("eve@evil.example (Eve)", "eve@evil.example (Eve)", "", id="comment"),
        pytest.param("E <e@ev\u202eil.example\u202c>\u200b", "E", "e@evil.example", id="bidi"),
        pytest.param("", "(no sender)", "", id="none"),
        pytest.param("<>", "(no sender)", "", id="null-sender"),
        pytest.param("\u200b", "(no sender)", "", id="invisible"),
    ],
)
def test_a_sender_is_taken_apart(text: str, name: str, address: str) -> None:
    assert parse_sender(text) == Sender(name, address)


@pytest.mark.parametrize(
    ("name", "claims"), [("Eve", False), ("bob@example.com", True), ("bob\uff20example.com", True)]
)
def test_a_name_that_looks_like_an_address_is_told(name: str, claims: bool) -> None:
    assert Sender(name, "eve@evil.example").claims_address is claims


def test_a_mail_without_subject_says_so() -> None:
    assert summary(replace(MESSAGE, subject="\u200b ")).rows[0].subject == "(no subject)"


# --- Lengths ---


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
    assert summary(replace(MESSAGE, subject=subject)).rows[0].subject == shown


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        pytest.param("n" * 99 + " <e@evil.example>", Sender("n" * 79 + "…", "e@evil.example"), id="name"),
        pytest.param(
            f"<{'a' * 90}{'z' * 90}@evil.example>",
            Sender("", f"{'a' * 39}…{'z' * 39}@evil.example"),
            id="local-part",
        ),
        pytest.param(f"<e@{'a.' * 99}evil.example>", Sender("", f"e@…{'a.' * 10}evil.example"), id="domain"),
        pytest.param(
            "n" * 5000 + " <e@evil.example>", Sender("n" * 79 + "…", "e@evil.example"), id="endless"
        ),
    ],
)
def test_a_sender_is_cut_but_not_the_owner_of_its_domain(sender: str, shown: Sender) -> None:
    assert summary(replace(MESSAGE, sender=sender)).rows[0].sender == shown


def test_a_hundred_ordinary_rows_are_whole() -> None:
    message = replace(MESSAGE, sender="Some Name <some.name@company.example>", subject="Subject " * 15)
    rows = summary(*[message] * 100, request=replace(REQUEST, mailboxes=(BOB,))).rows
    assert {(row.subject, row.sender.name) for row in rows} == {(("Subject " * 15).strip(), "Some Name")}


def test_only_the_longest_are_cut_when_not_all_fit() -> None:
    heavy = [replace(MESSAGE, subject="\U0001f600" * 200)] * 99
    light = replace(MESSAGE, subject="Invoice 4711 for your order of 3 March, as we agreed")
    subjects = {row.subject for row in summary(*heavy, light).rows}
    assert subjects == {light.subject, "\U0001f600" * 35 + "…"}


def test_a_thousand_rows_are_still_readable() -> None:
    rows = summary(*[replace(MESSAGE, subject="Subject " * 15)] * 1000, max_rows=1000).rows
    assert {row.subject for row in rows} == {"Subject Subject S…"}


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=300)), min_size=1, max_size=20))
def test_hostile_text_keeps_its_share(texts: list[tuple[str, str]]) -> None:
    messages = [replace(MESSAGE, sender=sender, subject=subject) for sender, subject in texts]
    rows = summary(*messages, request=replace(REQUEST, mailboxes=(BOB, SALES))).rows
    shown = [text for row in rows for text in (row.sender.name, row.sender.address, row.subject)]
    assert max(map(len, shown)) <= 200
    assert sum(len((text + html.escape(text)).encode()) for text in shown) <= 34_000


def test_no_mark_of_any_script_can_be_piled_up() -> None:
    marks = [chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) in {"Mn", "Me"}]
    assert len(marks) > 1000
    assert [mark for mark in marks if len(clean_text(f"a{mark * 9}")) > 4] == []
