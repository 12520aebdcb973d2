"""Reads a mail as the hold function will, so that it can be stored with the tag of its reason."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from ops.hold.writer import HoldMetadata, object_metadata
from quarantine.holding.contract import PREFIX
from quarantine.holding.filters.family import Family
from quarantine.holding.judging import QuarantinedMail, StoredMail, judge

_LONGEST_HEADER: Final = 1024 * 1024  # bytes, as hold reads them


def completed(mail: bytes | bytearray, metadata: HoldMetadata, families: Collection[Family]) -> HoldMetadata:
    """Return the metadata with the recipients and the reason that the header fields of these filters give.

    What is named already counts, as it does for hold. Nothing is added to a mail that hold would reject, or
    of which a recipient is not an address: hold says so, and keeps it longest.
    """
    stored = StoredMail(
        key=PREFIX,
        metadata=next(object_metadata(replace(metadata, recipients=metadata.recipients[:1]))),
        start=bytes(mail[:_LONGEST_HEADER]),
        size=len(mail),
        stored_at=datetime.now(UTC),
        etag="",
    )
    decision = judge(stored, families)
    if not isinstance(decision, QuarantinedMail) or decision.unreadable:
        return metadata
    return replace(
        metadata,
        recipients=metadata.recipients or tuple(map(str, decision.recipients)),
        reason=decision.reason,
    )
