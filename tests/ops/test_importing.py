import itertools
import json
import mailbox as mailboxes
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops import importing
from ops.exits import PARTLY
from ops.importing import Rules, find, import_rows, read, write
from ops.operator import OperatorError, Output
from quarantine.acting.reference import is_code
from quarantine.held import HoldReason
from tests.functions.faults import ProcessDied
from tests.ops.conftest import Terminal
from tests.world import NOW, World

BOB = "bob@example.com"
NAMES = (b"x-envelope-to", b"delivered-to", b"x-original-to")
FROM_LINE = b"From eve@x.example Mon Nov 23 12:00:00 2026\n"
RULES = ("--reason", "spam", "--days", "30")


def mail(number: int = 1, recipient: str | None = BOB, **fields: str) -> bytes:
    header = {
        "Delivered-To": recipient,
        "Received": "from a by b; Mon, 23 Nov 2026 12:00:00 +0100",
        "From": "Eve <eve@x.example>",
        "Subject": f"Mail {number}",
        "Message-ID": f"<{number}@x.example>",
        **fields,
    }
    lines = "".join(f"{name}: {value}\n" for name, value in header.items() if value)
    return f"{lines}\nText\n".encode()


# --- Files ---


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Each way to store mails, with one mail each; only the mbox has two."""
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "deep" / "1.EML").write_bytes(mail(1))
    (tmp_path / "2.eml").write_bytes(FROM_LINE + mail(2).replace(b"\n", b"\r\n"))
    (tmp_path / "all.mbox").write_bytes(FROM_LINE + mail(3) + b"\n" + FROM_LINE + mail(4))
    maildir = mailboxes.Maildir(tmp_path / "Maildir")
    maildir.add(mail(5))
    maildir.add_folder("Spam").add(mail(6))
    (tmp_path / "Maildir" / "tmp" / "7").write_bytes(mail(7))
    (tmp_path / "notes.txt").write_bytes(mail(8))
    return tmp_path


def rows(terminal: Terminal) -> dict[str, dict[str, Any]]:
    return {row["message_id"]: row for row in terminal.json("held", "list", BOB, "--all", "--limit", "9999")}


def test_every_kind_of_store_is_imported(terminal: Terminal, store: Path) -> None:
    assert terminal("held", "import", str(store), *RULES) == 0
    assert "6 of 6 mails imported" in terminal.said
    assert "neither .eml nor .mbox" in terminal.warned
    found = rows(terminal)
    assert sorted(found) == [f"<{number}@x.example>" for number in range(1, 7)]
    row = found["<4@x.example>"]
    assert is_code(row.pop("code"))
    assert (row.pop("raw_key")[:12], row.pop("etag")[:1]) == ("held/import-", '"')
    assert row == {
        "recipient": BOB,
        "entry": "2026-11-23T11:00:00Z#<4@x.example>",
        "expires_at": 1798023600,
        "size": len(mail(4)),
        "noted_at": "2026-11-23T12:00:00.000Z",
        "received_at": "2026-11-23T11:00:00Z",
        "sender": "Eve <eve@x.example>",
        "subject": "Mail 4",
        "reason": "spam",
        "status": "held",
        "kept_until": "2026-12-23T11:00:00Z",
        "message_id": "<4@x.example>",
    }


def test_a_file_is_taken_whatever_its_name(terminal: Terminal, store: Path) -> None:
    terminal("held", "import", str(store / "notes.txt"), *RULES)
    assert list(rows(terminal)) == ["<8@x.example>"]


def test_a_second_import_changes_nothing(terminal: Terminal, store: Path) -> None:
    (store / "none.eml").write_bytes(b"Delivered-To: bob@example.com\nSubject: no id, no time\n\nText")
    terminal("held", "import", str(store), *RULES)
    first = rows(terminal)
    terminal("held", "import", str(store), str(store / "2.eml"), *RULES)
    assert rows(terminal) == first
    assert len(first) == 7


def test_without_an_id_the_bytes_tell_mails_apart(terminal: Terminal, tmp_path: Path) -> None:
    for name, text in (("a", b"one"), ("b", b"two"), ("c", b"one")):
        (tmp_path / f"{name}.eml").write_bytes(b"Delivered-To: bob@example.com\nSubject: x\n\n" + text)
        os.utime(tmp_path / f"{name}.eml", (0, 1_700_000_000))
    terminal("held", "import", str(tmp_path), *RULES)
    found = rows(terminal)
    assert len(found) == 2
    assert all(name.startswith("sha256:") for name in found)
    assert {row["received_at"] for row in found.values()} == {"2023-11-14T22:13:20Z"}


def test_what_is_rejected_is_named(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "good.eml").write_bytes(mail())
    (tmp_path / "lost.eml").write_bytes(mail(recipient=None))
    (tmp_path / "empty.eml").write_bytes(b"")
    (tmp_path / "some.mbox").write_bytes(FROM_LINE + mail(2) + b"\n" + FROM_LINE + mail(3, "nobody"))
    assert terminal("held", "import", str(tmp_path), *RULES) == PARTLY
    assert "2 of 5 mails imported, as 2 rows; 3 skipped" in terminal.said
    for name in ("lost.eml: no X-Envelope-To", "empty.eml: not a mail", "some.mbox, at byte"):
        assert name in terminal.warned
    assert len(rows(terminal)) == 2


SENTENCE = b"\n" + FROM_LINE + b"said Eve, and it was true.\n"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        pytest.param("1.mbox", FROM_LINE + mail() + SENTENCE, "at byte 2", id="in an mbox"),
        pytest.param(
            "1.mbox", mail() + b"\n" + SENTENCE, "at byte 1", id="in one that begins with its first mail"
        ),
        pytest.param(
            "spam", mail() + b"\n" + FROM_LINE + mail(2), "does not begin as an mbox", id="in a mail"
        ),
    ],
)
def test_what_may_begin_another_mail_is_named(
    terminal: Terminal, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(data)
    assert terminal("held", "import", str(tmp_path / name), *RULES) == PARTLY
    assert "1 of 1 mails imported, as 1 rows; 1 skipped" in terminal.said
    assert said in terminal.warned
    assert "From eve@x.example Mon Nov 23" in terminal.warned or name == "spam"


def test_what_is_skipped_is_named_to_a_script(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "1.mbox").write_bytes(FROM_LINE + mail(recipient=None) + SENTENCE)
    assert terminal("held", "import", str(tmp_path), *RULES, output=Output.JSON) == PARTLY
    answer = json.loads(terminal.said)
    (rejected,), (doubt,) = answer.pop("rejected"), answer.pop("doubts")
    assert answer == {"mails": 1, "rows": 0, "kept": 0, "again": 0, "skipped": 2}
    assert (rejected["part"], doubt["path"]) == (0, str(tmp_path / "1.mbox"))
    assert doubt["part"] > 0
    assert "may begin a mail" in doubt["why"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"From \n" + mail(1) + b"\nFrom \n" + mail(2), id="Thunderbird"),
        pytest.param(b"\x01\x01\x01\x01\n".join((b"", mail(1), b"", mail(2), b"")), id="MMDF"),
        pytest.param((FROM_LINE + mail(1) + b"\n" + FROM_LINE + mail(2)).replace(b"\n", b"\r"), id="CR"),
        pytest.param(b"\xef\xbb\xbf" + mail(1) + b"\n" + FROM_LINE + mail(2), id="BOM, the first without"),
    ],
)
def test_every_mail_of_an_mbox_is_imported(terminal: Terminal, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "all.mbox").write_bytes(data)
    assert terminal("held", "import", str(tmp_path), *RULES) == 0
    assert "2 of 2 mails imported, as 2 rows" in terminal.said
    assert {row["subject"] for row in rows(terminal).values()} == {"Mail 1", "Mail 2"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(mail().replace(b"\n", b"\r"), id="CR alone"),
        pytest.param(mail().replace(b"\n", b"\r") + b"\n", id="CR alone in the header"),
        pytest.param(b"\xef\xbb\xbf" + mail(), id="BOM"),
    ],
)
def test_a_mail_in_a_file_of_another_system(terminal: Terminal, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "1.eml").write_bytes(data)
    assert terminal("held", "import", str(tmp_path), *RULES) == 0
    assert rows(terminal)["<1@x.example>"]["subject"] == "Mail 1"


def test_a_cr_within_a_line_begins_no_field(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(b"X: a\rSubject: forged\n" + mail())
    terminal("held", "import", str(tmp_path), *RULES)
    assert rows(terminal)["<1@x.example>"]["subject"] == "Mail 1"


def test_folders_of_other_mail_programs(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "Apple.mbox").mkdir()
    (tmp_path / "Apple.mbox" / "mbox").write_bytes(FROM_LINE + mail(1))
    (tmp_path / "Inbox").write_bytes(b"From \n" + mail(2))
    (tmp_path / "Inbox.msf").write_bytes(b"")
    (tmp_path / "empty.mbox").write_bytes(b"")
    terminal("held", "import", str(tmp_path), *RULES)
    assert "2 of 2 mails imported" in terminal.said


def test_a_format_that_is_not_read_is_named(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "1.mbx").write_bytes(b"*mbx*\r\n" + b" " * 2041 + mail())
    assert terminal("held", "import", str(tmp_path), *RULES) == PARTLY
    assert "0 of 0 mails imported, as 0 rows; 1 skipped" in terminal.said
    assert "1.mbx: the mbx format of UW-IMAP is not supported" in terminal.warned


NOTE = (
    b"From MAILER-DAEMON Mon Nov 23 12:00:00 2026\nFrom: Mail System Internal Data <MAILER-DAEMON@x>\n"
    b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1234567890 0000000000\n\nText\n"
)


def test_the_note_of_a_mail_program_is_no_mail(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "1.mbox").write_bytes(NOTE + b"\n" + FROM_LINE + mail() + b"\n" + NOTE)
    assert terminal("held", "import", str(tmp_path), *RULES, "--recipient", BOB) == 0
    assert "2 of 2 mails imported, as 2 rows" in terminal.said  # one in the middle is a sender's
    assert "1 messages are a mail program's notes" in terminal.warned


# --- Mails with one key ---


def with_text(text: bytes) -> bytes:
    return mail().replace(b"Text", text)


def test_two_mails_with_one_id_and_second_are_two_rows(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(with_text(b"one"))
    (tmp_path / "2.eml").write_bytes(with_text(b"two"))
    for _ in range(2):
        assert terminal("held", "import", str(tmp_path), *RULES) == 0
        assert "2 of 2 mails imported, as 2 rows" in terminal.said
        ids = sorted(rows(terminal))
        assert ids == ["<1@x.example>", f"<1@x.example> {sha256(with_text(b'two').rstrip()).hexdigest()}"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param([b"one", b"one"], 1, id="the same"),
        pytest.param([b"one", b"one\r"], 1, id="other line ends"),
        pytest.param([b"one", b"one\n\n"], 1, id="empty lines at the end"),
        pytest.param([b"one", b"two", b"one", b"two"], 2, id="two, twice each"),
        pytest.param([b"one", b"two", b"three"], 3, id="three"),
    ],
)
def test_what_is_there_twice_is_one_row(
    terminal: Terminal, tmp_path: Path, texts: list[bytes], expected: int
) -> None:
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.eml").write_bytes(with_text(text))
    terminal("held", "import", str(tmp_path), *RULES)
    assert f"{len(texts)} of {len(texts)} mails imported, as {expected} rows" in terminal.said
    assert len(rows(terminal)) == expected


def test_a_mail_is_the_same_in_an_mbox_and_in_a_file(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(mail())
    (tmp_path / "all.mbox").write_bytes(FROM_LINE + mail() + b"\n" + FROM_LINE + mail(2))
    terminal("held", "import", str(tmp_path), str(tmp_path / "1.eml"), *RULES)
    assert "4 of 4 mails imported, as 2 rows" in terminal.said
    assert len(rows(terminal)) == 2


def test_one_recipient_for_all(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(mail(recipient="boss@example.com"))
    assert terminal("held", "import", str(tmp_path), *RULES, "--recipient", "Bob@example.com") == 0
    assert len(rows(terminal)) == 1


def test_only_the_field_that_the_operator_names(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(b"X-Envelope-To: boss@example.com\n" + mail())
    terminal("held", "import", str(tmp_path), *RULES, "--recipient-field", "Delivered-To")
    assert len(rows(terminal)) == 1


def test_what_is_too_old_is_told(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(mail(Received="", Date="1 Jan 2026 00:00:00 +0000"))
    assert terminal("held", "import", str(tmp_path), *RULES) == 0
    assert "1 of them were received over 30 days ago" in terminal.warned


def test_a_long_header_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(b"X-Long: " + b"x" * 100_000 + b"\n" + mail() + b"y" * 100_000)
    (chunk,) = find([tmp_path]).chunks
    (item,) = read(chunk, rules()).items
    assert item["message_id"]["S"] == "<1@x.example>"


# --- Writing ---


def rules() -> Rules:
    return Rules(HoldReason.SPAM, timedelta(days=30), None, NAMES, NOW)


class Leaving:
    """A table that leaves the last row of each call unprocessed, a given number of times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.rows: list[str] = []
        self.waits: list[float] = []

    def batch_write_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - boto3's
        (requests,) = RequestItems.values()
        left = [requests[-1]] if self.times else []
        self.times -= bool(left)
        done = requests[: len(requests) - len(left)]
        self.rows += [request["DeleteRequest"]["Key"]["entry"]["S"] for request in done]
        return {"UnprocessedItems": {"table": left} if left else {}}


