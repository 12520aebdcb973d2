"""Text to show: cleaning hostile text, cutting, and wrapping into lines."""

import functools
import re
import unicodedata
from collections.abc import Sequence

ELLIPSIS = "…"

# --- Cleaning ---

_LONGEST_READ = 1_000  # characters at each end of a text: limits the work that one message can cause
_MOST_MARKS = 3  # on one letter; Hebrew, Thai and Vietnamese need no more

# Invisible characters of other categories than Cc, Cf and Z: Default_Ignorable_Code_Point (Unicode,
# DerivedCoreProperties.txt), including unassigned code points, and the Khitan filler.
_IGNORABLE = "\u034f\u17b4\u17b5\u180b-\u180f\u2065\ufe00-\ufe0e\ufff0-\ufff8\U00016fe4\U000e0000-\U000e0fff"
# Letters and symbols that are drawn as empty space: Hangul fillers, the empty Braille pattern, the object
# replacement character, the null note head, blank hieroglyphs.
_BLANK = "\u115f\u1160\u3164\uffa0\u2800\ufffc\U0001d159\U00013441\U00013442"

# U+FE0F shows a symbol as an emoji. It is kept only after these symbols (Unicode, emoji-data.txt: Emoji, but
# not Emoji_Presentation, without the digits). Anywhere else it is invisible and could carry hidden data.
_STRAY_EMOJI_STYLE = re.compile(
    "\ufe0f(?<![©®‼⁉™ℹ↔-↙↩↪⌨⏏⏭-⏯⏱⏲⏸-⏺Ⓜ▪▫▶◀◻◼☀-☄☎☑☘☝☠☢☣☦☪☮☯☸-☺♀♂♟♠♣♥♦♨♻♾⚒⚔-⚗⚙⚛⚜⚠⚧⚰⚱⛈⛏⛑⛓⛩⛰⛱⛴⛷-⛹✂✈✉✌✍✏✒✔✖✝✡✳✴"
    "❄❇❣❤➡⤴⤵⬅-⬇〰〽㊗㊙🅰🅱🅾🅿🈂🈷🌡🌤-🌬🌶🍽🎖🎗🎙-🎛🎞🎟🏋-🏎🏔-🏟🏳🏵🏷🐿👁📽🕉🕊🕯🕰🕳-🕹🖇🖊-🖍🖐🖥🖨🖱🖲🖼🗂-🗄🗑-🗓🗜-🗞🗡🗣🗨"
    "🗯🗳🗺🛋🛍-🛏🛠-🛥🛩🛰🛳]\ufe0f)"
)
_UNSEEN = re.compile(f"[{_IGNORABLE}{_BLANK}\ufe0f]")


def clean_text(text: str) -> str:
    """Return hostile text as one line in NFC that can be shown beside other text without disturbing it.

    Invisible characters are removed: control, format and bidi characters (also the joiners of emoji, which
    are then shown side by side), variation selectors, empty letters. Characters without a meaning here
    (Cs, Co, Cn) become U+FFFD.
    """
    if len(text) > 2 * _LONGEST_READ:  # the end is kept too: a sender's address is there
        text = text[:_LONGEST_READ] + ELLIPSIS + text[-_LONGEST_READ:]
    if text.isascii() and text.isprintable():
        return _single_spaced(text)
    if not text.isprintable() or _UNSEEN.search(text):
        text = _STRAY_EMOJI_STYLE.sub("", "".join(map(_safe, text)))
    text = _without_piles(text)  # before NFC, which sorts the marks of a letter in quadratic time
    composed = unicodedata.normalize("NFC", text)
    if composed != text:
        composed = _without_piles(composed)  # NFC splits some letters into a letter and its marks
    return _single_spaced(composed)


def _single_spaced(text: str) -> str:
    """Return a text, whose only white space is the space, with one between words and none at the ends."""
    text = text.strip(" ")
    return " ".join(text.split()) if "  " in text else text


@functools.lru_cache(maxsize=4096)
def _safe(char: str) -> str:
    if char.isspace() or char in _BLANK:
        return " "
    if char != "\ufe0f" and _UNSEEN.match(char):
        return ""
    match unicodedata.category(char):
        case "Cc" | "Cf":
            return ""
        case "Cs" | "Co" | "Cn":
            return "\ufffd"
        case _:
            return char


# This class contains every combining mark: neither a letter nor a digit, and not in a block without marks.
_MAYBE_A_MARK = r"[^\w\s!-\u02ff\u2000-\u20cf\U0001f000-\U0001faff]"
_NOT_A_LETTER = re.compile(_MAYBE_A_MARK)
# Marks at the start or after a space, or too many of them.
_MAYBE_A_PILE = re.compile(
    rf"{_MAYBE_A_MARK}(?: (?<!\S.) | {_MAYBE_A_MARK}{{{_MOST_MARKS}}} ){_MAYBE_A_MARK}*", re.VERBOSE
)


