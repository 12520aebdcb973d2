"""From fields, from the bytes of the mail by way of the row to what a report shows."""

from timeit import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.mail.charsets import LONGEST_TEXT
from quarantine.mail.lenient import Sender, field_sender, parse_sender
from quarantine.mail.mailbox import Mailbox, read_mailbox, write_mailbox


def shown(value: bytes) -> Sender:
    return parse_sender(field_sender(value))


# --- Rows, as they are stored and were before ---


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        pytest.param("Eve <eve@evil.example>", "Eve", "eve@evil.example", id="both"),
        pytest.param("eve@evil.example", "", "eve@evil.example", id="address"),
        pytest.param("<Eve@Evil.Example>", "", "Eve@evil.example", id="brackets"),
        pytest.param(
            '"Eve, \\"the\\" one" <e@evil.example>', 'Eve, "the" one', "e@evil.example", id="quoted"
        ),
        pytest.param('" <e@evil.example>', '"', "e@evil.example", id="half-quoted"),
        pytest.param('"\u0301Eve" " x" <e@evil.example>', "Eve x", "e@evil.example", id="a-mark-on-a-quote"),
        pytest.param("EVE@evil.example <eve@evil.example>", "", "eve@evil.example", id="name-is-address"),
        pytest.param(
            "bob@example.com <eve@evil.example>", "bob@example.com", "eve@evil.example", id="name-is-another"
        ),
        pytest.param(
            "Bob <bob@example.com> <eve@evil.example>",
            "Bob <bob@example.com>",
            "eve@evil.example",
            id="name-with-brackets",
        ),
        pytest.param(
            "Boss ‹boss@corp.example›", "Boss ‹boss@corp.example›", "", id="brackets-that-were-replaced"
        ),
        pytest.param('<"a b"@evil.example>', "", '"a b"@evil.example', id="quoted-local-part"),
        pytest.param("E <e@EXÄMPLE.example>", "E", "e@xn--exmple-cua.example", id="idn"),
        pytest.param("E <e@[192.0.2.1]>", "E", "e@[192.0.2.1]", id="domain-literal"),
        pytest.param("E <e@[IPv6:2001:db8::1]>", "E", "e@[IPv6:2001:db8::1]", id="domain-literal-of-six"),
        pytest.param("E <e@[bank.example]>", "E <e@[bank.example]>", "", id="no-domain-literal"),
        pytest.param("Eve", "Eve", "", id="name"),
        pytest.param("Eve <nowhere>", "Eve <nowhere>", "", id="no-at-sign"),
        pytest.param("E <e@ev\u202eil.example\u202c>\u200b", "E", "e@evil.example", id="bidi"),
        pytest.param("", "", "", id="none"),
        pytest.param("<>", "", "", id="null-sender"),
        pytest.param("\u200b", "", "", id="invisible"),
        pytest.param(
            "x" * 3000 + " <e@evil.example>", "x" * 1000 + "…" + "x" * 983, "e@evil.example", id="long"
        ),
    ],
)
def test_a_sender_is_taken_apart(text: str, name: str, address: str) -> None:
    assert parse_sender(text) == Sender(name, address)


@pytest.mark.parametrize(
    ("name", "claims"), [("Eve", False), ("bob@example.com", True), ("bob\uff20example.com", True)]
)
def test_a_name_that_looks_like_an_address_is_told(name: str, claims: bool) -> None:
    assert Sender(name, "eve@evil.example").claims_address is claims


# --- One reading ---

A = "a@b.example"


