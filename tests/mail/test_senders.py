"""From fields as a report shows them."""

import pytest

from quarantine.mail.lenient import Sender, parse_sender


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
        pytest.param('<"a b"@evil.example>', "", '"a b"@evil.example', id="quoted-local-part"),
        pytest.param("E <e@EXÄMPLE.example>", "E", "e@xn--exmple-cua.example", id="idn"),
        pytest.param("E <e@[192.0.2.1]>", "E", "e@[192.0.2.1]", id="domain-literal"),
        pytest.param("Eve", "Eve", "", id="name"),
        pytest.param("Eve <nowhere>", "Eve <nowhere>", "", id="no-at-sign"),
        pytest.param("eve@evil.example (Eve)", "eve@evil.example (Eve)", "", id="comment"),
        pytest.param("E <e@ev\u202eil.example\u202c>\u200b", "E", "e@evil.example", id="bidi"),
        pytest.param("", "", "", id="none"),
        pytest.param("<>", "", "", id="null-sender"),
        pytest.param("\u200b", "", "", id="invisible"),
    ],
)
def test_a_sender_is_taken_apart(text: str, name: str, address: str) -> None:
    assert parse_sender(text) == Sender(name, address)


@pytest.mark.parametrize(
    ("name", "claims"), [("Eve", False), ("bob@example.com", True), ("bob\uff20example.com", True)]
)
def test_a_name_that_looks_like_an_address_is_told(name: str, claims: bool) -> None:
    assert Sender(name, "eve@evil.example").claims_address is claims
