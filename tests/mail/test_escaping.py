import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.mail.escaping import escaped, escaped_lines

ACTING = ("Cc", "Cf", "Zl", "Zp", "Cs")  # categories of characters that act on a terminal or a viewer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("Eve <eve@x.example> \\ 'x'", "Eve <eve@x.example> \\ 'x'", id="ASCII"),
        pytest.param(
            "Jürgen 你好 한국 שלום 😀 e\u0301", "Jürgen 你好 한국 שלום 😀 e\u0301", id="text of any script"
        ),
        pytest.param("\x1b[2J", r"\x1b[2J", id="escape"),
        pytest.param("a\r\nb\tc\x00", r"a\r\nb\tc\x00", id="controls"),
        pytest.param("\x85\x9b\x7f", r"\x85\x9b\x7f", id="C1 controls"),
        pytest.param("\u202egnp.exe", r"\u202egnp.exe", id="bidi override"),
        pytest.param("\u2066x\u2069\u200f\u061c", r"\u2066x\u2069\u200f\u061c", id="bidi isolates and marks"),
        pytest.param("a\u200b\u200d\ufeff\u00ad", r"a\u200b\u200d\ufeff\xad", id="invisible"),
        pytest.param("a\u2028b\u2029", r"a\u2028b\u2029", id="line and paragraph separators"),
        pytest.param("\U000e0041", r"\U000e0041", id="a tag"),
        pytest.param("\ud800", r"\ud800", id="a lone surrogate"),
    ],
)
def test_what_acts_is_written_out(text: str, expected: str) -> None:
    assert escaped(text) == expected


@given(st.text(st.characters()))
def test_nothing_that_is_left_acts(text: str) -> None:
    shown = escaped(text)
    assert not any(unicodedata.category(char) in ACTING for char in shown)
    assert escaped(shown) == shown


@given(st.text(st.sampled_from(["a", "é", "\n", "\r", "\u202e", "\x1b"])))
def test_lines_stay_lines(text: str) -> None:
    assert escaped_lines(text).split("\n") == [escaped(line) for line in text.split("\n")]
