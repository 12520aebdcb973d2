"""`quarantine relay`: which networks may relay for a domain."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

import typer

from ops.operator import Operator, Refused
from quarantine.domains import normalise_domain

app = typer.Typer(
    help="Networks whose hosts may relay for a domain, or for every domain (*).", no_args_is_help=True
)

type Network = IPv4Network | IPv6Network

_RELAY = "relay#"
_WIDE = {4: 24, 6: 48}  # a shorter prefix is more hosts than a company's mail servers have

Principal = Annotated[str, typer.Argument(help="A domain, or * for every domain.", metavar="DOMAIN")]
NetworkText = Annotated[str, typer.Argument(help="An IP address or network (CIDR).", metavar="NETWORK")]


@app.command()
def add(
    context: typer.Context,
    domain: Principal,
    network: NetworkText,
    note: Annotated[str, typer.Option(help="What it is, for the next operator.")] = "",
    force: Annotated[bool, typer.Option(help="Also for every domain, or a very wide network.")] = False,
) -> None:
    """Let the hosts of a network relay for a domain."""
    operator: Operator = context.obj
    principal, parsed = _principal(domain), ip_network(network, strict=False)
    _check(operator, principal, parsed, force=force)
    covering = next((known for known in _networks(operator, principal) if _covers(known, parsed)), None)
    if covering is not None:
        operator.say(f"{parsed} is already covered by {covering} of {principal}", covered_by=str(covering))
        return
    item = {
        "principal": {"S": principal},
        "record": {"S": f"{_RELAY}{parsed}"},
        "note": {"S": note},
        "updated_at": {"S": operator.clock().isoformat(timespec="seconds")},
    }
    operator.dynamodb.put_item(TableName=operator.name("SendersTableName"), Item=item)
    if str(parsed) != network:
        operator.warn(f"{network} is written {parsed}")
    operator.say(f"{parsed} may relay for {principal}", principal=principal, network=str(parsed))


@app.command("list")
def list_(
    context: typer.Context, domain: Annotated[str | None, typer.Argument(metavar="DOMAIN")] = None
) -> None:
    """List the networks of a domain, or of all."""
    operator: Operator = context.obj
    rows = (
        {
            "principal": item["principal"]["S"],
            "network": item["record"]["S"].removeprefix(_RELAY),
            "note": item.get("note", {}).get("S", ""),
            "updated_at": item.get("updated_at", {}).get("S", ""),
        }
        for item in _items(operator, _principal(domain) if domain else None)
    )
    operator.answer(["principal", "network", "note", "updated_at"], rows, empty="no network may relay")


@app.command()
def remove(context: typer.Context, domain: Principal, network: NetworkText) -> None:
    """Take a network back."""
    operator: Operator = context.obj
    principal, parsed = _principal(domain), ip_network(network, strict=False)
    response = operator.dynamodb.delete_item(
        TableName=operator.name("SendersTableName"),
        Key={"principal": {"S": principal}, "record": {"S": f"{_RELAY}{parsed}"}},
        ReturnValues="ALL_OLD",
    )
    if not response.get("Attributes"):
        known = ", ".join(map(str, _networks(operator, principal))) or "none"
        raise Refused(f"{parsed} is no relay of {principal}; it has {known}")
    operator.say(f"{parsed} may no longer relay for {principal}", principal=principal, network=str(parsed))


def _principal(domain: str) -> str:
    return domain if domain == "*" else normalise_domain(domain)


def _check(operator: Operator, principal: str, network: Network, *, force: bool) -> None:
    doubts = []
    if principal == "*":
        doubts.append("every host of it could ask in the name of anybody at any domain")
    if network.prefixlen < _WIDE[network.version]:
        doubts.append(f"{network} has {network.num_addresses} addresses")
    for doubt in doubts:
        operator.warn(doubt)
    if doubts and not force:
        raise Refused("this lets many strangers in; say --force if it is meant")


def _covers(known: Network, network: Network) -> bool:
    return known.version == network.version and known.supernet_of(network)  # type: ignore[arg-type]  # the same


def _networks(operator: Operator, principal: str) -> Iterator[Network]:
    for item in _items(operator, principal):
        try:
            yield ip_network(item["record"]["S"].removeprefix(_RELAY))
        except ValueError:
            operator.warn(f"{item['record']['S']} of {principal} is no network: it is skipped by intake")


def _items(operator: Operator, principal: str | None) -> Iterator[dict[str, Any]]:
    table = operator.name("SendersTableName")
    names, values = {"#record": "record"}, {":relay": {"S": _RELAY}}
    if principal is None:
        pages = operator.dynamodb.get_paginator("scan").paginate(
            TableName=table,
            FilterExpression="begins_with(#record, :relay)",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
        )
    else:
        pages = operator.dynamodb.get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression="principal = :principal AND begins_with(#record, :relay)",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={**values, ":principal": {"S": principal}},
        )
    for page in pages:
        yield from page["Items"]
