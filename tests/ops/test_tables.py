"""The tables of every command, on terminals of four widths and in a pipe.

`APPROVE=1 pytest tests/ops/test_tables.py` writes the approved tables again; look at them before you commit.
"""

import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from ops import administrators, asks, auth, digest, held, redrive, relay, report, requests, tables
from quarantine.mail.text import clean_text

APPROVED = Path(__file__).parents[1] / "approved" / "tables"
WIDTHS = (80, 100, 120, 200)
MANY = 500

type Row = Mapping[str, Any]

REQUESTERS = ("bob@example.com", "bartholomew.o-brien+lists@subsidiary.example.com", None)
REASONS = (
    {"status": "sent", "messages": 3, "delivery": "delivered"},
    {"status": "refused", "reason": "ambiguous_sender"},
)
SUBJECTS = ("Your invoice", "ことができますか Your parcel waits, and so does the fee for it", "")
UNVERIFIED = (
    "MessageRejected: Email address is not verified. The following identities failed the check in region"
    " EU-WEST-1: quarantine@reports.example.com"
)
ERRORS = (UNVERIFIED, "no such request")


def _id(number: int) -> str:
    return f"{number:03}vrnil0e2ic28tr0e2ic28tr0e2ic28tr0e2ic2"


def _time(number: int) -> str:
    return f"2026-11-23T12:{number // 60 % 60:02}:{number % 60:02}.123Z"


def _request(number: int) -> Row:
    requester = REQUESTERS[number % 3]
    row = {"received_at": _time(number), "request_id": _id(number), **REASONS[number % 2]}
    row |= {"command": ["report", "release", None][number % 3]}
    return {**row, "requester": requester} if requester else row


def _letter(number: int) -> Row:
    return {"queue": "jobs", "request_id": _id(number), "error": ERRORS[number % 2], "done": "waits"}


def _message(number: int) -> Row:
    return {
        "received_at": _time(number),
        "mailbox": REQUESTERS[number % 2],
        "sender": "Hansa Versand GmbH & Co. KG <rechnung@versand.example>",
        "subject": SUBJECTS[number % 3],
        "reason": "spam",
        "status": "held",
        "kept_until": "2026-12-23T12:00:00Z",
        "actions": ["preview", "release", "delete"][number % 2 :],
        "message_id": f"<{number}.1795435800@mail.versand.example>",
    }


def _network(number: int) -> Row:
    note = "the second data centre, until the move is done in spring" if number % 2 else ""
    return {"principal": "example.com", "network": "2001:db8:1:2::/64", "note": note, "updated_at": _time(0)}


def _record(number: int) -> Row:
    return {
        "principal": REQUESTERS[number % 2],
        "accept": {"dmarc", "spf"},
        "deny": False,
        "mailboxes": {"sales@example.com", "orders@example.com"} if number % 2 else set(),
        "forwarded": bool(number % 2),
        "updated_at": _time(0),
    }


def _administrator(number: int) -> Row:
    proof = "the auth record of example.com, the relay records of example.com" if number % 2 else "nothing"
    return {"domain": "example.com", "administrator": REQUESTERS[number % 2], "proven_by": proof}


def _ask(number: int) -> Row:
    return {
        "asked_at": _time(number),
        "mailbox": REQUESTERS[number % 2],
        "asker": REQUESTERS[number % 2],
        "state": ("open", "approved", "refused")[number % 3],
        "answered_by": "alice@example.com" if number % 3 else "",
        "expires_at": "2026-11-30T12:00:00.000Z",
        "message_id": f"<{number}.1795435800@mail.versand.example>",
    }


def _schedule(number: int) -> Row:
    record = {
        "principal": REQUESTERS[number % 2],
        "at": {"07:00", "15:00"},
        "days": {"mon", "tue", "fri"},
        "zone": "America/Argentina/Ushuaia" if number % 2 else "Europe/Berlin",
        "updated_at": _time(0),
    }
    return digest.row({**record, "off": True, "note": "asked for it"} if number % 3 == 0 else record)


TABLES = {
    "digest list": (digest.COLUMNS, _schedule),
    "requests list": (requests.COLUMNS, _request),
    "redrive": (redrive.COLUMNS, _letter),
    "held list": (held.COLUMNS, _message),
    "report preview": (report.COLUMNS, _message),
    "relay list": (relay.COLUMNS, _network),
    "auth list": (auth.COLUMNS, _record),
    "auth administrators list": (administrators.COLUMNS, _administrator),
    "asks list": (asks.COLUMNS, _ask),
}


