"""Splits an mbox (RFC 4155), as mail programs really write it, or a folder of MMDF into its mails.

No file says which program wrote it. A line that begins with `From ` begins a mail if it has a form that some
program writes and a header follows. A line that could be either is read as text and reported, so that no mail
is lost silently, and no text becomes a mail silently.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import Enum, auto
from functools import cached_property
from itertools import pairwise
from mmap import mmap
from typing import Final, NamedTuple, assert_never

from quarantine.mail.charsets import decoded
from quarantine.mail.dates import parse_time

type Buffer = bytes | mmap

_BOM: Final = b"\xef\xbb\xbf"
_LONGEST_LINE: Final = 1000  # bytes of a line that are read
_LONGEST_SHOWN: Final = 80
_MOST_LINES: Final = 40  # of a header that are searched for a known field
_SAMPLE: Final = 64 * 1024  # bytes of a file in which its line ends are looked for


class Part(NamedTuple):
    """The place of a mail in a file, in bytes.

    begin: of its From line. start: of its header. end: exclusive.
    """

    begin: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """A line that may begin a mail, and was read as text of the mail before. place: in bytes."""

    place: int
    why: str


@dataclass(frozen=True, slots=True)
class Mbox:
    """The mails of a file.

    is_mbox: whether the file begins as an mbox or a folder of MMDF. If not, the first part is all that
    precedes the first From line.
    """

    parts: tuple[Part, ...]
    doubts: tuple[Doubt, ...]
    is_mbox: bool


def split_mbox(data: Buffer) -> Mbox:
    """Find the mails of a file."""
    start = len(_BOM) if data[: len(_BOM)] == _BOM else 0
    if _MMDF.match(data, start):
        return Mbox(tuple(_mmdf_parts(data, start)), (), is_mbox=True)
    while data[start : start + 1] in (b"\r", b"\n"):  # before the first From line
        start += 1
    return _Splitter(data, start).split()


def from_line_time(line: bytes) -> datetime | None:
    """Return the time in a From line, UTC; None if it cannot be read."""
    match = _FROM_LINE.fullmatch(line.rstrip(b"\r\n"))
    if match is None:
        return None
    if match["iso"]:
        return _iso_time(match["iso"])
    if match["rfc"]:
        return parse_time(match["rfc"])
    if match["clock"]:
        zone = match["zone"] or match["last_zone"] or b"+0000"  # RFC 4155: UTC
        return parse_time(b" ".join((match["day"], match["month"], match["year"], match["clock"], zone)))
    return None


def _iso_time(text: bytes) -> datetime | None:
    try:
        return parse_time(format_datetime(datetime.fromisoformat(text.decode("ascii"))).encode())
    except ValueError:
        return None


# --- MMDF ---


_MMDF = re.compile(rb"\x01{4}(?:\r\n|\r|\n|\Z)")  # a line before each mail, and one after it


def _mmdf_parts(data: Buffer, start: int) -> Iterator[Part]:
    begin = start
    for match in _MMDF.finditer(data, start):
        if match.start() != start and data[match.start() - 1 : match.start()] not in (b"\r", b"\n"):
            continue  # in the middle of a line
        yield from _mmdf_part(data, begin, match.start())
        begin = match.end()
    yield from _mmdf_part(data, begin, len(data))


def _mmdf_part(data: Buffer, begin: int, end: int) -> Iterator[Part]:
    if data[begin:end].strip(b"\r\n"):
        line = _LINE.match(data, begin)
        is_from_line = line is not None and _FROM_LINE.fullmatch(line[1])
        yield Part(begin, line.end() if line is not None and is_from_line else begin, end)


# --- From lines ---


class _Form(Enum):
    """The form of a line that begins with `From `."""

    DATED = auto()  # a sender or none, and a date as some program writes it
    BARE = auto()  # `From ` or `From -` alone, as Thunderbird writes
    ODD = auto()  # a time and a year, but not as a program that we know writes them
    TEXT = auto()  # anything else


class _Below(Enum):
    """The lines below a From line, up to the next empty line."""

    HEADER = auto()  # with a field that mails have
    FIELD = auto()  # the first could be a field of another name
    TEXT = auto()  # neither


class _Style(Enum):
    """How a line names the sender. A program always does it in the same way."""

    THUNDERBIRD = auto()  # a hyphen, or neither sender nor date
    EUDORA = auto()  # ???@???
    OTHER = auto()  # an address or a name


class _Reading(Enum):
    """How a From line is read."""

    MAIL = auto()  # it begins a mail
    TEXT = auto()  # it is text of the mail before
    DOUBT = auto()  # it could be either: text, and reported


_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_WEEKDAY = "(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? {1,3})?"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?"
_ZONE = r"(?:[+-]\d{4}|[A-Z]{1,5}(?:[+-]\d{1,4})?|\([A-Z ]{1,20}\))"
_YEAR = r"(?:19|20)\d\d"
# As C's ctime, with or without seconds, the zone before or after the year.
_CTIME = (
    rf"{_WEEKDAY}(?P<month>{_MONTH}) {{1,3}}(?P<day>\d{{1,2}}) {{1,3}}(?P<clock>{_CLOCK})"
    rf"(?: {{1,3}}(?P<zone>{_ZONE}))? {{1,3}}(?P<year>{_YEAR})(?: (?P<last_zone>{_ZONE}))?"
)
# RFC 5322 3.3, also with hyphens and a year of two digits.
_RFC = rf"{_WEEKDAY}\d{{1,2}}[ -]{_MONTH}[ -](?:{_YEAR}|\d\d) {{1,3}}{_CLOCK}(?: {_ZONE}){{0,2}}"
# ISO 8601.
_ISO = rf"{_YEAR}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{{1,9}})?(?:Z| ?[+-]\d\d:?\d\d)?"
_FROM_LINE = re.compile(
    (
        r"From (?:(?P<bare>-?)|(?:(?P<sender>[^\r\n]{0,900}?)[ \t])??"
        rf"(?:{_CTIME}|(?P<rfc>{_RFC})|(?P<iso>{_ISO}))"
        r"(?: remote from [!-~]{1,100})?)[ \t]*"  # UUCP
    ).encode()
)
_TIME_OF_DAY = re.compile(rb"\d:\d\d")
_SOME_YEAR = re.compile(rb"(?<!\d)(?:19|20)\d\d(?!\d)")

_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\r|\n|\Z)")
_FIELD = re.compile(rb"[A-Za-z][!-9;-~]{0,76}[ \t]*:(?=[ \t\r\n]|\Z)")
_HEADER_FIELD = re.compile(
    rb"(?i:from|to|cc|bcc|subject|date|message-id|received|return-path|delivered-to|envelope-to|sender|reply-to"
    rb"|in-reply-to|references|mime-version|status|content-[a-z-]{1,40}|resent-[a-z-]{1,40}|list-[a-z-]{1,40}"
    rb"|x-[!-9;-~]{1,76}|dkim-signature|authentication-results|received-spf|arc-[a-z-]{1,40})[ \t]*:"
)
_LINE_END = re.compile(rb"\r?\n|")
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"(?im)^content-length:[ \t]*(\d{1,12})[ \t]*\r?$")


@dataclass(frozen=True, slots=True)
class _FromLine:
    """A line that begins with `From `. end: where the next line begins."""

    place: int
    end: int
    form: _Form
    style: _Style
    is_after_empty_line: bool
    below: _Below


@dataclass(frozen=True)
class _Splitter:
    """Splits one file. start: of its first line that is not empty."""

    data: Buffer
    start: int

    def split(self) -> Mbox:
        """Return the mails, read from the first to the last."""
        lines = self._lines[1:] if self._is_mbox else self._lines
        begin, start = self.start, self._lines[0].end if self._is_mbox else self.start
        end = self._counted_end(start, lines[0] if lines else None)
        is_counted = end is not None
        parts: list[Part] = []
        doubts: list[Doubt] = []
        passed: list[Doubt] = []
        for line, following in pairwise((*lines, None)):
            assert line is not None
            reading = self._reading(line)
            if end is not None and line.place <= end:
                if line.place < end and reading is not _Reading.TEXT:
                    passed.append(self._doubt(line))
                reading = _Reading.MAIL if line.place == end else _Reading.TEXT
            match reading:
                case _Reading.MAIL:
                    parts.append(Part(begin, start, line.place))
                    begin, start = line.place, line.end
                    end = self._counted_end(start, following)
                    is_counted &= end is not None
                case _Reading.DOUBT:
                    doubts.append(self._doubt(line))
                case _Reading.TEXT:
                    pass
                case _:
                    assert_never(reading)
        if begin < len(self.data):
            parts.append(Part(begin, start, len(self.data)))
        if not is_counted:  # the program that wrote the file writes no Content-Length, so a sender may have
            doubts = sorted([*doubts, *passed], key=lambda doubt: doubt.place)
        return Mbox(tuple(parts), tuple(doubts), self._is_mbox)

    @cached_property
    def _is_mbox(self) -> bool:
        if not self._lines or self._lines[0].place != self.start:
            return False
        first = self._lines[0]
        return first.form is _Form.DATED or first.below is not _Below.TEXT

    @cached_property
    def _lines(self) -> Sequence[_FromLine]:
        """All lines that begin with `From `."""
        sample = self.data[self.start : self.start + _SAMPLE]
        line_end = b"\r" if b"\r" in sample and b"\n" not in sample else b"\n"  # an old Macintosh's
        found: list[_FromLine] = []
        if self.data[self.start : self.start + 5] == b"From ":
            found.append(self._from_line(self.start, is_after_empty_line=True))
        place = self.data.find(line_end + b"From ", self.start) + 1
        while place:
            before = self.data[max(self.start, place - 3) : place]
            is_after_empty_line = before.endswith((line_end * 2, b"\n\r\n"))
            found.append(self._from_line(place, is_after_empty_line=is_after_empty_line))
            place = self.data.find(line_end + b"From ", place) + 1
        return found

    def _from_line(self, place: int, *, is_after_empty_line: bool) -> _FromLine:
        match = _LINE.match(self.data, place)
        assert match is not None  # it matches anything
        line = self.data[place : min(match.end(1), place + _LONGEST_LINE)]
        form, style = _form(line)
        return _FromLine(place, match.end(), form, style, is_after_empty_line, self._below(match.end()))

    def _below(self, place: int) -> _Below:
        found = _Below.FIELD if _FIELD.match(self.data, place) else _Below.TEXT
        for _ in range(_MOST_LINES):
            line = _LINE.match(self.data, place)
            assert line is not None
            if line.end(1) == place or self.data[place : place + 5] == b"From ":
                break
            if _HEADER_FIELD.match(self.data, place):
                return _Below.HEADER
            place = line.end()
        return found

    @cached_property
    def _does_not_quote(self) -> bool:
        """Whether the file shows that its program does not quote text that begins with `From `."""
        has_text = any(line.form is _Form.TEXT and line.is_after_empty_line for line in self._lines)
        return has_text and all(self.data.find(end + b">From ") == -1 for end in (b"\r", b"\n"))

    def _reading(self, line: _FromLine) -> _Reading:  # noqa: PLR0911 - one return per form
        first = self._lines[0]
        is_after, below = line.is_after_empty_line, line.below
        match line.form:
            case _Form.DATED if below is _Below.HEADER or (is_after and below is _Below.FIELD):
                is_another = self._is_mbox and line.style is not first.style
                return _Reading.DOUBT if is_another and self._does_not_quote else _Reading.MAIL
            case _Form.DATED:
                return _Reading.DOUBT
            case _Form.BARE if below is _Below.HEADER:
                is_usual = is_after or (self._is_mbox and first.form is _Form.BARE)
                return _Reading.MAIL if is_usual else _Reading.DOUBT
            case _Form.BARE:
                is_usual = self._is_mbox and first.form is _Form.BARE
                return _Reading.DOUBT if is_after and (is_usual or below is _Below.FIELD) else _Reading.TEXT
            case _Form.ODD if below is _Below.HEADER:
                return _Reading.MAIL if is_after else _Reading.DOUBT
            case _Form.ODD:
                return _Reading.DOUBT if is_after and below is _Below.FIELD else _Reading.TEXT
            case _Form.TEXT:
                return _Reading.DOUBT if is_after and below is _Below.HEADER else _Reading.TEXT
            case _:
                assert_never(line.form)

    def _doubt(self, line: _FromLine) -> Doubt:
        shown = ascii(
            decoded(self.data[line.place : line.place + _LONGEST_SHOWN].partition(b"\n")[0]).strip()
        )
        return Doubt(line.place, f"it may begin a mail, and is read as text of the mail before: {shown}")

    def _counted_end(self, start: int, following: _FromLine | None) -> int | None:
        """Return where a mail ends by its Content-Length; None if no From line follows there."""
        limit = following.place if following else len(self.data)
        empty = _EMPTY_LINE.search(self.data, start, limit)
        if empty is None or (length := _CONTENT_LENGTH.search(self.data, start, empty.start() + 1)) is None:
            return None
        end = empty.end() + int(length[1])
        for _ in range(2):  # the line end that parts two mails, with an empty line or without
            if end in self._places or end >= len(self.data):
                break
            end += len(_LINE_END.match(self.data, end)[0])  # type: ignore[index]  # it matches nothing, too
        return end if end in self._places or end == len(self.data) else None

    @cached_property
    def _places(self) -> frozenset[int]:
        return frozenset(line.place for line in self._lines if line.form in (_Form.DATED, _Form.BARE))


def _form(line: bytes) -> tuple[_Form, _Style]:
    match = _FROM_LINE.fullmatch(line)
    if match is not None and match["bare"] is not None:
        return _Form.BARE, _Style.THUNDERBIRD
    if match is not None:
        sender = (match["sender"] or b"").strip()
        style = (
            _Style.THUNDERBIRD if sender == b"-" else _Style.EUDORA if sender == b"???@???" else _Style.OTHER
        )
        return _Form.DATED, style
    is_odd = _TIME_OF_DAY.search(line) and _SOME_YEAR.search(line)
    return _Form.ODD if is_odd else _Form.TEXT, _Style.OTHER
