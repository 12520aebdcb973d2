"""preview.py and bodies.py: which text a preview shows, and what it lists as attached."""

import base64
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.mail.lenient import Sender
from quarantine.previewing import bodies, preview
from quarantine.previewing.bodies import LONGEST, MOST_READ
from quarantine.previewing.headline import Headline
from quarantine.previewing.preview import Attachment, Preview, read_preview
from quarantine.previewing.structure import MOST_PARTS, CannotBeShown
from tests.previewing.mails import HEADER, HOSTILE, ORDINARY, attached, multipart, nested, page, part, plain

BASE64 = b"Content-Transfer-Encoding: base64"
QUOTED = b"Content-Transfer-Encoding: quoted-printable"


def shown(mail: bytes, header: bytes = HEADER) -> Preview:
    found = read_preview(header + mail)
    assert isinstance(found, Preview)
    return found


def text(mail: bytes) -> list[str]:
    return list(shown(mail).text.lines)


# --- The text ---

NOTE = plain("note", b'Content-Disposition: inline; filename="note.txt"')


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        pytest.param(part("Hello\r\n\r\nBob\r\n"), ["Hello", "", "Bob"], id="without MIME"),
        pytest.param(plain("\r\n\r\na\r\n\r\n\r\nb\r\n\r\n"), ["a", "", "b"], id="empty lines"),
        pytest.param(plain(""), [], id="nothing"),
        pytest.param(plain("\0" * 5_000), [], id="only NULs"),
        pytest.param(page("<p>a</p><p>b</p>"), ["a", "", "b"], id="HTML"),
        pytest.param(
            multipart([page("<b>html</b>"), plain("text")], b"alternative"), ["text"], id="text before HTML"
        ),
        pytest.param(multipart([plain(" \r\n"), page("html")], b"alternative"), ["html"], id="an empty text"),
        pytest.param(multipart([plain(""), page("")], b"alternative"), [], id="both empty"),
        pytest.param(
            multipart([multipart([page("a"), attached("x")], b"related", b"c"), plain("b")], b"alternative"),
            ["b"],
            id="text after related parts",
        ),
        pytest.param(
            multipart([multipart([plain("a"), page("b")], b"alternative", b"c"), plain("c")], b"mixed"),
            ["a", "", "c"],
            id="several texts",
        ),
        pytest.param(
            multipart([page("a"), page("b")], b"related"), ["a"], id="only the first of related parts"
        ),
        pytest.param(multipart([attached("a", b"text/plain"), plain("b")]), ["b"], id="an attached text"),
        pytest.param(multipart([NOTE, plain("b")]), ["b"], id="a text with a name"),
        pytest.param(NOTE, ["note"], id="a text with a name, alone"),
        pytest.param(attached("a", b"text/plain"), [], id="an attached text, alone"),
        pytest.param(part("a", b"Content-Type: text/calendar"), [], id="another text"),
        pytest.param(part("#0V%T", b"Content-Transfer-Encoding: x-uuencode"), [], id="uuencoded"),
        pytest.param(part("a", b"Content-Transfer-Encoding: nonsense"), ["a"], id="an unknown encoding"),
        pytest.param(plain(base64.encodebytes("Größe\nb".encode()), BASE64), ["Größe", "b"], id="base64"),
        pytest.param(plain(b"R3LD\xc3*\n ts!!Of\nZQ", BASE64), ["Größe"], id="base64 with garbage"),
        pytest.param(plain(b"QQ==QkI=Q", BASE64), ["ABB"], id="base64, joined and cut off"),
        pytest.param(plain(b"Gr=C3=B6=\r\n=C3=9Fe=3D=zz=", QUOTED), ["Größe==zz"], id="quoted-printable"),
        pytest.param(
            part(b"Gr\xf6\xdfe", b"Content-Type: text/plain; charset=iso-8859-1"), ["Größe"], id="a charset"
        ),
        pytest.param(
            part(b"Gr\xf6\xdfe", b"Content-Type: text/plain; charset=utf-8"), ["Größe"], id="another charset"
        ),
        pytest.param(
            part("Größe", b"Content-Type: text/plain; charset=us-ascii"), ["Größe"], id="UTF-8 as ASCII"
        ),
        pytest.param(part(b"Gr\xf6\xdfe"), ["Größe"], id="no charset"),
        pytest.param(part(b"\x1b$B;3\x1b(B"), ["山"], id="no charset, Japanese"),
        pytest.param(
            part("山".encode("utf-16"), b"Content-Type: text/plain; charset=utf-16"), ["山"], id="UTF-16"
        ),
        pytest.param(
            part(b"<meta charset=iso-8859-2><p>\xb1", b"Content-Type: text/html"),
            ["ą"],
            id="a charset in the page",
        ),
        pytest.param(part(b"<p>\xe4", b"Content-Type: text/html"), ["ä"], id="no charset, HTML"),
        pytest.param(plain("𠜎 🎉 𝒳"), ["𠜎 🎉 𝒳"], id="letters of four bytes"),
        pytest.param(plain("a\u2028b\x0bc"), ["a", "b", "c"], id="other line ends"),
        pytest.param(plain("\u202egnp.exe\u202c\u200b\u0007"), ["gnp[.]exe"], id="what is not seen"),
        pytest.param(plain("> a  b\r\n-- \r\nEve"), ["> a b", "[--]", "Eve"], id="flowed, with a signature"),
        pytest.param(plain("see https://evil.example"), ["see https[://]evil[.]example"], id="a link"),
        pytest.param(page("<a href=//evil.example>a</a>"), ["a (evil[.]example)"], id="a link of HTML"),
        pytest.param(nested(20).removeprefix(HEADER), ["Hello"], id="20 levels"),
        pytest.param(
            part("--b\r\nHello", b"Content-Type: multipart/mixed"), ["--b", "Hello"], id="no boundary"
        ),
    ],
)
def test_the_text_that_is_shown(mail: bytes, expected: list[str]) -> None:
    assert text(mail) == expected


