"""What a preview shows of a mail, and of which mails there is none."""

import base64
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.mail.lenient import Sender
from quarantine.previewing.reading import MOST_READ, MOST_TEXT, read_preview
from quarantine.previewing.structure import DEEPEST, MOST_PARTS
from quarantine.previewing.values import AttachedFile, AttachedMessage, CannotBeShown, Preview

HEAD = (
    b"From: Eve <eve@x.example>\r\nTo: bob@example.com\r\n"
    b"Date: Mon, 23 Nov 2026 11:00 +0100\r\nSubject: Hi\r\n"
)


def shown(raw: bytes) -> Preview:
    preview = read_preview(raw)
    assert isinstance(preview, Preview), preview
    return preview


def mail(body: bytes, content_type: str = "", encoding: str = "") -> bytes:
    fields = HEAD
    if content_type:
        fields += f"Content-Type: {content_type}\r\n".encode()
    if encoding:
        fields += f"Content-Transfer-Encoding: {encoding}\r\n".encode()
    return fields + b"\r\n" + body


def multipart(*parts: bytes, subtype: str = "mixed", boundary: str = "b", end: bytes = b"--\r\n") -> bytes:
    """Return a mail of these parts, each with its own header section."""
    body = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return mail(body + f"--{boundary}".encode() + end, f'multipart/{subtype}; boundary="{boundary}"')


def part(body: bytes, content_type: str = "text/plain", *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in (f"Content-Type: {content_type}", *fields))
    return lines.encode() + b"\r\n" + body


PLAIN, HTML = part(b"the text"), part(b"<p>the page</p>", "text/html")


def test_the_header_is_shown_as_the_mail_has_it() -> None:
    preview = shown(mail(b"x"))
    assert preview.sender == Sender("Eve", "eve[at]x[.]example")
    assert (preview.to, preview.subject) == ("bob[at]example[.]com", "Hi")
    assert preview.date.startswith("Mon, 23 Nov 2026")


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        pytest.param(mail(b"one\r\n\r\n\r\n\r\ntwo\r\n\r\n"), ("one", "", "two"), id="plain"),
        pytest.param(
            mail(b"a=\r\nb =C3=A4", "text/plain; charset=utf-8", "quoted-printable"), ("ab ä",), id="qp"
        ),
        pytest.param(mail(base64.b64encode("ä".encode()), "text/plain", "BASE64"), ("ä",), id="base64"),
        pytest.param(mail(b"w6Q", "text/plain", "base64"), ("ä",), id="base64 without padding"),
        pytest.param(mail(b"w6Q=!*", "text/plain", "base64"), ("ä",), id="base64 with noise"),
        pytest.param(mail(b"gr\xfc\xdfe", "text/plain; charset=latin-1"), ("grüße",), id="Latin"),
        pytest.param(
            mail("grüße".encode(), "text/plain; charset=nonsense"), ("grüße",), id="unknown charset"
        ),
        pytest.param(mail("grüße".encode(), "text/plain; charset=us-ascii"), ("grüße",), id="a lie"),
        pytest.param(
            mail("こんにちは".encode("iso-2022-jp"), "text/plain; charset=iso-2022-jp"),
            ("こんにちは",),
            id="jp",
        ),
        pytest.param(mail(b"x", 'text/plain; charset="'), ("x",), id="an open quote"),
        pytest.param(mail(b"x", "text"), ("x",), id="no subtype"),
        pytest.param(HEAD + b"\r\n", (), id="no body"),
        pytest.param(b"", (), id="nothing"),
        pytest.param(mail(b"\0\0\0"), (), id="NULs"),
        pytest.param(mail("a\u202eb\u200bc".encode()), ("abc",), id="invisible"),
        pytest.param(mail(b"see https://evil.example/x"), ("see https[://]evil[.]example/x",), id="a link"),
        pytest.param(multipart(PLAIN, HTML, subtype="alternative"), ("the text",), id="plain before HTML"),
        pytest.param(
            multipart(part(b" \r\n"), HTML, subtype="alternative"), ("the page",), id="plain is blank"
        ),
        pytest.param(multipart(HTML, PLAIN, subtype="alternative"), ("the text",), id="wrong order"),
        pytest.param(multipart(PLAIN, part(b"more")), ("the text", "", "more"), id="two texts"),
        pytest.param(multipart(PLAIN, end=b""), ("the text",), id="no last delimiter"),
        pytest.param(multipart(PLAIN, boundary="a b'()+_,-./:=?"), ("the text",), id="any boundary"),
        pytest.param(mail(b"x", "multipart/mixed"), ("x",), id="no boundary"),
        pytest.param(
            mail(b"--b\r\n\r\nx\r\n--b--", "multipart/digest; boundary=b"), ("(no text)",)[:0], id="digest"
        ),
        pytest.param(
            mail(b"--bb\r\n\r\nx\r\n--bb--", "multipart/mixed; boundary=b"), (), id="a longer delimiter"
        ),
    ],
)
def test_the_text(raw: bytes, lines: tuple[str, ...]) -> None:
    assert shown(raw).lines == lines


