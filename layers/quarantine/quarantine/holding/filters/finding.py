"""What a filter's fields say of a mail, in our words."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from quarantine.held import HoldReason
from quarantine.mail.lenient import Fields

# A virus is told before a phish, and so on: what the reader must know first.
_SEVERITY = (
    HoldReason.VIRUS,
    HoldReason.PHISHING,
    HoldReason.POLICY,
    HoldReason.BLOCKED,
    HoldReason.SPAM,
    HoldReason.BULK,
)
_NUMBER = re.compile(r"[+-]?\d{1,6}(?:\.\d{1,6})?(?!\d)")  # of a score; one beyond that is no score


@dataclass(frozen=True, slots=True)
class Finding:
    """One family's answer.

    reason: the worst that it says; None when it does not call the mail bad.
    score: as the filter counts, on a scale of its own; None for none.
    recipients: names of the fields that say for whom it held the mail, the first that is there counts.
    """

    reason: HoldReason | None = None
    score: Decimal | None = None
    recipients: Mapping[bytes, bytes] | None = None


def texts(fields: Fields, name: bytes) -> Iterator[str]:
    """Yield the values of every field of a name, as ASCII."""
    for value in fields.every.get(name, ()):
        yield value.decode("ascii", "replace").strip()


def says_yes(fields: Fields, name: bytes) -> bool:
    """Tell whether any field of a name begins with `Yes`, in any case."""
    return any(text[:3].lower() == "yes" for text in texts(fields, name))


def number(text: str) -> Decimal | None:
    """Return the number with which a text begins; None for none, or one that is no filter's."""
    match = _NUMBER.match(text.strip())
    return None if match is None else Decimal(match[0])


def first_number(candidates: Iterable[str]) -> Decimal | None:
    """Return the number of the first text that begins with one."""
    return next((found for found in map(number, candidates) if found is not None), None)


def worst(reasons: Iterable[HoldReason | None]) -> HoldReason | None:
    """Return the gravest of some reasons; None when there is none."""
    return min((reason for reason in reasons if reason is not None), key=_SEVERITY.index, default=None)
