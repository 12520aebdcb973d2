import codecs
import contextlib
from collections.abc import Buffer, Iterator
from datetime import UTC
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.holding.recipients import NoRecipient, UnreadableRecipient, parse_recipients, read_recipients
from quarantine.mail.charsets import storable
from quarantine.mail.lenient import (
    SHOWN_FIELDS,
    Fields,
    ShownHeader,
    end_of_header,
    header_fields,
    parse_mail,
    parse_sender,
    usable_id,
    without_last_field,
)

BOB = "bob@example.com"
NAMES = (b"x-envelope-to", b"delivered-to", b"x-original-to")


def fields_of(header: bytes) -> Fields:
    return header_fields(header, SHOWN_FIELDS | set(NAMES))


def parsed(header: bytes) -> ShownHeader:
    return parse_mail(fields_of(header))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"plain", "plain", id="plain"),
        pytest.param(b"=?utf-8?q?P=C3=A4ckchen_1?=", "Päckchen 1", id="Q"),
        pytest.param(b"=?UTF-8?B?UMOkY2tjaGVu?=", "Päckchen", id="B"),
        pytest.param(b"=?UTF-8?B?UMOkY2tjaGVuYQ?=", "Päckchena", id="B, not padded"),
        pytest.param(b"=?UTF-8?B?UMOkYQYWJ?=", "Päa\x06\x16", id="B, a letter too many"),
        pytest.param(b"=?utf-8?q?P=C3?=\r\n =?utf-8?q?=A4ck?=", "Päck", id="a character in two words"),
        pytest.param(b"=?utf-8?q?a?= =?utf-8?q?b?= c", "ab c", id="space between words"),
        pytest.param(b"=?iso-8859-1?q?=E4?= =?koi8-r?q?=C4?=", "äд", id="two charsets"),
        pytest.param(b"=?utf-8*de?q?a?=", "a", id="language (RFC 2231)"),
        pytest.param(b"=?nothing?q?=C3=A4?=", "ä", id="unknown charset"),
        pytest.param(b"=?hex?q?41?=", "41", id="no charset of text"),
        pytest.param(b"=?utf-8?q?=FF?=", "ÿ", id="not in its charset"),
        pytest.param(b"=?utf-8?x?a?=", "=?utf-8?x?a?=", id="no encoding"),
        pytest.param("ä".encode(), "ä", id="raw UTF-8"),
        pytest.param(b"\xe4", "ä", id="raw Latin-1"),
        pytest.param(b"=?utf-16-le?b?ANg=?=", "\ufffd", id="lone surrogate"),
        pytest.param(b"a\r\n b\n\tc", "a b\tc", id="folded"),
        pytest.param(b"x" * 5000, "x" * 1000, id="long"),
    ],
)
def test_a_subject(value: bytes, expected: str) -> None:
    assert parsed(b"Subject: " + value + b"\n\n").subject == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"Eve <eve@x.example>", "eve@x.example", id="plain"),
        pytest.param(
            b"=?utf-8?q?boss=40corp=2Eexample?= <eve@x.example>", "eve@x.example", id="encoded name"
        ),
        pytest.param(b"eve@x.example =?utf-8?q?=3Cboss=40corp=2Eexample=3E?=", "", id="encoded address"),
        pytest.param(b"=?utf-8?q?Boss_=3Cboss=40corp=2Eexample=3E?=", "", id="all encoded"),
        pytest.param(b"E" * 3000 + b" <eve@x.example>", "eve@x.example", id="long name"),
    ],
)
def test_no_address_is_made_of_an_encoded_word(value: bytes, expected: str) -> None:
    assert parse_sender(parsed(b"From: " + value + b"\n\n").sender).address == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(
            b"Received: x; Mon, 23 Nov 2026 12:00:00 +0100 (CET)\nDate: Sun, 22 Nov 2026 00:00:00 +0000",
            "2026-11-23T11:00:00+00:00",
            id="Received",
        ),
        pytest.param(
            b"Received: x; 1 Jan 2026 00:00:00 +0000\nReceived: y; 2 Jan 2026 00:00:00 +0000",
            "2026-01-01T00:00:00+00:00",
            id="the topmost",
        ),
        pytest.param(b"Received: x\nDate: 1 Jan 2026 00:00:00 -0130", "2026-01-01T01:30:00+00:00", id="Date"),
        pytest.param(b"Date: 1 Jan 2026 00:00:00 GMT", "2026-01-01T00:00:00+00:00", id="zone by name"),
        pytest.param(b"Date: 1 Jan 2026 00:00", "2026-01-01T00:00:00+00:00", id="no zone"),
        pytest.param(b"Date: 1 Jan 9999 00:00:00 +0000", None, id="wrong year"),
        pytest.param(b"Date: 31 Feb 2026 00:00:00 +0000", None, id="no such day"),
        pytest.param(b"Date: tomorrow", None, id="no date"),
        pytest.param(b"Subject: x", None, id="none"),
    ],
)
def test_when_it_was_received(header: bytes, expected: str | None) -> None:
    time = parsed(header + b"\n\nDate: 2 Jan 2026 00:00:00 +0000").received_at
    assert (time and time.isoformat()) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(b"Delivered-To: Bob@Example.com", [BOB], id="one"),
        pytest.param(b"X-Envelope-To: <bob@example.com>, <al@x.example>", [BOB, "al@x.example"], id="two"),
        pytest.param(b"x-original-to : bob@example.com", [BOB], id="spelling"),
        pytest.param(
            b"Delivered-To: quarantine@example.com\nX-Envelope-To: bob@example.com",
            [BOB],
            id="order of names",
        ),
        pytest.param(b"Delivered-To: bob@example.com\nDelivered-To: boss@example.com", [BOB], id="topmost"),
    ],
)
def test_recipients(header: bytes, expected: list[str]) -> None:
    assert [
        str(each)
        for each in parse_recipients(fields_of(header + b"\nReceived: by mx.example.com").put_on, NAMES)
    ] == expected


