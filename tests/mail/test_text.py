import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.mail.text import clean_text, clipped, wrapped, wrapped_held


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("Grüße aus Köln", "Grüße aus Köln", id="ordinary"),
        pytest.param(" a\t b\r\nc  ", "a b c", id="whitespace"),
        pytest.param("a\r\nBcc: eve@evil.example", "a Bcc: eve@evil.example", id="line-break"),
        pytest.param("a\u2028b\u2029c", "a b c", id="line-separators"),
        pytest.param("a\0\x1b[31mb\x7f\x85c", "a[31mb c", id="control"),
        pytest.param("a\u202egnp.exe\u202c\u2066b\u200f", "agnp.exeb", id="bidi"),
        pytest.param("a\u200bb\ufeffc\u00add\u2060e", "abcde", id="zero-width"),
        pytest.param("a\U000e0041\U000e007fb", "ab", id="tags"),
        pytest.param("\U0001f468\u200d\U0001f469", "\U0001f468\U0001f469", id="emoji-joiner"),
        pytest.param("\u2764\ufe0f\U0001f327\ufe0f", "\u2764\ufe0f\U0001f327\ufe0f", id="emoji-style"),
        pytest.param("\u2764\u200d\ufe0f\ufe0f", "\u2764\ufe0f", id="emoji-style-once"),
        pytest.param("a\ufe0fb \ufe0f1\ufe0f\U0001f382\ufe0f", "ab 1\U0001f382", id="emoji-style-on-nothing"),
        pytest.param("\u2764\ufe0e\ufe00\U000e0100", "\u2764", id="other-styles"),
        pytest.param("\u845b\U000e0100", "\u845b", id="ideographic-variation"),
        pytest.param("\u1820\u180b\u180e\u180f", "\u1820", id="mongolian-variation"),
        pytest.param("w\u034fw\u034f\u034fw", "www", id="grapheme-joiner"),
        pytest.param("a\u17b4b\u17b5c\U00016fe4d", "abcd", id="inherent-vowels"),
        pytest.param("a\ufff9b\ufffac\ufffbd", "abcd", id="interlinear"),
        pytest.param("a\ufff0b\U000e0fffc\u2065d", "abcd", id="ignorable-and-unassigned"),
        pytest.param("a\u00a0b\u2003c\u202fd\u3000e\u1680f", "a b c d e f", id="spaces"),
        pytest.param("a\ufffcb\U0001d159c\U00013441d", "a b c d", id="blank-symbols"),
        pytest.param("a\u3164b\u115fc\u1160d\uffa0e\u2800", "a b c d e", id="blank-letters"),
        pytest.param("\ud800\ue000\U0010ffff", "\ufffd" * 3, id="no-characters"),
        pytest.param("e\u0301", "é", id="nfc"),
        pytest.param("\u0301\u0301a \u0301b", "a b", id="marks-on-nothing"),
        pytest.param("x" + "\u0336" * 50 + "y", "x" + "\u0336" * 3 + "y", id="zalgo"),
        pytest.param("\ufb2c" + "\u0591" * 9, "ש\u05bc\u05c1\u0591", id="zalgo-by-nfc"),
        pytest.param("\u200b\u202e", "", id="nothing-left"),
        pytest.param("a" * 5000 + "b" * 5000, "a" * 1000 + "…" + "b" * 1000, id="endless"),
    ],
)
def test_text_is_cleaned(text: str, shown: str) -> None:
    assert clean_text(text) == shown


@given(st.text(st.characters(), max_size=200))
def test_no_character_that_disturbs_survives(text: str) -> None:
    cleaned = clean_text(text)
    assert {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}.isdisjoint(map(unicodedata.category, cleaned))
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert clean_text(cleaned) == cleaned


def test_no_ignorable_character_survives() -> None:
    # UCD 16.0, DerivedCoreProperties.txt: Default_Ignorable_Code_Point
    ranges = """00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 FE00-FE0F
        FEFF FFA0 FFF0-FFF8 1BCA0-1BCA3 1D173-1D17A E0000-E0FFF"""
    for each in ranges.split():
        first, _, last = each.partition("-")
        for number in range(int(first, 16), int(last or first, 16) + 1):
            assert clean_text(f"a{chr(number)}b") in {"ab", "a b"}, hex(number)


