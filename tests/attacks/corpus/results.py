"""Results that a verdict of PASS does not rest on: nothing that SES leaves out may count as proof."""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import BOB, SIGNED, STRANGER, Accepted, Attack, Auth, Event, mail, verdicts

_UNAUTHENTICATED = Refusal.UNAUTHENTICATED
_BEFORE = (
    "amazonses.com; spf=none (spfCheck: no record of x.example) client-ip=127.0.0.99;"
    " envelope-from=x@x.example; helo=mail.victim.example; dkim=none; "
)
_DMARC: list[tuple[str, str, Refusal | Accepted, str]] = [
    ("named", "control: the From domain is named", BOB, "dmarc=pass header.from=victim.example;"),
    ("none", "no From domain is named", _UNAUTHENTICATED, "dmarc=pass;"),
    ("spaces", "spaces about the equals sign", _UNAUTHENTICATED, "dmarc=pass header.from = victim.example;"),
    ("empty", "an empty From domain", _UNAUTHENTICATED, "dmarc=pass header.from=;"),
    (
        "two",
        "another From domain beside it",
        _UNAUTHENTICATED,
        "dmarc=pass header.from=victim.example header.from=evil.example;",
    ),
    (
        "two-spaces",
        "another one with spaces",
        _UNAUTHENTICATED,
        "dmarc=pass header.from=victim.example header.from = evil.example;",
    ),
    ("other", "another From domain", _UNAUTHENTICATED, "dmarc=pass header.from=evil.example;"),
    ("word", "the bare word", _UNAUTHENTICATED, "dmarc=pass header.from;"),
    ("comment", "only in a comment, as another word", _UNAUTHENTICATED, "dmarc=pass (from=victim.example);"),
]

ATTACKS = [
    *(
        Attack(
            f"open-{name}",
            f"DMARC: {trick}",
            "RFC 7489 11.1; RFC 8601 2.2",
            expected,
            mail(SIGNED),
            peer=STRANGER,
            envelope_from="x@x.example",
            verdicts=verdicts(dmarc="PASS"),
            records=(Auth("victim.example", ("dmarc",)),),
            event=Event(results=_BEFORE + results),
        )
        for name, trick, expected, results in _DMARC
    ),
    Attack(
        "open-no-field",
        "DMARC without SES's results",
        "RFC 8601 2.2",
        _UNAUTHENTICATED,
        mail(SIGNED),
        peer=STRANGER,
        envelope_from="x@x.example",
        verdicts=verdicts(dmarc="PASS"),
        records=(Auth("victim.example", ("dmarc",)),),
        event=Event(without=("authentication-results",)),
    ),
    Attack(
        "open-apostrophe",
        "control: an apostrophe in i=",
        "RFC 6376 3.5",
        BOB,
        mail(SIGNED.replace("s=s;", "i=o'brien@victim.example; s=s;")),
        peer=STRANGER,
        envelope_from="x@x.example",
        verdicts=verdicts(dkim="PASS"),
        records=(Auth("victim.example", ("dkim",)),),
        event=Event(
            results=_BEFORE.replace("dkim=none;", "dkim=pass header.i=@victim.example;") + "dmarc=none;"
        ),
    ),
]