@pytest.mark.parametrize(
    ("value", "name", "address"),
    [
        # Comments: RFC 5322 3.2.2
        pytest.param(
            b"invoices@supplier.example (Accounts)", "Accounts", "invoices@supplier.example", id="comment"
        ),
        pytest.param(b"(Accounts) a@b.example", "Accounts", A, id="comment before"),
        pytest.param(b"a@b.example (Accounts (EU))", "Accounts (EU)", A, id="nested"),
        pytest.param(b"a@b.example (a \\) b)", "a ) b", A, id="quoted pair in a comment"),
        pytest.param(b'a@b.example ("Accounts")', "Accounts", A, id="quoted comment"),
        pytest.param(b'a@b.example (5" pipes)', '5" pipes', A, id="a quote in a comment"),
        pytest.param(b"(x) a@b.example (y)", "x y", A, id="two comments"),
        pytest.param(b"<a@b.example> (Accounts)", "Accounts", A, id="comment behind brackets"),
        pytest.param(b"(Accounts) <a@b.example>", "Accounts", A, id="comment before brackets"),
        pytest.param(b"Bob Smith (IT) <a@b.example>", "Bob Smith (IT)", A, id="comment in a name"),
        pytest.param(b"Bob <a@b.example> (IT)", "Bob (IT)", A, id="comment behind a name"),
        pytest.param(
            b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
            *("Pete(A nice \\) chap)", "pete@silly.test"),
            id="RFC 5322 A.5",
        ),
        pytest.param(b"Dating,(<a@b.example>)", "Dating,(<a@b.example>)", "", id="address in a comment"),
        pytest.param(b"Bob (a@b.example)", "Bob (a@b.example)", "", id="the same, alone"),
        pytest.param(b"(a@b.example)", "(a@b.example)", "", id="nothing but a comment"),
        pytest.param(b"(x <a@b.example>", "(x", A, id="a comment that is not closed"),
        pytest.param(b"a@b.example (x", "a@b.example (x", "", id="the same behind an address"),
        pytest.param(b"a@b.example x)", "a@b.example x)", "", id="a comment that was not opened"),
        pytest.param(b"a(x)c@b.example", "a(x)c@b.example", "", id="comment within a word"),
        # Quoted strings: RFC 5322 3.2.4
        pytest.param(b'"A" and "B" <a@b.example>', "A and B", A, id="two quoted strings"),
        pytest.param(b'"A""B" <a@b.example>', "AB", A, id="two that touch"),
        pytest.param(b'A "B" C <a@b.example>', "A B C", A, id="one in the middle"),
        pytest.param(b'"A" and "B"', "A and B", "", id="two, and no address"),
        pytest.param(b'"a \\\\ \\"b\\"" <a@b.example>', 'a \\ "b"', A, id="backslashes"),
        pytest.param(b'"CORP\\bob" <a@b.example>', "CORP\\bob", A, id="a backslash that is meant"),
        pytest.param(b"CORP\\bob <a@b.example>", "CORP\\bob", A, id="the same, not quoted"),
        pytest.param(b'"Smith, Bob" <a@b.example>', "Smith, Bob", A, id="quoted comma"),
        pytest.param(b'"x <y@z.example>" <a@b.example>', "x <y@z.example>", A, id="an address in quotes"),
        pytest.param(b'"" <a@b.example>', "", A, id="empty"),
        pytest.param(b'"N" <"info@brand.example">', '"N" <"info@brand.example">', "", id="no domain"),
        pytest.param(b'"info@brand.example"', "info@brand.example", "", id="no domain, no brackets"),
        pytest.param(b'"john doe"@x.example', "", '"john doe"@x.example', id="quoted local part"),
        pytest.param(
            b'J <"john \\"doe"@x.example>', "J", '"john \\"doe"@x.example', id="the same in brackets"
        ),
        pytest.param(
            b'<"info@brand.example"@x.example>',
            '<"info@brand.example"@x.example>',
            "",
            id="imitates an address",
        ),
        pytest.param(
            b'IT <"https://x.example/"@b.example>',
            'IT <"https://x.example/"@b.example>',
            "",
            id="imitates a link",
        ),
        # White space, brackets
        pytest.param(b" Eve\t<eve@evil.example >\t", "Eve", "eve@evil.example", id="white space"),
        pytest.param(b"Eve<eve@evil.example>", "Eve", "eve@evil.example", id="no white space"),
        pytest.param(b"< eve @ evil.example >", "", "eve@evil.example", id="white space around the at sign"),
        pytest.param(b"eve @evil.example", "", "eve@evil.example", id="the same without brackets"),
        pytest.param(b"Eve eve@evil.example", "Eve eve@evil.example", "", id="no brackets"),
        pytest.param(b"Eve <eve@evil.example", "Eve <eve@evil.example", "", id="not closed"),
        pytest.param(b"Eve eve@evil.example>", "Eve eve@evil.example>", "", id="not opened"),
        pytest.param(b"Eve <<eve@evil.example>>", "Eve <<eve@evil.example>>", "", id="double"),
        pytest.param(b"Eve <eve@evil.example> x", "Eve <eve@evil.example> x", "", id="text behind"),
        pytest.param(b"<e ve@evil.example>", "<e ve@evil.example>", "", id="white space within"),
        # Lists, groups, routes
        pytest.param(b"Smith, Bob <a@b.example>", "Smith, Bob", A, id="comma that is not quoted"),
        pytest.param(b"a@b.example,", "", A, id="comma at the end"),
        pytest.param(b"Bob <a@b.example>, ,", "Bob", A, id="two of them"),
        pytest.param(b"a@b.example, c@d.example", "a@b.example, c@d.example", "", id="two addresses"),
        pytest.param(
            b"A <a@b.example>, C <c@d.example>", "A <a@b.example>, C <c@d.example>", "", id="two names"
        ),
        pytest.param(
            b"A <a@b.example>; C <c@d.example>", "A <a@b.example>; C <c@d.example>", "", id="semicolon"
        ),
        pytest.param(b"a@b.example, C <c@d.example>", "a@b.example, C <c@d.example>", "", id="one of each"),
        pytest.param(b"a@b.example c@d.example", "a@b.example c@d.example", "", id="no comma"),
        pytest.param(b"Team: a@b.example;", "Team: a@b.example;", "", id="group"),
        pytest.param(b"Team: A <a@b.example>;", "Team: A <a@b.example>;", "", id="group with a name"),
        pytest.param(b"undisclosed-recipients:;", "undisclosed-recipients:;", "", id="empty group"),
        pytest.param(b"Re: Bob <a@b.example>", "Re: Bob", A, id="a colon in a name"),
        pytest.param(b"<@x.example:a@b.example>", "<@x.example:a@b.example>", "", id="route"),
        # Addresses
        pytest.param(
            b"IT <https://evil.example/reset?@victim.example>",
            *("IT <https://evil.example/reset?@victim.example>", ""),
            id="URL",
        ),
        pytest.param(b"mailto:a@b.example", "mailto:a@b.example", "", id="URL of mail"),
        pytest.param(b"o'brien+x=y/z@b.example", "", "o'brien+x=y/z@b.example", id="every atext"),
        pytest.param("jürgen@b.example".encode(), "", "jürgen@b.example", id="RFC 6532"),
        pytest.param(
            "jürgen@b.example".encode("latin-1"), "", "jürgen@b.example", id="the same in windows-1252"
        ),
        pytest.param(
            "a\uff20bank.example@b.example".encode(), "a\uff20bank.example@b.example", "", id="a second at"
        ),
        pytest.param(b"a@b@c.example", "a@b@c.example", "", id="two at signs"),
        pytest.param(b".a@b.example", ".a@b.example", "", id="dot before"),
        pytest.param(b"a..c@b.example", "a..c@b.example", "", id="two dots"),
        pytest.param(b"root@localhost", "root@localhost", "", id="one label"),
        pytest.param(b"a@b..example", "a@b..example", "", id="empty label"),
        pytest.param(b"a@b.example.", "a@b.example.", "", id="root dot"),
        pytest.param(b"a@-b.example", "a@-b.example", "", id="hyphen"),
        pytest.param(b"a@b_c.example", "", "a@b_c.example", id="underscore"),
        pytest.param(b"a@b/c.example", "a@b/c.example", "", id="slash"),
        pytest.param(b"@b.example", "@b.example", "", id="no local part"),
        pytest.param(
            b"a@" + b"b." * 130 + b"example", "a@" + "b." * 130 + "example", "", id="domain too long"
        ),
        pytest.param(b"a" * 320 + b"@b.example", "a" * 320 + "@b.example", "", id="address too long"),
    ],
)
def test_an_address_is_shown_only_if_there_is_one_reading(value: bytes, name: str, address: str) -> None:
    assert shown(value) == Sender(name, address)
    assert (
        parse_sender(field_sender(value)) == parse_sender(value.decode("utf-8", "replace"))
        or not value.isascii()
    )


