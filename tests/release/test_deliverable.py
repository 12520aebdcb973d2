"""deliverable.py: the stored mail without the marks of the filter, every other byte as it is."""

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.holding.filters.family import Family
from quarantine.holding.filters.reading import FIELDS, marks
from quarantine.release.deliverable import RELEASED, ReleaseTrace, deliverable

SAMPLES = Path(__file__).parents[1] / "interop" / "samples"
TRACE = ReleaseTrace("dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81.2", datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
LINES = re.MULTILINE
ON_TOP = TRACE.field(b"\r\n")
ALL = frozenset(Family)
SIGNATURE = b"DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=x; bh=x; b=x;\r\n h=From:%b:To\r\n"


def lines(*fields: bytes) -> bytes:
    return b"".join(field + b"\r\n" for field in fields)


HOP, OWN, BODY = lines(b"Received: from a"), lines(b"From: a@b.example", b"To: b@b.example"), b"\r\nHello\r\n"


def kept(raw: bytes, families: frozenset[Family] = ALL) -> bytes:
    """Return what is delivered, without the trace."""
    out = deliverable(raw, families, TRACE)
    on_top = TRACE.field(b"\r\n" if out.startswith(ON_TOP) else b"\n")
    assert out.startswith(on_top)
    return out.removeprefix(on_top)


# --- What goes, above the first Received field ---


@pytest.mark.parametrize("families", [pytest.param(ALL, id="all"), pytest.param(frozenset(), id="none")])
@pytest.mark.parametrize(
    "field",
    [
        b"Return-Path: <a@b.example>",
        b"Delivered-To: carol@b.example",
        b"X-Original-To: carol@b.example",
        b"Envelope-To: carol@b.example",
        b"X-Envelope-From: <a@b.example>",
        b"X-Envelope-To: carol@b.example",
        b"X-Envelope-To-Blocked: carol@b.example",
        b"X-Spam-Flag: YES",
        b"X-Spam-Status: Yes,\r\n score=9\r\n\ttests=A",
        b"X-Spam: Yes",
        b"X-SES-Spam-Verdict: FAIL",
        b"X-MS-Exchange-Organization-SCL: 9",
        b"x-sPAM-fLAG: YES",
        b"X-Spam-Flag :YES",
        b"X-Spam-Flag\t: YES",
        b"X-Spam-Flag:",
    ],
    ids=repr,
)
def test_what_the_last_server_put_on_goes_whatever_filter_is_enabled(
    field: bytes, families: frozenset[Family]
) -> None:
    kept_field = lines(b"Authentication-Results: a; spf=pass")
    raw = lines(field) + kept_field + lines(field) + HOP + OWN + BODY
    assert kept(raw, families) == kept_field + HOP + OWN + BODY


@pytest.mark.parametrize(
    "field",
    [
        b"X-Spam-Flags: YES",
        b"Authentication-Results: a; spf=pass",
        b"Received-SPF: pass",
        b"Subject: X-Spam-Flag: YES",
        b"Subject: a\r\n X-Spam-Flag: YES",
        b"Subject: a\r\n \r\n\tX-Spam-Flag: YES",
        b"X-Spam-Flag: YES\rFrom: a@b.example",
        b"X-Spam-Flag: YES\r\r",
    ],
    ids=repr,
)
def test_nothing_else_goes(field: bytes) -> None:
    raw = lines(field) + HOP + OWN + BODY
    assert kept(raw) == raw


# --- What goes, below it ---


@pytest.mark.parametrize("family", Family)
def test_below_the_first_hop_the_marks_of_enabled_filters_go(family: Family) -> None:
    fields = {name: lines(name.title() + b": a") for name in sorted(marks(ALL))}
    others = b"".join(each for name, each in fields.items() if name not in marks({family}))
    raw = HOP + OWN + b"".join(fields.values()) + OWN + BODY
    assert kept(raw, frozenset({family})) == HOP + OWN + others + OWN + BODY


@pytest.mark.parametrize("name", [b"Return-Path", b"Delivered-To", b"X-Original-To", b"X-Envelope-From"])
def test_an_earlier_servers_envelope_stays(name: bytes) -> None:
    raw = HOP + lines(name + b": a") + OWN + BODY
    assert kept(raw) == raw


def test_every_field_that_hold_reads_is_a_mark_or_names_the_envelope() -> None:
    assert FIELDS - marks(ALL) == {b"delivered-to"}


@pytest.mark.parametrize("hop", [HOP, b"received:a\r\n", b"RECEIVED : a\r\n\tb\r\n"], ids=repr)
def test_the_first_received_field_is_found(hop: bytes) -> None:
    raw = lines(b"Delivered-To: a") + hop + lines(b"Delivered-To: a") + hop + BODY
    assert kept(raw) == hop + lines(b"Delivered-To: a") + hop + BODY


def test_without_a_hop_the_program_that_stored_the_mail_wrote_all() -> None:
    assert kept(lines(b"Delivered-To: a") + OWN + lines(b"Return-Path: a") + BODY, frozenset()) == OWN + BODY


# --- What a signature names stays ---

FLAG = lines(b"X-Spam-Flag: NO")


@pytest.mark.parametrize(
    "named",
    [
        b"X-Spam-Flag",
        b"x-spam-FLAG",
        b"Subject:X-Spam-Flag:X-Spam-Flag",
        b"Subject\r\n\t: \r\n X-Spam-Flag \r\n ",
        b"X-Spam-\r\n Flag",
    ],
    ids=repr,
)
def test_what_a_signature_names_stays(named: bytes) -> None:
    raw = HOP + SIGNATURE % named + FLAG + OWN + FLAG + BODY
    assert kept(raw) == raw


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(SIGNATURE % b"Subject" + SIGNATURE % b"X-Spam-Flag", id="the second of two"),
        pytest.param(
            b"ARC-Message-Signature: i=1; d=a; s=x; bh=x; b=x; h=from:x-spam-flag\r\n", id="one of ARC"
        ),
        pytest.param(
            b"dkim-signature\t: d=a;s=x;bh=x;b=x;\r\n\th\r\n = From:X-Spam-Flag;\r\n", id="oddly written"
        ),
    ],
)
def test_any_signature_counts(signature: bytes) -> None:
    for raw in (HOP + signature + FLAG + OWN + BODY, HOP + FLAG + OWN + signature + BODY):
        assert kept(raw) == raw


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(SIGNATURE % b"X-Spam-Flags", id="another name"),
        pytest.param(SIGNATURE.replace(b" b=x;", b"") % b"X-Spam-Flag", id="no signature in it"),
        pytest.param(SIGNATURE.replace(b" b=x;", b"b=\r\n\t;") % b"X-Spam-Flag", id="an empty signature"),
        pytest.param(SIGNATURE.replace(b"d=a.example", b"") % b"X-Spam-Flag", id="no domain"),
        pytest.param(SIGNATURE.replace(b"From:", b"") % b"X-Spam-Flag", id="From is not signed"),
        pytest.param(SIGNATURE.replace(b"h=", b"z=") % b"X-Spam-Flag", id="another tag"),
        pytest.param(b"X-" + SIGNATURE % b"X-Spam-Flag", id="another field"),
        pytest.param(b"Subject: a\r\n " + SIGNATURE % b"X-Spam-Flag", id="in another field"),
    ],
)
def test_what_cannot_be_verified_protects_nothing(signature: bytes) -> None:
    assert kept(HOP + signature + FLAG + OWN + BODY) == HOP + signature + OWN + BODY


