"""Whether a mail that only a signature proves is fresh: anyone who holds one could hand it in again.

A signature says who wrote a mail, not when or to whom (RFC 6376 8.6). So such a mail must have been written
recently, to the address that it came to, under a signature that covers both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import getaddresses, parsedate_to_datetime
from hashlib import sha256

from quarantine.acting.reference import shortened
from quarantine.asking.commands import Command, ReportCommand
from quarantine.asking.event import InboundMail
from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.domains import InvalidDomain, aligned, normalise_domain

OLDEST = timedelta(days=7)
"""How old a mail that only a signature proves may be, and for how long its like is remembered."""

_AHEAD = timedelta(hours=1)
_LONGEST_ADDRESSES = 64 * 1024  # characters of To and Cc: bounds the work
_ALWAYS_SIGNED = frozenset({"from", "date", "message-id"})


@dataclass(frozen=True, slots=True)
class Stale:
    """Why a mail may be a replay, in words for the operator."""

    detail: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """A mail that is not a replay unless one like it was accepted before. key: by which to remember it."""

    key: str


def freshness(mail: InboundMail, requester: Address, command: Command, *, forwarded: bool) -> Fresh | Stale:
    """Say whether a mail that only DKIM proves is fresh.

    forwarded: the requester's company forwards mail to the trigger, so neither To nor Cc need name it. For
    any other command they must.
    """
    forwarded = forwarded and isinstance(command, ReportCommand)
    detail = (
        (None if forwarded else _not_written_to_us(mail))
        or _old(mail)
        or _unsigned(mail, requester, needs_to=not forwarded)
    )
    if detail is not None:
        return Stale(detail)
    (message_id,) = mail.values("Message-ID")
    return Fresh(_key(requester, message_id, command.written_to))


def _not_written_to_us(mail: InboundMail) -> str | None:
    to, cc = mail.values("To"), mail.values("Cc")
    if len(to) != 1 or len(cc) > 1:
        return f"{len(to)} To fields and {len(cc)} Cc fields"
    if sum(map(len, (*to, *cc))) > _LONGEST_ADDRESSES:
        return "To and Cc are too long to be read"
    try:
        named = set(_addresses(address for _, address in getaddresses([*to, *cc])))
    except RecursionError:  # the parser calls itself for each comment in a comment, and for each group
        return "To and Cc have too many comments or groups to be read"
    for recipient in mail.recipients:
        if not named.intersection(_addresses([recipient])):
            return f"neither To nor Cc names {shortened(recipient[:254])}"
    return None


def _addresses(texts: Iterable[str]) -> Iterable[Address]:
    for text in texts:
        try:
            yield Address.parse(text)
        except InvalidAddress:
            continue


def _old(mail: InboundMail) -> str | None:
    dates = mail.values("Date")
    if len(dates) != 1:
        return f"{len(dates)} Date fields"
    written_at = _time(dates[0])
    if written_at is None:
        return f"a Date that cannot be read: {dates[0][:80]!r}"
    if not mail.received_at - OLDEST <= written_at <= mail.received_at + _AHEAD:
        return f"written on {written_at.isoformat()}, received on {mail.received_at.isoformat()}"
    return None


def _time(value: str) -> datetime | None:
    try:
        time = parsedate_to_datetime(value[:200])
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)  # RFC 5322 3.3: -0000
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _unsigned(mail: InboundMail, requester: Address, *, needs_to: bool) -> str | None:
    if len(mail.values("Message-ID")) != 1:  # a second could be added above the one that is signed
        return f"{len(mail.values('Message-ID'))} Message-ID fields"
    needed = _ALWAYS_SIGNED | ({"to"} if needs_to else set()) | ({"cc"} if mail.values("Cc") else set())
    signatures = [tags for tags in map(_tags, mail.values("DKIM-Signature")) if _is_aligned(tags, requester)]
    if not signatures:
        return "no signature of the From domain"
    for tags in signatures:
        if missing := needed - set(tags.get("h", "").lower().split(":")):
            return f"a signature that does not cover {', '.join(sorted(missing))}"
    return None


def _tags(signature: str) -> Mapping[str, str]:
    """Return the tags of a signature (RFC 6376 3.2), without white space; of two of a name, none."""
    tags: dict[str, str] = {}
    for tag in signature.split(";"):
        name, _, value = tag.partition("=")
        name = name.strip().lower()
        tags[name] = "" if name in tags else "".join(value.split())
    return tags


def _is_aligned(tags: Mapping[str, str], requester: Address) -> bool:
    try:
        return aligned(normalise_domain(tags.get("d", "")), requester.domain)
    except InvalidDomain:
        return False


def _key(requester: Address, message_id: str, written_to: Address) -> str:
    # Relaxed canonicalization lets white space change under a valid signature (RFC 6376 3.4.2).
    text = "\n".join((str(requester), "".join(message_id.split()), str(written_to)))
    return sha256(text.encode()).hexdigest()
