"""attachment.py: the mail that carries a released message.

Whole mails are approved, as those of the report: `APPROVE=1 pytest tests/release/test_attachment.py` writes
tests/approved/release*.eml again. Read their diff, and look at them, before you commit them.
"""

import html
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.asking.machines import LOOP_MARKER
from quarantine.asking.replying import ReplyContext
from quarantine.held import HeldMessage, HoldReason
from quarantine.holding.filters.family import Family
from quarantine.mail.addresses import Address
from quarantine.release.attachment import LARGEST, fits, render
from quarantine.release.deliverable import ReleaseTrace, deliverable
from tests.release.reading import attached, reread, text
from tests.signing import signed, verifies

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
    None,
)
SEVEN_BIT = b"""\
Received: from a\r
From: IT Support <it-desk@mailbox-upgrade.example>\r
Subject: Your mailbox is full\r
\r
Confirm at https://mailbox-upgrade.example/login\r
"""
EIGHT_BIT = SEVEN_BIT.replace(b"full", b"f\xc3\xbcll")
TRACE = ReleaseTrace(REQUEST_ID, NOW)


def mail_of(
    original: bytes = SEVEN_BIT,
    message: HeldMessage = PHISH,
    *,
    requester: Address | None = BOB,
    reply: ReplyContext = REPLY,
    reply_to: Address | None = None,
    request_id: str = REQUEST_ID,
) -> EmailMessage:
    return render(
        original,
        message,
        request_id=request_id,
        requester=requester,
        asked_at=NOW - timedelta(seconds=30),
        reply=reply,
        sender=OURS,
        reply_to=reply_to,
        now=NOW,
    )


# --- Whole mails ---

VIRUS = replace(
    PHISH,
    recipient=SALES,
    sender='"bob@example.com" <eve@evil.example>',
    subject="<script>alert('x')</script> \u202egnp.tnemyap\u202c & \"more\"\r\nBcc: all@example.com "
    + "山" * 99,
    reason=HoldReason.VIRUS,
)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param("release", lambda: mail_of(deliverable(SEVEN_BIT, Family, TRACE)), id="own"),
        pytest.param(
            "release-shared",
            lambda: mail_of(deliverable(EIGHT_BIT, Family, TRACE), VIRUS, reply_to=HELPDESK),
            id="shared",
        ),
        pytest.param(
            "release-operator",
            lambda: mail_of(
                message=replace(PHISH, sender="", subject="", reason=HoldReason.POLICY),
                requester=None,
                reply=ReplyContext(),
            ),
            id="operator",
        ),
    ],
)
def test_the_whole_mail_is_as_approved(name: str, make: Callable[[], EmailMessage]) -> None:
    raw = make().as_bytes()
    approved = APPROVED / f"{name}.eml"
    if os.environ.get("APPROVE"):
        approved.write_bytes(raw)
    assert raw == approved.read_bytes()


def test_every_approved_release_is_one_of_the_above() -> None:
    names = {"release", "release-shared", "release-operator"}
    assert {path.stem for path in APPROVED.glob("release*.eml")} == names


# --- The header ---


def test_the_header_fields_are_those_of_any_mail_of_ours() -> None:
    assert dict(mail_of(reply_to=HELPDESK).items()) == {
        "From": "Mail quarantine <quarantine@reports.example.com>",
        "To": "bob@example.com",
        "Subject": "The message that was held for bob@example.com",
        "Date": "Mon, 10 Mar 2025 08:15:30 +0000",
        "Message-ID": f"<{REQUEST_ID}.release@reports.example.com>",
        "Auto-Submitted": "auto-replied",
        "X-Auto-Response-Suppress": "All",
        LOOP_MARKER: REQUEST_ID,
        "Content-Language": "en",
        "Reply-To": "helpdesk@example.com",
        "In-Reply-To": "<CAF+request@mail.example.com>",
        "References": "<first@mail.example.com> <CAF+request@mail.example.com>",
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/mixed; boundary="=original_0_{REQUEST_ID}"',
    }


@pytest.mark.parametrize("requester", [BOB, None], ids=["a reader", "an operator"])
def test_it_goes_to_the_mailbox_and_joins_the_thread_only_of_its_own_reader(
    requester: Address | None,
) -> None:
    mail = mail_of(message=replace(PHISH, recipient=SALES), requester=requester)
    assert mail["To"] == "sales@example.com"
    assert mail["Subject"] == "The message that was held for sales@example.com"
    assert (mail["In-Reply-To"], mail["References"]) == (None, None)


hostile = st.text(max_size=250) | st.lists(
    st.sampled_from(
        ["\r\n", "Bcc: a@b.example", "--", "=_", "=?utf-8?q?=0A?=", "http://evil.example", "</td>"]
    )
).map("".join)


