"""`quarantine`: the global options, the groups of commands, and what a failure looks like to a person.

Exit codes: 0 done, 1 could not be done, 2 the command line is wrong, 3 refused (or, for `why`, no report).
`hold` has its own: a mail server reads them.
"""

from typing import Annotated

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.text import Text

from ops import activate, auth, doctor, held, hold, redrive, relay, report, requests, why
from ops.operator import SAMCONFIG, Operator, OperatorError, Output, Refused, stack_name_of

ERROR = 1
REFUSED = 3

app = typer.Typer(
    name="quarantine",
    help="Run a quarantine report by email: who may ask, what was asked, what is held.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(relay.app, name="relay")
app.add_typer(auth.app, name="auth")
app.add_typer(held.app, name="held")
app.add_typer(requests.app, name="requests")
app.add_typer(report.app, name="report")
app.command()(hold.hold)
app.command()(doctor.doctor)
app.command()(activate.activate)
app.command()(why.why)
app.command()(redrive.redrive)


@app.callback()
def _options(
    context: typer.Context,
    stack: Annotated[str | None, typer.Option(help="The stack's name; else that of samconfig.toml.")] = None,
    config_env: Annotated[str, typer.Option(help="The environment of samconfig.toml.")] = "default",
    profile: Annotated[str | None, typer.Option(help="As the AWS CLI's.")] = None,
    region: Annotated[str | None, typer.Option(help="As the AWS CLI's.")] = None,
    endpoint_url: Annotated[str | None, typer.Option(help="As the AWS CLI's.")] = None,
    output: Annotated[
        Output, typer.Option(help="A table for a person, or JSON for a script.")
    ] = Output.TABLE,
) -> None:
    if context.obj is not None:  # a caller's own, as in the tests
        return
    name = stack or stack_name_of(SAMCONFIG, config_env) or "quarantine-report"
    session = boto3.Session(profile_name=profile, region_name=region)
    context.obj = Operator(session, name, endpoint_url, output)


def run(arguments: list[str], operator: Operator | None = None) -> int:
    """Run one command line and return its exit code; a failure is told in one line on standard error."""
    if "hold" not in arguments:  # as a value it may stand for something else, and 75 harms nobody there
        return _run(arguments, operator)
    try:
        return _run(arguments, operator) and hold.EX_TEMPFAIL
    except Exception as e:  # noqa: BLE001 - the process's edge: a mail server bounces what ends in a traceback
        return _failed(operator, f"error: {type(e).__name__}: {e}", hold.EX_TEMPFAIL)


def _run(arguments: list[str], operator: Operator | None) -> int:
    try:
        app(arguments, obj=operator)
    except SystemExit as e:  # how typer ends: with its own message where the command line is wrong
        return e.code if isinstance(e.code, int) else ERROR
    except Refused as e:
        return _failed(operator, f"refused: {e}", REFUSED)
    except (OperatorError, BotoCoreError, ClientError, OSError, ValueError) as e:
        return _failed(operator, f"error: {e}", ERROR)
    return 0


def _failed(operator: Operator | None, text: str, code: int) -> int:
    console = operator.err if operator else Console(stderr=True, highlight=False)
    console.print(Text(text, style="red"), soft_wrap=True)
    return code
