"""Figures measured side by side (A, B, A, B), so that a disturbance of the machine slows both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some samples, and their range."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Self:
        return cls(median(samples), min(samples), max(samples))

    @classmethod
    def of_ratios(cls, samples: Sequence[float], floor: Sequence[float]) -> Self:
        """Compare each sample with the floor of its own round."""
        return cls.of([sample / base for sample, base in zip(samples, floor, strict=True)])

    @classmethod
    def of_differences(cls, samples: Sequence[float], floor: Sequence[float]) -> Self:
        """Subtract from each sample the floor of its own round."""
        return cls.of([sample - base for sample, base in zip(samples, floor, strict=True)])

    def __str__(self) -> str:
        digits = 2 if abs(self.median) < 10 else 0  # noqa: PLR2004 - more would be noise
        return f"{self.median:.{digits}f} ({self.least:.{digits}f} to {self.most:.{digits}f})"


def interleaved[K, T](samplers: Mapping[K, Callable[[], T]], rounds: int) -> dict[K, list[T]]:
    """Take one sample of each in turn, for `rounds` rounds, after one round of warming up."""
    for sample in samplers.values():
        sample()
    samples: dict[K, list[T]] = {name: [] for name in samplers}
    for _ in range(rounds):
        for name, sample in samplers.items():
            samples[name].append(sample())
    return samples
