"""The date of a stored mail, in the forms that mail programs write. An uncertain date is unreadable."""

import functools
import re
from datetime import UTC, datetime, timedelta

_YEARS = range(1980, 2200)  # another year comes from a wrong clock or a forgery
_LONGEST_DATE = 200  # bytes that are read

_MONTHS = {
    name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)
}
_RECENT = range(50)  # two digits of a year after 1999: RFC 5322 4.3
# Hours east of UTC. RFC 5322 4.3 defines the first eleven; each of the others means one zone only. Any other
# name, and a military letter other than Z, can mean a time that is hours away: the date is then unreadable.
_ZONES = {
    zone: int(hours)
    for line in (
        *(b"0 ut utc gmt z", b"-5 est cdt", b"-4 edt", b"-6 cst mdt", b"-7 mst pdt", b"-8 pst"),
        *(b"0 wet", b"1 west cet met", b"2 cest mest eet", b"3 eest msk", b"9 jst kst"),
        *(b"10 aest", b"11 aedt", b"12 nzst", b"13 nzdt"),
    )
    for hours, *zones in (line.split(),)
    for zone in zones
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
    """Read a date-time (RFC 5322 3.3) as UTC; None if it cannot be read, or if its year is implausible.

    A time without a zone is read as UTC. A time with an unknown zone cannot be read.
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
    """Return the offset of a zone from UTC; None if the zone is unknown or impossible."""
    if (match := _OFFSET.fullmatch(zone)) is None:
        return timedelta(hours=_ZONES[zone]) if zone in _ZONES else None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3] or b"0"))
    return -offset if match[1] == b"-" else offset


_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*\)")


def _without_comments(value: bytes) -> bytes:
    """Remove comments (RFC 5322 3.2.2), the innermost first, and an unclosed one with all that follows."""
    before = None
    while before != value:
        before, value = value, _COMMENT.sub(b" ", value)
    return value.partition(b"(")[0]
