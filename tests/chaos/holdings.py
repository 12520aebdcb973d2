"""Held messages of a run, and the mails by which their readers ask for something."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from local.records import Records
from local.ses import GRAY, Delivery, receive
from quarantine.acting.reference import Reference, code_of
from tests.chaos.stage import Stage

_DOMAIN, _PEER = "reports.example.com", "192.0.2.25"
COMPANY = "relay.example"


@dataclass(frozen=True, slots=True)
class Message:
    """A held mail. name: in its subject and its body."""

    name: str
    mailbox: str
    reference: Reference

    @property
    def key(self) -> str:
        return f"held/{self.name}"


def hold(
    stage: Stage, rng: Random, mailboxes: Iterable[str], at: datetime, *, phish_each: int = 0
) -> Iterator[Message]:
    """Hold a message for each of the mailboxes, whose company's server may relay.

    phish_each: one of so many is held as phishing; 0 for none.
    """
    records = Records(stage.session, stage.stack.environ)
    records.put_relay(COMPANY, "192.0.2.0/24")
    s3, bucket = stage.session.client("s3"), stage.stack.environ["MAIL_BUCKET"]
    for number, mailbox in enumerate(mailboxes):
        message = Message(f"m{number}", mailbox, Reference(at, code_of(rng.randbytes(10))))
        body = f"Subject: {message.name}\r\n\r\nbody-{message.name}\r\n".encode()
        etag = s3.put_object(Bucket=bucket, Key=message.key, Body=body)["ETag"]
        records.put_held(
            mailbox,
            f"<{message.name}@x>",
            at,
            "a@b.example",
            message.name,
            reason="phishing" if phish_each and number % phish_each == 0 else "spam",
            raw_key=message.key,
            etag=etag,
            code=message.reference.code,
            expires_at=int((at + timedelta(days=365)).timestamp()),
        )
        yield message


def asking(request_id: str, requester: str, local_parts: Iterable[str], at: datetime) -> dict[str, Any]:
    """Return SES's event of a mail to some of our addresses."""
    recipients = tuple(f"{each}@{_DOMAIN}" for each in local_parts)
    data = f"From: <{requester}>\r\nTo: <{recipients[0]}>\r\nMessage-ID: <{request_id}@x>\r\n\r\n".encode()
    delivery = Delivery(_PEER, "mail.example", requester, recipients, data)
    return receive(delivery, GRAY, request_id, at).event


def rows(stage: Stage, table: str, name: str) -> dict[str, Mapping[str, Any]]:
    """Return the rows of a table by an attribute. table: the variable with its name."""
    pages = stage.session.client("dynamodb").get_paginator("scan")
    plain = TypeDeserializer().deserialize
    return {
        item[name]["S"]: {each: plain(value) for each, value in item.items()}
        for page in pages.paginate(TableName=stage.stack.environ[table])
        for item in page["Items"]
    }
