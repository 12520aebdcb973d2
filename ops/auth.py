"""`quarantine auth`: the methods that prove a sender, and the addresses to refuse always."""

from typing import Annotated

import typer

from ops import arguments
from ops.operator import Declined, Operator
from quarantine.asking.admission import Method
from quarantine.stores.items import plain
from quarantine.stores.senders import auth_values

app = typer.Typer(
    help="Methods that prove a sender: for an address, a domain or everybody (*).", no_args_is_help=True
)

COLUMNS = ("principal", "accept", "deny", "mailboxes", "forwarded", "note", "updated_at")

Principal = Annotated[
    str, typer.Argument(help="An address, a domain, or * for everybody.", metavar="PRINCIPAL")
]
Note = Annotated[str, typer.Option(help="The reason, for other operators.")]


@app.command()
def allow(
    context: typer.Context,
    principal: Principal,
    method: Annotated[
        list[Method], typer.Option("--method", "-m", help="A method to accept; may be repeated.")
    ],
    mailbox: Annotated[
        list[str], typer.Option(help="Whose held mail this address sees too; may be repeated.")
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    forwarded: Annotated[
        bool,
        typer.Option(
            "--forwarded",
            help="An alias of the company forwards to the trigger: To need not name the trigger.",
        ),
    ] = False,
    note: Note = "",
    force: Annotated[bool, typer.Option(help="Also for everybody (*).")] = False,
) -> None:
    """Accept methods as proof; replaces the principal's record."""
    operator: Operator = context.obj
    name = arguments.principal(principal)
    mailboxes = sorted(str(arguments.address(each)) for each in mailbox)
    if mailboxes and "@" not in name:
        raise Declined("other mailboxes are opened to one address, not to a domain")
    if name == "*":
        operator.warn("anyone on the internet who owns a domain can then ask, and make this system send mail")
        if not force:
            raise Declined("this lets every domain in; say --force if it is meant")
    if Method.SPF in method or Method.DKIM in method:
        operator.warn(
            "every host or service that may send mail for the domain can then ask for each of its users"
        )
    record = auth_values(
        name, method, mailboxes=mailboxes, forwarded=forwarded, note=note, now=operator.clock()
    )
    operator.sender_records.put(record)
    sets = {"accept": sorted(method)} | ({"mailboxes": mailboxes} if mailboxes else {})
    also = f", and sees {', '.join(mailboxes)} too" if mailboxes else ""
    if forwarded:
        operator.warn("a mail that only DKIM proves is then accepted once from anyone who holds it")
    operator.say(
        f"{name} is proven by {', '.join(sorted(method))}{also}", principal=name, **sets, forwarded=forwarded
    )


@app.command()
def deny(context: typer.Context, principal: Principal, note: Note = "") -> None:
    """Refuse all requests, on any route. Replaces the principal's record."""
    operator: Operator = context.obj
    name = arguments.principal(principal)
    operator.sender_records.put(auth_values(name, (), deny=True, note=note, now=operator.clock()))
    operator.say(f"{name} gets no report", principal=name, deny=True)


@app.command("list")
def list_(context: typer.Context) -> None:
    """List all records."""
    operator: Operator = context.obj
    defaults = {"accept": [], "deny": False, "forwarded": False, "mailboxes": []}
    rows = (defaults | plain(record) for record in operator.sender_records.auth_records())
    operator.answer(COLUMNS, rows, empty="no auth record: only relays can ask")


@app.command()
def remove(context: typer.Context, principal: Principal) -> None:
    """Remove a record. The record of the domain, or of everybody, applies again."""
    operator: Operator = context.obj
    name = arguments.principal(principal)
    if not operator.sender_records.remove_auth(name):
        raise Declined(f"{name} has no auth record")
    operator.say(f"the record of {name} is removed", principal=name)
