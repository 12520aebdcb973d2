"""`quarantine held fetch`, `delete` and `restore`: what an operator does to one held message."""

from pathlib import Path
from typing import Annotated

import typer

from ops import arguments
from ops.operator import Declined, Operator, OperatorError
from ops.words import moment, shown
from quarantine.held import HeldStatus
from quarantine.mail.addresses import Address
from quarantine.stores.items import Values
from quarantine.stores.objects import Changed, Gone, HeldObjects

Mailbox = Annotated[str, typer.Argument(help="Whose.", metavar="MAILBOX")]
MessageId = Annotated[
    str, typer.Argument(help="Its message id, as `held list` shows it, or its entry.", metavar="MESSAGE-ID")
]


def fetch(
    context: typer.Context,
    mailbox: Mailbox,
    message_id: MessageId,
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.", metavar="FILE")],
) -> None:
    """Write a held mail to a file, byte for byte as the filter stored it. It may be dangerous to open."""
    operator: Operator = context.obj
    row = _one(operator, arguments.address(mailbox), message_id)
    key = row.get("raw_key")
    if not key:
        raise OperatorError("the mail itself is not stored: only what the report shows is known")
    objects = HeldObjects(operator.client("s3"), operator.name("MailBucketName"))
    try:
        mail = objects.whole(key, row.get("etag"))
    except Gone as e:
        raise OperatorError(f"the bucket has no {key} any more") from e
    except Changed as e:
        raise OperatorError(f"{key} is not the mail that was judged: somebody has overwritten it") from e
    with file.open("xb") as target:
        target.write(mail)
    operator.say(f"{len(mail)} bytes written to {file}", key=key, file=str(file), size=len(mail))


def delete(context: typer.Context, mailbox: Mailbox, message_id: MessageId) -> None:
    """Let no report list a message any more. `held restore` undoes it until the message expires."""
    _change(context.obj, arguments.address(mailbox), message_id, HeldStatus.DELETED)


def restore(context: typer.Context, mailbox: Mailbox, message_id: MessageId) -> None:
    """Let reports list a message again that was deleted or released."""
    _change(context.obj, arguments.address(mailbox), message_id, HeldStatus.HELD)


def _change(operator: Operator, mailbox: Address, message_id: str, status: HeldStatus) -> None:
    row = _one(operator, mailbox, message_id)
    if row["status"] == status:
        raise Declined(f"it is {status} already{_by(row)}")
    if row["status"] == HeldStatus.RELEASING:
        raise Declined("it is being delivered: try again in a few minutes")
    who = operator.client("sts").get_caller_identity()["Arn"]
    if (now := operator.held_rows.change(row, status, who, operator.clock())) is not None:
        raise Declined(
            f"it has just become {shown(now.get('status', 'removed'))}{_by(now)}: look at it again"
        )
    operator.say(
        f"{shown(row['message_id'])} of {mailbox} is {status}",
        recipient=str(mailbox),
        entry=row["entry"],
        status=status,
    )


def _by(row: Values) -> str:
    return f", since {moment(row['acted_at'])} by {shown(row['acted_by'])}" if "acted_by" in row else ""


def _one(operator: Operator, mailbox: Address, message_id: str) -> Values:
    """Return the one row that is meant. Raises OperatorError for none or several."""
    rows = operator.held_rows.named(mailbox, message_id)
    if not rows:
        raise OperatorError(f"{mailbox} has no message {shown(message_id)}: see `quarantine held list`")
    if len(rows) > 1:
        entries = ", ".join(shown(row["entry"]) for row in rows)
        raise OperatorError(f"{len(rows)} messages have this id; name one by its entry: {entries}")
    return rows[0]
