"""Mail addresses: parsed strictly, compared in one spelling, matched against the trigger.

Strictness is what keeps two parsers from seeing two senders in one From field: whatever needs a rule of
interpretation (comments, groups, routes, quoted local parts, domain literals) is refused, not interpreted.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from email.errors import MessageError
from email.header import decode_header, make_header
from typing import Self

from quarantine.domains import InvalidDomain, normalise_domain

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")  # RFC 5322 3.2.3
_ENCODED_WORD = re.compile(r"=\?.*\?=")  # RFC 2047 5: never within an addr-spec
_QUOTED_STRING = r'"(?:[^"\\]|\\.)*"'  # RFC 5322 3.2.4; control characters are refused before
_PHRASE = rf'(?:[^()<>\[\]:;@\\,"]|{_QUOTED_STRING})*'  # RFC 5322 3.2.5, with the dots of obs-phrase
_NAME_ADDR = re.compile(rf"(?P<display_name>{_PHRASE})<(?P<addr_spec>[^<>]*)>")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_SHOWN_ADDRESS = re.compile(r"[^\s<>()\[\]\"',:;]+@[^\s<>()\[\]\"',:;]+")

_MAX_LOCAL_PART = 64  # RFC 5321 4.5.3.1.1
_MAX_ADDRESS = 254  # RFC 5321 4.5.3.1.3, less the angle brackets
_MAX_FROM = 998  # RFC 5322 2.1.1: a line


class InvalidAddress(ValueError):
    """The text is no address that can be read in only one way."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A mail address in the spelling that we store and compare; `Address.parse` makes it.

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
        if not at or not _DOT_ATOM.fullmatch(local) or _ENCODED_WORD.search(local):
            raise InvalidAddress(f"not an address: {text[:_MAX_ADDRESS]!r}")
        try:
            address = cls(local.lower(), normalise_domain(domain))
        except InvalidDomain as e:
            raise InvalidAddress(str(e)) from e
        if len(local) > _MAX_LOCAL_PART or len(str(address)) > _MAX_ADDRESS:
            raise InvalidAddress(f"longer than an address may be: {text[:_MAX_ADDRESS]!r}")
        return address

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    def without_suffix(self) -> Self:
        """Return the address whose mailbox a sub-address is of (RFC 5233)."""
        return replace(self, local=self.local.partition("+")[0])


def parse_from(value: str) -> Address:
    """Read the one address of an unfolded From field: `addr-spec` or `display name <addr-spec>`.

    Encoded words are never decoded before the address is found; decoded, a display name may not show
    an address other than the one behind it.

    Raises InvalidAddress.
    """
    if len(value) > _MAX_FROM or _CONTROL.search(value):
        raise InvalidAddress(f"control characters, or too long: {value[:_MAX_ADDRESS]!r}")
    text = value.strip(" \t")
    match = _NAME_ADDR.fullmatch(text)
    if match is None:
        return Address.parse(text)
    address = Address.parse(match["addr_spec"])
    if any(shown != address for shown in _shown_addresses(match["display_name"])):
        raise InvalidAddress(f"the display name shows another address: {value[:_MAX_ADDRESS]!r}")
    return address


def matching_trigger(recipients: Iterable[str], trigger: str) -> Address | None:
    """Return the first recipient whose local part is the trigger, whatever its case, `+suffix` or domain.

    The address returned is without the suffix: it is what the requester writes to next time.
    """
    for recipient in recipients:
        try:
            address = Address.parse(recipient).without_suffix()
        except InvalidAddress:
            continue
        if address.local == trigger:
            return address
    return None


def _shown_addresses(display_name: str) -> Iterable[Address | None]:
    """Yield what a reader would take for an address; None for one that is not valid."""
    # NFKC: a full-width @ is one to a reader.
    for shown in _SHOWN_ADDRESS.findall(unicodedata.normalize("NFKC", _decoded(display_name))):
        try:
            yield Address.parse(shown.strip("."))
        except InvalidAddress:
            yield None


def _decoded(text: str) -> str:
    try:
        return str(make_header(decode_header(text)))
    except (MessageError, LookupError, ValueError):
        return text  # what cannot be decoded is shown as it stands
