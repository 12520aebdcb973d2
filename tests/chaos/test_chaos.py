"""Small chaos runs, and tests that the account of a run finds each kind of violation."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from moto import mock_aws

from quarantine.acting.ways import WayBack
from quarantine.digests.news import Mark
from quarantine.held import HeldMessage, HeldStatus, MailboxListing
from quarantine.holding.judging import QuarantinedMail
from quarantine.mail.addresses import Address
from quarantine.outbox import DeadLetters, Jobs, Mailer
from quarantine.release.handover import Reply
from quarantine.runtime import TWO_ATTEMPTS
from quarantine.services import gathering
from quarantine.services.acting import Acting
from quarantine.services.holding import Holding
from quarantine.services.ruling import Rulings
from quarantine.services.scheduling import Scheduling
from quarantine.stores.mailboxes import Mailboxes
from quarantine.stores.objects import HeldObjects
from quarantine.stores.quarantine import HeldRows, Quarantine
from quarantine.stores.requests import Requests, Settled
from quarantine.stores.transitions import HeldRow, Transitions
from tests.chaos import actions, digests, objects, releases, requests
from tests.chaos.faults import Chance, Fault, Invocation, Process, Wire
from tests.chaos.requests import Fate
from tests.chaos.sources import Agenda, Asynchronous, Source
from tests.functions.faults import ProcessDied
from tests.world import World


def _rng() -> Random:
    return Random(1)  # noqa: S311 - chance, not a secret


def _nothing(*_: object, **__: object) -> None:
    pass


def _refuse(*_: object, **__: object) -> None:
    raise RuntimeError("broken")


_send = Mailer.send


def _twice(*arguments: Any, **named: Any) -> str:
    _send(*arguments, **named)
    return _send(*arguments, **named)


def _unchanged(_: Transitions, row: HeldRow, by: str, request_id: str, now: datetime) -> HeldRow:
    return replace(row, status=HeldStatus.DELETED, deleted_for=request_id, acted_by=by, acted_at=now)


def _settled(*_: object, **__: object) -> Settled:
    return Settled()


def _taken(
    _: Transitions, row: HeldRow, by: str, request_id: str, now: datetime, lease: timedelta
) -> HeldRow:
    return replace(
        row, status=HeldStatus.RELEASING, released_for=request_id, acted_by=by, lease_until=now + lease
    )


def _new_once(_: HeldMessage, mark: Mark | None) -> bool:
    return mark is None


def _everybodys(*_: object) -> list[Address]:
    users = [f"u{number}@relay.example" for number in range(4)]
    return [Address.parse(each) for each in (*users, "shared@relay.example")]


# --- Whole runs ---


def test_no_request_is_lost() -> None:
    account = requests.run(seed=3, number=60, mailbox_count=24)
    assert account.violations == []
    assert account.fates.total() == 60
    assert account.fates[Fate.LOST] == 0
    assert account.sent_again <= account.windows
    assert sum(account.faults.values()) > 60


AUTUMN = datetime(2100, 10, 30, tzinfo=UTC)  # the clocks change on the 31st in Europe


def test_each_held_mail_is_told_of_in_one_digest() -> None:
    account = digests.run(seed=1, readers=14, days=3, begins=AUTUMN)
    assert account.violations == []
    assert account.lost == 0
    assert account.told["in one digest"] > 5
    assert account.sent_again <= account.windows
    assert sum(account.faults.values()) > 5


@pytest.mark.parametrize(
    ("patched", "name", "broken", "violation"),
    [
        pytest.param(Mailboxes, "tell", _nothing, "twice", id="nothing remembers what was told"),
        pytest.param(Scheduling, "note_held", _nothing, "never", id="nobody becomes due"),
        pytest.param(gathering, "is_new", _new_once, "never", id="nothing is new twice"),
    ],
)
def test_a_digest_that_tells_wrongly_is_found(
    monkeypatch: pytest.MonkeyPatch, patched: Any, name: str, broken: Callable[..., Any], violation: str
) -> None:
    monkeypatch.setattr(patched, name, broken)
    account = digests.run(seed=1, readers=10, days=3, begins=AUTUMN)
    assert any(each.startswith(violation) for each in account.violations)


def test_each_object_has_its_rows() -> None:
    account = objects.run(seed=7, number=60)
    assert account.violations == []
    assert account.lost == 0
    assert sum(account.faults.values()) > 60


def test_each_action_is_done_once_and_answered() -> None:
    account = actions.run(seed=3, number=40)
    assert account.violations == []
    assert account.outcomes.total() == account.commands >= 40
    assert account.lost == 0
    assert account.sent_again <= account.windows
    assert sum(account.faults.values()) > 60


@pytest.mark.parametrize(
    ("where", "name", "broken", "reported"),
    [
        pytest.param(Jobs, "put", _nothing, "lost", id="a job is not queued"),
        pytest.param(Requests, "settle_action", _refuse, "without cause", id="the row cannot say so"),
        pytest.param(Transitions, "finish_release", _nothing, "still on its way", id="no row says released"),
        pytest.param(Transitions, "delete", _unchanged, "deleted, and then", id="a deletion is not recorded"),
        pytest.param(Acting, "_mailboxes", _everybodys, "done for a stranger", id="rights are not read"),
        pytest.param(Rulings, "_refusal", _nothing, "done for a stranger", id="anybody may approve"),
    ],
)
def test_what_is_wrong_with_actions_is_reported(
    where: type, name: str, broken: object, reported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, broken)
    account = actions.run(seed=11, number=24, rate=0)
    assert any(reported in violation for violation in account.violations)


@pytest.mark.parametrize("way", [WayBack.RELAY, WayBack.AGENT])
def test_each_release_is_delivered_once_and_answered(way: WayBack) -> None:
    account = releases.run(3, way, 25)
    assert account.violations == []
    assert (account.outcomes.total(), account.lost) == (25, 0)
    assert account.delivered_again <= account.windows
    assert sum(account.faults.values()) > 40


@pytest.mark.parametrize(
    ("broken", "way", "reported"),
    [
        pytest.param(
            (Transitions, "finish_release", _nothing), WayBack.RELAY, "still on its way", id="no row says so"
        ),
        pytest.param(
            (Transitions, "begin_release", _taken), WayBack.RELAY, "more than one", id="no row is taken"
        ),
        pytest.param(
            (Reply, "is_accepted", property(lambda _: True)),
            WayBack.RELAY,
            "never delivered",
            id="a refusal is taken for a yes",
        ),
        pytest.param(
            (Requests, "claim_result", _settled), WayBack.AGENT, "delivered, and held", id="no result counts"
        ),
    ],
)
def test_what_is_wrong_with_releases_is_reported(
    broken: tuple[type, str, object], way: WayBack, reported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*broken)
    account = releases.run(8, way, 12, rate=0)
    assert any(reported in violation for violation in account.violations)


def test_what_fails_too_often_waits_and_is_redriven() -> None:
    of_requests = requests.run(seed=3, number=12, mailbox_count=12, rate=0.7)
    assert of_requests.violations == []
    assert min(of_requests.dead_jobs, of_requests.dead_events, of_requests.waited) > 0
    of_objects = objects.run(seed=3, number=12, rate=0.6)
    assert of_objects.violations == []
    assert of_objects.bad_luck > 0


def test_the_same_seed_is_the_same_run() -> None:
    first, second = (requests.run(seed=5, number=15, mailbox_count=5) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("where", "name", "broken", "reported"),
    [
        pytest.param(Jobs, "put", _nothing, "lost", id="a job is not queued"),
        pytest.param(Requests, "settle", _refuse, "unfinished", id="the row cannot say so"),
        pytest.param(Mailer, "send", _twice, "without cause", id="sent again, and no fault is why"),
        pytest.param(
            Requests,
            "claim_report",
            _settled,
            "lost",
            id="a job is taken for one that was served",
        ),
        pytest.param(
            Quarantine,
            "held_for",
            lambda *_: MailboxListing((), 0),
            "nothing held, where",
            id="held mail unseen",
        ),
    ],
)
def test_what_is_broken_is_told(
    monkeypatch: pytest.MonkeyPatch, where: type, name: str, broken: Callable[..., object], reported: str
) -> None:
    monkeypatch.setattr(where, name, broken)
    violations = requests.run(seed=3, number=5, mailbox_count=5).violations
    assert any(reported in each for each in violations), violations


def test_a_row_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldRows, "put", lambda *_, **__: True)
    violations = objects.run(seed=3, number=5).violations
    assert any(each.startswith("no row") for each in violations)


def test_a_rejection_that_nobody_is_told_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeadLetters, "put", _nothing)
    violations = objects.run(seed=7, number=12).violations
    assert any(each.startswith("not in the dead-letter queue") for each in violations)


@pytest.mark.parametrize("name", ["tag", "untag"])
def test_a_tag_that_is_wrong_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldObjects, name, lambda *_: True)
    violations = objects.run(seed=7, number=12).violations
    assert any(each.startswith("the tags of") for each in violations)


def test_a_tag_before_the_rows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    put = HeldRows.put

    def tag_first(self: Holding, recipient: Address, mail: QuarantinedMail, **named: Any) -> bool:
        self.objects.tag(mail.raw_key, mail.reason)
        return put(self.rows, recipient, mail, **named)

    monkeypatch.setattr(Holding, "_put", tag_first)
    violations = objects.run(seed=3, number=10).violations
    assert any(each.startswith("tagged before all its rows") for each in violations)


# --- The wire ---


class Always(Chance):
    """The same fault at each call."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(_rng())
        self._fault = fault

    def of_call(self, operation: str) -> Fault | None:
        return self._fault

    def happens(self, fault: Fault, share: float) -> bool:
        return False


