"""`quarantine auth`: what proves that an address wrote a mail, and whom to refuse whatever proves it."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ops.operator import Operator, Refused
from quarantine.addresses import Address
from quarantine.admission import Method
from quarantine.domains import normalise_domain

app = typer.Typer(help="What proves a sender, by address, domain or for everybody (*).", no_args_is_help=True)

Principal = Annotated[
    str, typer.Argument(help="An address, a domain, or * for everybody.", metavar="PRINCIPAL")
]
Note = Annotated[str, typer.Option(help="Why, for the next operator.")]


@app.command()
def allow(
    context: typer.Context,
    principal: Principal,
    method: Annotated[list[Method], typer.Option("--method", "-m", help="What to accept; may be repeated.")],
    mailbox: Annotated[
        list[str], typer.Option(help="Whose held mail this address sees too; may be repeated.")
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    note: Note = "",
) -> None:
    """Accept methods as proof; takes the place of the principal's record."""
    operator: Operator = context.obj
    name = _principal(principal)
    mailboxes = sorted(str(Address.parse(each)) for each in mailbox)
    if mailboxes and "@" not in name:
        raise Refused("other mailboxes are opened to one address, not to a domain")
    if Method.SPF in method or Method.DKIM in method:
        operator.warn(
            "any host or service that the domain lets send its mail can then ask for any user of it"
        )
    sets = {"accept": sorted(method)} | ({"mailboxes": mailboxes} if mailboxes else {})
    _put(operator, name, {key: {"SS": values} for key, values in sets.items()} | {"note": {"S": note}})
    also = f", and sees {', '.join(mailboxes)} too" if mailboxes else ""
    operator.say(f"{name} is proven by {', '.join(sorted(method))}{also}", principal=name, **sets)


@app.command()
def deny(context: typer.Context, principal: Principal, note: Note = "") -> None:
    """Refuse, whatever path the mail comes by; takes the place of the principal's record."""
    operator: Operator = context.obj
    name = _principal(principal)
    _put(operator, name, {"deny": {"BOOL": True}, "note": {"S": note}})
    operator.say(f"{name} gets no report", principal=name, deny=True)


@app.command("list")
def list_(context: typer.Context) -> None:
    """List all records."""
    operator: Operator = context.obj
    rows = (
        {
            "principal": item["principal"]["S"],
            "accept": item.get("accept", {}).get("SS", []),
            "deny": item.get("deny", {}).get("BOOL", False),
            "mailboxes": item.get("mailboxes", {}).get("SS", []),
            "note": item.get("note", {}).get("S", ""),
            "updated_at": item.get("updated_at", {}).get("S", ""),
        }
        for item in _items(operator)
    )
    columns = ["principal", "accept", "deny", "mailboxes", "note", "updated_at"]
    operator.answer(columns, rows, empty="no auth record: only relays can ask")


@app.command()
def remove(context: typer.Context, principal: Principal) -> None:
    """Remove a record: what holds for the domain, or for everybody, holds again."""
    operator: Operator = context.obj
    name = _principal(principal)
    response = operator.dynamodb.delete_item(
        TableName=operator.name("SendersTableName"),
        Key={"principal": {"S": name}, "record": {"S": "auth"}},
        ReturnValues="ALL_OLD",
    )
    if not response.get("Attributes"):
        raise Refused(f"{name} has no auth record")
    operator.say(f"the record of {name} is removed", principal=name)


def _principal(text: str) -> str:
    if text == "*":
        return text
    return str(Address.parse(text)) if "@" in text else normalise_domain(text)


def _put(operator: Operator, principal: str, attributes: dict[str, Any]) -> None:
    item = {
        "principal": {"S": principal},
        "record": {"S": "auth"},
        "updated_at": {"S": operator.clock().isoformat(timespec="seconds")},
        **attributes,
    }
    operator.dynamodb.put_item(TableName=operator.name("SendersTableName"), Item=item)


def _items(operator: Operator) -> Iterator[dict[str, Any]]:
    pages = operator.dynamodb.get_paginator("scan").paginate(
        TableName=operator.name("SendersTableName"),
        FilterExpression="#record = :auth",
        ExpressionAttributeNames={"#record": "record"},
        ExpressionAttributeValues={":auth": {"S": "auth"}},
    )
    for page in pages:
        yield from page["Items"]