def test_a_signature_covers_nothing_that_was_put_on_above_it() -> None:
    signed = HOP + SIGNATURE % b"X-Spam-Flag" + FLAG + OWN + BODY
    assert kept(lines(b"X-Spam-Flag: YES") + signed) == signed


def test_a_signature_of_the_last_server_covers_what_it_put_on() -> None:
    raw = FLAG + SIGNATURE % b"X-Spam-Flag" + HOP + FLAG + OWN + BODY
    assert kept(raw) == raw


def test_without_a_hop_a_signature_counts_for_all() -> None:
    raw = FLAG + SIGNATURE % b"X-Spam-Flag" + OWN + BODY
    assert kept(lines(b"X-Spam-Level: *") + raw) == raw


# --- Where the header section ends ---


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(HOP + FLAG + b"\r\n" + FLAG, HOP + b"\r\n" + FLAG, id="at an empty line"),
        pytest.param(HOP + FLAG + b"\n" + FLAG, HOP + b"\n" + FLAG, id="at an empty line of LF"),
        pytest.param(
            HOP + OWN + b" \r\n" + FLAG + BODY, HOP + OWN + b" \r\n" + BODY, id="not at a line of spaces"
        ),
        pytest.param(
            HOP + FLAG + b"no field\r\n" + FLAG, HOP + b"no field\r\n" + FLAG, id="at what is no field"
        ),
        pytest.param(
            HOP + FLAG + b"\xc3\xa4: a\r\n" + FLAG, HOP + b"\xc3\xa4: a\r\n" + FLAG, id="8-bit name"
        ),
        pytest.param(HOP + FLAG + b"\rX-Spam: Yes\r\n", HOP + b"\rX-Spam: Yes\r\n", id="not at a lone CR"),
        pytest.param(HOP + FLAG, HOP, id="only a header"),
        pytest.param(HOP + FLAG + b"X-Spam: Yes", HOP, id="cut off in a field"),
        pytest.param(b"X-Spam: Yes", b"", id="one field"),
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"\r\nX-Spam: Yes\r\n", b"\r\nX-Spam: Yes\r\n", id="only a body"),
        pytest.param(b"Hello\r\nX-Spam: Yes\r\n", b"Hello\r\nX-Spam: Yes\r\n", id="a text"),
        pytest.param(
            b"X Spam: Yes\r\nX-Spam: Yes\r\n", b"X Spam: Yes\r\nX-Spam: Yes\r\n", id="a name with spaces"
        ),
        pytest.param(b" X-Spam: Yes\r\n", b"\r\n X-Spam: Yes\r\n", id="a continuation of nothing"),
        pytest.param(b"Hello", b"Hello", id="a word"),
        pytest.param(
            b"X-Spam: a\rFrom: b\r\rHello", b"X-Spam: a\rFrom: b\r\rHello", id="a mail of lines of CR"
        ),
        pytest.param(b"From a Mon Nov 23 12:00:00 2026\r\n" + FLAG + HOP, HOP, id="a line of an mbox"),
        pytest.param(b"From a\r\n>From b\r\n" + FLAG + HOP, HOP, id="two, one quoted"),
        pytest.param(b"From  :a@b\r\n" + FLAG + HOP, b"From  :a@b\r\n" + HOP, id="a From field"),
        pytest.param(b"From a 12:00:00", b"From a 12:00:00", id="only that line, cut off"),
        pytest.param(b"\xef\xbb\xbf" + FLAG + HOP + BODY, HOP + BODY, id="a byte order mark"),
        pytest.param(b"\xef\xbb\xbfFrom a\r\n" + FLAG + HOP + BODY, HOP + BODY, id="both"),
        pytest.param(FLAG + OWN * 5000 + FLAG + HOP + BODY, OWN * 5000 + HOP + BODY, id="a late Received"),
    ],
)
def test_where_the_header_section_begins_and_ends(raw: bytes, expected: bytes) -> None:
    assert kept(raw) == expected


