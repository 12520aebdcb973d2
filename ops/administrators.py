"""`quarantine auth administrators`: who answers what the users of a domain ask for."""

from typing import Annotated

import typer

from ops import arguments
from ops.operator import Declined, Operator
from quarantine.stores.items import Values
from quarantine.stores.senders import AuthChange

app = typer.Typer(
    help="Who is asked to release what users may not, and may see the reports of others.",
    no_args_is_help=True,
)

COLUMNS = ("domain", "administrator", "proven_by")

Domain = Annotated[
    str, typer.Argument(help="A domain, or * for those without administrators.", metavar="DOMAIN")
]
Administrator = Annotated[str, typer.Argument(help="The address that answers.", metavar="ADDRESS")]


@app.command()
def add(context: typer.Context, domain: Domain, address: Administrator) -> None:
    """Let an address release what users of a domain may not, and ask for their reports."""
    operator: Operator = context.obj
    name, administrator = arguments.domain(domain), str(arguments.address(address))
    records = operator.sender_records
    if name != "*" and records.auth_record(name) is None:
        everybody = records.auth_record("*") or {}
        if everybody.get("accept") or everybody.get("deny"):
            raise Declined(
                f"{name} has no record, and with one that of * would no longer apply to its users:"
                f" first say what proves them, with quarantine auth allow {name}"
            )
    change = AuthChange(added={"administrators": [administrator]})
    record = records.change_auth(name, change, operator.clock())
    if not proofs(operator, administrator):
        operator.warn(
            f"no record proves {administrator}, so their answers are refused:"
            f" quarantine auth allow {administrator} -m dmarc, or a relay"
        )
    operator.say(
        f"{administrator} answers for {name}",
        domain=name,
        administrators=sorted(record["administrators"]),
    )


@app.command()
def remove(context: typer.Context, domain: Domain, address: Administrator) -> None:
    """Let an address answer no more. Mails that it has already got do nothing from then on."""
    operator: Operator = context.obj
    name, administrator = arguments.domain(domain), str(arguments.address(address))
    record = operator.sender_records.auth_record(name) or {}
    if administrator not in record.get("administrators", ()):
        raise Declined(f"{administrator} does not answer for {name}")
    change = AuthChange(taken={"administrators": [administrator]})
    left = operator.sender_records.change_auth(name, change, operator.clock())
    if left.keys() <= {"principal", "record", "note", "updated_at"}:
        operator.sender_records.remove_auth(name)  # an empty record would hide that of *
    operator.say(
        f"{administrator} does not answer for {name} any more",
        domain=name,
        administrators=sorted(left.get("administrators", ())),
    )


@app.command("list")
def list_(
    context: typer.Context,
    domain: Annotated[str | None, typer.Argument(help="Only those of this domain.", metavar="DOMAIN")] = None,
) -> None:
    """List the administrators, and which record proves each."""
    operator: Operator = context.obj
    wanted = None if domain is None else arguments.domain(domain)
    rows = [
        {"domain": name, "administrator": each, "proven_by": proofs(operator, each) or "nothing"}
        for name, each in named(operator)
        if wanted in (None, name)
    ]
    operator.answer(COLUMNS, rows, empty="no administrator: users can ask nobody")


def named(operator: Operator) -> list[tuple[str, str]]:
    """Return all domains with administrators, each with one of them."""
    return sorted(
        (record["principal"], each)
        for record in operator.sender_records.auth_records()
        if "@" not in record["principal"]
        for each in _set_of(record)
    )


def _set_of(record: Values) -> set[str]:
    found = record.get("administrators")
    return found if isinstance(found, set) else set()


def proofs(operator: Operator, address: str) -> str:
    """Return which records can prove an address, in words; empty if none can, or if it is denied."""
    records, domain = operator.sender_records, address.rpartition("@")[2]
    most_specific = next((each for each in map(records.auth_record, (address, domain, "*")) if each), {})
    if most_specific.get("deny"):
        return ""
    found = [f"the auth record of {most_specific['principal']}"] if most_specific.get("accept") else []
    found += [
        f"the relay records of {principal}"
        for principal in (domain, "*")
        if next(records.relay_records(principal), None) is not None
    ]
    return ", ".join(found)