def letters(domain: str) -> str:
    """Return what a domain says that is shown in A-labels."""
    return ".".join(
        label[4:].encode().decode("punycode") if label.startswith("xn--") else label
        for label in domain.split(".")
    )


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        pytest.param("𝗲𝗯𝗮𝘆.com", "𝗲𝗯𝗮𝘆.com", id="mathematical letters"),
        pytest.param("ｅBay.com", "ｅbay.com", id="full-width letter"),
        pytest.param("e𝗯ay.com", "e𝗯ay.com", id="one of them"),
        pytest.param("раураl.com", "раураl.com", id="Cyrillic letters"),
        pytest.param("PАYPAL.com", "pаypal.com", id="one Cyrillic letter, upper case"),
        pytest.param("ban\N{KELVIN SIGN}.example", "ban\ufffd.example", id="a letter that NFC makes ASCII"),
        pytest.param("pay\u200dpal.example", "pay\ufffdpal.example", id="a joiner"),
        pytest.param("bank.example。evil.example", "bank.example。evil.example", id="ideographic full stop"),
        pytest.param("straße.example", "straße.example", id="two readings"),
        pytest.param("bücher.example", "bücher.example", id="a domain like any"),
        pytest.param("bu\u0308cher.example", "bücher.example", id="the same, decomposed"),
        pytest.param("😀.example", "😀.example", id="no letter"),
    ],
)
def test_no_domain_imitates_another(domain: str, expected: str) -> None:
    sender = shown(f"eBay <help@{domain}>".encode())
    assert sender.name == "eBay"
    assert sender.address.isascii()
    assert letters(sender.address.removeprefix("help@")) == expected


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        pytest.param("xn--zzzzzz99999.example", "xn--zzzzzz99999.example", id="an A-label of no letters"),
        pytest.param("XN--BCHER-KVA.example", "xn--bcher-kva.example", id="an A-label in upper case"),
        pytest.param("k/é.example", None, id="a slash"),
        pytest.param("é" * 60 + "𝗯.example", None, id="too long as ASCII"),
        pytest.param("𝗯." * 60 + "example", None, id="labels that together are"),
    ],
)
def test_a_domain_is_shown_in_ascii_or_the_address_is_none(domain: str, expected: str | None) -> None:
    field = f"eBay <help@{domain}>"
    assert shown(field.encode()) == (Sender("eBay", f"help@{expected}") if expected else Sender(field, ""))


