import webbrowser
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ReportCommand
from quarantine.jobs import ReportJob, to_json
from quarantine.mail.addresses import Address
from quarantine.stores.requests import Limits, Requests
from tests.ops.conftest import Terminal
from tests.world import NOW, World

BOB = "bob@example.com"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def held(world: World) -> None:
    """Hold two messages for Bob, one for a shared mailbox that he sees, one for Alice, and one too long."""
    put = world.records.put_held
    put(BOB, "m-1", NOW - timedelta(hours=1), "Ann <ann@shop.example>", "Offer <b>now</b>")
    put(BOB, "m-2", NOW - timedelta(days=1), "ben@bank.example", "Your account", reason="phishing")
    put("sales@example.com", "m-3", NOW - timedelta(hours=2), "cat@x.example", "Order")
    put("alice@example.com", "m-4", NOW - timedelta(hours=2), "dan@x.example", "For Alice only")
    put(BOB, "m-5", NOW - timedelta(days=15), "eve@x.example", "Expired")
    world.records.put_auth(BOB, ["dmarc"], mailboxes=["sales@example.com"])
    world.records.put_auth("example.com", ["dmarc"], mailboxes=["alice@example.com"])


def read(path: Path) -> EmailMessage:
    mail = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def part(mail: EmailMessage, subtype: str) -> str:
    body = mail.get_body((subtype,))
    assert body is not None
    content: str = body.get_content()
    return content.replace("\r\n", "\n")


@pytest.mark.usefixtures("held")
def test_the_rows_are_those_of_the_mailbox_and_of_its_own_record(terminal: Terminal) -> None:
    answer = terminal.json("report", "preview", "Bob@Example.com")
    assert [row["subject"] for row in answer["rows"]] == ["Offer <b>now</b>", "Order", "Your account"]
    assert [row["mailbox"] for row in answer["rows"]] == [BOB, "sales@example.com", BOB]
    assert answer["mailboxes"] == [BOB, "sales@example.com"]
    assert (answer["total"], answer["file"]) == (3, "report-bob@example.com.html")


def sent_to_bob(world: World) -> bytes:
    """Return the mail that report sends if Bob asks now."""
    mailboxes = (Address.parse(BOB), Address.parse("sales@example.com"))
    trigger = Address.parse("manual-report-request@reports.example.com")
    request = Accepted("preview", mailboxes[0], mailboxes, ReportCommand(trigger), NOW)
    table = Requests(world.session.client("dynamodb"), world.stack.environ["REQUESTS_TABLE"])
    table.accept([request], {}, NOW, Limits(timedelta()))
    assert world.report(to_json(ReportJob("preview"))) == []
    (sent,) = world.sent()
    return message_from_bytes(sent, policy=policy.default).as_bytes()


@pytest.mark.usefixtures("held")
def test_it_is_the_mail_that_report_sends(world: World, terminal: Terminal, folder: Path) -> None:
    assert terminal("report", "preview", BOB, "--file", "bob.eml") == 0
    assert read(folder / "bob.eml").as_bytes() == sent_to_bob(world)
    assert terminal.warned == ""


@pytest.mark.usefixtures("held")
def test_the_operator_sees_the_actions_and_not_the_code(
    world: World, terminal: Terminal, folder: Path
) -> None:
    code = "abcdefghijklmnop"
    stored = {"code": code, "raw_key": "held/m-1"}
    world.records.put_held(BOB, "m-1", NOW - timedelta(hours=1), "ann@shop.example", "Offer", **stored)
    answer = terminal.json("report", "preview", BOB, "--file", "bob.eml")
    assert [row["actions"] for row in answer["rows"]] == [["preview", "release", "delete"], [], []]
    assert "reach no message" in terminal.warned
    sent = sent_to_bob(world)
    assert sent.count(code.encode()) == 6
    assert read(folder / "bob.eml").as_bytes() == sent.replace(code.encode(), b"x" * 16)
    assert terminal("report", "preview", BOB, "--text") == 0
    assert f"release-1795431600-{'x' * 16}@reports.example.com" in terminal.said
    assert code not in terminal.said


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("options", "file", "subtype"),
    [
        pytest.param([], "report-bob@example.com.html", "html", id="the default"),
        pytest.param(["--file", "bob.HTM"], "bob.HTM", "html", id="html"),
        pytest.param(["--file", "bob.txt"], "bob.txt", "plain", id="text"),
    ],
)
def test_a_part_is_written(
    terminal: Terminal, folder: Path, options: list[str], file: str, subtype: str
) -> None:
    terminal("report", "preview", BOB, "--file", "bob.eml")
    assert terminal("report", "preview", BOB, *options) == 0
    assert (folder / file).read_bytes().decode() == part(read(folder / "bob.eml"), subtype)
    assert f"3 of 3 held for bob@example.com, sales@example.com, written to {file}" in terminal.said