@pytest.mark.parametrize(
    ("mail", "first", "size"),
    [
        pytest.param(plain("x" * (LONGEST - 1_000)), "x" * 1_000, LONGEST - 1_000, id="whole"),
        pytest.param(plain("line\r\n" * 10_000), "line", 60_000, id="many lines"),
        pytest.param(plain("word " * 10_000), ("word " * 180).strip(), 50_000, id="a long line"),
        pytest.param(plain("山" * 10_000), "山" * 1_000, 30_000, id="a line of long letters"),
        pytest.param(page("<p>a</p>" * 300_000), "a", 2_400_000, id="more than is read"),
        pytest.param(plain("QUJD" * 300_000, BASE64), "ABC" * 333 + "A", 900_000, id="base64"),
    ],
)
def test_a_long_text_is_cut_and_says_so(mail: bytes, first: str, size: int) -> None:
    found = shown(mail).text
    assert (found.lines[0], found.size) == (first, size)
    assert sum(len(line.encode()) + 1 for line in found.lines) <= LONGEST
    assert found.is_cut is (size > LONGEST)
    assert found.lines[-1].endswith("…") is found.is_cut


def test_what_is_not_read_counts_as_cut() -> None:
    found = shown(plain("\0" * MOST_READ + "Hello")).text
    assert (found.lines, found.is_cut, found.size) == ((), True, MOST_READ + 5)


def test_all_texts_together_are_at_most_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_READ", 5)
    assert text(multipart([plain("abc"), plain("def"), plain("ghi")])) == ["abc", "", "de"]
    assert shown(multipart([plain("abc"), plain("de")])).text.is_cut is False


# --- What is attached ---


@pytest.mark.parametrize(
    ("attachment", "expected"),
    [
        pytest.param(attached("abc"), Attachment("", "application/pdf", 3), id="no name"),
        pytest.param(
            attached("abc", b'image/png; name="a b.png"'), Attachment("a b[.]png", "image/png", 3), id="name"
        ),
        pytest.param(
            attached("abc", b"a/b; name=x", b"Content-Disposition: attachment; filename=y"),
            Attachment("y", "a/b", 3),
            id="the name of the disposition first",
        ),
        pytest.param(
            attached("", b"a/b; name*=utf-8''%E2%80%AEgnp.exe%00%0D%0ABcc:%20x"),
            Attachment("gnp[.]exe Bcc: x", "a/b", 0),
            id="a name that is not what it looks like",
        ),
        pytest.param(
            attached("", b"a/b; name=" + b"x" * 300 + b".pdf"),
            Attachment("x" * 79 + "…", "a/b", 0),
            id="a long name",
        ),
        pytest.param(
            attached("", b"a/evil.example"), Attachment("", "a/evil[.]example", 0), id="a type as a link"
        ),
        pytest.param(attached("QUJD\r\nREU=\r\n", b"a/b", BASE64), Attachment("", "a/b", 5), id="base64"),
        pytest.param(
            attached("QUJD\nREU\n ", b"a/b", BASE64), Attachment("", "a/b", 5), id="base64, not padded"
        ),
        pytest.param(
            attached("a=3D=\r\nb=\nc=41", b"a/b", QUOTED), Attachment("", "a/b", 5), id="quoted-printable"
        ),
        pytest.param(
            attached("=====", b"a/b", QUOTED), Attachment("", "a/b", 0), id="quoted-printable, broken"
        ),
        pytest.param(
            attached(
                "From: Eve <e@x.example>\r\nSubject: =?utf-8?q?H=C3=A4?=\r\n\r\nText", b"message/rfc822"
            ),
            Attachment("", "message/rfc822", 61, Headline(Sender("Eve", "e[at]x[.]example"), False, "Hä")),
            id="a mail",
        ),
        pytest.param(
            attached(base64.encodebytes(b"Subject: x\n\n"), b"message/rfc822", BASE64),
            Attachment("", "message/rfc822", 12, Headline(Sender("", ""), False, "x")),
            id="an encoded mail",
        ),
        pytest.param(attached("<b>a</b>", b"text/html"), Attachment("", "text/html", 8), id="a page"),
    ],
)
def test_what_is_attached(attachment: bytes, expected: Attachment) -> None:
    found = shown(multipart([plain("Hello"), attachment]))
    assert found.attachments == (expected,)
    assert found.text.lines == ("Hello",)


