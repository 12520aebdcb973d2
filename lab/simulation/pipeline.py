"""The pipeline as SimPy processes: mails arrive, jobs wait, runs of report send or fail.

Time is in seconds since 8:00. One seeded generator makes all chance: the same seed gives the same morning.
"""

import math
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

import simpy

from lab.simulation.limits import ACCOUNT_CONCURRENCY, Pollers, SendRate
from lab.simulation.settings import Settings

SAMPLE_EVERY = 60.0
RETENTION = 4 * 24 * 3600.0  # of the queue, SQS's default; longer than any morning here

type Process = Generator[simpy.Event, object]


class Fate(StrEnum):
    """The state of a request; the last two are final."""

    WAITING = "waiting"  # on its way to the queue, on it, or in a run
    SENT = "sent"  # SES accepted the report
    DEAD = "dead"  # received too often: in the dead-letter queue, where an operator finds it


@dataclass(frozen=True, slots=True)
class Durations:
    """Durations as medians in seconds. They are assumptions, not measurements on AWS.

    before_send: claim, query, render. send: SES's answer, also a refusal. after_send: the row. cold: the
    additional time of a new execution environment. spread: sigma of the log-normal around each.
    """

    intake: float = 0.1
    before_send: float = 0.1
    send: float = 0.1
    after_send: float = 0.02
    cold: float = 1.5
    spread: float = 0.3


@dataclass(slots=True)
class Job:
    """A request. received: how often SQS delivered it; lease_until: how long its claim lasts."""

    asked_at: float
    received: int = 0
    lease_until: float = 0.0
    fate: Fate = Fate.WAITING
    ended_at: float = math.inf


@dataclass(frozen=True, slots=True)
class Sample:
    """The number of unanswered requests at a moment, and the age of the oldest."""

    at: float
    unanswered: int
    oldest: float


@dataclass(slots=True)
class Counts:
    """throttled: SES's refusals because of its rate; busy: deliveries while another run had the lease."""

    throttled: int = 0
    busy: int = 0
    died: int = 0
    runs: int = 0
    run_seconds: float = 0.0
    most_running: int = 0


@dataclass(frozen=True, slots=True)
class Morning:
    """The result of a morning. ended: when the last request was final, or when the clock was stopped."""

    jobs: Sequence[Job]
    counts: Counts
    samples: Sequence[Sample]
    ended: float

    def number(self, fate: Fate) -> int:
        return sum(job.fate is fate for job in self.jobs)

    def waits(self) -> list[float]:
        """Return the seconds from mail to report for all requests that got one, the shortest first."""
        return sorted(job.ended_at - job.asked_at for job in self.jobs if job.fate is Fate.SENT)


