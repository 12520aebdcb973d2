"""How a command ends: the exit codes, and how a failure is shown.

0 done, 1 could not be done, 2 wrong command line, 3 refused (for `why`: no report), 4 done in part (an import
that skipped something), 130 stopped by Ctrl-C.
`quarantine-hold` exits with 0 or 75, for the mail server.
"""

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.text import Text
from typer.exceptions import TyperException

from ops.operator import Declined, Operator, OperatorError
from quarantine.mail.escaping import escaped_lines

ERROR = 1
WRONG = 2
REFUSED = 3
PARTLY = 4
INTERRUPTED = 130  # as a shell has it: 128 and the number of SIGINT
STOPPED = "stopped: what was done until now stays done"
EX_TEMPFAIL = 75  # sysexits.h: the mail server keeps the mail and retries


def run(app: typer.Typer, arguments: list[str], operator: Operator | None = None) -> int:
    """Run one command line and return its exit code; a failure is reported in one line on standard error."""
    try:
        code = app(arguments, prog_name=app.info.name, obj=operator, standalone_mode=False)
    except typer.Abort:  # at a question
        return failed(operator, STOPPED, INTERRUPTED)
    except TyperException as e:  # the command line is wrong
        return failed(operator, _wrong(e), e.exit_code)
    except Declined as e:
        return failed(operator, f"refused: {e}", REFUSED)
    except (OperatorError, BotoCoreError, ClientError, OSError, ValueError) as e:
        return failed(operator, f"error: {e}", ERROR)
    if code == INTERRUPTED:  # typer's own, without a word
        return failed(operator, STOPPED, INTERRUPTED)
    return code if isinstance(code, int) else 0


def _wrong(error: TyperException) -> str:
    """Say what is wrong with a command line, and where to read what is right."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "quarantine"
    text = (
        error.format_message().removesuffix(".").removeprefix("Invalid value: ").replace("Value error, ", "")
    )
    if not text:  # it lacks a command, and typer has shown those that there are
        return f"error: {command} needs a command"
    return f"error: {text[0].lower()}{text[1:]} (see {command} --help)"


def failed(operator: Operator | None, text: str, code: int) -> int:
    """Print why a command failed, and return the exit code."""
    console = operator.err if operator else Console(stderr=True, highlight=False)
    console.print(Text(escaped_lines(text), style="red"), soft_wrap=True)
    return code
