"""Digesting: whoever is due gets a request for a digest, and its job is queued as for any other report.

A reader stays in the index of those who are due until their job is queued, and is only then made due at the
next of their times. So a run that dies loses nothing, and the id of the request, which names the reader and
the time, keeps a second run from making it twice. What the report tells them, report decides when it looks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Final, Self

from quarantine.asking.admission import Accepted, administered_of, mailboxes_of
from quarantine.asking.commands import DigestCommand
from quarantine.asking.replying import ReplyContext
from quarantine.digests.rules import Covering, DigestRecord, NoDigest, due_time, entitled
from quarantine.digests.schedule import next_time
from quarantine.jobs import ReportJob
from quarantine.mail.addresses import Address
from quarantine.outbox import Jobs
from quarantine.runtime import Journal, utc_now
from quarantine.settings import DigestSettings
from quarantine.stores.mailboxes import SHARDS, Due, Mailboxes, MailboxRow
from quarantine.stores.requests import Admitted, Requests
from quarantine.stores.senders import Senders

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

_PAGE: Final = 100  # readers that are served together
_THREADS: Final = 8  # fewer than the connections of a client
OPEN_FOR: Final = timedelta(days=1)
"""For how long a digest that was not sent keeps its reader from getting another one."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What one run did.

    due: readers who were due. made: digests that were asked for. oldest: the earliest time for which somebody
    was due; None if nobody was. is_complete: whether the run came to the end.
    """

    due: int = 0
    made: int = 0
    oldest: datetime | None = None
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Digesting:
    """Asks for digests on behalf of the readers who are due."""

    settings: DigestSettings
    senders: Senders
    mailboxes: Mailboxes
    requests: Requests
    jobs: Jobs
    journal: Journal
    clock: Callable[[], datetime]

    @classmethod
    def on(
        cls,
        settings: DigestSettings,
        dynamodb: "DynamoDBClient",
        sqs: "SQSClient",
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """Return the service over these clients."""
        journal = Journal("digest", "Digests", settings.stack)
        return cls(
            settings,
            Senders(dynamodb, settings.senders_table, journal.unreadable),
            Mailboxes(dynamodb, settings.mailboxes_table, journal.unreadable),
            Requests(dynamodb, settings.requests_table),
            Jobs(sqs, settings.jobs_queue_url, ""),
            journal,
            clock,
        )

    def tick(self, time_left: Callable[[], timedelta] | None = None) -> Tick:
        """Serve all who are due, until too little time is left; the next run goes on.

        time_left: until the function's timeout; None for enough. What fails for a page of readers does not
        keep others from their digests; the first error is raised at the end.
        """
        now = self.clock()
        due = made = 0
        oldest: datetime | None = None
        is_complete = True
        errors: list[Exception] = []
        with ThreadPoolExecutor(_THREADS) as threads:
            for page in self._pages(now, threads):
                due += len(page)
                oldest = min(filter(None, (oldest, page[0].due_at)))
                if time_left is not None and time_left() < self.settings.time_left:
                    is_complete = False
                    break
                try:
                    made += self._serve(page, now, threads)
                except Exception as e:  # noqa: BLE001 - raised below
                    self.journal.retry("a page of readers failed", e, readers=len(page))
                    errors.append(e)
        late = timedelta(0) if oldest is None else now - oldest
        self.journal.measure("DigestsLate", late.total_seconds())
        self.journal.note("tick", due=due, made=made, late=late.total_seconds(), complete=is_complete)
        if errors:
            raise errors[0]
        return Tick(due, made, oldest, is_complete)

    def ask_now(self, reader: Address) -> "str | Opened | NoDigest":
        """Ask for the digest of a reader at once, due or not; return the id of its request."""
        now = self.clock().replace(microsecond=0)
        row, facts = self.mailboxes.row(reader), self.senders.covering(reader)
        record = entitled(row.reader, facts, now, self.settings.reports_domain)
        if isinstance(record, NoDigest):
            return record
        if row.last_digest is not None and self.requests.open_since([row.last_digest]):
            return Opened(row.last_digest)
        assert record.schedule is not None, "only a record with a schedule entitles"
        self.mailboxes.make_due(reader, now)
        due = Due(reader, self.mailboxes.row(reader).due_at or now)
        digest = self.digest_of(due, record, facts, now, now)
        with ThreadPoolExecutor(1) as threads:
            self._queue([digest], now, threads)
        return digest.request.request_id

    def _pages(self, now: datetime, threads: ThreadPoolExecutor) -> Iterator[list[Due]]:
        """Yield those who are due, in pages, from all shards in turn. Without any it costs a query each."""
        shards = [self.mailboxes.due(shard, now, _PAGE) for shard in range(SHARDS)]
        firsts = threads.map(lambda shard: next(shard, None), shards)
        rounds = chain([firsts], zip_longest(*shards))
        for pages in rounds:
            yield from filter(None, pages)

    def _serve(self, page: Sequence[Due], now: datetime, threads: ThreadPoolExecutor) -> int:
        """Make the digests of a page; return how many."""
        readers = [due.reader for due in page]
        rows = self.mailboxes.rows_of(readers)
        facts = self.senders.covering_all(readers)
        last = [row.last_digest for row in rows.values() if row.last_digest is not None]
        still_open = self.requests.open_since(last) if last else {}
        decide = partial(self._decide, rows=rows, facts=facts, still_open=still_open, now=now)
        digests = [each for each in threads.map(decide, page) if each is not None]
        self._queue(digests, now, threads)
        return len(digests)

    def _decide(
        self,
        due: Due,
        *,
        rows: Mapping[Address, MailboxRow],
        facts: Mapping[Address, Covering],
        still_open: Mapping[str, datetime],
        now: datetime,
    ) -> "Digest | None":
        """Return the digest of a reader who is due; None if there is none for them now."""
        row = rows.get(due.reader)
        if row is None or row.due_at != due.due_at:  # the index is a moment behind the table
            return None
        covered = facts[due.reader]
        record = entitled(row.reader, covered, now, self.settings.reports_domain)
        if isinstance(record, NoDigest):
            self.mailboxes.not_due(row)
            self.journal.record("no digest", record.value, requester=str(due.reader), reason=record.value)
            return None
        due_at = due_time(record, due.due_at)
        if due_at > now:
            self.mailboxes.move(due, due_at)
            return None
        opened_at = still_open.get(row.last_digest or "")
        digest = self.digest_of(due, record, covered, due_at, now)
        is_other = row.last_digest != digest.request.request_id
        if is_other and opened_at is not None and now - opened_at < OPEN_FOR:
            self.journal.note("an earlier digest is open", requester=str(due.reader))
            return None
        return digest

    def digest_of(
        self, due: Due, record: DigestRecord, facts: Covering, due_at: datetime, now: datetime
    ) -> "Digest":
        """Return the digest of a reader for one of their times."""
        assert record.schedule is not None, "only a record with a schedule entitles"
        offset = due_at.astimezone(record.schedule.zone).utcoffset() or timedelta(0)
        request = Accepted(
            request_id=digest_id(due.reader, due_at),
            requester=due.reader,
            mailboxes=mailboxes_of(due.reader, facts.auth),
            command=DigestCommand(self.settings.trigger, due_at),
            received_at=now,
            accepted_by=f"{record.schedule}, by the digest record of {record.principal}",
            reply=ReplyContext(utc_offset=_whole_minutes(offset)),
            administered=administered_of(facts.auth),
        )
        return Digest(due, request, next_time(record.schedule, now))

    def _queue(self, digests: Sequence["Digest"], now: datetime, threads: ThreadPoolExecutor) -> None:
        """Record the requests, queue their jobs, and only then make their readers due again.

        The jobs have groups of their own: SQS then lets no request of a person wait long behind digests.
        """
        recorded = threads.map(lambda each: self.requests.record_digest(each.request, now), digests)
        waiting = [
            each for each, outcome in zip(digests, recorded, strict=True) if isinstance(outcome, Admitted)
        ]
        self.jobs.put_all(
            [
                (ReportJob(each.request.request_id), f"digests of {each.request.requester.domain}")
                for each in waiting
            ]
        )
        for each in waiting:
            self.journal.count("Digests", "asked for")
            self.journal.note(
                "asked for",
                message_id=each.request.request_id,
                requester=str(each.request.requester),
                accepted_by=each.request.accepted_by,
            )

        def move(each: "Digest") -> None:
            self.mailboxes.move(each.due, each.next_at, each.request.request_id)

        list(threads.map(move, digests))


@dataclass(frozen=True, slots=True)
class Opened:
    """The request of an earlier digest, which is not final."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest to be made. next_at: when its reader is due again."""

    due: Due
    request: Accepted
    next_at: datetime


def digest_id(reader: Address, due_at: datetime) -> str:
    """Return the id of the request for a reader's digest of one time."""
    return f"digest-{sha256(str(reader).encode()).hexdigest()[:16]}-{int(due_at.timestamp())}"


def _whole_minutes(offset: timedelta) -> timedelta:
    return offset // timedelta(minutes=1) * timedelta(minutes=1)
