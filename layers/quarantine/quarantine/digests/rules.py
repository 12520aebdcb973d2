"""Who may have a digest, and when: the rules.

Anyone can send mail that is held, so a digest goes only to an address for which its owner or an
administrator has vouched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from quarantine.asking.admission import AuthRecord, denial
from quarantine.asking.commands import Wish
from quarantine.digests.schedule import Schedule, is_time, next_time
from quarantine.mail.addresses import Address

PROVEN_FOR: Final = timedelta(days=365)
"""For how long an address counts as proven after it made a request that was accepted."""

EVERYBODY: Final = "*"


class NoDigest(StrEnum):
    """Why a reader gets no digest; docs/operating.md says what an operator does about each."""

    NO_SCHEDULE = "no_schedule"  # no digest record covers the address
    SWITCHED_OFF = "switched_off"  # the digest record says off
    UNREADABLE = "unreadable"  # the digest record cannot be read
    UNKNOWN_DOMAIN = "unknown_domain"  # `*` covers only domains that have an auth or a relay record
    OUR_DOMAIN = "our_domain"  # it is at the domain of the reports: it could write to ourselves
    DENIED = "denied"  # an auth record denies the address
    UNWANTED = "unwanted"  # the reader wrote to digest-off
    BOUNCED = "bounced"  # a digest bounced or was complained of, and the address has not asked since
    UNPROVEN = "unproven"  # no request of the address was accepted within a year


@dataclass(frozen=True, slots=True)
class DigestRecord:
    """The schedule of an address, a domain or everybody (`*`).

    schedule: None if it is switched off, or cannot be read. everyone: of a domain: also to addresses that
    were never proven. changed_at: when an operator changed it; None if the record does not say.
    """

    principal: str
    schedule: Schedule | None
    everyone: bool = False
    changed_at: datetime | None = None
    is_readable: bool = True


@dataclass(frozen=True, slots=True)
class Reader:
    """What is known of an address that may get digests.

    proven_at: when its last request was accepted. bounced_at: when its last digest bounced.
    """

    address: Address
    wish: Wish | None = None
    proven_at: datetime | None = None
    bounced_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Covering:
    """The records that can apply to a reader. digests, auth: the most specific first.

    is_known: whether the domain has an auth or a relay record.
    """

    digests: Sequence[DigestRecord]
    auth: Sequence[AuthRecord]
    is_known: bool


def covering(
    address: Address, digests: Sequence[DigestRecord], *, is_known: bool, reports_domain: str
) -> DigestRecord | NoDigest:
    """Return the record by which an address is due: the most specific one, if it has a schedule.

    digests: those of the address, its domain and `*`, the most specific first.
    """
    if address.domain == reports_domain:
        return NoDigest.OUR_DOMAIN
    if not digests:
        return NoDigest.NO_SCHEDULE
    record = digests[0]
    if not record.is_readable:
        return NoDigest.UNREADABLE
    if record.schedule is None:
        return NoDigest.SWITCHED_OFF
    if record.principal == EVERYBODY and not is_known:
        return NoDigest.UNKNOWN_DOMAIN
    return record


def entitled(reader: Reader, facts: Covering, now: datetime, reports_domain: str) -> DigestRecord | NoDigest:
    """Return the record by which a reader gets digests, or why there are none for them."""
    record = covering(reader.address, facts.digests, is_known=facts.is_known, reports_domain=reports_domain)
    if isinstance(record, NoDigest):
        return record
    if denial(facts.auth) is not None:
        return NoDigest.DENIED
    if reader.wish is Wish.OFF:
        return NoDigest.UNWANTED
    if is_bounced(reader):
        return NoDigest.BOUNCED
    if not _is_trusted(reader, facts, now):
        return NoDigest.UNPROVEN
    return record


def is_bounced(reader: Reader) -> bool:
    """Return whether a digest bounced, and the address has not asked for anything since."""
    if reader.bounced_at is None:
        return False
    return reader.proven_at is None or reader.proven_at <= reader.bounced_at


def _is_trusted(reader: Reader, facts: Covering, now: datetime) -> bool:
    """Return whether somebody has vouched for the address: its owner, or an administrator by a record."""
    if reader.proven_at is not None and now - reader.proven_at <= PROVEN_FOR:
        return True
    own, domain = str(reader.address), reader.address.domain
    if own in {record.principal for record in facts.digests} | {record.principal for record in facts.auth}:
        return True
    return any(record.everyone for record in facts.digests if record.principal == domain)


def due_time(record: DigestRecord, due_at: datetime) -> datetime:
    """Return when a reader who was due at some time is due by the record as it is now.

    A change of the schedule counts from the next time on. What was due before the change stays due, so that
    a tick that failed loses nothing.
    """
    assert record.schedule is not None, "only a record with a schedule makes somebody due"
    if is_time(record.schedule, due_at) or (record.changed_at is not None and due_at < record.changed_at):
        return due_at
    return next_time(record.schedule, record.changed_at or due_at)