class Seen:
    """Counts the calls that took effect."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()

    def saw(self, operation: str, request: object, invocation: Invocation) -> None:
        self.effects[operation] += 1

    def ended(self, invocation: Invocation) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.mark.parametrize(
    ("fault", "raised", "effects"),
    [
        (Fault.ERROR, ClientError, 0),
        (Fault.THROTTLED, ClientError, 0),
        (Fault.UNREACHABLE, ConnectTimeoutError, 0),
        (Fault.LOST_ANSWER, ReadTimeoutError, 2),  # both attempts
        (Fault.DIED_BEFORE, ProcessDied, 0),
        (Fault.DIED_AFTER, ProcessDied, 1),
    ],
)
@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("dynamodb", "list_tables"),
        ("sqs", "list_queues"),
        ("s3", "list_buckets"),
        ("sesv2", "list_email_identities"),
    ],
)
def test_what_a_fault_does(
    service: str, operation: str, fault: Fault, raised: type[BaseException], effects: int
) -> None:
    with mock_aws():
        witness = Seen()
        wire = Wire(Always(fault), witness)
        client: Any = wire.session.client(service, config=TWO_ATTEMPTS)  # type: ignore[call-overload]
        with wire.invocation(), pytest.raises(raised):
            getattr(client, operation)()
    assert witness.effects.total() == effects


def test_nothing_of_a_process_that_died_makes_a_call() -> None:
    witness = Seen()
    wire = Wire(Always(Fault.DIED_AFTER), witness)
    client = wire.session.client("sqs")
    with mock_aws(), wire.invocation():
        for _ in range(2):
            with pytest.raises(ProcessDied):
                client.list_queues()
    assert witness.effects.total() == 1


def test_another_process_takes_the_place_of_one_that_died() -> None:
    made: list[int] = []

    def make(_: object) -> Callable[[str, None], str]:
        made.append(1)

        def handler(event: str, context: None) -> str:
            if event == "die":
                raise ProcessDied
            return event

        return handler

    process = Process[str, str](Wire(Chance(_rng()), Seen()), make)
    assert [process("a"), process("b")] == ["a", "b"]
    with pytest.raises(ProcessDied):
        process("die")
    assert process("c") == "c"
    assert len(made) == 2


# --- Lambda and SQS ---


def _calm() -> Chance:
    return Chance(_rng(), calm=True)


def test_three_attempts_then_the_on_failure_destination() -> None:
    chance = _calm()
    attempts: list[float] = []
    records: list[dict[str, Any]] = []
    agenda = Agenda(chance)
    start = chance.clock.now

    def serve(event: object) -> None:
        attempts.append((chance.clock.now - start).total_seconds())
        raise ProcessDied

    Asynchronous(agenda, chance, serve, 2, records.append).invoke({"a": 1}, within=0)
    agenda.run()
    assert attempts == [0, 60, 180]
    assert [record["requestPayload"] for record in records] == [{"a": 1}]


def _source(world: World, serve: Callable[[dict[str, Any]], Any], chance: Chance) -> Source:
    sqs, url = world.session.client("sqs"), world.stack.environ["JOBS_QUEUE_URL"]
    sqs.send_message(QueueUrl=url, MessageBody="job")
    source = Source(Agenda(chance), chance, serve, sqs, url, 10)
    source.pull()
    return source


@pytest.mark.parametrize("how", ["reported", "raised"])
def test_what_fails_is_hidden_then_comes_again_then_is_dead(world: World, how: str) -> None:
    chance, received = _calm(), []

    def serve(event: dict[str, Any]) -> dict[str, Any]:
        received.append(event["Records"][0]["attributes"]["ApproximateReceiveCount"])
        if how == "raised":
            raise ProcessDied
        return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}

    source = _source(world, serve, chance)
    start = chance.clock.now
    source.agenda.run()
    found = world.session.client("sqs").get_queue_attributes(QueueUrl=source.url, AttributeNames=["All"])
    attributes = found["Attributes"]
    most = json.loads(attributes["RedrivePolicy"])["maxReceiveCount"]
    assert received == [str(number) for number in range(1, most + 1)]
    assert [message["Body"] for message in source.dead_letters()] == source.dead == ["job"]
    hidden = (chance.clock.now - start).total_seconds() // most
    assert hidden >= int(attributes["VisibilityTimeout"])


def test_what_is_served_is_gone(world: World) -> None:
    served: list[object] = []

    def serve(event: dict[str, Any]) -> dict[str, Any]:
        served.append(event)
        return {"batchItemFailures": []}

    source = _source(world, serve, _calm())
    source.agenda.run()
    assert len(served) == 1
    assert source.dead_letters() == []
