"""A released mail that an agent hands to a mail server, all of them processes of their own."""

import os
import signal
import smtplib
import subprocess
import sys
from pathlib import Path
from typing import Any

from quarantine.acting.reference import Reference
from quarantine.stores.items import time
from tests.local.serving import PATIENCE, PROJECT, Server, eventually, request, serving
from tests.release.servers import MailServer, running

BOB = "bob@agent.example"
SPAM = (
    b"Received: from x.example by mx.agent.example; Mon, 23 Nov 2026 11:59:00 +0000\r\n"
    b"From: Eve <eve@x.example>\r\nTo: bob@agent.example\r\nSubject: Parcel\r\n\r\n.It waits.\r\n"
)


def release_address(server: Server) -> str:
    def row() -> dict[str, Any] | None:
        rows = server.client("dynamodb").scan(TableName=server.environ["QUARANTINE_TABLE"])["Items"]
        return rows[0] if rows else None

    found = eventually(row, "a row")
    assert found is not None
    return f"release-{Reference(time(found['received_at']['S']), found['code']['S'])}@reports.example.com"


def hold(server: Server) -> None:
    host, _, port = server.ready["hold"].rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=PATIENCE) as client:
        client.sendmail("eve@x.example", [BOB], b"X-Spam-Flag: YES\r\n" + SPAM)


def test_an_agent_brings_a_released_mail_and_ends_on_sigterm(tmp_path: Path) -> None:
    with serving(tmp_path, "--parameter", "ReleaseBy=agent") as server, running(MailServer()) as mail_server:
        server.records.put_relay("*", "127.0.0.1/32")
        to = f"smtp:127.0.0.1:{mail_server.port}"
        agent = subprocess.Popen(
            [sys.executable, "-m", "ops", "deliver", "--to", to, "--domain", "agent.example", "--wait", "1"],
            env=os.environ | server.environ,
            cwd=PROJECT,
            stderr=subprocess.PIPE,
            text=True,
        )
        with agent:
            hold(server)
            server.send(request(BOB), envelope_from=BOB, to=release_address(server))
            mails = eventually(lambda: server.reports(BOB), "the answer")
            agent.send_signal(signal.SIGTERM)
            _, said = agent.communicate(timeout=PATIENCE)
        assert (agent.returncode, "250 queued as 1" in said) == (0, True)
        ((_, recipient, content),) = mail_server.mails
        assert recipient.lower() == b"rcpt to:<bob@agent.example>"
        assert content.endswith(SPAM.replace(b"\r\n.It", b"\r\n..It"))
        assert b"X-Spam-Flag" not in content
        assert [mail["Subject"] for mail in mails] == ["The message was delivered"]
        assert server.stop() == (0, "")


def test_a_relay_brings_a_released_mail(tmp_path: Path) -> None:
    with running(MailServer()) as mail_server:
        relay = ("ReleaseBy=relay", f"ReleaseRelay=127.0.0.1:{mail_server.port}")
        with serving(tmp_path, *(each for pair in relay for each in ("--parameter", pair))) as server:
            server.records.put_relay("*", "127.0.0.1/32")
            hold(server)
            server.send(request(BOB), envelope_from=BOB, to=release_address(server))
            (mail,) = eventually(lambda: server.reports(BOB), "the answer")
            assert mail["Subject"] == "The message was delivered"
            assert server.stop() == (0, "")
    ((_, _, content),) = mail_server.mails
    assert content.endswith(SPAM.replace(b"\r\n.It", b"\r\n..It"))