def _without_piles(text: str) -> str:
    """Keep at most _MOST_MARKS combining marks on a letter, and none without a letter before it."""
    return _MAYBE_A_PILE.sub(_lowered, text)


def _lowered(pile: re.Match[str]) -> str:
    start = pile.start()
    marks = 0 if start and pile.string[start - 1] != " " else _MOST_MARKS
    kept = ""
    for char in pile[0]:
        marks = marks + 1 if _is_a_mark(char) or unicodedata.combining(char) else 0
        if marks <= _MOST_MARKS:
            kept += char
    return kept


# --- Cutting and wrapping ---


def clipped(text: str, length: int) -> str:
    """Return the text with at most `length` characters, and an ellipsis where it was cut."""
    return text if len(text) <= length else text[: length - 1].rstrip() + ELLIPSIS


# Characters of two columns: Wide and Fullwidth in UAX 11, and all symbols that can be shown as emoji.
_WIDE = re.compile(
    "[\u1100-\u115f\u231a-\u23ff\u25fd-\u27bf\u2b1b-\u2b55\u2e80-\u303e\u3041-\u3247\u3250-\ua4c6\ua960-\ua97c"
    "\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uff60\uffe0-\uffe6"
    "\U00016fe0-\U0001b2ff\U0001f000-\U0001faff\U00020000-\U0003fffd]+"
)
_SECOND_COLUMN = "\0"  # marks the second column of a wide letter; no cleaned text contains it
_STAND_INS = range(0xE000, 0xF900)  # for letters with marks; private use, which no cleaned text contains
_CONTINUED = "... "


def wrapped(text: str, columns: int) -> str:
    """Break our own text into lines of `columns` columns.

    An address is not broken, so that it can be copied.
    """
    return "\n".join(_lines(*_in_columns(text), columns, "[^ ]+"))


def wrapped_held(text: str, columns: int, indent: int) -> str:
    """Break held text that was cleaned into lines of at most `columns` columns.

    Every line but the first is indented by `indent` spaces and begins with three dots. So held text cannot
    imitate one of our fields or the start of a message. (KMail and mutt show lines with `>` or `|` as
    quotations.) Long words are broken too: otherwise the mail program would break them, without the dots.
    """
    letters, marked = _in_columns(text)
    columns -= indent
    if len(letters) <= columns:
        return text
    columns -= len(_CONTINUED)
    lines = _lines(letters, marked, columns, _long_word(columns))
    return ("\n" + " " * indent + _CONTINUED).join(lines)


def wrapped_anywhere(text: str, columns: int) -> Sequence[str]:
    """Break held text that was cleaned into lines of at most `columns` columns, which the caller marks.

    Long words are broken too, so that no mail program breaks a line and leaves its rest without the mark.
    """
    letters, marked = _in_columns(text)
    if len(letters) <= columns:
        return (text,)
    return _lines(letters, marked, columns, _long_word(columns))


def _long_word(columns: int) -> str:
    """Match a part of a long word: up to a bracket, if it has one."""
    return rf".{{1,{columns}}}(?:(?=\[)|(?<=\]))|.{{1,{columns}}}(?!\0)"


def _in_columns(text: str) -> tuple[str, Sequence[str]]:
    """Return the text with one character for each column, and the letters with marks: the nth stand-in's."""
    if text.isascii():
        return text, ()
    marked = _marked_letters(text)
    for stand_in, letter in zip(_STAND_INS, marked, strict=False):
        text = text.replace(letter, chr(stand_in) + _SECOND_COLUMN * bool(_WIDE.match(letter)))
    return _WIDE.sub(lambda wide: _SECOND_COLUMN.join(wide[0]) + _SECOND_COLUMN, text), marked


def _marked_letters(text: str) -> Sequence[str]:
    """Return each letter that has combining marks, with them, once: these with the most marks first."""
    marks = "".join(sorted(char for char in set(_NOT_A_LETTER.findall(text)) if _is_a_mark(char)))
    return sorted(set(re.findall(f".[{marks}]+", text)), key=len, reverse=True) if marks else ()


def _is_a_mark(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Me")


def _lines(letters: str, marked: Sequence[str], columns: int, long_word: str) -> Sequence[str]:
    lines: list[str] = _line(columns, long_word).findall(letters)
    if _SECOND_COLUMN in letters:
        lines = [line.replace(_SECOND_COLUMN, "") for line in lines]
    if marked:
        spelt = dict(zip(_STAND_INS, marked, strict=False))
        lines = [line.translate(spelt) for line in lines]
    return lines


@functools.cache
def _line(columns: int, long_word: str) -> re.Pattern[str]:
    """Match a line that ends at a space, after a wide letter or at the end; otherwise part of a long word."""
    return re.compile(rf"(.{{1,{columns}}}(?= |\Z|(?<=\0))|{long_word}) ?")