def deletions(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"DeleteRequest": {"Key": {"recipient": {"S": BOB}, "entry": {"S": str(number)}}}}


def test_what_is_left_unprocessed_is_written_after_a_wait() -> None:
    table = Leaving(times=3)
    assert sum(write(table, "table", deletions(25), table.waits.append)) == 25  # type: ignore[arg-type]
    assert sorted(table.rows, key=int) == [str(number) for number in range(25)]
    assert len(table.waits) == 3
    assert 0 < table.waits[0] < table.waits[2]


def test_what_is_never_processed_is_an_error() -> None:
    table = Leaving(times=99)
    with pytest.raises(OperatorError, match="1 rows unprocessed 12 times"):
        list(write(table, "table", deletions(2), table.waits.append))  # type: ignore[arg-type]
    assert max(table.waits) <= 10


def test_an_import_that_was_killed_is_started_again(world: World, tmp_path: Path) -> None:
    count = 1200  # more than one process reads them
    for number in range(count):
        (tmp_path / f"{number}.eml").write_bytes(mail(number))
    client = world.session.client("dynamodb")
    table = world.stack.environ["QUARANTINE_TABLE"]
    calls = itertools.count()

    def die(**_: object) -> None:
        if next(calls) >= count // 25 // 2:  # every later call fails too: the process is dead
            raise ProcessDied

    world.session.events.register("before-call.dynamodb.BatchWriteItem", die)
    dying = world.session.client("dynamodb")
    with pytest.raises(ProcessDied):
        list(import_rows(dying, table, find([tmp_path]), rules()))
    assert 0 < len(entries(client, table)) < count
    list(import_rows(client, table, find([tmp_path]), rules()))
    found = entries(client, table)
    assert sorted(found) == sorted(f"2026-11-23T11:00:00Z#<{number}@x.example>" for number in range(count))


