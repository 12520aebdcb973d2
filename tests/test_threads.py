"""Calls at once."""

from threading import Barrier, get_ident

import pytest

from quarantine.threads import Threads

PATIENCE = 30  # seconds


def test_the_results_are_in_order() -> None:
    assert Threads(3).map(str, range(20)) == [str(number) for number in range(20)]


def test_no_value_is_no_call() -> None:
    assert Threads(3).map(str, []) == []


def test_calls_are_made_at_once() -> None:
    all_begun = Barrier(4)
    Threads(3).map(lambda _: all_begun.wait(PATIENCE), range(4))


def test_one_call_is_made_by_its_caller() -> None:
    assert Threads(3).map(lambda _: get_ident(), [0]) == [get_ident()]


def test_calls_within_calls_need_no_thread() -> None:
    threads = Threads(1)

    def depth(levels: int) -> int:
        return 1 + max(threads.map(depth, [levels - 1] * 3)) if levels else 0

    assert depth(4) == 4


def test_all_calls_have_ended_when_an_error_is_raised() -> None:
    seen: list[int] = []

    def each(number: int) -> None:
        seen.append(number)
        if number in {1, 3}:
            raise ValueError(number)

    with pytest.raises(ValueError, match=r"^1$"):
        Threads(2).map(each, range(9))
    assert sorted(seen) == list(range(9))
