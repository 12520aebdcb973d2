"""Objects under held/ go through hold while everything fails: exactly one row for each recipient."""

import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import batched
from random import Random
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.awsrequest import AWSPreparedRequest

from functions.hold import app as hold
from quarantine.holding.judging import Rejection
from quarantine.holding.notification import parse_notification
from tests.chaos.faults import Chance, Fault, Invocation, Process, Wire, asked
from tests.chaos.sources import Agenda, Source
from tests.chaos.stage import Stage, batch_size, redrive, staged

_COPIES = 2  # of each notification
_STORED_AT_ONCE = 100  # moto reads all messages of a queue for each receive
_UNREADABLE_SHARE = 0.02  # of the objects have a recipient that is not an address
_TAGGED_SHARE = 0.5  # of the objects are stored with their tag
_A_SECOND = 10  # new objects, on average


@dataclass(frozen=True, slots=True)
class HeldObject:
    """A mail that a filter stores in the bucket.

    recipients: those that are addresses. unreadable: those that are not.
    is_tagged: whether it is stored with its tag.
    """

    key: str
    recipients: tuple[str, ...]
    unreadable: tuple[str, ...]
    message_id: str
    is_tagged: bool

    @property
    def rejection(self) -> Rejection | None:
        """Why it belongs in the dead-letter queue, regardless of its rows."""
        if self.unreadable:
            return Rejection.UNREADABLE_RECIPIENT
        return None if self.recipients else Rejection.NO_RECIPIENT

    @property
    def rows(self) -> frozenset[tuple[str, str]]:
        """The key and the recipient of each row that belongs in the table."""
        return frozenset((self.key, recipient) for recipient in self.recipients)


def objects(rng: Random, number: int) -> Iterator[HeldObject]:
    """Generate objects; some share a Message-ID, like one mail that a filter sees twice."""
    for place in range(number):
        recipients = rng.sample(range(200), rng.choices(range(6), [1, 60, 20, 9, 5, 5])[0])
        message_id = f"m{place - 1 if place and rng.random() < 0.05 else place}"
        key = f"held/{''.join(rng.choices(string.ascii_lowercase, k=6))}-{place}"
        unreadable = ("nobody",) if rng.random() < _UNREADABLE_SHARE else ()
        addresses = tuple(f"u{each}@example.com" for each in recipients)
        yield HeldObject(key, addresses, unreadable, message_id, rng.random() < _TAGGED_SHARE)


@dataclass(slots=True)
class Witnessed:
    """What took effect. rejections: how often hold put something on the dead-letter queue by itself.

    written: the key and the recipient of each row. early: the objects that were tagged before all their rows.
    """

    expected: Mapping[str, HeldObject]
    rejections: int = 0
    written: set[tuple[str, str]] = field(default_factory=set)
    early: set[str] = field(default_factory=set)

    def saw(self, operation: str, request: AWSPreparedRequest, invocation: Invocation) -> None:
        match operation:
            case "SendMessage":
                self.rejections += 1
            case "PutItem":
                item = asked(request)["Item"]
                if "raw_key" in item:
                    self.written.add((item["raw_key"]["S"], item["recipient"]["S"]))
            case "PutObjectTagging":
                key = unquote(urlsplit(request.url).path).partition("/held/")[2]
                if not self.expected[f"held/{key}"].rows <= self.written:
                    self.early.add(key)

    def ended(self, invocation: Invocation) -> None:
        pass


@dataclass(slots=True)
class Account:
    """The result of a run.

    rejected: objects in the dead-letter queue that belong there; rejections: their messages.
    bad_luck: messages that failed too often and were redriven.
    """

    seed: int
    objects: int
    notifications: int
    calls: int
    faults: Mapping[Fault, int]
    rows: int
    rejected: int
    rejections: int
    bad_luck: int
    lost: int
    violations: list[str]


def run(
    seed: int,
    number: int,
    progress: Callable[[int], None] = lambda _: None,
    *,
    rate: float = 0.1,
    endpoint_url: str | None = None,
) -> Account:
    """Hold objects under faults, then end the faults and redrive.

    progress: called with the number of batches. rate: the share of AWS calls that fail.
    endpoint_url: of an emulator; None for moto.
    """
    rng = Random(seed)  # noqa: S311 - chance, not a secret
    with staged(rng, endpoint_url) as stage:
        return _run(seed, Chance(rng, rate=rate), stage, number, progress)


