"""The whole cycle over the wire: spam arrives, is held, its recipient asks, and sees it."""

import smtplib
from email.message import EmailMessage
from typing import Any

import pytest

from tests.local.serving import PATIENCE, Server, eventually, request

SPAM = b"From: Eve <eve@spam.example>\r\nSubject: You won a prize\r\n\r\nSend money.\r\n"


def rows(server: Server, mailbox: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.client("dynamodb").query(
        TableName=server.environ["QUARANTINE_TABLE"],
        KeyConditionExpression="recipient = :mailbox",
        ExpressionAttributeValues={":mailbox": {"S": mailbox}},
    )["Items"]
    return found


def held(server: Server, mailbox: str) -> dict[str, Any]:
    """Wait for the row of a mailbox's one held mail."""
    (row,) = eventually(lambda: rows(server, mailbox), f"a row of {mailbox}; see {server.log}")
    return row


def asked(server: Server, mailbox: str) -> EmailMessage:
    """Ask for a report as the mailbox; return it."""
    row = server.settled(server.send(request(mailbox), envelope_from=mailbox))
    assert (row["status"], row["messages"]) == ("sent", "1")
    (report,) = server.reports(mailbox)
    return report


@pytest.mark.parametrize(
    ("client_class", "mailbox"),
    [
        pytest.param(smtplib.SMTP, "smtp@hold.example", id="SMTP"),
        pytest.param(smtplib.LMTP, "lmtp@hold.example", id="LMTP"),
    ],
)
def test_a_spam_is_held_and_its_recipient_sees_it(
    client_class: type[smtplib.SMTP], mailbox: str, server: Server
) -> None:
    host, _, port = server.ready["hold"].rpartition(":")
    with client_class(host, int(port), timeout=PATIENCE) as client:
        client.ehlo_or_helo_if_needed()
        client.mail("eve@spam.example")
        client.rcpt(mailbox)
        code, answer = client.data(b"X-Spam-Flag: YES\r\n" + SPAM)
    assert code == 250
    row = held(server, mailbox)
    assert row["raw_key"]["S"] == answer.decode().rpartition(" ")[2]
    assert row["reason"]["S"] == "spam"
    text = asked(server, mailbox).as_string()
    assert "You won a prize" in text
    assert "eve[at]spam[.]example" in text


def test_an_object_that_a_filter_puts_into_the_bucket_is_held(server: Server) -> None:
    field = b"X-Envelope-To: <amavis@hold.example>\r\nX-Amavis-Alert: INFECTED, Eicar\r\n"
    server.client("s3").put_object(
        Bucket=server.environ["MAIL_BUCKET"], Key="held/spam-VGhx7Kc1bLrM.gz", Body=field + SPAM
    )
    assert held(server, "amavis@hold.example")["reason"]["S"] == "virus"
    assert "You won a prize" in asked(server, "amavis@hold.example").as_string()


def test_what_names_no_recipient_waits_with_its_reason(server: Server) -> None:
    server.client("s3").put_object(Bucket=server.environ["MAIL_BUCKET"], Key="held/nobody", Body=SPAM)
    sqs = server.client("sqs")
    (letter,) = eventually(
        lambda: sqs.receive_message(
            QueueUrl=server.environ["HELD_DEAD_LETTERS_URL"], MessageAttributeNames=["All"]
        ).get("Messages"),
        "a dead letter",
    )
    assert letter["MessageAttributes"]["rejection"]["StringValue"] == "no_recipient"
    assert "held%2Fnobody" in letter["Body"]
