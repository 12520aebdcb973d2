"""contentfields.py: words with parameters, in every way in which programs write and break them."""

import pytest

from quarantine.previewing.contentfields import read_content_field


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"attachment", "", id="none"),
        pytest.param(b"a; name=x.pdf", "x.pdf", id="a token"),
        pytest.param(b'a; name="x y;z.pdf"', "x y;z.pdf", id="a quoted string"),
        pytest.param(b'a; name="x \\"y\\" \\\\.pdf"', 'x "y" \\.pdf', id="quoted pairs"),
        pytest.param(b'a; name="x.pdf', "x.pdf", id="not closed"),
        pytest.param(b'a; name="x.pdf\\', "x.pdf", id="an open quoted pair"),
        pytest.param(b"a; name=my file.pdf; b=c", "my file.pdf", id="spaces without quotes"),
        pytest.param(b"a;NAME = x.pdf", "x.pdf", id="letter case and spaces"),
        pytest.param(b"a; name=x.pdf; name=y.exe", "x.pdf", id="twice"),
        pytest.param(b'a; b="; name=y.exe"; name=x.pdf', "x.pdf", id="within another"),
        pytest.param(b'a; name="=?utf-8?q?R=C3=A4?= x"', "Rä x", id="RFC 2047"),
        pytest.param(b'a; name="R\xc3\xa4"', "Rä", id="UTF-8"),
        pytest.param(b'a; name="R\xe4"', "Rä", id="windows-1252"),
        pytest.param(b"a; name*=utf-8'de'R%C3%A4%20x", "Rä x", id="RFC 2231"),
        pytest.param(b"a; name*=iso-8859-1''R%E4", "Rä", id="RFC 2231, Latin-1"),
        pytest.param(b"a; name*=utf-8''%E2%82%AC; name=EUR", "€", id="RFC 2231 before the other"),
        pytest.param(b"a; name*=R%C3%A4", "Rä", id="RFC 2231 without a charset"),
        pytest.param(b"a; name*=nonsense''R%C3%A4%zz", "Rä%zz", id="RFC 2231 with an unknown charset"),
        pytest.param(b'a; name*0="one "; name*1="two"', "one two", id="segments"),
        pytest.param(b"a; name*1=two; name*0=one", "onetwo", id="segments out of order"),
        pytest.param(b"a; name*0=one; name*2=three", "one", id="a segment is missing"),
        pytest.param(
            b"a; name*0*=utf-8''R%C3; name*1*=%A4%20; name*2=%41", "Rä %41", id="a letter in two segments"
        ),
        pytest.param(b"a; name*0=a'b'c; name*1*=%41", "a'b'cA", id="quotes that name no charset"),
        pytest.param(b"a; " + b"b;" * 20_000 + b"name=x", "", id="after more than is read"),
    ],
)
def test_name(value: bytes, expected: str) -> None:
    assert read_content_field(value).text(b"name") == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(b"", ""), (b" Attachment ; a", "attachment"), (b"\xff", "\xff")], ids=repr
)
def test_word(value: bytes, expected: str) -> None:
    assert read_content_field(value).word == expected