# --- Encoded words ---


@pytest.mark.parametrize(
    ("value", "name", "address"),
    [
        pytest.param(b"=?utf-8?q?J=C3=BCrgen?= <j@x.example>", "Jürgen", "j@x.example", id="name"),
        pytest.param(
            b'"=?utf-8?q?J=C3=BCrgen?=" <j@x.example>', "Jürgen", "j@x.example", id="name in quotes"
        ),
        pytest.param(b"j@x.example (=?utf-8?q?J=C3=BCrgen?=)", "Jürgen", "j@x.example", id="comment"),
        pytest.param(b"=?gb2312?B?xOO6ww==?= <j@x.example>", "你好", "j@x.example", id="Chinese"),
        pytest.param(b"=?utf-8?q?boss=40corp=2Eexample?=", "boss@corp.example", "", id="an address alone"),
        pytest.param(
            b"=?utf-8?q?Boss_=3Cboss=40corp=2Eexample=3E?=", "Boss <boss@corp.example>", "", id="with a name"
        ),
        pytest.param(
            b"=?utf-8?q?boss=40corp=2Eexample?= <e@x.example>",
            "boss@corp.example",
            "e@x.example",
            id="as a name",
        ),
        pytest.param(
            b"=?utf-8?q?Boss_=3Cboss=40corp=2Eexample=3E?= <e@x.example>",
            *("Boss <boss@corp.example>", "e@x.example"),
            id="as a name with brackets",
        ),
        pytest.param(
            b"=?utf-8?q?b=40c=2Eexample=2C?= <e@x.example>", "b@c.example,", "e@x.example", id="with a comma"
        ),
        pytest.param(
            b"e@x.example (=?utf-8?q?=29_b=40c=2Eexample?=)",
            ") b@c.example",
            "e@x.example",
            id="in a comment",
        ),
        pytest.param(
            b"e@x.example =?utf-8?q?=3Cb=40c=2Eexample=3E?=", "e@x.example <b@c.example>", "", id="behind"
        ),
        pytest.param(b"Bob <=?utf-8?q?b=40c=2Eexample?=>", "Bob <b@c.example>", "", id="in brackets"),
        pytest.param(b"=?utf-8?q?bob?=@c.example", "bob@c.example", "", id="as a local part"),
        pytest.param(b"bob@=?utf-8?q?c?=.example", "bob@c.example", "", id="in a domain"),
        pytest.param(b"=?utf-8?q?=22?= <e@x.example>", '"', "e@x.example", id="a quote"),
        pytest.param(b"=?utf-8?q?=28?= <e@x.example>", "(", "e@x.example", id="a parenthesis"),
        pytest.param(b"=?utf-8?q?a=5C?= <e@x.example>", "a\\", "e@x.example", id="a backslash"),
        pytest.param(b'"=?utf-8?q?a=22b?=" <e@x.example>', 'a"b', "e@x.example", id="a quote in quotes"),
        pytest.param(b"=?utf-8?q?Smith=2C_Bob?= <e@x.example>", "Smith, Bob", "e@x.example", id="a comma"),
        pytest.param(b"=?utf-8?q??= <e@x.example>", "", "e@x.example", id="empty"),
        pytest.param(b"=?utf-8?q??=", "", "", id="empty, and no address"),
        pytest.param(
            b"=?utf-8?Q?Bob <b@c.example>?= <e@x.example>", "Bob <b@c.example>", "e@x.example", id="lenient"
        ),
        pytest.param(b"=?utf-8?Q?Bob <b@c.example>?=", "Bob <b@c.example>", "", id="lenient, alone"),
        pytest.param(
            b"=?utf-8?q?=C3=BC?= \xfc <e@b\xfccher.example>",
            "ü ü",
            "e@xn--bcher-kva.example",
            id="8 bits beside",
        ),
        pytest.param(
            "=?utf-8?q?=C3=BC?= ü <e@bücher.example>".encode(),
            "ü ü",
            "e@xn--bcher-kva.example",
            id="UTF-8 beside",
        ),
        pytest.param(
            b"=?utf-8?q?Eve?= <https://x.example/?@y.example>",
            "Eve <https://x.example/?@y.example>",
            "",
            id="URL",
        ),
        pytest.param(b"E" * 3000 + b" <e@x.example>", "E" * 986, "e@x.example", id="a long name"),
        pytest.param(
            b"=?utf-8?q?=22?= " * 900 + b"<e@x.example>", '"' * 492, "e@x.example", id="a long name to quote"
        ),
        pytest.param(
            b"=?utf-8?q?,?= " + b"E" * 3000 + b" <e@x.example>",
            ", " + "E" * 984,
            "e@x.example",
            id="both",
        ),
    ],
)
def test_encoded_words_are_decoded_beside_the_address(value: bytes, name: str, address: str) -> None:
    row = field_sender(value)
    assert len(row) <= LONGEST_TEXT
    assert parse_sender(row) == Sender(name, address)