def test_every_other_byte_stays() -> None:
    odd = b"Subject:  \xe4\r\n\t \t=?utf-8?q?a?=\nTo:b\n  c \r\n" + bytes(range(14, 32)).join(
        [b"A:", b"\r\n"]
    )
    body = b"\n\x00\r\r\n..\r\n.\r\nFrom a\n" + bytes(range(256)) + b"X-Spam: Yes\r\n" + b"y" * 2000
    assert kept(HOP + odd + lines(b"X-Spam: Yes") + odd + body) == HOP + odd + odd + body


@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=repr)
def test_our_field_ends_as_the_mail_does(end: bytes) -> None:
    raw = (HOP + FLAG + OWN + BODY).replace(b"\r\n", end)
    expected = TRACE.field(end) + (HOP + OWN + BODY).replace(b"\r\n", end)
    assert deliverable(raw, ALL, TRACE) == expected


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.eml")), ids=lambda path: path.stem)
def test_a_filters_own_mail_keeps_its_lines_but_the_marks(sample: Path) -> None:
    raw = sample.read_bytes()
    delivered = kept(raw)
    assert not re.search(
        rb"^(?:X-(?:Spam|Rspamd|Envelope|Quarantine)|Delivered-To|Return-Path)", delivered, LINES
    )
    hops = re.compile(rb"^Received: .*", LINES)
    assert hops.findall(delivered) == hops.findall(raw)
    assert delivered.partition(b"\r\n\r\n")[2] == raw.partition(b"\r\n\r\n")[2]


