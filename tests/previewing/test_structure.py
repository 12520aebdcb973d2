"""structure.py: the parts of a mail, within limits, whatever the bytes."""

import pytest

from quarantine.previewing.structure import DEEPEST, MOST_PARTS, CannotBeShown, Part, read_structure
from tests.previewing.mails import HEADER, attached, multipart, nested, part, plain


def outline(raw: bytes) -> object:
    """Return the body of each part, in lists as the parts stand in each other."""
    found = read_structure(raw)
    return found if isinstance(found, CannotBeShown) else _outline(raw, found)


def _outline(raw: bytes, found: Part) -> object:
    if found.children:
        return [_outline(raw, child) for child in found.children]
    return raw[found.start : found.end]


def of(body: bytes, boundary: bytes = b"b") -> bytes:
    return HEADER + b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"Hello", b"", id="only a header"),
        pytest.param(b"\r\nHello", b"Hello", id="no header"),
        pytest.param(b"\nHello", b"Hello", id="no header, LF"),
        pytest.param(HEADER + b"\r\nHello\r\n", b"Hello\r\n", id="one part"),
        pytest.param(
            of(b"preamble\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\nx"), [b"one", b"two"], id="two"
        ),
        pytest.param(of(b"--b\n\none\n--b\n\ntwo\n--b--\n"), [b"one", b"two"], id="LF"),
        pytest.param(of(b"--b\r\n\r\none\r\n\r\n--b--"), [b"one\r\n"], id="a line end of its own"),
        pytest.param(of(b"--b\r\n\r\none\r\n--b\r\n\r\ntwo"), [b"one", b"two"], id="not closed"),
        pytest.param(of(b"--b\r\n\r\none\r\n--b"), [b"one", b""], id="ends with a delimiter"),
        pytest.param(of(b"--b\r\n--b\r\n--b--"), [b"", b""], id="empty parts"),
        pytest.param(of(b"--b  \t\r\n\r\none\r\n--b-- \r\n"), [b"one"], id="spaces after a delimiter"),
        pytest.param(
            of(b"--b\r\n\r\n--bc\r\nx--b\r\n --b\r\n--b--"), [b"--bc\r\nx--b\r\n --b"], id="near misses"
        ),
        pytest.param(of(b"--b--\r\n\r\n--b\r\n\r\none"), b"--b--\r\n\r\n--b\r\n\r\none", id="closed at once"),
        pytest.param(of(b"Hello"), b"Hello", id="no delimiter"),
        pytest.param(of(b"--\r\n\r\none", b'""'), b"--\r\n\r\none", id="an empty boundary"),
        pytest.param(of(b"--b\r\n\r\none", b"b" * 201), b"--b\r\n\r\none", id="a boundary too long"),
        pytest.param(
            of(b"--.*\r\n\r\none\r\n--b\r\n", b'".*"'), [b"one\r\n--b\r\n"], id="a pattern as a boundary"
        ),
        pytest.param(
            HEADER
            + multipart([multipart([plain("one")], boundary=b"c").removesuffix(b"--c--\r\n"), plain("two")]),
            [[b"one\r\n"], b"two"],
            id="an inner part that is not closed",
        ),
        pytest.param(
            HEADER + multipart([multipart([plain("one")], boundary=b"b")]),
            [b"", b"one"],
            id="the same boundary within",
        ),
    ],
)
def test_the_parts_of_a_mail(raw: bytes, expected: object) -> None:
    assert outline(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(nested(DEEPEST), None, id="as deep as may be"),
        pytest.param(nested(DEEPEST + 1), CannotBeShown.TOO_DEEP, id="a level more"),
        pytest.param(nested(1_000), CannotBeShown.TOO_DEEP, id="1,000 levels"),
        pytest.param(HEADER + multipart([plain("x")] * (MOST_PARTS - 1)), None, id="as many as may be"),
        pytest.param(
            HEADER + multipart([plain("x")] * MOST_PARTS), CannotBeShown.TOO_MANY_PARTS, id="one more"
        ),
        pytest.param(HEADER + multipart([b""] * 10_000), CannotBeShown.TOO_MANY_PARTS, id="10,000 parts"),
        pytest.param(
            HEADER + multipart([multipart([plain("x")] * 50, boundary=b"c")] * 5),
            CannotBeShown.TOO_MANY_PARTS,
            id="many in several",
        ),
    ],
)
def test_what_is_too_deep_or_too_much_is_a_value(raw: bytes, expected: CannotBeShown | None) -> None:
    found = read_structure(raw)
    assert (found if isinstance(found, CannotBeShown) else None) is expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"", "text/plain"),
        (b"Content-Type: Text/HTML; charset=x\r\n", "text/html"),
        (b"Content-Type: text\r\n", "text/plain"),
        (b"Content-Type: a/b/c\r\n", "text/plain"),
        (b"Content-Type: application/x\xff\r\n", "text/plain"),
        (b"Content-Type: " + b"a" * 300 + b"/b\r\n", "text/plain"),
        (b"Content-Type: multipart/mixed\r\n", "text/plain"),
        (b"content-type : image/png\r\n", "image/png"),
        (b"Content-Type:\r\n image/png;\r\n name=x\r\n", "image/png"),
    ],
    ids=["none", "cases", "one word", "three words", "not ASCII", "long", "no boundary", "a space", "folded"],
)
def test_media_type(field: bytes, expected: str) -> None:
    found = read_structure(HEADER + field + b"\r\n")
    assert isinstance(found, Part)
    assert found.media_type == expected


def test_the_parts_of_a_digest_are_mails() -> None:
    found = read_structure(HEADER + multipart([part("Subject: a\r\n\r\nb"), plain("x")], b"digest"))
    assert isinstance(found, Part)
    assert [child.media_type for child in found.children] == ["message/rfc822", "text/plain"]


def test_a_huge_header_is_read_in_part_and_its_body_is_found() -> None:
    long = b"X-Long: " + b"a" * 300_000 + b"\r\n"
    raw = HEADER + long + b"Content-Type: text/html\r\n\r\nHello"
    found = read_structure(raw)
    assert isinstance(found, Part)
    assert (found.media_type, raw[found.start :]) == ("text/plain", b"Hello")
    inner = HEADER + multipart([long + attached("x")])
    assert outline(inner) == [b"x"]
