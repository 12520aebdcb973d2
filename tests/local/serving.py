"""`python -m local serve` as a separate process, and functions to use it in a test."""

import contextlib
import json
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3

from local.records import Records

PROJECT = Path(__file__).parents[2]
PATIENCE = 30  # seconds
TRIGGER = "manual-report-request@reports.example.com"


def eventually[T](look: Callable[[], T], what: str) -> T:
    """Return the first true value that `look` returns within PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := look():
            return value
        time.sleep(0.02)
    raise TimeoutError(f"not within {PATIENCE} s: {what}")


@dataclass(frozen=True, slots=True)
class Server:
    """ready: the line that it printed; no other output may follow."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    log: Path

    @property
    def environ(self) -> dict[str, str]:
        environ: dict[str, str] = self.ready["env"]
        return environ

    @property
    def session(self) -> boto3.Session:
        return boto3.Session(
            aws_access_key_id=self.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environ["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environ["AWS_DEFAULT_REGION"],
        )

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.ready["endpoint_url"])  # type: ignore[call-overload]

    @property
    def records(self) -> Records:
        return Records(_AtEndpoint(self), self.environ)  # type: ignore[arg-type]

    def hold(self, mailbox: str, subject: str = "Invoice 7") -> None:
        self.records.put_held(
            mailbox, f"<{subject}@x.example>", datetime.now(UTC), "x@supplier.example", subject
        )

    def send(
        self,
        mail: EmailMessage | bytes,
        *,
        envelope_from: str,
        to: str = TRIGGER,
        peer: str = "127.0.0.1",
    ) -> str:
        """Send a mail by SMTP unchanged; return the id in the 250 answer."""
        host, _, port = self.ready["smtp"].rpartition(":")
        data = mail if isinstance(mail, bytes) else mail.as_bytes(policy=policy.SMTP)
        with smtplib.SMTP(
            host, int(port), local_hostname="mail.example.com", source_address=(peer, 0), timeout=PATIENCE
        ) as client:
            client.ehlo()
            assert client.mail(envelope_from)[0] == 250
            assert client.rcpt(to)[0] == 250
            code, answer = client.data(data)
        assert code == 250, answer
        return answer.decode().rpartition(" ")[2]

    def settled(self, request_id: str) -> dict[str, Any]:
        """Wait until a request is final; return its row."""

        def row() -> dict[str, Any] | None:
            item = self.records.request(request_id) or {}
            plain = {name: next(iter(value.values())) for name, value in item.items()}
            return plain if plain.get("status") in {"refused", "sent", "empty", "failed"} else None

        return eventually(row, f"request {request_id} is settled; see {self.log}") or {}

    def reports(self, requester: str) -> list[EmailMessage]:
        """Return the mails in the outbox that are for one requester."""
        paths = Path(self.ready["outbox"]).glob("new/*")
        mails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]
        return [mail for mail in mails if mail["To"] == requester]

    def stop(self, by: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Stop it; return its exit code, and its output after the ready line."""
        self.process.send_signal(by)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, rest


@dataclass(frozen=True, slots=True)
class _AtEndpoint:
    """The only method of a session that Records needs."""

    server: Server

    def client(self, service: str) -> Any:
        return self.server.client(service)


@contextlib.contextmanager
def serving(directory: Path, *arguments: str) -> Iterator[Server]:
    """Start a server on free ports, with its outbox and its log in a directory."""
    log = directory / "stderr.log"
    command = [sys.executable, "-m", "local", "serve", "--smtp-port", "0"]
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [*command, "--outbox", str(directory / "outbox"), *arguments],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, log.read_text()
            yield Server(process, json.loads(line), log)
        finally:
            if process.poll() is None:
                process.kill()


def request(sender: str, subject: str = "What is held for me?", **fields: str) -> EmailMessage:
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = sender
    mail["To"] = TRIGGER
    mail["Subject"] = subject
    mail["Date"] = "Mon, 23 Nov 2026 12:59:55 +0100"
    mail["Message-ID"] = f"<{subject.replace(' ', '.')}@mail.example.com>"
    for name, value in fields.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("Anything will do here.")
    return mail