@given(sender=hostile, subject=hostile)
def test_held_text_changes_no_header_field_and_adds_no_part(sender: str, subject: str) -> None:
    mail = reread(mail_of(message=replace(PHISH, sender=sender, subject=subject)))
    assert mail.items() == reread(mail_of()).items()
    assert [part.get_content_type() for part in mail.walk()][:4] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


# --- The original ---

FULL_LINE = b"x" * 998 + b"\r\n"


@pytest.mark.parametrize(
    ("original", "is_message"),
    [
        pytest.param(SEVEN_BIT, True, id="ordinary"),
        pytest.param(b"", True, id="empty"),
        pytest.param(SEVEN_BIT + FULL_LINE * 3, True, id="the longest lines"),
        pytest.param(SEVEN_BIT + b"no line end", True, id="no line end"),
        pytest.param(SEVEN_BIT + b"\r\n" * 9, True, id="empty lines at the end"),
        pytest.param(
            SEVEN_BIT + b"From a\r\n.\r\n..\r\n-- \r\n--\r\n\x7f\x01", True, id="what servers change"
        ),
        pytest.param(EIGHT_BIT, False, id="8-bit"),
        pytest.param(SEVEN_BIT + b"\x00", False, id="NUL"),
        pytest.param(SEVEN_BIT + b"x" * 999 + b"\r\n", False, id="a line too long"),
        pytest.param(SEVEN_BIT + b"x" * 999, False, id="a last line too long"),
        pytest.param(SEVEN_BIT.replace(b"\r\n", b"\n"), False, id="lines of LF"),
        pytest.param(SEVEN_BIT + b"\n", False, id="a lone LF"),
        pytest.param(SEVEN_BIT + b"a\rb\r\n", False, id="a lone CR"),
        pytest.param(SEVEN_BIT + b"\r", False, id="a CR at the end"),
    ],
)
def test_the_original_arrives_byte_for_byte(original: bytes, *, is_message: bool) -> None:
    mail = mail_of(original)
    part = reread(mail).get_payload(1)
    assert isinstance(part, EmailMessage)
    kind = ("message/rfc822", "7bit") if is_message else ("application/octet-stream", "base64")
    assert (part.get_content_type(), part["Content-Transfer-Encoding"]) == kind  # RFC 2046 5.2.1
    assert part["Content-Disposition"] == 'attachment; filename="original.eml"'
    assert attached(mail) == original
    raw = mail.as_bytes(policy=policy.SMTP)
    assert raw.isascii()
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@given(original=st.binary(max_size=300) | st.text(st.characters(max_codepoint=127)).map(str.encode))
def test_any_original_arrives_byte_for_byte(original: bytes) -> None:
    assert attached(mail_of(original)) == original


@pytest.mark.parametrize("number", range(3))
def test_no_boundary_is_in_the_original(number: int) -> None:
    taken = b"".join(b"--=original_%d_%s\r\n" % (n, REQUEST_ID.encode()) for n in range(number))
    mail = mail_of(SEVEN_BIT + taken + f"--=_{REQUEST_ID}--\r\n".encode())
    boundary = str(mail.get_boundary())
    assert boundary == f"=original_{number}_{REQUEST_ID}"
    assert mail.as_bytes().count(b"--" + boundary.encode()) == 3
    assert len(list(reread(mail).iter_parts())) == 2


def test_no_boundary_begins_like_the_other() -> None:
    """RFC 2046 5.1.1: a line that begins with a boundary is one."""
    outer, inner = (str(part.get_boundary()) for part in mail_of().walk() if part.is_multipart())
    assert not outer.startswith(inner)
    assert not inner.startswith(outer)


@pytest.mark.parametrize("canonical", [b"simple", b"relaxed"])
@pytest.mark.parametrize(
    "body", [b"Hello\r\n", "Größe\r\n".encode() + b"x" * 990 + b"\r\n" * 3], ids=["7", "8"]
)
@pytest.mark.parametrize(
    "names",
    [
        pytest.param((b"from", b"subject"), id="the usual"),
        pytest.param((b"from", b"x-spam-flag", b"x-spam-flag"), id="its own flag, and no second"),
        pytest.param((b"from", b"from", b"resent-from", b"x-spam-level"), id="what is absent"),
    ],
)
def test_a_signature_still_verifies(names: tuple[bytes, ...], body: bytes, canonical: bytes) -> None:
    own = b"From:  a@supplier.example\r\nSubject: a\r\n\t b\r\nX-Spam-Flag: NO\r\n\r\n" + body
    mail = signed(own, names=names, canonical=canonical)
    assert verifies(mail)
    put_on = (
        b"X-Envelope-To: <bob@example.com>\r\nX-Spam-Flag: YES\r\nX-Spam-Level: *\r\nReceived: from a\r\n"
    )
    stored = put_on + mail.replace(b"\r\n\r\n", b"\r\nX-SES-Spam-Verdict: FAIL\r\n\r\n", 1)
    assert verifies(stored) is (b"x-spam-level" not in names and b"x-spam-flag" not in names)
    original = attached(mail_of(deliverable(stored, Family, TRACE)))
    assert verifies(original)
    assert b"X-Envelope-To" not in original
    assert b"X-SES-Spam-Verdict" not in original