@pytest.mark.parametrize(
    "header",
    [
        b"To: bob@example.com",
        b"Received: by mx.example.com\nDelivered-To: bob@example.com",  # the sender's
        b"Delivered-To:",
        b"Delivered-To: bob",
        b"X-Envelope-To: bob@example.com, undisclosed",
        b"Delivered-To: b\xc3\xb6b@example.com",
        b"X: y\n\nDelivered-To: bob@example.com",
    ],
)
def test_no_recipient_is_guessed(header: bytes) -> None:
    with pytest.raises((NoRecipient, UnreadableRecipient)):
        parse_recipients(fields_of(header).put_on, NAMES)


@pytest.mark.parametrize(
    ("value", "expected", "says"),
    [
        pytest.param(b"bob@example.com", [BOB], [], id="all are"),
        pytest.param(b"bob@example.com, undisclosed", [BOB], ["'undisclosed'"], id="one of two"),
        pytest.param(b"a,b@,bob@example.com,@c", [BOB], ["'a'", "'b@'", "'@c'"], id="one of four"),
        pytest.param(b"bob@example.com,, ,", [BOB], [], id="nothing between commas"),
        pytest.param(b",", [], ["','"], id="nothing but a comma"),
        pytest.param(b"<bob@example.com>, < bob@example.com >", [BOB], [], id="in brackets"),
        pytest.param(b"bob@example.com>,<bob@example.com", [], ["bob@example.com>"], id="brackets unpaired"),
        pytest.param(b"bob@example.com, b\xf6b@x.example", [BOB], ["'b\\xf6b@x.example'"], id="8 bits"),
        pytest.param(b"=?utf-8?b?w7Y=?=,bob@example.com", [BOB], ["'\\xf6'"], id="an encoded word"),
        pytest.param(b"bob@example.com" + b",x" * 12, [BOB], ["'x' and 2 more"], id="many"),
        pytest.param(b"x" * 9999 + b",bob@example.com", [BOB], ["'xxxxx"], id="long"),
        pytest.param(b'"a,bob@example.com,b"@x.example', [], ["bob@example.com"], id="in a quoted string"),
        pytest.param(b"al@x.example(a,bob@example.com,b)", [], ["bob@example.com"], id="in a comment"),
        pytest.param(b"al@[a,bob@example.com,b]", [], ["bob@example.com"], id="in a domain literal"),
        pytest.param(b"<x,bob@example.com>", [], ["bob@example.com"], id="in a path"),
        pytest.param(b"<x,bob@example.com,y>", [], ["bob@example.com"], id="in the middle of a path"),
        pytest.param(b"joe\\,bob@example.com", [], ["bob@example.com"], id="quoted by a backslash"),
        pytest.param(b"us: a@x.example,bob@example.com,c@x.example;", [], ["us: a"], id="in a group"),
    ],
)
def test_what_is_no_recipient_takes_no_other_away(value: bytes, expected: list[str], says: list[str]) -> None:
    found = read_recipients({b"delivered-to": value}, NAMES)
    assert [str(each) for each in found.addresses] == expected
    assert all(each in found.unreadable for each in says)
    assert bool(found.unreadable) == bool(says)
    assert found.unreadable.isascii()
    assert len(found.unreadable) < 5000


@pytest.mark.parametrize("value", [b"<" + b"x" * 901 + b">", b"<a\x00b>", "<\u202ea>".encode()])
def test_an_id_that_no_key_holds_is_told_apart(value: bytes) -> None:
    assert usable_id(value).startswith("sha256:")
    assert usable_id(value) != usable_id(value + b"x")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("<ä@x.example>".encode(), "<ä@x.example>", id="UTF-8"),
        pytest.param(b"<\xe4@x.example>", "<ä@x.example>", id="8 bits"),
        pytest.param(
            b"<\x80@x.example>", f"sha256:{sha256(b'<\x80@x.example>').hexdigest()}", id="a control"
        ),
        pytest.param(b"=?utf-8?q?=41?=", "=?utf-8?q?=41?=", id="nothing is decoded in an id"),
    ],
)
def test_an_id_is_the_same_key_as_ever(value: bytes, expected: str) -> None:
    assert usable_id(value) == expected


