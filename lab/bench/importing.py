"""`quarantine held import`, beside bare BatchWriteItem calls with the same rows."""

import gc
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from zlib import crc32

from botocore.config import Config
from rich.table import Table

from lab.bench.figures import Spread, interleaved
from lab.bench.wire import Call, Canned, new_session
from ops.importing import RECIPIENT_FIELDS, UNCHECKED, Found, Rules, find, import_rows, read
from quarantine.held import HoldReason

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MESSAGES = 100_000
TARGET = 1.3

_ROUNDS = 3
_THREADS = 8  # as the import has
_TABLE = "quarantine"
_NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
_RULES = Rules(
    HoldReason.SPAM, timedelta(days=30), None, tuple(name.lower().encode() for name in RECIPIENT_FIELDS), _NOW
)

METHOD = f"""\
Wall clock (perf_counter) of one process, {MESSAGES} mails of about 2 KB for 1000 mailboxes: as .eml files in
100 folders, and as one mbox, in the page cache. Both sides write from {_THREADS} threads, 25 rows
a call, and are answered at botocore's level (`before-send`)
with an empty UnprocessedItems: no network, no TLS, no DynamoDB, so that nothing hides what the import adds.
import: finding, reading and parsing the mails, then writing, as `quarantine held import` does it, without
the progress bar; in one process: without the processes that read ahead. bare: the same rows, made before the
clock started, through a boto3 client as it comes;
unchecked: the same through a client without botocore's check of parameters, which is the import's.
A real DynamoDB takes longer to answer,
on both sides alike. Median (least-most) of {_ROUNDS} rounds, A B A B; the ratio is taken within a round.
The target is {TARGET}.
"""


def table() -> Table:
    rows = Table(title=f"Import of {MESSAGES} mails, s", title_justify="left")
    for name in ("import of", "import", "bare calls", "import / bare", "/ unchecked"):
        rows.add_column(name, justify="left" if name == "import of" else "right", no_wrap=True)
    folder = Path(tempfile.mkdtemp())
    try:
        files, mbox = _stored(folder)
        client, unchecked = _client(), _client(UNCHECKED)
        items = [item for chunk in find([files]).chunks for item in read(chunk, _RULES).items]
        samples = interleaved(
            {
                "bare": lambda: _timed(_bare, client, items),
                "unchecked": lambda: _timed(_bare, unchecked, items),
                "files": lambda: _timed(_import, unchecked, files),
                "alone": lambda: _timed(_import_alone, unchecked, files),
                "mbox": lambda: _timed(_import, unchecked, mbox),
            },
            _ROUNDS,
        )
    finally:
        shutil.rmtree(folder)
    labels = {"files": ".eml files", "alone": ".eml files, in one process", "mbox": "an mbox"}
    for name, label in labels.items():
        rows.add_row(
            label,
            str(Spread.of(samples[name])),
            str(Spread.of(samples["bare"])),
            str(Spread.of_ratios(samples[name], samples["bare"])),
            str(Spread.of_ratios(samples[name], samples["unchecked"])),
        )
    return rows


def _timed(work: Any, client: "DynamoDBClient", subject: Any) -> float:
    gc.collect()
    start = time.perf_counter()
    work(client, subject)
    return time.perf_counter() - start


def _import(client: "DynamoDBClient", path: Path) -> None:
    found: Found = find([path])
    written = 0
    for tally in import_rows(client, _TABLE, found, _RULES):
        written = tally.written
    if written != MESSAGES:
        raise RuntimeError(f"{written} rows written, not {MESSAGES}")


def _import_alone(client: "DynamoDBClient", path: Path) -> None:
    with patch("ops.importing._MANY", MESSAGES + 1):
        _import(client, path)


def _bare(client: "DynamoDBClient", items: Sequence[dict[str, Any]]) -> None:
    def write(batch: Sequence[dict[str, Any]]) -> None:
        client.batch_write_item(RequestItems={_TABLE: [{"PutRequest": {"Item": item}} for item in batch]})

    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(write, batched(items, 25, strict=False)):
            pass


def _client(config: Config | None = None) -> "DynamoDBClient":
    session = new_session()
    body = b'{"UnprocessedItems":{}}'
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "x-amzn-RequestId": "0" * 52,
        "x-amz-crc32": str(crc32(body)),
    }
    Canned(session).play([Call("dynamodb", "BatchWriteItem", {}, 200, headers, body)])
    return session.client("dynamodb", config=config)


# --- Mails ---


def _stored(folder: Path) -> tuple[Path, Path]:
    files, mbox = folder / "files", folder / "all.mbox"
    with mbox.open("wb") as all_mails:
        for number, mail in enumerate(_mails()):
            if number % 1000 == 0:
                part = files / f"{number // 1000:03}"
                part.mkdir(parents=True)
            (part / f"{number}.eml").write_bytes(mail)
            all_mails.write(b"From news@parcels.example Mon Nov 23 12:00:00 2026\n" + mail + b"\n")
    return files, mbox


def _mails() -> Iterator[bytes]:
    for number in range(MESSAGES):
        date = format_datetime(_NOW - timedelta(seconds=number))
        yield (
            f"Delivered-To: user{number % 1000}@example.com\n"
            "Received: from out.parcels.example (out.parcels.example [192.0.2.25])\n"
            f"\tby mx.example.com (Postfix) with ESMTPS id 4XyZ{number}\n\tfor <user@example.com>; {date}\n"
            f"Received: from app.parcels.example by out.parcels.example with ESMTP id 77; {date}\n"
            "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=parcels.example; s=selector1;\n"
            f" h=From:Date:Subject:Message-ID; bh={'A' * 43}=;\n b={'B' * 70}\n {'B' * 70}\n {'B' * 70}==\n"
            f"From: =?utf-8?q?P=C3=A4ckchen?= {number} <news{number}@parcels.example>\n"
            f"To: user{number % 1000}@example.com\n"
            "Subject: =?utf-8?b?SWhyIFBha2V0IGtvbm50ZSBuaWNodCB6dWdlc3RlbGx0IHdlcmRlbg==?=\n"
            f" =?utf-8?q?_Nr=2E_{number}?=\n"
            f"Date: {date}\nMessage-ID: <{number}.0123456789abcdef@parcels.example>\n"
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "List-Unsubscribe: <https://parcels.example/unsubscribe>\nX-Mailer: Parcels 3.1\n"
            f"\n{'Please confirm your address before Friday.\n' * 20}"
        ).encode()
