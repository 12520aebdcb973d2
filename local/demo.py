"""The whole circle: a filter leaves spam, Bob asks, reads his report, looks at a message and releases it.

Then once more on a stack with an agent, which brings the message itself.
"""

import contextlib
import mailbox
import smtplib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.utils import format_datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from local.records import Records
from local.server import Local
from local.ses import GRAY
from quarantine.acting.offers import address_of
from quarantine.acting.reference import Reference
from quarantine.acting.rules import Action, Ruling
from quarantine.mail.addresses import Address
from quarantine.mail.escaping import escaped, escaped_lines
from quarantine.services.digesting import Digesting
from quarantine.settings import DigestSettings

TRIGGER = "manual-report-request@anything.example"
_DOMAIN = "reports.example.com"
# Two reports, a digest, a preview, three releases, six answers, two questions to Alice and three notices.
_MAILS = 18
_MAIL_SERVER = "127.0.0.1"  # the server of Bob's company, which may relay
_STRANGER = "127.0.0.2"  # somewhere else
_PATIENCE = timedelta(seconds=30)
_SETTLED = {"refused", "sent", "empty", "done", "failed"}
_HARMFUL = b"X5O-DEMO-HARMFUL-CODE"  # SES rejects a mail that contains it


@dataclass(frozen=True, slots=True)
class Act:
    """One mail to us, and its real sender. action, on: what it asks for, with which held mail.

    subject: of a mail that asks for a report.
    """

    title: str
    sender: str
    peer: str = _MAIL_SERVER
    fields: Mapping[str, str] = field(default_factory=dict)
    action: Action | Ruling | None = None
    on: str = ""
    subject: str = "What is held for me?"


_BOB = "Bob Builder <bob@example.com>"
_CAROL = "Carol <carol@example.com>"
_ALICE = "Alice <alice@example.com>"
_PARCEL, _OFFER, _INVOICE, _PRIZE = "held/parcel", "held/offer", "held/invoice", "held/prize"
_NEWS = "held/news"
_ACTS = (
    Act("Bob asks", _BOB),
    Act("A stranger asks as Bob", _BOB, peer=_STRANGER),
    Act("Alice's out-of-office answers", "alice@example.com", fields={"Auto-Submitted": "auto-replied"}),
    Act("Bob asks again, at once", _BOB),
    Act("Bob looks for an invoice", _BOB, subject="find invoice"),
    Act("Carol asks, for whom nothing is held", _CAROL),
    Act("Bob writes to a preview address", _BOB, action=Action.PREVIEW, on=_PARCEL),
    Act("Carol writes to Bob's release address", _CAROL, action=Action.RELEASE, on=_PARCEL),
    Act("A stranger releases as Bob", _BOB, peer=_STRANGER, action=Action.RELEASE, on=_PARCEL),
    Act("Bob releases it", _BOB, action=Action.RELEASE, on=_PARCEL),
    Act("Bob deletes it", _BOB, action=Action.DELETE, on=_PARCEL),
    Act("Bob releases one that SES rejects", _BOB, action=Action.RELEASE, on=_OFFER),
    Act("Bob may not release an invoice", _BOB, action=Action.RELEASE, on=_INVOICE),
    Act("Bob asks for it", _BOB, action=Action.ASK, on=_INVOICE),
    Act("Bob approves it himself", _BOB, action=Ruling.APPROVE, on=_INVOICE),
    Act("Alice, the administrator, approves", _ALICE, action=Ruling.APPROVE, on=_INVOICE),
    Act("Bob asks for his prize", _BOB, action=Action.ASK, on=_PRIZE),
    Act("Alice refuses", _ALICE, action=Ruling.REFUSE, on=_PRIZE),
)
_ACTS_WITH_AN_AGENT = (
    Act("Bob looks at it", _BOB, action=Action.PREVIEW, on=_PARCEL),
    Act("Bob releases it", _BOB, action=Action.RELEASE, on=_PARCEL),
)
_STORED = {  # as a mail server with a filter stores them: key, mail
    _PARCEL: b"Received: from mail.parcels.example by mx.example.com; %s\r\n"
    b"From: Parcel Service <news@parcels.example>\r\nTo: bob@example.com\r\n"
    b"Subject: Your parcel is waiting\r\nMessage-ID: <parcel@parcels.example>\r\n\r\n"
    b"Dear Bob,\r\n\r\nyour parcel waits at the gate: https://parcels.example/gate\r\n",
    _INVOICE: b"Received: from mail.billing.example by mx.example.com; %s\r\n"
    b"From: Billing <billing@billing.example>\r\nTo: bob@example.com\r\n"
    b"Subject: Your account data has changed\r\nMessage-ID: <invoice@billing.example>\r\n\r\n"
    b"Please check the new bank account on your invoice.\r\n",
    _PRIZE: b"Received: from mail.prize.example by mx.example.com; %s\r\n"
    b"From: Lottery <win@prize.example>\r\nTo: bob@example.com\r\n"
    b"Subject: You have won\r\nMessage-ID: <prize@prize.example>\r\n\r\nSend us your password.\r\n",
    _OFFER: b"Received: from mail.offers.example by mx.example.com; %s\r\n"
    b"From: Offers <best@offers.example>\r\nTo: bob@example.com\r\n"
    b"Subject: One offer, today only\r\nMessage-ID: <offer@offers.example>\r\n\r\n" + _HARMFUL + b"\r\n",
}
_LATER = (
    b"Received: from mail.timber.example by mx.example.com; %s\r\n"
    b"From: Timber Weekly <news@timber.example>\r\nTo: bob@example.com\r\n"
    b"Subject: Pine follows oak\r\nMessage-ID: <news@timber.example>\r\n\r\nPrices fall.\r\n"
)
_REASONS = {_INVOICE: "phishing", _PRIZE: "phishing"}  # what is not here is spam
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
    with log.open("w") as lines:
        with contextlib.redirect_stdout(lines):
            reports = _with_attachments(console, directory)
        _show(console, reports, directory)
        with contextlib.redirect_stdout(lines):
            released = _with_an_agent(console, directory)
    _show_in_mailbox(console, released, directory)
    console.print(f"The functions' log, one line per decision: [bold]{log}[/]")