@pytest.mark.parametrize(
    ("html", "lines"),
    [
        pytest.param("<p>one<p>two", ("one", "two"), id="blocks"),
        pytest.param("a <b>bold</b> word", ("a bold word",), id="inline"),
        pytest.param("a<br>b", ("a", "b"), id="break"),
        pytest.param("<script>x</script><style>y</style><title>z</title>a<!-- c -->", ("a",), id="no text"),
        pytest.param("<!--[if mso]>x<![endif]-->a", ("a",), id="conditional comment"),
        pytest.param("&lt;b&gt; &#x41;&nbsp;&auml;", ("<b> A ä",), id="entities"),
        pytest.param(
            '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>&e;a', ("]>&e;a",), id="external entity"
        ),
        pytest.param(
            '<a href="https://evil.example/x">bank.example</a>',
            ("bank[.]example <https[://]evil[.]example/x>",),
            id="a link says where it leads",
        ),
        pytest.param(
            '<a href="https://a.example">https://a.example</a>', ("https[://]a[.]example",), id="once"
        ),
        pytest.param('<a href="https://a.example/' + "x" * 500 + '">a</a>', None, id="a long link is cut"),
        pytest.param("<table><tr><td>a<td>b<tr><td>c</table>", ("a", "b", "c"), id="table"),
        pytest.param("<div>" * 30_000 + "deep", ("deep",), id="deep"),
        pytest.param("<p style='display:none'>hidden", ("hidden",), id="hidden is shown, since it is there"),
    ],
)
def test_html_is_reduced_to_its_text(html: str, lines: tuple[str, ...] | None) -> None:
    found = shown(mail(html.encode(), "text/html; charset=utf-8")).lines
    if lines is None:
        assert len(found[0]) < 200
    else:
        assert found == lines


