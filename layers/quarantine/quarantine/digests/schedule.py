"""The times of a schedule, as instants: `at` some times of day, on some days of the week, in a time zone.

A time of a day is the first instant of that day at which a clock in the zone shows that time or a later one.
So a time that a clock change skips is the moment of the change, and a time that occurs twice counts once.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MOST_TIMES: Final = 5
"""How many times of day one schedule may have."""

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Z][A-Za-z0-9_+-]*)*")
_NOT_ZONES = frozenset({"Factory"})  # of the database itself: it means that no zone was chosen
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)


class Weekday(StrEnum):
    """A day of the week, from Monday as in `date.weekday`."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


_WEEKDAYS = tuple(Weekday)


class InvalidSchedule(ValueError):
    """The times, days or zone are not those of a schedule; the message says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When reports are due. at: times of day, in ascending order. zone: of the IANA database."""

    at: tuple[time, ...]
    days: frozenset[Weekday]
    zone: ZoneInfo

    @classmethod
    def parse(cls, at: Collection[str], days: Collection[str], zone: str) -> "Schedule":
        """Read `HH:MM` times (one to five), days (`mon` to `sun`, at least one) and the name of a zone.

        Raises InvalidSchedule.
        """
        if not 1 <= len(set(at)) <= MOST_TIMES:
            raise InvalidSchedule(f"{len(set(at))} times of day; a schedule has one to {MOST_TIMES}")
        if not days:
            raise InvalidSchedule("no day of the week")
        return cls(tuple(sorted(set(map(_time, at)))), frozenset(map(_day, days)), _zone(zone))

    def __str__(self) -> str:
        """The schedule in words, such as `07:00 on mon,tue, Europe/Berlin`."""
        times = ", ".join(f"{each:%H:%M}" for each in self.at)
        days = "every day" if len(self.days) == len(Weekday) else ",".join(sorted_days(self.days))
        return f"{times} {'' if days == 'every day' else 'on '}{days}, {self.zone.key}"


def sorted_days(days: Collection[Weekday]) -> list[Weekday]:
    """Return the days from Monday on."""
    return [day for day in Weekday if day in days]


def next_time(schedule: Schedule, after: datetime) -> datetime:
    """Return the first time of a schedule that is later than an instant; in UTC, with whole seconds."""
    day = after.astimezone(schedule.zone).date() - _DAY  # a clock change may move its last time to today
    best: datetime | None = None
    while best is None or day <= best.astimezone(schedule.zone).date() + _DAY:
        if _WEEKDAYS[day.weekday()] in schedule.days:
            for each in schedule.at:
                instant = _instant(day, each, schedule.zone)
                if instant > after and (best is None or instant < best):
                    best = instant
        day += _DAY
    return best


def is_time(schedule: Schedule, instant: datetime) -> bool:
    """Return whether an instant is a time of a schedule."""
    return next_time(schedule, instant - _SECOND) == instant


def _instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return the first instant at which a clock shows this time of this day, or a later one."""
    local = datetime.combine(day, at, tzinfo=zone)
    earlier, later = sorted((_utc(local.replace(fold=0)), _utc(local.replace(fold=1))))
    if earlier == later or _shown(earlier, zone) == local.replace(tzinfo=None):
        return earlier  # the only one, or the first of two
    while later - earlier > _SECOND:  # skipped: the change lies between the two
        middle = earlier + (later - earlier) // 2
        middle = middle.replace(microsecond=0)
        if _shown(middle, zone) >= local.replace(tzinfo=None):
            later = middle
        else:
            earlier = middle
    return later


def _utc(local: datetime) -> datetime:
    return local.astimezone(UTC).replace(microsecond=0)


def _shown(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def _time(text: str) -> time:
    found = _TIME.fullmatch(text)
    if found is None:
        raise InvalidSchedule(f"not a time of day such as 07:00: {text!r:.80}")
    return time(int(found[1]), int(found[2]))


def _day(text: str) -> Weekday:
    try:
        return Weekday(text)
    except ValueError as e:
        raise InvalidSchedule(f"not one of {', '.join(Weekday)}: {text!r:.80}") from e


def _zone(text: str) -> ZoneInfo:
    try:
        if _ZONE.fullmatch(text) and text not in _NOT_ZONES:
            return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise InvalidSchedule(f"not a time zone of the IANA database, such as Europe/Berlin: {text!r:.80}")