def _run(seed: int, chance: Chance, stage: Stage, number: int, progress: Callable[[int], None]) -> Account:
    put = tuple(objects(chance.rng, number))
    witness, agenda = Witnessed({each.key: each for each in put}), Agenda(chance)
    wire = Wire(chance, witness, stage.answer)
    wire.interleave, wire.switch = agenda.interleave, stage.turns.switch
    served = 0
    process = Process[Any, Any](wire, lambda session: hold.make_handler(stage.stack.environ, session))

    def serve(event: dict[str, Any]) -> Mapping[str, Any]:
        nonlocal served
        served += 1
        progress(served)
        response: Mapping[str, Any] = process(event)
        return response

    sqs = stage.session.client("sqs")
    source = Source(agenda, chance, serve, sqs, stage.stack.held_queue_url, batch_size("HeldObjects"))
    notifications = 0
    for some in batched(put, _STORED_AT_ONCE, strict=False):
        _store(stage, some)
        notifications += source.pull(within=number / _A_SECOND, copies=_COPIES) * _COPIES
    agenda.run()
    chance.calm = True
    calls, faults, bad_luck, rejections = (
        wire.calls,
        dict(chance.struck),
        len(source.dead),
        witness.rejections,
    )
    unseen = _missing(stage, put) - {key for body in source.dead for key in _keys(body)}
    redrive(stage, lambda _: None)
    source.pull()
    agenda.run()
    rows = _rows(stage)
    waiting = _waiting(source)
    violations = [f"neither a row nor in the dead-letter queue: {key}" for key in sorted(unseen)]
    violations += _checked(put, rows, waiting)
    violations += [f"tagged before all its rows were made: {key}" for key in sorted(witness.early)]
    violations += _mistagged(stage, put)
    return Account(
        seed=seed,
        objects=number,
        notifications=notifications,
        calls=calls,
        faults=faults,
        rows=rows.total(),
        rejected=len(waiting),
        rejections=rejections,
        bad_luck=bad_luck,
        lost=len(_missing(stage, put)),
        violations=violations,
    )


def _store(stage: Stage, put: tuple[HeldObject, ...]) -> None:
    """Put the objects into the bucket, as a filter does; moto notifies the queue of each."""
    s3 = stage.session.client("s3")
    for each in put:
        mail = f"From: <a@b.example>\r\nSubject: s\r\nMessage-ID: <{each.message_id}@x>\r\n\r\n"
        recipients = ", ".join(each.unreadable + each.recipients)
        metadata = {"reason": "spam"} | ({"recipients": recipients} if recipients else {})
        s3.put_object(
            Bucket=stage.stack.environ["MAIL_BUCKET"],
            Key=each.key,
            Body=mail.encode(),
            Metadata=metadata | ({"tagged": "spam"} if each.is_tagged else {}),
            Tagging="reason=spam" if each.is_tagged else "",
        )


def _keys(body: str) -> list[str]:
    return [created.key for created in parse_notification(body)]


def _rows(stage: Stage) -> Counter[tuple[str, str]]:
    """Count the rows of each object and recipient."""
    client = stage.session.client("dynamodb")
    pages = client.get_paginator("scan").paginate(TableName=stage.stack.environ["QUARANTINE_TABLE"])
    return Counter((item["raw_key"]["S"], item["recipient"]["S"]) for page in pages for item in page["Items"])


def _mistagged(stage: Stage, put: tuple[HeldObject, ...]) -> Iterator[str]:
    """Say which objects have a tag and rows missing, or all rows and no tag."""
    s3 = stage.session.client("s3")
    for each in put:
        tags = s3.get_object_tagging(Bucket=stage.stack.environ["MAIL_BUCKET"], Key=each.key)["TagSet"]
        expected = [] if each.rejection else [{"Key": "reason", "Value": "spam"}]
        if tags != expected:
            yield f"the tags of {each.key} are {tags}, where they should be {expected}"


def _missing(stage: Stage, put: tuple[HeldObject, ...]) -> set[str]:
    """Return the keys of the objects for which rows are missing."""
    rows = _rows(stage)
    return {each.key for each in put if not each.rows <= rows.keys()}


def _waiting(source: Source) -> Counter[str]:
    """Count the messages of the dead-letter queue, as `key: rejection`."""
    found: Counter[str] = Counter()
    for message in source.dead_letters():
        reason = message.get("MessageAttributes", {}).get("rejection", {}).get("StringValue")
        for key in _keys(message["Body"]):
            found[f"{key}: {reason}"] += 1
    return found


def _checked(
    put: tuple[HeldObject, ...], rows: Counter[tuple[str, str]], waiting: Counter[str]
) -> Iterator[str]:
    expected = frozenset[tuple[str, str]]().union(*(each.rows for each in put))
    for row in expected - rows.keys():
        yield f"no row: {row}"
    for row, count in rows.items():
        if row not in expected:
            yield f"a row that belongs to nobody: {row}"
        elif count > 1:
            yield f"{count} rows: {row}"
    rejected = {f"{each.key}: {each.rejection}" for each in put if each.rejection}
    for letter in waiting.keys() - rejected:
        yield f"in the dead-letter queue, and does not belong there: {letter}"
    for letter in rejected - waiting.keys():
        yield f"not in the dead-letter queue: {letter}"
