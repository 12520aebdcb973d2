"""`quarantine digest`: the schedules by which reports come by themselves, and when the next ones come."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ops import arguments, due
from ops.operator import Declined, Operator
from ops.words import NO_DIGEST
from quarantine.digests.rules import EVERYBODY, DigestRecord, NoDigest, entitled
from quarantine.digests.schedule import InvalidSchedule, Schedule, Weekday, next_time
from quarantine.mail.addresses import Address
from quarantine.services.digesting import Digesting, Opened
from quarantine.settings import DigestSettings
from quarantine.stores.items import Values, iso_seconds, plain
from quarantine.stores.senders import digest_values

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

app = typer.Typer(help="Schedules by which reports come by themselves.", no_args_is_help=True)

COLUMNS = ("principal", "at", "days", "zone", "off", "everyone", "note", "updated_at")

Principal = Annotated[
    str, typer.Argument(help="An address, a domain, or * for every known domain.", metavar="PRINCIPAL")
]
Note = Annotated[str, typer.Option(help="The reason, for other operators.")]
Whom = Annotated[str, typer.Argument(help="An address.", metavar="ADDRESS")]


@app.command("set")
def set_(
    context: typer.Context,
    principal: Principal,
    at: Annotated[list[str], typer.Option(help="A time of day, HH:MM; up to five, repeated or with commas.")],
    days: Annotated[
        list[str], typer.Option("--days", "--day", help="mon to sun, repeated or with commas.")
    ] = ["mon,tue,wed,thu,fri,sat,sun"],  # noqa: B006 - typer reads the default, nobody changes it
    zone: Annotated[str, typer.Option(help="A time zone of the IANA database: Europe/Berlin.")] = "UTC",
    everyone: Annotated[
        bool, typer.Option("--everyone", help="Of a domain: also to addresses that never asked for a report.")
    ] = False,
    note: Note = "",
) -> None:
    """Let reports of what is new come at these times; the record replaces an earlier one.

    The most specific record counts: of an address, then of its domain, then of *.
    """
    operator: Operator = context.obj
    name = _principal(operator, principal)
    if everyone and ("@" in name or name == EVERYBODY):
        raise Declined("--everyone is for a domain: only there, you know who has an address")
    try:
        schedule = Schedule.parse(_listed(at), _listed(days), zone)
    except InvalidSchedule as e:
        raise typer.BadParameter(str(e)) from e
    if everyone:
        operator.warn(
            f"a report then goes to every address at {name} for which mail is held, also to one that does not"
            " exist: SES counts a bounce for each"
        )
    if name == EVERYBODY:
        operator.warn("this covers every domain with an auth or a relay record, and no other")
    now = operator.clock()
    record = digest_values(name, schedule, everyone=everyone, note=note, now=now)
    operator.sender_records.put(record)
    moved = due.place(operator, name, now)
    said = f"reports come to {name}: {schedule}" + (
        f" ({moved} readers were due at another time)" if moved else ""
    )
    operator.say(said, **plain(record), moved=moved)


@app.command()
def off(context: typer.Context, principal: Principal, note: Note = "") -> None:
    """Let no report come by itself, whatever the record of the domain or of * says, or the reader wants."""
    operator: Operator = context.obj
    name = _principal(operator, principal)
    record = digest_values(name, None, note=note, now=operator.clock())
    operator.sender_records.put(record)
    operator.say(f"no report comes to {name} by itself", **plain(record))


@app.command()
def remove(context: typer.Context, principal: Principal) -> None:
    """Remove a record. The record of the domain, or of *, applies again."""
    operator: Operator = context.obj
    name = arguments.principal(principal)
    if not operator.sender_records.remove_digest(name):
        raise Declined(f"{name} has no digest record")
    moved = due.place(operator, name, operator.clock())
    operator.say(f"the digest record of {name} is removed", principal=name, moved=moved)


@app.command("list")
def list_(context: typer.Context) -> None:
    """List all schedules."""
    operator: Operator = context.obj
    operator.answer(COLUMNS, map(row, operator.sender_records.digest_records()), empty="no schedule")


def row(record: Values) -> Values:
    """Return a digest record as the list shows it."""
    days = record.get("days", set())
    ordered = [day for day in Weekday if day in days] or sorted(days)
    defaults = {"at": [], "zone": "", "off": False, "everyone": False, "note": "", "updated_at": ""}
    return {**defaults, **plain(record), "days": ordered}


@app.command("next")
def next_(context: typer.Context, address: Whom) -> None:
    """Say when the next report comes to an address by itself, by which record, or why none does."""
    operator: Operator = context.obj
    whom = arguments.address(address)
    now = operator.clock()
    row, facts = operator.mailboxes.row(whom), operator.senders.covering(whom)
    record = entitled(row.reader, facts, now, operator.parameter("ReportsDomain"))
    known = {"address": str(whom), "last_digest": row.last_digest, "held_since": row.due_at is not None}
    if isinstance(record, NoDigest):
        operator.say(f"none: {NO_DIGEST[record]}", **known, next=None, by=None, reason=record.value)
        return
    next_at = _next(record, row.due_at, now)
    assert record.schedule is not None, "only a schedule entitles"
    when = next_at.astimezone(record.schedule.zone)
    condition = "" if row.due_at else ", if anything is held for it until then"
    operator.say(
        f"{when:%a %d %b %Y, %H:%M} ({record.schedule.zone.key}), by the digest record of {record.principal}"
        + condition,
        **known,
        next=iso_seconds(next_at),
        by=record.principal,
        reason=None,
    )


def _next(record: DigestRecord, due_at: datetime | None, now: datetime) -> datetime:
    assert record.schedule is not None, "only a schedule entitles"
    return next_time(record.schedule, now) if due_at is None or due_at > now else due_at.astimezone(UTC)


@app.command()
def run(
    context: typer.Context,
    address: Annotated[
        str | None, typer.Argument(help="An address, due or not; without it, all who are due.")
    ] = None,
) -> None:
    """Ask for the reports of all who are due, as the digest function does, or for one now."""
    operator: Operator = context.obj
    sqs: SQSClient = operator.client("sqs")
    settings = DigestSettings.from_environ(operator.environ)
    digesting = Digesting.on(settings, operator.dynamodb, sqs, operator.clock)
    if address is None:
        with operator.err.status("looking for who is due"):
            tick = digesting.tick()
        operator.say(f"{tick.due} were due, {tick.made} reports asked for", due=tick.due, made=tick.made)
        return
    whom = arguments.address(address)
    found = digesting.ask_now(whom)
    match found:
        case NoDigest():
            raise Declined(f"no report for {whom}: {NO_DIGEST[found]}")
        case Opened(request_id):
            raise Declined(f"one is being made already: quarantine requests show {request_id}")
        case request_id:
            operator.say(
                f"{whom} gets a report within minutes, if anything is new."
                f" To see the outcome: quarantine requests show {request_id}",
                request_id=request_id,
                address=str(whom),
            )


def _principal(operator: Operator, text: str) -> str:
    name = arguments.principal(text)
    ours = operator.parameter("ReportsDomain")
    if name == ours or (("@" in name) and Address.parse(name).domain == ours):
        raise Declined(f"no report goes to {ours}: it could write to ourselves")
    return name


def _listed(texts: list[str]) -> list[str]:
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]
