"""message.py: the mail as it is sent.

Whole mails are approved: tests/approved/*.eml are compared byte for byte. After an intended change,
`APPROVE=1 pytest tests/reporting/test_message.py` writes them again; read their diff, and look at them
in a mail client, before you commit them.
"""

import html
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.acting.offers import NOTHING_OFFERED, Offering, Policy, offers_on
from quarantine.acting.rules import USER_ACTIONS, Action
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import DigestCommand, ReportCommand
from quarantine.asking.machines import LOOP_MARKER
from quarantine.asking.replying import ReplyContext
from quarantine.asking.views import Cursor, View
from quarantine.held import HeldMessage, HoldReason, MailboxListing, Order
from quarantine.mail.addresses import Address
from quarantine.reporting.message import render
from quarantine.reporting.summary import summarise
from quarantine.settings import policy_of
from tests.reporting.requests import CODE, DOMAIN, EVERYTHING

APPROVED = Path(__file__).parents[1] / "approved"
TEMPLATE = Path(__file__).parents[2] / "layers/quarantine/quarantine/reporting/templates/report/html.j2"

GMAIL_CUTS_AT = 102 * 1024

BOB = Address.parse("bob@example.com")
SALES = Address.parse("sales@example.com")
OFFERING = partial(offers_on, policy=policy_of({}), domain="reports.example.com")
OURS = Address.parse("quarantine@reports.example.com")
HELPDESK = Address.parse("helpdesk@example.com")
NOW = datetime(2025, 3, 10, 8, 15, 30, tzinfo=UTC)
REQUEST = Accepted(
    request_id="dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81",
    requester=BOB,
    mailboxes=(BOB,),
    command=ReportCommand(Address.parse("manual-report-request@reports.example.com")),
    received_at=NOW - timedelta(seconds=30),
    reply=ReplyContext(
        utc_offset=timedelta(hours=1),
        message_id="<CAF+request@mail.example.com>",
        references=("<first@mail.example.com>",),
    ),
)


def held(
    sender: str,
    subject: str,
    reason: HoldReason = HoldReason.SPAM,
    *,
    hours_ago: float = 1.0,
    days: float | None = 30,
    recipient: Address = BOB,
) -> HeldMessage:
    received_at = NOW - timedelta(hours=hours_ago)
    expires_at = None if days is None else received_at + timedelta(days=days)
    code, is_stored = CODE, True
    return HeldMessage(
        recipient, f"{hours_ago}", received_at, sender, subject, reason, expires_at, code, is_stored
    )


INVOICE = held(
    "Accounts <billing@supplier.example>", "Invoice 2025-0317, order of 3 March", HoldReason.POLICY
)
ORDINARY = (
    INVOICE,
    held(
        "IT Support <it-desk@mailbox-upgrade.example>",
        "Your mailbox is full - confirm at https://mailbox-upgrade.example/login",
        HoldReason.PHISHING,
        hours_ago=7.5,
    ),
    held(
        "Gardening Weekly <news@gardening-weekly.example>",
        "Ten seeds to sow in March, and what the frost did to our dahlias",
        HoldReason.BULK,
        hours_ago=21,
    ),
    held(
        '"bob@example.com" <eve@evil.example>',
        "<script>alert('x')</script> \u202egnp.tnemyap\u202c & \"more\"\r\nBcc: all@example.com",
        HoldReason.VIRUS,
        hours_ago=30,
    ),
    held("山田太郎 <taro@例え.example>", "三月の会議資料をお送りします（至急ご確認ください）", hours_ago=40),
    held(
        "Party 🎉 <hello@party.example>", "🎂 Anna's 50th 🎈 are you coming?", HoldReason.BULK, hours_ago=50
    ),
    held("", "", HoldReason.BLOCKED, hours_ago=60),
    held("not an address at all", "No address", hours_ago=70),
    held(
        f"Delivery <a-{'very-' * 9}long-local-part@parcels.of.a.long.subdomain.example>",
        f"Delivery{'WithoutAnySpace' * 5} {'and then some more ' * 7}",
        hours_ago=80,
    ),
)


def mail_of(
    *messages: HeldMessage,
    request: Accepted = REQUEST,
    total: int | None = None,
    at_least: bool = False,
    max_rows: int = 100,
    reply_to: Address | None = None,
    offering: Offering = OFFERING,
) -> EmailMessage:
    holding = MailboxListing(messages, len(messages) if total is None else total, at_least)
    report = summarise(request, [holding], max_rows, offering)
    return render(report, sender=OURS, reply_to=reply_to, now=NOW)


