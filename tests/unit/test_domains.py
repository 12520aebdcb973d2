import pytest

from quarantine.domains import aligned


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
        pytest.param("github.io", "github.io", True, id="a suffix and itself"),
        pytest.param("xn--bcher-kva.example", "mail.xn--bcher-kva.example", True, id="A-labels"),
        pytest.param("a.unlisted", "b.unlisted", False, id="unlisted top level"),
    ],
)
def test_alignment_is_relaxed(one: str, other: str, expected: bool) -> None:
    assert expected is aligned(one, other)
    assert expected is aligned(other, one)