# --- Any mail ---

names = st.sampled_from(
    [*sorted(marks(ALL)), b"received", b"delivered-to", b"return-path", b"from", b"to", b"subject"]
).map(bytes.title) | st.from_regex(rb"[!-9;-~]{1,9}", fullmatch=True)
values = st.lists(
    st.binary(max_size=9).map(lambda part: re.sub(rb"[\r\n]", b"", part)), min_size=1, max_size=3
)
signatures = st.sampled_from([SIGNATURE % b"X-Spam", SIGNATURE % b"X-Spam-Flag", SIGNATURE % b"Delivered-To"])


@st.composite
def fields(draw: st.DrawFn) -> bytes:
    ends = st.sampled_from([b"\r\n", b"\n"])
    folds = [draw(ends) + draw(st.sampled_from([b" ", b"\t"])) + value for value in draw(values)]
    return draw(names) + draw(st.sampled_from([b"", b" "])) + b":" + b"".join(folds) + draw(ends)


def survives(field: bytes, families: frozenset[Family], *, is_put_on: bool, signed: bytes) -> bool:
    """Say in a slow way of its own whether a field is delivered. signed: all signatures that may cover it."""
    name = field.partition(b":")[0].strip().lower()
    envelope = {b"return-path", b"delivered-to", b"x-original-to", b"envelope-to", b"x-delivered-to"}
    envelope |= {b"x-envelope-to", b"x-envelope-from"}
    goes = name in (envelope | marks(ALL) if is_put_on else marks(families))
    return not goes or name in re.split(rb"[:\s]+", signed.lower().replace(b"h=", b""))


@given(
    put_on=st.lists(fields().filter(lambda field: not field.lower().startswith(b"received")) | signatures),
    own=st.lists(fields() | signatures),
    body=st.binary(max_size=50).map(lambda text: b"\r\n" + text),
    families=st.frozensets(st.sampled_from(Family)),
)
def test_of_any_mail_the_fields_that_stay_keep_their_bytes_and_their_order(
    put_on: list[bytes], own: list[bytes], body: bytes, families: frozenset[Family]
) -> None:
    above = b"".join(field for field in put_on if field.startswith(b"DKIM"))
    signed = above + b"".join(field for field in own if field.startswith(b"DKIM"))
    expected = [f for f in put_on if survives(f, families, is_put_on=True, signed=above)] + [HOP]
    expected += [f for f in own if survives(f, families, is_put_on=False, signed=signed)]
    raw = b"".join([*put_on, HOP, *own]) + body
    assert kept(raw, families) == b"".join(expected) + body


pieces = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"X-Spam: Yes\r\n",
        b"Received: a\n",
        b"From ",
        b"\xef\xbb\xbf",
        b"a: b\n",
    ]
)


@given(raw=st.binary(max_size=200) | st.lists(pieces | signatures, max_size=12).map(b"".join))
def test_of_any_bytes_cleaning_twice_is_cleaning_once(raw: bytes) -> None:
    once = deliverable(raw, ALL, TRACE)
    assert kept(once) == once
    if (body := re.search(rb"\n\r?\n.*\Z", raw, re.DOTALL)) is not None:
        assert once.endswith(body[0][1:])


# --- The trace ---


def test_the_trace_says_which_request_and_when_in_two_short_lines() -> None:
    berlin = datetime(2026, 11, 23, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    assert ReleaseTrace(TRACE.request_id, berlin).field(b"\r\n") == (
        f"{RELEASED}: {TRACE.request_id};\r\n Mon, 23 Nov 2026 12:00:00 +0000\r\n".encode()
    )


@pytest.mark.parametrize("request_id", ["", "a b", "a\r\nBcc: b", "a;", "ä", "a" * 201, "a\n"], ids=repr)
def test_what_is_not_the_id_of_a_request_makes_no_field(request_id: str) -> None:
    with pytest.raises(ValueError, match="not the id of a request"):
        ReleaseTrace(request_id, TRACE.released_at)


def test_a_time_needs_its_offset() -> None:
    with pytest.raises(ValueError, match="without an offset"):
        ReleaseTrace("a", datetime(2026, 11, 23))  # noqa: DTZ001