DIGEST = replace(
    REQUEST,
    request_id="digest-5ff860bf1190596c-1741593600",
    command=DigestCommand(REQUEST.command.written_to, NOW),
    reply=ReplyContext(utc_offset=timedelta(hours=1)),
)


def viewing(**view: Any) -> Accepted:
    """A request that says what it wants."""
    return replace(REQUEST, command=ReportCommand(REQUEST.command.written_to, view=View(**view)))


def report_of(
    request: Accepted,
    messages: Sequence[HeldMessage],
    *,
    others: int = 0,
    at_least: bool = False,
    max_rows: int = 100,
    order: Order = Order.NEWEST,
    new: Callable[[HeldMessage], bool] = lambda _: False,
) -> EmailMessage:
    listing = MailboxListing(tuple(messages), len(messages), at_least, others)
    report = summarise(request, [listing], max_rows, OFFERING, order=order, new=new)
    return render(report, sender=OURS, reply_to=None, now=NOW)


def part(mail: EmailMessage, subtype: str) -> str:
    (found,) = (each for each in mail.iter_parts() if each.get_content_subtype() == subtype)
    text = found.get_content()
    assert isinstance(text, str)
    return text.replace("\r\n", "\n")  # base64 keeps the line ends of the wire


# --- Whole mails ---


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param("ordinary", lambda: mail_of(*ORDINARY, reply_to=HELPDESK), id="ordinary"),
        pytest.param("one", lambda: mail_of(INVOICE), id="one"),
        pytest.param("nothing-held", mail_of, id="nothing-held"),
        pytest.param(
            "newest-of-many", lambda: mail_of(*ORDINARY, total=142, max_rows=2), id="newest-of-many"
        ),
        pytest.param(
            "newest-of-more",
            lambda: mail_of(*ORDINARY, total=200, at_least=True, max_rows=2),
            id="newest-of-more",
        ),
        pytest.param(
            "shared-mailbox",
            lambda: mail_of(
                held("E <e@evil.example>", "For Bob", days=None),
                replace(INVOICE, recipient=SALES, expires_at=None),
                request=replace(
                    REQUEST,
                    mailboxes=(BOB, SALES),
                    reply=replace(REQUEST.reply, message_id=None, references=()),
                ),
            ),
            id="shared-mailbox",
        ),
        pytest.param(
            "of-another",
            lambda: mail_of(
                replace(INVOICE, recipient=SALES),
                request=replace(
                    REQUEST,
                    mailboxes=(SALES,),
                    command=ReportCommand(REQUEST.command.written_to, of=SALES, as_administrator=True),
                ),
                offering=NOTHING,
            ),
            id="of-another",
        ),
        pytest.param(
            "to-be-asked-for",
            lambda: mail_of(
                replace(INVOICE, reason=HoldReason.PHISHING, code=CODE, is_stored=True),
                offering=partial(
                    offers_on,
                    policy=Policy(frozenset(USER_ACTIONS), frozenset({HoldReason.SPAM})),
                    domain=DOMAIN,
                    administered=frozenset({"*"}),
                ),
            ),
            id="to-be-asked-for",
        ),
        pytest.param("digest", lambda: report_of(DIGEST, ORDINARY[:2], others=17), id="digest"),
        pytest.param(
            "digest-of-many",
            lambda: report_of(DIGEST, ORDINARY, max_rows=2, order=Order.WANTED),
            id="digest-of-many",
        ),
        pytest.param(
            "found",
            lambda: report_of(viewing(find=("invoice", "supplier.example")), (INVOICE,)),
            id="found",
        ),
        pytest.param(
            "found-older",
            lambda: report_of(
                viewing(older=Cursor(NOW), find=("invoice",)), ORDINARY, at_least=True, max_rows=2
            ),
            id="found-older",
        ),
        pytest.param("nothing-found", lambda: report_of(viewing(days=7), ()), id="nothing-found"),
        pytest.param(
            "new-ones-marked",
            lambda: report_of(REQUEST, ORDINARY[:3], new=lambda each: each == ORDINARY[0]),
            id="new-ones-marked",
        ),
        pytest.param(
            "many-mailboxes",
            lambda: mail_of(
                request=replace(
                    REQUEST,
                    mailboxes=(BOB, *(Address.parse(f"team-{n}@example.com") for n in range(7))),
                    reply=replace(REQUEST.reply, utc_offset=timedelta()),
                ),
            ),
            id="many-mailboxes",
        ),
    ],
)
def test_the_whole_mail_is_as_approved(name: str, make: Callable[[], EmailMessage]) -> None:
    raw = make().as_bytes()
    approved = APPROVED / f"{name}.eml"
    if os.environ.get("APPROVE"):
        approved.write_bytes(raw)
    assert raw == approved.read_bytes()


