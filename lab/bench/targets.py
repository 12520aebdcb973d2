"""The targets: each target beside the figure that this run reached."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reached:
    """A figure that has a target. bound: the target, in the unit that `what` names, as `value` is.

    at_least: whether the bound is the least and not the most.
    """

    what: str
    bound: float
    value: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of one part of the bench: its table (of rich), and its figures that have a target."""

    table: Any
    reached: Sequence[Reached] = ()


METHOD = """\
From the tables above, of this run on this machine: medians of times and ratios, the largest of counts, sizes
and memory. A missed time is not a failure: machines differ.
"""


def table(reached: Iterable[Reached]) -> Any:
    from rich.table import Table

    rows = Table(title="Targets", title_justify="left")
    for name in ("what", "target", "reached", "met"):
        rows.add_column(name, justify="left" if name == "what" else "right")
    for each in reached:
        verdict = "yes" if each.is_met else "[bold red]no[/]"
        target = f"at {'least' if each.at_least else 'most'} {each.bound:,}"
        rows.add_row(each.what, target, _figure(each.value), verdict)
    return rows


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
