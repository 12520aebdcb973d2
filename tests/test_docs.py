"""The documents are correct: each line that an operator looks up, each path that a developer follows."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from local.stack import load_template
from ops import cli
from ops.hold import command as hold_command
from quarantine.acting.answers import Answer
from quarantine.acting.rules import STEPS, State
from quarantine.asking.admission import Method, Refusal
from quarantine.mail.addresses import Address
from quarantine.runtime import Journal
from quarantine.stores.quarantine import Quarantine
from quarantine.stores.requests import RequestStatus
from quarantine.stores.senders import Senders
from tests.world import World

PROJECT = Path(__file__).parents[1]
CONTRIBUTING = (PROJECT / "CONTRIBUTING.md").read_text()
OPERATING = (PROJECT / "docs/operating.md").read_text()
REFERENCE = (PROJECT / "docs/reference.md").read_text()
OPERATORS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
BOB = Address.parse("bob@example.com")


def first_cells(document: str, heading: str) -> set[str]:
    """Return the words in code of the first column of each table below a heading."""
    section = document.partition(f"## {heading}")[2].partition("\n## ")[0]
    rows = re.findall(r"^\s*\|([^|]*)\|", section, flags=re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


def test_each_refusal_and_each_method_has_a_line() -> None:
    assert first_cells(REFERENCE, "Who gets a report") == {*map(str, Refusal), *map(str, Method)}


def test_each_status_has_a_line() -> None:
    assert first_cells(OPERATING, '"Bob asked and nothing came"') == set(map(str, RequestStatus))


def test_the_table_of_actions_is_that_of_the_rules() -> None:
    section = REFERENCE.partition("## Acting by mail")[2].partition("\n## ")[0]
    lines = [re.findall(r"`(\w+)`", line) for line in section.splitlines() if line.startswith("|")]
    table = {words[0]: words[1:] for words in lines if words and words[0] in State and len(words) > 1}
    assert table == {state: [step.value for step in STEPS[state].values()] for state in State}


def test_each_answer_has_a_line() -> None:
    assert first_cells(REFERENCE, "Acting by mail") >= set(map(str, Answer))


def test_each_alarm_has_a_line() -> None:
    alarms = {
        name
        for name, resource in load_template()["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert first_cells(OPERATING, "Alarms") == alarms


def test_each_parameter_has_a_line() -> None:
    assert first_cells(REFERENCE, "Parameters") == set(load_template()["Parameters"])


@pytest.mark.parametrize("path", OPERATORS, ids=lambda path: path.name)
def test_each_output_that_it_names_is_one(path: Path) -> None:
    named = set(re.findall(r"`((?:MxRecord|[A-Z]\w+Name|[A-Z]\w+Arn))`", path.read_text()))
    assert named - set(load_template()["Parameters"]) - set(load_template()["Outputs"]) == set()


def command_lines(document: str) -> Iterator[list[str]]:
    """Yield the words of each command of ours that a reader may type or copy, with the line's arguments."""
    blocks = re.findall(
        r"^ *```(?:console|powershell)?\n(.*?)^ *```", document, flags=re.MULTILINE | re.DOTALL
    )
    typed = [line.replace("\\\n", " ") for block in blocks for line in re.split(r"(?<!\\)\n", block)]
    prose = re.sub(r"^ *```.*?^ *```", "", document, flags=re.MULTILINE | re.DOTALL)
    for line in [*typed, *re.findall(r"`([^`]+)`", prose)]:
        if found := re.match(r"\s*(?:uv run )?(quarantine(?:-hold)?(?: .*)?)$", line, flags=re.DOTALL):
            words = [word for word in shlex.split(found[1]) if word != "..."]
            yield words[: next((place for place, word in enumerate(words) if word in _SHELL), None)]


_SHELL = {"<", "|", "&&", ";"}
"""Where the shell's part of a line begins."""


