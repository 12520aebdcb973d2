"""`quarantine relay`: which networks may relay for a domain."""

from collections.abc import Iterator
from typing import Annotated

import typer

from ops import arguments
from ops.operator import Declined, Operator
from quarantine.stores.senders import Network, relay_values

app = typer.Typer(
    help="Networks whose hosts may relay for a domain, or for every domain (*).", no_args_is_help=True
)

COLUMNS = ("principal", "network", "note", "updated_at")

_WIDE = {4: 24, 6: 48}  # a shorter prefix covers more hosts than a company has mail servers

Principal = Annotated[str, typer.Argument(help="A domain, or * for every domain.", metavar="DOMAIN")]
NetworkText = Annotated[str, typer.Argument(help="An IP address or network (CIDR).", metavar="NETWORK")]


@app.command()
def add(
    context: typer.Context,
    domain: Principal,
    network: NetworkText,
    note: Annotated[str, typer.Option(help="What this network is, for other operators.")] = "",
    force: Annotated[bool, typer.Option(help="Allow every domain, or a very wide network.")] = False,
) -> None:
    """Let the hosts of a network relay for a domain."""
    operator: Operator = context.obj
    principal, parsed = arguments.domain(domain), arguments.network(network)
    _check(operator, principal, parsed, force=force)
    covering = next((known for known in _networks(operator, principal) if _covers(known, parsed)), None)
    if covering is not None:
        operator.say(f"{parsed} is already covered by {covering} of {principal}", covered_by=str(covering))
        return
    record = relay_values(principal, str(parsed), note=note, now=operator.clock())
    operator.sender_records.put(record)
    if str(parsed) != network:
        operator.warn(f"{network} is stored as {parsed}")
    operator.say(f"{parsed} may relay for {principal}", principal=principal, network=str(parsed))


@app.command("list")
def list_(
    context: typer.Context, domain: Annotated[str | None, typer.Argument(metavar="DOMAIN")] = None
) -> None:
    """List the networks of one domain or of all domains."""
    operator: Operator = context.obj
    principal = arguments.domain(domain) if domain else None
    records = operator.sender_records.relay_records(principal)
    rows = ({**record, "network": str(network)} for record, network in records)
    operator.answer(COLUMNS, rows, empty="no network may relay")


@app.command()
def remove(context: typer.Context, domain: Principal, network: NetworkText) -> None:
    """Remove a network."""
    operator: Operator = context.obj
    principal, parsed = arguments.domain(domain), arguments.network(network)
    if not operator.sender_records.remove_relay(principal, parsed):
        known = ", ".join(map(str, _networks(operator, principal))) or "none"
        raise Declined(f"{parsed} is not a relay of {principal}; it has {known}")
    operator.say(f"{parsed} may no longer relay for {principal}", principal=principal, network=str(parsed))


def _check(operator: Operator, principal: str, network: Network, *, force: bool) -> None:
    doubts = []
    if principal == "*":
        doubts.append("every host in it could ask in the name of anybody at any domain")
    if network.prefixlen < _WIDE[network.version]:
        doubts.append(f"{network} has {network.num_addresses} addresses")
    for doubt in doubts:
        operator.warn(doubt)
    if doubts and not force:
        raise Declined("this lets many strangers ask; use --force if that is intended")


def _covers(known: Network, network: Network) -> bool:
    return known.version == network.version and known.supernet_of(network)  # type: ignore[arg-type]  # the same


def _networks(operator: Operator, principal: str) -> Iterator[Network]:
    return operator.sender_records.networks(principal, operator.unreadable)
