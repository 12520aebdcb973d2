"""No linker makes a link of what is held: in the plain text, in the HTML, and in the HTML without its markup.

`make test-rendering` runs these, over the texts of tests/reporting/hostile.py. The only links are of our own
addresses.
"""

import re
from functools import cache
from itertools import cycle
from typing import Any

import pytest

from quarantine.acting.answers import Answer
from tests.rendering import node
from tests.reporting import test_ask
from tests.reporting.hostile import LINKS
from tests.reporting.test_answering import SALES, answer_of
from tests.reporting.test_links import MAILS, OWN, body_of, part
from tests.reporting.test_preview import LINKED, OFFERS

TOLD = sorted(set(Answer) - {Answer.SHOWN, Answer.DELIVERED})
LINKERS = ["linkify-it", "linkifyjs", "autolinker", "linkify-html", "autolinker, of HTML"]

pytestmark = pytest.mark.rendered


def links(texts: list[str], pages: list[str]) -> dict[str, list[str]]:
    """Return what each linker would link."""
    found: Any = node.run("links.mjs", {"texts": texts, "pages": pages})
    return {linker: list(found[linker]) for linker in LINKERS}


@cache
def links_of_mails() -> dict[str, list[str]]:
    answers = [answer_of(answer, said=said) for answer, said in zip(cycle(TOLD), LINKS, strict=False)]
    mails = [*MAILS, *LINKED, *test_ask.LINKED, *answers]
    texts = [text for mail in mails for text in (part(mail, "plain"), body_of(mail))]
    return links(texts, [re.sub("(?s)<style>.*?</style>", "", part(mail, "html")) for mail in mails])


@pytest.mark.parametrize("linker", LINKERS)
def test_the_only_links_are_our_own_addresses(linker: str) -> None:
    assert set(links_of_mails()[linker]) <= OWN | test_ask.OWN | {str(SALES)} | {
        str(offer.address) for offer in OFFERS
    }


def test_the_linkers_link_what_is_shown_as_it_is() -> None:
    page = "".join(f"<p>{text}</p>" for text in LINKS if "<" not in text)
    found = links(list(LINKS), [page])
    assert [linker for linker in LINKERS if len(found[linker]) < 50] == []
