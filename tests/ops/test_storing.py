"""An import that stores the mails, and what it changes of what is there."""

from pathlib import Path
from typing import Any

import pytest

from quarantine.acting.reference import is_code
from tests.ops.conftest import Terminal
from tests.ops.test_importing import BOB, FROM_LINE, RULES, mail
from tests.world import World

AL = "al@example.com"


def rows(terminal: Terminal, mailbox: str = BOB) -> list[dict[str, Any]]:
    return [*terminal.json("held", "list", mailbox, "--all")]


def stored(world: World, key: str) -> bytes:
    found = world.session.client("s3").get_object(Bucket=world.stack.environ["MAIL_BUCKET"], Key=key)
    body: bytes = found["Body"].read()
    return body


def keys(world: World) -> list[str]:
    found = world.session.client("s3").list_objects_v2(Bucket=world.stack.environ["MAIL_BUCKET"])
    return [each["Key"] for each in found.get("Contents", [])]


@pytest.fixture
def eml(tmp_path: Path) -> Path:
    path = tmp_path / "1.eml"
    path.write_bytes(mail())
    return path


def imported(terminal: Terminal, path: Path, *options: str) -> dict[str, Any]:
    answer: dict[str, Any] = terminal.json("held", "import", str(path), *RULES, *options)
    return answer


def test_a_row_names_its_mail_and_has_a_code(world: World, terminal: Terminal, eml: Path) -> None:
    assert imported(terminal, eml)["rows"] == 1
    (row,) = rows(terminal)
    assert stored(world, row["raw_key"]) == mail()
    assert is_code(row["code"])
    assert terminal("held", "fetch", BOB, row["message_id"], str(eml.with_name("out"))) == 0
    assert eml.with_name("out").read_bytes() == mail()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(FROM_LINE + mail() + b"\n" + FROM_LINE + mail(2), id="an mbox"),
        pytest.param(b"\xef\xbb\xbf" + mail(), id="a byte order mark"),
        pytest.param(FROM_LINE + mail(), id="a file with a From line"),
    ],
)
def test_what_a_mailbox_file_adds_is_not_stored(
    data: bytes, world: World, terminal: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "a.mbox").write_bytes(data)
    imported(terminal, tmp_path)
    (row,) = (row for row in rows(terminal) if row["message_id"] == "<1@x.example>")
    assert stored(world, row["raw_key"]).rstrip(b"\n") == mail().rstrip(b"\n")


def test_a_mail_for_two_is_stored_once(world: World, terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(mail(recipient=f"{BOB}, {AL}"))
    assert imported(terminal, tmp_path)["rows"] == 2
    (one,), (other,) = rows(terminal), rows(terminal, AL)
    assert [one["raw_key"]] == [other["raw_key"]] == keys(world)
    assert one["code"] != other["code"]


def test_hold_makes_no_row_of_an_imported_mail(world: World, terminal: Terminal, eml: Path) -> None:
    imported(terminal, eml)
    before = rows(terminal)
    assert world.hold(*world.held_messages()) == []
    assert rows(terminal) == before
    assert world.dead() == []


@pytest.mark.parametrize("status", ["released", "deleted", "releasing"])
def test_a_second_import_changes_nothing(status: str, world: World, terminal: Terminal, eml: Path) -> None:
    imported(terminal, eml)
    (row,) = rows(terminal)
    row = {name: value for name, value in row.items() if name != "kept_until"} | {"status": status}
    world.records.put("QUARANTINE_TABLE", row)
    world.clock.move(hours=1)
    answer = imported(terminal, eml)
    assert (answer["rows"], answer["kept"], answer["again"]) == (1, 1, 0)
    assert [{name: after[name] for name in row} for after in rows(terminal)] == [row]
    assert keys(world) == [row["raw_key"]]


@pytest.mark.parametrize(
    ("status", "after"), [("released", "held"), ("deleted", "held"), ("releasing", "releasing")]
)
def test_again_holds_it_again_under_its_code(
    status: str, after: str, world: World, terminal: Terminal, eml: Path
) -> None:
    imported(terminal, eml)
    (row,) = rows(terminal)
    plain = {name: value for name, value in row.items() if name != "kept_until"}
    world.records.put("QUARANTINE_TABLE", plain | {"status": status})
    answer = imported(terminal, eml, "--again")
    assert answer["again"] == (after == "held")
    (again,) = rows(terminal)
    assert (again["status"], again["code"], again["raw_key"]) == (after, row["code"], row["raw_key"])


def test_a_row_without_its_mail_gets_it(world: World, terminal: Terminal, eml: Path) -> None:
    assert imported(terminal, eml, "--rows-only")["rows"] == 1
    assert keys(world) == []
    assert imported(terminal, eml)["kept"] == 1
    (row,) = rows(terminal)
    assert keys(world) == [row["raw_key"]]
    assert is_code(row["code"])


def test_different_mails_of_one_id_have_a_row_each_in_any_run(terminal: Terminal, tmp_path: Path) -> None:
    for number, text in enumerate((b"one", b"two", b"one")):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "1.eml").write_bytes(mail() + text)
        imported(terminal, tmp_path / f"{number}")
    found = rows(terminal)
    assert len(found) == 2
    assert len({row["raw_key"] for row in found}) == 2


def test_rows_only_are_always_again(terminal: Terminal, eml: Path) -> None:
    assert terminal("held", "import", str(eml), *RULES, "--rows-only", "--again") == 2


def test_rows_that_outlive_their_mails_are_told(
    terminal: Terminal, eml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.held._MAILS_KEPT", 29)  # days; RULES has 30
    assert terminal("held", "import", str(eml), *RULES) == 0
    assert "the bucket deletes the mails themselves after 29 days" in terminal.warned
