"""Proofs of a domain that is not Bob's, verdicts that are not PASS, and records that deny."""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import (
    ALL_METHODS,
    ALL_PASS,
    BOB,
    OWN_SERVER,
    SIGNED,
    STRANGER,
    Accepted,
    Attack,
    Auth,
    Event,
    Json,
    Relay,
    mail,
    verdicts,
)

_UNAUTHENTICATED = Refusal.UNAUTHENTICATED
_RELAXED = "RFC 7489 3.1"
_LIST = "RFC 7489 3.2; publicsuffix.org"

# From domain, the domain of the signature, whether they are aligned. Each comes from a stranger's server.
_DKIM = [
    ("same", "victim.example", "victim.example", True, _RELAXED),
    ("child", "victim.example", "mail.victim.example", True, _RELAXED),
    ("parent", "mail.victim.example", "victim.example", True, _RELAXED),
    ("sibling", "a.victim.example", "b.victim.example", True, _RELAXED),
    ("case", "victim.example", "VICTIM.EXAMPLE", True, "RFC 6376 3.5"),
    ("other", "victim.example", "evil.example", False, "SES documentation: dkimVerdict; reference"),
    ("suffix", "victim.example", "example", False, _LIST),
    ("longer-label", "victim.example", "notvictim.example", False, _RELAXED),
    ("below-eves", "victim.example", "victim.example.attacker.example", False, _RELAXED),
    ("co-uk", "dkim-co-uk.co.uk", "co.uk", False, _LIST),
    ("co-uk-neighbour", "dkim-co-uk-neighbour.co.uk", "eve.co.uk", False, _LIST),
    ("co-uk-child", "dkim-co-uk-child.co.uk", "mail.dkim-co-uk-child.co.uk", True, _LIST),
    ("github-io", "dkim-github-io.github.io", "github.io", False, f"{_LIST} (private section)"),
    (
        "github-neighbour",
        "dkim-github-neighbour.github.io",
        "eve.github.io",
        False,
        f"{_LIST} (private section)",
    ),
    ("com", "dkim-com.com", "com", False, _LIST),
    (
        "onmicrosoft",
        "dkim-onmicrosoft.onmicrosoft.com",
        "eve.onmicrosoft.com",
        False,
        "own: another tenant of Microsoft 365, which the list does not know",
    ),
    (
        "onmicrosoft-bare",
        "dkim-onmicrosoft-bare.onmicrosoft.com",
        "onmicrosoft.com",
        False,
        "own: no tenant of Microsoft 365",
    ),
    (
        "onmicrosoft-mail",
        "dkim-onmicrosoft-mail.mail.onmicrosoft.com",
        "eve.mail.onmicrosoft.com",
        False,
        "own: another tenant of Microsoft 365",
    ),
    (
        "onmicrosoft-own",
        "dkim-onmicrosoft-own.onmicrosoft.com",
        "a.dkim-onmicrosoft-own.onmicrosoft.com",
        True,
        _RELAXED,
    ),
    ("idn-suffix", "dkim-idn.xn--55qx5d.cn", "eve.xn--55qx5d.cn", False, f"{_LIST} (an IDN suffix)"),
    ("wildcard", "a.dkim-wildcard.ck", "b.dkim-wildcard.ck", False, f"{_LIST} (wildcard rule *.ck)"),
    ("punycode", "xn--bcher-kva.victim.example", "bücher.victim.example", True, "RFC 7489 3.1; RFC 6376 3.5"),
    ("trailing-dot", "victim.example", "evil.example.victim.example.", False, "own"),
    ("at-in-domain", "victim.example", "victim.example@evil.example", False, "RFC 6376 3.5"),
]

_SPF = [
    ("same", "bob@victim.example", True, _RELAXED),
    ("child", "bounce@mail.victim.example", True, _RELAXED),
    ("other-mailbox", "alice@victim.example", True, _RELAXED),
    ("batv", "prvs=0123=bob@victim.example", True, "draft-levine-smtp-batv"),
    ("other", "eve@evil.example", False, _RELAXED),
    ("srs", "SRS0=x=y=victim.example=bob@evil.example", False, "SRS"),
    ("quoted", '"bob@victim.example"@evil.example', False, "Composition Kills, SPF"),
    ("quoted-reverse", '"eve@evil.example"@victim.example', False, "reference: read in only one way"),
    ("two-ats", "bob@victim.example@evil.example", False, "Composition Kills, SPF"),
    ("two-ats-reverse", "eve@evil.example@victim.example", False, "Composition Kills, SPF"),
    ("comment", "bob@victim.example(.evil.example", False, "Composition Kills, SPF"),
    ("single-quote", "any@victim.example'@evil.example", False, "Composition Kills, SPF"),
    ("route", "@victim.example,@x.example:eve@evil.example", False, "Composition Kills, SPF"),
    ("suffix", "bob@example", False, _LIST),
    ("no-domain", "bob", False, "RFC 7208 2.4"),
    ("helo-only", "postmaster", False, "RFC 7208 2.4"),
]

