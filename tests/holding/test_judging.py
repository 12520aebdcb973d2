"""A stored mail becomes rows, or a named rejection."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.held import HoldReason
from quarantine.holding.contract import METADATA, PREFIX
from quarantine.holding.filters.family import Family
from quarantine.holding.judging import QuarantinedMail, RejectedObject, Rejection, StoredMail, judge
from quarantine.holding.notification import MalformedNotification, parse_notification

KEY = "held/9f86d081"
STORED_AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ETAG = '"9b2cf535f27731c974343645a3985328"'
BOB = "bob@example.com"
NEXT_HOP = b"Received: from mail.example.net by mx.example.com; Mon, 23 Nov 2026 11:59:00 +0000\n"
MAIL = NEXT_HOP + b"From: Eve <eve@x.example>\nSubject: Prize\nMessage-ID: <1@x.example>\n\nbody\n"


def stored(start: bytes, metadata: Mapping[str, str], size: int | None = None, key: str = KEY) -> StoredMail:
    return StoredMail(key, metadata, start, len(start) if size is None else size, STORED_AT, ETAG)


def judged(start: bytes = MAIL, /, **metadata: str) -> QuarantinedMail | RejectedObject:
    return judge(stored(start, metadata), frozenset(Family))


def held(start: bytes = MAIL, /, **metadata: str) -> QuarantinedMail:
    hold = judged(start, **metadata)
    assert isinstance(hold, QuarantinedMail), hold
    return hold


def mailboxes(hold: QuarantinedMail) -> list[str]:
    return [str(each) for each in hold.recipients]


# --- Notifications ---


def record(key: str = "held/1", **over: Any) -> dict[str, Any]:
    """A record as S3 writes it, version 2.3."""
    return {
        "eventVersion": "2.3",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": "2026-11-23T12:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "responseElements": {"x-amz-request-id": "D82B88E5F771F645", "x-amz-id-2": "vlR7Pn"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "held",
            "bucket": {
                "name": "mail",
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": "arn:aws:s3:::mail",
            },
            "object": {"key": key, "size": 1024, "eTag": "d41d8cd9", "sequencer": "0055AED6DCD90281E5"},
        },
        **over,
    }


def notification(*records: object) -> str:
    return json.dumps({"Records": records})


TEST_EVENT = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2026-11-23T12:00:00.000Z",
    "Bucket": "mail",
    "RequestId": "8C24B43E7BFE",
    "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9",
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(notification(record()), ["held/1"], id="one"),
        pytest.param(notification(record("held/1"), record("held/2")), ["held/1", "held/2"], id="several"),
        pytest.param(notification(record("held/a+b")), ["held/a b"], id="a space"),
        pytest.param(notification(record("held%2Fa%2Bb")), ["held/a+b"], id="a plus and a slash"),
        pytest.param(notification(record("held/b%C3%BCcher")), ["held/bücher"], id="UTF-8"),
        pytest.param(notification(record("held/100%25")), ["held/100%"], id="a percent sign"),
        pytest.param(notification(record("held/")), ["held/"], id="the prefix alone"),
        pytest.param(json.dumps(TEST_EVENT), [], id="the test event"),
    ],
)
def test_a_notification(body: str, expected: list[str]) -> None:
    objects = parse_notification(body)
    assert [each.key for each in objects] == expected
    assert {each.bucket for each in objects} <= {"mail"}


def test_an_object_can_be_sent_again() -> None:
    first, second = parse_notification(notification(record("held/a+b%2B"), record("held/2")))
    assert parse_notification(notification(first.record)) == (first,)
    assert parse_notification(notification(second.record)) == (second,)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="nothing"),
        pytest.param("held/1", id="not JSON"),
        pytest.param("[" * 100_000, id="too deep"),
        pytest.param("9" * 10_000, id="too many digits"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="no Records"),
        pytest.param(notification(), id="none of them"),
        pytest.param('{"Records": {}}', id="Records are no list"),
        pytest.param('{"Event": "s3:TestEvent"}', id="a test of somebody else"),
        pytest.param(notification(1), id="a record is no object"),
        pytest.param(notification({}), id="an empty record"),
        pytest.param(notification(record(eventSource="aws:sns")), id="of another service"),
        pytest.param(notification(record(s3={"object": {"key": "held/1"}})), id="no bucket"),
        pytest.param(
            notification(record(s3={"bucket": {"name": "mail"}, "object": {"key": 1}})),
            id="a key is a number",
        ),
        pytest.param(notification(record("inbound/1")), id="another prefix"),
        pytest.param(notification(record("held")), id="no prefix"),
        pytest.param(notification(record("")), id="no key"),
        pytest.param(notification(record("held/\ud800")), id="a lone surrogate"),
        pytest.param(notification(record(), record("inbound/1")), id="one of two"),
    ],
)
def test_what_is_no_notification(body: str) -> None:
    with pytest.raises(MalformedNotification) as raised:
        parse_notification(body)
    assert str(raised.value).isascii()
    assert len(str(raised.value)) < 1000


# Recipients


@pytest.mark.parametrize(
    ("header", "metadata", "expected"),
    [
        pytest.param(b"", {"recipients": BOB}, [BOB], id="metadata"),
        pytest.param(b"", {"recipients": " <Bob@Example.com> "}, [BOB], id="its spelling"),
        pytest.param(b"", {"recipients": f"{BOB},al@x.example"}, [BOB, "al@x.example"], id="two"),
        pytest.param(b"", {"recipients": f"{BOB}, BOB@example.com"}, [BOB], id="one, twice"),
        pytest.param(
            b"X-Envelope-To: <al@example.com>\n", {"recipients": BOB}, [BOB], id="metadata over the fields"
        ),
        pytest.param(b"X-Envelope-To: <bob@example.com>\n", {}, [BOB], id="a filter's field"),
        pytest.param(
            b"X-Envelope-To: <bob@example.com>,\n\t<al@x.example>\n", {}, [BOB, "al@x.example"], id="folded"
        ),
        pytest.param(
            b"X-Envelope-To: <bob@example.com>,<al@x.example>\nX-Envelope-To-Blocked: <bob@example.com>\n",
            *({}, [BOB]),
            id="only who did not get it",
        ),
        pytest.param(b"Delivered-To: bob@example.com\n", {}, [BOB], id="delivered to"),
    ],
)
def test_whose_it_is(header: bytes, metadata: dict[str, str], expected: list[str]) -> None:
    assert mailboxes(held(header + MAIL, **metadata)) == expected


THOUSAND = [f"u{number}@example.com" for number in range(1000)]


@pytest.mark.parametrize(
    ("header", "metadata"),
    [
        pytest.param("", {"recipients": ",".join(THOUSAND)}, id="metadata"),
        pytest.param(f"X-Envelope-To-Blocked: {',\n '.join(THOUSAND)}\n", {}, id="field"),
    ],
)
def test_a_thousand_recipients(header: str, metadata: dict[str, str]) -> None:
    assert mailboxes(held(header.encode() + MAIL, **metadata)) == THOUSAND


REJECTIONS = [
    pytest.param(Rejection.NO_RECIPIENT, b"", {}, "metadata", id="nobody is named"),
    pytest.param(Rejection.NO_RECIPIENT, b"To: bob@example.com\n", {}, "metadata", id="To is not asked"),
    pytest.param(
        Rejection.NO_RECIPIENT,
        *(NEXT_HOP + b"X-Envelope-To: <bob@example.com>\n", {}, "metadata"),
        id="only the sender names one",
    ),
    pytest.param(
        Rejection.NO_RECIPIENT,
        *(b"X-Envelope-To: <bob@example.com>\nX-Envelope-To-Blocked:\n", {}, "X-Envelope-To-Blocked"),
        id="everybody has it",
    ),
    pytest.param(
        Rejection.NO_RECIPIENT,
        *(b"X-Envelope-To: <bob@example.com>\n", {"recipients": " "}, "Metadata Recipients"),
        id="empty metadata is not made up for",
    ),
    pytest.param(Rejection.UNREADABLE_RECIPIENT, b"", {"recipients": "bob"}, "'bob'", id="no address"),
    pytest.param(
        Rejection.UNREADABLE_RECIPIENT, b"", {"recipients": "bob,@x.example"}, "'bob'", id="two are none"
    ),
    pytest.param(
        Rejection.UNREADABLE_RECIPIENT,
        *(b"", {"recipients": f'"a,{BOB},b"@example.com'}, BOB),
        id="a quoted local part",
    ),
    pytest.param(
        Rejection.UNREADABLE_RECIPIENT,
        *(b"", {"recipients": "bo\N{LATIN SMALL LETTER LONG S}s@example.com"}, "\\u017f"),
        id="a look-alike",
    ),
    pytest.param(
        Rejection.UNREADABLE_RECIPIENT, b"X-Envelope-To: b\xf6b@example.com\n", {}, "\\xf6", id="8 bits"
    ),
    pytest.param(
        Rejection.UNREADABLE_RECIPIENT,
        *(b"X-Envelope-To: undisclosed-recipients:;\n", {}, "undisclosed"),
        id="a group",
    ),
    pytest.param(
        Rejection.TOO_MANY_RECIPIENTS,
        *(b"", {"recipients": ",".join([*THOUSAND, BOB])}, "1001"),
        id="too many in metadata",
    ),
    pytest.param(
        Rejection.TOO_MANY_RECIPIENTS,
        *(f"X-Envelope-To-Blocked: {','.join([*THOUSAND, BOB])}\n".encode(), {}, "1001"),
        id="too many in a field",
    ),
]


@pytest.mark.parametrize(("reason", "header", "metadata", "says"), REJECTIONS)
def test_a_rejection(reason: Rejection, header: bytes, metadata: dict[str, str], says: str) -> None:
    rejected = judged(header + MAIL, **metadata)
    assert isinstance(rejected, RejectedObject), rejected
    assert rejected.reason is reason
    assert says in rejected.detail


@pytest.mark.parametrize(
    ("header", "metadata"),
    [
        pytest.param(b"", {"recipients": f"bob,{BOB},al@x.example"}, id="metadata"),
        pytest.param(
            b"X-Envelope-To: <bob>, <bob@example.com>,\n <al@x.example>\n", {}, id="a filter's field"
        ),
    ],
)
def test_a_recipient_that_is_no_address_takes_no_other_away(header: bytes, metadata: dict[str, str]) -> None:
    hold = held(header + MAIL, **metadata)
    assert mailboxes(hold) == [BOB, "al@x.example"]
    assert hold.unreadable is not None
    assert hold.unreadable.reason is Rejection.UNREADABLE_RECIPIENT
    assert "'bob'" in hold.unreadable.detail or "'<bob>'" in hold.unreadable.detail


def test_nothing_is_unreadable_of_addresses_alone() -> None:
    assert held(recipients=f"{BOB},al@x.example").unreadable is None


def test_a_recipient_with_a_lone_surrogate_is_not_another_mailbox() -> None:
    assert isinstance(judged(recipients="bo\ud800b@example.com"), RejectedObject)


def test_every_rejection_has_a_case() -> None:
    decided_before = {Rejection.NOT_A_NOTIFICATION}  # without an object to judge
    assert {case.values[0] for case in REJECTIONS} == set(Rejection) - decided_before


def test_a_family_that_is_not_believed_names_nobody() -> None:
    mail = stored(b"Delivered-To: bob@example.com\n" + MAIL, {})
    assert isinstance(judge(mail, {Family.RSPAMD}), QuarantinedMail)
    rejected = judge(mail, frozenset(Family) - {Family.RSPAMD})
    assert isinstance(rejected, RejectedObject)
    assert rejected.reason is Rejection.NO_RECIPIENT


# Reason, score, sender


@pytest.mark.parametrize(
    ("header", "metadata", "expected"),
    [
        *(pytest.param(b"", {"reason": each.value}, each, id=each.value) for each in HoldReason),
        pytest.param(b"", {"reason": " Spam "}, HoldReason.SPAM, id="its spelling"),
        pytest.param(b"X-Spam-Flag: YES\n", {}, HoldReason.SPAM, id="a filter's field"),
        pytest.param(
            b"X-SES-Virus-Verdict: FAIL\n", {"reason": "bulk"}, HoldReason.BULK, id="metadata over the fields"
        ),
        pytest.param(b"X-Spam-Flag: YES\n", {"reason": "ugly"}, HoldReason.SPAM, id="no word of ours"),
        pytest.param(b"X-Spam-Flag: YES\n", {"reason": ""}, HoldReason.SPAM, id="an empty word"),
        pytest.param(b"", {}, HoldReason.POLICY, id="nobody says"),
        pytest.param(b"X-Spam-Flag: NO\n", {}, HoldReason.POLICY, id="a filter that finds it harmless"),
    ],
)
def test_why_it_is_held(header: bytes, metadata: dict[str, str], expected: HoldReason) -> None:
    assert held(header + MAIL, recipients=BOB, **metadata).reason is expected


@pytest.mark.parametrize(
    ("header", "metadata", "expected"),
    [
        pytest.param(b"", {"score": "12.50"}, "12.50", id="metadata"),
        pytest.param(b"X-Spam-Score: 9\n", {"score": "-1"}, "-1", id="metadata over the fields"),
        pytest.param(b"X-Spam-Score: 9\n", {"score": "0"}, "0", id="zero is a score"),
        pytest.param(b"X-Spam-Score: 9\n", {"score": "high"}, "9", id="no number"),
        pytest.param(b"X-Spam-Score: 9\n", {"score": "NaN"}, "9", id="NaN"),
        pytest.param(b"X-Spam-Score: 9\n", {}, "9", id="a filter's field"),
        pytest.param(b"", {}, None, id="nobody says"),
    ],
)
def test_how_bad_it_is(header: bytes, metadata: dict[str, str], expected: str | None) -> None:
    score = None if expected is None else Decimal(expected)
    assert held(header + MAIL, recipients=BOB, **metadata).score == score


@pytest.mark.parametrize(
    ("header", "metadata", "expected"),
    [
        pytest.param(b"From: Eve <e@x.example>\n", {}, "Eve <e@x.example>", id="the field"),
        pytest.param(
            b"From: e@x.example\n", {"sender": "al@y.example"}, "al@y.example", id="metadata over it"
        ),
        pytest.param(b"From: e@x.example\n", {"sender": " "}, "e@x.example", id="empty metadata"),
        pytest.param(b"", {"sender": "=?UTF-8?B?SsO8cmdlbg==?="}, "Jürgen", id="as S3 gives it back"),
        pytest.param(b"", {"sender": "=?UTF-8?Q?J=C3=BCrgen?="}, "Jürgen", id="in its other form"),
        pytest.param(
            b"",
            {"sender": "=?UTF-8?Q?J=C3=BCrgen_<j=40x.example>?="},
            "Jürgen <j@x.example>",
            id="with its address",
        ),
        pytest.param(
            *(
                b"",
                {"sender": "=?utf-8?q?al=40y.example=2C?= <e@x.example>"},
                '"al@y.example," <e@x.example>',
            ),
            id="as a mail has it",
        ),
        pytest.param(
            b"", {"sender": "bounces@x.example (Mail)"}, "bounces@x.example (Mail)", id="with a comment"
        ),
        pytest.param(b"", {"sender": "a\ud800b"}, "a?b", id="a lone surrogate"),
        pytest.param(b"", {}, "", id="none"),
    ],
)
def test_from_whom_it_is(header: bytes, metadata: dict[str, str], expected: str) -> None:
    assert held(header + b"\nbody", recipients=BOB, **metadata).shown.sender == expected


# --- What else is in a hold ---


def test_a_hold() -> None:
    hold = judge(stored(MAIL, {"recipients": BOB}, size=40_000_000), frozenset(Family))
    assert isinstance(hold, QuarantinedMail)
    assert (hold.size, hold.raw_key, hold.received_at) == (40_000_000, KEY, STORED_AT)
    assert (hold.shown.subject, hold.shown.message_id) == ("Prize", "<1@x.example>")


@pytest.mark.parametrize(
    "date",
    [
        pytest.param(b"Thu, 01 Jan 1970 00:00:00 +0000", id="1970"),
        pytest.param(b"Fri, 01 Jan 2100 00:00:00 +0000", id="2100"),
        pytest.param(b"Mon, 23 Nov 2026 11:00:00 +0100", id="an hour ago"),
        pytest.param(b"yesterday", id="no date"),
    ],
)
def test_the_senders_clock_does_not_say_when_it_was_held(date: bytes) -> None:
    hold = held(b"Date: " + date + b"\n" + MAIL, recipients=BOB)
    assert hold.received_at == hold.shown.received_at == STORED_AT


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\n", id="no header"),
        pytest.param(b"Subject: x\n\n", id="no Message-ID"),
        pytest.param(b"Message-ID:\n\n", id="an empty one"),
        pytest.param(b"Message-ID: \t\n\n", id="a blank one"),
        pytest.param(b"hello, this is no mail", id="no field"),
    ],
)
def test_without_a_message_id_the_key_is_its_id(header: bytes) -> None:
    assert held(header, recipients=BOB).shown.message_id == KEY


@pytest.mark.parametrize("key", ["held/" + "x" * 1019, "held/\x00", "held/" + "ü" * 500])
def test_a_key_that_is_no_id_gives_one(key: str) -> None:
    hold = judge(stored(b"", {"recipients": BOB}, key=key), frozenset())
    assert isinstance(hold, QuarantinedMail)
    assert hold.shown.message_id.startswith("sha256:")


def test_metadata_of_other_names_says_nothing() -> None:
    assert set(METADATA) == {"recipients", "reason", "score", "sender"}
    assert held(recipients=BOB) == held(recipients=BOB, subject="x", recipient="al@x.example")


# --- Cut off ---

TO_BOB = b"X-Envelope-To: <bob@example.com>\n"


@pytest.mark.parametrize(
    ("start", "more", "expected"),
    [
        pytest.param(b"X-Envelope-To: <bob@example.com>, <al@exam", 9, [], id="within the only field"),
        pytest.param(b"X-Envelope-To: <bob@example.com>,\n\t<al@exam", 9, [], id="within a folded line"),
        pytest.param(b"X-Envelope-To: <bob@example.com>,\n", 9, [], id="before a folded line"),
        pytest.param(TO_BOB + b"Received: from x", 9, [BOB], id="within the Received field"),
        pytest.param(TO_BOB + b"Received: x\nX-Spam", 9, [BOB], id="within the next field"),
        pytest.param(TO_BOB + b"Received: x\nX: y\n", 9, [BOB], id="after the next field"),
        pytest.param(TO_BOB + b"Received: x", 0, [BOB], id="not cut"),
        pytest.param(TO_BOB + b"Received: x\n\nbody", 9, [BOB], id="cut in the body"),
    ],
)
def test_the_field_where_a_header_was_cut_is_dropped(start: bytes, more: int, expected: list[str]) -> None:
    """Half a field may look complete."""
    match judge(stored(start, {}, len(start) + more), frozenset(Family)):
        case QuarantinedMail() as hold:
            assert mailboxes(hold) == expected
        case RejectedObject() as rejected:
            assert (rejected.reason, expected) == (Rejection.NO_RECIPIENT, [])


# --- Any bytes ---

WORDS = st.sampled_from(
    (
        *(b"From", b"Subject", b"Date", b"Received", b"Message-ID", b"Delivered-To", b": ", b": "),
        *(b"X-Envelope-To", b"X-Envelope-To-Blocked", b"X-Amavis-Alert", b"X-Spam-Flag", b"X-Spam-Score"),
        *(b"X-Spam-Status: Yes, score=", b"X-Spamd-Result: default: True [", b"X-Spam-Action"),
        *(b"X-Forefront-Antispam-Report: CAT:", b"X-MS-Exchange-Organization-SCL: ", b"X-SES-Spam-Verdict"),
        *(b"\n ", b"\r\n", b"\n", b"\n\n", b"<", b">", b"; ", b"FAIL", b"YES", b"INFECTED"),
        *(b"bob@example.com", b"al@x.example", b",", b"=?utf-8?q?", b"=?utf-16?b?", b"?=", b"=D8", b"9e9"),
    )
)
BYTES = st.lists(st.one_of(WORDS, st.binary(max_size=20)), max_size=40).map(b"".join)
TEXTS = st.one_of(
    st.sampled_from([BOB, f"{BOB},al@x.example", "spam", "12.5", "-1e400", "=?utf-16-le?b?ANg=?=", ""]),
    st.text(st.characters(), max_size=40),  # lone surrogates too
)
ANY_METADATA = st.dictionaries(st.sampled_from(METADATA), TEXTS)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200).map(lambda text: PREFIX + text)


@given(BYTES, st.integers(min_value=0, max_value=50), KEYS, ANY_METADATA, st.sets(st.sampled_from(Family)))
def test_any_bytes_become_a_hold_that_the_table_takes_or_a_rejection(
    start: bytes, more: int, key: str, metadata: dict[str, str], families: set[Family]
) -> None:
    mail = StoredMail(key, metadata, start, len(start) + more, STORED_AT, ETAG)
    match judge(mail, families):
        case QuarantinedMail() as hold:
            assert 1 <= len(hold.recipients) <= 1000
            assert hold.shown.message_id
            for text in (
                hold.shown.sender,
                hold.shown.subject,
                hold.shown.message_id,
                *map(str, hold.recipients),
            ):
                text.encode()  # no lone surrogate
            assert len(f"2026-11-23T12:00:00Z#{hold.shown.message_id}".encode()) <= 1024
            assert hold.score is None or abs(hold.score) < 10**6
        case RejectedObject() as rejected:
            assert rejected.detail  # SQS refuses an empty attribute


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters(), max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["Records", "s3", "object", "key", "bucket", "name"]), inner),
        inner.map(lambda value: {"Records": [record(s3=value)]}),
        st.text(st.characters(), max_size=9).map(lambda key: {"Records": [record(key)]}),
    ),
    max_leaves=9,
)


@given(st.one_of(st.text(st.characters()), JSON.map(json.dumps)))
def test_any_text_is_objects_under_the_prefix_or_no_notification(body: str) -> None:
    try:
        objects = parse_notification(body)
    except MalformedNotification:
        return
    assert all(each.key.startswith(PREFIX) for each in objects)


@pytest.mark.parametrize(
    ("key", "size", "metadata", "expected"),
    [
        pytest.param("held/", 0, {}, True, id="of the prefix"),
        pytest.param("held/2026/", 0, {}, True, id="below it"),
        pytest.param("held/2026", 0, {}, False, id="an empty mail"),
        pytest.param("held/2026/", 1, {}, False, id="a mail"),
        pytest.param("held/2026/", 0, {"recipients": "bob@example.com"}, False, id="with recipients"),
    ],
)
def test_a_folder(key: str, size: int, metadata: dict[str, str], *, expected: bool) -> None:
    assert StoredMail(key, metadata, b"x" * size, size, STORED_AT, ETAG).is_folder is expected
