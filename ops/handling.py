"""`quarantine held release`, `delete` and `restore`: what an operator does to one held message."""

from typing import Any
from uuid import uuid4

import typer

from ops import arguments
from ops.messages import Mailbox, MessageId, one
from ops.operator import Declined, Operator, OperatorError
from ops.words import moment, shown
from quarantine.acting.orders import Order
from quarantine.acting.reference import Reference, is_code
from quarantine.acting.ways import WayBack
from quarantine.held import HeldStatus, HoldReason
from quarantine.jobs import ActionJob
from quarantine.mail.addresses import Address
from quarantine.outbox import Jobs
from quarantine.stores.items import Values, time


def release(context: typer.Context, mailbox: Mailbox, message_id: MessageId) -> None:
    """Have a message delivered to the mailbox that it was held for, whatever its reason.

    The function act does it, within seconds. `requests show` says what became of it.
    """
    operator: Operator = context.obj
    address = arguments.address(mailbox)
    row = one(operator, address, message_id)
    _check(row, operator)
    order = Order(
        f"operator-{uuid4()}",
        caller(operator),
        address,
        Reference(time(row["received_at"]), row["code"]),
        operator.clock(),
    )
    place(operator, order)
    operator.say(
        f"{shown(row['message_id'])} of {address} will be released within seconds."
        f" To see the outcome: quarantine requests show {order.request_id}",
        request_id=order.request_id,
        recipient=str(address),
        entry=row["entry"],
    )


def _check(row: Values, operator: Operator) -> None:
    """Raises OperatorError or Declined for a message that act would not release."""
    now = operator.clock()
    if not row.get("raw_key"):
        raise OperatorError("the mail itself is not stored: only what the report shows is known")
    if not is_code(row.get("code")):
        raise OperatorError("the message has no code: quarantine held codes")
    if row["status"] != HeldStatus.HELD:
        raise Declined(f"it is {row['status']}{_by(row)}: restore it first, or wait until it is delivered")
    if int(row.get("expires_at", now.timestamp() + 1)) <= now.timestamp():
        raise Declined("its time is over, and it is about to be removed: use held fetch")
    check_virus(operator, row)


def check_virus(operator: Operator, row: Values) -> None:
    """Raises Declined for a virus on a stack whose way back is SES."""
    by_ses = operator.parameter("ReleaseBy") in ("", WayBack.ATTACHMENT)
    if row["reason"] == HoldReason.VIRUS and by_ses:
        raise Declined("SES sends no virus: use held fetch, and look at it first")


def place(operator: Operator, order: Order) -> None:
    """Record an order, and queue its job: act carries it out."""
    operator.requests.order(order)
    reports, actions = operator.name("JobsQueueUrl"), operator.name("ActionsQueueUrl")
    Jobs(operator.client("sqs"), reports, actions).put(ActionJob(order.request_id), str(order.mailbox))


def delete(context: typer.Context, mailbox: Mailbox, message_id: MessageId) -> None:
    """Let no report list a message any more. `held restore` undoes it until the message expires."""
    _change(context.obj, arguments.address(mailbox), message_id, HeldStatus.DELETED)


def restore(context: typer.Context, mailbox: Mailbox, message_id: MessageId) -> None:
    """Let reports list a message again that was deleted or released."""
    _change(context.obj, arguments.address(mailbox), message_id, HeldStatus.HELD)


def _change(operator: Operator, mailbox: Address, message_id: str, status: HeldStatus) -> None:
    row = one(operator, mailbox, message_id)
    if row["status"] == status:
        raise Declined(f"it is {status} already{_by(row)}")
    if row["status"] == HeldStatus.RELEASING:
        raise Declined("it is being delivered: try again in a few minutes")
    who = caller(operator)
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


def caller(operator: Operator) -> str:
    arn: Any = operator.client("sts").get_caller_identity()["Arn"]
    return str(arn)


def _by(row: Values) -> str:
    return f", since {moment(row['acted_at'])} by {shown(row['acted_by'])}" if "acted_by" in row else ""
