"""AWS's limits: as AWS documents them, or as assumed here if they are not documented."""

from dataclasses import dataclass, field

# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html, of a standard queue.
FIRST_POLLERS = 5
POLLERS_PER_SECOND = 5  # "up to 300 more concurrent invokes per minute"
MOST_POLLERS = 1250

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, before an increase.
ACCOUNT_CONCURRENCY = 1000


@dataclass(slots=True)
class SendRate:
    """SES's maximum sending rate: SES refuses mail above it.

    per_second: at least 1, as in SES's sandbox, or 0 to refuse all. How SES counts is not documented.
    Assumed: the mails of one second may be sent at once, and the allowance is refilled evenly.
    """

    per_second: float
    _tokens: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = self.per_second

    def take(self, now: float) -> bool:
        """Return whether SES accepts one more mail, and count it."""
        self._tokens = min(self.per_second, self._tokens + (now - self._at) * self.per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(slots=True)
class Pollers:
    """The number of runs that the event source mapping starts in parallel.

    Assumed: it grows evenly while jobs wait, shrinks at the same rate when none waits, and does not slow down
    for a job that a run reports as failed (ReportBatchItemFailures), because the run itself did not fail.
    """

    maximum: int | None
    allowed: int = field(init=False)

    def __post_init__(self) -> None:
        self.maximum = min(self.maximum or MOST_POLLERS, MOST_POLLERS)
        self.allowed = min(FIRST_POLLERS, self.maximum)

    def second_passed(self, *, waiting: bool) -> None:
        """Scale up or down for one second."""
        assert self.maximum is not None
        step = POLLERS_PER_SECOND if waiting else -POLLERS_PER_SECOND
        least = min(FIRST_POLLERS, self.maximum)
        self.allowed = max(least, min(self.maximum, self.allowed + step))
