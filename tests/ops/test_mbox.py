"""Where each mail of a file begins: what programs write between two mails, and what only looks like it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.mbox import Mbox, from_line_time, split_mbox

DATED = b"From eve@x.example Mon Nov 23 12:00:00 2026"
ONE = b"Subject: 1\n\nText\n"
TWO = b"Subject: 2\n\nText\n"


def headers(data: bytes) -> list[bytes]:
    """Return the first line of each mail's header."""
    return [data[part.start : part.end].splitlines()[0] for part in split_mbox(data).parts]


def places(found: Mbox) -> list[int]:
    return [doubt.place for doubt in found.doubts]


PIECES = st.sampled_from(
    (
        *(
            b"\n",
            b"\r\n",
            b"\r",
            b"\n\n",
            b"\r\n\r\n",
            b" ",
            b">",
            b"a",
            b"\xef\xbb\xbf",
            b"\x01\x01\x01\x01\n",
        ),
        *(b"From ", b"From -", DATED, b"From a 0:00 2026", b"Mon Nov 23 12:00 2026", b"2026-11-23T12:00:00Z"),
        *(b"Subject: 1", b"http://x", b"Note: x", b"Content-Length: 5", b"Content-Length: 17"),
    )
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=9)), max_size=30).map(b"".join))
def test_any_file_is_cut_into_parts_in_their_order(data: bytes) -> None:
    found = split_mbox(data)
    edges = [edge for part in found.parts for edge in part]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(data) for edge in edges)
    assert all(0 <= doubt.place < len(data) and doubt.why.isascii() for doubt in found.doubts)
    if not data.startswith((b"\xef", b"\x01", b"\r", b"\n")) and data:
        assert [part.begin for part in found.parts] == [0, *(part.end for part in found.parts[:-1])]
        assert found.parts[-1].end == len(data)


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_any_line_has_a_time_or_none(line: bytes, date: bytes) -> None:
    from_line_time(line)
    from_line_time(b"From a " + date)


@given(st.lists(st.sampled_from((b"Text", b">From here", b" From here", b"", b"a: b")), max_size=9))
def test_no_quoted_text_begins_a_mail(lines: list[bytes]) -> None:
    found = split_mbox(DATED + b"\n" + ONE + b"\n".join(lines) + b"\n\n" + DATED + b"\n" + TWO)
    assert (len(found.parts), found.doubts) == (2, ())


