"""preview.py: the mail that shows a held message, and what it must not let the message do.

Whole mails are approved: `APPROVE=1 pytest tests/reporting/test_preview.py` writes
tests/approved/preview*.eml again. Read their diff, and look at them, before you commit them.
"""

import html
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given

from quarantine.acting.offers import Offer
from quarantine.acting.rules import Action
from quarantine.asking.machines import LOOP_MARKER
from quarantine.asking.replying import ReplyContext
from quarantine.held import HeldMessage, HoldReason
from quarantine.mail.addresses import Address
from quarantine.previewing.preview import Preview, read_preview
from quarantine.previewing.structure import CannotBeShown
from quarantine.reporting.preview import MOST_ATTACHMENTS, render_preview
from tests.previewing.mails import HEADER, HOSTILE, ORDINARY, page, plain
from tests.previewing.test_preview import any_mail
from tests.release.reading import reread, text
from tests.reporting.hostile import ARMOURS, LINKS
from tests.reporting.test_links import DATE, FORBIDDEN, body_of

APPROVED = Path(__file__).parents[1] / "approved"

BOB = Address.parse("bob@example.com")
SALES = Address.parse("sales@example.com")
OURS = Address.parse("quarantine@reports.example.com")
HELPDESK = Address.parse("helpdesk@example.com")
REQUEST_ID = "dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81"
NOW = datetime(2025, 3, 10, 8, 15, 30, tzinfo=UTC)
REPLY = ReplyContext(timedelta(hours=1), "<CAF+request@mail.example.com>", ("<first@mail.example.com>",))
PHISH = HeldMessage(
    BOB,
    "<1@mailbox-upgrade.example>",
    NOW - timedelta(hours=7.5),
    "IT Support <it-desk@mailbox-upgrade.example>",
    "Your mailbox is full - confirm at https://mailbox-upgrade.example/login",
    HoldReason.PHISHING,
    NOW + timedelta(days=29),
)
REF = "1741567530-abcdefghijklmnop"
OFFERS = [
    Offer(Action(word), Address.parse(f"{word}-{REF}@reports.example.com")) for word in ("release", "delete")
]
HEADING = "What the message says"
ABOUT_ITSELF = "What the message says about itself"


def mail_of(
    raw: bytes | CannotBeShown = ORDINARY,
    message: HeldMessage = PHISH,
    offers: Sequence[Offer] = OFFERS,
    *,
    reply_to: Address | None = None,
) -> EmailMessage:
    return render_preview(
        raw if isinstance(raw, CannotBeShown) else read_preview(raw),
        message,
        offers,
        request_id=REQUEST_ID,
        requester=BOB,
        reply=REPLY,
        sender=OURS,
        reply_to=reply_to,
        now=NOW,
    )


# --- Whole mails ---