def test_every_approved_mail_is_one_of_the_above() -> None:
    newest = {"newest-of-many", "newest-of-more"}
    names = {"ordinary", "one", "nothing-held", "shared-mailbox", "many-mailboxes"} | newest
    names |= {"of-another", "to-be-asked-for", "new-ones-marked"}
    names |= {"digest", "digest-of-many", "found", "found-older", "nothing-found"}
    others = ("answer", "ask", "preview", "release")  # approved by tests of their own
    stems = {path.stem for path in APPROVED.glob("*.eml")}
    assert {stem for stem in stems if not stem.startswith(others)} == names


# --- Header fields ---


def test_the_header_fields() -> None:
    assert dict(mail_of(INVOICE, reply_to=HELPDESK).items()) == {
        "From": "Mail quarantine <quarantine@reports.example.com>",
        "To": "bob@example.com",
        "Subject": "Held mail for bob@example.com: 1 message",
        "Date": "Mon, 10 Mar 2025 08:15:30 +0000",
        "Message-ID": f"<{REQUEST.request_id}.report@reports.example.com>",
        "Auto-Submitted": "auto-replied",
        "X-Auto-Response-Suppress": "All",
        LOOP_MARKER: REQUEST.request_id,
        "Content-Language": "en",
        "Reply-To": "helpdesk@example.com",
        "In-Reply-To": "<CAF+request@mail.example.com>",
        "References": "<first@mail.example.com> <CAF+request@mail.example.com>",
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/alternative; boundary="=_{REQUEST.request_id}"',
    }


@pytest.mark.parametrize(
    ("total", "at_least", "subject", "lead"),
    [
        (0, False, "nothing held", "The mail filter holds no message for you at the moment."),
        (1, False, "1 message", "1 message held in quarantine."),
        (2, False, "2 messages", "2 messages held in quarantine, newest first."),
        (142, False, "142 messages", "Showing the newest 2 of 142 messages."),
        (1, True, "1 or more messages", "Showing the newest 1 of 1 or more messages."),
        (2, True, "2 or more messages", "Showing the newest 2 of 2 or more messages."),
        (200, True, "200 or more messages", "Showing the newest 2 of 200 or more messages."),
    ],
)
def test_the_subject_and_the_lead_count_what_is_held(
    total: int, at_least: bool, subject: str, lead: str
) -> None:
    mail = mail_of(*(INVOICE,) * min(total, 3), total=total, at_least=at_least, max_rows=2)
    assert mail["Subject"] == f"Held mail for bob@example.com: {subject}"
    assert lead in " ".join(part(mail, "plain").split())
    assert lead.removesuffix(", newest first.") in part(mail, "html")
    older = "manual-report-request+older-"
    assert [older in part(mail, each) for each in ("plain", "html")] == [lead.startswith("Showing")] * 2


@pytest.mark.parametrize(
    ("message_id", "references", "expected"),
    [
        pytest.param(None, ("<a@x>",), (None, None), id="no-message-id"),
        pytest.param("<r@x>", (), ("<r@x>", "<r@x>"), id="first-of-its-thread"),
        pytest.param("<r@x>", ("<a@x>", "<b@x>"), ("<r@x>", "<a@x> <b@x> <r@x>"), id="thread"),
    ],
)
def test_the_report_is_threaded_under_the_request(
    message_id: str | None, references: tuple[str, ...], expected: tuple[str | None, str | None]
) -> None:
    mail = mail_of(
        request=replace(REQUEST, reply=replace(REQUEST.reply, message_id=message_id, references=references))
    )
    assert (mail["In-Reply-To"], mail["References"]) == expected


