"""Domains that look like Bob's, or that two standards read differently."""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import ALL_METHODS, ALL_PASS, BOB, Accepted, Attack, Auth, Relay, mail

_AMBIGUOUS = Refusal.AMBIGUOUS_SENDER
_UNAUTHENTICATED = Refusal.UNAUTHENTICATED
_IDNA = "RFC 5892 (IDNA 2008)"

# Bob's server may relay for victim.example, so a look-alike that is converted to it would be accepted.
_LOOK_ALIKES = [
    ("full-width", "a full-width letter", "UTS 46 4", "bob@\uff56ictim.example", _AMBIGUOUS),
    ("kelvin", "the Kelvin sign for k", "UTS 46 4", "bob@\u212aictim.example", _AMBIGUOUS),
    ("long-s", "a long s", "UTS 46 4", "bob@\u017fvictim.example", _AMBIGUOUS),
    ("full-width-stop", "a full-width full stop", "RFC 3490 3.1", "bob@victim\uff0eexample", _AMBIGUOUS),
    ("ideographic-stop", "an ideographic full stop", "RFC 3490 3.1", "bob@victim\u3002example", _AMBIGUOUS),
    (
        "half-width-stop",
        "a half-width ideographic full stop",
        "RFC 3490 3.1",
        "bob@victim\uff61example",
        _AMBIGUOUS,
    ),
    ("one-dot-leader", "a one dot leader", "UTS 46 4", "bob@victim\u2024example", _AMBIGUOUS),
    ("soft-hyphen", "a soft hyphen, which mapping drops", "UTS 46 4", "bob@vic\u00adtim.example", _AMBIGUOUS),
    ("zero-width", "a zero-width space", "own", "bob@vic\u200btim.example", _AMBIGUOUS),
    ("zwj", "a zero-width joiner", "UTS 46 4.1.1", "bob@vic\u200dtim.example", _AMBIGUOUS),
    ("word-joiner", "a word joiner", "UTS 46 4", "bob@vic\u2060tim.example", _AMBIGUOUS),
    ("variation", "a variation selector", "UTS 46 4", "bob@victim\ufe0f.example", _AMBIGUOUS),
    ("math-bold", "mathematical bold letters", "UTS 46 4", "bob@\U0001d42fictim.example", _AMBIGUOUS),
    ("circled", "a circled letter", "UTS 46 4", "bob@\u24e5ictim.example", _AMBIGUOUS),
    ("sharp-s", "a sharp s: ss or its own letter", "UTS 46 4.1.1", "bob@stra\u00dfe.example", _AMBIGUOUS),
    ("final-sigma", "a final sigma: two readings", "UTS 46 4.1.1", "bob@\u03b1\u03c2.example", _AMBIGUOUS),
    (
        "decomposed",
        "a letter and a combining mark (NFD)",
        "RFC 5891 4.1",
        "bob@bu\u0308cher.example",
        _AMBIGUOUS,
    ),
    (
        "rlo",
        "a right-to-left override",
        "CVE-2021-42574 (Trojan Source)",
        "bob@\u202eelpmaxe.mitciv",
        _AMBIGUOUS,
    ),
    ("rlm", "a right-to-left mark", "RFC 5893", "bob@victim\u200f.example", _AMBIGUOUS),
    ("bidi-mixed", "a label of two directions", "RFC 5893 2", "bob@\u05d0victim.example", _AMBIGUOUS),
    ("arabic-digits", "digits of another script", "RFC 5893 2", "bob@victim\u0661.example", _AMBIGUOUS),
    ("snowman", "a symbol", _IDNA, "bob@\u2603.example", _AMBIGUOUS),
    ("underscore", "an underscore", "RFC 5321 4.1.2", "bob@vic_tim.example", _AMBIGUOUS),
    ("hyphen-end", "a label that ends in a hyphen", "RFC 1123 2.1", "bob@victim-.example", _AMBIGUOUS),
    ("empty-label", "an empty label", "RFC 5321 4.1.2", "bob@victim..example", _AMBIGUOUS),
    (
        "a-label-ascii",
        "an A-label of only ASCII letters",
        "RFC 5890 2.3.2.1",
        "bob@xn--victim-.example",
        _AMBIGUOUS,
    ),
    ("a-label-symbol", "an A-label of a symbol", _IDNA, "bob@xn--n3h.example", _AMBIGUOUS),
    ("a-label-empty", "an empty A-label", "RFC 5890 2.3.2.1", "bob@xn--.example", _AMBIGUOUS),
    (
        "a-label-overflow",
        "an A-label that overflows",
        "RFC 3492 6.4",
        "bob@xn--zzzzzz99999999.example",
        _AMBIGUOUS,
    ),
    (
        "a-label-mixed",
        "an A-label with letters beyond ASCII",
        "RFC 5890 2.3.2.1",
        "bob@xn--v\u00efctim.example",
        _AMBIGUOUS,
    ),
    (
        "a-label-twice",
        "an A-label of an A-label",
        "RFC 5890 2.3.2.1",
        "bob@xn--xn--a--gua.example",
        _AMBIGUOUS,
    ),
    ("cyrillic", "a Cyrillic i: another domain", "UTS 39", "bob@v\u0456ctim.example", _UNAUTHENTICATED),
    ("greek", "a Greek omicron: another domain", "UTS 39", "bob@victim.example.c\u03bfm", _UNAUTHENTICATED),
    ("rn-for-m", "r and n for m: another domain", "own", "bob@victirn.example", _UNAUTHENTICATED),
    ("digit-for-letter", "1 for i: another domain", "own", "bob@v1ctim.example", _UNAUTHENTICATED),
    (
        "below-eves",
        "Bob's domain as a label of another",
        "own",
        "bob@victim.example.attacker.example",
        _UNAUTHENTICATED,
    ),
    ("longer", "Bob's domain at the end of a longer label", "own", "bob@notvictim.example", _UNAUTHENTICATED),
    (
        "child",
        "a sub-domain of Bob's: a relay record counts for its own domain",
        "reference, relay",
        "bob@mail.victim.example",
        _UNAUTHENTICATED,
    ),
]

