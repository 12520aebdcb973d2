"""A company with a filter, a mail server and mailboxes, and our pipeline beside it."""

import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.interop.programs import (
    FILTERS,
    S3,
    SES,
    Door,
    Postfix,
    ask_with_msmtp,
    ask_with_swaks,
    dovecot,
    front,
    postfix,
)
from tests.local.serving import Server, serving

NEEDS_A_NETWORK_OF_ITS_OWN = [
    pytest.mark.interop,
    pytest.mark.skipif(
        {name for _, name in socket.if_nameindex()} != {"lo"},
        reason="there is a network that mail could leave by: run `make test-interop`",
    ),
]
BOB, ALICE = "bob@example.com", "alice@example.com"
STRANGER = "stranger@supplier.example"
_GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
# https://spamassassin.apache.org/gtube/. rspamd always refuses that one, before any other
# check; for this pattern of its own it takes the action `add header`.
# https://rspamd.com/doc/other/gtube_patterns.html
SPAM = {"rspamd": f"Y{_GTUBE[1:]}", "amavis": _GTUBE, "spamassassin": _GTUBE}
_ASK: dict[str, Callable[[str, str], None]] = {
    "rspamd": ask_with_msmtp,
    "amavis": ask_with_swaks,
    "spamassassin": ask_with_swaks,
}

# 8-bit text, lines of the greatest length, an attachment, a mark of the sender's own, a line with a dot.
_LETTER = """\
From: Stranger <stranger@supplier.example>\r
To: bob@example.com\r
Subject:  =?utf-8?q?Gr=C3=B6=C3=9Fe?=\r
\t and price\r
Date: Mon, 23 Nov 2026 12:00:00 +0000\r
Message-ID: <{name}@supplier.example>\r
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
..\r
{spam}\r
--b\r
Content-Type: application/octet-stream; name="prices.bin"\r
Content-Transfer-Encoding: base64\r
\r
AAECAwQFBgcICQo=\r
--b--\r
"""


@dataclass(frozen=True, slots=True)
class Circle:
    """filter: its name. directory: of all programs, with their logs."""

    filter: str
    directory: Path
    postfix: Postfix
    aws: Server
    s3: Door

    def letter(self, name: str) -> bytes:
        """Return a mail that this filter holds. name: in its Message-ID."""
        return _LETTER.format(name=name, long="long line " * 98, spam=SPAM[self.filter]).encode()

    def held(self, recipient: str) -> list[dict[str, str]]:
        """Return the quarantine's rows for one recipient, the oldest first."""
        items = self.aws.client("dynamodb").query(
            TableName=self.aws.environ["QUARANTINE_TABLE"],
            KeyConditionExpression="recipient = :recipient",
            ExpressionAttributeValues={":recipient": {"S": recipient}},
        )["Items"]
        return [{name: next(iter(value.values())) for name, value in item.items()} for item in items]

    def held_as(self, name: str, recipient: str) -> dict[str, str] | None:
        """Return the row of a letter; None before it is held."""
        rows = [row for row in self.held(recipient) if row["message_id"] == f"<{name}@supplier.example>"]
        assert len(rows) <= 1, f"held more than once: {name}"
        return rows[0] if rows else None

    def stored(self, row: dict[str, str]) -> bytes:
        """Return a held mail as it is stored."""
        bucket = self.aws.environ["MAIL_BUCKET"]
        mail: bytes = self.aws.client("s3").get_object(Bucket=bucket, Key=row["raw_key"])["Body"].read()
        return mail

    def metadata(self, row: dict[str, str]) -> dict[str, str]:
        """Return the metadata with which a held mail was stored."""
        bucket = self.aws.environ["MAIL_BUCKET"]
        found = self.aws.client("s3").head_object(Bucket=bucket, Key=row["raw_key"])
        return dict(found["Metadata"])

    def subjects(self, recipient: str) -> set[str]:
        return {row["subject"] for row in self.held(recipient)}

    def ask(self, user: str, to: str) -> None:
        """Let a user's mail program send a mail to one of our addresses."""
        _ASK[self.filter](user, to)


@contextmanager
def running(request: pytest.FixtureRequest, *arguments: str) -> Iterator[Circle]:
    """Run a company with the filter that is the fixture's parameter. arguments: of `local serve`."""
    name: str = request.param
    with tempfile.TemporaryDirectory() as path, ExitStack() as stack:
        directory = Path(path)
        directory.chmod(0o755)  # the programs run as their own users
        aws = stack.enter_context(serving(directory, "--smtp-port", str(SES), *arguments))
        aws.records.put_relay("example.com", "127.0.0.1/32")
        s3 = Door(directory / "socat.out", urlsplit(aws.ready["endpoint_url"]).port or 0)
        s3.open()
        stack.callback(s3.shut)
        environ = {
            name: value
            for name, value in aws.environ.items()
            if name == "MAIL_BUCKET" or name.startswith("AWS_")
        } | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{S3}"}
        stack.enter_context(front(directory, name, environ))
        stack.enter_context(FILTERS[name](directory))
        stack.enter_context(dovecot(directory))
        server = stack.enter_context(postfix(directory, name, environ))
        yield Circle(name, directory, server, aws, s3)
        if request.session.testsfailed:
            _show_logs(directory)
        aws.stop()


def _show_logs(directory: Path) -> None:
    """Print the end of each program's log, which is deleted with the directory."""
    for log in sorted([*directory.glob("*.log"), *directory.glob("*.out"), *directory.glob("*/log")]):
        if log.is_file():
            print(f"\n--- {log.relative_to(directory)} ---\n{log.read_text()[-5000:]}")  # noqa: T201
