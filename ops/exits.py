"""How a command ends: the exit codes, and how a failure is shown.

0 done, 1 could not be done, 2 wrong command line, 3 refused (for `why`: no report), 4 done in part (an import
that skipped something).
`quarantine-hold` exits with 0 or 75, for the mail server.
"""

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.text import Text

from ops.operator import Declined, Operator, OperatorError
from quarantine.mail.escaping import escaped_lines

ERROR = 1
REFUSED = 3
PARTLY = 4
EX_TEMPFAIL = 75  # sysexits.h: the mail server keeps the mail and retries


def run(app: typer.Typer, arguments: list[str], operator: Operator | None = None) -> int:
    """Run one command line and return its exit code; a failure is reported in one line on standard error."""
    try:
        app(arguments, obj=operator)
    except SystemExit as e:  # typer's way to exit, with its own message if the command line is wrong
        return e.code if isinstance(e.code, int) else ERROR
    except Declined as e:
        return failed(operator, f"refused: {e}", REFUSED)
    except (OperatorError, BotoCoreError, ClientError, OSError, ValueError) as e:
        return failed(operator, f"error: {e}", ERROR)
    return 0


def failed(operator: Operator | None, text: str, code: int) -> int:
    """Print why a command failed, and return the exit code."""
    console = operator.err if operator else Console(stderr=True, highlight=False)
    console.print(Text(escaped_lines(text), style="red"), soft_wrap=True)
    return code