@pytest.fixture
def failing_codec() -> Iterator[str]:
    """A charset whose decoder raises with any error handler, as one in an extension may."""

    def decode(data: Buffer, errors: str = "strict", /) -> tuple[str, int]:
        if bytes(data) == b"x":  # like any text codec
            return "x", 1
        raise ValueError("this codec has failed")

    def search(name: str) -> codecs.CodecInfo | None:
        return codecs.CodecInfo(codecs.utf_8_encode, decode, name="failing") if name == "failing" else None

    codecs.register(search)
    yield "failing"
    codecs.unregister(search)


def test_a_word_whose_codec_fails_is_shown_as_well_as_it_can_be(failing_codec: str) -> None:
    assert parsed(f"Subject: a =?{failing_codec}?q?=E4?=\n\n".encode()).subject == "a ä"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Prize \N{EM DASH} yours", "Prize \N{EM DASH} yours", id="as it is"),
        pytest.param("x" * 1001, "x" * 1000, id="long"),
        pytest.param("a\ud800b", "a\ufffdb", id="lone surrogate"),
    ],
)
def test_a_text_that_a_row_holds(text: str, expected: str) -> None:
    assert storable(text) == expected


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        pytest.param(b"a: b\n\nbody", 4, id="LF"),
        pytest.param(b"a: b\r\n\r\nbody", 5, id="CRLF"),
        pytest.param(b"a: b\n\r\nbody", 4, id="both"),
        pytest.param(b"a: b\r\n\r\n\n\n", 5, id="the first of two"),
        pytest.param(b"\nbody", 0, id="no field"),
        pytest.param(b"\r\nbody", 0, id="no field, CRLF"),
        pytest.param(b"a: b\n", None, id="no end"),
        pytest.param(b"a: b\r\rbody", None, id="CR alone ends nothing"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_where_a_header_section_ends(mail: bytes, expected: int | None) -> None:
    assert end_of_header(mail) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(b"a: b\nc: d", b"a: b\n", id="within a line"),
        pytest.param(b"a: b\nc: d\n", b"a: b\n", id="after a line"),
        pytest.param(b"a: b\nc: d\r", b"a: b\n", id="within a CRLF"),
        pytest.param(b"a: b\nc: d\n e", b"a: b\n", id="within a folded line"),
        pytest.param(b"a: b\nc: d\n e\n\tf\n", b"a: b\n", id="after folded lines"),
        pytest.param(b"a: b\n", b"", id="one line"),
        pytest.param(b"a: b", b"", id="half a line"),
        pytest.param(b" \n \n ", b"", id="folded from the start"),
        pytest.param(b"", b"", id="nothing"),
    ],
)
def test_a_cut_header_without_its_last_field(header: bytes, expected: bytes) -> None:
    assert without_last_field(header) == expected


def test_fields_above_the_first_received_are_told_apart() -> None:
    fields = fields_of(
        b"Delivered-To: bob@example.com\nDelivered-To: al@example.com\nReceived: x\n"
        b"Delivered-To: eve@example.com\nX-Envelope-To: eve@example.com\n\n"
    )
    assert fields.put_on == {b"delivered-to": b"bob@example.com"}
    assert fields.every[b"delivered-to"] == [b"bob@example.com", b"al@example.com", b"eve@example.com"]


FIELDS = st.sampled_from(
    (
        *(b"From", b"Subject", b"Date", b"Received", b"Message-ID", b"Delivered-To", b": "),
        *(b"\n ", b"\r\n", b"\n\n", b"<", b">", b"; ", b"From a 00:00 2026\n"),
        *(b"=?utf-8?q?", b"=?utf-16?b?", b"=?utf-7?b?", b"=?idna?q?", b"=?hex?q?4", b"?="),
        *(b"1 Jan 2026 ", b"00:00:00 ", b"+9999"),
    )
)
HOSTILE = st.lists(st.one_of(FIELDS, st.binary(max_size=30)), max_size=40).map(b"".join)


@given(
    st.one_of(HOSTILE, HOSTILE.map(lambda data: b"Date: " + data), HOSTILE.map(lambda data: b"From: " + data))
)
def test_any_bytes_are_a_value_that_the_table_holds(data: bytes) -> None:
    fields = fields_of(data)
    held = parse_mail(fields)
    assert max(len(held.sender), len(held.subject)) <= 1000
    for text in (held.sender, held.subject, held.message_id):
        text.encode()  # no lone surrogate
    assert len(f"2026-11-23T12:00:00Z#{held.message_id}".encode()) <= 1024
    assert held.received_at is None or held.received_at.tzinfo is UTC
    with contextlib.suppress(NoRecipient, UnreadableRecipient):
        parse_recipients(fields.put_on, NAMES)
