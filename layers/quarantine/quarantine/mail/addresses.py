"""Mail addresses in the normalised spelling that we store and compare.

The parser is strict, so that no two parsers can see different senders in one From field. It refuses every
form that needs interpretation: comments, groups, routes, quoted local parts, domain literals.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from quarantine.mail.domains import InvalidDomain, normalise_domain

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")  # RFC 5322 3.2.3
_ENCODED_WORD = re.compile(r"=\?.*\?=")  # RFC 2047 5: never within an addr-spec

_MAX_LOCAL_PART = 64  # RFC 5321 4.5.3.1.1
_MAX_ADDRESS = 254  # RFC 5321 4.5.3.1.3, less the angle brackets


class InvalidAddress(ValueError):
    """The text is not an address that can be read in only one way."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A mail address in the spelling that we store and compare; use `Address.parse` to create one.

    local: lower case, a dot-atom. domain: lower case, A-labels.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an addr-spec (RFC 5322 3.4.1), without its obsolete and its quoted forms.

        Raises InvalidAddress.
        """
        local, at, domain = text.rpartition("@")
        # Lengths first: they bound the work. A domain is no shorter as A-labels than it was.
        if len(local) > _MAX_LOCAL_PART or len(text) > _MAX_ADDRESS:
            raise InvalidAddress(f"longer than an address may be: {text[:_MAX_ADDRESS]!r}")
        if not at or not _DOT_ATOM.fullmatch(local) or _ENCODED_WORD.search(local):
            raise InvalidAddress(f"not an address: {text!r}")
        try:
            address = cls(local.lower(), normalise_domain(domain))
        except InvalidDomain as e:
            raise InvalidAddress(str(e)) from e
        if len(str(address)) > _MAX_ADDRESS:
            raise InvalidAddress(f"longer than an address may be: {text!r}")
        return address

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    def without_suffix(self) -> Self:
        """Return the address of the mailbox to which a sub-address belongs (RFC 5233)."""
        return replace(self, local=self.local.partition("+")[0])