def test_message_ids_are_folded_between_and_never_within() -> None:
    long = f"<{'r' * 200}@mail.example.com>"
    raw = mail_of(request=replace(REQUEST, reply=replace(REQUEST.reply, message_id=long))).as_bytes(
        policy=policy.SMTP
    )
    assert f"In-Reply-To: {long}\r\nReferences: <first@mail.example.com>\r\n {long}\r\n".encode() in raw


def test_a_long_requester_is_written_whole() -> None:
    long = Address.parse("b" * 64 + "@" + "example-" * 7 + "x." + "example-" * 7 + "y.example")
    raw = mail_of(request=replace(REQUEST, requester=long, mailboxes=(long,))).as_bytes()
    assert re.search(rb"\r\nTo: (?:\r\n )?" + str(long).encode() + rb"\r\n", raw)


# --- On the wire ---


@pytest.mark.parametrize("messages", [(), (INVOICE,), ORDINARY], ids=["none", "one", "all"])
def test_the_mail_is_clean_on_the_wire_and_survives_it(messages: tuple[HeldMessage, ...]) -> None:
    mail = mail_of(*messages)
    raw = mail.as_bytes()
    assert raw.isascii()
    assert raw == mail.as_bytes(policy=policy.SMTP)
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert max(map(len, raw.splitlines())) <= 998
    assert [each.get_content_type() for each in mail.iter_parts()] == ["text/plain", "text/html"]
    reread = message_from_bytes(raw, policy=policy.SMTP)
    assert isinstance(reread, EmailMessage)
    assert not reread.defects
    assert [part(reread, each) for each in ("plain", "html")] == [
        part(mail, each) for each in ("plain", "html")
    ]


def test_the_lines_of_a_text_in_base64_end_as_they_must() -> None:
    text = mail_of(*[held("E <e@evil.example>", "三月の会議資料" * 25)] * 5).get_body(("plain",))
    assert text is not None
    assert text["Content-Transfer-Encoding"] == "base64"
    data = text.get_payload(decode=True)
    assert isinstance(data, bytes)
    assert data.count(b"\r\n") == data.count(b"\n") > 10  # RFC 2045 6.8


@pytest.mark.parametrize(
    ("sender", "subject"),
    [
        pytest.param(
            "𠀀" * 200 + " <" + "𠀀" * 200 + "@" + "𠀀" * 60 + ".example>", "😀" * 200, id="four-bytes"
        ),
        pytest.param("山" * 200 + f" <taro@{'a.' * 120}example>", "三月の会議資料" * 30, id="three-bytes"),
        pytest.param("éa" * 100 + f" <{'é' * 90}@{'a.' * 120}example>", "é a" * 100, id="two-bytes"),
        pytest.param("\"'" * 100 + f" <{'a.' * 90}a@{'a.' * 120}example>", "\"'&<>" * 90, id="entities"),
        pytest.param(
            "a." * 100 + f" <{'a.' * 90}a@{'a.' * 120}example>", "a.b:c@d。e．" * 90, id="link-joints"
        ),
        pytest.param("a " * 100 + f" <{'a.' * 90}a@{'a.' * 120}example>", "a " * 200, id="line-breaks"),
    ],
)
@pytest.mark.parametrize("mailboxes", [(BOB,), (BOB, SALES)], ids=["own", "shared"])
def test_a_hundred_rows_are_less_than_gmail_cuts(
    mailboxes: tuple[Address, ...], sender: str, subject: str
) -> None:
    request = replace(
        REQUEST,
        mailboxes=mailboxes,
        reply=replace(REQUEST.reply, references=tuple(f"<{n}{'r' * 200}@x.example>" for n in range(10))),
    )
    messages = [held(sender, subject, HoldReason.BLOCKED)] * 100
    mail = mail_of(*messages, request=request, total=342, offering=EVERYTHING)
    assert part(mail, "html").count("<a ") == 3 * 100 + 2  # for a new report, and for older ones
    assert len(part(mail, "html").encode()) < GMAIL_CUTS_AT


def test_a_hundred_rows_with_long_addresses_of_ours_are_less_than_gmail_cuts() -> None:
    long = Address.parse(f"{'b' * 40}@{'w' * 40}.example")
    mailboxes = (long, *(replace(long, local=f"{n}".ljust(40, "c")) for n in range(7)))
    request = replace(REQUEST, requester=long, mailboxes=mailboxes)
    offering = partial(EVERYTHING, domain=f"{'r' * 40}.example")
    message = held("x@y <e@e.e>", "😀" * 200, HoldReason.BLOCKED, recipient=mailboxes[1])
    mail = mail_of(*[message] * 100, request=request, reply_to=long, offering=offering, total=342)
    assert len(part(mail, "html").encode()) < GMAIL_CUTS_AT


