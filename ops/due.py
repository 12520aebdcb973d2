"""Makes readers due anew when an operator changes what decides on their digests."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import batched

from ops.operator import Operator
from quarantine.digests.rules import EVERYBODY, Covering, NoDigest, covering
from quarantine.digests.schedule import next_time
from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.stores.mailboxes import SHARDS, Due

_PAGE = 100
_THREADS = 8
_EVER = timedelta(days=3650)


def place(operator: Operator, principal: str, now: datetime) -> int:
    """Move those who are due later, and whom a changed record may cover, to their next time by all records.

    Also makes those due who see other mailboxes: they are due at each time. Returns how many were changed.
    """
    changed = 0
    with ThreadPoolExecutor(_THREADS) as threads:
        for page in batched(_readers(operator, principal, now), _PAGE, strict=False):
            facts = operator.senders.covering_all([reader for reader, _ in page])
            move = partial(_move, operator, facts, now)
            changed += sum(threads.map(move, page))
    return changed


def place_one(operator: Operator, reader: Address, now: datetime) -> None:
    """Make a reader due who sees other mailboxes, where a schedule covers them."""
    _move(operator, operator.senders.covering_all([reader]), now, (reader, None))


def _move(
    operator: Operator, facts: Mapping[Address, Covering], now: datetime, found: tuple[Address, Due | None]
) -> bool:
    reader, due = found
    of = facts[reader]
    domain = operator.parameter("ReportsDomain")
    record = covering(reader, of.digests, is_known=of.is_known, reports_domain=domain)
    if isinstance(record, NoDigest) or record.schedule is None:
        return False  # the next run takes them off the index
    next_at = next_time(record.schedule, now)
    if due is None:
        return operator.mailboxes.make_due(reader, next_at)
    return due.due_at != next_at and operator.mailboxes.move(due, next_at)


def _readers(operator: Operator, principal: str, now: datetime) -> Iterator[tuple[Address, Due | None]]:
    for shard in range(SHARDS):
        for page in operator.mailboxes.due(shard, now + _EVER, _PAGE):
            yield from (
                (due.reader, due) for due in page if due.due_at > now and _covers(principal, due.reader)
            )
    for record in operator.sender_records.auth_records():
        if record.get("mailboxes") and "@" in record["principal"]:
            try:
                reader = Address.parse(record["principal"])
            except InvalidAddress:
                continue
            if _covers(principal, reader):
                yield reader, None


def _covers(principal: str, reader: Address) -> bool:
    return principal in {str(reader), reader.domain, EVERYBODY}
