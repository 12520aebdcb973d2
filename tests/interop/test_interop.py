"""The recipes of docs/holding.md, tested with the real programs: `make test-interop`.

A company's Postfix receives mail from the internet and asks a filter. Spam goes to the quarantine, through
`quarantine hold` or its front. Then Bob's mail client asks, Postfix relays that to SES, the report lists it.
The signature of a mail that is held and released still verifies.
"""

import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from quarantine.asking.replying import ReplyContext
from quarantine.held import HeldMessage, HoldReason
from quarantine.holding.filters.family import Family
from quarantine.mail.addresses import Address
from quarantine.mail.links import defanged
from quarantine.release.attachment import render
from quarantine.release.deliverable import ReleaseTrace, deliverable
from tests.interop.programs import (
    FILTERS,
    S3,
    SES,
    Door,
    Postfix,
    ask_with_msmtp,
    ask_with_swaks,
    eventually,
    front,
    hand_over_from_outside,
    mail_from_outside,
    postfix,
)
from tests.local.serving import TRIGGER, Server, serving
from tests.release.reading import attached
from tests.signing import signed, verifies

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        {name for _, name in socket.if_nameindex()} != {"lo"},
        reason="there is a network that mail could leave by: run `make test-interop`",
    ),
]

BOB, ALICE = "bob@example.com", "alice@example.com"
STRANGER = "stranger@supplier.example"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
# https://spamassassin.apache.org/gtube/. rspamd always refuses that one, before any other
# check; for this pattern of its own it takes the action `add header`.
# https://rspamd.com/doc/other/gtube_patterns.html
SPAM = {"rspamd": f"Y{GTUBE[1:]}", "amavis": GTUBE, "spamassassin": GTUBE}
ASK: dict[str, Callable[[str, str], None]] = {
    "rspamd": ask_with_msmtp,
    "amavis": ask_with_swaks,
    "spamassassin": ask_with_swaks,
}


@dataclass(frozen=True, slots=True)
class Circle:
    """A company with a filter, and our pipeline."""

    filter: str
    postfix: Postfix
    aws: Server
    s3: Door

    def held(self, recipient: str) -> list[dict[str, str]]:
        """Return the quarantine's rows for one recipient, the oldest first."""
        items = self.aws.client("dynamodb").query(
            TableName=self.aws.environ["QUARANTINE_TABLE"],
            KeyConditionExpression="recipient = :recipient",
            ExpressionAttributeValues={":recipient": {"S": recipient}},
        )["Items"]
        return [{name: next(iter(value.values())) for name, value in item.items()} for item in items]

    def subjects(self, recipient: str) -> set[str]:
        return {row["subject"] for row in self.held(recipient)}


@pytest.fixture(scope="module", params=FILTERS)
def circle(request: pytest.FixtureRequest) -> Iterator[Circle]:
    name: str = request.param
    with tempfile.TemporaryDirectory() as path, ExitStack() as stack:
        directory = Path(path)
        directory.chmod(0o755)  # the programs run as their own users
        aws = stack.enter_context(serving(directory, "--smtp-port", str(SES)))
        aws.records.put_relay("example.com", "127.0.0.1/32")
        s3 = Door(directory / "socat.out", urlsplit(aws.ready["endpoint_url"]).port or 0)
        s3.open()
        stack.callback(s3.shut)
        environ = {
            name: value
            for name, value in aws.environ.items()
            if name == "MAIL_BUCKET" or name.startswith("AWS_")
        } | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{S3}"}
        stack.enter_context(front(directory, environ))
        stack.enter_context(FILTERS[name](directory))
        server = stack.enter_context(postfix(directory, name, environ))
        yield Circle(name, server, aws, s3)
        if request.session.testsfailed:
            _show_logs(directory)
        aws.stop()


def _show_logs(directory: Path) -> None:
    """Print the end of each program's log, which is deleted with the directory."""
    for log in sorted([*directory.glob("*.log"), *directory.glob("*.out"), *directory.glob("*/log")]):
        if log.is_file():
            print(f"\n--- {log.relative_to(directory)} ---\n{log.read_text()[-5000:]}")  # noqa: T201


def test_an_ordinary_mail_is_delivered(circle: Circle) -> None:
    mail_from_outside("anna@supplier.example", BOB, "Lunch", "Shall we have lunch on Tuesday, as always?")
    (mail,) = eventually(lambda: circle.postfix.delivered("bob"), "the mail is in Bob's mailbox")
    assert "Subject: Lunch" in mail
    assert circle.held(BOB) == []


