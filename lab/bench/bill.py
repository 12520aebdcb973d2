"""The bill of 1,000 held mails, from the calls that hold makes for them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rich.table import Table

from functions.hold import app
from lab.bench import waiting
from lab.bench.targets import Measured, Reached
from lab.bench.wire import new_session

_MAILS: Final = 1000
_SIZE: Final = 50  # kB
_LATENCY: Final = 10  # milliseconds of a call
_AT_MOST: Final = 0.009  # dollars

# us-east-1, November 2026, in dollars: https://aws.amazon.com/s3/pricing, /dynamodb/pricing, /sqs/pricing,
# /lambda/pricing
_S3: Final = {"PutObject": 0.005 / 1000, "PutObjectTagging": 0.005 / 1000, "GetObject": 0.0004 / 1000}
_STORED: Final = 0.023 / 1_000_000  # a kB for a month
_TAG: Final = 0.01 / 10_000  # for a month
_WRITE: Final = 0.625 / 1_000_000
_MESSAGE: Final = 0.40 / 1_000_000
_RUN: Final = 0.20 / 1_000_000
_GB_SECOND: Final = 0.0000133
_MEMORY: Final = 1.769  # GB

METHOD = f"""\
{_MAILS:,} mails of {_SIZE} kB, with one recipient each, kept for a month, in dollars. The calls are counted
of the real handler; the put is that of the filter. SQS: a send for each mail, a receive and a delete for
each batch. Lambda: the time of a batch at {_LATENCY} ms a call on this machine, with {_MEMORY:.2f} GB, and
its price for a run. Where a schedule covers the recipient, one write more.
"""


@dataclass(frozen=True, slots=True)
class Bill:
    """What the mails cost, in dollars: S3's calls, storage with the tag, DynamoDB, SQS and Lambda."""

    calls: float
    storage: float
    rows: float
    messages: float
    runs: float

    @property
    def sum(self) -> float:
        return self.calls + self.storage + self.rows + self.messages + self.runs


def measured(environ: Mapping[str, str]) -> Measured:
    table = Table(title=f"The bill of {_MAILS:,} held mails", title_justify="left")
    for name in ("stored by", "a batch", "S3 calls", "storage", "DynamoDB", "SQS", "Lambda", "sum"):
        table.add_column(name, justify="left" if name == "stored by" else "right", no_wrap=True)
    stored = _MAILS * (_S3["PutObject"] + _SIZE * _STORED)
    table.add_row("a bucket alone", "", f"{_MAILS * _S3['PutObject']:.4f}", *_cells(stored))
    bills = {}
    for kind, name in (("plain", "a filter"), ("tagged", "our pipe")):
        for batch in (1, 10):
            bills[kind, batch] = bill = _bill(environ, kind, batch)
            parts = (bill.calls, bill.storage, bill.rows, bill.messages, bill.runs, bill.sum)
            table.add_row(name, str(batch), *(f"{part:.4f}" for part in parts))
    return Measured(table, [Reached(f"{_MAILS:,} held mails, dollars", _AT_MOST, bills["tagged", 10].sum)])


def _cells(stored: float) -> list[str]:
    return [f"{_MAILS * _SIZE * _STORED:.4f}", "", "", "", f"{stored:.4f}"]


def _bill(environ: Mapping[str, str], kind: str, batch: int) -> Bill:
    calls = counted(environ, kind, batch)
    seconds = waiting.milliseconds(environ, kind, _LATENCY, batch) / 1000
    return Bill(
        calls=_MAILS * (_S3["PutObject"] + sum(_S3.get(name, 0) * each for name, each in calls.items())),
        storage=_MAILS * (_SIZE * _STORED + _TAG),
        rows=_MAILS * calls["PutItem"] * _WRITE,
        messages=_MAILS * (1 + 2 / batch) * _MESSAGE,
        runs=_MAILS / batch * (seconds * _MEMORY * _GB_SECOND + _RUN),
    )


def counted(environ: Mapping[str, str], kind: str, batch: int) -> Mapping[str, float]:
    """Return how often hold makes each call for a mail, once it has read the schedules."""
    session, calls = new_session(), Counter[str]()

    def count(event_name: str, **_: object) -> None:
        calls[event_name.rpartition(".")[2]] += 1

    session.events.register_first("before-send", count)
    with waiting.aws(0):
        handler = app.make_handler(environ, session)
        events = waiting.events(environ["MAIL_BUCKET"], kind, 1, batch)
        handler(next(events), None)
        calls.clear()
        handler(next(events), None)
    return Counter({name: number / batch for name, number in calls.items()})
