"""What a mail that a filter stored in the bucket becomes: rows of the quarantine, or a named rejection.

The recipients, the reason and the score come from the object's metadata if it has them, else from the header
fields that filters write. A mail whose recipient cannot be read is rejected, never held for a guessed
mailbox. One invalid recipient does not affect the others: they get their rows.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from quarantine.held import HoldReason
from quarantine.holding.contract import IMPORTED, TAGGED
from quarantine.holding.filters.family import Family
from quarantine.holding.filters.finding import first_number
from quarantine.holding.filters.reading import FIELDS, read_all
from quarantine.holding.recipients import NoRecipient, Recipients, read_recipients
from quarantine.mail.addresses import Address
from quarantine.mail.charsets import decoded, is_encoded
from quarantine.mail.lenient import (
    SHOWN_FIELDS,
    Fields,
    ShownHeader,
    end_of_header,
    field_sender,
    header_fields,
    parse_mail,
    usable_id,
    without_last_field,
)

_MOST_RECIPIENTS = 1000  # one row for each
_WANTED = SHOWN_FIELDS | FIELDS


class Rejection(StrEnum):
    """Why a row is not created; the object waits in the dead-letter queue with this word."""

    NOT_A_NOTIFICATION = "not_a_notification"  # the queue's message does not name an object under held/
    NO_RECIPIENT = "no_recipient"  # neither the metadata nor a filter's field names a recipient
    UNREADABLE_RECIPIENT = "unreadable_recipient"  # some or all of the recipients are not addresses
    TOO_MANY_RECIPIENTS = "too_many_recipients"  # over a thousand in one object


@dataclass(frozen=True, slots=True)
class StoredMail:
    """A mail as it is stored in the bucket.

    metadata: of the object, names in lower case. start: the mail's first bytes, with the whole header section
    unless that is too long. size: of the whole mail, in bytes. stored_at: LastModified, which only S3 sets.
    etag: S3's, of these bytes. tags: how many the object has.
    """

    key: str
    metadata: Mapping[str, str]
    start: bytes
    size: int
    stored_at: datetime
    etag: str
    tags: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether this is not a mail, but an empty object by which S3's console shows a folder."""
        return self.key.endswith("/") and not self.size and "recipients" not in self.metadata

    @property
    def is_imported(self) -> bool:
        return IMPORTED in self.metadata


@dataclass(frozen=True, slots=True)
class RejectedObject:
    """An object for which some or all rows are missing. detail: what was seen, for the operator."""

    reason: Rejection
    detail: str


@dataclass(frozen=True, slots=True)
class QuarantinedMail:
    """A mail that belongs in the quarantine, with a row for each recipient.

    shown: what a report shows; its message_id is never empty. received_at: when the mail was stored.
    score: on the filter's own scale; None if there is none. raw_key, etag: of the stored mail.
    is_tagged: whether the stored mail has the tag of its reason already, and no other.
    unreadable: the named recipients that are not addresses; None if all of them are.
    """

    recipients: tuple[Address, ...]
    shown: ShownHeader
    received_at: datetime
    reason: HoldReason
    score: Decimal | None
    size: int
    raw_key: str
    etag: str
    is_tagged: bool = False
    unreadable: RejectedObject | None = None


def judge(mail: StoredMail, families: Collection[Family]) -> QuarantinedMail | RejectedObject:
    """Decide what a stored mail becomes. families: the filters whose header fields are trusted."""
    fields = header_fields(_whole_fields(mail), _WANTED)
    finding = read_all(fields, families)
    try:
        recipients = _recipients(mail, finding.recipients)
    except NoRecipient as e:
        return RejectedObject(Rejection.NO_RECIPIENT, str(e))
    unreadable = None
    if recipients.unreadable:
        unreadable = RejectedObject(Rejection.UNREADABLE_RECIPIENT, recipients.unreadable)
        if not recipients.addresses:
            return unreadable
    number = len(recipients.addresses)
    if number > _MOST_RECIPIENTS:
        return RejectedObject(Rejection.TOO_MANY_RECIPIENTS, f"{number}, at most {_MOST_RECIPIENTS}")
    score = first_number([mail.metadata.get("score", "")])
    reason = _reason(mail) or finding.reason or HoldReason.POLICY  # a filter held it, by some rule
    return QuarantinedMail(
        recipients=recipients.addresses,
        shown=_shown_header(mail, fields),
        received_at=mail.stored_at,
        reason=reason,
        score=finding.score if score is None else score,
        size=mail.size,
        raw_key=mail.key,
        etag=mail.etag,
        # A copy of an object keeps its tags, but not metadata that the copy replaces.
        is_tagged=mail.tags == 1 and mail.metadata.get(TAGGED) == reason.value,
        unreadable=unreadable,
    )


def _whole_fields(mail: StoredMail) -> bytes:
    is_cut = len(mail.start) < mail.size and end_of_header(mail.start) is None
    return without_last_field(mail.start) if is_cut else mail.start


def _recipients(mail: StoredMail, found: Mapping[bytes, bytes] | None) -> Recipients:
    if "recipients" in mail.metadata:
        named = {b"metadata recipients": mail.metadata["recipients"].encode(errors="surrogatepass")}
        return read_recipients(named, list(named))
    if found is None:
        raise NoRecipient("no metadata recipients, and no field of a filter above the first Received")
    return read_recipients(found, list(found))


def _reason(mail: StoredMail) -> HoldReason | None:
    word = mail.metadata.get("reason", "").strip().lower()
    return HoldReason(word) if word in HoldReason else None


def _shown_header(mail: StoredMail, fields: Fields) -> ShownHeader:
    shown = parse_mail(fields)
    return ShownHeader(
        sender=_sender(mail.metadata.get("sender", "")) or shown.sender,
        subject=shown.subject,
        message_id=shown.message_id or usable_id(mail.key.encode()),
        received_at=mail.stored_at,
    )


def _sender(metadata: str) -> str:
    value = metadata.strip().encode(errors="replace")
    # S3 gives metadata that is not ASCII back as encoded words, with the address in them.
    return field_sender(decoded(value).encode() if is_encoded(value) else value)
