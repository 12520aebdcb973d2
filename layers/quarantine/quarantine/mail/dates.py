"""The date of a stored mail, in the forms that mail programs write; one that is not certain is no date."""

import functools
import re
from datetime import UTC, datetime, timedelta

_YEARS = range(1980, 2200)  # another year is a wrong clock's, or a lie
_LONGEST_DATE = 200  # bytes that are read

_MONTHS = {
    name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)
}
_RECENT = range(50)  # two digits of a year after 1999: RFC 5322 4.3
# Hours east of UTC. RFC 5322 4.3 defines those of the first line, and the others mean one zone only. A
# military letter (but Z), like any other name, may be hours away from what it seems: such a date is none.
_ZONES = {
    zone: hours
    for hours, zones in (
        *(
            (0, b"ut utc gmt z"),
            (-5, b"est cdt"),
            (-4, b"edt"),
            (-6, b"cst mdt"),
            (-7, b"mst pdt"),
            (-8, b"pst"),
        ),
        *((0, b"wet"), (1, b"west cet met"), (2, b"cest mest eet"), (3, b"eest msk"), (9, b"jst kst")),
        *((10, b"aest"), (11, b"aedt"), (12, b"nzst"), (13, b"nzdt")),
    )
    for zone in zones.split()
} | {b"": 0}

_COMMON = re.compile(
    rb"\s*(?:[A-Z][a-z]{2}, ?)?(?P<day>\d{1,2}) (?P<month>[A-Z][a-z]{2}) (?P<year>\d{4})"
    rb" (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d) (?P<zone>[+-]\d{4})\s*(?:\([^()\\]*\)\s*)?"
)
_DAY_NAME = rb"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?(?:\s*,\s*|\s+))?"
_DAY = rb"(?P<day>\d{1,2})"
_MONTH = rb"(?P<month>%b)[a-z]*\.?" % b"|".join(_MONTHS)
_TIME = rb"(?P<hour>\d{1,2})[:.](?P<minute>\d\d)(?:[:.](?P<second>\d\d)(?:[.,]\d+)?)?"
_FORMS = (
    # RFC 5322 3.3 and 4.3, and with hyphens, as in RFC 850
    rb"%b%b[\s-]+%b[\s,-]+(?P<year>\d{2,4})[\s,]+%b(?P<zone>.*)" % (_DAY_NAME, _DAY, _MONTH, _TIME),
    # As C's asctime and the date command write it
    rb"%b%b\s+%b,?\s+%b(?P<zone>.*?)\s(?P<year>\d{4})(?P<zone_after>(?:\s.*)?)"
    % (_DAY_NAME, _MONTH, _DAY, _TIME),
    rb"%b%b\s+%b,?\s+(?P<year>\d{4}),?\s+%b(?P<zone>.*)" % (_DAY_NAME, _MONTH, _DAY, _TIME),
)
_OTHERS = tuple(map(re.compile, _FORMS))
_OFFSET = re.compile(
    rb"(?:(?:gmt|utc?|z)\s*)?([+-])\s?([01]\d|2[0-3]|\d)(?::?([0-5]\d))?(?:\s+[a-z][a-z_/ -]*)?"
)


def parse_time(value: bytes) -> datetime | None:
    """Read a date-time (RFC 5322 3.3) as UTC; None when it cannot be, or is of no year of mail.

    A time with no zone at all is taken for UTC; one with a zone that we do not know cannot be read.
    """
    match = _COMMON.fullmatch(value)
    if match is None:
        text = b" ".join(_without_comments(value[:_LONGEST_DATE]).lower().split())
        match = next(filter(None, (form.fullmatch(text) for form in _OTHERS)), None)
    return match and _utc(match.groupdict(b""))


def _utc(found: dict[str, bytes]) -> datetime | None:
    year = int(found["year"])
    if year not in _YEARS:  # RFC 5322 4.3: two digits, or three
        year += 2000 if year in _RECENT else 1900
    offset = _offset((found["zone"] + found.get("zone_after", b"")).strip(b" ,"))
    month = _MONTHS.get(found["month"].lower())
    if year not in _YEARS or month is None or offset is None:
        return None
    day, hour, minute = (int(found[name]) for name in ("day", "hour", "minute"))
    second = min(
        int(found["second"] or b"0"), 59
    )  # RFC 5322 3.3: 60 is a leap second, which datetime has not
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC) - offset
    except ValueError:  # no such day, no such time
        return None


@functools.lru_cache(maxsize=64)
def _offset(zone: bytes) -> timedelta | None:
    """Return how far east of UTC a zone is; None for one that is unknown or impossible."""
    if (match := _OFFSET.fullmatch(zone)) is None:
        return timedelta(hours=_ZONES[zone]) if zone in _ZONES else None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3] or b"0"))
    return -offset if match[1] == b"-" else offset


_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*\)")


def _without_comments(value: bytes) -> bytes:
    """Take out comments (RFC 5322 3.2.2), the innermost first, and one that is not closed."""
    before = None
    while before != value:
        before, value = value, _COMMENT.sub(b" ", value)
    return value.partition(b"(")[0]
