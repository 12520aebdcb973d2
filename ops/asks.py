"""`quarantine asks`: what users ask the administrators for, and an operator's answer."""

from typing import Annotated
from uuid import uuid4

import typer

from ops import arguments
from ops.handling import caller, check_virus, place
from ops.messages import Mailbox, MessageId, one
from ops.operator import Declined, Operator
from ops.words import moment, shown
from quarantine.acting.asks import Ask, AskState
from quarantine.acting.orders import Order
from quarantine.acting.rules import Ruling
from quarantine.held import HeldKey
from quarantine.stores.items import iso_milliseconds

app = typer.Typer(help="What users ask the administrators to release.", no_args_is_help=True)

COLUMNS = ("asked_at", "mailbox", "asker", "state", "answered_by", "expires_at", "message_id")


@app.command("list")
def list_(
    context: typer.Context,
    mailbox: Annotated[str | None, typer.Option(help="Only about mail held for this mailbox.")] = None,
    is_open: Annotated[bool, typer.Option("--open", help="Only those without an answer.")] = False,
) -> None:
    """List what was asked within the last week, newest first. Reads the whole table of requests."""
    operator: Operator = context.obj
    whose = None if mailbox is None else arguments.address(mailbox)
    asks = [
        ask
        for ask in operator.asks.all()
        if ask.expires_at > operator.clock()
        and whose in {None, ask.mailbox}
        and (ask.state is AskState.OPEN or not is_open)
    ]
    asks.sort(key=lambda ask: ask.asked_at, reverse=True)
    operator.answer(COLUMNS, map(_row, asks), empty="nobody asks for anything")


def _row(ask: Ask) -> dict[str, object]:
    return {
        "asked_at": iso_milliseconds(ask.asked_at),
        "mailbox": ask.held.recipient,
        "asker": str(ask.asker),
        "state": ask.state,
        "answered_by": ask.answered_by or "",
        "expires_at": iso_milliseconds(ask.expires_at),
        "message_id": ask.held.entry.partition("#")[2],
    }


@app.command()
def approve(context: typer.Context, mailbox: Mailbox, message_id: MessageId) -> None:
    """Have a message delivered to the mailbox that it was held for, and tell who asked."""
    _answer(context.obj, Ruling.APPROVE, mailbox, message_id)


@app.command()
def refuse(context: typer.Context, mailbox: Mailbox, message_id: MessageId) -> None:
    """Leave a message held, and tell who asked."""
    _answer(context.obj, Ruling.REFUSE, mailbox, message_id)


def _answer(operator: Operator, ruling: Ruling, mailbox: str, message_id: str) -> None:
    address = arguments.address(mailbox)
    row = one(operator, address, message_id)
    ask = operator.asks.of(HeldKey(row["recipient"], row["entry"]))
    if ask is None or ask.expires_at <= operator.clock():
        raise Declined("nobody asks for it: see quarantine asks list, or use held release")
    if ask.state is not AskState.OPEN:
        since = "" if ask.answered_at is None else f", since {moment(iso_milliseconds(ask.answered_at))}"
        raise Declined(f"it is {ask.state} already{since} by {shown(ask.answered_by or 'somebody')}")
    if ruling is Ruling.APPROVE:
        check_virus(operator, row)
    order = Order(
        f"operator-{uuid4()}", caller(operator), address, ask.reference, operator.clock(), action=ruling
    )
    place(operator, order)
    operator.say(
        f"{shown(row['message_id'])} of {address}: {ruling}, within seconds."
        f" To see the outcome: quarantine requests show {order.request_id}",
        request_id=order.request_id,
        recipient=str(address),
        entry=row["entry"],
        ruling=ruling,
    )
