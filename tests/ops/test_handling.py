"""What an operator does to one held message."""

from pathlib import Path

import pytest

from ops.operator import Operator
from quarantine.acting.reference import is_code
from quarantine.stores.quarantine import HeldRows
from tests.ops.conftest import Terminal
from tests.world import NOW, World

BOB = "bob@example.com"
ID = "<1@supplier.example>"
MAIL = b"From: Eve <eve@x.example>\nSubject: x\r\n\r\n8 bits: \xe4\x00\r\n"
KEY = "held/1"


@pytest.fixture(autouse=True)
def _held(world: World) -> None:
    s3, bucket = world.session.client("s3"), world.stack.environ["MAIL_BUCKET"]
    etag = s3.put_object(Bucket=bucket, Key=KEY, Body=MAIL)["ETag"]
    world.records.put_held(BOB, ID, NOW, "eve@x.example", "x", raw_key=KEY, etag=etag)


def listed(terminal: Terminal, *options: str) -> list[str]:
    return [row["status"] for row in terminal.json("held", "list", BOB, *options)]


def test_a_mail_is_fetched_as_it_was_stored(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal("held", "fetch", BOB, ID, str(tmp_path / "mail.eml")) == 0
    assert (tmp_path / "mail.eml").read_bytes() == MAIL


def test_no_file_is_overwritten(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "mail.eml").write_text("mine")
    assert terminal("held", "fetch", BOB, ID, str(tmp_path / "mail.eml")) == 1
    assert (tmp_path / "mail.eml").read_text() == "mine"


def test_what_was_overwritten_is_not_the_mail_that_was_judged(
    world: World, terminal: Terminal, tmp_path: Path
) -> None:
    world.session.client("s3").put_object(Bucket=world.stack.environ["MAIL_BUCKET"], Key=KEY, Body=b"another")
    assert terminal("held", "fetch", BOB, ID, str(tmp_path / "mail.eml")) == 1
    assert "overwritten" in terminal.warned
    assert not (tmp_path / "mail.eml").exists()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        pytest.param({"raw_key": "held/gone"}, "the bucket has no held/gone any more", id="gone"),
        pytest.param({}, "only what the report shows is known", id="never stored"),
    ],
)
def test_a_mail_that_is_not_there_is_told(
    row: dict[str, str], said: str, world: World, terminal: Terminal, tmp_path: Path
) -> None:
    world.records.put_held(BOB, "<2@x>", NOW, "eve@x.example", "x", **row)
    assert terminal("held", "fetch", BOB, "<2@x>", str(tmp_path / "mail.eml")) == 1
    assert said in terminal.warned


def test_a_message_is_deleted_and_restored(terminal: Terminal) -> None:
    assert terminal("held", "delete", BOB, ID) == 0
    assert (listed(terminal), listed(terminal, "--all")) == ([], ["deleted"])
    assert terminal("held", "restore", BOB, ID) == 0
    (row,) = terminal.json("held", "list", BOB)
    assert row["status"] == "held"
    assert row["acted_by"].startswith("arn:aws:")
    assert row["acted_at"] == "2026-11-23T12:00:00.000Z"


def test_what_is_done_already_says_by_whom(terminal: Terminal) -> None:
    assert terminal("held", "restore", BOB, ID) == 3
    assert "it is held already" in terminal.warned
    terminal("held", "delete", BOB, ID)
    assert terminal("held", "delete", BOB, ID) == 3
    assert "it is deleted already, since 2026-11-23T12:00:00Z by arn:aws:" in terminal.warned


def test_a_message_on_its_way_is_left_alone(world: World, terminal: Terminal) -> None:
    world.records.put_held(BOB, ID, NOW, "eve@x.example", "x", status="releasing")
    assert terminal("held", "delete", BOB, ID) == 3
    assert listed(terminal, "--all") == ["releasing"]


def test_what_somebody_else_changed_meanwhile_is_not_changed(world: World, terminal: Terminal) -> None:
    def act(**_: object) -> None:
        world.records.put_held(BOB, ID, NOW, "eve@x.example", "x", status="released")

    terminal.operator.session.events.register("before-call.sts.GetCallerIdentity", act)
    assert terminal("held", "delete", BOB, ID) == 3
    assert "it has just become released" in terminal.warned
    assert listed(terminal, "--all") == ["released"]


