"""The report's HTML in Chromium: its pictures, its accessibility, and its support by common mail clients.

`make test-rendering` runs these tests. The pictures are approved: tests/approved/pictures/*.png. After an
intended change, `APPROVE=1 make test-rendering` writes them again; look at them before you commit them. The
actual pictures are in tests/rendering/build. README.md lists what clients ignore; a test checks the list.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from itertools import cycle
from math import dist
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from quarantine.acting.answers import Answer
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ReportCommand
from quarantine.asking.replying import ReplyContext
from quarantine.held import HeldMessage, HoldReason, MailboxListing
from quarantine.mail.addresses import Address
from quarantine.reporting.message import render
from quarantine.reporting.summary import summarise
from tests.rendering import node
from tests.rendering.node import HERE, chromium
from tests.reporting.requests import CODE, EVERYTHING
from tests.reporting.test_answering import answer_of

APPROVED = HERE.parent / "approved"
PICTURES = APPROVED / "pictures"
SHOWN = HERE / "build"

CLIENTS = (
    "gmail.*",
    "outlook.windows",
    "outlook.macos",
    "outlook.outlook-com",
    "apple-mail.*",
    "yahoo.*",
)
ANSWERS = {
    f"answer-{answer}": answer_of(answer, said="550 5.7.1 see https://x.example/\u202e" + "W" * 300)
    for answer in sorted(set(Answer) - {Answer.SHOWN, Answer.DELIVERED})  # those are pages of their own
} | {
    f"answer-{Answer.DIGEST_ON}": answer_of(
        Answer.DIGEST_ON,
        message=None,
        undo=Address.parse("digest-off@reports.example.com"),
        next_at=datetime(2026, 11, 30, 7, 0, tzinfo=UTC),
    )
}
PAGES = (
    *ANSWERS,
    *("ordinary", "shared-mailbox", "nothing-held", "hostile", "release", "release-shared"),
    *("preview", "preview-hostile", "preview-impossible"),
    *("ask", "ask-hostile", "ask-impossible", "of-another", "to-be-asked-for"),
    *("digest", "digest-of-many", "found-older", "nothing-found", "new-ones-marked"),
)
VIEWS = ("light", "dark", "phone", "phone-dark")
PICTURED = [  # the other pages show no further colour or line break
    (page, view)
    for page in PAGES
    for view in VIEWS
    if view != "phone-dark"
    and (page, view) != ("hostile", "dark")
    and page not in {"release-shared", "preview-hostile", "preview-impossible"}
    and page not in {"ask-hostile", "ask-impossible", "digest-of-many", "nothing-found"}
    # The answers differ in their words alone, but for an address in one.
    and page not in ANSWERS.keys() - {f"answer-{Answer.REFUSED_BY_SERVER}", f"answer-{Answer.DIGEST_ON}"}
]
FLAT = 24  # the most frequent colours, which an approved picture keeps unchanged
COLOURS = 40  # further colours of an approved picture

# Tolerance: two pictures are compared in cells of 4 x 4 pixels, so that the edges of letters, which each
# version of Chromium may draw a little differently, average out. A cell differs if a channel differs by more
# than 6 of 255; README.md lists the values that real faults have.
CELL = 4
CELL_DIFFERS = 6
CELLS_MAY_DIFFER = 0.0005

pytestmark = pytest.mark.rendered


@dataclass(frozen=True, slots=True)
class Button:
    """A link in the list. width, height: in pixels. name: its accessible name.

    is_hit: a click on its middle reaches it. is_below: it stands below its message, not beside it.
    """

    name: str
    width: float
    height: float
    is_hit: bool
    is_below: bool


@dataclass(frozen=True, slots=True)
class View:
    """One page at one width in one theme. violations: those that axe found."""

    scroll_width: int
    width: int
    violations: list[str]
    buttons: list[Button]


@dataclass(frozen=True, slots=True)
class Look:
    """ignored: features that clients do not support, with those clients; partly: with partial support."""

    views: dict[str, View]
    ignored: dict[str, list[str]]
    partly: list[str]


def html_of(mail: EmailMessage) -> str:
    part = mail.get_body(("html",))
    assert part is not None
    text = part.get_content()
    assert isinstance(text, str)
    return text


def approved(name: str) -> EmailMessage:
    mail = message_from_bytes((APPROVED / f"{name}.eml").read_bytes(), policy=policy.SMTP)
    assert isinstance(mail, EmailMessage)
    return mail


HOSTILE = (
    ("\u202eAnna\u202c <a@evil.example>", "\u202egnp.eciovni\u202c \u2066invoice\u2069 \u200f.pdf"),
    ("بنك التوفير <info@bank.example>", "تم تعليق حسابك، يرجى التأكيد على https://bank.example/login الآن"),
    ("דואר ישראל <post@dhl.example>", "החבילה שלך 12345 ממתינה (2.50 ILS) - לחץ כאן"),
    (f"{'W' * 90} <{'w' * 60}@{'w' * 60}.{'w' * 60}.example>", "W" * 200),
    ("a@b.example\u00a0" * 9 + "<eve@evil.example>", "no\u00a0break\u00a0" * 25),
    ("🎉👩‍👩‍👧‍👦🏳️‍🌈 <party@party.example>", "🎂" * 40),
    ("Z̸̢͇͔a̵̪͝l̴g̷ó <z@zalgo.example>", "H̸̡̪̯ͨ͊̽̅̾̎Ȩ̬̩̾͛ͪ̈́̀́͘ ̶̧̨̱̹̭̯ͧ̾ͬC̷̙̲̝͖ͭ̏ͥͮ͟Oͮ͏̮̪̝͍M̲̖͊̒ͪͩͬ̚̚͜Ȇ̴̟̟͙̞ͩ͌͝S̨̥̫͎̭ͯ̿̔̀ͅ"),
    ("山" * 30 + " <taro@例え.example>", "重要" * 30),
    ("</td></tr></table><h1>Eve <e@evil.example>", "</b><table width=2000><img src=x> &nbsp;" + "&zwj;" * 20),
    (f"{'-'.join(['hyphen'] * 20)}@evil.example", "http://" + "a." * 90 + "example/?q=" + "%20" * 20),
)


def hostile() -> EmailMessage:
    """A report of mail that an attacker may send, for a requester with the longest address."""
    now = datetime(2025, 3, 10, 8, 15, 30, tzinfo=UTC)
    longest = Address.parse(f"{'b' * 64}@{'w' * 60}.{'w' * 60}.example")
    request = Accepted(
        request_id="hostile",
        requester=longest,
        mailboxes=(longest,),
        command=ReportCommand(Address.parse("manual-report-request@reports.example.com")),
        received_at=now,
        reply=ReplyContext(utc_offset=timedelta(hours=5, minutes=45), message_id=None, references=()),
    )
    messages = tuple(
        HeldMessage(
            *(
                longest,
                f"{n}",
                now - timedelta(hours=n),
                sender,
                subject,
                reason,
                now + timedelta(days=30),
                CODE,
            ),
            is_stored=True,
        )
        for n, ((sender, subject), reason) in enumerate(zip(HOSTILE, cycle(HoldReason), strict=False))
    )
    report = summarise(request, [MailboxListing(messages, len(messages))], 100, EVERYTHING)
    sender = Address.parse("quarantine@reports.example.com")
    return render(report, sender=sender, reply_to=longest, now=now)


def show(pages: dict[str, str], folder: Path) -> Look:
    """Show pages in Chromium, and write a picture of each view of each to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    page_arguments = {"chromium": chromium(), "folder": str(folder), "clients": CLIENTS, "pages": pages}
    said: Any = node.run("show.mjs", page_arguments)
    views = {
        name: View(**view | {"buttons": [Button(**button) for button in view["buttons"]]})
        for name, view in said["views"].items()
    }
    return Look(views, said["ignored"], said["partly"])


