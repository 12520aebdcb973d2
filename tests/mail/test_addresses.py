import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.strict import parse_from

BOB = Address("bob", "example.com")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("bob@example.com", "bob@example.com", id="plain"),
        pytest.param("Bob.Builder@EXAMPLE.Com", "bob.builder@example.com", id="case"),
        pytest.param("bob+tag@example.com", "bob+tag@example.com", id="suffix"),
        pytest.param("o'brien/x=y@example.com", "o'brien/x=y@example.com", id="every atext"),
        pytest.param("bob@bücher.example", "bob@xn--bcher-kva.example", id="U-label"),
        pytest.param("bob@BÜCHER.example", "bob@xn--bcher-kva.example", id="U-label in upper case"),
        pytest.param("bob@XN--BCHER-KVA.example", "bob@xn--bcher-kva.example", id="A-label"),
        pytest.param("a" * 64 + "@example.com", "a" * 64 + "@example.com", id="longest local part"),
    ],
)
def test_an_address_has_one_spelling(text: str, expected: str) -> None:
    assert expected == str(Address.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("bob", id="no domain"),
        pytest.param("@example.com", id="no local part"),
        pytest.param("bob@", id="empty domain"),
        pytest.param("bob@localhost", id="one label"),
        pytest.param("bob@example.com.", id="root dot"),
        pytest.param("bob@exa mple.com", id="space in the domain"),
        pytest.param("bob @example.com", id="space before the at (RFC 5322 4.4)"),
        pytest.param(".bob@example.com", id="leading dot"),
        pytest.param("b..ob@example.com", id="two dots"),
        pytest.param('"bob"@example.com', id="quoted local part"),
        pytest.param('"alice@example.com"@example.com', id="an address in a quoted local part"),
        pytest.param("bob@[192.0.2.1]", id="domain literal"),
        pytest.param("bob(alice)@example.com", id="comment in the local part"),
        pytest.param("bob@example.com@evil.example", id="two ats"),
        pytest.param("@a.example,@b.example:bob@example.com", id="source route"),
        pytest.param("=?utf-8?q?bob?=@example.com", id="encoded word as local part"),
        pytest.param("bøb@example.com", id="local part beyond ASCII"),
        pytest.param("bob@exa_mple.com", id="underscore"),
        pytest.param("bob@-example.com", id="leading hyphen"),
        pytest.param("bob@ban\N{KELVIN SIGN}.example", id="Kelvin sign for k"),
        pytest.param("bob@\N{FULLWIDTH LATIN SMALL LETTER E}xample.com", id="full-width letter"),
        pytest.param("bob@example\N{IDEOGRAPHIC FULL STOP}com", id="ideographic full stop"),
        pytest.param("bob@straße.example", id="a letter of two readings (IDNA 2003 and 2008)"),
        pytest.param("bob@xn--zzzzzz99999.example", id="A-label of no U-label"),
        pytest.param("bob@xn--.example", id="empty A-label"),
        pytest.param("bob@\N{RIGHT-TO-LEFT OVERRIDE}moc.example", id="bidi override"),
        pytest.param("bob@" + "a" * 64 + ".example", id="label too long"),
        pytest.param("a" * 65 + "@example.com", id="local part too long"),
        pytest.param("bob@" + "a." * 130 + "example", id="domain too long"),
        pytest.param("a" * 60 + "@" + "b." * 100 + "example", id="address too long"),
        pytest.param("a" * 60 + "@" + "ü." * 24 + "example", id="address too long as A-labels"),
        pytest.param("bob@example.com\n", id="line feed at the end"),
        pytest.param("bob\x00@example.com", id="NUL"),
    ],
)
def test_what_could_be_read_in_two_ways_is_no_address(text: str) -> None:
    with pytest.raises(InvalidAddress):
        Address.parse(text)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("bob@example.com", id="bare"),
        pytest.param("<bob@example.com>", id="angle brackets alone"),
        pytest.param(" \tBob <Bob@Example.COM>\t", id="white space around"),
        pytest.param("Bob A. Builder <bob@example.com>", id="dot in the display name (obs-phrase)"),
        pytest.param('"Builder, Bob" <bob@example.com>', id="quoted comma"),
        pytest.param('"Bob \\"the\\" Builder" <bob@example.com>', id="quoted pair"),
        pytest.param('"Bob (Builder)" <bob@example.com>', id="parentheses in quotes are no comment"),
        pytest.param("Bøb <bob@example.com>", id="raw UTF-8 display name"),
        pytest.param("=?utf-8?b?QsO4Yg==?= <bob@example.com>", id="encoded display name"),
        pytest.param("=?utf-8?b?////?= <bob@example.com>", id="encoded word of broken UTF-8"),
        pytest.param("=?no-charset?q?x?= <bob@example.com>", id="encoded word of no charset"),
        pytest.param("=?é?q?x?= <bob@example.com>", id="encoded word of a charset beyond ASCII"),
        pytest.param("=?utf-8?b?abc?= <bob@example.com>", id="encoded word of broken base64"),
        pytest.param('"bob@example.com" <bob@example.com>', id="display name is the same address"),
        pytest.param("\"'bob@example.com'\" <bob@example.com>", id="Outlook's quotes"),
        pytest.param('"Bob@Home" <bob@example.com>', id="a name with an at, and no dot"),
        pytest.param("bob@example.com (Bob)", id="comment behind"),
        pytest.param("(Bob) bob@example.com", id="comment before"),
        pytest.param("Bob (Builder) <bob@example.com>", id="comment in the phrase"),
        pytest.param("Bob(Builder) <bob@example.com>", id="comment that touches the phrase"),
        pytest.param("Bob <bob@example.com> (Builder)", id="comment behind the brackets"),
        pytest.param("bob@example.com (Bob (the) Builder)", id="nested comment"),
        pytest.param(r"bob@example.com (Bob \(IT\))", id="quoted pairs in a comment"),
        pytest.param('bob@example.com (Bob "the" Builder)', id="quotes in a comment"),
        pytest.param("bob@example.com (bob@example.com)", id="the same address in a comment"),
        pytest.param("bob@example.com (Bøb) (=?utf-8?q?IT?=)", id="two comments"),
        pytest.param(" ".join(["Bob"] * 275) + " <bob@example.com>", id="folded: 1,100 characters"),
    ],
)
def test_one_address_in_from(value: str) -> None:
    assert parse_from(value) == BOB


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("Bob", id="display name alone"),
        pytest.param("alice@example.com, bob@example.com", id="two addresses"),
        pytest.param("Alice <alice@example.com>, Bob <bob@example.com>", id="two mailboxes"),
        pytest.param("Bob <bob@example.com>,", id="empty second"),
        pytest.param("<bob@example.com><alice@example.com>", id="two angle addresses"),
        pytest.param("<<bob@example.com>>", id="double brackets"),
        pytest.param("Bob <bob@example.com> x", id="text behind"),
        pytest.param("team: bob@example.com;", id="group"),
        pytest.param("undisclosed:;", id="empty group"),
        pytest.param("bob@example.com (alice@example.com)", id="comment behind"),
        pytest.param("(alice@example.com) bob@example.com", id="comment before"),
        pytest.param("bob@example.com(.evil.example)", id="comment that touches the address"),
        pytest.param("(x)bob@example.com", id="comment that touches it before"),
        pytest.param("bob@example.com (eve＠evil.example)", id="full-width at in a comment"),
        pytest.param("bob@example.com (=?utf-8?q?eve=40evil.example?=)", id="encoded address in a comment"),
        pytest.param("bob@example.com (Bob", id="comment without an end"),
        pytest.param("bob@example.com Bob)", id="comment without a beginning"),
        pytest.param(r"bob@example.com (a \) <eve@evil.example> (b)", id="quoted pair that hides an end"),
        pytest.param('bob@example.com ("a) <eve@evil.example> (b")', id="quotes that hide an end"),
        pytest.param("bob@example.com (Bob) <eve@evil.example>", id="two addresses about a comment"),
        pytest.param("Bob <bob@example.com> (Bob) eve@evil.example", id="another address behind a comment"),
        pytest.param("Bob <bob(x)@example.com>", id="comment in the address"),
        pytest.param('"bob"@example.com', id="quoted local part"),
        pytest.param('"bob@example.com', id="quote that does not end"),
        pytest.param("<@a.example:bob@example.com>", id="route"),
        pytest.param("< bob@example.com >", id="spaces in the brackets"),
        pytest.param("alice@example.com <bob@example.com>", id="bare address as display name"),
        pytest.param('"alice@example.com" <bob@example.com>', id="display name is another address"),
        pytest.param(
            '"Alice <alice@example.com>" <bob@example.com>', id="display name holds another mailbox"
        ),
        pytest.param(
            "=?utf-8?q?alice=40example=2Ecom?= <bob@example.com>", id="encoded word is another address"
        ),
        pytest.param("=?utf-8?b?YWxpY2VAZXhhbXBsZS5jb20=?= <bob@example.com>", id="the same in base64"),
        pytest.param('"=?utf-8?q?alice=40example=2Ecom?=" <bob@example.com>', id="encoded word in quotes"),
        pytest.param('"a@b.c@d.example" <bob@example.com>', id="display name shows what is no valid address"),
        pytest.param("=?utf-8?q?alice=40example=2Ecom=3E=2C_=3Cx?= bob@example.com", id="encoded brackets"),
        pytest.param("bob@example.com\x00", id="NUL"),
        pytest.param("bob@example.com\rFrom: alice@example.com", id="bare CR"),
        pytest.param("bob@example.com\nFrom: alice@example.com", id="bare LF"),
        pytest.param("Bob\x1b <bob@example.com>", id="escape"),
        pytest.param("Bob\x85 <bob@example.com>", id="C1 control"),
        pytest.param("x" * 10_240 + " <bob@example.com>", id="longer than what SES gives of a header"),
    ],
)
def test_a_from_that_two_readers_could_read_differently_is_refused(value: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_from(value)


@given(st.text())
def test_parse_from_raises_nothing_else(value: str) -> None:
    try:
        address = parse_from(value)
    except InvalidAddress:
        return
    assert Address.parse(str(address)) == address


@given(st.from_regex(r"[a-z]{1,5}(, |;|\(|<|:|@)[a-z@.]{1,9}", fullmatch=True), st.booleans())
def test_no_text_beside_bobs_address_moves_it(text: str, before: bool) -> None:
    value = f"{text}<bob@example.com>" if before else f"<bob@example.com>{text}"
    try:
        assert parse_from(value) == BOB
    except InvalidAddress:
        return
