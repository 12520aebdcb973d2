"""How a spam is held, released by Bob, and what of it arrives: the same through each way back."""

import re
from functools import partial

from quarantine.acting.reference import Reference
from quarantine.release.deliverable import RELEASED
from quarantine.stores.items import time
from tests.interop.circles import ALICE, BOB, STRANGER, Circle
from tests.interop.programs import eventually, hand_over_from_outside
from tests.signing import signed, verifies

_NAMES = (b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type", b"from")
_OF_THE_SENDER = b"X-Spam-Status: No, score=-9\n"  # removed, since no signature covers it
_MARKS = re.compile(rb"^(?:X-Spam|X-Rspamd|X-Envelope|X-Quarantine-ID)", re.MULTILINE)


def release(circle: Circle, name: str) -> bytes:
    """Let a stranger send a signed spam to Bob and Alice, and Bob release it; return what was sent."""
    letter = signed(circle.letter(name), names=_NAMES, canonical=b"simple")
    hand_over_from_outside(STRANGER, [BOB, ALICE], letter)
    row = eventually(partial(circle.held_as, name, BOB), f"{name} is held")
    eventually(partial(circle.held_as, name, ALICE), f"{name} is held for Alice")
    assert row is not None
    circle.ask(BOB, f"release-{Reference(time(row['received_at']), row['code'])}@reports.example.com")
    return letter


def check_what_arrived(circle: Circle, name: str, letter: bytes) -> None:
    """Wait until the mail is in Bob's inbox, and check that it is what was sent."""
    arrived = eventually(partial(_inbox, circle, name), f"{name} is in Bob's inbox")
    assert arrived is not None
    print(f"\n--- {circle.filter}: {name} ---\n{arrived.partition(b'--b')[0].decode()}")  # noqa: T201
    trace, _, below = arrived.partition(f"{RELEASED}: ".encode())
    assert trace, "what delivered it writes its trace on top"
    fields = below.partition(b"\n\n")[0]
    below = below[below.index(b"DKIM-Signature:") :]
    assert below == letter.replace(b"\r\n", b"\n").replace(_OF_THE_SENDER, b"", 1)
    assert verifies(below.replace(b"\n", b"\r\n"))
    assert not _MARKS.search(fields), "a mark of the filter"
    assert b"alice" not in arrived, "another recipient is named"
    assert b"Return-Path: <bounce-" in trace
    eventually(lambda: _status(circle, name, BOB) == "released", "the row says so")
    assert _status(circle, name, ALICE) == "held"
    eventually(circle.postfix.is_empty, "nothing waits in Postfix's queue, and nothing came back")
    answers = [str(mail["Subject"]) for mail in eventually(partial(circle.aws.reports, BOB), "the answer")]
    assert set(answers) == {"The message was delivered"}
    assert not any(name.encode() in mail for mail in circle.postfix.delivered("bob", ".Junk/"))


def _inbox(circle: Circle, name: str) -> bytes | None:
    mails = [mail for mail in circle.postfix.delivered("bob") if f"<{name}@supplier".encode() in mail]
    assert len(mails) <= 1, f"delivered more than once: {name}"
    return mails[0] if mails else None


def _status(circle: Circle, name: str, recipient: str) -> str:
    row = circle.held_as(name, recipient)
    return row["status"] if row else ""