def entries(client: Any, table: str) -> list[str]:
    pages = client.get_paginator("scan").paginate(TableName=table)
    return [item["entry"]["S"] for page in pages for item in page["Items"]]


def test_many_mails_are_all_read_in_one_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_MANY", 500)
    monkeypatch.setattr(importing, "_AHEAD", 1)  # so that this process has its part
    monkeypatch.setattr(importing, "_CHUNK", 60)
    for number in range(600):
        (tmp_path / f"{number:04}.eml").write_bytes(mail(number))
    (tmp_path / "a.mbox").write_bytes(b"\n".join(FROM_LINE + mail(number) for number in range(600, 1200)))
    found = [item for each in importing.read_all(find([tmp_path]), rules()) for item in each.items]
    numbers = [int(item["message_id"]["S"][1:].partition("@")[0]) for item in found]
    assert numbers == [*range(600, 1200), *range(600)]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), max_size=12),
    st.integers(0, 12),
)
def test_an_import_that_was_killed_among_mails_with_one_key_ends_with_the_same_rows(
    mails: list[tuple[str, str]], killed_after: int
) -> None:
    """The rows of a second run replace all that a first run wrote before it was killed."""
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, text) in enumerate(mails):
            Path(folder, f"{number:02}.eml").write_bytes(
                mail(1, BOB, **{"Message-ID": name}).replace(b"Text", text.encode())
            )
        written = [rows_of_one_run(Path(folder)) for _ in range(2)]
    table = dict(written[0][:killed_after]) | dict(written[1])
    assert table == dict(written[1])
    assert len(table) == len(written[1]) == len(set(mails))


def rows_of_one_run(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    own = importing._Rows()  # noqa: SLF001 - the table would take a second for each example
    read = (each for each in importing.read_all(find([folder]), rules()))
    return [(item["entry"]["S"], item) for each in read for item, _ in own.of(each)]