def test_spam_is_held_for_each_recipient_and_reported(circle: Circle) -> None:
    before = circle.postfix.delivered("bob")
    mail_from_outside(STRANGER, f"{BOB},{ALICE}", "Cheap watches", SPAM[circle.filter])
    rows = [
        row
        for recipient in (BOB, ALICE)
        for row in eventually(partial(circle.held, recipient), f"the mail is held for {recipient}")
    ]
    shown = [(row["subject"], row["reason"], row["status"]) for row in rows]
    assert shown == [("Cheap watches", "spam", "held")] * 2
    assert all(STRANGER in row["sender"] for row in rows)

    ASK[circle.filter](BOB, TRIGGER)
    (report,) = eventually(lambda: circle.aws.reports(BOB), "the report is sent")
    text = report.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    print(f"\n--- {circle.filter}: the report ---\n{text}")  # noqa: T201 - what `make test-interop` shows
    assert "Cheap watches" in text
    assert defanged(STRANGER) in text
    assert before == circle.postfix.delivered("bob")
    eventually(circle.postfix.is_empty, "nothing waits in Postfix's queue")


def test_postfix_hands_mail_over_to_the_front_by_tls(circle: Circle) -> None:
    to = "bob@held.example"
    mail_from_outside("anna@supplier.example", to, "By TLS", "Nobody on the way can read this.")
    (row,) = eventually(partial(circle.held, to), "the mail is held")
    assert row["subject"] == "By TLS"
    eventually(circle.postfix.is_empty, "nothing waits in Postfix's queue")


def test_nothing_is_lost_while_s3_is_away(circle: Circle) -> None:
    circle.s3.shut()
    mail_from_outside(STRANGER, BOB, "Cheap rings", SPAM[circle.filter])
    eventually(circle.postfix.deferred, "Postfix keeps the mail")
    assert "Cheap rings" not in circle.subjects(BOB)

    circle.s3.open()
    circle.postfix.flush()
    eventually(lambda: "Cheap rings" in circle.subjects(BOB), "the mail is held")
    eventually(circle.postfix.is_empty, "nothing waits in Postfix's queue")
    assert not any("Cheap rings" in mail for mail in circle.postfix.delivered("bob"))


# 8-bit text, lines of the greatest length, an attachment, a mark of the sender's own.
LETTER = """\
From: Stranger <stranger@supplier.example>\r
To: bob@example.com\r
Subject:  =?utf-8?q?Gr=C3=B6=C3=9Fe?=\r
\t and price\r
Date: Mon, 23 Nov 2026 12:00:00 +0000\r
Message-ID: <signed@supplier.example>\r
X-Spam-Status: No, score=-9\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary="b"\r
\r
--b\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: 8bit\r
\r
Größe und Preis, übermorgen.\r
{long}\r
.\r
{spam}\r
--b\r
Content-Type: application/octet-stream; name="prices.bin"\r
Content-Transfer-Encoding: base64\r
\r
AAECAwQFBgcICQo=\r
--b--\r
"""
NAMES = (b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type", b"from")


def test_a_signature_verifies_after_the_release(circle: Circle) -> None:
    letter = LETTER.format(long="long line " * 98, spam=SPAM[circle.filter]).encode()
    sent = signed(letter, names=NAMES, canonical=b"simple")
    hand_over_from_outside(STRANGER, BOB, sent)

    def held() -> list[dict[str, str]]:
        return [row for row in circle.held(BOB) if row["message_id"] == "<signed@supplier.example>"]

    (row,) = eventually(held, "the mail is held")

    bucket = circle.aws.environ["MAIL_BUCKET"]
    stored = circle.aws.client("s3").get_object(Bucket=bucket, Key=row["raw_key"])["Body"].read()
    trace = ReleaseTrace("interop", datetime.now(UTC))
    delivered = deliverable(stored, {Family(circle.filter)}, trace)
    mail = render(
        delivered,
        HeldMessage(
            Address.parse(BOB),
            row["message_id"],
            datetime.fromisoformat(row["received_at"]),
            row["sender"],
            row["subject"],
            HoldReason(row["reason"]),
            None,
        ),
        request_id="interop",
        requester=Address.parse(BOB),
        asked_at=trace.released_at,
        reply=ReplyContext(),
        sender=Address.parse("quarantine@reports.example.com"),
        reply_to=None,
        now=trace.released_at,
    )
    original = attached(mail)
    print(f"\n--- {circle.filter}: the released mail ---\n{original.partition(b'--b')[0].decode()}")  # noqa: T201
    assert verifies(original)
    marks = re.compile(
        rb"^(?:X-Spam|X-Rspamd|X-Envelope|X-Quarantine-ID|Delivered-To|Return-Path)", re.MULTILINE
    )
    assert marks.search(stored.replace(b"X-Spam-Status: No, score=-9", b""))
    assert not marks.search(original)
    lines = original.replace(b"\r\n", b"\n")
    assert lines.endswith(letter.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n"))