@pytest.mark.parametrize(
    ("field", "row"),
    [
        (b"Eve <eve@evil.example>", "Eve <eve@evil.example>"),
        (b"=?utf-8?q?J=C3=BCrgen?= <j@x.example>", "Jürgen <j@x.example>"),
        (b"=?utf-8?q?b=40c=2Eexample=2C?= <j@x.example>", '"b@c.example," <j@x.example>'),
        (b"=?utf-8?q?b=40c=2Eexample?=", '"b@c.example"'),
        (b"a@b.example (=?utf-8?q?J=C3=BCrgen?=)", "Jürgen <a@b.example>"),
        (b"a@b.example (Eve)", "a@b.example (Eve)"),
    ],
)
def test_a_row_keeps_the_decoded_field(field: bytes, row: str) -> None:
    assert field_sender(field) == row


def test_no_half_of_an_address_reads_as_a_whole() -> None:
    for cut in range(16 * 1024 - 40, 16 * 1024 + 2):
        field = b"<eve@bank.example.evil.example>"
        assert shown(b"x" * (cut - len(field)) + field).address in {"", "eve@bank.example.evil.example"}
        assert shown(b"(" + b"x" * (cut - len(field)) + b")" + field[1:-1]).address in {
            *("", "eve@bank.example.evil.example"),
        }