@pytest.mark.parametrize("command", [("delete",), ("restore",), ("fetch", "mail.eml")])
def test_a_message_that_is_not_there(command: tuple[str, ...], terminal: Terminal) -> None:
    assert terminal("held", command[0], BOB, "<none@x>", *command[1:]) == 1
    assert f"{BOB} has no message <none@x>" in terminal.warned


def test_of_two_messages_of_one_id_the_entry_names_one(world: World, terminal: Terminal) -> None:
    later = NOW.replace(second=1)
    world.records.put_held(BOB, ID, later, "eve@x.example", "x")
    assert terminal("held", "delete", BOB, ID) == 1
    assert f"2026-11-23T12:00:01Z#{ID}" in terminal.warned
    assert terminal("held", "delete", BOB, f"2026-11-23T12:00:01Z#{ID}") == 0
    assert listed(terminal, "--all") == ["deleted", "held"]


# --- Show ---


def test_a_mail_is_shown_with_every_line_of_its_sender_marked(world: World, terminal: Terminal) -> None:
    mail = (
        b"From: Eve <eve@x.example>\r\nSubject: x\x1b[2J\r\n\r\nGo to https://x.example/\r\nStatus: held\r\n"
    )
    etag = world.session.client("s3").put_object(
        Bucket=world.stack.environ["MAIL_BUCKET"], Key="held/2", Body=mail
    )["ETag"]
    world.records.put_held(BOB, "<2@x>", NOW, "eve@x.example", "x", raw_key="held/2", etag=etag)
    assert terminal("held", "show", BOB, "<2@x>") == 0
    ours, _, theirs = terminal.said.partition("What follows was written by the sender.\n")
    assert f"A message held for {BOB}: held, held as spam." in ours
    assert r"| Subject: x\x1b[2J" in theirs
    assert "| Status: held" in theirs
    assert "https://" not in theirs
    assert [line for line in theirs.splitlines() if line and not line.startswith("|")] == [
        "Header:",
        "No attachments.",
        "Text:",
    ]


def test_a_long_line_of_the_sender_begins_no_line_of_the_terminal(world: World, terminal: Terminal) -> None:
    forged = b"x" * 197 + b" Approved by the administrator. \x1b"
    mail = b"Subject: " + forged + b"\r\n\r\n" + forged * 9 + b"\r\n"
    etag = world.session.client("s3").put_object(
        Bucket=world.stack.environ["MAIL_BUCKET"], Key="held/2", Body=mail
    )["ETag"]
    world.records.put_held(BOB, "<2@x>", NOW, "eve@x.example", "x", raw_key="held/2", etag=etag)
    assert terminal("held", "show", BOB, "<2@x>") == 0
    assert {len(line) <= 200 for line in terminal.said.splitlines()} == {True}
    assert all(
        line.startswith("|") for line in terminal.said.splitlines() if "x" * 9 in line or "Approved" in line
    )


def test_what_cannot_be_shown_says_so(world: World, terminal: Terminal) -> None:
    mail = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\n" * 1000
    etag = world.session.client("s3").put_object(
        Bucket=world.stack.environ["MAIL_BUCKET"], Key="held/2", Body=mail
    )["ETag"]
    world.records.put_held(BOB, "<2@x>", NOW, "eve@x.example", "x", raw_key="held/2", etag=etag)
    shown = terminal.json("held", "show", BOB, "<2@x>")
    assert shown["header"] == ["Content-Type: multipart/mixed; boundary=a"]
    assert list(shown["preview"]) == ["cannot_be_shown"]
    assert "code" not in shown


# --- Release ---

CODE = "abcdefghijklmnop"


def held(world: World, **attributes: str) -> None:
    etag = world.session.client("s3").head_object(Bucket=world.stack.environ["MAIL_BUCKET"], Key=KEY)["ETag"]
    row = {"code": CODE, "raw_key": KEY, "etag": etag} | attributes
    world.records.put_held(BOB, "<2@x>", NOW, "eve@x.example", "x", **row)


