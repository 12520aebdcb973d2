import itertools
import mailbox as mailboxes
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops import importing
from ops.importing import Rules, find, import_mails, read, write
from ops.mbox import from_line_time, split_mbox
from ops.operator import OperatorError
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


# --- Mboxes ---


FIELDS = st.sampled_from(
    (
        *(b"From", b"Subject", b"Date", b"Received", b"Message-ID", b"Delivered-To", b": "),
        *(b"\n ", b"\r\n", b"\n\n", b"<", b">", b"; ", b"From a 00:00 2026\n"),
        *(b"=?utf-8?q?", b"=?utf-16?b?", b"=?utf-7?b?", b"=?idna?q?", b"=?hex?q?4", b"?="),
        *(b"1 Jan 2026 ", b"00:00:00 ", b"+9999"),
    )
)
HOSTILE = st.lists(st.one_of(FIELDS, st.binary(max_size=30)), max_size=40).map(b"".join)


@given(HOSTILE)
def test_any_mbox_is_cut_into_parts_that_are_all_of_it(data: bytes) -> None:
    parts = list(split_mbox(data))
    assert sum(end - begin for begin, end in parts) + max(0, len(parts) - 1) == len(data)
    from_line_time(data)


@pytest.mark.parametrize(
    ("text", "mails"),
    [
        pytest.param(b"", 1, id="one"),
        pytest.param(b"\n" + FROM_LINE + b"Subject: 2\n", 2, id="two"),
        pytest.param(b"\r\n" + FROM_LINE + b"Subject: 2\r\n", 2, id="CRLF"),
        pytest.param(b"\nFrom here on it is 10:00 clear\n", 1, id="a sentence"),
        pytest.param(b"text\n" + FROM_LINE, 1, id="no empty line before"),
        pytest.param(b"\n>" + FROM_LINE, 1, id="quoted"),
    ],
)
def test_an_mbox(text: bytes, mails: int) -> None:
    assert len(list(split_mbox(FROM_LINE + b"Subject: 1\n\nText\n" + text))) == mails


def test_the_time_of_a_from_line() -> None:
    assert from_line_time(FROM_LINE) == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert from_line_time(b"From - Mon Nov 23 12:00:00 +0100 2026") == datetime(2026, 11, 23, 11, tzinfo=UTC)


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
    assert found["<4@x.example>"] == {
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
    assert terminal("held", "import", str(tmp_path), *RULES) == 1
    assert "2 of 5 mails imported" in terminal.said
    for name in ("lost.eml: no X-Envelope-To", "empty.eml: not a mail", "some.mbox, at byte"):
        assert name in terminal.warned
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
    return Rules(HoldReason.SPAM, timedelta(days=30), None, NAMES)


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
    count = 3000
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
        list(import_mails(dying, table, find([tmp_path]), rules(), NOW))
    assert 0 < len(entries(client, table)) < count
    list(import_mails(client, table, find([tmp_path]), rules(), NOW))
    found = entries(client, table)
    assert sorted(found) == sorted(f"2026-11-23T11:00:00Z#<{number}@x.example>" for number in range(count))


def entries(client: Any, table: str) -> list[str]:
    pages = client.get_paginator("scan").paginate(TableName=table)
    return [item["entry"]["S"] for page in pages for item in page["Items"]]


def test_many_mails_are_all_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_MANY", 500)
    for number in range(600):
        (tmp_path / f"{number}.eml").write_bytes(mail(number))
    (tmp_path / "z.mbox").write_bytes(b"\n".join(FROM_LINE + mail(number) for number in range(600, 1200)))
    found = [item for each in importing.read_all(find([tmp_path]), rules()) for item in each.items]
    names = {item["message_id"]["S"] for item in found}
    assert (len(found), names) == (1200, {f"<{number}@x.example>" for number in range(1200)})
