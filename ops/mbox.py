"""Splits an mbox (RFC 4155) into mails at their From lines."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from quarantine.mail.lenient import parse_time


class Buffer(Protocol):
    """Bytes that can be searched: bytes, or a file in memory (mmap)."""

    def find(self, sub: bytes, start: int = ..., end: int = ..., /) -> int: ...
    def __getitem__(self, place: slice, /) -> bytes: ...
    def __len__(self) -> int: ...


_FROM_LINE = re.compile(rb"From [^\n]*\d:\d\d[^\n]* (?:19|20)\d\d\b")
_FROM_DATE = re.compile(rb"(\w{3}) +(\d{1,2}) (\d\d:\d\d(?::\d\d)?)(?: ([+-]\d{4}))? (\d{4})")


def split_mbox(data: Buffer) -> Iterator[tuple[int, int]]:
    """Yield where each mail of an mbox begins, including its From line, and where it ends.

    A From line begins the file, or follows an empty line and contains a time and a year. So a sentence that
    begins with `From` is treated as text, even in an mbox whose writer did not quote it.
    """
    begin = 0
    place = data.find(b"\nFrom ")
    while place != -1:
        line = data[place + 1 : place + 1000]
        if data[max(0, place - 2) : place].replace(b"\r", b"")[-1:] == b"\n" and _FROM_LINE.match(line):
            yield begin, place
            begin = place + 1
        place = data.find(b"\nFrom ", place + 1)
    if begin < len(data):
        yield begin, len(data)


def from_line_time(line: bytes) -> datetime | None:
    """Return the time in a From line, UTC; None if it cannot be read."""
    match = _FROM_DATE.search(line)
    if match is None:
        return None
    month, day, clock, zone, year = match.groups()
    return parse_time(b" ".join((day, month, year, clock, zone or b"+0000")))
