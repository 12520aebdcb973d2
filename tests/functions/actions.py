"""What tests of actions share: a spam that is stored and held, and mails that ask for something."""

import copy
import email
from email import policy
from email.message import EmailMessage
from typing import Any

from quarantine.acting.reference import Reference
from quarantine.stores.items import time
from tests.functions.test_hold import rows
from tests.world import World, load_event

BOB, SALES, CAROL = "bob@example.com", "sales@example.com", "carol@example.com"
DOMAIN = "reports.example.com"
EVENT = load_event("accepted_relay_ipv4")
MESSAGE_ID = str(EVENT["Records"][0]["ses"]["mail"]["messageId"])
SPAM = (
    b"Received: from mail.example.net by mx.example.com; Mon, 23 Nov 2026 11:59:00 +0000\r\n"
    b"From: Parcel Service <news@parcels.example>\r\nTo: bob@example.com\r\n"
    b"Subject: Your parcel\r\nMessage-ID: <1@parcels.example>\r\n\r\nIt waits at the gate.\r\n"
)


def stored(
    world: World, mailbox: str = BOB, mail: bytes = SPAM, key: str = "held/1", **metadata: str
) -> None:
    """Let a filter store a mail, and hold note it."""
    world.session.client("s3").put_object(
        Bucket=world.stack.environ["MAIL_BUCKET"],
        Key=key,
        Body=mail,
        Metadata={"recipients": mailbox, "reason": "spam"} | metadata,
    )
    assert world.hold(*world.held_messages()) == []
    world.clock.now = max(world.clock.now, time(rows(world, mailbox)[0]["received_at"]))


def reference(world: World, mailbox: str = BOB) -> Reference:
    """Return the reference of a mailbox's newest message."""
    row = rows(world, mailbox)[-1]
    return Reference(time(row["received_at"]), row["code"])


def address(world: World, action: str, mailbox: str = BOB) -> str:
    return f"{action}-{reference(world, mailbox)}@{DOMAIN}"


def asking(world: World, *recipients: str, message_id: str = MESSAGE_ID, sender: str = BOB) -> dict[str, Any]:
    """Return the event of a mail from a relay of example.com to these envelope recipients, received now."""
    event = copy.deepcopy(EVENT)
    ses = event["Records"][0]["ses"]
    ses["receipt"]["recipients"] = [*recipients]
    ses["mail"]["timestamp"] = world.clock.now.isoformat()
    ses["mail"]["source"] = sender
    for header in ses["mail"]["headers"]:
        if header["name"] == "From":
            header["value"] = sender
        if header["name"] == "Received":
            header["value"] = header["value"].replace(MESSAGE_ID, message_id)
    ses["mail"]["messageId"] = message_id
    return event


def ask(world: World, *recipients: str, message_id: str = MESSAGE_ID, sender: str = BOB) -> list[str]:
    """Let intake read such a mail, which it must accept; return the jobs of the actions."""
    outcome = world.intake(asking(world, *recipients, message_id=message_id, sender=sender))
    assert outcome == {"outcome": "accepted"}
    return world.actions()


def mails(world: World) -> list[EmailMessage]:
    return [_mail(raw) for raw in world.sent()]


def _mail(raw: bytes) -> EmailMessage:
    mail = email.message_from_bytes(raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def row_of(world: World, mailbox: str = BOB) -> dict[str, Any]:
    """Return the plain attributes of a mailbox's newest row."""
    return rows(world, mailbox)[-1]
