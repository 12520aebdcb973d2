"""`quarantine report`: shows the report that a user would get, without sending it."""

import re
import webbrowser
from dataclasses import replace
from datetime import datetime
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ops import arguments
from ops.operator import Operator, Output
from quarantine.acting.offers import Offer, offers_on
from quarantine.asking.admission import Accepted, mailboxes_of
from quarantine.asking.commands import ReportCommand
from quarantine.held import HeldMessage
from quarantine.mail.addresses import Address
from quarantine.reporting.fitting import fit
from quarantine.reporting.message import render
from quarantine.reporting.summary import QuarantineReport
from quarantine.services.gathering import gather
from quarantine.settings import ReportSettings, WhenEmpty

app = typer.Typer(help="Reports, without sending them.", no_args_is_help=True)


_NO_CODE = "x" * 16  # as long as a code, so that the report looks and weighs the same
COLUMNS = ("received_at", "mailbox", "sender", "subject", "reason", "kept_until", "actions")


@app.callback()
def _group() -> None:
    """Keep `preview` a subcommand: typer would merge a single command into its group."""


@app.command()
def preview(
    context: typer.Context,
    mailbox: Annotated[str, typer.Argument(help="Whose report.", metavar="MAILBOX")],
    open_: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    file: Annotated[
        Path | None,
        typer.Option(
            help="The file to write: .html, .txt or .eml. Default: report-MAILBOX.html.", metavar="PATH"
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the plain text instead of the table.")] = False,
) -> None:
    """Write the report that a user would get now to a file. Nothing is sent or recorded."""
    operator: Operator = context.obj
    requester = arguments.address(mailbox)
    settings = ReportSettings.from_environ(operator.environ)
    now = operator.clock()
    report = _report(operator, requester, settings, now)
    mail = render(report, sender=settings.report_sender, reply_to=settings.reply_to, now=now)
    path = file or Path(f"report-{re.sub(r'[^\w@.+-]', '_', str(requester))}.html")
    path.write_bytes(_content(mail, path))
    if not report.total and settings.when_empty is WhenEmpty.SILENT:
        operator.warn(f"nothing is held, and WhenEmpty is silent: {requester} would get no mail")
    if report.offered:
        operator.warn("the addresses of actions in it reach no message; only the user's own report has them")
    _answer(operator, report, path, _part(mail, "plain") if text else None)
    if open_ and not webbrowser.open(path.resolve().as_uri()):
        operator.warn(f"there is no browser to show it: open {path} yourself")


def _report(
    operator: Operator, requester: Address, settings: ReportSettings, now: datetime
) -> QuarantineReport:
    """Return the report that the requester would get now, made by the services of intake and report."""
    auth, _ = operator.senders.facts_for(requester)
    mailboxes = mailboxes_of(requester, auth)
    request = Accepted("preview", requester, mailboxes, ReportCommand(settings.trigger), now)
    return gather(
        request,
        operator.quarantine,
        settings.max_rows,
        partial(_offering, settings),
        now,
        told=operator.mailboxes.row(requester).told,
        order=settings.order,
    )


def _offering(settings: ReportSettings, message: HeldMessage) -> tuple[Offer, ...]:
    """Offer what the user is offered, at addresses that reach no message: the code is the user's own."""
    shown = replace(message, code=_NO_CODE) if message.code else message
    return offers_on(shown, settings.policy, settings.reports_domain)


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
    return text.replace("\r\n", "\n")  # line ends of a mail to those of a file


def _answer(operator: Operator, report: QuarantineReport, path: Path, text: str | None) -> None:
    rows = [
        {
            "received_at": row.received_at.isoformat(),
            "mailbox": str(row.mailbox),
            "sender": f"{row.sender.name} <{row.sender.address}>"
            if row.sender.name and row.sender.address
            else row.sender.name or row.sender.address or "(no sender)",
            "subject": row.subject or "(no subject)",
            "reason": row.reason,
            "kept_until": row.kept_until and row.kept_until.isoformat(),
            "actions": [offer.action.value for offer in row.offers],
        }
        for row in fit(report).rows
    ]
    mailboxes = [str(mailbox) for mailbox in report.request.mailboxes]
    if operator.output is Output.TABLE and text is None:
        operator.answer(COLUMNS, rows, empty="nothing is held")
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