VIRUS = replace(
    PHISH,
    recipient=SALES,
    sender='"bob@example.com" <eve@evil.example>',
    subject="<script>alert('x')</script> \u202egnp.tnemyap\u202c\r\nBcc: all@example.com " + "山" * 99,
    reason=HoldReason.VIRUS,
    expires_at=None,
)
WHOLE: dict[str, Callable[[], EmailMessage]] = {
    "preview": mail_of,
    "preview-hostile": lambda: mail_of(HOSTILE, VIRUS, OFFERS[1:], reply_to=HELPDESK),
    "preview-impossible": lambda: mail_of(CannotBeShown.TOO_DEEP, VIRUS),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_mail_is_as_approved(name: str) -> None:
    raw = WHOLE[name]().as_bytes()
    approved = APPROVED / f"{name}.eml"
    if os.environ.get("APPROVE"):
        approved.write_bytes(raw)
    assert raw == approved.read_bytes()


def test_every_approved_preview_is_one_of_the_above() -> None:
    assert {path.stem for path in APPROVED.glob("preview*.eml")} == WHOLE.keys()


# --- The header ---


def test_the_header_fields_are_those_of_any_mail_of_ours() -> None:
    assert dict(mail_of(reply_to=HELPDESK).items()) == {
        "From": "Mail quarantine <quarantine@reports.example.com>",
        "To": "bob@example.com",
        "Subject": "Preview of a message held for bob@example.com",
        "Date": "Mon, 10 Mar 2025 08:15:30 +0000",
        "Message-ID": f"<{REQUEST_ID}.preview@reports.example.com>",
        "Auto-Submitted": "auto-replied",
        "X-Auto-Response-Suppress": "All",
        LOOP_MARKER: REQUEST_ID,
        "Content-Language": "en",
        "Reply-To": "helpdesk@example.com",
        "In-Reply-To": "<CAF+request@mail.example.com>",
        "References": "<first@mail.example.com> <CAF+request@mail.example.com>",
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/alternative; boundary="=_{REQUEST_ID}"',
    }


# --- What the message can do ---


class Read(HTMLParser):
    """A page as a mail program reads it: its links, its elements, and the words after the last heading."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.elements: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]

    def handle_data(self, data: str) -> None:
        self.words += data


def targets(offers: Sequence[Offer]) -> list[str]:
    return [f"mailto:{offer.address}?subject={offer.action.title()}" for offer in offers]


def only_shows_the_message(mail: EmailMessage) -> None:
    """Check what holds for every preview, whatever the message."""
    said = reread(mail)
    assert said.items() == reread(mail_of()).items()
    assert [part.get_content_type() for part in said.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]
    lines = text(mail).rstrip("\n").split("\n")
    place = next(place for place, line in enumerate(lines) if line in {HEADING, ABOUT_ITSELF})
    assert all(line.startswith("|") for line in lines[place + 1 :])
    assert not any(line.startswith("|") for line in lines[:place])
    page = Read(text(mail, "html"))
    assert page.links == targets(OFFERS)
    assert not {"script", "img", "form", "iframe", "object"} & set(page.elements)
    assert set(page.elements[page.elements.index("h1") + 1 :]) <= {
        "p",
        "h2",
        "b",
        "table",
        "tr",
        "td",
        "a",
        "br",
        "small",
        "wbr",
    }


@given(raw=any_mail)
def test_any_message_is_only_shown(raw: bytes) -> None:
    only_shows_the_message(mail_of(raw))


@pytest.mark.parametrize(
    "raw", [ORDINARY, HOSTILE, *CannotBeShown], ids=["ordinary", "hostile", *CannotBeShown]
)
def test_a_message_is_only_shown(raw: bytes | CannotBeShown) -> None:
    only_shows_the_message(mail_of(raw))


LINKED = [
    mail_of(HEADER + body("".join(f"{before}{text}{after}" for text in (*LINKS, *ARMOURS))))
    for body, before, after in ((plain, "", "\n"), (page, "<pre>", "</pre>"))
]
"""Previews of what programs turn into links, as text and as a page; tests/rendering shows them to linkers."""


@pytest.mark.parametrize("mail", LINKED, ids=["plain", "html"])
def test_nothing_that_is_shown_can_become_a_link(mail: EmailMessage) -> None:
    for said in (text(mail), body_of(mail)):
        held = said.partition(HEADING)[2]
        assert len(held) > 5_000
        assert [found[0] for found in FORBIDDEN.finditer(DATE.sub("", held))] == []


@pytest.mark.parametrize("subtype", ["plain", "html"])
@pytest.mark.parametrize("raw", [HOSTILE, CannotBeShown.TOO_MANY_PARTS], ids=["shown", "not shown"])
def test_what_the_message_says_is_last(raw: bytes | CannotBeShown, subtype: str) -> None:
    said = text(mail_of(raw, VIRUS), subtype)
    ours, _, held = said.replace("<wbr>", "").partition(HEADING)
    assert "eve[at]evil[.]example" in held
    assert not re.search(r"\beve\b|evil|alert|payment|all@|山", ours)
    for offer in OFFERS:
        assert str(offer.address) in ours
        assert str(offer.address) not in held


def test_plain_text_has_lines_of_72_columns() -> None:
    for mail in (mail_of(HOSTILE, VIRUS, reply_to=HELPDESK), mail_of(CannotBeShown.UNREADABLE, VIRUS)):
        wide = [len(line) + line.count("山") for line in text(mail).splitlines()]
        assert max(wide) <= 72


def test_a_line_that_continues_a_field_does_not_look_like_one() -> None:
    subject = b"x " * 25 + b"Attached: y.pdf From: Bob To: Bob " * 4
    said = text(mail_of(b"From: a\r\nSubject: " + subject + b"\r\n\r\nHello"))
    labels = re.findall(r"^\| (\w+):", said, re.MULTILINE)
    assert labels == ["From", "To", "Date", "Subject"]


def test_the_page_of_the_longest_text_is_less_than_gmail_cuts() -> None:
    for body in ("a.b " * 9_000, "a\n" * 20_000, "山 " * 9_000):
        assert len(text(mail_of(HEADER + plain(body)), "html").encode()) < 102_000


# --- What is said ---


@pytest.mark.parametrize("reason", HoldReason)
def test_every_reason_has_words_and_a_caution_in_both_parts(reason: HoldReason) -> None:
    mail = mail_of(message=replace(PHISH, reason=reason))
    found = re.search(r"Reason: ([A-Z][a-z ]+)\. ([A-Z][^.]+\.)", " ".join(text(mail).split()))
    assert found is not None
    assert f"Reason: <b>{found[1]}</b>." in text(mail, "html")
    assert found[2] in text(mail, "html")


@pytest.mark.parametrize("reason", CannotBeShown)
def test_what_cannot_be_shown_says_why_and_what_else_to_do(reason: CannotBeShown) -> None:
    for offers, advice in ((OFFERS, "before you do anything with it"), ([], "Tell them its sender")):
        mail = mail_of(reason, offers=offers)
        found = re.search(r"cannot be shown as text\. (It[^.]+\.)", " ".join(text(mail).split()))
        assert found is not None
        assert found[1] in text(mail, "html")
        assert advice in " ".join(text(mail).split())
        assert advice in text(mail, "html")


@pytest.mark.parametrize("offers", [OFFERS, OFFERS[:1], []], ids=["both", "one", "none"])
def test_an_offer_is_one_button_and_one_line(offers: Sequence[Offer]) -> None:
    mail = mail_of(offers=offers)
    assert Read(text(mail, "html")).links == targets(offers)
    lines = text(mail).split("\n")
    assert [line for line in lines if REF in line] == [str(offer.address) for offer in offers]
    buttons = re.findall(r"<a [^>]*>([^<]*)</a>", text(mail, "html"))
    assert buttons == [offer.action.capitalize() for offer in offers]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (PHISH, "It was held on Mon 10 Mar 2025, 01:45 (UTC+01:00)."),
        (PHISH, "It is kept until Tue 8 Apr 2025, 09:15."),
        (PHISH, "This preview did not release it."),
        (replace(PHISH, expires_at=None), "No date is set for its deletion."),
        (replace(PHISH, is_releasing=True), "The message is on its way to the mailbox."),
        (replace(PHISH, recipient=SALES), "Preview of a message held for sales@example.com"),
        (PHISH, "You asked for it from bob@example.com."),
        (PHISH, "A reply to this mail is not read"),
    ],
)
def test_facts(message: HeldMessage, expected: str) -> None:
    mail = mail_of(message=message)
    assert expected in " ".join(text(mail).split())
    assert expected in " ".join(text(mail, "html").replace("<wbr>", "").split())


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1 KB"),
        (999_499, "999 KB"),
        (999_500, "1.0 MB"),
        (29_400_000, "29.4 MB"),
    ],
)
def test_sizes(size: int, shown: str) -> None:
    mail = mail_of(HEADER + b"Content-Type: a/b; name=c\r\n\r\n" + b"x" * size)
    assert f"| Attached: c (a/b, {shown})\n" in text(mail)
    assert f"c (a/b, {shown})\n" in text(mail, "html")


def test_a_long_text_says_above_it_that_it_is_cut() -> None:
    mail = mail_of(HEADER + plain("word " * 100_000))
    said = "Only the beginning of the text is shown. In the message it has 500 KB."
    assert said in " ".join(text(mail).partition(HEADING)[0].split())
    assert said in text(mail, "html").partition(HEADING)[0]


def test_attachments_beyond_the_most_are_counted() -> None:
    preview = read_preview(HOSTILE)
    assert isinstance(preview, Preview)
    more = len(preview.attachments) - MOST_ATTACHMENTS
    assert f"| Attached: {more} more\n" in text(mail_of(HOSTILE))
    assert f"Attached: {more} more\n" in text(mail_of(HOSTILE), "html")
    assert text(mail_of(HOSTILE)).count("| Attached: ") == MOST_ATTACHMENTS + 1


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"From: A <a@b.example>", "A <a[at]b[.]example>"),
        (b"From: a@b.example", "a[at]b[.]example"),
        (b"From: nobody", "nobody (no address that can be read)"),
        (b'From: "b@c.example" <a@b.example>', "a[at]b[.]example, calling itself 'b[at]c[.]example'"),
        (b"Subject: x", "(no sender)"),
    ],
)
def test_any_sender_is_shown(header: bytes, expected: str) -> None:
    mail = mail_of(header + b"\r\n\r\nHello")
    assert f"| From: {expected}\n" in text(mail)
    held = html.unescape(re.sub(r"<[^>]*>", "", text(mail, "html").partition(HEADING)[2]))
    assert expected.replace(", calling itself '", " calling itself “").replace("'", "”") in held


def test_a_message_without_text_says_so() -> None:
    mail = mail_of(HEADER + page("<img src=https://evil.example/x.png>"))
    assert text(mail).endswith("|\n| (no text)\n")
    assert "(no text)" in text(mail, "html")
