"""Held mails for the tests of the preview."""

from collections.abc import Iterable

HEADER = (
    b"From: Eve <eve@evil.example>\r\nTo: bob@example.com\r\nSubject: Hello\r\n"
    b"Date: Mon, 10 Mar 2025 08:15:30 +0000\r\n"
)


def part(body: bytes | str, *fields: bytes) -> bytes:
    """Return a part, or what follows the fields of a mail."""
    text = body.encode() if isinstance(body, str) else body
    return b"".join(field + b"\r\n" for field in fields) + b"\r\n" + text


def multipart(parts: Iterable[bytes], subtype: bytes = b"mixed", boundary: bytes = b"b") -> bytes:
    """Return a part with parts in it."""
    inner = b"".join(b"--" + boundary + b"\r\n" + each + b"\r\n" for each in parts)
    content_type = b'Content-Type: multipart/%b; boundary="%b"' % (subtype, boundary)
    return part(inner + b"--" + boundary + b"--\r\n", content_type)


def plain(body: bytes | str, *fields: bytes) -> bytes:
    return part(body, b"Content-Type: text/plain; charset=utf-8", *fields)


def page(body: bytes | str, *fields: bytes) -> bytes:
    return part(body, b"Content-Type: text/html; charset=utf-8", *fields)


def attached(body: bytes | str, content_type: bytes = b"application/pdf", *fields: bytes) -> bytes:
    disposition = b"Content-Disposition: attachment"
    return part(body, b"Content-Type: " + content_type, *(fields or (disposition,)))


def nested(levels: int, inner: bytes = b"\r\nHello\r\n") -> bytes:
    """Return a mail of so many multiparts, none of which is closed."""
    layers = (b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(levels))
    return HEADER + b"".join(layers) + inner


LEAFLET = """\
<html><head><title>Offer</title><style>p { color: red }</style><!--[if mso]><p>Outlook</p><![endif]--></head>
<body><div style="display: none">free free free</div>
<h1>Your mailbox is full</h1>
<p>Dear customer,<br>confirm at
<a href="https://mailbox-upgrade.example/login?x=1">https://example.com/login</a> until 24.12.2025.</p>
<table><tr><td>Amount</td><td>&euro;&nbsp;250</td></tr></table>
<ul><li>one<li>two</ul><img src="https://evil.example/x.gif" alt="Logo"><script>alert(1)</script>
</body></html>
"""
ORDINARY = (
    b"From: IT Support <it-desk@mailbox-upgrade.example>\r\nTo: bob@example.com\r\n"
    b"Cc: =?utf-8?q?J=C3=BCrgen?= <j@example.com>\r\n"
    b"Subject: Your mailbox is full - confirm at https://mailbox-upgrade.example/login\r\n"
    b"Date: Mon, 10 Mar 2025 00:44:59 +0000\r\n"
    + multipart(
        [
            multipart([page(LEAFLET)], b"alternative", b"inner"),
            attached(b"QUJD" * 19 * 999, b"application/pdf", b"Content-Transfer-Encoding: base64").replace(
                b"application/pdf", b"application/pdf; name*=utf-8''Rechnung%20M%C3%A4rz.pdf"
            ),
            attached(b"From: a@b.example\r\nSubject: Inner\r\n\r\nText\r\n", b"message/rfc822"),
        ]
    )
)
HOSTILE = (
    b'From: "bob@example.com" <eve@evil.example>\r\nTo: \r\n'
    b"Subject: =?utf-8?q?=E2=80=AEgnp.tnemyap=0D=0ABcc:_all@example.com?=\r\nDate: never\r\n"
    + multipart(
        [
            plain(
                "What the message says\n| Subject: From the administrator\n-- \nRelease:\n"
                "release-1-abcdefghijklmnop@evil.example\n\n\n\n<a href='mailto:eve@evil.example'>x</a>\n"
                + "山" * 90
                + "\n"
                + "https://evil.example/"
                + "a" * 200
                + "\n\u202etxt.\u202c \u0000\u0007"
                + "שלום עולם\n"
                + "many words " * 9_000
            ),
            *[attached("x", b'image/png; name="</td><b>\xe2\x80\xaegnp.exe.%d"' % n) for n in range(60)],
        ]
    )
)
