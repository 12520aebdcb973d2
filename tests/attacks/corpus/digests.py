"""Mails about scheduled reports, and requests that say what they want.

What comes by itself has no mail that asks: tests/functions/test_digest.py holds mail for strangers, for users
who do not exist, and for readers whose digest bounces.
"""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import (
    BOB,
    EVES_SERVER,
    SIGNED,
    STRANGER,
    TRIGGER,
    Accepted,
    Attack,
    Auth,
    Event,
    mail,
    verdicts,
)

_SOURCE = "reference, Scheduled reports"
_OPTIONS = "reference, What a request can ask for"
_ON, _OFF = "digest-on@reports.example.com", "digest-off@reports.example.com"
_OLDER = "manual-report-request+older-99999999999-0@reports.example.com"
_RESULTS = Event(
    results="amazonses.com; spf=none (spfCheck: no record of x.example) client-ip=127.0.0.99;"
    " envelope-from=x@x.example; helo=mail.victim.example; dkim=pass header.i=@victim.example;"
    " dmarc=none header.from=victim.example;"
)


def _wish(name: str, trick: str, expected: object, data: bytes = mail(), **over: object) -> Attack:
    settings = {"recipients": (_OFF,)} | over
    return Attack(f"digest-{name}", trick, _SOURCE, expected, data, **settings)  # type: ignore[arg-type]


def _about(subject: str, *more: str, **over: str) -> bytes:
    return mail(*more, **over).replace(b"Subject: What is held for me?", f"Subject: {subject}".encode())


def _option(name: str, trick: str, expected: object, subject: str, **over: object) -> Attack:
    return Attack(f"option-{name}", trick, _OPTIONS, expected, _about(subject), **over)  # type: ignore[arg-type]


ATTACKS = [
    _wish("off-stranger", "a stranger switches Bob's reports off", Refusal.UNAUTHENTICATED, peer=STRANGER),
    _wish(
        "on-stranger",
        "a stranger switches them on",
        Refusal.UNAUTHENTICATED,
        peer=STRANGER,
        recipients=(_ON,),
    ),
    _wish("off-neighbour", "Eve's own server writes as Bob", Refusal.UNAUTHENTICATED, peer=EVES_SERVER),
    _wish("out-of-office", "an out-of-office", Refusal.AUTOMATIC, mail("Auto-Submitted: auto-replied")),
    _wish(
        "list",
        "a gateway that adds List-Unsubscribe",
        Refusal.AUTOMATIC,
        mail("List-Unsubscribe: <mailto:x@y.example>"),
    ),
    _wish("bounce", "a digest that comes back", Refusal.AUTOMATIC, envelope_from=""),
    _wish("from-us", "From is digest-on", Refusal.AUTOMATIC, mail(sender=f"From: {_ON}")),
    _wish(
        "replayed",
        "a mail of Bob's to the trigger, handed in to digest-off",
        Refusal.REPLAYED,
        mail(SIGNED),
        peer=STRANGER,
        envelope_from="x@x.example",
        verdicts=verdicts(dkim="PASS"),
        records=(Auth("victim.example", ("dkim",)),),
        event=_RESULTS,
    ),
    _wish("denied", "who is denied", Refusal.DENIED, records=(Auth("victim.example", deny=True),)),
    *(
        _wish(
            f"almost-{place}",
            "an address that is almost ours",
            Refusal.NOT_A_TRIGGER,
            recipients=(f"{local}@reports.example.com",),
        )
        for place, local in enumerate(("digest", "digest-", "digest-maybe", "digest-on+x", "digest_on"))
    ),
    _option("find", "control: words of Bob's message, which each message has", BOB, "find secret"),
    _option("find-encoded", "control: as an encoded word", BOB, "=?utf-8?q?find_SECRET?="),
    _option("last", "control: the last days", BOB, "Re: [EXT] last 9999 days"),
    _option("for-self", "control: one's own mailbox", BOB, "for bob@victim.example"),
    _option("for-foreign", "the mailbox of somebody else", Refusal.NOT_YOURS, "for alice@victim.example"),
    _option("for-other-domain", "the mailbox of another company", Refusal.NOT_YOURS, "for eve@evil.example"),
    _option(
        "for-two", "two mailboxes: somebody's own Subject", BOB, "for bob@victim.example alice@victim.example"
    ),
    _option("for-wildcard", "everybody's mailbox", Refusal.NOT_YOURS, "for *@victim.example"),
    _option("for-nobody", "no address: somebody's own Subject", BOB, "for everybody"),
    _option(
        "for-shared",
        "control: a mailbox that is open to Bob, alone",
        Accepted("bob@victim.example"),
        "for bob@victim.example",
        records=(
            Auth("bob@victim.example", ("spf",), mailboxes=("sales@victim.example",)),
            *Attack("x", "", "", BOB, b"").records,
        ),
        held=("sales@victim.example",),
    ),
    _option("long", "a Subject of 300,000 letters", BOB, "find " + "(a+)+" * 60_000),
    _option("pattern", "a Subject that is almost ours, again and again", BOB, "[a]" * 150 + " find"),
    _option("older", "control: from a place in the far future on", BOB, "hello", recipients=(_OLDER,)),
    _option(
        "older-foreign",
        "a place in somebody else's list",
        Refusal.NOT_YOURS,
        "for alice@victim.example",
        recipients=(_OLDER,),
    ),
    _option(
        "older-stranger",
        "a place in Bob's list, by a stranger",
        Refusal.UNAUTHENTICATED,
        "hello",
        recipients=(_OLDER,),
        peer=STRANGER,
    ),
    _option(
        "older-twice", "the trigger and a place: one request", BOB, "hello", recipients=(_OLDER, TRIGGER)
    ),
    *(
        _option(
            f"older-broken-{place}",
            "what is no place: a whole report",
            BOB,
            "hello",
            recipients=(f"manual-report-request+older-{text}@reports.example.com",),
        )
        for place, text in enumerate(("", "x", "1-2-3", "-1-0", "1e9-0", "99999999999999999999-0"))
    ),
]