def test_an_operator_releases_what_users_may_not(world: World, terminal: Terminal) -> None:
    held(world, reason="phishing")
    request_id = terminal.json("held", "release", BOB, "<2@x>")["request_id"]
    assert world.act(*world.actions(), USER_ACTIONS="none") == []
    assert world.destinations() == [[BOB]]
    assert b"Your mail administrator released the message" in world.sent()[0]
    (row,) = [row for row in terminal.json("held", "list", BOB, "--all") if row["message_id"] == "<2@x>"]
    assert (row["status"], row["released_for"]) == ("released", request_id)
    assert row["acted_by"].startswith("arn:aws:")
    assert terminal("requests", "show", request_id) == 0
    assert "An operator ordered it on 2026-11-23T12:00:00Z" in terminal.said
    assert "released, and SES accepted the mail as" in terminal.said
    assert CODE not in terminal.said
    assert [each["request_id"] for each in terminal.json("requests", "list", "--mailbox", BOB)] == [
        request_id
    ]


def test_an_order_that_was_served_is_served_once(world: World, terminal: Terminal) -> None:
    held(world)
    assert terminal("held", "release", BOB, "<2@x>") == 0
    jobs = world.actions()
    assert world.act(*jobs, *jobs) == []
    assert len(world.sent()) == 1
    assert terminal("held", "release", BOB, "<2@x>") == 3
    assert "it is released, since" in terminal.warned


def test_an_order_about_a_message_that_was_deleted_meanwhile_does_nothing(
    world: World, terminal: Terminal
) -> None:
    held(world)
    request_id = terminal.json("held", "release", BOB, "<2@x>")["request_id"]
    assert terminal("held", "delete", BOB, "<2@x>") == 0
    assert world.act(*world.actions()) == []
    assert world.sent() == []
    assert world.row(request_id)["answer"] == "deleted_before"


@pytest.mark.parametrize(
    ("attributes", "code", "said"),
    [
        pytest.param({"reason": "virus"}, 3, "SES sends no virus", id="virus"),
        pytest.param({"code": "short"}, 1, "quarantine held codes", id="no code"),
        pytest.param({"status": "deleted"}, 3, "it is deleted: restore it first", id="deleted"),
        pytest.param({"raw_key": ""}, 1, "only what the report shows is known", id="not stored"),
    ],
)
def test_what_an_operator_cannot_release(
    attributes: dict[str, str], code: int, said: str, world: World, terminal: Terminal
) -> None:
    held(world, **attributes)
    assert terminal("held", "release", BOB, "<2@x>") == code
    assert said in terminal.warned
    assert world.actions() == []


def test_a_virus_is_released_where_ses_need_not_send_it(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(world, reason="virus")
    monkeypatch.setattr(Operator, "parameter", lambda _, key: {"ReleaseBy": "relay"}.get(key, ""))
    assert terminal("held", "release", BOB, "<2@x>") == 0
    assert len(world.actions()) == 1


def test_what_has_expired_is_not_released(world: World, terminal: Terminal) -> None:
    held(world)
    world.clock.move(days=60)
    assert terminal("held", "release", BOB, "<2@x>") == 3
    assert "its time is over" in terminal.warned


# --- Codes ---


def codes(terminal: Terminal) -> list[str | None]:
    return [row.get("code") for row in terminal.json("held", "list", BOB, "--all")]


def test_rows_without_a_code_get_one_and_others_keep_theirs(world: World, terminal: Terminal) -> None:
    world.records.put_held(BOB, "<2@x>", NOW, "eve@x.example", "x", code="abcdefghijklmnop")
    world.records.put_held("al@example.com", "<3@x>", NOW, "eve@x.example", "x", status="released")
    assert terminal.json("held", "codes") == {"rows": 2}
    given = codes(terminal)
    assert all(is_code(code) for code in given)
    assert "abcdefghijklmnop" in given
    assert terminal.json("held", "codes") == {"rows": 0}
    assert codes(terminal) == given


def test_a_row_that_is_gone_meanwhile_is_not_made_again(world: World) -> None:
    table = world.stack.environ["QUARANTINE_TABLE"]
    rows = HeldRows(world.session.client("dynamodb"), table)
    (row,) = rows.without_code()
    rows.remove(row)
    assert not rows.give_code(row)
    assert list(rows.without_code()) == []
