from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from quarantine.digests.news import OVERLAP, Mark, is_new, joined, moved
from quarantine.held import HeldMessage, HoldReason
from quarantine.mail.addresses import Address

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BOB = Address.parse("bob@example.com")


def held(number: int, received: timedelta, noted: timedelta | None = None) -> HeldMessage:
    return HeldMessage(
        recipient=BOB,
        message_id=f"<{number}@x>",
        received_at=NOW + received,
        sender="",
        subject="",
        reason=HoldReason.SPAM,
        expires_at=None,
        written_at=None if noted is None else NOW + noted,
    )


MINUTE = timedelta(minutes=1)


def test_all_is_new_to_who_was_told_nothing() -> None:
    assert is_new(held(1, -999 * MINUTE), None)


def test_what_was_listed_is_not_new_again_and_what_became_visible_later_is() -> None:
    seen, unseen = held(1, -MINUTE), held(2, -2 * MINUTE)
    mark = moved(None, [seen], NOW)
    assert [is_new(each, mark) for each in (seen, unseen)] == [False, True]


def test_a_row_that_was_written_late_counts_by_when_it_was_written() -> None:
    mark = Mark(NOW)
    assert is_new(held(1, timedelta(days=-9), MINUTE), mark)
    assert not is_new(held(2, timedelta(days=-9)), mark)
    assert not is_new(held(3, timedelta(days=-9), -OVERLAP), mark)


def test_what_an_earlier_report_listed_within_five_minutes_is_remembered() -> None:
    seen = held(1, -MINUTE)
    first = moved(None, [seen], NOW)
    second = moved(first, [held(2, MINUTE)], NOW + 3 * MINUTE)
    assert not is_new(seen, second)
    assert len(second.listed) == 2
    assert moved(second, [], NOW + 99 * MINUTE).listed == {}


def test_a_mark_never_moves_back() -> None:
    later = moved(None, [held(1, -MINUTE)], NOW)
    assert moved(later, [], NOW - MINUTE) == later
    assert joined(None, later) == later
    assert joined(later, Mark(NOW - MINUTE)) == joined(Mark(NOW - MINUTE), later) == later


minutes = st.integers(0, 600)


@given(
    st.lists(st.tuples(minutes, minutes, st.integers(0, 4)), max_size=30),
    st.lists(st.integers(1, 60), min_size=1, max_size=20),
)
def test_each_message_is_new_to_exactly_one_report(
    messages: list[tuple[int, int, int]], gaps: list[int]
) -> None:
    """Rows are noted at any time, become visible up to five minutes later, in any order of reception."""
    rows = [
        (replace(held(number, -received * MINUTE), written_at=NOW + noted * MINUTE), noted + delay)
        for number, (received, noted, delay) in enumerate(messages)
    ]
    told: list[str] = []
    mark, now = None, 0
    for gap in gaps:
        now += gap
        new = [row for row, visible in rows if visible <= now and is_new(row, mark)]
        told += [row.message_id for row in new]
        mark = moved(mark, new, NOW + now * MINUTE)
    assert sorted(told) == sorted(row.message_id for row, visible in rows if visible <= now)
