"""A mail that only DKIM proves, handed in by somebody who holds it; and what must not be taken for one."""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import (
    BOB,
    DATE,
    SIGNED,
    STRANGER,
    TRIGGER,
    Attack,
    Auth,
    Event,
    Relay,
    mail,
    verdicts,
)

_REPLAYED = Refusal.REPLAYED
_SOURCE = "RFC 6376 8.6; design: Not replayed"
_DKIM_ONLY = (Auth("victim.example", ("dkim",)),)
_FORWARDED = (Auth("victim.example", ("dkim",), forwarded=True),)
_RESULTS = (
    "amazonses.com; spf=none (spfCheck: no record of x.example) client-ip=127.0.0.99;"
    " envelope-from=x@x.example; helo=mail.victim.example; dkim=pass header.i=@victim.example;"
    " dmarc=none header.from=victim.example;"
)
_OLD = "Date: Mon, 9 Nov 2026 12:59:55 +0100"


def _mail(*more: str, to: str | None = TRIGGER, date: str = DATE, signature: str = SIGNED) -> bytes:
    data = mail(signature, *more).decode()
    data = data.replace(f"To: {TRIGGER}\r\n", "" if to is None else f"To: {to}\r\n")
    return data.replace(DATE, date).encode()


def _attack(name: str, trick: str, expected: object, data: bytes, **over: object) -> Attack:
    settings = {
        "peer": STRANGER,
        "envelope_from": "x@x.example",
        "verdicts": verdicts(dkim="PASS"),
        "records": _DKIM_ONLY,
        "event": Event(results=_RESULTS),
    }
    return Attack(f"replay-{name}", trick, _SOURCE, expected, data, **settings | over)  # type: ignore[arg-type]


_OF_ALICE = "alice@victim.example"

ATTACKS = [
    _attack("fresh", "control: a new mail that only DKIM proves", BOB, _mail()),
    _attack("other-to", "a mail that Bob wrote to Alice", _REPLAYED, _mail(to=_OF_ALICE)),
    _attack("to-missing", "a mail that names no recipient", _REPLAYED, _mail(to=None)),
    _attack("to-added", "a second To that names the trigger", _REPLAYED, _mail(f"To: {_OF_ALICE}")),
    _attack("to-name", "the trigger as a display name", _REPLAYED, _mail(to=f'"{TRIGGER}" <{_OF_ALICE}>')),
    _attack(
        "cc-added", "an unsigned Cc that names the trigger", _REPLAYED, _mail(f"Cc: {TRIGGER}", to=_OF_ALICE)
    ),
    _attack("old", "a mail of two weeks ago", _REPLAYED, _mail(date=_OLD)),
    _attack("future", "a mail of next month", _REPLAYED, _mail(date="Date: Wed, 23 Dec 2026 12:59:55 +0100")),
    _attack("date-added", "a new Date above the signed one", _REPLAYED, _mail(_OLD)),
    _attack("date-missing", "no Date", _REPLAYED, _mail(date="X-Date: none")),
    _attack("id-added", "a second Message-ID", _REPLAYED, _mail("Message-ID: <other@victim.example>")),
    _attack(
        "from-only",
        "a signature of From alone",
        _REPLAYED,
        _mail(signature=SIGNED.replace(":to:date:message-id", "")),
    ),
    _attack("to-unsigned", "a signature without To", _REPLAYED, _mail(signature=SIGNED.replace(":to", ""))),
    _attack(
        "two-signatures",
        "a second signature of Bob's domain that covers less",
        _REPLAYED,
        _mail(SIGNED.replace(":to:date:message-id", "")),
    ),
    _attack(
        "suffix",
        "a suffix that To does not name",
        _REPLAYED,
        _mail(),
        recipients=(TRIGGER.replace("@", "+2@"),),
    ),
    _attack(
        "dmarc",
        "DMARC by DKIM alone, of an old mail",
        _REPLAYED,
        _mail(date=_OLD),
        verdicts=verdicts(dkim="PASS", dmarc="PASS"),
        records=(Auth("victim.example", ("dmarc",)),),
    ),
    _attack(
        "forwarded",
        "control: an alias forwards to the trigger",
        BOB,
        _mail(to="help@victim.example"),
        records=_FORWARDED,
    ),
    _attack(
        "forwarded-old",
        "an old mail, where an alias forwards",
        _REPLAYED,
        _mail(date=_OLD),
        records=_FORWARDED,
    ),
    _attack(
        "spf",
        "control: Microsoft 365 does not sign To, and SPF passes",
        BOB,
        _mail(date=_OLD, signature=SIGNED.replace(":to", "")),
        envelope_from="bob@victim.example",
        verdicts=verdicts(dkim="PASS", spf="PASS"),
        event=Event(
            results=_RESULTS.replace("spf=none", "spf=pass").replace("x@x.example", "bob@victim.example")
        ),
    ),
    _attack(
        "relay",
        "control: a relay, whatever the signature",
        BOB,
        _mail(date=_OLD, to=_OF_ALICE),
        peer="127.0.0.1",
        records=(*_DKIM_ONLY, Relay("victim.example", "127.0.0.1/32")),
    ),
]
