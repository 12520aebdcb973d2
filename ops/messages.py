"""How a command line names one held message."""

from typing import Annotated

import typer

from ops.operator import Operator, OperatorError
from ops.words import shown
from quarantine.mail.addresses import Address
from quarantine.stores.items import Values

Mailbox = Annotated[str, typer.Argument(help="Whose.", metavar="MAILBOX")]
MessageId = Annotated[
    str, typer.Argument(help="Its message id, as `held list` shows it, or its entry.", metavar="MESSAGE-ID")
]


def one(operator: Operator, mailbox: Address, message_id: str) -> Values:
    """Return the one row that is meant. Raises OperatorError for none or several."""
    rows = operator.held_rows.named(mailbox, message_id)
    if not rows:
        raise OperatorError(f"{mailbox} has no message {shown(message_id)}: see `quarantine held list`")
    if len(rows) > 1:
        entries = ", ".join(shown(row["entry"]) for row in rows)
        raise OperatorError(f"{len(rows)} messages have this id; name one by its entry: {entries}")
    return rows[0]
