"""Scheduling: hold makes the readers of held mail due, by the digest records of an operator."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from quarantine.digests.rules import EVERYBODY, DigestRecord, NoDigest, covering
from quarantine.digests.schedule import next_time
from quarantine.mail.addresses import Address
from quarantine.stores.mailboxes import Mailboxes
from quarantine.stores.senders import Senders

READ_EVERY: Final = timedelta(minutes=1)
"""How long a process trusts the digest records that it has read."""


class Scheduling:
    """Makes readers due. It may be used by several threads, and reads the records once a minute for all."""

    def __init__(self, senders: Senders, mailboxes: Mailboxes, reports_domain: str) -> None:
        self._senders, self._mailboxes, self._reports_domain = senders, mailboxes, reports_domain
        self._lock = Lock()
        self._read_at: datetime | None = None
        self._records: Mapping[str, DigestRecord] = {}
        self._known: dict[str, bool] = {}

    def note_held(self, mailbox: Address, now: datetime) -> bool:
        """Make the reader of a mailbox due after something was held for them; return whether they are.

        It costs one write where a schedule covers the mailbox, and none elsewhere.
        """
        record = self._covering(mailbox, now)
        if record is None or record.schedule is None:
            return False
        self._mailboxes.mark_due(mailbox, next_time(record.schedule, now))
        return True

    def _covering(self, mailbox: Address, now: datetime) -> DigestRecord | None:
        with self._lock:
            if self._read_at is None or not timedelta(0) <= now - self._read_at < READ_EVERY:
                self._records, self._known, self._read_at = self._senders.digest_records(), {}, now
            if not self._records:
                return None
            names = (str(mailbox), mailbox.domain, EVERYBODY)
            found = [self._records[name] for name in names if name in self._records]
            # Only everybody's schedule depends on what else is known of the domain.
            is_known = bool(found) and (found[0].principal != EVERYBODY or self._is_known(mailbox.domain))
        record = covering(mailbox, found, is_known=is_known, reports_domain=self._reports_domain)
        return None if isinstance(record, NoDigest) else record

    def _is_known(self, domain: str) -> bool:
        if domain not in self._known:
            self._known[domain] = self._senders.is_known(domain)
        return self._known[domain]
