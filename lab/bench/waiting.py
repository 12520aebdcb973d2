"""The hold function and the network: how long a batch takes when each call to AWS does."""

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any
from unittest.mock import patch

from rich.table import Table

from functions.hold import app
from lab.bench.figures import Spread, interleaved
from lab.bench.front import process
from lab.bench.targets import Measured, Reached
from lab.bench.wire import new_session
from quarantine.runtime import TWO_ATTEMPTS, Handler, serve_batch
from quarantine.services.holding import Holding
from quarantine.settings import HoldSettings

_LATENCIES = (10, 30)  # milliseconds of a call
_KINDS = (("plain", 1), ("tagged", 1), ("plain", 20), ("tagged", 20))  # and the number of recipients
_BATCH = 10
_ROUNDS = 15
_AT_MOST = 1.5  # times a batch of one
CALLS = {"plain": 2, "tagged": 1}  # beside a row for each recipient

METHOD = f"""\
The real handler over HTTP, without TLS, and a process that answers each call after the latency, both on this
machine. our pipe: a mail that was stored with its tag; a filter: any other. calls: for each mail, once the
schedules are read. 1 and {_BATCH}: milliseconds by the clock for a batch of so many. in turn: {_BATCH} that
are served one after the other, as before. {_BATCH}/1 and gain: ratios within a round. Median (least to most)
of {_ROUNDS} rounds, A B A B.
"""


def measured(environ: Mapping[str, str]) -> Measured:
    rows = Table(title="A batch of held mail and the network, ms", title_justify="left")
    for name in (
        "ms a call",
        "stored by",
        "recipients",
        "calls",
        "1",
        str(_BATCH),
        f"{_BATCH}/1",
        "in turn",
        "gain",
    ):
        rows.add_column(name, justify="left" if name == "stored by" else "right", no_wrap=True)
    reached = []
    for latency in _LATENCIES:
        with aws(latency):
            at_once = app.make_handler(environ, new_session())
            in_turn = _in_turn(environ)
            for kind, recipients in _KINDS:
                batches = partial(events, environ["MAIL_BUCKET"], kind, recipients)
                samples = interleaved(
                    {
                        "one": _sampler(at_once, batches(1)),
                        "ten": _sampler(at_once, batches(_BATCH)),
                        "in turn": _sampler(in_turn, batches(_BATCH)),
                    },
                    _ROUNDS,
                )
                ratio = Spread.of_ratios(samples["ten"], samples["one"])
                rows.add_row(
                    str(latency),
                    "our pipe" if kind == "tagged" else "a filter",
                    str(recipients),
                    str(CALLS[kind] + recipients),
                    *(str(Spread.of(samples[name])) for name in ("one", "ten")),
                    str(ratio),
                    str(Spread.of(samples["in turn"])),
                    str(Spread.of_ratios(samples["in turn"], samples["ten"])),
                )
                if recipients == 1 and latency == _LATENCIES[0]:
                    reached.append(Reached(f"hold: ten of {kind} / one", _AT_MOST, ratio.median))
    return Measured(rows, reached)


def milliseconds(environ: Mapping[str, str], kind: str, latency: int, batch: int) -> float:
    """Return the time of a batch of mails of one recipient, as the median of some."""
    with aws(latency):
        sample = _sampler(
            app.make_handler(environ, new_session()), events(environ["MAIL_BUCKET"], kind, 1, batch)
        )
        sample()
        return statistics.median(sample() for _ in range(_ROUNDS))


@contextmanager
def aws(latency: int) -> Iterator[None]:
    """Let new clients find an AWS that answers after so many milliseconds."""
    with (
        process("lab.bench.slow_aws", str(latency), port_first=True) as (port, _),
        patch.dict(os.environ, {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}),
    ):
        yield


def _in_turn(environ: Mapping[str, str]) -> Handler:
    settings = HoldSettings.from_environ(environ)
    client = partial(new_session().client, config=TWO_ATTEMPTS)
    holding = Holding.on(settings, client("dynamodb"), client("s3"), client("sqs"))
    return lambda event, _: serve_batch(event, holding.handle, holding.journal, settings.attempts)


def events(bucket: str, kind: str, recipients: int, number: int) -> Iterator[dict[str, Any]]:
    """Yield batches of messages about new mails."""
    for place in count():
        keys = (f"held/{kind}-{recipients}-{place}-{each}" for each in range(number))
        yield {"Records": [_message(bucket, key) for key in keys]}


def _message(bucket: str, key: str) -> dict[str, str]:
    created = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}},
    }
    return {"messageId": key, "body": json.dumps({"Records": [created]})}


def _sampler(handler: Handler, events: Iterator[dict[str, Any]]) -> Callable[[], float]:
    """Return a function that serves a batch and returns the milliseconds that it took."""

    def sample() -> float:
        event = next(events)
        began = time.perf_counter()
        if handler(event, None) != {"batchItemFailures": []}:
            raise RuntimeError("a held mail failed")
        return (time.perf_counter() - began) * 1000

    return sample