_WORDS: list[tuple[str, Json]] = [
    ("fail", {"status": "FAIL"}),
    ("gray", {"status": "GRAY"}),
    ("processing-failed", {"status": "PROCESSING_FAILED"}),
    ("disabled", {"status": "DISABLED"}),
    ("lower-case", {"status": "pass"}),
    ("unknown-word", {"status": "PASSED"}),
    ("blank", {"status": " PASS"}),
    ("list", {"status": ["PASS"]}),
    ("true", {"status": True}),
    ("bare", "PASS"),
    ("missing", None),
]

_ONLY = {method: (Auth("victim.example", (method,)),) for method in ALL_METHODS}

ATTACKS = [
    *(
        Attack(
            f"dkim-{name}",
            f"signed by {signer}, From {domain}",
            source,
            Accepted(f"bob@{domain}") if is_aligned else _UNAUTHENTICATED,
            mail(
                f"DKIM-Signature: v=1; a=rsa-sha256; d={signer}; s=s; h=from:to:date:message-id; bh=x; b=y",
                sender=f"From: bob@{domain}",
            ),
            peer=STRANGER,
            helo="out.example.net",
            envelope_from="list@example.net",
            verdicts=verdicts(dkim="PASS"),
            records=(Auth(domain, ("dkim",)),),
            held=(f"bob@{domain}",),
        )
        for name, domain, signer, is_aligned, source in _DKIM
    ),
    *(
        Attack(
            f"spf-{name}",
            f"SPF passes for the envelope sender {envelope_from}",
            source,
            BOB if is_aligned else _UNAUTHENTICATED,
            mail(),
            peer=STRANGER,
            envelope_from=envelope_from,
            verdicts=verdicts(spf="PASS", dkim="PASS"),
            records=_ONLY["spf"],
        )
        for name, envelope_from, is_aligned, source in _SPF
    ),
    *(
        Attack(
            f"{method}-{name}",
            f"the {method} verdict is {word!r}",
            "SES documentation: verdicts; reference: only PASS accepts",
            _UNAUTHENTICATED,
            mail("DKIM-Signature: v=1; d=victim.example; s=s; b=y"),
            peer=STRANGER,
            verdicts=verdicts(**{method: "PASS"}),
            records=_ONLY[method],
            event=Event(receipt=((f"{method}Verdict", word),)),
        )
        for method in ALL_METHODS
        for name, word in _WORDS
    ),
    *(
        Attack(
            f"method-{method}-not-accepted",
            f"all passes but {method}, which alone is accepted",
            "reference, the most specific auth record",
            _UNAUTHENTICATED,
            mail(),
            peer=STRANGER,
            verdicts=verdicts(**{other: "PASS" for other in ALL_METHODS if other != method}),
            records=_ONLY[method],
        )
        for method in ALL_METHODS
    ),
    Attack(
        "dmarc-alone",
        "control: DMARC passes",
        "reference, dmarc",
        BOB,
        mail(SIGNED),
        peer=STRANGER,
        verdicts=verdicts(dmarc="PASS"),
        records=_ONLY["dmarc"],
    ),
    *(
        Attack(
            f"dmarc-{name}",
            f"DMARC passes for {trick}",
            "RFC 7489 11.1; RFC 8601 2.2; reference, dmarc",
            _UNAUTHENTICATED,
            mail(),
            peer=STRANGER,
            verdicts=verdicts(dmarc="PASS"),
            records=_ONLY["dmarc"],
            event=Event(
                results="amazonses.com; spf=none; client-ip=127.0.0.99; envelope-from=bob@victim.example;"
                f" helo=mail.victim.example; dkim=none; dmarc=pass {properties};"
            ),
        )
        for name, trick, properties in [
            ("other-from", "the From that SES read, which is not ours", "header.from=evil.example"),
            ("two-from", "two From domains", "header.from=victim.example header.from=evil.example"),
            ("quoted-from", "another From, in quotes", 'header.from="evil.example"'),
        ]
    ),
    Attack(
        "record-none",
        "all passes, and there is no record",
        "reference: without a record, everybody is refused",
        _UNAUTHENTICATED,
        mail(),
        verdicts=ALL_PASS,
        records=(),
    ),
    Attack(
        "record-address-first",
        "the address's own record accepts nothing, its domain's everything",
        "reference, senders",
        _UNAUTHENTICATED,
        mail(),
        peer=STRANGER,
        verdicts=ALL_PASS,
        records=(Auth("bob@victim.example"), Auth("victim.example", ALL_METHODS)),
    ),
    Attack(
        "record-of-parent",
        "the record of a parent domain is not the sub-domain's",
        "reference, senders",
        _UNAUTHENTICATED,
        mail(sender="From: bob@mail.victim.example"),
        verdicts=ALL_PASS,
        records=(Auth("victim.example", ALL_METHODS), Relay("victim.example", f"{OWN_SERVER}/32")),
        held=("bob@mail.victim.example",),
    ),
    Attack(
        "record-of-eve",
        "only Eve's domain has records",
        "reference, senders",
        _UNAUTHENTICATED,
        mail(),
        verdicts=ALL_PASS,
        records=(Auth("evil.example", ALL_METHODS), Relay("evil.example", "127.0.0.0/8")),
    ),
    Attack(
        "record-misspelt",
        "a record that accepts a method of another name",
        "reference: a record that cannot be read accepts nothing",
        _UNAUTHENTICATED,
        mail(),
        verdicts=ALL_PASS,
        records=(Auth("victim.example", ("DMARC", "arc")), Auth("*", ALL_METHODS)),
    ),
    Attack(
        "deny-address",
        "the address is denied, and its domain and its server are accepted",
        "reference, denied",
        Refusal.DENIED,
        mail(),
        verdicts=ALL_PASS,
        records=(
            Auth("bob@victim.example", deny=True),
            Auth("victim.example", ALL_METHODS),
            Relay("victim.example", f"{OWN_SERVER}/32"),
        ),
    ),
    Attack(
        "deny-domain",
        "the domain is denied, and the address is accepted",
        "reference, denied",
        Refusal.DENIED,
        mail(),
        verdicts=ALL_PASS,
        records=(Auth("bob@victim.example", ALL_METHODS), Auth("victim.example", deny=True)),
    ),
    Attack(
        "deny-all",
        "everybody is denied, and the server may relay",
        "reference, denied",
        Refusal.DENIED,
        mail(),
        records=(Auth("*", deny=True), Relay("victim.example", f"{OWN_SERVER}/32")),
    ),
    Attack(
        "deny-all-but-bob",
        "control: everybody is denied but those with a record of their own",
        "reference, denied",
        BOB,
        mail(),
        verdicts=ALL_PASS,
        records=(Auth("*", deny=True), Auth("victim.example", ("dmarc",))),
    ),
    Attack(
        "deny-capitals",
        "a denied address in capitals",
        "reference, denied; RFC 5321 2.4",
        Refusal.DENIED,
        mail(sender="From: BOB@victim.example"),
        verdicts=ALL_PASS,
        records=(Auth("bob@victim.example", deny=True), Auth("victim.example", ALL_METHODS)),
    ),
    Attack(
        "mailboxes-of-domain",
        "a domain's record opens a mailbox: that counts on an address's own alone",
        "reference, senders",
        BOB,
        mail(),
        verdicts=ALL_PASS,
        records=(Auth("victim.example", ALL_METHODS, mailboxes=("alice@victim.example",)),),
    ),
    Attack(
        "mailboxes-of-address",
        "control: an address's record opens a shared mailbox",
        "reference, senders",
        Accepted("bob@victim.example", shows=("alice@victim.example",)),
        mail(),
        verdicts=ALL_PASS,
        records=(Auth("bob@victim.example", ALL_METHODS, mailboxes=("alice@victim.example",)),),
    ),
    Attack(
        "mailboxes-of-suffix",
        "a sub-address is not the address whose record opens a mailbox",
        "RFC 5233; reference, senders",
        Accepted("bob+x@victim.example"),
        mail(sender="From: bob+x@victim.example"),
        verdicts=ALL_PASS,
        records=(
            Auth("bob@victim.example", ALL_METHODS, mailboxes=("alice@victim.example",)),
            Auth("victim.example", ALL_METHODS),
        ),
    ),
    Attack(
        "infected",
        "a virus, and all else passes",
        "SES documentation: virusVerdict",
        Refusal.INFECTED,
        mail(),
        verdicts=verdicts(virus="FAIL", spf="PASS", dkim="PASS", dmarc="PASS"),
    ),
    Attack(
        "spam",
        "spam, and all else passes",
        "SES documentation: spamVerdict",
        Refusal.SPAM,
        mail(),
        verdicts=verdicts(spam="FAIL", spf="PASS", dkim="PASS", dmarc="PASS"),
    ),
    Attack(
        "unscanned",
        "control: SES could not scan it, and its server may relay",
        "reference: infected and spam are FAIL",
        BOB,
        mail(),
        verdicts=verdicts(spam="PROCESSING_FAILED", virus="DISABLED"),
    ),
]