def _with_attachments(console: Console, directory: Path) -> list[bytes]:
    """Play the circle; return the mails that SES was asked to send."""
    from local.server import running

    with running(0, directory / "outbox", GRAY, rejects=_HARMFUL) as local:
        records = Records(local.session, local.stack.environ)
        _seed(records)
        references = _store(local)
        console.print(f"SES listens on [bold]{local.smtp}[/]; {_MAIL_SERVER} may relay for example.com.\n")
        sent_before = set(_maildir(local.outbox).keys())
        _play(console, records, local.smtp, references, _ACTS)
        _let_a_digest_come(console, records, local)
        _wait(lambda: len(_maildir(local.outbox)) - len(sent_before) >= _MAILS)
        new = [path for path in local.outbox.glob("new/*") if path.name not in sent_before]
        return [path.read_bytes() for path in sorted(new, key=lambda path: path.stat().st_mtime_ns)]


def _with_an_agent(console: Console, directory: Path) -> bytes:
    """Release a message through an agent; return what is in Bob's mailbox."""
    from local.mailserver import agent, mail_server
    from local.server import running

    mailbox = _maildir(directory / "mailbox")
    mailbox.clear()
    with (
        running(0, directory / "outbox-with-an-agent", GRAY, {"ReleaseBy": "agent"}) as local,
        mail_server(mailbox) as server,
        agent(server, "example.com", local.environ, directory / "agent.log"),
    ):
        records = Records(local.session, local.stack.environ)
        records.put_relay("example.com", f"{_MAIL_SERVER}/32")
        references = _store(local)
        console.print(
            "\nOnce more with [bold]ReleaseBy=agent[/]: beside the mail server of Bob's company, on"
            f" [bold]{server}[/], runs\n"
            f"[bold]quarantine deliver --to smtp:{server} --domain example.com[/].\n"
        )
        _play(console, records, local.smtp, references, _ACTS_WITH_AN_AGENT)
    (released,) = (mailbox.get_bytes(key) for key in mailbox.keys())  # noqa: SIM118 - a Maildir
    return released


def _let_a_digest_come(console: Console, records: Records, local: Local) -> None:
    """Set a schedule, hold one more mail, and bring the time of the schedule forward."""
    records.put_digest("example.com", "07:00", zone="Europe/Berlin")
    _store(local, {_NEWS: _LATER})
    digesting = Digesting.on(
        DigestSettings.from_environ(local.stack.environ),
        local.session.client("dynamodb"),
        local.session.client("sqs"),
    )
    request_id = digesting.ask_now(Address.parse("bob@example.com"))
    assert isinstance(request_id, str), request_id
    row = _settled(records, request_id)
    console.print(
        "Then the operator lets reports come to example.com at 07:00, and something new is held for Bob. When"
        " the time comes (here, it is brought forward), he gets a report of it by itself:"
        f" [green]{row['status']}[/], {row['detail']}."
    )


