"""Nothing in a report becomes a link, a field, a message or a separator, whatever is held: by our own rule.

tests/rendering/test_links.py asks the linkers of npm the same of the same texts.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from html.parser import HTMLParser
from itertools import batched

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quarantine.acting.offers import address_of
from quarantine.acting.reference import Reference
from quarantine.acting.rules import USER_ACTIONS
from quarantine.held import HeldMessage, HoldReason, MailboxListing
from quarantine.reporting.message import render
from quarantine.reporting.summary import summarise
from tests.reporting.hostile import ARMOURS, LINKS, SENDERS, WRAPPED
from tests.reporting.requests import BOB, CODE, DOMAIN, EVERYTHING, HELPDESK, NOW, OURS, REQUEST

ACTED_ON = {str(address_of(action, Reference(NOW, CODE), DOMAIN)) for action in USER_ACTIONS}
OWN = {str(each) for each in (BOB, HELPDESK, REQUEST.command.written_to)} | ACTED_ON

# What no program may be shown, whatever else it looks for.
FORBIDDEN = re.compile(
    r"""
      [@＠﹫]                                        # an address of mail, a person
    | (?<=[^\s.'“<(]) \. (?=[^\W\d_]{2})             # a domain
    | (?<=[0-9A-Za-z]) [․﹒．｡。] (?=\w) | (?<=\w) [․﹒．｡。] (?=[0-9A-Za-z])
    | (?: \d{1,3} \. ){3} \d                         # an address of the network
    | (?i: www|ftp ) \d* \.
    | [A-Za-z0-9+.-] : (?=[^\s\d])                   # a scheme
    | (?: :: | // | \\\\ ) (?=[^\s:/\\\]])
    | [\#＃] (?=\w)                                   # a topic
    | (?: \d [ ()./~（）／．－–-]{0,3} ){6} \d        # a telephone number
    | (?: -{4} | _{4} ) (?!\]|-|_)                    # armour and lines above a quotation
    """,
    re.VERBOSE,
)
DATE = re.compile(r"\b(?:[0-3]?\d[./-][0-3]?\d[./-](?:19|20)\d\d|(?:19|20)\d\d[./-]\d{1,5})\b")
FIELD = re.compile(r" +(?:From|For|Why|When|Until|Preview|Release|Delete): +(?=\S)")
LABELS = ["From", "Why", "When", "Until", "Preview", "Release", "Delete"]
MESSAGE = re.compile(r" *[0-9]+\. ")


def mail_of(messages: list[tuple[str, str]]) -> EmailMessage:
    """Return the report of messages, each given by its From field and its subject."""
    held = tuple(
        HeldMessage(
            *(BOB, f"{n}", NOW, sender, subject, HoldReason.SPAM, NOW + timedelta(days=30), CODE),
            is_stored=True,
        )
        for n, (sender, subject) in enumerate(messages)
    )
    report = summarise(REQUEST, [MailboxListing(held, len(held))], 100, EVERYTHING)
    return render(report, sender=OURS, reply_to=HELPDESK, now=NOW)


def hostile_mails() -> Iterator[EmailMessage]:
    """Make reports that have each text as a subject, as part of one and as a name, and each sender."""
    texts = (*LINKS, *ARMOURS)
    messages = [
        *((f"{text} <eve@evil.com>", text) for text in texts),
        *((text, f"See {text} (or {text}), {text}!") for text in texts),
        *((sender, "x") for sender in SENDERS),
        *((f"{text} <eve@evil.com>", text) for text in WRAPPED),
    ]
    yield from (mail_of(list(some)) for some in batched(messages, 40, strict=False))


def part(mail: EmailMessage, subtype: str) -> str:
    found = mail.get_body((subtype,))
    assert found is not None
    text: str = found.get_content()
    return text.replace("\r\n", "\n")


class Seen(HTMLParser):
    """What of a page is text, with a line for each line that is seen, and all other markup dropped."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        self.text += "" if tag in {"wbr", "b", "i", "em", "small", "span", "a"} else "\n"

    def handle_data(self, data: str) -> None:
        self.text += data


def without_own(text: str) -> str:
    text = re.sub(r"(?m)^ *[0-9]+\. ", "", text)  # our number, which is no part of one below
    for own in sorted(OWN, key=len, reverse=True):
        text = re.sub(rf"(?<![^\s>]){re.escape(own)}(?![^\s<.])", "OWN", text)
    return text


def body_of(mail: EmailMessage) -> str:
    """Return what is seen of the HTML, as a program shows it that drops all markup."""
    html = part(mail, "html")
    return Seen(html[html.index("<body>") :]).text


def links_in(mail: EmailMessage) -> list[str]:
    texts = (without_own(text) for text in (part(mail, "plain"), body_of(mail)))
    return [found[0] for text in texts for found in FORBIDDEN.finditer(DATE.sub("", text))]


MAILS = list(hostile_mails())


@pytest.mark.parametrize("mail", MAILS)
def test_nothing_held_can_become_a_link(mail: EmailMessage) -> None:
    assert links_in(mail) == []


@pytest.mark.parametrize("mail", MAILS)
def test_the_text_has_the_lines_that_we_wrote_and_no_others(mail: EmailMessage) -> None:
    lines = part(mail, "plain").split("\n")
    rows = [number for number, line in enumerate(lines, 1) if MESSAGE.match(line)]
    starts = [line.split(".")[0].strip() for line in lines if MESSAGE.match(line)]
    assert starts == [str(number) for number in range(1, len(rows) + 1)]
    for start in rows:
        block = [
            line for line in lines[start : lines.index("", start)] if not line.lstrip().startswith("... ")
        ]
        assert [line.split(":")[0].strip() for line in block] == LABELS
        assert {line.split(": ")[1].strip() for line in block[-3:]} == ACTED_ON
        assert all(FIELD.match(line) for line in block)
    assert max(len(line) for line in lines) <= 72


@pytest.mark.parametrize("mail", MAILS)
def test_no_line_begins_as_a_quotation_a_separator_or_a_file(mail: EmailMessage) -> None:
    for subtype in ("plain", "html"):
        sign = r"(?m)^[ \t]*(?:[>|}#] ?[^<\n]|From |begin [0-7]{3}|=ybegin|\.$|-- ?$)"
        assert re.findall(sign, part(mail, subtype)) == []
    assert re.findall(r"(?m)^(?:From |\.$|-- ?$)", mail.as_bytes().decode()) == []


@example("1:: 1")
@example("a::: b")
@given(st.text(st.sampled_from("ab1é山。．.:/\\@#<>\"' -_()[]+wWfFtTpP\u034f\u200b"), max_size=80))
def test_no_mixture_can_become_a_link(text: str) -> None:
    assert links_in(mail_of([(f"{text} <eve@evil.com>", text), (text, text)])) == []
