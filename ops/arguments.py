"""What an operator types, as values. A text that is none ends the command with code 2."""

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network

import typer

from quarantine.mail.addresses import Address
from quarantine.mail.domains import normalise_domain
from quarantine.stores.senders import Network


def address(text: str) -> Address:
    return _read(Address.parse, text)


def principal(text: str) -> str:
    """Return an address, a domain or `*`."""
    return str(address(text)) if "@" in text else domain(text)


def domain(text: str) -> str:
    """Return a domain or `*`."""
    return text if text == "*" else _read(normalise_domain, text)


def network(text: str) -> Network:
    """Return a network; host bits are dropped."""
    return _read(lambda text: ip_network(text, strict=False), text)


def time(text: str) -> datetime:
    """Return an ISO 8601 time, as UTC if it has no offset."""
    found = _read(datetime.fromisoformat, text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _read[T](parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except (ValueError, OverflowError) as e:
        raise typer.BadParameter(str(e)) from e