@pytest.mark.usefixtures("held")
def test_the_table_has_the_rows(terminal: Terminal) -> None:
    assert terminal("report", "preview", BOB) == 0
    first, *_ = (line for line in terminal.said.splitlines() if "Offer" in line)
    assert all(
        text in first
        for text in ("2026-11-23T11:00", "Ann <ann[at]shop[.]example>", "Offer <b>now</b>", "spam")
    )
    assert "For Alice only" not in terminal.said


@pytest.mark.usefixtures("held")
def test_the_text_can_be_printed(terminal: Terminal, folder: Path) -> None:
    terminal("report", "preview", BOB, "--file", "bob.txt")
    assert terminal("report", "preview", BOB, "--text") == 0
    assert terminal.said.startswith((folder / "bob.txt").read_text())


@pytest.mark.usefixtures("held")
def test_no_more_rows_than_a_report_has(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = [
        each | {"ParameterValue": "2"} if each["ParameterKey"] == "MaxRows" else each
        for each in terminal.operator.stack["Parameters"]
    ]
    stack = {**terminal.operator.stack, "Parameters": parameters}
    monkeypatch.setattr("ops.operator.Operator.stack", stack)
    answer = terminal.json("report", "preview", BOB)
    assert (len(answer["rows"]), answer["total"], answer["at_least"]) == (2, 3, False)


def test_a_count_that_is_a_bound_says_so(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, held: None
) -> None:
    monkeypatch.setattr("quarantine.stores.quarantine._PAGE", 1)
    stack = {
        **terminal.operator.stack,
        "Parameters": [
            each | {"ParameterValue": "1"} if each["ParameterKey"] == "MaxRows" else each
            for each in terminal.operator.stack["Parameters"]
        ],
    }
    monkeypatch.setattr("ops.operator.Operator.stack", stack)
    assert terminal.json("report", "preview", BOB)["at_least"] is True
    assert terminal("report", "preview", BOB) == 0
    assert "1 of 2 or more held for bob@example.com" in terminal.said


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(("options", "opened"), [([], 0), (["--open"], 1)], ids=["not", "--open"])
def test_it_is_opened_when_asked_for(
    terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], opened: int
) -> None:
    urls: list[str] = []
    monkeypatch.setattr(webbrowser, "open", urls.append)
    assert terminal("report", "preview", BOB, *options) == 0
    assert urls == [(folder / "report-bob@example.com.html").as_uri()] * opened


def test_an_empty_mailbox_says_that_no_mail_would_come(terminal: Terminal) -> None:
    answer = terminal.json("report", "preview", BOB)
    assert (answer["rows"], answer["total"]) == ([], 0)
    assert "bob@example.com would get no mail" in terminal.warned


@pytest.mark.parametrize(
    ("mailbox", "file"),
    [
        ("../../bob@example.com", None),
        ("a/b@example.com", "report-a_b@example.com.html"),
        ("o'neil+x@example.com", "report-o_neil+x@example.com.html"),
    ],
    ids=["no address", "slash", "quote"],
)
def test_a_mailbox_makes_a_file_of_this_folder(
    terminal: Terminal, folder: Path, mailbox: str, file: str | None
) -> None:
    assert terminal("report", "preview", mailbox) == (0 if file else 2)
    assert [path.name for path in folder.iterdir()] == ([file] if file else [])


def test_a_record_that_cannot_be_read_is_a_warning(
    world: World, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    world.records.put_held(BOB, "m-1", NOW, "a@b.example", "x", reason="whim")
    assert terminal.json("report", "preview", BOB)["rows"] == []
    assert "a record cannot be read" in terminal.warned
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("held")
def test_nothing_is_sent_and_nothing_recorded(world: World, terminal: Terminal) -> None:
    def tables() -> list[Any]:
        client = world.session.client("dynamodb")
        names = ("SENDERS_TABLE", "QUARANTINE_TABLE", "REQUESTS_TABLE")
        return [client.scan(TableName=world.stack.environ[name])["Items"] for name in names]

    before = tables()
    assert terminal("report", "preview", BOB, "--text") == 0
    assert tables() == before
    assert world.sent() == []
    assert world.jobs() == []


def test_a_file_that_cannot_be_written_is_one_line(terminal: Terminal) -> None:
    assert terminal("report", "preview", BOB, "--file", "no/such/folder.html") == 1
    assert "no/such/folder.html" in terminal.warned


def test_without_a_browser_the_file_is_named(
    terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    assert terminal("report", "preview", BOB, "--open") == 0
    assert "no browser" in terminal.warned
    assert str(next(folder.iterdir()).name) in terminal.warned