def test_no_mark_of_any_script_can_be_piled_up() -> None:
    every = map(chr, range(sys.maxunicode + 1))
    marks = [
        each for each in every if unicodedata.category(each) in {"Mn", "Me"} or unicodedata.combining(each)
    ]
    assert len(marks) > 1000
    assert [mark for mark in marks if len(clean_text(f"a{mark * 9}")) > 4] == []


def test_a_pile_is_lowered_before_its_marks_are_sorted() -> None:
    # Marks that NFC would sort, in the order that takes it longest.
    marks = sorted(filter(unicodedata.combining, map(chr, range(0x20000))), key=unicodedata.combining)[::-1]
    assert len(clean_text("a" + "".join(marks * 3)[:1_900])) == 4


# --- Cutting and wrapping ---


@pytest.mark.parametrize(("text", "shown"), [("abcde", "abcde"), ("abcdef", "abcd…"), ("abc  ef", "abc…")])
def test_a_text_is_cut_with_an_ellipsis(text: str, shown: str) -> None:
    assert clipped(text, 5) == shown


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("one two", "one two", id="fits"),
        pytest.param("one two three", "one two\nthree", id="words"),
        pytest.param("one bob@example.com two", "one\nbob@example.com\ntwo", id="address-in-one-piece"),
        pytest.param("三月の会議資料", "三月の会\n議資料", id="wide"),
    ],
)
def test_our_own_text_is_wrapped_between_words(text: str, lines: str) -> None:
    assert wrapped(text, 9) == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("x" * 20, "x" * 20, id="fits"),
        pytest.param("x" * 21, f"{'x' * 16}\n  ... {'x' * 5}", id="long-word"),
        pytest.param("some words From: Anna Berg", "some words From:\n  ... Anna Berg", id="field"),
        pytest.param("twenty columns are 1. x", "twenty columns\n  ... are 1. x", id="number"),
        pytest.param(
            "eve-of-a-long[at]evil[.]example", "eve-of-a-long\n  ... [at]evil[.]\n  ... example", id="bracket"
        ),
        pytest.param("三" * 10, "三" * 10, id="wide-fits"),
        pytest.param("三" * 11, f"{'三' * 8}\n  ... {'三' * 3}", id="wide"),
        pytest.param("a" + "三" * 10, f"a{'三' * 7}\n  ... {'三' * 3}", id="a-wide-letter-is-not-halved"),
        pytest.param("é" * 20, "é" * 20, id="accents-take-one-column"),
        pytest.param("ก็" * 20, "ก็" * 20, id="marks-take-no-column"),
        pytest.param("ที่" * 21, f"{'ที่' * 16}\n  ... {'ที่' * 5}", id="marks-stay-with-their-letter"),
        pytest.param("❤\ufe0f" * 10, "❤\ufe0f" * 10, id="a-wide-letter-with-a-mark"),
        pytest.param("❤\ufe0f" * 11, f"{'❤\ufe0f' * 8}\n  ... {'❤\ufe0f' * 3}", id="and-it-is-not-halved"),
        pytest.param("a\u0316\u0301 a\u0316" * 6, "a\u0316\u0301 a\u0316" * 6, id="letters-that-begin-alike"),
    ],
)
def test_a_line_of_held_text_is_marked_as_its_next_part(text: str, lines: str) -> None:
    assert wrapped_held(text, 22, 2) == lines


def test_no_letter_is_wider_than_counted() -> None:
    wide = [
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if unicodedata.east_asian_width(char) in "WF" and unicodedata.category(char) not in ("Cn", "Mn")
    ]
    assert len(wide) > 80_000
    assert [char for char in wide if wrapped_held(char * 3, 9, 0) == char * 3 and len(char * 3) > 4] == []
    assert [char for char in wide if wrapped_held(char * 5, 9, 0) == char * 5] == []


@given(st.text(max_size=120), st.integers(0, 8))
def test_held_lines_are_never_too_long_and_lose_nothing(hostile: str, indent: int) -> None:
    text = clean_text(hostile)
    text = clean_text(text)
    lines = wrapped_held(text, 24, indent).split("\n")
    starts = [" " * indent + "... "] * (len(lines) - 1)
    assert [line[: indent + 4] for line in lines[1:]] == starts
    assert "".join(lines[0] + "".join(line[indent + 4 :] for line in lines[1:])).replace(
        " ", ""
    ) == text.replace(" ", "")
    columns = [sum(unicodedata.category(char) not in ("Mn", "Me") for char in line) for line in lines]
    assert max(columns) <= 24
