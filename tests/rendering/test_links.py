"""No linker makes a link of what is held: in the plain text, in the HTML, and in the HTML without its markup.

`make test-rendering` runs these, over the texts of tests/reporting/hostile.py. The only links are of our own
addresses.
"""

import json
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.reporting.hostile import LINKS
from tests.reporting.test_links import MAILS, OWN, body_of, part

HERE = Path(__file__).parent
LINKERS = ["linkify-it", "linkifyjs", "autolinker", "linkify-html", "autolinker, of HTML"]

pytestmark = pytest.mark.rendered


def links(texts: list[str], pages: list[str]) -> dict[str, list[str]]:
    """Return what each linker would link."""
    done = subprocess.run(
        ["node", HERE / "links.mjs"],
        input=json.dumps({"texts": texts, "pages": pages}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@cache
def links_of_reports() -> dict[str, list[str]]:
    texts = [text for mail in MAILS for text in (part(mail, "plain"), body_of(mail))]
    return links(texts, [re.sub("(?s)<style>.*?</style>", "", part(mail, "html")) for mail in MAILS])


@pytest.mark.parametrize("linker", LINKERS)
def test_the_only_links_are_our_own_addresses(linker: str) -> None:
    assert set(links_of_reports()[linker]) <= OWN


def test_the_linkers_link_what_is_shown_as_it_is() -> None:
    page = "".join(f"<p>{text}</p>" for text in LINKS if "<" not in text)
    found = links(list(LINKS), [page])
    assert [linker for linker in LINKERS if len(found[linker]) < 50] == []
