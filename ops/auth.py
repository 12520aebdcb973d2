"""`quarantine auth`: the methods that prove a sender, and the addresses to refuse always.

Each command changes what it names, and leaves the rest of a record as it is.
"""

from typing import Annotated

import typer

from ops import administrators, arguments, due
from ops.operator import Declined, Operator
from quarantine.asking.admission import Method
from quarantine.stores.items import Values, plain
from quarantine.stores.senders import AuthChange

app = typer.Typer(
    help="Methods that prove a sender: for an address, a domain or everybody (*).", no_args_is_help=True
)
app.add_typer(administrators.app, name="administrators")

COLUMNS = ("principal", "accept", "deny", "mailboxes", "forwarded", "administrators", "note", "updated_at")

Principal = Annotated[
    str, typer.Argument(help="An address, a domain, or * for everybody.", metavar="PRINCIPAL")
]
Note = Annotated[str | None, typer.Option(help="The reason, for other operators.")]


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
        bool | None,
        typer.Option(
            "--forwarded/--no-forwarded",
            help="An alias of the company forwards to the trigger: To need not name the trigger.",
        ),
    ] = None,
    only: Annotated[
        bool,
        typer.Option("--only", help="Take away the methods and mailboxes that are not named here."),
    ] = False,
    note: Note = None,
    force: Annotated[bool, typer.Option(help="Also for everybody (*).")] = False,
) -> None:
    """Accept methods as proof, beside those that the record accepts; ends a denial."""
    operator: Operator = context.obj
    name = arguments.principal(principal)
    mailboxes = sorted(str(arguments.address(each)) for each in mailbox)
    if mailboxes and "@" not in name:
        raise Declined("other mailboxes are opened to one address, not to a domain")
    if name == "*":
        operator.warn("anyone on the internet who owns a domain can then ask, and make this system send mail")
        if not force:
            raise Declined("this lets every domain in; say --force if it is meant")
    change = _permission(method, mailboxes, forwarded=forwarded, only=only, note=note)
    record = operator.sender_records.change_auth(name, change, operator.clock())
    if mailboxes:
        due.place_one(operator, arguments.address(name), operator.clock())
    accepted, seen = sorted(record["accept"]), sorted(record.get("mailboxes", ()))
    if {Method.SPF, Method.DKIM} & set(accepted):
        operator.warn(
            "every host or service that may send mail for the domain can then ask for each of its users"
        )
    if is_forwarded := record.get("forwarded", False):
        operator.warn("a mail that only DKIM proves is then accepted once from anyone who holds it")
    also = f", and sees {', '.join(seen)} too" if seen else ""
    operator.say(
        f"{name} is proven by {', '.join(accepted)}{also}",
        principal=name,
        accept=accepted,
        **({"mailboxes": seen} if seen else {}),
        forwarded=is_forwarded,
    )


def _permission(
    methods: list[Method], mailboxes: list[str], *, forwarded: bool | None, only: bool, note: str | None
) -> AuthChange:
    values: dict[str, object] = {**_noted(note)}
    removed = {"deny"}
    if only:
        values["accept"] = set(methods)
        if mailboxes:
            values["mailboxes"] = set(mailboxes)
        else:
            removed.add("mailboxes")
    if forwarded:
        values["forwarded"] = True
    elif forwarded is False or only:
        removed.add("forwarded")
    added: dict[str, list[str]] = {} if only else {"accept": [*methods], "mailboxes": mailboxes}
    return AuthChange(values, added, removed=removed)


def _noted(note: str | None) -> Values:
    return {} if note is None else {"note": note}


@app.command()
def deny(context: typer.Context, principal: Principal, note: Note = None) -> None:
    """Refuse all requests, on any route; nothing proves the principal any more."""
    operator: Operator = context.obj
    name = arguments.principal(principal)
    change = AuthChange({"deny": True, **_noted(note)}, removed=["accept"])
    operator.sender_records.change_auth(name, change, operator.clock())
    operator.say(f"{name} gets no report", principal=name, deny=True)


@app.command("list")
def list_(context: typer.Context) -> None:
    """List all records."""
    operator: Operator = context.obj
    sets = ("accept", "mailboxes", "administrators")
    defaults = {name: [] for name in sets} | {"deny": False, "forwarded": False, "note": ""}
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
