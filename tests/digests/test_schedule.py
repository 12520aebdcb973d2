from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.digests.schedule import InvalidSchedule, Schedule, Weekday, is_time, next_time

EVERY_DAY = tuple(Weekday)
# Both hemispheres, half hours, a day that was skipped, an odd change, and none.
ZONES = (
    *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"),
    *("Asia/Kolkata", "Pacific/Apia", "Africa/Casablanca", "UTC"),
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def times(schedule: Schedule, begin: datetime, end: datetime) -> list[datetime]:
    found = []
    while (begin := next_time(schedule, begin)) <= end:
        found.append(begin)
    return found


@pytest.mark.parametrize(
    ("times_of_day", "days", "zone", "after", "expected"),
    [
        (["07:00"], EVERY_DAY, "UTC", "2026-11-23T06:59:59Z", "2026-11-23T07:00:00Z"),
        (["07:00"], EVERY_DAY, "UTC", "2026-11-23T07:00:00Z", "2026-11-24T07:00:00Z"),
        (["07:00", "15:30"], EVERY_DAY, "UTC", "2026-11-23T07:00:00Z", "2026-11-23T15:30:00Z"),
        (["07:00"], ["mon"], "Europe/Berlin", "2026-11-23T06:00:00Z", "2026-11-30T06:00:00Z"),
        (["23:30"], ["sun"], "America/New_York", "2026-11-23T04:00:00Z", "2026-11-23T04:30:00Z"),
        # The clock goes from 02:00 to 03:00: the change itself.
        (["02:30"], EVERY_DAY, "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        (["02:00"], EVERY_DAY, "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        # It goes from 03:00 to 02:00: once, the first time.
        (["02:30"], EVERY_DAY, "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        (["02:30"], EVERY_DAY, "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        # Half an hour, in the south.
        (["02:15"], EVERY_DAY, "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z"),
        # At midnight: the day begins at 01:00.
        (["00:30"], EVERY_DAY, "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-06T04:00:00Z"),
        # A whole day was skipped: the change itself, once for all its times.
        (["07:00", "15:00"], ["fri"], "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z"),
        (["07:00", "15:00"], ["fri"], "Pacific/Apia", "2011-12-30T10:00:00Z", "2012-01-05T17:00:00Z"),
    ],
)
def test_the_next_time(
    times_of_day: list[str], days: list[str], zone: str, after: str, expected: str
) -> None:
    schedule = Schedule.parse(times_of_day, days, zone)
    assert next_time(schedule, at(after)) == at(expected)
    assert is_time(schedule, at(expected))
    assert not is_time(schedule, at(expected) + timedelta(minutes=1))


schedules = st.builds(
    lambda times, days, zone: Schedule(tuple(sorted(times)), frozenset(days), ZoneInfo(zone)),
    st.sets(st.builds(time, st.integers(0, 23), st.integers(0, 59)), min_size=1, max_size=5),
    st.sets(st.sampled_from(Weekday), min_size=1),
    st.sampled_from(ZONES),
)
instants = st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(schedules, instants)
def test_each_day_has_each_of_its_times_once(schedule: Schedule, begin: datetime) -> None:
    """As a clock on the wall shows them, whatever it skips or repeats."""
    end = begin + timedelta(days=9)
    expected = set()
    day = begin.astimezone(schedule.zone).date() - timedelta(days=2)
    while day <= end.astimezone(schedule.zone).date() + timedelta(days=1):
        if list(Weekday)[day.weekday()] in schedule.days:
            expected |= {first_shown(day, each, schedule.zone) for each in schedule.at}
        day += timedelta(days=1)
    assert times(schedule, begin, end) == sorted(each for each in expected if begin < each <= end)


def first_shown(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Look at the clock every minute."""
    wanted = datetime.combine(day, at)
    moment = wanted.replace(tzinfo=UTC) - timedelta(hours=15)
    # By hours first: no zone has moved its clock by less than half an hour in these years.
    step = timedelta(minutes=30)
    while moment.astimezone(zone).replace(tzinfo=None) < wanted:
        moment += step
    moment -= step
    while moment.astimezone(zone).replace(tzinfo=None) < wanted:
        moment += timedelta(minutes=1)
    return moment


@given(schedules, instants, st.lists(st.integers(1, 3 * 24 * 60), min_size=1, max_size=20))
def test_ticks_at_any_moments_serve_each_time_once_and_leave_none_out(
    schedule: Schedule, begin: datetime, minutes: list[int]
) -> None:
    """As digest does it: whoever is due is served at the next tick, then due at the next time after it."""
    now, due = begin, next_time(schedule, begin)
    served: list[datetime] = []
    passed_over: set[datetime] = set()
    for each in minutes:
        now += timedelta(minutes=each)
        if due <= now:
            served.append(due)
            passed_over |= set(times(schedule, due, now))  # the tick that serves `due` covers them
            due = next_time(schedule, now)
    every = times(schedule, begin, now)
    assert len(set(served)) == len(served)
    assert set(served) | passed_over == set(every)


@pytest.mark.parametrize(
    ("times_of_day", "days", "zone", "said"),
    [
        ([], ["mon"], "UTC", "0 times of day"),
        (["01:00", "02:00", "03:00", "04:00", "05:00", "06:00"], ["mon"], "UTC", "6 times of day"),
        (["7:00"], ["mon"], "UTC", "not a time of day such as 07:00: '7:00'"),
        (["24:00"], ["mon"], "UTC", "'24:00'"),
        (["07:60"], ["mon"], "UTC", "'07:60'"),
        (["07:00:00"], ["mon"], "UTC", "'07:00:00'"),
        (["٠٧:00"], ["mon"], "UTC", "not a time of day"),
        (["07:00\n"], ["mon"], "UTC", "not a time of day"),
        (["07:00"], [], "UTC", "no day of the week"),
        (["07:00"], ["Monday"], "UTC", "not one of mon, tue, wed, thu, fri, sat, sun: 'Monday'"),
        (["07:00"], ["mon"], "CET+1", "not a time zone of the IANA database"),
        (["07:00"], ["mon"], "Europe/Atlantis", "'Europe/Atlantis'"),
        (["07:00"], ["mon"], "../../etc/passwd", "not a time zone"),
        (["07:00"], ["mon"], "/etc/localtime", "not a time zone"),
        (["07:00"], ["mon"], "localtime", "not a time zone"),
        (["07:00"], ["mon"], "Factory", "not a time zone"),
        (["07:00"], ["mon"], "", "not a time zone"),
        (["07:00"], ["mon"], "A" * 9999, "not a time zone"),
        (["07:00"], ["mon"], "Europe/Ber\0lin", "not a time zone"),
        (["07:00"], ["mon"], "Europe", "not a time zone"),
    ],
)
def test_what_is_no_schedule(times_of_day: list[str], days: list[str], zone: str, said: str) -> None:
    with pytest.raises(InvalidSchedule) as raised:
        Schedule.parse(times_of_day, days, zone)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (EVERY_DAY, "07:00, 15:00 every day, Europe/Berlin"),
        (["tue", "mon"], "07:00, 15:00 on mon,tue, Europe/Berlin"),
    ],
)
def test_a_schedule_in_words(days: list[str], words: str) -> None:
    assert str(Schedule.parse(["15:00", "07:00", "07:00"], days, "Europe/Berlin")) == words


def test_a_schedule_may_have_five_times_in_any_zone() -> None:
    schedule = Schedule.parse(
        ["01:00", "02:00", "03:00", "04:00", "05:00"], ["sat"], "America/Argentina/Ushuaia"
    )
    assert len(schedule.at) == 5
