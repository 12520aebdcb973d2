"""`quarantine held`: lists, adds and purges the held mail of a mailbox, and imports stored mails."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import batched, islice
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from botocore.config import Config
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ops import arguments, handling, looking
from ops.exits import PARTLY
from ops.importing import (
    RECIPIENT_FIELDS,
    UNCHECKED,
    Found,
    NotImported,
    Rules,
    Tally,
    find,
    import_rows,
    write,
)
from ops.messages import Mailbox
from ops.operator import Declined, Operator, OperatorError, Output
from ops.storing import AT_ONCE, Storing
from quarantine.held import LONGEST_RETENTION, HeldStatus, HoldReason
from quarantine.mail.charsets import storable
from quarantine.mail.lenient import ShownHeader, usable_id
from quarantine.mail.text import clean_text
from quarantine.stores.items import Values, iso_seconds, plain
from quarantine.stores.objects import ImportedObjects
from quarantine.stores.quarantine import held_row, new_code

app = typer.Typer(help="The held mail of a mailbox.", no_args_is_help=True)

_MAILS_KEPT = 366  # days: the bucket's rule for a mail whose tag is of no other rule
_STORING = Config(max_pool_connections=AT_ONCE)
_AT_ONCE, _READ_AHEAD = 8, 1000  # rows
_MOST_SHOWN = 50  # rejections that are printed for a person

Days = Annotated[
    int,
    typer.Option(
        min=1,
        max=LONGEST_RETENTION.days,
        help="How many days it is kept after it was received; at most as many as the stack keeps any mail.",
    ),
]


COLUMNS = ("received_at", "sender", "subject", "reason", "status", "kept_until", "message_id")

_EXPIRED = "expired"  # shown instead of held; DynamoDB removes the row within days


@app.command("list")
def list_(
    context: typer.Context,
    mailbox: Mailbox,
    all_: Annotated[
        bool, typer.Option("--all", help="Also list released, deleted and expired messages.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="The most messages to list.")] = 100,
) -> None:
    """List the held messages of a mailbox, newest first."""
    operator: Operator = context.obj
    address = arguments.address(mailbox)
    rows = (_row(values, operator.clock()) for values in operator.held_rows.rows_of(address))
    shown = list(islice((row for row in rows if all_ or row["status"] == HeldStatus.HELD), limit + 1))
    operator.answer(COLUMNS, shown[:limit], empty=f"nothing is held for {address}")
    if len(shown) > limit:
        operator.warn(f"there are more than {limit}: use --limit to list more")


@app.command()
def add(
    context: typer.Context,
    mailbox: Mailbox,
    sender: Annotated[str, typer.Option(help="The From field, decoded.")],
    subject: Annotated[str, typer.Option(help="The Subject field, decoded.")],
    reason: Annotated[HoldReason, typer.Option(help="Why it is held.")],
    message_id: Annotated[str | None, typer.Option(help="Its Message-ID. Default: a new one.")] = None,
    received_at: Annotated[
        str | None,
        typer.Option(help="When it was received: ISO 8601, UTC if it has no offset. Default: now."),
    ] = None,
    days: Days = 14,
) -> None:
    """Hold one message."""
    operator: Operator = context.obj
    address = arguments.address(mailbox)
    time = arguments.time(received_at) if received_at else operator.clock()
    name = usable_id((message_id or f"<{uuid4()}@quarantine>").encode(errors="replace"))
    mail = ShownHeader(storable(sender), storable(subject), name, time)
    kept_until = time + _kept_for(operator, days)
    if kept_until <= operator.clock():
        operator.warn(f"it expired on {iso_seconds(kept_until)}: no report shows it")
    row = held_row(address, mail, name, time, reason, kept_until, operator.clock(), code=new_code())
    if operator.held_rows.put_new(row) is not None:
        raise Declined(f"{name} of {iso_seconds(time)} is in the table already")
    operator.say(f"{name} is held for {address}", recipient=str(address), entry=row["entry"]["S"])


@app.command()
def purge(
    context: typer.Context,
    mailbox: Mailbox,
    before: Annotated[
        str | None,
        typer.Option(help="Only rows received before this time: ISO 8601, UTC if it has no offset."),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a mailbox's rows with any status. The stored mails themselves are not deleted."""
    operator: Operator = context.obj
    address = arguments.address(mailbox)
    if all_ == (before is not None):
        raise typer.BadParameter("use either --before TIME or --all")
    end = arguments.time(before) if before else None
    requests = list(operator.held_rows.deletions_of(address, end))
    if requests and not yes:
        question = f"Delete {len(requests)} rows of {address}?"
        if not typer.confirm(question, err=True):
            raise Declined(f"no row of {address} was deleted")
    deleted = sum(write(operator.dynamodb, operator.name("QuarantineTableName"), requests))
    operator.say(f"{deleted} rows of {address} were deleted", recipient=str(address), deleted=deleted)