# --- What begins a mail ---


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(DATED, id="RFC 4155"),
        pytest.param(b"From eve Sun Nov  1 12:00:00 2026", id="a day of one digit"),
        pytest.param(b"From eve@x.example Mon Nov 23 12:00 2026", id="Berkeley, without seconds"),
        pytest.param(b"From eve@x.example  Mon Nov 23 12:00:00 2026", id="two spaces"),
        pytest.param(b"From eve@x.example Mon Nov 23 12:00:00 CET 2026", id="a zone before the year"),
        pytest.param(b"From eve@x.example Mon Nov 23 12:00:00 +0100 2026", id="an offset before the year"),
        pytest.param(b"From eve@x.example Mon Nov 23 12:00:00 2026 +0100", id="an offset after the year"),
        pytest.param(b"From eve!x Mon Nov 23 12:00:00 2026 remote from hub", id="UUCP"),
        pytest.param(b"From MAILER-DAEMON Mon Nov 23 12:00:00 2026", id="a bounce"),
        pytest.param(b"From  Mon Nov 23 12:00:00 2026", id="an empty sender"),
        pytest.param(b"From <> Mon Nov 23 12:00:00 2026", id="an empty path"),
        pytest.param(b'From "Eve Smith" Mon Nov 23 12:00:00 2026', id="readpst, a name"),
        pytest.param(b"From eve at x.example  Mon Nov 23 12:00:00 2026", id="Mailman's archive"),
        pytest.param(b"From - Mon Nov 23 12:00:00 2026", id="Thunderbird"),
        pytest.param(b"From ", id="Thunderbird, bare"),
        pytest.param(b"From -", id="Thunderbird, without a date"),
        pytest.param(b"From ???@??? Mon Nov 23 12:00:00 2026", id="Eudora"),
        pytest.param(b"From 1783@xxx Mon Nov 23 12:00:00 +0000 2026", id="Google Takeout"),
        pytest.param(b"From mboxrd@z Thu Jan  1 00:00:00 1970", id="public-inbox"),
        pytest.param(b"From 0123456789abcdef Mon Sep 17 00:00:00 2001", id="git format-patch"),
        pytest.param(b"From eve@x.example Mon, 23 Nov 2026 12:00:00 +0100", id="a date of RFC 5322"),
        pytest.param(b"From eve@x.example 23-Nov-26 12:00:00 GMT", id="a date of RFC 850"),
        pytest.param(b"From eve@x.example 2026-11-23 12:00:00", id="a date of ISO 8601"),
        pytest.param(b"From eve@x.example 2026-11-23T12:00:00.5+01:00", id="with T, fraction and offset"),
        pytest.param(b"From eve@x.example Mo Nov 23 12:00:00 2026", id="a day of another language"),
        pytest.param("From eve@x.example Mi Mär 23 12:00:00 2026".encode(), id="a month, too"),
        pytest.param(DATED + b"   ", id="spaces at its end"),
    ],
)
@pytest.mark.parametrize(
    "end", [pytest.param(b"\n", id="LF"), pytest.param(b"\r\n", id="CRLF"), pytest.param(b"\r", id="CR")]
)
@pytest.mark.parametrize("mark", [pytest.param(b"", id="plain"), pytest.param(b"\xef\xbb\xbf", id="BOM")])
def test_every_separator_begins_a_mail(line: bytes, end: bytes, mark: bytes) -> None:
    data = mark + b"\n".join((line, ONE, line, TWO)).replace(b"\n", end)
    assert headers(data) == [b"Subject: 1", b"Subject: 2"]
    assert split_mbox(data).doubts == ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(DATED + b"\n" + ONE + DATED + b"\n" + TWO, [1, 2], id="no empty line before"),
        pytest.param(b"From \n" + ONE + b"From \n" + TWO, [1, 2], id="bare, no empty line before"),
        pytest.param(b"\r\n\n" + DATED + b"\n" + ONE, [1], id="empty lines at the beginning"),
        pytest.param(DATED + b"\n>From a b\n" + ONE, [], id="an older From line in the header"),
        pytest.param(
            b"From - Mon Nov 23 12:00:00 2026\n" + ONE + b"\nFrom \n" + TWO, [1, 2], id="two of Thunderbird's"
        ),
        pytest.param(DATED + b"\n" + ONE + b"\nFrom \n" + TWO, [1, 2], id="two programs"),
        pytest.param(ONE + b"\n" + DATED + b"\n" + TWO, [1, 2], id="the first without a From line"),
        pytest.param(DATED + b"\n" + ONE + b"\n>" + DATED + b"\n" + TWO, [1], id="quoted"),
        pytest.param(DATED + b"\nSubject: 1\n\n\n" + DATED + b"\nNote: x\n", [1], id="another field"),
    ],
)
def test_files_of_all_kinds(data: bytes, expected: list[int]) -> None:
    numbers = [int(line.rpartition(b" ")[2]) for line in headers(data) if line.startswith(b"Subject: ")]
    assert numbers == expected


def test_a_mail_that_another_system_forwarded_in_a_file_is_one() -> None:
    assert len(split_mbox(DATED + b"\n>From a b\n" + ONE + b"\n" + DATED + b"\n>From a b\n" + TWO).parts) == 2


MMDF = b"\x01\x01\x01\x01\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(MMDF + ONE + MMDF + MMDF + TWO + MMDF, id="before and after each mail"),
        pytest.param(MMDF + ONE + MMDF + TWO + MMDF, id="one between two mails"),
        pytest.param(MMDF + ONE + MMDF + MMDF + TWO, id="none at the end"),
        pytest.param(MMDF + DATED + b"\n" + ONE + MMDF + MMDF + DATED + b"\n" + TWO, id="with From lines"),
        pytest.param(
            MMDF + ONE + b"\n" + DATED + b"\n" + TWO[:9] + MMDF + MMDF + TWO, id="From lines as text"
        ),
        pytest.param(MMDF + ONE + b"x\x01\x01\x01\x01\n" + MMDF + MMDF + TWO, id="in the middle of a line"),
    ],
)
@pytest.mark.parametrize("end", [pytest.param(b"\n", id="LF"), pytest.param(b"\r\n", id="CRLF")])
def test_mmdf(data: bytes, end: bytes) -> None:
    data = data.replace(b"\n", end)
    assert headers(data) == [b"Subject: 1", b"Subject: 2"]


