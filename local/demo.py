"""Five mails arrive by SMTP; one of them is answered with a report."""

import contextlib
import mailbox
import smtplib
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from local.records import Records
from local.ses import GRAY
from quarantine.mail.escaping import escaped

TRIGGER = "manual-report-request@anything.example"
_MAIL_SERVER = "127.0.0.1"  # the server of Bob's company, which may relay
_STRANGER = "127.0.0.2"  # somewhere else
_PATIENCE = timedelta(seconds=30)
_SETTLED = {"refused", "sent", "empty", "failed"}


@dataclass(frozen=True, slots=True)
class Act:
    """One mail to the trigger, and its real sender."""

    title: str
    sender: str
    peer: str = _MAIL_SERVER
    fields: Mapping[str, str] = field(default_factory=dict)


_ACTS = (
    Act("Bob asks", "Bob Builder <bob@example.com>"),
    Act("A stranger asks as Bob", "Bob Builder <bob@example.com>", peer=_STRANGER),
    Act("Alice's out-of-office answers", "alice@example.com", fields={"Auto-Submitted": "auto-replied"}),
    Act("Bob asks again, at once", "Bob Builder <bob@example.com>"),
    Act("Carol asks, for whom nothing is held", "Carol <carol@example.com>"),
)
_HELD = (  # recipient, hours ago, from, subject, reason
    ("bob@example.com", 3, "Accounts <invoices@supplier.example>", "Invoice 2026-1187 for November", "spam"),
    (
        "bob@example.com",
        20,
        "Mail team <admin@examp1e.test>",
        "Your mailbox is almost full: sign in",
        "phishing",
    ),
    (
        "bob@example.com",
        49,
        "Timber Weekly <news@timber.example>",
        "Oak prices fall for the third week",
        "bulk",
    ),
    (
        "bob@example.com",
        75,
        "<b>Eve</b> <eve@evil.example>",
        "<script>alert(1)</script> \u202egnp.exe",
        "virus",
    ),
    ("alice@example.com", 2, "Clinic <results@clinic.example>", "Your results are in", "spam"),
)


def demo(directory: Path) -> None:
    """Run the demo; it writes its maildir, report and log into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    console = Console(file=sys.stdout, highlight=False, width=min(Console().width, 110))
    log = directory / "log.jsonl"
    with log.open("w") as lines, contextlib.redirect_stdout(lines):
        from local.server import running

        with running(0, directory / "outbox", GRAY) as local:
            records = Records(local.session, local.stack.environ)
            _seed(records)
            console.print(
                f"SES listens on [bold]{local.smtp}[/]; {_MAIL_SERVER} may relay for example.com.\n"
            )
            sent_before = set(_maildir(local.outbox).keys())
            _play(console, records, local.smtp)
            new = [key for key in _maildir(local.outbox).keys() if key not in sent_before]  # noqa: SIM118 - a Maildir
            reports = [_maildir(local.outbox).get_bytes(key) for key in new]
    _show(console, reports, directory)
    console.print(f"The functions' log, one line per decision: [bold]{log}[/]")


def _seed(records: Records) -> None:
    records.put_relay("example.com", f"{_MAIL_SERVER}/32")
    for number, (recipient, hours, sender, subject, reason) in enumerate(_HELD):
        received_at = datetime.now(UTC) - timedelta(hours=hours)
        records.put_held(recipient, f"<{number}@held.example>", received_at, sender, subject, reason=reason)


def _play(console: Console, records: Records, smtp: str) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_lines=True, pad_edge=False)
    table.add_column("A mail comes in", max_width=34)
    table.add_column("Outcome", no_wrap=True)
    table.add_column("Why")
    for act in _ACTS:
        row = _settled(records, _send(act, smtp))
        outcome = row["status"] if row["status"] != "refused" else f"refused: {row['reason']}"
        colour = {"sent": "green", "empty": "cyan"}.get(row["status"], "yellow")
        came_in = Text.assemble((act.title, "bold"), f"\n{act.sender}\nby {act.peer}")
        table.add_row(came_in, Text(outcome, style=colour), Text(escaped(row["detail"])))
    console.print(table)


def _send(act: Act, smtp: str) -> str:
    """Send a mail to SES as a mail server does; return the id in its 250 answer."""
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = act.sender
    mail["To"] = TRIGGER
    mail["Subject"] = "What is held for me?"
    mail["Date"] = format_datetime(datetime.now().astimezone())
    mail["Message-ID"] = f"<{time.time_ns()}@example.com>"
    for name, value in act.fields.items():
        mail[name] = value
    mail.set_content("Anything will do here.")
    host, _, port = smtp.rpartition(":")
    with smtplib.SMTP(
        host, int(port), local_hostname="mail.example.com", source_address=(act.peer, 0)
    ) as client:
        client.ehlo()
        client.mail(mail["From"].addresses[0].addr_spec)
        client.rcpt(TRIGGER)
        _, answer = client.data(mail.as_bytes())
    return answer.decode().rpartition(" ")[2]


def _settled(records: Records, request_id: str) -> dict[str, str]:
    """Wait until a request is final; return its row."""
    deadline = time.monotonic() + _PATIENCE.total_seconds()
    while time.monotonic() < deadline:
        row = {name: value.get("S", "") for name, value in (records.request(request_id) or {}).items()}
        if row.get("status") in _SETTLED:
            return row
        time.sleep(0.05)
    raise TimeoutError(f"request {request_id} is not settled after {_PATIENCE}")


def _maildir(directory: Path) -> mailbox.Maildir:
    return mailbox.Maildir(directory)


def _show(console: Console, reports: list[bytes], directory: Path) -> None:
    console.print(f"\nSES was asked to send [bold]{len(reports)}[/] mail:\n")
    for report, path in zip(reports, _paths(directory), strict=False):
        mail = message_from_bytes(report, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
        assert text is not None
        assert html is not None
        path.write_text(html.get_content())
        console.print(
            Panel(
                Text(text.get_content().rstrip()), title=Text(f"To: {mail['To']}"), padding=(1, 2), width=84
            )
        )
        console.print(f"The same as HTML, to open in a browser: [bold]{path}[/]")


def _paths(directory: Path) -> Iterator[Path]:
    yield directory / "report.html"
    number = 1
    while True:
        number += 1
        yield directory / f"report-{number}.html"
