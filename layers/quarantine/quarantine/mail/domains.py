"""Domain names of mail addresses: their normalised spelling, and whether two are aligned."""

import functools
import re

import idna
from publicsuffixlist import PublicSuffixList

_LDH_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # RFC 5321 4.1.2 sub-domain, RFC 1035 2.3.4
_MAX_LENGTH = 253
_DEVIATIONS = frozenset("ßς\u200c\u200d")  # IDNA 2003 and 2008 encode them differently (UTS 46, 4.1.1)


class InvalidDomain(ValueError):
    """The text is not a fully qualified domain name."""


def normalise_domain(text: str) -> str:
    """Return the spelling in which we store and compare a domain: lower case, A-labels (RFC 5890).

    Only letter case is mapped. A full-width or other look-alike letter is refused, not converted to the
    letter that it imitates. A letter that some programs would convert to another is refused too.

    Raises InvalidDomain for anything that is not two or more labels of a host name.
    """
    # Length first: encoding makes no letter shorter, and decoding a megabyte of labels takes seconds.
    labels = [_normalise_label(label) for label in text.split(".")] if len(text) <= _MAX_LENGTH else [""]
    domain = ".".join(labels)
    if len(labels) == 1 or len(domain) > _MAX_LENGTH:
        raise InvalidDomain(f"not a fully qualified domain name: {text[:_MAX_LENGTH]!r}")
    return domain


def aligned(one: str, other: str) -> bool:
    """Return whether two normalised domains have the same organizational domain (RFC 7489 3.1, relaxed)."""
    return one == other or (
        (organization := _organizational_domain(one)) is not None
        and organization == _organizational_domain(other)
    )


# Each label below belongs to a different tenant of Microsoft 365, but the public suffix list does not say so.
_MORE_SUFFIXES = (
    "mail.onmicrosoft.com",
    "onmicrosoft.com",
    "onmicrosoft.us",
    "onmicrosoft.de",
    "partner.onmschina.cn",
)


def _organizational_domain(domain: str) -> str | None:
    """Return the public suffix and the label before it (RFC 7489 3.2); None for a bare suffix."""
    for suffix in _MORE_SUFFIXES:
        below, dot, rest = f".{domain}".rpartition(f".{suffix}")
        if dot and not rest:
            label = below.rpartition(".")[2]
            return f"{label}.{suffix}" if label else None
    return _public_suffixes().privatesuffix(domain)


@functools.cache
def _public_suffixes() -> PublicSuffixList:
    # Loaded on first use: a request that DMARC or a relay record decides does not need the list.
    # The private section counts too: two customers of one hosting company must not be aligned.
    return PublicSuffixList()


@functools.lru_cache(maxsize=4096)  # a report repeats the same few labels
def _normalise_label(label: str) -> str:
    # str.lower() turns the Kelvin sign into an ASCII k, so a letter of another script is refused before.
    if any(letter.lower().isascii() for letter in label if not letter.isascii()):
        raise InvalidDomain(f"a letter that imitates an ASCII letter: {label[:63]!r}")
    lowered = label.lower()
    if not _DEVIATIONS.isdisjoint(lowered):
        raise InvalidDomain(f"a letter that two standards read differently: {label[:63]!r}")
    try:
        if not lowered.isascii():
            lowered = idna.alabel(lowered).decode("ascii")
        elif lowered.startswith("xn--"):
            idna.ulabel(lowered)  # raises for an A-label without a valid U-label
    except (idna.IDNAError, UnicodeError, OverflowError) as e:  # the last: an impossible code point
        raise InvalidDomain(f"not an internationalized label: {label[:63]!r}") from e
    if _LDH_LABEL.fullmatch(lowered) is None:
        raise InvalidDomain(f"not a label of a host name: {label[:63]!r}")
    return lowered
