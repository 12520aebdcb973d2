"""Imports stored mails into the quarantine table in bulk: finds and reads them, and writes them in batches.

There is no journal. A row's key depends only on the mail, so after an interruption the same import can be
started again: it overwrites each existing row with the same row. If different mails have the same Message-ID,
recipient and second, the first keeps that key, and the key of each other ends with a digest of its bytes, as
in the hold function. Mails are read in a fixed order, so the first is the same mail in each run.

Serialising and signing BatchWriteItem calls keeps one interpreter busy. So a large import reads its mails in
other processes, and takes hardly longer than the writing alone.
"""

import contextlib
import functools
import mmap
import os
import random
import re
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b, file_digest, sha256
from itertools import batched, islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from ops.mbox import Part, from_line_time, split_mbox
from ops.operator import OperatorError
from quarantine.held import HoldReason
from quarantine.holding.recipients import NoRecipient, UnreadableRecipient, parse_recipients
from quarantine.mail.addresses import Address
from quarantine.mail.lenient import SHOWN_FIELDS, Fields, header_fields, parse_mail
from quarantine.stores.quarantine import distinct, held_row, key_of, key_of_write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import WriteRequestTypeDef

_BATCH = 25  # the most rows that BatchWriteItem accepts
_THREADS = 8  # fewer than the connections of a client of boto3
_CHUNK = 250  # mails that are read at a time
_MANY = 4 * _CHUNK  # the number of mails from which starting another process saves time
_AHEAD = 4  # chunks that are read ahead
_READERS = 2  # processes
_BOM = b"\xef\xbb\xbf"
_MBX = b"*mbx*\r\n"
_EMPTY_LINE = re.compile(rb"\n\r?\n|\r\r")
_START = 16 * 1024  # bytes of a mail that are read first: usually the whole header section
_LONGEST_HEADER = 1024 * 1024

_ATTEMPTS = 12  # to write rows that BatchWriteItem leaves unprocessed: about half a minute
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 10.0  # seconds

# For the client of an import: botocore's validation of the rows, which we made, is half of a call's CPU.
UNCHECKED = Config(parameter_validation=False)

# They are written by: amavis and other filters; Postfix, Dovecot, qmail; Postfix, before aliases.
RECIPIENT_FIELDS = ("X-Envelope-To", "Delivered-To", "X-Original-To")

type Item = dict[str, Any]
type Source = tuple[str, Part | None]
"""Where a mail is: a file, or a part of one."""


class NoFields(ValueError):
    """The bytes have no header section."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some mails: files with one mail each, or parts of one mbox."""

    paths: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()  # of the only path, if it is an mbox

    def __len__(self) -> int:
        return len(self.parts or self.paths)


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings for all mails of one import.

    recipient: of all mails; None to read it from the first of recipient_fields (lower case) that is present.
    now: when the rows are written.
    """

    reason: HoldReason
    kept_for: timedelta
    recipient: Address | None
    recipient_fields: tuple[bytes, ...]
    now: datetime

    @property
    def wanted(self) -> frozenset[bytes]:
        return SHOWN_FIELDS | _NOTE_FIELDS | frozenset(self.recipient_fields)


@dataclass(frozen=True, slots=True)
class NotImported:
    """A mail that was not imported, or a line that may begin one. part: its position in an mbox, in bytes."""

    path: str
    why: str
    part: int | None = None

    def __str__(self) -> str:
        place = "" if self.part is None else f", at byte {self.part}"
        return f"{self.path}{place}: {self.why}"


@dataclass(slots=True)
class Tally:
    """The result of an import so far.

    written: rows, each counted once; of these, kept were there before, and again are held again.
    notes: messages that a mail program wrote to itself.
    """

    read: int = 0
    notes: int = 0
    written: int = 0
    kept: int = 0
    again: int = 0
    expired: int = 0
    not_imported: list[NotImported] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """The mails in the paths.

    left: the number of files in folders that are not recognised as mail.
    doubts: lines that may begin a mail, and files in a format that is not supported.
    """

    chunks: tuple[Chunk, ...]
    left: int
    doubts: tuple[NotImported, ...] = ()

    @property
    def mails(self) -> int:
        return sum(map(len, self.chunks))


# --- Finding ---


def find(paths: Iterable[Path]) -> Found:
    """Find the mails. A file is a mail or an mbox; a folder has .eml and .mbox files, maildirs and folders.

    A file `mbox` in a folder (Apple Mail) is an mbox, too, and one beside its index .msf (Thunderbird).

    Raises OSError for a path that cannot be read.
    """
    singles: list[str] = []
    others: list[str] = []
    left = 0
    for path in paths:
        if path.is_dir():
            left += _walk(str(path), singles, others)
        else:
            others.append(str(path))
    chunks: list[Chunk] = []
    doubts: list[NotImported] = []
    for name in others:
        parts = _mbox_parts(name, doubts)
        if parts is None:
            singles.append(name)
        else:
            chunks += [Chunk((name,), some) for some in batched(parts, _CHUNK, strict=False)]
    chunks += [Chunk(some) for some in batched(singles, _CHUNK, strict=False)]
    return Found(tuple(chunks), left, tuple(doubts))


def _walk(folder: str, singles: list[str], others: list[str]) -> int:
    """Add a folder's single mails and its other mail files to the lists; return the number of other files."""
    with os.scandir(folder) as entries:
        inside = sorted(entries, key=lambda entry: entry.name)
    names = {entry.name for entry in inside}
    folders = {entry.name: entry.path for entry in inside if entry.is_dir(follow_symlinks=False)}
    left = 0
    for entry in inside:
        name = entry.name.lower()
        if entry.name in folders:
            continue
        if name.endswith(".eml"):
            singles.append(entry.path)
        elif _is_named_as_an_mbox(name) or f"{entry.name}.msf" in names:
            others.append(entry.path)
        else:
            left += 1
    if {"cur", "new"} <= folders.keys():  # a maildir; mail in its tmp is not delivered yet
        folders.pop("tmp", None)
        for name in ("cur", "new"):
            with os.scandir(folders.pop(name)) as entries:
                singles += sorted(entry.path for entry in entries if entry.is_file())
    return left + sum(_walk(path, singles, others) for path in folders.values())


