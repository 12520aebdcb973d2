"""Text to show: cleaning hostile text, measuring its width in columns, cutting and wrapping."""

import functools
import re
import unicodedata
from collections.abc import Iterator

ELLIPSIS = "…"

# --- Cleaning ---

_LONGEST_READ = 1_000  # characters at each end of a text: limits the work that one message can cause
_MOST_MARKS = 3  # on one letter; Hebrew, Thai and Vietnamese need no more

# Invisible letters and symbols (Lo, So): Hangul fillers, the empty Braille pattern.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")


def clean_text(text: str) -> str:
    """Return hostile text as one line in NFC that can be shown beside other text without disturbing it.

    Control, format and bidi characters (Cc, Cf; also the joiners of emoji, which are then shown side by side)
    and invisible letters are removed. Characters without a meaning here (Cs, Co, Cn) become U+FFFD.
    """
    if len(text) > 2 * _LONGEST_READ:  # the end is kept too: a sender's address is there
        text = text[:_LONGEST_READ] + "…" + text[-_LONGEST_READ:]
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    text = _without_piles("".join(map(_safe, text)))
    # Again after NFC: it splits some letters into a letter and its marks.
    return " ".join(_without_piles(unicodedata.normalize("NFC", text)).split())


@functools.lru_cache(maxsize=4096)
def _safe(char: str) -> str:
    if char.isspace() or char in _BLANK:
        return " "
    match unicodedata.category(char):
        case "Cc" | "Cf":
            return ""
        case "Cs" | "Co" | "Cn":
            return "\ufffd"
        case _:
            return char


# A character that is not ASCII and not a letter or digit of any script: it may be a mark.
_MAYBE_A_MARK = re.compile(r"[^\w\s!-~]")


def _without_piles(text: str) -> str:
    """Keep at most _MOST_MARKS combining marks on a letter, and none without a letter before it."""
    if not _MAYBE_A_MARK.search(text):
        return text
    kept, marks = [], _MOST_MARKS
    for char in text:
        if unicodedata.category(char) in ("Mn", "Me"):
            marks += 1
        else:
            marks = _MOST_MARKS if char == " " else 0
        if marks <= _MOST_MARKS:
            kept.append(char)
    return "".join(kept)


# --- Cutting and wrapping ---


def clipped(text: str, length: int) -> str:
    """Return the text with at most `length` characters, and an ellipsis where it was cut."""
    return text if len(text) <= length else text[: length - 1].rstrip() + ELLIPSIS


def wrapped(text: str, columns: int, indent: int = 0) -> str:
    """Break a text into lines of `columns` columns; all lines but the first are indented by `indent` spaces.

    An address is not broken, so that it can be copied.
    """
    if _is_narrow(text) and len(text) <= columns - indent:
        return text
    return ("\n" + " " * indent).join(_lines(text, columns - indent))


def _lines(text: str, columns: int) -> Iterator[str]:
    if _is_narrow(text):
        yield from _narrow_lines(text, columns)
        return
    line, room = "", columns
    for piece in _pieces(text):
        if line and _columns(piece.rstrip()) > room:
            yield line.rstrip()
            line, room = "", columns
        line += piece
        room -= _columns(piece)
    yield line


def _is_narrow(text: str) -> bool:
    """Return whether each character takes one column, as in most texts, including those that were cut."""
    return text.replace(ELLIPSIS, "").isascii()


def _narrow_lines(text: str, columns: int) -> Iterator[str]:
    """Do the same for a text of one column per character, without examining each character."""
    start = 0
    while len(text) - start > columns:
        end = text.rfind(" ", start, start + columns + 1)
        if end == -1:
            end = text.find(" ", start + columns)  # a word that is longer than a line is not broken
        if end == -1:
            break
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _pieces(text: str) -> Iterator[str]:
    """Split a text after each space and each wide letter, but never within an address."""
    start = 0
    for end, char in enumerate(text, 1):
        if char == " " or _columns(char) > 1:
            yield text[start:end]
            start = end
    yield text[start:]


def _columns(text: str) -> int:
    """Return how many columns of a terminal the text takes (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
