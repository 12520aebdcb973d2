import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.mail.text import clean_text


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
        pytest.param("\u2764\ufe0f", "\u2764\ufe0f", id="emoji-style"),
        pytest.param("a\u3164b\u2800", "a b", id="blank-letters"),
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


def test_no_mark_of_any_script_can_be_piled_up() -> None:
    marks = [chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) in {"Mn", "Me"}]
    assert len(marks) > 1000
    assert [mark for mark in marks if len(clean_text(f"a{mark * 9}")) > 4] == []