@dataclass(slots=True)
class Pipeline:
    """One morning while it is simulated."""

    env: simpy.Environment
    settings: Settings
    send_rate: SendRate
    durations: Durations
    rng: Random
    jobs: Sequence[Job]
    deaths: float
    in_order: bool
    counts: Counts = field(default_factory=Counts)
    samples: list[Sample] = field(default_factory=list)
    _visible: deque[Job] = field(default_factory=deque)
    _running: int = 0
    _warm: int = 0
    _asked: int = 0
    _ended: int = 0
    _oldest: int = 0
    _in_account: int = 0  # runs of both functions
    _pollers: Pollers = field(init=False)
    all_ended: simpy.Event = field(init=False)

    def __post_init__(self) -> None:
        self._pollers = Pollers(self.settings.maximum_concurrency)
        self.all_ended = self.env.event()
        for process in (self._arrivals(), self._scaling(), self._sampling()):
            self.env.process(process)

    # --- Mail in ---

    def _arrivals(self) -> Process:
        for job in self.jobs:
            yield self.env.timeout(max(0.0, job.asked_at - self.env.now))  # never below 0 by rounding
            self.env.process(self._intake(job))

    def _intake(self, job: Job) -> Process:
        self._asked += 1
        while self._in_account >= ACCOUNT_CONCURRENCY:
            yield self.env.timeout(1)  # Lambda retries an asynchronous event by itself
        self._in_account += 1
        yield self._lasts(self.durations.intake)
        self._in_account -= 1
        self._show(job)

    # --- The queue and its consumer ---

    def _show(self, job: Job) -> None:
        """Make a job visible; if it was received too often, it goes to the dead-letter queue instead."""
        if job.received >= self.settings.max_receives:
            self._end(job, Fate.DEAD)
            return
        self._visible.append(job)
        self._dispatch()

    def _dispatch(self) -> None:
        # Lambda's behaviour without free concurrency is not modelled: here, a job stays visible.
        while (
            self._visible and self._running < self._pollers.allowed and self._in_account < ACCOUNT_CONCURRENCY
        ):
            if not self.in_order:  # a standard queue guarantees no order
                self._visible.rotate(self.rng.randrange(len(self._visible)))
            self._running += 1
            self._in_account += 1
            self.counts.most_running = max(self.counts.most_running, self._running)
            self.env.process(self._run(self._visible.popleft()))

    def _scaling(self) -> Process:
        while True:
            yield self.env.timeout(1)
            self._pollers.second_passed(waiting=bool(self._visible))
            self._dispatch()

    def _run(self, job: Job) -> Process:
        received_at = self.env.now
        job.received += 1
        served = yield from self._report(job)
        self._running -= 1
        self._in_account -= 1
        self.counts.runs += 1
        self.counts.run_seconds += self.env.now - received_at
        if not served:
            hidden = self.env.timeout(max(0.0, received_at + self.settings.visibility - self.env.now))
            hidden.callbacks.append(lambda _: self._show(job))
        self._dispatch()

    # --- Report ---

    def _report(self, job: Job) -> Generator[simpy.Event, object, bool]:
        """Serve a job as functions/report does. Return whether the job is finished."""
        if self._warm:
            self._warm -= 1
        else:
            yield self._lasts(self.durations.cold)
        if job.lease_until > self.env.now:
            self.counts.busy += 1
            self._warm += 1
            return False
        job.lease_until = self.env.now + self.settings.lease
        if self.rng.random() < self.deaths:  # nobody releases the request: its lease must expire
            self.counts.died += 1
            return False
        yield self._lasts(self.durations.before_send)
        sent = self.send_rate.take(self.env.now)
        yield self._lasts(self.durations.send)
        if sent:
            self._end(job, Fate.SENT)
        else:
            self.counts.throttled += 1
        job.lease_until = 0.0
        yield self._lasts(self.durations.after_send)
        self._warm += 1
        return sent

    # --- Books ---

    def _lasts(self, median: float) -> simpy.Event:
        return self.env.timeout(median * math.exp(self.rng.gauss(0, self.durations.spread)))

    def _end(self, job: Job, fate: Fate) -> None:
        job.fate, job.ended_at = fate, self.env.now
        self._ended += 1
        if self._ended == len(self.jobs):
            self.all_ended.succeed()

    def _sampling(self) -> Process:
        while True:
            while self._oldest < len(self.jobs) and self.jobs[self._oldest].fate is not Fate.WAITING:
                self._oldest += 1
            unanswered = self._asked - self._ended
            age = self.env.now - self.jobs[self._oldest].asked_at if unanswered else 0.0
            self.samples.append(Sample(self.env.now, unanswered, age))
            yield self.env.timeout(SAMPLE_EVERY)


def simulate(
    asked_at: Sequence[float],
    settings: Settings,
    send_rate: float,
    *,
    durations: Durations | None = None,
    deaths: float = 0.0,
    in_order: bool = True,
    until: float = RETENTION,
    seed: int = 1,
) -> Morning:
    """Simulate requests at these moments, and return the result.

    send_rate: mails a second that SES accepts. deaths: the share of runs that die after claiming a request.
    in_order: whether the queue delivers the oldest job first. until: when to stop the clock at the latest.
    """
    env = simpy.Environment()
    pipeline = Pipeline(
        env=env,
        settings=settings,
        send_rate=SendRate(send_rate),
        durations=durations or Durations(),
        rng=Random(seed),  # noqa: S311 - chance, not a secret
        jobs=[Job(at) for at in sorted(asked_at)],
        deaths=deaths,
        in_order=in_order,
    )
    env.run(until=pipeline.all_ended | env.timeout(until))
    return Morning(pipeline.jobs, pipeline.counts, pipeline.samples, env.now)