def test_files_and_messages_are_listed_and_not_opened() -> None:
    raw = multipart(
        PLAIN,
        part(
            base64.b64encode(b"x" * 1000), "application/pdf; name=a.pdf", "Content-Transfer-Encoding: base64"
        ),
        part(b"x", "text/plain", "Content-Disposition: attachment; filename=notes.txt"),
        part(b"From: a@b.example\r\nSubject: Within\r\n\r\nhello", "message/rfc822"),
    )
    preview = shown(raw)
    assert preview.lines == ("the text",)
    assert preview.files == (
        AttachedFile("a[.]pdf", "application/pdf", 1000),
        AttachedFile("notes[.]txt", "text/plain", 1),
    )
    assert preview.messages == (AttachedMessage(Sender("", "a[at]b[.]example"), "Within", 43),)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        pytest.param('attachment; filename="a b.pdf"', "a b[.]pdf", id="quoted"),
        pytest.param("attachment; filename*=utf-8''%C3%A4.pdf", "ä[.]pdf", id="RFC 2231"),
        pytest.param("attachment; filename*0=in; filename*1=voice.pdf", "invoice[.]pdf", id="continued"),
        pytest.param('attachment; filename="=?utf-8?q?=C3=A4.pdf?="', "ä[.]pdf", id="RFC 2047"),
        pytest.param('attachment; filename="a\u202efdp.exe"', "afdp[.]exe", id="bidi"),
        pytest.param('attachment; filename="' + "x" * 500 + '"', "x" * 79 + "…", id="long"),
        pytest.param("attachment; filename*=no-such''%ff", None, id="unknown charset"),
        pytest.param("attachment; filename*99999999999999999999=x", None, id="an absurd number"),
        pytest.param("attachment", "", id="none"),
    ],
)
def test_the_name_of_a_file_is_as_hostile_as_the_rest(field: str, name: str | None) -> None:
    preview = shown(multipart(part(b"x", "application/octet-stream", f"Content-Disposition: {field}")))
    assert len(preview.files) == 1
    if name is not None:
        assert preview.files[0].name == name


def nested(levels: int) -> bytes:
    fields = (f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(levels))
    return HEAD + "".join(fields).encode() + b"\r\nthe text\r\n"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(nested(DEEPEST + 1), CannotBeShown.TOO_DEEP, id="too deep"),
        pytest.param(nested(100_000), CannotBeShown.TOO_DEEP, id="absurdly deep"),
        pytest.param(multipart(*[PLAIN] * MOST_PARTS), CannotBeShown.TOO_MANY_PARTS, id="too many"),
        pytest.param(multipart(*[b"\r\n"] * 100_000), CannotBeShown.TOO_MANY_PARTS, id="absurdly many"),
    ],
)
def test_a_mail_that_would_take_too_long_cannot_be_shown(raw: bytes, reason: CannotBeShown) -> None:
    assert read_preview(raw) is reason


def test_the_limits_themselves_can_be_shown() -> None:
    assert shown(nested(DEEPEST)).lines == ("the text",)
    assert shown(multipart(*[PLAIN] * (MOST_PARTS - 1))).lines[0] == "the text"


def test_a_long_text_is_cut_and_says_so() -> None:
    preview = shown(mail("ä".encode() * 50_000))
    assert preview.is_cut
    assert (preview.shown, preview.whole) == (MOST_TEXT, 100_000)
    assert not shown(mail(b"x" * MOST_TEXT)).is_cut


def test_more_than_a_megabyte_of_text_is_not_read() -> None:
    preview = shown(mail(b"x " * MOST_READ))
    assert preview.whole == 2 * MOST_READ


def test_many_files_are_counted() -> None:
    preview = shown(multipart(*[part(b"x", "image/png")] * 60))
    assert (len(preview.files), preview.unlisted) == (50, 10)


WORDS = [
    b"\r\n",
    b"--b",
    b"--",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: text/html\r\n",
]


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=20)), max_size=30))
def test_any_bytes_have_a_preview_or_none_for_a_reason(pieces: list[bytes]) -> None:
    preview = read_preview(b"".join(pieces))
    if isinstance(preview, Preview):
        assert preview.shown <= MOST_TEXT
        assert all(line.isprintable() for line in preview.lines)


def test_a_mail_of_a_mail_program_is_read() -> None:
    message = EmailMessage()
    message["From"], message["Subject"] = "Ann <a@b.example>", "Füße"
    message.set_content("Grüße\n" * 3)
    message.add_alternative("<p>Grüße</p>", subtype="html")
    message.add_attachment(b"%PDF" * 300, maintype="application", subtype="pdf", filename="Müll.pdf")
    preview = shown(message.as_bytes())
    assert preview.lines == ("Grüße",) * 3
    assert preview.files == (AttachedFile("Müll[.]pdf", "application/pdf", 1200),)