# --- Any field ---

PIECES = st.sampled_from(
    (
        *(
            b"<",
            b">",
            b"(",
            b")",
            b'"',
            b"\\",
            b",",
            b";",
            b":",
            b"@",
            b".",
            b" ",
            b"a@b.example",
            b"<c@d.example>",
        ),
        *(
            b"Eve",
            b"=?utf-8?q?",
            b"=40",
            b"=22",
            b"=3C",
            b"=3E",
            b"=2C",
            b"=5C",
            b"?=",
            b"[192.0.2.1]",
            b"\xe4",
            b"\xc3\xa4",
        ),
    )
)
FIELDS = st.lists(st.one_of(PIECES, st.binary(max_size=4)), max_size=20).map(b"".join)


@given(FIELDS)
def test_any_field_is_a_row_and_its_address_was_in_the_field(value: bytes) -> None:
    row = field_sender(value)
    assert len(row) <= LONGEST_TEXT
    row.encode()  # no lone surrogate
    sender = parse_sender(row)
    if sender.address:
        local, _, domain = sender.address.rpartition("@")
        assert domain.isascii()
        assert "=?" not in local
        if local.isascii() and value.isascii():
            assert local.encode() in value
            assert domain.encode() in value.translate(bytes(range(256)), b"\0\x0b\x1f").lower()


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.sampled_from(["", "a@b.example", '"a b"@c.example']),
)
def test_what_is_written_is_read(name: str, address: str) -> None:
    name = name.strip()
    if name.strip("<> \t"):
        assert read_mailbox(write_mailbox(Mailbox(name, address))) == Mailbox(name, address)


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "<",
            "(",
            ")",
            '"',
            "\\",
            "@",
            ",",
            "<(",
            '"(',
            '<"',
            '\\"',
            "()",
            "(<",
            "a@b.example,",
            "<a@b.example>",
        ),
        *("=?a", "=?a?=", "(a)", '("', "a.", '"a" ', "((a)", "<a@b.example> (x) "),
    ],
)
def test_the_work_grows_as_the_field_does(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        return min(repeat(lambda: read_mailbox(text), number=1, repeat=3))

    # 4096 if it were quadratic
    assert seconds(16_000) / seconds(250) < 64 * 10
