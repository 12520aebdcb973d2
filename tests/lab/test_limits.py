import pytest

from lab.simulation.limits import Pollers, SendRate


@pytest.mark.parametrize(
    ("asked_at", "taken"),
    [
        pytest.param([0.0] * 3, [True, True, False], id="a second's worth at once, and no more"),
        pytest.param([0.0] * 3 + [0.4, 0.5, 0.6], [True, True, False, False, True, False], id="comes back"),
        pytest.param([0.0] * 3 + [60.0] * 3, [True, True, False] * 2, id="is not saved up"),
    ],
)
def test_ses_takes_so_many_a_second(asked_at: list[float], taken: list[bool]) -> None:
    rate = SendRate(2)
    assert [rate.take(at) for at in asked_at] == taken


@pytest.mark.parametrize(
    ("maximum", "waiting", "allowed"),
    [
        pytest.param(None, [], 5, id="starts with five"),
        pytest.param(None, [True] * 60, 305, id="300 more a minute"),
        pytest.param(None, [True] * 600, 1250, id="as many as Lambda has"),
        pytest.param(None, [True] * 60 + [False] * 600, 5, id="back to five"),
        pytest.param(3, [], 3, id="starts with no more than its maximum"),
        pytest.param(3, [True] * 60, 3, id="stays at its maximum"),
        pytest.param(100, [True] * 60, 100, id="grows to its maximum"),
        pytest.param(100, [True] * 60 + [False] * 600, 5, id="back to five below its maximum"),
    ],
)
def test_pollers_scale_with_what_waits(maximum: int | None, waiting: list[bool], allowed: int) -> None:
    pollers = Pollers(maximum)
    for each in waiting:
        pollers.second_passed(waiting=each)
    assert pollers.allowed == allowed
