"""Mails to the addresses of actions: from those who may not, of those who did not mean to, and from Bob.

`REF(mailbox)` stands for the reference of the message that is held for a mailbox.
"""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import (
    BOB,
    EVES_SERVER,
    SIGNED,
    STRANGER,
    TRIGGER,
    Attack,
    Auth,
    Event,
    mail,
    verdicts,
)

_SOURCE = "reference, Acting by mail"
_BOBS = "REF(bob@victim.example)"
_ALICES = "REF(alice@victim.example)"
_RELEASE = f"release-{_BOBS}@reports.example.com"
_ALTERED = f"release-1{_BOBS}@reports.example.com"
_FROM_EVE = "From: Eve <eve@evil.example>"
_DKIM_ONLY = (Auth("victim.example", ("dkim",)),)
_FORWARDED = (Auth("victim.example", ("dkim",), forwarded=True),)
_RESULTS = Event(
    results="amazonses.com; spf=none (spfCheck: no record of x.example) client-ip=127.0.0.99;"
    " envelope-from=x@x.example; helo=mail.victim.example; dkim=pass header.i=@victim.example;"
    " dmarc=none header.from=victim.example;"
)


def _mail(*more: str, to: str = _RELEASE, **over: str) -> bytes:
    return mail(*more, **over).replace(f"To: {TRIGGER}".encode(), f"To: {to}".encode())


def _attack(name: str, trick: str, expected: object, data: bytes = _mail(), **over: object) -> Attack:
    settings = {"recipients": (_RELEASE,)} | over
    return Attack(f"action-{name}", trick, _SOURCE, expected, data, **settings)  # type: ignore[arg-type]


def _replay(name: str, trick: str, expected: object, data: bytes, **over: object) -> Attack:
    settings = {
        "peer": STRANGER,
        "envelope_from": "x@x.example",
        "verdicts": verdicts(dkim="PASS"),
        "records": _DKIM_ONLY,
        "event": _RESULTS,
    }
    return _attack(name, trick, expected, data, **settings | over)


ATTACKS = [
    _attack("release", "control: Bob releases his message", BOB),
    _attack("case", "control: in upper case", BOB, recipients=(f"RELEASE-{_BOBS}@REPORTS.EXAMPLE.COM",)),
    _attack("preview", "control: a preview", BOB, recipients=(f"preview-{_BOBS}@reports.example.com",)),
    _attack("delete", "control: a deletion", BOB, recipients=(f"delete-{_BOBS}@reports.example.com",)),
    _attack(
        "signature",
        "control: [EXTERNAL] in the subject, and text below",
        BOB,
        _mail().replace(b"Subject: ", b"Subject: [EXTERNAL] RE: ") + b"-- \r\nSent from my phone\r\n",
    ),
    _attack(
        "thousand",
        "a thousand recipients, of which one is the address",
        BOB,
        recipients=(*(f"u{n}@reports.example.com" for n in range(999)), _RELEASE),
        event=Event(receipt=()),
    ),
    _attack("altered", "a reference of no message", Refusal.NOT_YOURS, recipients=(_ALTERED,)),
    _attack(
        "foreign",
        "the reference of Alice's message",
        Refusal.NOT_YOURS,
        recipients=(f"release-{_ALICES}@reports.example.com",),
    ),
    _attack(
        "outsider",
        "Bob forwarded his report to Eve",
        Refusal.NOT_YOURS,
        _mail(sender=_FROM_EVE),
        peer=EVES_SERVER,
        envelope_from="eve@evil.example",
    ),
    _attack("stranger", "a stranger writes as Bob", Refusal.UNAUTHENTICATED, peer=STRANGER),
    _attack(
        "to-only",
        "the address stands in To, and the envelope has another",
        Refusal.NOT_A_TRIGGER,
        recipients=("sales@reports.example.com",),
    ),
    _attack(
        "eleven",
        "eleven things at once",
        Refusal.TOO_MUCH,
        recipients=(*(f"preview-{n}{_BOBS}@reports.example.com" for n in range(1, 11)), _RELEASE),
    ),
    _attack("out-of-office", "an out-of-office", Refusal.AUTOMATIC, _mail("Auto-Submitted: auto-replied")),
    _attack("bounce", "a bounce", Refusal.AUTOMATIC, envelope_from=""),
    _attack(
        "inbox-rule",
        "an inbox rule that forwards Bob's mail",
        Refusal.AUTOMATIC,
        _mail("X-MS-Exchange-Inbox-Rules-Loop: bob@victim.example"),
    ),
    _attack(
        "receipt",
        "a read receipt that a stranger asked for by Disposition-Notification-To",
        Refusal.AUTOMATIC,
        _mail("Content-Type: multipart/report; report-type=disposition-notification; boundary=x"),
    ),
    _attack(
        "from-us",
        "From is an address of an action",
        Refusal.AUTOMATIC,
        _mail(sender=f"From: {_RELEASE}"),
    ),
    _replay("signed", "control: only DKIM proves it, and To names the address", BOB, _mail(SIGNED)),
    _replay(
        "of-eve",
        "the sender of the held message owns a mail that Bob's domain signed",
        Refusal.REPLAYED,
        _mail(SIGNED, to="eve@evil.example"),
    ),
    _replay(
        "forwarded",
        "forwarded waives To for the trigger, not for an action",
        Refusal.REPLAYED,
        _mail(SIGNED, to=TRIGGER),
        records=_FORWARDED,
    ),
]