# --- What does not, or may ---


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\nFrom here on it is clear\n", id="a sentence"),
        pytest.param(b"\nFrom here on it is 10:00 clear\n", id="a sentence with a time"),
        pytest.param(b"\nFrom 10:00 on 5 May 2026 we meet\n", id="a sentence with a time and a year"),
        pytest.param(b"\nFrom \nto\n", id="a word"),
        pytest.param(b"text\nFrom - to\n", id="a hyphen"),
        pytest.param(b"\n>" + DATED + b"\n" + TWO, id="quoted"),
        pytest.param(b"\n>>" + DATED + b"\n" + TWO, id="quoted twice"),
        pytest.param(b"\n " + DATED + b"\n" + TWO, id="indented"),
        pytest.param(b"\nfrom eve@x.example Mon Nov 23 12:00:00 2026\n" + TWO, id="lower case"),
        pytest.param(b"\nFrom:\n" + TWO, id="a field"),
    ],
)
def test_text_is_text(text: bytes) -> None:
    found = split_mbox(DATED + b"\n" + ONE + text)
    assert (len(found.parts), found.doubts) == (1, ())


HYPHEN = b"From - Mon Nov 23 12:00:00 2026"


@pytest.mark.parametrize(
    ("first", "text"),
    [
        pytest.param(DATED, b"\n" + DATED, id="nothing below"),
        pytest.param(DATED, b"\n" + DATED + b"\n\nText\n", id="no header below"),
        pytest.param(DATED, b"text\n" + DATED + b"\nsaid Eve\n", id="in a paragraph"),
        pytest.param(
            DATED, b"text\n" + DATED + b"\nNote: x\n", id="in a paragraph, a field of no mail below"
        ),
        pytest.param(DATED, b"text\nFrom a 0:00 2026\n" + TWO, id="in a paragraph, odd"),
        pytest.param(DATED, b"\nFrom a 0:00 2026\nNote: x\n", id="odd, a field of no mail below"),
        pytest.param(DATED, b"\nFrom \nNote: x\n", id="bare, a field of no mail below"),
        pytest.param(DATED, b"text\nFrom \n" + TWO, id="bare, in a paragraph"),
        pytest.param(b"From ", b"\nFrom \nText\n", id="as the file's own, no header below"),
        pytest.param(DATED, b"\nFrom eve@x.example\n" + TWO, id="no date"),
        pytest.param(HYPHEN, b"\nFrom here on\n\n" + DATED + b"\n" + TWO, id="not as its program writes"),
    ],
)
def test_what_may_begin_a_mail_is_said(first: bytes, text: bytes) -> None:
    data = first + b"\n" + ONE + text
    found = split_mbox(data)
    assert len(found.parts) == 1
    assert places(found) == [data.rfind(b"\nFrom ") + 1]
    assert "may begin a mail" in found.doubts[0].why


@pytest.mark.parametrize(
    ("first", "text"),
    [
        pytest.param(DATED, b"\nFrom here on\n\n" + DATED, id="as its program writes"),
        pytest.param(HYPHEN, b"\n>From here on\n\n" + DATED, id="of a program that quotes"),
        pytest.param(HYPHEN, b"\nText\n\n" + DATED, id="of one of which nothing is known"),
    ],
)
def test_another_style_is_doubted_only_where_nothing_is_quoted(first: bytes, text: bytes) -> None:
    found = split_mbox(first + b"\n" + ONE + text + b"\n" + TWO)
    assert (len(found.parts), found.doubts) == (2, ())


def test_a_doubt_shows_its_line_and_moves_no_cursor() -> None:
    data = DATED + b"\n" + ONE + b"\nFrom \x1b[2J\xe2\x80\xae Mon Nov 23 12:00:00 2026\n"
    (doubt,) = split_mbox(data).doubts
    assert r"From \x1b[2J\u202e Mon Nov 23" in doubt.why