def unknown_words(words: list[str]) -> list[str]:
    """Return the subcommands and options of a command line that no command has."""
    if words[0] == "quarantine-hold":
        known = re.findall(r"--[\w-]+", hold_command.parser().format_help())
        return [word for word in words[1:] if word.startswith("--") and word.partition("=")[0] not in known]
    command: Any = get_command(cli.app)
    unknown = []
    rest = iter(words[1:])
    for word in rest:
        options = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
        if word.startswith("-") and word != "-":
            option = options.get(word.partition("=")[0])
            if option is None and word not in {"--help", "-h"}:
                unknown.append(word)
            elif option is not None and not option.is_flag and "=" not in word:
                next(rest, None)
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return [*unknown, word]
            command = command.commands[word]
    return unknown


@pytest.mark.parametrize("path", OPERATORS, ids=lambda path: path.name)
def test_each_command_that_it_names_exists_with_its_options(path: Path) -> None:
    lines = list(command_lines(path.read_text()))
    assert [(line, unknown) for line in lines if (unknown := unknown_words(line))] == []


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        pytest.param("quarantine requests list --since 2d", [], id="right"),
        pytest.param("quarantine --output json held list bob@example.com", [], id="a global option"),
        pytest.param("quarantine requests find", ["find"], id="no such command"),
        pytest.param("quarantine requests list --sinse 2d", ["--sinse"], id="no such option"),
        pytest.param("quarantine-hold --bucked b", ["--bucked"], id="no such option of the pipe"),
    ],
)
def test_a_wrong_command_is_seen(line: str, unknown: list[str]) -> None:
    assert unknown_words(shlex.split(line)) == unknown


def test_the_guides_name_many_commands() -> None:
    assert len(list(command_lines(OPERATING))) > 30


def test_each_file_that_a_developer_is_sent_to_is_there() -> None:
    words = set(re.findall(r"`([\w./-]+(?:/|\.(?:py|md|j2|yaml|toml)))`", CONTRIBUTING))
    folders = (PROJECT, PROJECT / "layers/quarantine/quarantine")
    assert len(words) > 40
    assert {
        word
        for word in words - {"functions/NAME/app.py"}
        if not any((folder / word).exists() for folder in folders)
    } == set()


def test_each_test_that_a_developer_is_sent_to_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", CONTRIBUTING))
    tests = "\n".join(path.read_text() for path in PROJECT.glob("tests/**/test_*.py"))
    assert len(named) > 10
    assert {name for name in named if f"def {name}(" not in tests} == set()


@pytest.fixture
def items(world: World) -> list[dict[str, Any]]:
    """Put each item that the reference puts into a table, unchanged."""
    client = world.session.client("dynamodb")
    commands = re.findall(
        r"put-item --table-name \"\$(\w+)\" --item \\\n\s*'(.*?)'\n```", REFERENCE, flags=re.DOTALL
    )
    for table, item in commands:
        client.put_item(TableName=world.stack.environ[table], Item=json.loads(item))
    return [json.loads(item) for _, item in commands]


def test_the_records_that_it_puts_can_be_read(world: World, items: list[dict[str, Any]]) -> None:
    assert len(items) == 4
    client, log = world.session.client("dynamodb"), Journal("test", "Tests", "quarantine").unreadable
    senders = Senders(client, world.stack.environ["SENDERS_TABLE"], log)
    quarantine = Quarantine(client, world.stack.environ["QUARANTINE_TABLE"], log)
    auth, relays = senders.facts_for(BOB)
    assert [record.accept for record in auth] == [{Method.DMARC}]
    assert [str(record.network) for record in relays] == ["192.0.2.0/24"]
    (digest,) = senders.covering(BOB).digests
    assert str(digest.schedule) == "07:00 on mon,tue,wed,thu,fri, Europe/Berlin"
    (held,) = quarantine.held_for(BOB, world.clock.now, 10).newest
    assert (held.subject, held.message_id) == ("Invoice 1187", "<1187@supplier.example>")