@cache
def look() -> Look:
    mails = {name: approved(name) for name in PAGES if name not in {"hostile", *ANSWERS}}
    mails |= {"hostile": hostile()} | ANSWERS
    return show({name: html_of(mail) for name, mail in mails.items()}, SHOWN)


# --- To the eye ---


def differing(one: Image.Image, other: Image.Image) -> float:
    """Return the share of cells in which two pictures of one size differ, from 0 to 1."""
    difference = ImageChops.difference(one.convert("RGB").reduce(CELL), other.convert("RGB").reduce(CELL))
    red, green, blue = difference.split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    histogram = most.histogram()
    return sum(histogram[CELL_DIFFERS + 1 :]) / sum(histogram)


def colours(picture: Image.Image) -> list[tuple[int, int, int]]:
    """Return the colours of a picture, the most frequent first."""
    pixels = picture.convert("RGB").tobytes()
    return [colour for colour, _ in Counter(zip(*[iter(pixels)] * 3, strict=True)).most_common()]


def approve(picture: Image.Image, path: Path) -> None:
    """Write a picture with few colours, in a third of the bytes: flat colours exactly, edges nearly."""
    every = colours(picture)
    palette = every[:FLAT] + colours(picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE))
    nearest = {colour: min(range(len(palette)), key=lambda n: dist(colour, palette[n])) for colour in every}
    pixels = zip(*[iter(picture.tobytes())] * 3, strict=True)
    approved = Image.frombytes("P", picture.size, bytes(nearest[colour] for colour in pixels))
    approved.putpalette([channel for colour in palette for channel in colour])
    path.parent.mkdir(exist_ok=True)
    approved.save(path, optimize=True)