# --- Content-Length ---


def counted(body: bytes, length: int | None = None, subject: bytes = b"1") -> bytes:
    number = len(body) if length is None else length
    return DATED + b"\nSubject: " + subject + b"\nContent-Length: %d\n\n" % number + body


INNER = b"Text\n\n" + DATED + b"\nSubject: inner\n\nText\n"


@pytest.mark.parametrize(
    ("data", "mails", "doubts"),
    [
        pytest.param(counted(INNER) + b"\n" + counted(INNER, subject=b"2"), 2, 0, id="right"),
        pytest.param(counted(INNER) + counted(INNER), 2, 0, id="right, no empty line between"),
        pytest.param((counted(INNER) + b"\n").replace(b"\n", b"\r\n"), 2, 0, id="of other line ends"),
        pytest.param(counted(INNER) + b"\n", 1, 0, id="right, the only mail"),
        pytest.param(counted(INNER, 3) + b"\n" + counted(INNER), 3, 1, id="too short"),
        pytest.param(counted(INNER, 9999) + b"\n" + counted(b"Text\n"), 3, 0, id="too long"),
        pytest.param(counted(INNER, 0), 2, 0, id="nothing"),
        pytest.param(
            counted(INNER) + b"\n" + DATED + b"\n" + TWO, 2, 1, id="right, and not of this file's writer"
        ),
        pytest.param(DATED + b"\n" + ONE + b"\n" + counted(INNER), 2, 1, id="after a mail without"),
        pytest.param(counted(b"Text\nContent-Length: 3\n"), 1, 0, id="another in the text"),
        pytest.param(DATED + b"\n" + ONE + b"\nContent-Length: 5\n\n" + INNER, 2, 0, id="in the text alone"),
        pytest.param(counted(b"From - a\n\nText\n") + b"\n", 1, 0, id="at the beginning of the text"),
    ],
)
def test_a_right_content_length_says_where_a_mail_ends(data: bytes, mails: int, doubts: int) -> None:
    found = split_mbox(data)
    assert (len(found.parts), len(found.doubts)) == (mails, doubts)


def test_a_sender_who_counts_further_than_their_own_mail_hides_none_silently() -> None:
    hidden = b"\n" + DATED + b"\n" + ONE
    data = counted(b"Text\n", 5 + len(hidden)) + hidden + b"\n" + DATED + b"\n" + TWO
    assert [data[place:].startswith(DATED) for place in places(split_mbox(data))] == [True]


# --- Times ---


@pytest.mark.parametrize(
    ("line", "hour"),
    [
        pytest.param(DATED + b"\n", 12, id="no zone"),
        pytest.param(b"From - Mon Nov 23 12:00:00 +0100 2026", 11, id="before the year"),
        pytest.param(b"From - Mon Nov 23 12:00:00 2026 +0100\r\n", 11, id="after the year"),
        pytest.param(b"From - Mon Nov 23 12:00 2026", 12, id="no seconds"),
        pytest.param(b"From - Mon Nov 23 12:00:00 EST 2026", 17, id="a name"),
        pytest.param(b"From a Mon, 23 Nov 2026 12:00:00 +0100", 11, id="RFC 5322"),
        pytest.param(b"From a 2026-11-23 12:00:00", 12, id="ISO 8601"),
        pytest.param(b"From a 2026-11-23T12:00:00+01:00", 11, id="ISO 8601 with an offset"),
        pytest.param(b"From ", None, id="bare"),
        pytest.param(b"From a Mo Nov 23 12:00:00 2026", 12, id="a day of another language"),
        pytest.param("From a Mi Mär 23 12:00:00 2026".encode(), None, id="a month of another language"),
        pytest.param(b"From a Mon Nov 99 12:00:00 2026", None, id="no day"),
        pytest.param(b"From a 2026-99-23 12:00:00", None, id="no month"),
    ],
)
def test_the_time_of_a_from_line(line: bytes, hour: int | None) -> None:
    assert from_line_time(line) == (hour and datetime(2026, 11, 23, hour, tzinfo=UTC))