def _is_named_as_an_mbox(name: str) -> bool:
    return name.endswith((".mbox", ".mbx")) or name == "mbox"


def _mbox_parts(path: str, doubts: list[NotImported]) -> Sequence[Part] | None:
    """Return the mails of an mbox; None for a file of one mail. Add what is in doubt."""
    name = Path(path).name.lower()
    is_named = _is_named_as_an_mbox(name)
    with Path(path).open("rb") as file:
        if name.endswith(".eml") and file.read(len(b"From ")) != b"From ":
            return None
        if not os.fstat(file.fileno()).st_size:
            return () if is_named else None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[: len(_MBX)] == _MBX:
                doubts.append(NotImported(path, "the mbx format of UW-IMAP is not supported"))
                return ()
            found = split_mbox(data)
    doubts += (NotImported(path, each.why, each.place) for each in found.doubts)
    if found.is_mbox or is_named:
        return found.parts
    doubts += (
        NotImported(path, "it may begin a mail, but the file does not begin as an mbox does", part.begin)
        for part in found.parts[1:]
    )
    return None


# --- Reading ---


@dataclass(frozen=True, slots=True)
class Read:
    """The result of reading a chunk: rows to write, the source of each, and mails that are not imported.

    notes: the number of messages that a mail program wrote to itself.
    """

    mails: int
    notes: int
    items: list[Item]
    sources: list[Source]
    not_imported: list[NotImported]


