"""Forty deliveries at once: one report."""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.client import BaseClient

from functions.intake import app as intake_app
from functions.report import app as report_app
from local.ses import GRAY, Delivery, receive
from quarantine.asking.admission import Refusal
from tests.attacks.attack import OWN_SERVER, TRIGGER, mail
from tests.world import NOW, World

DELIVERIES = 40
THREADS = 20


@pytest.fixture
def racing(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose calls are atomic, as in DynamoDB, and in any order: moto's own are not atomic."""
    lock, call = threading.Lock(), BaseClient._make_api_call  # type: ignore[attr-defined]  # noqa: SLF001

    def whole(*arguments: Any) -> Any:
        with lock:
            return call(*arguments)

    world.records.put_relay("*", f"{OWN_SERVER}/32")
    world.records.put_held("bob@example.com", "<1@supplier.example>", NOW, "x@supplier.example", "Invoice")
    monkeypatch.setattr(BaseClient, "_make_api_call", whole)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield world
    sys.setswitchinterval(interval)


def event(message_id: str) -> dict[str, Any]:
    data = mail(sender="From: bob@example.com")
    delivery = Delivery(OWN_SERVER, "mail.example.com", "bob@example.com", (TRIGGER,), data)
    return receive(delivery, GRAY, message_id, NOW).event


def at_once[A, B](do: Callable[[A], B], arguments: Sequence[A]) -> list[B]:
    """Call it for every argument, in threads that start together."""
    gate = threading.Barrier(THREADS)

    def share(number: int) -> list[B]:
        gate.wait()
        return [do(argument) for argument in arguments[number::THREADS]]

    with ThreadPoolExecutor(THREADS) as pool:
        return [result for results in pool.map(share, range(THREADS)) for result in results]


def deliver(world: World, message_ids: Sequence[str]) -> Counter[str]:
    """Deliver all at the same time; return the number of each outcome of intake."""
    handler = intake_app.make_handler(world.stack.environ, world.session, world.clock)
    return Counter(at_once(lambda message_id: handler(event(message_id), None)["outcome"], message_ids))


def serve(world: World) -> None:
    """Serve all jobs at the same time, each in its own batch, and retry those that failed."""
    handlers = threading.local()

    def one(job: str) -> bool:
        if not hasattr(handlers, "report"):
            handlers.report = report_app.make_handler(world.stack.environ, world.session, world.clock)
        record = {"messageId": "0", "body": job, "eventSource": "aws:sqs"}
        return bool(handlers.report({"Records": [record]}, None)["batchItemFailures"])

    jobs = world.jobs()
    while jobs:
        failed = at_once(one, jobs)
        order = [job for number in range(THREADS) for job in jobs[number::THREADS]]
        jobs = [job for job, has_failed in zip(order, failed, strict=True) if has_failed]


def test_forty_mails_of_one_requester_at_once(racing: World) -> None:
    words = deliver(racing, [f"{number:040}" for number in range(DELIVERIES)])
    assert words == {"accepted": 1, Refusal.TOO_SOON: DELIVERIES - 1}
    serve(racing)
    assert racing.destinations() == [["bob@example.com"]]


def test_forty_deliveries_of_one_mail_at_once(racing: World) -> None:
    words = deliver(racing, ["7" * 40] * DELIVERIES)
    assert words == {"accepted": DELIVERIES}  # each queues the job again, in case the first died before that
    serve(racing)
    assert racing.destinations() == [["bob@example.com"]]


def test_a_mail_delivered_again_while_its_report_is_made(racing: World) -> None:
    deliver(racing, ["7" * 40])
    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve, racing)
        deliver(racing, ["7" * 40] * DELIVERIES)
        serving.result()
    serve(racing)
    assert racing.destinations() == [["bob@example.com"]]