@pytest.mark.parametrize("content", [b"x" * 998 + b"\r\n", b"\xe4" * 4096], ids=["7-bit", "8-bit"])
def test_the_largest_that_fits_is_less_than_ses_sends(content: bytes) -> None:
    original = (TRACE.field(b"\r\n") + content * (LARGEST // len(content) + 1))[: LARGEST + 100]
    assert len(mail_of(original, VIRUS).as_bytes(policy=policy.SMTP)) < 40_000_000
    assert fits(LARGEST)
    assert not fits(LARGEST + 1)


# --- What is said ---


@pytest.mark.parametrize("reason", HoldReason)
def test_every_reason_has_words_and_a_caution_in_both_parts(reason: HoldReason) -> None:
    mail = mail_of(message=replace(PHISH, reason=reason))
    plain = " ".join(text(mail).split())
    found = re.search(r"Reason: ([A-Z][a-z ]+)\. ([A-Z][^.]+\.)", plain)
    assert found is not None
    assert f"Reason: <b>{found[1]}</b>." in text(mail, "html")
    assert found[2] in text(mail, "html")
    for said in (plain, text(mail, "html")):
        assert ("Open its links" in said) is (reason is not HoldReason.VIRUS)


@pytest.mark.parametrize("subtype", ["plain", "html"])
def test_the_held_text_is_last_and_is_no_link(subtype: str) -> None:
    said = text(mail_of(message=VIRUS, reply_to=HELPDESK), subtype).replace("<wbr>", "")
    ours, _, held = said.partition("What the message says about itself")
    assert re.search(r"eve\[at\]evil\[\.\]example", held)
    assert not re.search(r"\beve\b|evil|script&gt;|<script|payment|all@|山", ours)
    last = re.sub(r"<[^>]*>", " ", held).split()[-1]
    assert last == ("山" * 9 if subtype == "plain" else "&ldquo;bob[at]example[.]com&rdquo;")
    assert "<a " not in said
    assert "http" not in said


def test_a_name_that_looks_like_an_address_is_not_taken_for_it() -> None:
    mail = mail_of(message=VIRUS)
    plain = " ".join(text(mail).replace("... ", "").split())
    assert "From: eve[at]evil[.]example, calling itself 'bob[at]example[.]com'" in plain
    assert "eve[at]evil[.]example calling itself &ldquo;bob[at]example[.]com&rdquo;" in text(mail, "html")


@pytest.mark.parametrize(
    ("sender", "plain"),
    [
        ("A <a@b.example>", "A <a[at]b[.]example>"),
        ("a@b.example", "a[at]b[.]example"),
        ("nobody", "nobody (no address that can be read)"),
        ("", "(no sender)"),
    ],
)
def test_any_sender_is_shown_alike_in_both_parts(sender: str, plain: str) -> None:
    mail = mail_of(message=replace(PHISH, sender=sender))
    held = text(mail, "html").partition("What the message says about itself")[2]
    assert f"From:    {plain}\n" in text(mail)
    assert plain in " ".join(html.unescape(re.sub(r"<[^>]*>", " ", held)).split()).replace("< ", "<")


@pytest.mark.parametrize(
    ("requester", "recipient", "why"),
    [
        (BOB, BOB, "You asked for it on Mon 10 Mar 2025, 09:15 (UTC+01:00) from bob@example.com."),
        (
            BOB,
            SALES,
            "bob@example.com released the message on Mon 10 Mar 2025, 09:15 (UTC+01:00), and may do so",
        ),
        (None, BOB, "Your mail administrator released the message on Mon 10 Mar 2025, 09:15 (UTC+01:00)."),
    ],
    ids=["own", "shared", "operator"],
)
def test_it_says_who_released_it_and_when(requester: Address | None, recipient: Address, why: str) -> None:
    mail = mail_of(message=replace(PHISH, recipient=recipient), requester=requester)
    assert why in " ".join(text(mail).split())
    assert why in " ".join(text(mail, "html").replace("<wbr>", "").split())


def test_plain_text_has_lines_of_72_columns() -> None:
    wide = [
        len(line) + line.count("山") for line in text(mail_of(message=VIRUS, reply_to=HELPDESK)).splitlines()
    ]
    assert max(wide) <= 72