def _seed(records: Records) -> None:
    records.put_relay("example.com", f"{_MAIL_SERVER}/32")
    records.put_auth("example.com", administrators=["alice@example.com"])
    for number, (recipient, hours, sender, subject, reason) in enumerate(_HELD):
        received_at = datetime.now(UTC) - timedelta(hours=hours)
        records.put_held(recipient, f"<{number}@held.example>", received_at, sender, subject, reason=reason)


def _store(local: Local, mails: Mapping[str, bytes] = _STORED) -> dict[str, Reference]:
    """Store the mails as a filter does, and return by which reference each is named once hold noted it."""
    s3, dynamodb = local.session.client("s3"), local.session.client("dynamodb")
    environ = local.stack.environ
    for minutes, (key, mail) in enumerate(mails.items()):
        received = format_datetime(datetime.now(UTC) - timedelta(minutes=minutes)).encode()
        s3.put_object(
            Bucket=environ["MAIL_BUCKET"],
            Key=key,
            Body=mail % received,
            Metadata={"recipients": "bob@example.com", "reason": _REASONS.get(key, "spam")},
        )

    def noted() -> dict[str, Reference]:
        rows = dynamodb.scan(TableName=environ["QUARANTINE_TABLE"])["Items"]
        return {
            row["raw_key"]["S"]: Reference(datetime.fromisoformat(row["received_at"]["S"]), row["code"]["S"])
            for row in rows
            if "raw_key" in row
        }

    _wait(lambda: noted().keys() >= mails.keys())
    return noted()


def _wait(is_over: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE.total_seconds()
    while not is_over():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing happened for {_PATIENCE}")
        time.sleep(0.05)


def _play(
    console: Console,
    records: Records,
    smtp: str,
    references: Mapping[str, Reference],
    acts: Sequence[Act],
) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_lines=True, pad_edge=False)
    table.add_column("A mail comes in", max_width=34)
    table.add_column("Outcome", no_wrap=True)
    table.add_column("Why")
    for act in acts:
        to = _written_to(act, records, references)
        row = _settled(records, _send(act, to, smtp))
        outcome = f"{row['status']}: {row['reason']}" if row["status"] == "refused" else row["status"]
        if "answer" in row:
            outcome = f"{row['status']}: {row['answer']}"
        colour = {"sent": "green", "done": "green", "empty": "cyan"}.get(row["status"], "yellow")
        came_in = Text.assemble((act.title, "bold"), f"\n{act.sender}\nby {act.peer}")
        table.add_row(came_in, Text(outcome, style=colour), Text(escaped(row["detail"])))
    console.print(table)


def _written_to(act: Act, records: Records, references: Mapping[str, Reference]) -> str:
    if act.action is None:
        return TRIGGER
    reference = references[act.on]
    if isinstance(act.action, Ruling):  # the address in the mail to Alice
        message = f"<{act.on.rpartition('/')[2]}@"
        (reference,) = (ask.reference for ask in records.asks() if message in ask.held.entry)
    return str(address_of(act.action, reference, _DOMAIN))


def _send(act: Act, to: str, smtp: str) -> str:
    """Send a mail to SES as a mail server does; return the id in its 250 answer."""
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = act.sender
    mail["To"] = to
    mail["Subject"] = act.action.title() if act.action else act.subject
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
        client.rcpt(to)
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
    console.print(f"\nSES was asked to send [bold]{len(reports)}[/] mails. One of each kind:\n")
    mails = _one_of_each(message_from_bytes(raw, policy=policy.default) for raw in reports)
    for mail, path in zip(mails, _paths(directory), strict=False):
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


def _show_in_mailbox(console: Console, mail: bytes, directory: Path) -> None:
    console.print(
        f"\nThe agent put the message itself into Bob's mailbox, [bold]{directory / 'mailbox'}[/]:\n"
    )
    text = escaped_lines(mail.decode("utf-8", "replace").replace("\r\n", "\n"))
    console.print(Panel(Text(text.rstrip()), padding=(1, 2), width=84))
    console.print(f"What the agent said: [bold]{directory / 'agent.log'}[/]")


# What is shown of the mails, one of each, in the order of the acts.
_SHOWN = (
    *("report", "preview", "release", "answer-deleted", "answer-rejected"),
    *("ask-1", "answer-granted", "answer-denied", "digest"),
)


def _one_of_each(mails: Iterable[Message]) -> list[Message]:
    by_kind: dict[str, Message] = {}
    for mail in mails:
        by_kind.setdefault(str(mail["Message-ID"]).rpartition("@")[0].rpartition(".")[2], mail)
    return [by_kind[kind] for kind in _SHOWN]


def _paths(directory: Path) -> Iterator[Path]:
    yield directory / "report.html"
    number = 1
    while True:
        number += 1
        yield directory / f"report-{number}.html"
