"""What a filter's fields say about a mail, in this project's terms."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from quarantine.held import SEVERITY, HoldReason
from quarantine.mail.lenient import Fields

_NUMBER = re.compile(r"[+-]?\d{1,6}(?:\.\d{1,6})?(?!\d)")  # a score; a longer number is not a score


@dataclass(frozen=True, slots=True)
class Finding:
    """The result for one family.

    reason: the worst reason that its fields give; None if they give none.
    score: on the filter's own scale; None if there is none.
    recipients: the fields that name the recipients of the held mail; the first that is present counts.
    """

    reason: HoldReason | None = None
    score: Decimal | None = None
    recipients: Mapping[bytes, bytes] | None = None


def texts(fields: Fields, name: bytes) -> Iterator[str]:
    """Yield the values of every field of a name, as ASCII."""
    for value in fields.every.get(name, ()):
        yield value.decode("ascii", "replace").strip()


def says_yes(fields: Fields, name: bytes) -> bool:
    """Return whether any field of a name begins with `Yes`, ignoring case."""
    return any(text[:3].lower() == "yes" for text in texts(fields, name))


def number(text: str) -> Decimal | None:
    """Return the number at the start of a text; None if there is none, or if no filter would write it."""
    match = _NUMBER.match(text.strip())
    return None if match is None else Decimal(match[0])


def first_number(candidates: Iterable[str]) -> Decimal | None:
    """Return the number of the first text that begins with one."""
    return next((found for found in map(number, candidates) if found is not None), None)


def worst(reasons: Iterable[HoldReason | None]) -> HoldReason | None:
    """Return the worst of some reasons; None if there is none."""
    return min((reason for reason in reasons if reason is not None), key=SEVERITY.index, default=None)
