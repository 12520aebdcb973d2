"""The mail that asks an administrator. Whole mails are approved, as those of the report."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path

import pytest

from quarantine.acting.asks import Ask
from quarantine.acting.reference import Reference
from quarantine.held import HeldKey, HeldMessage
from quarantine.holding.filters.family import Family
from quarantine.holding.provenance import Provenance
from quarantine.mail.addresses import Address
from quarantine.previewing.preview import read_preview
from quarantine.previewing.structure import CannotBeShown
from quarantine.reporting.ask import render_ask
from tests.previewing.mails import HEADER, HOSTILE, ORDINARY, plain
from tests.release.reading import text
from tests.reporting.hostile import LINKS
from tests.reporting.test_links import DATE, FORBIDDEN, body_of
from tests.reporting.test_preview import BOB, HELPDESK, NOW, OURS, PHISH, VIRUS

APPROVED = Path(__file__).parents[1] / "approved"
ALICE = Address.parse("alice@example.com")
ASK = Ask(
    held=HeldKey(str(BOB), "entry"),
    reference=Reference(PHISH.received_at, "abcdefghijklmnop"),
    asker=BOB,
    request_id="dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81",
    asked_at=NOW,
    expires_at=NOW.replace(day=17),
)
SAID = Provenance((Family.RSPAMD,), Decimal("12.7"), is_proven=True)
UNSAID = Provenance((), None, is_proven=False)


def mail_of(
    raw: bytes | CannotBeShown = ORDINARY,
    message: HeldMessage = PHISH,
    said: Provenance = SAID,
    reply_to: Address | None = None,
) -> EmailMessage:
    return render_ask(
        ASK,
        message,
        raw if isinstance(raw, CannotBeShown) else read_preview(raw),
        said,
        number=1,
        administrator=ALICE,
        domain="reports.example.com",
        sender=OURS,
        reply_to=reply_to,
        now=NOW,
    )


WHOLE: dict[str, Callable[[], EmailMessage]] = {
    "ask": mail_of,
    "ask-hostile": lambda: mail_of(HOSTILE, VIRUS, UNSAID, HELPDESK),
    "ask-impossible": lambda: mail_of(CannotBeShown.TOO_DEEP, VIRUS, UNSAID),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_mail_is_as_approved(name: str) -> None:
    raw = WHOLE[name]().as_bytes()
    approved = APPROVED / f"{name}.eml"
    if os.environ.get("APPROVE"):
        approved.write_bytes(raw)
    assert raw == approved.read_bytes()


LINKED = [
    mail_of(message=replace(PHISH, sender=sender, subject=sender), raw=raw)
    for sender in (f"{LINKS[0]} <{LINKS[0]}>", "x <eve@evil.com>", *(f"x <{text}>" for text in LINKS[:40]))
    for raw in (CannotBeShown.TOO_DEEP,)
] + [mail_of(HEADER + plain("\n".join(LINKS)))]
"""Asks about what programs turn into links; tests/rendering shows them to linkers."""
OWN = {
    *(str(address) for address in (ALICE, BOB, HELPDESK)),
    *(f"{word}-{ASK.reference}@reports.example.com" for word in ("approve", "refuse")),
}


@pytest.mark.parametrize("mail", LINKED)
def test_nothing_but_our_own_addresses_can_become_a_link(mail: EmailMessage) -> None:
    for said in (text(mail), body_of(mail)):
        for own in sorted(OWN, key=len, reverse=True):
            said = said.replace(own, "")  # noqa: PLW2901 - what is left
        held = said.partition("What can you do?")[0] + said.partition("What the message says")[2]
        assert [found[0] for found in FORBIDDEN.finditer(DATE.sub("", held))] == []


def test_what_the_sender_wrote_stands_below_what_we_write() -> None:
    """But the address in From, which has no space and no dot that a program links."""
    lines = text(mail_of(HOSTILE, VIRUS, UNSAID)).splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("| "))
    assert all(line.startswith("|") for line in lines[first:] if line)
    assert not any("script" in line for line in lines[:first])


def test_a_long_address_of_a_sender_does_not_look_like_our_fields() -> None:
    sender = f"<{'a' * 50}.Score:.0.{'b' * 50}@{'c' * 60}.example>"
    lines = text(mail_of(message=replace(PHISH, sender=sender), raw=CannotBeShown.TOO_DEEP)).splitlines()
    assert [line for line in lines if re.match(r"  Score: ", line)] == ["  Score:       12.7"]
