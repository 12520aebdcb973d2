"""The command lines: the command that each names, and the behaviour that both commands share."""

import importlib.metadata
import io

import boto3
import pytest
from rich.console import Console
from typer.main import get_command

from ops import cli, exits
from ops.commandline import GLOBAL_OPTIONS, command_of
from ops.hold import command as hold_command
from ops.operator import Operator


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param(["hold"], "hold", id="alone"),
        pytest.param(["--stack", "hold", "doctor"], "doctor", id="a stack of that name"),
        pytest.param(["--stack=hold", "doctor"], "doctor", id="a stack of that name, in one word"),
        pytest.param(
            ["--stack", "mail", "--output", "json", "hold", "--reason", "x"], "hold", id="after options"
        ),
        pytest.param(["--no-such-option", "hold"], "hold", id="after an unknown option"),
        pytest.param(["why", "hold"], "why", id="as an argument"),
        pytest.param(["--help"], None, id="only an option"),
        pytest.param(["--stack"], None, id="without its value"),
    ],
)
def test_the_command_of_a_command_line(arguments: list[str], command: str | None) -> None:
    assert command_of(arguments) == command


def test_every_global_option_with_a_value_is_known() -> None:
    parameters = get_command(cli.app).params
    with_value = {name for each in parameters if not each.is_flag for name in each.opts}  # type: ignore[attr-defined]
    assert with_value == GLOBAL_OPTIONS


@pytest.mark.parametrize("run", [cli.run, hold_command.run], ids=["quarantine", "quarantine-hold"])
def test_the_version(run: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(run)
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == importlib.metadata.version("quarantine-report")


def test_nothing_that_is_said_acts_on_the_terminal() -> None:
    out, err = io.StringIO(), io.StringIO()
    operator = Operator(
        boto3.Session(region_name="us-east-1"),
        "quarantine",
        out=Console(file=out, highlight=False),
        err=Console(file=err, highlight=False),
    )
    operator.say("one\x1b[2J\ntwo\u202e")
    operator.warn("three\x1b[2J\u2028")
    exits.failed(operator, "four\u202e\x07", exits.ERROR)
    assert out.getvalue() == "one\\x1b[2J\ntwo\\u202e\n"
    assert err.getvalue() == "warning: three\\x1b[2J\\u2028\nfour\\u202e\\x07\n"