def shown(columns: Sequence[str], rows: Sequence[Row], width: int | None) -> list[str]:
    """Return the lines of a table. width: of a terminal; None for a pipe."""
    out = io.StringIO()
    tables.show(
        Console(file=out, width=width, force_terminal=width is not None, color_system=None, highlight=False),
        columns,
        rows,
    )
    return [line.rstrip() for line in out.getvalue().splitlines()]


def _rows(name: str, count: int) -> list[Row]:
    return [TABLES[name][1](number) for number in range(count)]


def _sheet(name: str) -> str:
    columns = TABLES[name][0]
    parts = []
    for width in WIDTHS:
        for count in (0, 1, MANY):
            lines = shown(columns, _rows(name, count), width)
            head = f"== {width} columns, {count} rows: {len(lines)} lines =="
            parts.append("\n".join([head, *lines[:14], *(["..."] if len(lines) > 14 else [])]))
    piped = shown(columns, _rows(name, 2), None)
    return "\n\n".join([*parts, "\n".join(["== in a pipe, 2 rows ==", *piped])]) + "\n"


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_as_approved(name: str) -> None:
    approved = APPROVED / f"{name.replace(' ', '-')}.txt"
    sheet = _sheet(name)
    if os.environ.get("APPROVE"):
        approved.parent.mkdir(exist_ok=True)
        approved.write_text(sheet)
    assert sheet == approved.read_text()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", TABLES)
def test_a_terminal_of_each_width_is_kept(name: str, width: int) -> None:
    columns = TABLES[name][0]
    rows = _rows(name, 6)
    lines = shown(columns, rows, width)
    assert max(map(cell_len, lines)) <= width
    whole = [tables.cell(row.get(column)) for row in rows for column in columns]
    for value, column in zip(whole, list(columns) * len(rows), strict=True):
        if column not in tables.SENTENCES:
            assert any(value in line for line in lines), (column, value)


@pytest.mark.parametrize("name", TABLES)
def test_a_program_gets_one_line_for_each_row(name: str) -> None:
    columns = TABLES[name][0]
    rows = _rows(name, MANY)
    lines = shown(columns, rows, None)
    assert len(lines) == MANY
    for line, row in zip(lines, rows, strict=True):
        cells = [tables.cell(row.get(column)) for column in columns]
        assert line == "\t".join(cells).rstrip()


HOSTILE = "a\tb\nc\r\x1b[31m\u202eevil\u2028\x85\x00d"


@pytest.mark.parametrize("width", [None, *WIDTHS])
@pytest.mark.parametrize("column", requests.COLUMNS)
def test_no_value_begins_a_row_or_controls_the_terminal(column: str, width: int | None) -> None:
    lines, plain = (
        shown(requests.COLUMNS, [{**_request(0), column: value}], width)
        for value in (HOSTILE, clean_text(HOSTILE))
    )
    assert "".join(lines).replace("\t", "").isprintable()
    assert lines == plain


@given(
    st.lists(
        st.fixed_dictionaries({"subject": st.text(max_size=300), "id": st.text(max_size=30)}), max_size=5
    ),
    st.integers(40, 200),
)
def test_a_sentence_keeps_to_the_width_whatever_it_says(rows: list[Row], width: int) -> None:
    for line in shown(("id", "subject"), rows, width):
        assert cell_len(line) <= width


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("2026-11-23T12:00:00.123Z", "2026-11-23T12:00:00Z", id="milliseconds"),
        pytest.param("2026-11-23T13:00:00+01:00", "2026-11-23T12:00:00Z", id="another offset"),
        pytest.param("2026-11-23T12:00", "2026-11-23T12:00:00Z", id="no offset"),
        pytest.param("2026-11-23Tea with Eve", "2026-11-23Tea with Eve", id="not a time"),
        pytest.param("9999-99-99T99:99:99Z", "9999-99-99T99:99:99Z", id="no such time"),
        pytest.param(None, "", id="nothing"),
        pytest.param(True, "yes", id="a flag"),
        pytest.param({"b", "a"}, "a, b", id="a set"),
        pytest.param(7, "7", id="a number"),
    ],
)
def test_a_value_is_written_in_one_way(value: object, text: str) -> None:
    assert tables.cell(value) == text


def test_only_the_name_of_a_column_is_bold() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system="standard", highlight=False)
    tables.show(console, requests.COLUMNS, [_request(1)])
    assert re.match(r"\x1b\[1mreceived at +\x1b\[0m2026-11-23T12:00:01Z\n", out.getvalue())
