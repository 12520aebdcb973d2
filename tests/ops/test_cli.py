"""The command lines: the command that each names, and the behaviour that both commands share."""

import importlib.metadata
import io
from pathlib import Path

import boto3
import pytest
import typer
from rich.console import Console
from typer.main import get_command

from ops import cli, exits, options
from ops.commandline import GLOBAL_OPTIONS, command_of, output_first
from ops.hold import command as hold_command
from ops.operator import Operator
from tests.ops.conftest import Terminal


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


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [
        pytest.param(["doctor"], ["doctor"], id="none"),
        pytest.param(["doctor", "--output", "json"], ["--output", "json", "doctor"], id="after the command"),
        pytest.param(["--output", "json", "doctor"], ["--output", "json", "doctor"], id="before it"),
        pytest.param(
            ["held", "list", "--output=json", "b@x"],
            ["--output", "json", "held", "list", "b@x"],
            id="one word",
        ),
        pytest.param(["doctor", "--output", "xml"], ["doctor", "--output", "xml"], id="no such format"),
        pytest.param(["doctor", "--output"], ["doctor", "--output"], id="without a format"),
        pytest.param(
            ["why", "--", "--output", "json"], ["why", "--", "--output", "json"], id="after two hyphens"
        ),
    ],
)
def test_the_output_format_may_follow_the_command(arguments: list[str], parsed: list[str]) -> None:
    assert output_first(arguments) == parsed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("", "quarantine needs a command", id="nothing"),
        pytest.param("held", "quarantine held needs a command", id="a group alone"),
        pytest.param("held lst", "no such command 'lst'", id="an unknown command"),
        pytest.param("held list --no", "no such option: --no", id="an unknown option"),
        pytest.param(
            "held list",
            "missing argument 'MAILBOX' (see quarantine held list --help)",
            id="a missing argument",
        ),
        pytest.param("held list bob", "not an address: 'bob'", id="not an address"),
        pytest.param("requests list --requester b@b@b", "not an address", id="not an address, as an option"),
        pytest.param("requests list --limit 0", "--limit", id="a number too small"),
        pytest.param("requests list --since yesterday", "'yesterday' is not a time", id="not a time"),
        pytest.param("held purge bob@example.com --before then", "then", id="not an ISO time"),
        pytest.param("held purge bob@example.com", "use either --before TIME or --all", id="neither of two"),
        pytest.param("relay add example.com 300.0.0.1", "300.0.0.1", id="not a network"),
        pytest.param("relay list a..b", "not a label of a host name", id="not a domain"),
        pytest.param("auth allow @ -m dmarc", "not an address", id="not a principal"),
        pytest.param("forget bob", "not an address: 'bob'", id="forget whom"),
        pytest.param("doctor --output xml", "--output", id="no such format"),
        pytest.param("--config-env prod doctor", "no environment 'prod'", id="no such environment"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(
    line: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run(line.split()) == exits.WRONG
    *help_, told = capsys.readouterr().err.splitlines()
    assert told.startswith("error: ")
    assert said in told
    assert not help_


@pytest.mark.parametrize("error", [KeyboardInterrupt, typer.Abort], ids=["while it works", "at a question"])
def test_ctrl_c_says_one_line(
    error: type[BaseException], terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise error

    terminal.operator.session.events.register("before-call.cloudformation.DescribeStacks", stopped)
    assert terminal("requests", "list") == exits.INTERRUPTED
    assert (terminal.said, terminal.warned.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("config", "environment", "stack"),
    [
        pytest.param(None, "default", None, id="no file"),
        pytest.param("version = 0.1", "default", None, id="a file without the default"),
        pytest.param('[default.deploy.parameters]\nstack_name = "a"', "default", "a", id="the default"),
        pytest.param('[production.global.parameters]\nstack_name = "b"', "production", "b", id="another"),
        pytest.param("[production.global.parameters]", "production", None, id="one that names no stack"),
    ],
)
def test_the_stack_of_an_environment(
    config: str | None, environment: str, stack: str | None, tmp_path: Path
) -> None:
    samconfig = tmp_path / "samconfig.toml"
    if config is not None:
        samconfig.write_text(config)
    assert options.stack_name_of(samconfig, environment) == stack


@pytest.mark.parametrize("config", [None, "version = 0.1", "[default.deploy.parameters]"])
@pytest.mark.parametrize("environment", ["production", "version", ""])
def test_an_unknown_environment_is_no_other_stack(
    config: str | None, environment: str, tmp_path: Path
) -> None:
    samconfig = tmp_path / "samconfig.toml"
    if config is not None:
        samconfig.write_text(config)
    with pytest.raises(typer.BadParameter, match="no environment"):
        options.stack_name_of(samconfig, environment)


@pytest.mark.usefixtures("world")
def test_a_variable_names_the_stack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUARANTINE_STACK", "another")
    assert cli.run(["requests", "list"]) == exits.ERROR
    assert "no stack another" in capsys.readouterr().err
    monkeypatch.setenv("QUARANTINE_STACK", "quarantine")
    assert cli.run(["requests", "list"]) == 0


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
