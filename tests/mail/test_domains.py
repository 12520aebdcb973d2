import pytest

from quarantine.mail.domains import InvalidDomain, aligned, normalise_domain


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param("example.com", "example.com", True, id="same"),
        pytest.param("mail.example.com", "example.com", True, id="sub-domain"),
        pytest.param("a.example.com", "b.c.example.com", True, id="cousins"),
        pytest.param("example.com", "example.net", False, id="other suffix"),
        pytest.param("example.com", "notexample.com", False, id="longer name"),
        pytest.param("example.com.evil.example", "example.com", False, id="as a prefix"),
        pytest.param("a.example.co.uk", "example.co.uk", True, id="suffix of two labels"),
        pytest.param("other.co.uk", "example.co.uk", False, id="only the suffix in common"),
        pytest.param("co.uk", "example.co.uk", False, id="a suffix speaks for nobody below it"),
        pytest.param("co.uk", "org.uk", False, id="two suffixes"),
        pytest.param("alice.github.io", "bob.github.io", False, id="two customers of one hoster"),
        pytest.param("a.onmicrosoft.com", "b.onmicrosoft.com", False, id="two tenants of one provider"),
        pytest.param("a.onmicrosoft.us", "b.onmicrosoft.us", False, id="of another cloud"),
        pytest.param("a.partner.onmschina.cn", "b.partner.onmschina.cn", False, id="of yet another"),
        pytest.param("a.mail.onmicrosoft.com", "b.mail.onmicrosoft.com", False, id="their hybrid names"),
        pytest.param("a.onmicrosoft.com", "x.a.onmicrosoft.com", True, id="one tenant"),
        pytest.param("onmicrosoft.com", "a.onmicrosoft.com", False, id="the provider and a tenant"),
        pytest.param("a.notonmicrosoft.com", "b.notonmicrosoft.com", True, id="a name that ends alike"),
        pytest.param("github.io", "github.io", True, id="a suffix and itself"),
        pytest.param("xn--bcher-kva.example", "mail.xn--bcher-kva.example", True, id="A-labels"),
        pytest.param("a.unlisted", "b.unlisted", False, id="unlisted top level"),
    ],
)
def test_alignment_is_relaxed(one: str, other: str, expected: bool) -> None:
    assert expected is aligned(one, other)
    assert expected is aligned(other, one)


@pytest.mark.parametrize(
    "domain",
    [
        pytest.param("xn--91798909911415151z.example", id="an A-label of no letter"),
        pytest.param(".".join(["a"] * 128), id="longer than a name may be"),
        pytest.param("xn--bcher-kva." * 100_000 + "example", id="a megabyte"),
    ],
)
def test_no_domain(domain: str) -> None:
    with pytest.raises(InvalidDomain):
        normalise_domain(domain)


def test_of_a_text_that_is_too_long_no_label_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def note(label: str) -> str:
        decoded.append(label)
        return label

    monkeypatch.setattr("quarantine.mail.domains._normalise_label", note)
    with pytest.raises(InvalidDomain):
        normalise_domain("xn--bcher-kva." * 100 + "example")
    assert decoded == []
