"""The statements of docs/scale.md about the settings, at a tenth of the scale, to save time.

A tenth of the users and of the sending rate; report takes ten times as long, so that 3 runs fill that rate.
"""

import pytest

from lab.simulation.__main__ import sized, unlimited
from lab.simulation.load import LOADS, Load
from lab.simulation.pipeline import Durations, Fate, Morning, simulate
from lab.simulation.settings import Settings
from local.stack import load_template

USERS = 100_000
RATE = 1.4
DURATIONS = Durations(before_send=1.0, send=1.0, after_send=0.2)
TEMPLATE = Settings.from_template(load_template())


def morning(load: Load, settings: Settings) -> Morning:
    return simulate(load.asked_at(USERS), settings, RATE, durations=DURATIONS, in_order=False)


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_sized_nothing_is_lost(load: Load) -> None:
    assert morning(load, sized(TEMPLATE, 14)).number(Fate.SENT) == round(USERS * load.share)


@pytest.mark.parametrize("load", LOADS[1:], ids=lambda load: load.name)
def test_unlimited_a_peak_ends_in_the_dead_letter_queue(load: Load) -> None:
    assert morning(load, unlimited(TEMPLATE)).number(Fate.DEAD) > USERS * load.share / 2
