"""`quarantine report`: the report as the user would get it, without sending it."""

import re
import webbrowser
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated

import typer
from aws_lambda_powertools import Logger

from ops.operator import Operator, Output
from ops.words import warned_of
from quarantine.addresses import Address
from quarantine.admission import mailboxes_of
from quarantine.rendering import render
from quarantine.report import QuarantineReport, summarise
from quarantine.request import ReportRequest
from quarantine.settings import IntakeSettings, ReportSettings, WhenEmpty
from quarantine.stores import Quarantine, Senders

app = typer.Typer(help="Reports, without sending them.", no_args_is_help=True)
_log = Logger(service="report-preview")


@app.callback()
def _group() -> None:
    """Keep `preview` a command of its own: typer would make a lone one the group itself."""


@app.command()
def preview(
    context: typer.Context,
    mailbox: Annotated[str, typer.Argument(help="Whose report.", metavar="MAILBOX")],
    open_: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Where to write it, as .html, .txt or .eml; else report-MAILBOX.html.", metavar="PATH"
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print its plain text instead of the table.")] = False,
) -> None:
    """Write the report that a user would get now to a file; nothing is sent and nothing is recorded."""
    operator: Operator = context.obj
    requester = Address.parse(mailbox)
    settings = ReportSettings.from_environ(operator.environ)
    now = operator.clock()
    report = _report(operator, requester, settings.max_rows, now)
    mail = render(report, sender=settings.report_sender, reply_to=settings.reply_to, now=now)
    path = file or Path(f"report-{re.sub(r'[^\w@.+-]', '_', str(requester))}.html")
    path.write_bytes(_content(mail, path))
    if not report.total and settings.when_empty is WhenEmpty.SILENT:
        operator.warn(f"nothing is held, and WhenEmpty is silent: {requester} would get no mail")
    _tell(operator, report, path, _part(mail, "plain") if text else None)
    if open_:
        webbrowser.open(path.resolve().as_uri())


def _report(operator: Operator, requester: Address, max_rows: int, now: datetime) -> QuarantineReport:
    environ = operator.environ
    with warned_of(_log, operator):
        quarantine = Quarantine(operator.dynamodb, environ["QUARANTINE_TABLE"], _log)
        senders = Senders(operator.dynamodb, environ["SENDERS_TABLE"], _log)
        auth, _ = senders.facts_for(requester)
        mailboxes = mailboxes_of(requester, auth)
        holdings = [quarantine.held_for(each, now, max_rows) for each in mailboxes]
    trigger = Address(IntakeSettings.from_environ(environ).trigger, operator.parameter("ReportsDomain"))
    request = ReportRequest("preview", requester, mailboxes, trigger, now)
    return summarise(request, holdings, max_rows)


def _content(mail: EmailMessage, path: Path) -> bytes:
    match path.suffix.lower():
        case ".eml":
            return mail.as_bytes()
        case ".txt":
            return _part(mail, "plain").encode()
        case _:
            return _part(mail, "html").encode()


def _part(mail: EmailMessage, subtype: str) -> str:
    part = mail.get_body((subtype,))
    assert part is not None, f"a report has a {subtype} part"
    text: str = part.get_content()
    return text.replace("\r\n", "\n")  # a mail's line ends, made a file's


def _tell(operator: Operator, report: QuarantineReport, path: Path, text: str | None) -> None:
    rows = [
        {
            "received_at": row.received_at.isoformat(timespec="minutes"),
            "mailbox": str(row.mailbox),
            "sender": f"{row.sender.name} <{row.sender.address}>" if row.sender.name else row.sender.address,
            "subject": row.subject,
            "reason": row.reason.words,
            "kept_until": row.kept_until and row.kept_until.isoformat(timespec="minutes"),
        }
        for row in report.rows
    ]
    mailboxes = [str(mailbox) for mailbox in report.request.mailboxes]
    if operator.output is Output.TABLE and text is None:
        operator.answer(list(rows[0]) if rows else [], rows, empty="nothing is held")
    total = f"{report.total} or more" if report.at_least else str(report.total)
    summary = f"{len(rows)} of {total} held for {', '.join(mailboxes)}, written to {path}"
    operator.say(
        f"{text}\n{summary}" if text else summary,
        mailboxes=mailboxes,
        rows=rows,
        total=report.total,
        at_least=report.at_least,
        file=str(path),
    )
