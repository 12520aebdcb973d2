"""The short mails that answer an action. Whole mails are approved, as those of the report."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from quarantine.acting.answers import Answer
from quarantine.acting.reference import Reference
from quarantine.acting.rules import Action
from quarantine.asking.admission import Accepted
from quarantine.asking.commands import ActionCommand
from quarantine.asking.replying import ReplyContext
from quarantine.held import HeldMessage, HoldReason
from quarantine.mail.addresses import Address
from quarantine.reporting.answering import Deed, render_answer

APPROVED = Path(__file__).parents[1] / "approved"
BOB, SALES = Address.parse("bob@example.com"), Address.parse("sales@example.com")
OURS, HELPDESK = Address.parse("quarantine@reports.example.com"), Address.parse("helpdesk@example.com")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CODE = "abcdefghijklmnop"
MESSAGE = HeldMessage(
    SALES,
    "<1@parcels.example>",
    NOW - timedelta(hours=2),
    '"bob@example.com" <news@parcels.example>',
    "Your parcel <b>waits</b> at https://parcels.example/gate",
    HoldReason.SPAM,
    NOW + timedelta(days=20),
    CODE,
    is_stored=True,
)
REQUEST = Accepted(
    "dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81",
    BOB,
    (BOB, SALES),
    ActionCommand(Action.PREVIEW, Reference(MESSAGE.received_at, CODE), "reports.example.com"),
    NOW,
    reply=ReplyContext(timedelta(hours=1), "<a@mail.example.com>"),
)


def answer_of(
    answer: Answer,
    message: HeldMessage | None = MESSAGE,
    deed: Deed | None = None,
    reply_to: Address | None = None,
    said: str = "",
    **more: Any,
) -> EmailMessage:
    return render_answer(
        answer,
        message,
        deed,
        request_id=REQUEST.request_id,
        requester=BOB,
        asked_at=NOW,
        reply=REQUEST.reply,
        sender=OURS,
        reply_to=reply_to,
        now=NOW,
        said=said,
        **more,
    )


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param(
            "answer-released-before",
            lambda: answer_of(Answer.RELEASED_BEFORE, deed=Deed("bob@example.com", NOW)),
            id="released before",
        ),
        pytest.param(
            "answer-deleted",
            lambda: answer_of(Answer.DELETED, deed=Deed("arn:aws:iam::1:user/x", NOW), reply_to=HELPDESK),
            id="by an operator",
        ),
        pytest.param(
            "answer-refused-by-server",
            lambda: answer_of(
                Answer.REFUSED_BY_SERVER, said="550 5.7.1 <b>no</b>, see https://x.example/\x1b"
            ),
            id="with the words of a server",
        ),
        pytest.param(
            "answer-digest-on",
            lambda: answer_of(
                Answer.DIGEST_ON,
                message=None,
                undo=Address.parse("digest-off@reports.example.com"),
                next_at=NOW.astimezone(ZoneInfo("Europe/Berlin")),
            ),
            id="digest-on",
        ),
        pytest.param(
            "answer-digest-off",
            lambda: answer_of(
                Answer.DIGEST_OFF, message=None, undo=Address.parse("digest-on@reports.example.com")
            ),
            id="digest-off",
        ),
        pytest.param("answer-too-old", lambda: answer_of(Answer.TOO_OLD, message=None), id="no message"),
    ],
)
def test_the_whole_mail_is_as_approved(name: str, make: Callable[[], EmailMessage]) -> None:
    raw = make().as_bytes()
    approved = APPROVED / f"{name}.eml"
    if os.environ.get("APPROVE"):
        approved.write_bytes(raw)
    assert raw == approved.read_bytes()


@pytest.mark.parametrize("answer", sorted(set(Answer) - {Answer.SHOWN, Answer.DELIVERED}))
def test_each_answer_has_words_of_its_own_and_held_text_last(answer: Answer) -> None:
    mail = answer_of(answer)
    assert "parcel" not in str(mail["Subject"])
    ours, _, held = text_of(mail).partition("What the message says about itself\n")
    assert ours.startswith(str(mail["Subject"]))
    assert "parcel" not in ours
    lines = held.strip("\n").split("\n")
    assert all(line.startswith("      ") for line in lines)
    assert lines[-1].lstrip().startswith(("Subject:", "..."))


def test_each_answer_has_a_title_of_its_own() -> None:
    told = set(Answer) - {Answer.SHOWN, Answer.DELIVERED, Answer.REJECTED, Answer.CAME_BACK}
    assert len({str(answer_of(answer)["Subject"]) for answer in told}) == len(told)


def test_a_message_that_is_hostile_in_its_header_stays_text() -> None:
    page = answer_of(
        Answer.DELETED, replace(MESSAGE, subject="</td><a href=x>y", sender="<b>x</b> <a@b.example>")
    )
    part = page.get_body(("html",))
    assert part is not None
    assert "<a " not in str(part.get_content())
    assert "<b>x</b>" not in str(part.get_content())
