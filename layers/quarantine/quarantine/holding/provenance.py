"""What the company's own servers wrote into a stored mail: who judged it, and if its sender is proven."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from quarantine.holding.filters.family import Family
from quarantine.holding.filters.reading import FIELDS, read_all
from quarantine.mail.authresults import split_results
from quarantine.mail.domains import InvalidDomain, aligned, normalise_domain
from quarantine.mail.lenient import end_of_header, field_sender, header_fields, parse_sender

_LONGEST_HEADER: Final = 128 * 1024  # bytes
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_RESULTS: Final = b"authentication-results"


@dataclass(frozen=True, slots=True)
class Provenance:
    """filters: those that gave a reason. score: on their scale; None if there is none.

    is_proven: whether a server of the company authenticated the domain of the From address.
    """

    filters: tuple[Family, ...]
    score: Decimal | None
    is_proven: bool


def provenance_of(raw: bytes, families: Collection[Family]) -> Provenance:
    """Read a stored mail. families: the filters that are enabled. Never raises."""
    start = raw[:_LONGEST_HEADER]
    header = start[: end_of_header(start) or len(start)]
    fields = header_fields(header, FIELDS)
    found = read_all(fields, families)
    judging = tuple(each for each in Family if each in families and read_all(fields, {each}).reason)
    return Provenance(judging, found.score, _is_proven(header))


def _is_proven(header: bytes) -> bool:
    """Return whether a field above the first Received says so, where no sender can write.

    But a filter repeats there what a sender said, so a result that stands twice proves nothing.
    """
    received = _RECEIVED.search(header)
    senders = header_fields(header, frozenset({b"from"})).every.get(b"from", ())
    if received is None or len(senders) != 1:
        return False
    domain = parse_sender(field_sender(senders[0])).address.rpartition("@")[2]
    fields = header_fields(header[: received.start()], frozenset({_RESULTS})).every.get(_RESULTS, ())
    results = [
        [word.lower() for word in result]
        for value in fields
        for result in split_results(value.decode("ascii", "replace"))[1:]
        if result
    ]
    if dmarc := [result for result in results if result[0].startswith("dmarc=")]:
        return len(dmarc) == 1 and _proves(dmarc[0], "dmarc=pass", "header.from", domain)
    return any(_proves(result, "dkim=pass", "header.d", domain) for result in results)


def _proves(result: list[str], word: str, name: str, domain: str) -> bool:
    """Return whether a result reads `word`, with one domain under `name` that is aligned (RFC 7489 3.1)."""
    named = {value for each, _, value in (other.partition("=") for other in result[1:]) if each == name}
    try:
        return (
            result[0] == word
            and len(named) == 1
            and aligned(normalise_domain(named.pop()), normalise_domain(domain))
        )
    except InvalidDomain:
        return False