# Bob's server may also relay for the results of other standards for some of them.
_MAPPED = ("kictim.example", "svictim.example", "strasse.example", "xn--mxa0b.example")
_RECORDS = tuple(
    Relay(domain, "127.0.0.1/32") for domain in ("victim.example", "victim-example.example", *_MAPPED)
)

ATTACKS = [
    *(
        Attack(f"domain-{name}", trick, source, expected, mail(sender=f"From: {address}"), records=_RECORDS)
        for name, trick, source, address, expected in _LOOK_ALIKES
    ),
    Attack(
        "domain-look-alike-proves-itself",
        "a look-alike domain that passes DMARC has a report of its own, with nothing of Bob's",
        "UTS 39; RFC 7489 2.4",
        Accepted("bob@xn--vctim-n2e.example"),
        mail(sender="From: bob@v\u0456ctim.example"),
        envelope_from="bob@xn--vctim-n2e.example",
        verdicts=ALL_PASS,
        records=(Auth("*", ALL_METHODS),),
    ),
    Attack(
        "domain-eve-bidi-name",
        "a display name that runs from right to left",
        "CVE-2021-42574 (Trojan Source)",
        _AMBIGUOUS,
        mail(sender="From: \u202eelpmaxe.mitciv@ecila <bob@victim.example>"),
    ),
    Attack(
        "domain-a-label",
        "control: a domain in A-labels",
        "RFC 5890 2.3.2.1",
        Accepted("bob@xn--bcher-kva.victim.example"),
        mail(sender="From: bob@XN--Bcher-KVA.victim.example"),
        records=(Relay("xn--bcher-kva.victim.example", "127.0.0.1/32"),),
    ),
    Attack(
        "domain-u-label",
        "control: the same domain in UTF-8, in capitals, with an A-label beside it",
        "RFC 5890 2.3.2.1; RFC 6532",
        Accepted("bob@xn--bcher-kva.xn--p1ai.victim.example"),
        mail(sender="From: Bob <bob@B\u00dcCHER.xn--p1ai.victim.example>"),
        records=(Relay("xn--bcher-kva.xn--p1ai.victim.example", "127.0.0.1/32"),),
    ),
    Attack(
        "domain-hyphens",
        "control: hyphens in the third and fourth place without xn",
        "RFC 5891 4.2.3.1",
        Accepted("bob@ab--cd.victim.example"),
        mail(sender="From: bob@ab--cd.victim.example"),
        records=(Relay("ab--cd.victim.example", "127.0.0.1/32"),),
    ),
    Attack("domain-capitals", "control: capitals", "RFC 4343", BOB, mail(sender="From: bob@VICTIM.EXAMPLE")),
]