def test_a_hundred_rows_of_a_mailbox_with_many_labels_are_less_than_gmail_cuts() -> None:
    mailbox = Address.parse(f"a@{'a.' * 24}example.com")
    message = held("e@e.e", "三" * 200, HoldReason.BLOCKED, recipient=mailbox)
    mail = mail_of(*[message] * 100, request=replace(REQUEST, mailboxes=(mailbox, BOB)), offering=EVERYTHING)
    assert len(part(mail, "html").encode()) < GMAIL_CUTS_AT


# --- Hostile text ---


class _Outline(HTMLParser):
    """The tags of a page with their attributes, without the `<wbr>` that prevents automatic links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if (tag, attrs) != ("wbr", []):
            self.tags.append((tag, *(f"{name}={value}" for name, value in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.tags.append(("!--", data))


MARKUP = ["<b>", "</td>", "<!--", "-->", "&lt;", "&#60;", "]]>", '"', "'", "<a href=x>", "{{ 7*7 }}"]
MAIL = ["\r\n", "Bcc: a@b.example", "--", "=_", "=?utf-8?q?=0A?=", "http://evil.example"]
STRANGE = ["\x00", "\u202e", "\u2028", "\ud800", "\u0301"]

hostile = st.text(max_size=250) | st.lists(st.sampled_from(MARKUP + MAIL + STRANGE)).map("".join)


@given(name=hostile, subject=hostile)
def test_hostile_text_adds_no_header_field_and_no_tag(name: str, subject: str) -> None:
    harmless = mail_of(held("Harmless <e@evil.example>", "Harmless"))
    mail = mail_of(held(f"x{name.replace('@', '')} <e@evil.example>", subject))
    assert mail.items() == harmless.items()
    assert _Outline(part(mail, "html")).tags == _Outline(part(harmless, "html")).tags
    reread = message_from_bytes(mail.as_bytes(), policy=policy.SMTP)
    assert isinstance(reread, EmailMessage)
    assert reread.keys() == harmless.keys()
    assert len(list(reread.walk())) == 3


@given(sender=hostile, subject=hostile)
def test_no_character_that_disturbs_reaches_the_mail(sender: str, subject: str) -> None:
    mail = mail_of(held(sender, subject))
    for subtype in ("plain", "html"):
        assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", part(mail, subtype)) == []
        assert re.findall("[\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]", part(mail, subtype)) == []


def links_of(mail: EmailMessage) -> list[str]:
    return re.findall(r"<a [^>]*>[^<]*</a>", part(mail, "html"))


ASKS_AGAIN = (
    '<a href="mailto:manual-report-request@reports.example.com">manual-report-request@reports.example.com</a>'
)
REFERENCES = [f"{int(message.received_at.timestamp())}-{CODE}" for message in ORDINARY]


def link_to(action: str, number: int) -> str:
    word = action.title()
    href = f"mailto:{action}-{REFERENCES[number - 1]}@reports.example.com?subject={word}"
    return f'<a href="{href}" aria-label="{word} {number}">{word}</a>'


def test_the_only_links_are_the_actions_and_the_one_that_asks_again() -> None:
    mail = mail_of(*ORDINARY, reply_to=HELPDESK)
    refused = {2, 4}  # phishing and virus
    assert links_of(mail) == [
        *(
            link_to(action, number)
            for number in range(1, len(ORDINARY) + 1)
            for action in ("preview", "release", "delete")
            if action != "release" or number not in refused
        ),
        ASKS_AGAIN,
    ]
    page = part(mail, "html")
    assert re.findall(r"(?i)\b(?:src|background|action|srcset|href)=(?!\"mailto:)", page) == []
    assert re.findall(r"@import|url\(|<(?:script|img|form|link|iframe|object)\b", page) == []


def test_the_text_has_each_address_once_and_whole() -> None:
    lines = part(mail_of(INVOICE, offering=partial(EVERYTHING, domain=f"{'r' * 60}.example")), "plain")
    actions = [(action.title() + ":", action) for action in ("preview", "release", "delete")]
    assert [line for line in lines.splitlines() if CODE in line] == [
        f"      {word:8} {action}-{REFERENCES[0]}@{'r' * 60}.example" for word, action in actions
    ]


@pytest.mark.parametrize("action", USER_ACTIONS)
def test_every_action_has_a_word_and_is_explained(action: Action) -> None:
    word = action.value.title()
    alone = Policy(frozenset({action}), frozenset(HoldReason))
    mail = mail_of(INVOICE, offering=partial(EVERYTHING, policy=alone))
    assert links_of(mail) == [link_to(action.value, 1), ASKS_AGAIN]
    assert f"\n<br><b>{word}</b> " in part(mail, "html")
    assert re.search(rf" {word} \w+s ", " ".join(part(mail, "plain").split()))


NOTHING: Offering = partial(EVERYTHING, policy=NOTHING_OFFERED)


@pytest.mark.parametrize(
    ("message", "offering"),
    [
        pytest.param(INVOICE, NOTHING, id="switched off"),
        pytest.param(replace(INVOICE, code=None), EVERYTHING, id="no code"),
    ],
)
def test_a_report_that_offers_nothing_is_as_without_actions(message: HeldMessage, offering: Offering) -> None:
    mail = mail_of(message, offering=offering)
    assert links_of(mail) == [ASKS_AGAIN]
    for subtype in ("plain", "html"):
        assert "Need one of these?" in part(mail, subtype)
        assert "What can you do?" not in part(mail, subtype)
        assert f"-{CODE}" not in part(mail, subtype)
    assert "its only link is the address below" in part(mail, "html")


def test_what_is_on_its_way_offers_nothing() -> None:
    mail = mail_of(replace(INVOICE, is_releasing=True), offering=EVERYTHING)
    assert links_of(mail) == [ASKS_AGAIN]
    assert "      Now:   on its way\n" in part(mail, "plain")
    assert "<br><em>on its way</em></td>" in part(mail, "html")


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        pytest.param({}, ["Preview", "Release", "Delete"], id="all"),
        pytest.param({"USER_ACTIONS": "release"}, ["Release"], id="release"),
        pytest.param({"USER_ACTIONS": "preview,delete"}, ["Preview", "Delete"], id="without release"),
        pytest.param({"RELEASE_REASONS": "virus"}, ["Preview", "Delete"], id="not releasable"),
    ],
)
def test_the_foot_explains_what_is_offered_and_nothing_else(
    environ: dict[str, str], words: list[str]
) -> None:
    mail = mail_of(INVOICE, offering=partial(EVERYTHING, policy=policy_of(environ)))
    assert re.findall(r"(?m)^<br><b>(\w+)</b>", part(mail, "html")) == words
    text = " ".join(part(mail, "plain").split()).partition("What can you do?")[2]
    assert re.findall(r"\. (Preview|Release|Delete) \w+s", text) == words
    for foot in (text, part(mail, "html").replace("<wbr>", "")):
        assert "Send it from bob@example.com." in foot
        assert "work as long as it is kept." in foot
        assert "Need one that you cannot release?" in foot


def test_the_link_is_escaped() -> None:
    request = replace(REQUEST, command=ReportCommand(Address.parse("a?bcc=eve&x@reports.example.com")))
    link = '<a href="mailto:a%3Fbcc%3Deve%26x@reports.example.com">a?bcc=eve&amp;x@reports.example.com</a>'
    assert link in part(mail_of(request=request), "html")


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        pytest.param("https://evil.example/a", "https[://]evil[.]example/a", id="url"),
        pytest.param("eve@evil.example", "eve[at]evil[.]example", id="address"),
        pytest.param("a&amp;evil.example", "a&amp;evil[.]example", id="entity"),
    ],
)
def test_held_text_is_broken_alike_in_both_parts(subject: str, shown: str) -> None:
    mail = mail_of(held(f"{subject} <eve@evil.example>", subject))
    assert f"<b>{html.escape(shown)}</b>" in part(mail, "html")
    assert f"   1. {shown}\n" in part(mail, "plain")


def test_our_own_addresses_are_whole_for_the_eye_and_no_link_in_html() -> None:
    mail = mail_of(INVOICE, reply_to=HELPDESK)
    assert "helpdesk@<wbr>example<wbr>.com" in part(mail, "html")
    assert "helpdesk@example.com" in part(mail, "plain")


# --- The plain text ---


def test_plain_text_has_lines_of_72_columns() -> None:
    words = "三月の会議資料をお送りします" * 8 + " and some words" * 4
    text = part(mail_of(held("n" * 40 + " <e@evil.example>", words), reply_to=HELPDESK), "plain")
    start = text.index("   1. ")
    wide = [sum(2 if char > "\u3000" else 1 for char in line) for line in text[start:].splitlines()]
    assert max(wide) <= 72
    shown = text[start:].replace("\n      ... ", "")
    assert "".join(shown.split()).startswith("1." + "".join(words.split()))


def test_our_own_address_is_not_parted_in_plain_text() -> None:
    long = Address.parse("b" * 64 + "@" + "example-" * 7 + "x.example")
    assert f"\n{long}.\n" in part(mail_of(INVOICE, reply_to=long), "plain")


# --- Dates of deletion ---

BOTH = (
    "The earliest of these messages is deleted on Wed 19 Mar 2025, 08:15, "
    "the latest on Wed 9 Apr 2025, 08:15."
)


@pytest.mark.parametrize(
    ("days", "text"),
    [
        pytest.param((30, 30), "These messages are deleted on Wed 9 Apr 2025, 08:15.", id="the-same"),
        pytest.param(
            (30, 30.0001), "These messages are deleted on Wed 9 Apr 2025, 08:15.", id="the-same-minute"
        ),
        pytest.param((30,), "This message is deleted on Wed 9 Apr 2025, 08:15.", id="one"),
        pytest.param((30, 9), BOTH, id="newest-is-kept-longest"),
        pytest.param((9, 30), BOTH, id="newest-is-kept-shortest"),
        pytest.param(
            (None, 30),
            "The earliest of these messages is deleted on Wed 9 Apr 2025, 08:15.",
            id="one-has-none",
        ),
        pytest.param((None, None), "No date is set for the deletion of these messages.", id="none"),
    ],
)
def test_the_earliest_and_the_latest_deletion_are_told(days: tuple[float | None, ...], text: str) -> None:
    mail = mail_of(*(held("e@evil.example", "x", days=each) for each in days))
    assert f"How long? {text}" in " ".join(part(mail, "plain").split())
    assert text in part(mail, "html")


# --- The page ---


def test_no_style_depends_on_what_a_web_mail_program_replaces() -> None:
    page = part(mail_of(INVOICE), "html")
    assert (
        re.findall(r"<(?:html|body)\b[^>]*\b(?:class|id|style)=", page) == []
    )  # Roundcube sets its own class
    assert (
        len(re.findall(r"(?m)^ *html, body(?:, \.page)? \{ background: #", page)) == 2
    )  # light, dark: Evolution
    assert "<caption" not in page  # Roundcube shows it below the table
    assert re.search(r"<h2 class=\"title\">Held message</h2>\n<table class=\"list\"", page)


def test_a_long_word_does_not_push_the_reasons_away() -> None:
    page = part(mail_of(INVOICE), "html")
    assert re.search(r"\.list \{ [^}]*table-layout: fixed", page)
    assert re.search(r'<th scope="col" class="why" width="\d+">', page)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("reason", HoldReason)
def test_every_reason_has_a_tag_with_contrast(reason: HoldReason, theme: str) -> None:
    light, dark = TEMPLATE.read_text().split("prefers-color-scheme: dark")
    css = light if theme == "light" else dark
    colours = re.search(rf"\.{reason} {{ background: #(\w{{6}})[^;]*; color: #(\w{{6}})", css)
    assert colours is not None
    darker, lighter = sorted(map(_luminance, colours.groups()))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def _luminance(colour: str) -> float:
    def linear(channel: int) -> float:
        share = channel / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(channel) for channel in bytes.fromhex(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


WORDS = {
    HoldReason.SPAM: "Spam",
    HoldReason.PHISHING: "Phishing",
    HoldReason.VIRUS: "Virus",
    HoldReason.BULK: "Bulk mail",
    HoldReason.POLICY: "Policy",
    HoldReason.BLOCKED: "Blocked sender",
}


@pytest.mark.parametrize("reason", HoldReason)
def test_every_reason_has_words_in_both_parts(reason: HoldReason) -> None:
    mail = mail_of(held("x@supplier.example", "Order", reason))
    assert f"Why:   {WORDS[reason]}\n" in part(mail, "plain")
    assert f">{WORDS[reason]}</span>" in part(mail, "html")