def test_a_mail_that_is_a_file_is_its_own_attachment() -> None:
    found = shown(attached("QUJD", b"application/pdf; name=a", BASE64))
    assert (found.text.lines, found.attachments) == ((), (Attachment("a", "application/pdf", 3),))


def test_attachments_stand_in_their_order_wherever_they_are() -> None:
    inner = multipart([page("a"), attached("", b"image/png; name=1")], b"related", b"c")
    mail = multipart([multipart([plain("b"), inner], b"alternative", b"d"), attached("", b"a/b; name=2")])
    assert [each.name for each in shown(mail).attachments] == ["1", "2"]


# --- The header ---


def test_the_header() -> None:
    found = shown(b"\r\n", ORDINARY.partition(b"Content-Type")[0])
    assert found.headline == Headline(
        Sender("IT Support", "it-desk[at]mailbox-upgrade[.]example"),
        claims_address=False,
        subject="Your mailbox is full - confirm at https[://]mailbox-upgrade[.]example/login",
    )
    assert (found.to, found.cc) == ("bob[at]example[.]com", "Jürgen <j[at]example[.]com>")
    assert found.date == datetime(2025, 3, 10, 0, 44, 59, tzinfo=UTC)


def test_a_header_that_says_nothing() -> None:
    found = shown(b"\r\nHello", b"")
    assert found == Preview(Headline(Sender("", ""), False, ""), "", "", None, found.text, ())


def test_many_recipients_are_cut() -> None:
    found = shown(b"\r\n", b"To: a@b.example,\r\n c@d.example\r\nTo: " + b"x@y.example, " * 99 + b"\r\n")
    assert found.to.startswith("a[at]b[.]example, c[at]d[.]example, x[at]y[.]example")
    assert len(found.to) == 300


# --- Any mail ---


@pytest.mark.parametrize("error", [ValueError, LookupError, RecursionError, UnicodeError])
def test_a_fault_of_ours_is_a_value(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(preview, "shown_text", fail)
    assert read_preview(ORDINARY) is CannotBeShown.UNREADABLE


@pytest.mark.parametrize("mail", [nested(21), nested(1_000)], ids=["21 levels", "1,000 levels"])
def test_what_is_too_deep_cannot_be_shown(mail: bytes) -> None:
    assert read_preview(mail) is CannotBeShown.TOO_DEEP


def test_a_large_mail_takes_little_more_memory_than_its_own() -> None:
    data = (b"QUJD" * 19 + b"\r\n") * 380_000
    mail = HEADER + multipart([plain("Hello\r\n" * 1_000_000), attached(data, b"a/b", BASE64)])
    tracemalloc.start()
    try:
        found = read_preview(mail)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(found, Preview)
    assert [each.size for each in found.attachments] == [380_000 * 57]
    assert peak < len(mail)


def within_bounds(found: Preview | CannotBeShown) -> None:
    """Check what holds for every preview."""
    if isinstance(found, CannotBeShown):
        return
    assert sum(len(line.encode()) + 1 for line in found.text.lines) <= LONGEST
    assert len(found.attachments) <= MOST_PARTS
    headlines = [found.headline, *(each.message for each in found.attachments if each.message)]
    for line in (
        *(found.to, found.cc, *found.text.lines),
        *(text for each in headlines for text in (each.sender.name, each.sender.address, each.subject)),
        *(text for each in found.attachments for text in (each.name, each.media_type)),
    ):
        assert line.isprintable()
        assert "@" not in line
        assert line.count("://") == line.count("[://")


pieces = st.sampled_from(
    [
        *(
            HEADER,
            b"\r\n",
            b"\n",
            b"--b\r\n",
            b"--b--\r\n",
            b"--c\n",
            b"Content-Type: text/html\r\n",
            b"a@b.example ",
        ),
        *(
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b"Content-Type: multipart/alternative; boundary=c\r\n",
        ),
        *(
            b"Content-Type: message/rfc822\r\n",
            BASE64 + b"\r\n",
            QUOTED + b"\r\n",
            b"QUJD",
            b"=C3",
            b"=",
            b"=\r\n",
        ),
        *(
            b"Content-Disposition: attachment; filename*0*=utf-8''%E2; filename*1*=%80%AE\r\n",
            b"<p hidden>",
            b"<a ",
        ),
        *(
            b"href=http://evil.example>",
            b"\xff\xfe",
            b"\x00",
            b"\xe2\x80\xae",
            b"&#9;",
            b"; charset=utf-16",
            b"<!--",
        ),
    ]
)
any_mail = st.binary(max_size=400) | st.lists(pieces, max_size=25).map(b"".join)


@given(raw=any_mail)
def test_any_bytes_have_a_preview_within_bounds_or_a_reason(raw: bytes) -> None:
    within_bounds(read_preview(raw))


def test_the_hostile_mail_is_within_bounds() -> None:
    within_bounds(read_preview(HOSTILE))