def read(chunk: Chunk, rules: Rules) -> Read:
    """Read the header sections of a chunk's mails. A mail that cannot be read is not imported."""
    items: list[Item] = []
    sources: list[Source] = []
    not_imported: list[NotImported] = []
    notes = 0
    wanted = rules.wanted
    mails = _parts(chunk) if chunk.parts else _files(chunk)
    for mail in mails:
        if isinstance(mail, NotImported):
            not_imported.append(mail)
            continue
        fields = header_fields(_with_line_feeds(mail.header), wanted)
        if _is_note(mail, fields):
            notes += 1
            continue
        try:
            found = _items(mail, fields, rules)
        except (NoFields, NoRecipient, UnreadableRecipient) as e:
            not_imported.append(NotImported(mail.path, str(e), mail.part and mail.part.begin))
            continue
        items += found
        sources += [(mail.path, mail.part)] * len(found)
    return Read(len(chunk) - notes, notes, items, sources, not_imported)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A mail as it is stored. digest: computes the SHA-256 of all its bytes, as hex."""

    path: str
    part: Part | None
    header: bytes
    size: int
    time: datetime
    digest: Callable[[], str]


_NOTE_SUBJECT = b"DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA"
_NOTE_FIELDS = frozenset({b"x-imap", b"x-imapbase"})


def _is_note(stored: _Stored, fields: Fields) -> bool:
    """Tell whether this is what Pine and UW-IMAP put first into a folder."""
    is_first = stored.part is not None and stored.part.begin == 0
    return is_first and fields.top(b"subject") == _NOTE_SUBJECT and not _NOTE_FIELDS.isdisjoint(fields.every)


def _items(stored: _Stored, fields: Fields, rules: Rules) -> list[Item]:
    if not fields.every:
        raise NoFields("not a mail: no field of a header")
    recipients = (rules.recipient,) if rules.recipient else _recipients(fields, rules.recipient_fields)
    mail = parse_mail(fields)
    received_at = mail.received_at or stored.time
    message_id = mail.message_id or f"sha256:{stored.digest()}"
    expires_at = received_at + rules.kept_for
    return [
        held_row(
            recipient, mail, message_id, received_at, rules.reason, expires_at, rules.now, size=stored.size
        )
        for recipient in recipients
    ]


def _recipients(fields: Fields, names: Sequence[bytes]) -> tuple[Address, ...]:
    # The field may be anywhere in the header: the operator named it, and stored mail may have any origin.
    return parse_recipients({name: fields.top(name) for name in names}, names)


def _files(chunk: Chunk) -> Iterator[_Stored | NotImported]:
    for path in chunk.paths:
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError as e:
            yield NotImported(path, e.strerror or str(e))
            continue
        try:
            header, status = _start_of(file), os.fstat(file)
            time = datetime.fromtimestamp(int(status.st_mtime), UTC)
            above = header.find(b"\n") + 1 if header.startswith(b"From ") else 0  # the line of an mbox
            size = status.st_size - above
            yield _Stored(path, None, header, size, time, functools.partial(_digest, path))
        except OSError as e:
            yield NotImported(path, e.strerror or str(e))
        finally:
            os.close(file)


def _parts(chunk: Chunk) -> Iterator[_Stored | NotImported]:
    (path,) = chunk.paths
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        modified = datetime.fromtimestamp(int(os.fstat(file.fileno()).st_mtime), UTC)
        for part in chunk.parts:
            begin, start, end = part
            header = data[start : min(end, start + _LONGEST_HEADER)]
            time = from_line_time(data[begin : min(start, begin + 1000)]) or modified
            yield _Stored(
                path,
                part,
                header,
                end - start,
                time,
                functools.partial(_digest_of_part, data, begin=start, end=end),
            )


def _start_of(file: int) -> bytes:
    """Return the start of a file, with the whole header section unless that is too long."""
    header = os.read(file, _START)
    while len(header) < _LONGEST_HEADER and not _EMPTY_LINE.search(header):
        more = os.read(file, _LONGEST_HEADER - len(header))
        if not more:
            break
        header += more
    return header


def _with_line_feeds(header: bytes) -> bytes:
    """Return a header section whose lines end in CR alone, of an old Macintosh, with LF; another as it is."""
    feed = header.find(b"\n")
    end = header.find(b"\r\r", 0, feed if feed != -1 else len(header))
    if end == -1 and (feed != -1 or b"\r" not in header):
        return header
    return header.replace(b"\r", b"\n")


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _digest_of_part(data: mmap.mmap, begin: int, end: int) -> str:
    return sha256(data[begin:end]).hexdigest()


def read_all(found: Found, rules: Rules) -> Generator[Read]:
    """Read all chunks in order; many of them in other processes, and in this one while those are busy."""
    chunks = iter(found.chunks)
    if found.mails < _MANY:
        yield from (read(chunk, rules) for chunk in chunks)
        return
    with ProcessPoolExecutor(_READERS, mp_context=get_context("spawn")) as readers:
        ahead: deque[Future[Read]] = deque()
        try:
            while True:
                ahead += (
                    readers.submit(read, chunk, rules)
                    for chunk in islice(chunks, max(0, _AHEAD - len(ahead)))
                )
                if not ahead:
                    return
                if (
                    not ahead[0].done()
                    and len(ahead) < 2 * _AHEAD
                    and (chunk := next(chunks, None)) is not None
                ):
                    ahead.append(_done(read(chunk, rules)))
                else:
                    yield ahead.popleft().result()
        finally:
            readers.shutdown(wait=False, cancel_futures=True)


def _done(result: Read) -> Future[Read]:
    future: Future[Read] = Future()
    future.set_result(result)
    return future


# --- Writing ---


def import_rows(client: "DynamoDBClient", table: str, found: Found, rules: Rules) -> Iterator[Tally]:
    """Put the rows of all mails into the table; yield the same tally repeatedly, with the progress."""
    tally = Tally()
    with contextlib.closing(reads_of(found, rules, tally)) as reads:
        puts: Iterator[WriteRequestTypeDef] = (
            {"PutRequest": {"Item": item}} for item, _ in rows_of(reads, rules, tally)
        )
        with contextlib.closing(write(client, table, puts)) as counts:
            for count in counts:
                tally.written += count
                yield tally
    yield tally


def reads_of(found: Found, rules: Rules, tally: Tally) -> Generator[Read]:
    """Read all mails, and count them."""
    with contextlib.closing(read_all(found, rules)) as reads:
        for each in reads:
            tally.read += each.mails
            tally.notes += each.notes
            tally.not_imported += each.not_imported
            yield each


def rows_of(reads: Iterable[Read], rules: Rules, tally: Tally) -> Iterator[tuple[Item, Source]]:
    """Yield each row to write, with the source of its mail."""
    rows = _Rows()
    for each in reads:
        for item, source in rows.of(each):
            tally.expired += int(item["expires_at"]["N"]) <= rules.now.timestamp()
            yield item, source


class _Rows:
    """The rows of one import, each under a key that no other mail of it has."""

    def __init__(self) -> None:
        self._sources: dict[bytes, Source] = {}  # by the digest of a key: of millions, it stays in memory

    def of(self, some: Read) -> Iterator[tuple[Item, Source]]:
        """Yield the rows to write; none for a mail that was read before, from wherever."""
        for item, source in zip(some.items, some.sources, strict=True):
            first = self._sources.setdefault(_key(item), source)
            if first is source:
                yield item, source
            elif first != source and _content(first) != _content(source):
                own = distinct(item, _content(source))
                if self._sources.setdefault(_key(own), source) is source:
                    yield own, source


def _key(item: Item) -> bytes:
    return blake2b("\0".join(key_of(item)).encode(), digest_size=16).digest()


@functools.lru_cache(maxsize=1024)  # the first of many with one key is asked for again and again
def _content(source: Source) -> str:
    """Return the digest of a mail, as hex: the same in an mbox and in a file, and whatever its line ends."""
    return sha256(b"\n".join(mail_of(source).splitlines()).rstrip(b"\n")).hexdigest()


def mail_of(source: Source) -> bytes:
    """Return the bytes of a mail, without what a mailbox file has above it."""
    path, part = source
    with Path(path).open("rb") as file:
        if part is not None:
            file.seek(part.start)
        data = file.read(part.end - part.start if part else -1).removeprefix(_BOM)
    return data.partition(b"\n")[2] if data.startswith(b"From ") else data


def write(
    client: "DynamoDBClient",
    table: str,
    requests: Iterable["WriteRequestTypeDef"],
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[int]:
    """Write puts and deletions in batches, several at a time; yield the number done since the last yield.

    If a batch has several requests with one key, only the last is sent: BatchWriteItem refuses two. Raises
    OperatorError.
    """
    with ThreadPoolExecutor(_THREADS) as threads, contextlib.ExitStack() as stack:
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        running: deque[Future[int]] = deque()
        for batch in _batches(requests):
            if len(running) == 2 * _THREADS:
                yield running.popleft().result()
            running.append(threads.submit(_write_batch, client, table, batch, sleep))
        while running:
            yield running.popleft().result()


def _batches(requests: Iterable["WriteRequestTypeDef"]) -> Iterator[list["WriteRequestTypeDef"]]:
    batch: dict[tuple[str, str], WriteRequestTypeDef] = {}
    for request in requests:
        batch[key_of_write(request)] = request
        if len(batch) == _BATCH:
            yield list(batch.values())
            batch = {}
    if batch:
        yield list(batch.values())


def _write_batch(
    client: "DynamoDBClient",
    table: str,
    batch: Sequence["WriteRequestTypeDef"],
    sleep: Callable[[float], None],
) -> int:
    left: Any = {table: batch}
    for attempt in range(_ATTEMPTS):
        left = client.batch_write_item(RequestItems=left).get("UnprocessedItems")
        if not left:
            return len(batch)
        most = min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt)
        sleep(random.uniform(most / 2, most))  # noqa: S311 - jitter, so that the threads do not retry at the same time
    raise OperatorError(
        f"DynamoDB left {len(left[table])} rows unprocessed {_ATTEMPTS} times: start the same import again"
        " later; it writes no row twice"
    )
