"""The report in real mail programs: Roundcube in headless Chromium, and Thunderbird.

`make test-rendering` runs these. Their pictures are in tests/rendering/build, for you to look at.
"""

import re
from email.message import EmailMessage
from functools import cache
from html.parser import HTMLParser

import pytest

from tests.rendering import roundcube, thunderbird
from tests.rendering.test_rendering import SHOWN, approved, hostile
from tests.reporting.requests import CODE, DOMAIN
from tests.reporting.test_links import MAILS, OWN, part

PICTURED = {"ordinary": approved("ordinary"), "hostile": hostile()}
REPORTS = PICTURED | {f"hostile-{number}": mail for number, mail in enumerate(MAILS, 1)}
COLOURS = {  # of the page and of the card, as the report's two themes set them
    "light": ("rgb(243, 244, 246)", "rgb(255, 255, 255)"),
    "dark": ("rgb(20, 24, 29)", "rgb(29, 35, 42)"),
    "narrow": ("rgb(243, 244, 246)", "rgb(255, 255, 255)"),
}

# The driver of Thunderbird is older than this Python.
pytestmark = [
    pytest.mark.rendered,
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Anchors(HTMLParser):
    """The targets of the links that the markup of a page makes, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value or "" for name, value in attrs if (tag, name) == ("a", "href")]


def links_written_by(mail: EmailMessage) -> list[str]:
    """Return the targets of the links that we write into the HTML."""
    return Anchors(part(mail, "html")).targets


def addresses_written_by(mail: EmailMessage) -> list[str]:
    """Return our own addresses and the requester's, as often as the text has them: a program links these."""
    requester = str(mail["To"])
    own = sorted({*OWN, requester, str(mail["Reply-To"] or requester)}, key=len, reverse=True)
    addresses = [*map(re.escape, own), rf"[a-z]+-[0-9]+-{CODE}@{re.escape(DOMAIN)}"]
    return re.findall(
        "|".join(rf"(?<!\S){address}(?=[.,]?(?:\s|$))" for address in addresses), part(mail, "plain")
    )


@cache
def in_roundcube() -> dict[str, roundcube.Shown]:
    return roundcube.show(REPORTS, PICTURED.keys(), SHOWN)


@pytest.mark.parametrize("name", REPORTS)
def test_roundcube_links_only_what_we_link(name: str) -> None:
    assert [target for target, _ in in_roundcube()[name].links["html"]] == links_written_by(REPORTS[name])


@pytest.mark.parametrize("name", REPORTS)
def test_roundcube_links_only_our_own_addresses_in_the_text(name: str) -> None:
    own = addresses_written_by(REPORTS[name])
    assert in_roundcube()[name].links["text"] == [(f"mailto:{address}", address) for address in own]


@pytest.mark.parametrize("view", COLOURS)
@pytest.mark.parametrize("name", PICTURED)
def test_roundcube_shows_it_with_its_styles(name: str, view: str) -> None:
    pane = in_roundcube()[name].views[view]
    assert (pane.page, pane.card) == COLOURS[view]
    assert (pane.card_border, pane.tag_radius) == ("4px", "4px")
    assert pane.tag not in {None, pane.card, "rgba(0, 0, 0, 0)"}


@pytest.mark.parametrize("view", COLOURS)
@pytest.mark.parametrize("name", PICTURED)
def test_roundcube_shows_nothing_that_is_wider_than_its_pane(name: str, view: str) -> None:
    pane = in_roundcube()[name].views[view]
    assert (pane.widest, pane.page_widest) == (pane.width, pane.page_width)


@pytest.mark.parametrize("view", COLOURS)
@pytest.mark.parametrize("name", PICTURED)
def test_roundcube_shows_the_title_of_the_list_above_it(name: str, view: str) -> None:
    assert in_roundcube()[name].views[view].title_is_above


# --- Thunderbird ---


def armoured() -> EmailMessage:
    """Return a mail that Thunderbird offers to decrypt."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "eve@x.example", "bob@example.com", "An armour"
    mail.set_content(
        "Hello\n\n-----BEGIN PGP MESSAGE-----\n\nhQEMA\n=abcd\n-----END PGP MESSAGE-----\n\nEve\n"
    )
    return mail


@cache
def in_thunderbird() -> dict[str, thunderbird.Shown]:
    return thunderbird.show(REPORTS | {"armoured": armoured()}, PICTURED.keys(), SHOWN)


@pytest.mark.parametrize("name", REPORTS)
def test_thunderbird_links_only_what_we_link(name: str) -> None:
    assert [target for target, _ in in_thunderbird()[name].views["light"].links] == links_written_by(
        REPORTS[name]
    )


@pytest.mark.parametrize("name", REPORTS)
def test_thunderbird_links_only_our_own_addresses_in_the_text(name: str) -> None:
    own = addresses_written_by(REPORTS[name])
    assert in_thunderbird()[name].text.links == [(f"mailto:{address}", address) for address in own]


@pytest.mark.parametrize("name", REPORTS)
def test_thunderbird_offers_to_decrypt_nothing(name: str) -> None:
    shown = in_thunderbird()[name]
    assert (shown.text.offers, shown.views["light"].offers) == ([], [])


def test_thunderbird_offers_to_decrypt_an_armour() -> None:
    assert in_thunderbird()["armoured"].text.offers


@pytest.mark.parametrize("view", ["light", "narrow"])
@pytest.mark.parametrize("name", PICTURED)
def test_thunderbird_shows_it_with_its_styles(name: str, view: str) -> None:
    pane = in_thunderbird()[name].views[view]
    assert (pane.page, pane.card) == COLOURS[view]
    assert (pane.card_border, pane.tag_radius) == ("4px", "4px")
    assert pane.tag not in {None, pane.card, "rgba(0, 0, 0, 0)"}


@pytest.mark.parametrize("name", PICTURED)
def test_thunderbird_makes_it_dark_in_its_own_way(name: str) -> None:
    pane = in_thunderbird()[name].views["dark"]  # it drops media queries, and backgrounds in the dark
    assert (pane.page, pane.card, pane.tag) == ("rgba(0, 0, 0, 0)",) * 3
    assert all(int(part) > 200 for part in re.findall(r"\d+", pane.ink or "0"))


@pytest.mark.parametrize("view", COLOURS)
@pytest.mark.parametrize("name", PICTURED)
def test_thunderbird_shows_nothing_that_is_wider_than_its_window(name: str, view: str) -> None:
    pane = in_thunderbird()[name].views[view]
    assert pane.widest <= pane.width


@pytest.mark.parametrize("view", COLOURS)
@pytest.mark.parametrize("name", PICTURED)
def test_thunderbird_shows_the_title_of_the_list_above_it(name: str, view: str) -> None:
    assert in_thunderbird()[name].views[view].title_is_above
