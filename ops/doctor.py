"""`quarantine doctor`: finds what is wrong with an installation, and says what to do about it."""

import contextlib
from collections.abc import Mapping

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table
from rich.text import Text

from ops import checks, site
from ops.operator import Operator, Output
from ops.site import Check, CheckResult, Health, Site
from quarantine.mail.escaping import escaped_lines

FAULTY = 3

_STYLES = {
    Health.OK: "green",
    Health.WARNING: "yellow",
    Health.FAULT: "bold red",
    Health.UNKNOWN: "magenta",
}


def doctor(context: typer.Context) -> None:
    """Check everything that commonly goes wrong in an installation. Exits with 3 if there is a fault."""
    operator: Operator = context.obj
    # Without a stack there is nothing to check. If describing it is not permitted, some checks still work.
    with contextlib.suppress(BotoCoreError, ClientError):
        _ = operator.stack
    with operator.err.status("looking"):
        findings = checks.examine(Site(operator, site.resolve))
    _show(operator, findings)
    if any(finding.verdict is Health.FAULT for finding in findings.values()):
        raise typer.Exit(FAULTY)


def _show(operator: Operator, findings: Mapping[Check, CheckResult]) -> None:
    if operator.output is Output.TABLE and operator.out.is_terminal:
        _show_to_person(operator, findings)
        return
    rows = (
        {"verdict": finding.verdict, "check": check, "seen": finding.seen, "step": finding.step}
        for check, finding in findings.items()
    )
    operator.answer(["verdict", "check", "seen", "step"], rows, empty="")


def _show_to_person(operator: Operator, findings: Mapping[Check, CheckResult]) -> None:
    """Show one row per check. Its next step stands below it and is not wrapped, so that it can be copied."""
    widths = [max(map(len, words)) for words in (Health, findings)]
    for check, finding in findings.items():
        row = Table.grid(padding=(0, 2), pad_edge=False)
        for width in widths:
            row.add_column(width=width, no_wrap=True)
        row.add_column(overflow="fold")
        verdict = Text(finding.verdict, style=_STYLES[finding.verdict])
        row.add_row(verdict, Text(check), Text(escaped_lines(finding.seen)))
        operator.out.print(row)
        if finding.step:
            operator.out.print(Text(f"  {escaped_lines(finding.step)}", style="bold"), soft_wrap=True)