@pytest.mark.parametrize(("page", "view"), PICTURED)
def test_the_page_looks_as_approved(page: str, view: str) -> None:
    assert f"{page}-{view}" in look().views
    shown = Image.open(SHOWN / f"{page}-{view}.png").convert("RGB")
    path = PICTURES / f"{page}-{view}.png"
    if os.environ.get("APPROVE"):
        approve(shown, path)
    expected = Image.open(path)
    assert shown.size == expected.size
    assert differing(shown, expected) <= CELLS_MAY_DIFFER


def test_every_approved_picture_is_one_of_the_above() -> None:
    assert {path.stem for path in PICTURES.iterdir()} == {f"{page}-{view}" for page, view in PICTURED}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_wider_than_the_screen(page: str, view: str) -> None:
    seen = look().views[f"{page}-{view}"]
    assert seen.scroll_width <= seen.width


# --- To a finger ---


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("page", ["ordinary", "hostile"])
def test_buttons_are_large_enough_and_below_the_message_on_a_phone(page: str, view: str) -> None:
    is_phone = view.startswith("phone")
    buttons = look().views[f"{page}-{view}"].buttons
    assert buttons
    assert {button.is_hit for button in buttons} == {True}
    assert {button.is_below for button in buttons} == {is_phone}
    least = 44 if is_phone else 24  # WCAG 2.2, 2.5.5 and 2.5.8
    assert min(min(button.width, button.height) for button in buttons) >= least


# --- To a screen reader ---


@pytest.mark.parametrize("page", ["ordinary", "hostile"])
def test_no_two_buttons_have_one_name(page: str) -> None:
    names = [button.name for button in look().views[f"{page}-light"].buttons]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"(Preview|Release|Delete) [1-9][0-9]*", name) for name in names)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("page", PAGES)
def test_axe_has_nothing_against_it(page: str, view: str) -> None:
    assert look().views[f"{page}-{view}"].violations == []


# --- To mail clients ---


def table(heading: str) -> list[list[str]]:
    """Return the cells of the rows of a table of README.md, without their back quotes."""
    section = (HERE / "README.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)[2:]
    return [[cell.replace("`", "") for cell in row.split(" | ")] for row in rows]


def test_the_readme_says_what_clients_ignore() -> None:
    assert {feature: clients.split(", ") for feature, clients, _ in table("Ignored")} == look().ignored


def test_the_readme_says_what_clients_know_in_part() -> None:
    assert [feature for feature, _ in table("Known in part")] == look().partly
