"""The dates of stored mail: what is certain, in UTC, and nothing else."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.mail.dates import parse_time

DAY = b"Mon, 23 Nov 2026 12:00:00 "


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        *(
            (b"+0000", "12:00"),
            (b"-0000", "12:00"),
            (b"+0100", "11:00"),
            (b"-0500", "17:00"),
            (b"+0530", "06:30"),
        ),
        *((b"GMT+0200", "10:00"), (b"GMT-0500", "17:00"), (b"UTC+2", "10:00"), (b"UTC+02:00", "10:00")),
        *((b"GMT +0200", "10:00"), (b"UT-1", "13:00"), (b"gmt+02", "10:00"), (b"Z+0200", "10:00")),
        *(
            (b"+02:00", "10:00"),
            (b"+2", "10:00"),
            (b"+02", "10:00"),
            (b"+200", "10:00"),
            (b"-05:30", "17:30"),
        ),
        *((b"+ 0200", "10:00"), (b"GMT", "12:00"), (b"UT", "12:00"), (b"UTC", "12:00"), (b"Z", "12:00")),
        *((b"EST", "17:00"), (b"EDT", "16:00"), (b"CST", "18:00"), (b"CDT", "17:00"), (b"MST", "19:00")),
        *((b"MDT", "18:00"), (b"PST", "20:00"), (b"PDT", "19:00"), (b"CET", "11:00"), (b"CEST", "10:00")),
        *(
            (b"JST", "03:00"),
            (b"pst", "20:00"),
            (b"", "12:00"),
            (b"+0100 (CET)", "11:00"),
            (b"+0100 CET", "11:00"),
        ),
        *(
            (b"(CET) +0100", "11:00"),
            (b"+0000 (GMT+02:00)", "12:00"),
            (b"+0200 (a (nested \\) one) b)", "10:00"),
        ),
        *((b"+0200 (not closed", "10:00"), (b"+0200(CEST)", "10:00"), (b"+0200\t ", "10:00")),
        # Not certain: a letter of the military, zones of several meanings or none, offsets that are none
        *((b"A", None), (b"IST", None), (b"BST", None), (b"PM", None), (b"GMT+0260", None), (b"+9999", None)),
        *(
            (b"+2400", None),
            (b"CET+0100", None),
            (b"EST5EDT", None),
            (b"GMT+0200+0100", None),
            (b"+02000", None),
        ),
        *((b"+0200 7", None), (b"Local time zone must be set", None), (b"\xff", None), (b"+", None)),
    ],
)
def test_the_zone_of_a_date(zone: bytes, expected: str | None) -> None:
    time = parse_time(DAY + zone)
    assert (time and f"{time:%H:%M}") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b" Mon, 23 Nov 2026 12:00:00 +0100", "2026-11-23T11:00:00", id="as nearly all are"),
        pytest.param(b"23 Nov 2026 12:00 +0100", "2026-11-23T11:00:00", id="no day, no seconds"),
        pytest.param(b"Mon,23 Nov 2026 12:00:00+0100", "2026-11-23T11:00:00", id="no spaces"),
        pytest.param(b"MON, 3 NOV 2026 9:05:07 gmt", "2026-11-03T09:05:07", id="letter case, one digit"),
        pytest.param(b"Monday, 23-Nov-26 12:00:00 GMT", "2026-11-23T12:00:00", id="RFC 850"),
        pytest.param(b"Mon, 23 November 2026 12.00.00 GMT", "2026-11-23T12:00:00", id="full names, points"),
        pytest.param(b"Mon Nov 23 12:00:00 2026", "2026-11-23T12:00:00", id="asctime"),
        pytest.param(b"Mon Nov  3 12:00:00 2026 +0200", "2026-11-03T10:00:00", id="asctime, zone behind"),
        pytest.param(b"Mon Nov 23 12:00:00 CET 2026", "2026-11-23T11:00:00", id="the date command"),
        pytest.param(b"Mon Nov 23 12:00:00 +0200 2026", "2026-11-23T10:00:00", id="asctime, offset within"),
        pytest.param(b"Nov 23, 2026 12:00:00 GMT", "2026-11-23T12:00:00", id="American"),
        pytest.param(b"Mon Nov 23 12:00:00 CET 2026 +0100", None, id="two zones"),
        pytest.param(b"Mon Nov 23 12:00:00 XYZ 2026", None, id="asctime, unknown zone"),
        pytest.param(b"Mon Nov 23 12:00:00", None, id="no year"),
        pytest.param(b"23 Nov 26 12:00:00 GMT", "2026-11-23T12:00:00", id="two digits"),
        pytest.param(
            b"23 Nov 49 12:00:00 GMT", "2049-11-23T12:00:00", id="two digits, the last of this century"
        ),
        pytest.param(b"23 Nov 99 12:00:00 GMT", "1999-11-23T12:00:00", id="two digits, of the last"),
        pytest.param(b"23 Nov 50 12:00:00 GMT", None, id="two digits, before mail"),
        pytest.param(b"23 Nov 126 12:00:00 GMT", "2026-11-23T12:00:00", id="three digits"),
        pytest.param(b"Mon, 23 Nov 2026 12:00:00.123 GMT", "2026-11-23T12:00:00", id="milliseconds"),
        pytest.param(b"Mon, 31 Dec 2035 23:59:60 +0000", "2035-12-31T23:59:59", id="leap second"),
        pytest.param(
            b"Mon (a), 23 (b) Nov 2026 (c) 12:00:00 (d) +0200", "2026-11-23T10:00:00", id="comments"
        ),
        pytest.param(
            b"(1 Jan 2020 00:00:00 +0000) 23 Nov 2026 12:00:00 GMT", "2026-11-23T12:00:00", id="a date in one"
        ),
        pytest.param(b"Tue, 30 Feb 2026 12:00:00 +0000", None, id="no such day"),
        pytest.param(b"Mon, 23 Nov 2026 24:00:00 +0000", None, id="no such hour"),
        pytest.param(b"Mon, 23 Nov 2026 12:61:00 GMT", None, id="no such minute"),
        pytest.param(b"Mon, 23 Foo 2026 12:00:00 +0000", None, id="no such month"),
        pytest.param(b"Mon, 23 Nov 1970 12:00:00 +0000", None, id="a wrong clock"),
        pytest.param(b"Mon, 23 Nov 9999 12:00:00 +0000", None, id="another"),
        pytest.param(b"x Mon, 23 Nov 2026 12:00:00 +0000", None, id="other text before"),
        pytest.param(b"2026-11-23", None, id="no time"),
        pytest.param(b"(" * 100_000, None, id="long"),
        pytest.param(b"", None, id="none"),
    ],
)
def test_the_forms_of_a_date(value: bytes, expected: str | None) -> None:
    time = parse_time(value)
    assert (time and time.isoformat().removesuffix("+00:00")) == expected
    assert time is None or time.tzinfo is UTC


PIECES = st.sampled_from(
    (
        *(
            b"Mon, ",
            b"23 ",
            b"Nov ",
            b"2026 ",
            b"12:00:00 ",
            b"+0100",
            b"GMT",
            b"(",
            b")",
            b"\\",
            b"-",
            b" ",
            b"26 ",
        ),
    )
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=3)), max_size=15).map(b"".join))
def test_any_bytes_are_a_time_in_utc_or_none(value: bytes) -> None:
    time = parse_time(value)
    assert time is None or time.tzinfo is UTC


@given(st.datetimes(datetime(1980, 1, 2), datetime(2199, 12, 30)), st.integers(-1439, 1439))  # noqa: DTZ001
def test_a_date_of_mail_is_the_moment_that_it_names(local: datetime, offset: int) -> None:
    sign, (hours, minutes) = "-" if offset < 0 else "+", divmod(abs(offset), 60)
    written = f"{local:%a, %d %b %Y %H:%M:%S} {sign}{hours:02}{minutes:02}"
    expected = datetime.fromisoformat(f"{local:%Y-%m-%dT%H:%M:%S}{sign}{hours:02}:{minutes:02}")
    assert parse_time(written.encode()) == expected == parse_time(f"{written} (a comment)".encode())
