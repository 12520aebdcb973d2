"""What becomes of a mail that a filter left in the bucket: rows of the quarantine, or a named rejection.

Who, why and how bad come from the object's metadata where it says so, else from the header fields that
filters write. A mail whose recipient cannot be told is rejected, never held for a guessed mailbox; of several
recipients, those who can be told have their rows all the same.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from urllib.parse import unquote_plus

from quarantine.addresses import Address
from quarantine.filters.family import Family
from quarantine.filters.finding import first_number
from quarantine.filters.reading import FIELDS, read_all
from quarantine.mailheader import (
    SHOWN_FIELDS,
    Fields,
    HeldMail,
    NoRecipient,
    Recipients,
    decoded,
    end_of_header,
    header_fields,
    parse_mail,
    read_recipients,
    usable_id,
    without_last_field,
)
from quarantine.report import HoldReason

PREFIX: Final = "held/"
METADATA: Final = ("recipients", "reason", "score", "sender")
"""The names of an object's metadata (`x-amz-meta-...`) that say who, why, how bad and from whom."""

_MOST_RECIPIENTS = 1000  # a row each
_WANTED = SHOWN_FIELDS | FIELDS


class Rejection(StrEnum):
    """Why a row is not made; the object waits in the dead-letter queue with this word."""

    NOT_A_NOTIFICATION = "not_a_notification"  # what came over the queue names no object under held/
    NO_RECIPIENT = "no_recipient"  # neither metadata nor a filter's field says whose it is
    UNREADABLE_RECIPIENT = "unreadable_recipient"  # some of the recipients, or all, are no address
    TOO_MANY_RECIPIENTS = "too_many_recipients"  # over a thousand in one object


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """An object of S3 that a notification names. record: S3's own, to be sent again."""

    bucket: str
    key: str
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredMail:
    """A mail as it lies in the bucket.

    metadata: of the object, names in lower case. start: its first bytes, the header section if it is not
    endless. size: bytes of the whole. stored_at: S3's LastModified, which nobody but S3 can choose.
    """

    key: str
    metadata: Mapping[str, str]
    start: bytes
    size: int
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class Rejected:
    """An object that makes no row, or not all of its rows. detail: what was seen, for the operator."""

    reason: Rejection
    detail: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A mail to be held: a row for each recipient.

    mail: what is shown; its message_id is never empty. received_at: when it was stored.
    score: on the filter's own scale; None for none.
    unreadable: of what is named beside the recipients and is no address; None when nothing is.
    """

    recipients: tuple[Address, ...]
    mail: HeldMail
    received_at: datetime
    reason: HoldReason
    score: Decimal | None
    size: int
    raw_key: str
    unreadable: Rejected | None = None


class MalformedNotification(ValueError):
    """The text is no notification of S3 about objects under held/; the message says where."""


def parse_notification(body: str) -> tuple[ObjectCreated, ...]:
    """Read a message of S3; none for the test that S3 sends when notifications are set up.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    Raises MalformedNotification.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise MalformedNotification(f"not JSON: {body[:100]!a}") from e
    match message:
        case {"Service": "Amazon S3", "Event": "s3:TestEvent"}:
            return ()
        case {"Records": [*records]} if records:
            return tuple(_objects(records))
        case _:
            raise MalformedNotification(f"no Records: {body[:100]!a}")


def _objects(records: list[Any]) -> Iterator[ObjectCreated]:
    for record in records:
        match record:
            case {
                "eventSource": "aws:s3",
                "s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}},
            }:
                key = unquote_plus(key)  # S3 writes it as in a URL's query
            case _:
                raise MalformedNotification(f"not of S3: {json.dumps(record)[:100]}")
        if not key.startswith(PREFIX) or not _is_utf8(key):
            raise MalformedNotification(f"no key under {PREFIX}: {key[:100]!a}")
        yield ObjectCreated(bucket, key, record)


def _is_utf8(key: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in key)


def judge(mail: StoredMail, families: Collection[Family]) -> Hold | Rejected:
    """Say what becomes of a stored mail. families: the filters whose header fields are believed."""
    fields = header_fields(_whole_fields(mail), _WANTED)
    finding = read_all(fields, families)
    try:
        recipients = _recipients(mail, finding.recipients)
    except NoRecipient as e:
        return Rejected(Rejection.NO_RECIPIENT, str(e))
    unreadable = None
    if recipients.unreadable:
        unreadable = Rejected(Rejection.UNREADABLE_RECIPIENT, recipients.unreadable)
        if not recipients.addresses:
            return unreadable
    number = len(recipients.addresses)
    if number > _MOST_RECIPIENTS:
        return Rejected(Rejection.TOO_MANY_RECIPIENTS, f"{number}, at most {_MOST_RECIPIENTS}")
    score = first_number([mail.metadata.get("score", "")])
    return Hold(
        recipients=recipients.addresses,
        mail=_shown(mail, fields),
        received_at=mail.stored_at,
        reason=_reason(mail) or finding.reason or HoldReason.POLICY,  # held is held, by whatever rule
        score=finding.score if score is None else score,
        size=mail.size,
        raw_key=mail.key,
        unreadable=unreadable,
    )


def _whole_fields(mail: StoredMail) -> bytes:
    is_cut = len(mail.start) < mail.size and end_of_header(mail.start) is None
    return without_last_field(mail.start) if is_cut else mail.start


def _recipients(mail: StoredMail, found: Mapping[bytes, bytes] | None) -> Recipients:
    if "recipients" in mail.metadata:
        told = {b"metadata recipients": mail.metadata["recipients"].encode(errors="surrogatepass")}
        return read_recipients(told, list(told))
    if found is None:
        raise NoRecipient("no metadata recipients, and no field of a filter above the first Received")
    return read_recipients(found, list(found))


def _reason(mail: StoredMail) -> HoldReason | None:
    word = mail.metadata.get("reason", "").strip().lower()
    return HoldReason(word) if word in HoldReason else None


def _shown(mail: StoredMail, fields: Fields) -> HeldMail:
    shown = parse_mail(fields)
    sender = mail.metadata.get("sender", "")
    return HeldMail(
        # S3 gives metadata that is not ASCII back as encoded words.
        sender=decoded(sender.encode(errors="replace")) if sender.strip() else shown.sender,
        subject=shown.subject,
        message_id=shown.message_id or usable_id(mail.key.encode()),
        received_at=mail.stored_at,
    )