@app.command("import")
def import_(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(exists=True, help="Mails, mboxes, maildirs, or folders of them.", metavar="PATH..."),
    ],
    reason: Annotated[HoldReason, typer.Option(help="Why they are held.")],
    days: Days,
    recipient: Annotated[
        str | None,
        typer.Option(help=f"The recipient of all mails. Default: each mail's {', '.join(RECIPIENT_FIELDS)}."),
    ] = None,
    recipient_field: Annotated[
        list[str],
        typer.Option(
            help="Use this recipient field instead of those three. Name one that your own system writes: a"
            " sender can write any field. May be repeated; the first that is present counts."
        ),
    ] = list(RECIPIENT_FIELDS),  # noqa: B006 - typer only reads the default
    rows_only: Annotated[
        bool, typer.Option("--rows-only", help="Store no mail: only what a report shows. Much quicker.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Hold messages again that were released or deleted.")
    ] = False,
) -> None:
    """Hold mails from files: store each in the bucket, and write its rows.

    The import can be repeated at any time. It changes no row that is there, unless you say --again. With
    --rows-only, only the header sections are read, and every message is held again.

    The import ends with a list of what it skipped, and with exit code 4 if there is any: a mail without a
    readable recipient, a file in a format that is not supported, or a line of an mbox that may begin another
    mail and was read as text.
    """
    operator: Operator = context.obj
    rules = Rules(
        reason=reason,
        kept_for=_kept_for(operator, days),
        recipient=arguments.address(recipient) if recipient else None,
        recipient_fields=tuple(name.lower().encode() for name in recipient_field),
        now=operator.clock(),
    )
    if rows_only and again:
        raise typer.BadParameter("--rows-only holds every message again: without --again")
    if not rows_only and days > _MAILS_KEPT:
        operator.warn(f"the bucket deletes the mails themselves after {_MAILS_KEPT} days")
    found = find(paths)
    if found.left:
        operator.warn(f"{found.left} files in folders are neither .eml nor .mbox: skipped")
    tally = _imported(operator, found, rules, rows_only=rows_only, again=again)
    if tally.kept:
        operator.warn(f"{tally.kept} rows were there before, and are as they were")
    if tally.notes:
        operator.warn(f"{tally.notes} messages are a mail program's notes about its folder: skipped")
    if tally.expired:
        operator.warn(f"{tally.expired} of them were received over {days} days ago: no report shows them")
    skipped = [*tally.not_imported, *found.doubts]
    for each in skipped[:_MOST_SHOWN]:
        operator.err.print(Text(f"skipped: {clean_text(str(each))}", style="red"), soft_wrap=True)
    if (more := len(skipped) - _MOST_SHOWN) > 0 and operator.output is not Output.JSON:
        operator.err.print(Text(f"and {more} more: use --output json to list all", style="red"))
    imported = tally.read - len(tally.not_imported)
    summary = f"{imported} of {tally.read} mails imported, as {tally.written} rows"
    operator.say(
        f"{summary}; {len(skipped)} skipped" if skipped else summary,
        mails=tally.read,
        rows=tally.written,
        kept=tally.kept,
        again=tally.again,
        skipped=len(skipped),
        rejected=_named(tally.not_imported),
        doubts=_named(found.doubts),
    )
    if skipped:
        raise typer.Exit(PARTLY)


@app.command()
def codes(context: typer.Context) -> None:
    """Give each row a code that has none, such as those of an import or of an older version.

    A code lets a user name a message in a mail. It reads the whole table; run it again if it was stopped.
    """
    operator: Operator = context.obj
    given = 0
    with ThreadPoolExecutor(_AT_ONCE) as threads, operator.err.status("giving codes"):
        for some in batched(operator.held_rows.without_code(), _READ_AHEAD, strict=False):
            given += sum(threads.map(operator.held_rows.give_code, some))
    operator.say(f"{given} rows have a code now", rows=given)


app.command()(looking.show)
app.command()(looking.fetch)
app.command()(handling.release)
app.command()(handling.delete)
app.command()(handling.restore)


def _kept_for(operator: Operator, days: int) -> timedelta:
    """Raises OperatorError for a time after which no report would list the message, though it is kept."""
    if (kept_for := timedelta(days=days)) > operator.longest_retention:
        raise OperatorError(
            f"reports list no message that is older than {operator.longest_retention.days} days:"
            " use fewer --days, or raise the stack's parameter LongestRetentionDays first"
        )
    return kept_for


def _named(places: Iterable[NotImported]) -> list[dict[str, Any]]:
    return [{"path": each.path, "part": each.part, "why": each.why} for each in places]


def _imported(operator: Operator, found: Found, rules: Rules, *, rows_only: bool, again: bool) -> Tally:
    if rows_only:
        client = operator.session.client("dynamodb", endpoint_url=operator.endpoint_url, config=UNCHECKED)
        tallies = import_rows(client, operator.name("QuarantineTableName"), found, rules)
    else:
        s3 = operator.session.client("s3", endpoint_url=operator.endpoint_url, config=_STORING)
        objects = ImportedObjects(s3, operator.name("MailBucketName"))
        tallies = Storing(objects, operator.held_rows, again).import_mails(found, rules)
    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tally = Tally()
    with Progress(*columns, console=operator.err, disable=not operator.err.is_terminal) as progress:
        task = progress.add_task("", total=found.mails)
        for tally in tallies:
            progress.update(task, completed=tally.read)
    return tally


def _row(values: Values, now: datetime) -> dict[str, Any]:
    """Return all attributes of a row, and what they mean now; a row that report cannot read, too."""
    expires_at = _expiry(values.get("expires_at"))
    is_expired = values.get("status") == HeldStatus.HELD and expires_at is not None and expires_at <= now
    return {
        **plain(values),
        "status": _EXPIRED if is_expired else values.get("status"),
        "kept_until": expires_at and iso_seconds(expires_at),
    }


def _expiry(value: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(str(value)), UTC)
    except (ValueError, OverflowError, OSError):
        return None
