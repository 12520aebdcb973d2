"""How many users ask, and when. The share and the shape are assumptions: replace them with your own."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

USERS = 1_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """share: of all users; moment: draws when one of them asks, in seconds since 8:00."""

    name: str
    share: float
    moment: Callable[[Random], float]

    def asked_at(self, users: int = USERS, seed: int = 1) -> list[float]:
        """Return the moments of one morning. The same seed gives the same morning."""
        rng = Random(seed)  # noqa: S311 - chance, not a secret
        return sorted(self.moment(rng) for _ in range(round(users * self.share)))


MONDAY = Load("2 % between 8:00 and 9:00, most at 8:10", 0.02, lambda rng: rng.triangular(0, 3600, 600))
AT_ONCE = Load("2 % within one minute", 0.02, lambda rng: rng.uniform(0, 60))
OUTAGE = Load("5 % within ten minutes of an outage mail", 0.05, lambda rng: rng.uniform(0, 600))
LOADS = (MONDAY, AT_ONCE, OUTAGE)
