"""Stores imported mails and writes their rows: a mail first, so that no row names a mail that is not there.

An import can be started again at any time, and changes nothing of what is there: not the code of a row, nor
the status of a message that was released or deleted in the meantime.
"""

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from ops.importing import Found, Item, Rules, Source, Tally, mail_of, reads_of, rows_of
from quarantine.stores.objects import ImportedObjects
from quarantine.stores.quarantine import HeldRows, distinct, new_code

AT_ONCE: Final = 16
"""Mails that are stored at a time; each is in memory."""


class Written(StrEnum):
    """What became of a row."""

    NEW = "new"
    KEPT = "kept"  # it was there
    AGAIN = "again"  # it was released or deleted, and is held again


@dataclass(frozen=True, slots=True)
class Storing:
    """again: hold messages again that were released or deleted."""

    objects: ImportedObjects
    rows: HeldRows
    again: bool

    def import_mails(self, found: Found, rules: Rules) -> Iterator[Tally]:
        """Store all mails with their rows; yield the same tally repeatedly, updated with the progress."""
        tally = Tally()
        with contextlib.ExitStack() as stack:
            reads = stack.enter_context(contextlib.closing(reads_of(found, rules, tally)))
            threads = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
            stack.callback(threads.shutdown, wait=False, cancel_futures=True)
            running: deque[Future[Written]] = deque()
            for item, source in rows_of(reads, rules, tally):
                if len(running) == 2 * AT_ONCE:
                    _count(tally, running.popleft().result())
                    yield tally
                running.append(threads.submit(self._store, item, source))
            while running:
                _count(tally, running.popleft().result())
                yield tally
        yield tally

    def _store(self, item: Item, source: Source) -> Written:
        mail = mail_of(source)
        digest = sha256(mail).hexdigest()
        stored = self.objects.put(digest, mail)
        row = {**item, "raw_key": {"S": stored.key}, "etag": {"S": stored.etag}, "code": {"S": new_code()}}
        known = self.rows.put_new(row)
        if known is not None and known.get("raw_key", stored.key) != stored.key:
            # Another mail with this id, recipient and second, of another import or of a filter.
            row = distinct(row, digest)
            known = self.rows.put_new(row)
        if known is None:
            return Written.NEW
        return Written.AGAIN if self.rows.complete(known, row, again=self.again) else Written.KEPT


def _count(tally: Tally, written: Written) -> None:
    tally.written += 1
    tally.kept += written is Written.KEPT
    tally.again += written is Written.AGAIN
