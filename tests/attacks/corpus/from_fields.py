"""From fields that two parsers read differently. Each comes from a server that may relay for Bob's domain."""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import ALL_PASS, BOB, EVE, EVERYTHING_COUNTS, EVES_SERVER, Accepted, Attack, mail

_AMBIGUOUS = Refusal.AMBIGUOUS_SENDER
_COMPOSITION = "Composition Kills (USENIX Security 2020), 5.1"
_ADDRESSES = "Composition Kills (USENIX Security 2020), 5.2"
_P2_FROM = "CVE-2024-49040 (Exchange, P2 FROM)"
_BOB = "From: Bob <bob@victim.example>"
_EVE = "From: Eve <eve@evil.example>"

_FIELDS = [
    ("two-from", "two From fields", _COMPOSITION, f"{_BOB}\r\n{_EVE}"),
    ("two-from-eve-first", "two From fields, the forger's first", _COMPOSITION, f"{_EVE}\r\n{_BOB}"),
    ("two-from-same", "the same From field twice", "RFC 5322 3.6", f"{_BOB}\r\n{_BOB}"),
    ("three-from", "three From fields", _COMPOSITION, f"{_EVE}\r\n{_BOB}\r\n{_EVE}"),
    (
        "apart",
        "two From fields with others between",
        _COMPOSITION,
        f"{_BOB}\r\nX-A: b\r\nX-C: d\r\n{_EVE}",
    ),
    ("case", "From and FROM", "RFC 5322 1.2.2", f"{_BOB}\r\nFROM: eve@evil.example"),
    (
        "space-colon",
        "From, and From with a space before the colon",
        _COMPOSITION,
        f"{_EVE}\r\nFrom : bob@victim.example",
    ),
    (
        "tab-colon",
        "From, and From with a tab before the colon",
        "RFC 5322 4.5",
        f"{_EVE}\r\nFrom\t: bob@victim.example",
    ),
    (
        "folded-name",
        "a field name that is folded before its colon",
        _COMPOSITION,
        f"From\r\n : bob@victim.example\r\n{_EVE}",
    ),
    ("folded-name-alone", "the folded name alone", _COMPOSITION, "From\r\n : bob@victim.example"),
    (
        "and-empty",
        "an empty From field beside a full one",
        "Composition Kills, multiple From",
        f"From:\r\n{_BOB}",
    ),
    ("no-from", "no From field", "RFC 5322 3.6", "X-A: b"),
    (
        "sender-alone",
        "Sender in the place of From",
        "Composition Kills, From and Sender",
        "Sender: bob@victim.example",
    ),
    (
        "resent-from-alone",
        "Resent-From in the place of From",
        "RFC 5322 3.6.6",
        "Resent-From: bob@victim.example",
    ),
    ("name-without-colon", "From without its colon", "own", "From bob@victim.example\r\nX-A: b"),
    (
        "mbox-from-line",
        "a From_ line of an mbox before the header",
        "RFC 4155",
        f"From bob@victim.example Mon Nov 23 12:00:00 2026\r\n{_EVE}",
    ),
    (
        "line-first",
        "a line without a colon before From ends the header for some",
        "own",
        f"nonsense\r\n{_BOB}",
    ),
    ("line-without-colon", "a line without a colon between two From", "own", f"{_EVE}\r\nnonsense\r\n{_BOB}"),
    (
        "name-8-bit",
        "a field name with a no-break space",
        "RFC 5322 3.6.8",
        f"{_EVE}\r\nFrom\xa0: bob@x.example",
    ),
    (
        "name-zero-width",
        "a field name with a zero-width space",
        "own",
        f"{_EVE}\r\nFrom\u200b: bob@victim.example",
    ),
    ("name-empty", "a field with an empty name", "RFC 5322 2.2", f"{_BOB}\r\n: x"),
]

_VALUES = [
    ("two-addresses", "two addresses", _ADDRESSES, "bob@victim.example, eve@evil.example"),
    ("two-mailboxes", "two mailboxes", _ADDRESSES, "Bob <bob@victim.example>, Eve <eve@evil.example>"),
    ("same-twice", "the same address twice", "RFC 5322 3.6.2", "bob@victim.example, bob@victim.example"),
    ("semicolon-list", "a list with Outlook's semicolon", "own", "bob@victim.example; eve@evil.example"),
    ("space-list", "two addresses with only a space between", "own", "bob@victim.example eve@evil.example"),
    ("trailing-comma", "an empty second address", "RFC 5322 4.4 obs-mbox-list", "bob@victim.example,"),
    ("leading-comma", "an empty first address", "RFC 5322 4.4 obs-mbox-list", ",bob@victim.example"),
    ("group", "a group of one", "RFC 6854", "team: bob@victim.example;"),
    ("group-nested", "a group with brackets in it", _P2_FROM, "<bob@victim.example>:<eve@evil.example>;"),
    ("group-empty", "an empty group", "RFC 6854", "undisclosed:;"),
    ("group-and-address", "a group, then an address", "RFC 6854", "team:; bob@victim.example"),
    ("route", "a source route", _ADDRESSES, "<@evil.example,@x.example:bob@victim.example>"),
    (
        "route-to-eve",
        "a source route by way of Bob's domain",
        _ADDRESSES,
        "<@victim.example:eve@evil.example>",
    ),
    (
        "two-angles",
        "two addresses in brackets",
        _P2_FROM,
        "<bob@victim.example> <eve@evil.example>",
    ),
    ("angles-adjoining", "two in brackets, adjoining", _P2_FROM, "<bob@victim.example><eve@evil.example>"),
    ("angles-nested", "brackets in brackets", _P2_FROM, "<bob@victim.example<eve@evil.example>>"),
    ("angle-open", "a bracket that does not close", "RFC 5322 3.4", "Bob <bob@victim.example"),
    ("angle-close", "a bracket that does not open", "RFC 5322 3.4", "Bob bob@victim.example>"),
    ("angle-empty", "nothing in the brackets", "RFC 5321 4.5.5", "bob@victim.example <>"),
    ("angle-then-text", "text behind the brackets", "own", "<bob@victim.example> eve@evil.example"),
    ("name-only", "a display name alone", "RFC 5322 3.4", "Bob Builder"),
    ("value-empty", "nothing at all", "RFC 5322 3.6.2", ""),
    (
        "bare-before-angle",
        "a bare address as the display name",
        "CVE-2023-27043 (Python email)",
        "bob@victim.example <eve@evil.example>",
    ),
    (
        "bare-bracket-comma",
        "an address that a bracket follows without a comma",
        "CVE-2023-27043 (Python email)",
        "bob@victim.example)<eve@evil.example>",
    ),
    ("two-ats", "two ats", "CVE-2019-16056 (Python email)", "bob@victim.example@evil.example"),
    (
        "two-ats-angle",
        "two ats in brackets",
        "CVE-2019-16056 (Python email)",
        "<eve@evil.example@victim.example>",
    ),
    ("comment-behind", "a comment behind", "RFC 5322 3.2.2", "bob@victim.example (Bob)"),
    ("comment-address", "an address in a comment", _ADDRESSES, "bob@victim.example (<eve@evil.example>)"),
    ("comment-before", "a comment before", "RFC 5322 3.2.2", "(eve@evil.example) bob@victim.example"),
    (
        "comment-in-local",
        "a comment in the local part",
        "RFC 5322 4.4",
        "bob(eve@evil.example,)@victim.example",
    ),
    ("comment-in-domain", "a comment in the domain", "RFC 5322 4.4", "bob@victim.example(.evil.example)"),
    (
        "comment-nested",
        "a comment in a comment",
        "RFC 5322 3.2.2",
        "bob@victim.example ((a) <eve@evil.example>)",
    ),
    ("comment-open", "a comment that does not end", "own", "Bob (<eve@evil.example> <bob@victim.example>"),
    (
        "comment-quoted-pair",
        "a comment with a quoted bracket",
        _ADDRESSES,
        r"(\)<eve@evil.example>) <bob@victim.example>",
    ),
    ("quoted-local", "a quoted local part", "RFC 5322 3.4.1", '"bob"@victim.example'),
    ("quoted-local-at", "an address in a quoted local part", "own", '"eve@evil.example"@victim.example'),
    (
        "quoted-local-space",
        "a quoted local part with a space",
        "RFC 5321 4.1.2",
        '"bob builder"@victim.example',
    ),
    (
        "quoted-local-part",
        "a quoted word in a local part",
        "RFC 5322 4.4 obs-local-part",
        'b."o".b@victim.example',
    ),
    ("quoted-pair", "a quoted pair outside of quotes", _ADDRESSES, r"b\ob@victim.example"),
    ("quote-open", "a quote that does not end", "own", '"Eve <eve@evil.example>, <bob@victim.example>'),
    (
        "quote-escape-end",
        "a quote whose end is escaped",
        "own",
        r'"Eve\" <eve@evil.example>, " <bob@victim.example>',
    ),
    ("literal", "a domain literal", "RFC 5322 3.4.1", "bob@[127.0.0.1]"),
    ("no-domain", "no domain", "RFC 5322 3.4.1", "bob"),
    ("one-label", "a domain of one label", "RFC 5321 2.3.5", "bob@localhost"),
    ("no-local", "no local part", "RFC 5322 3.4.1", "@victim.example"),
    ("dot-leading", "a local part that begins with a dot", "RFC 5322 3.2.3", ".bob@victim.example"),
    ("dot-double", "two dots in the local part", "RFC 5322 3.2.3", "bo..b@victim.example"),
    ("dot-trailing", "a domain that ends in a dot", "RFC 5321 2.3.5", "bob@victim.example."),
    ("space-at", "a space before the at", "RFC 5322 4.4", "bob @victim.example"),
    ("space-in-brackets", "spaces in the brackets", "RFC 5322 3.2.3", "< bob@victim.example >"),
    ("percent-domain", "a percent sign in the domain", "own", "bob@victim.example%evil.example"),
    (
        "encoded-address",
        "the whole address as an encoded word",
        "Composition Kills, address encoding; RFC 2047 5",
        "=?utf-8?b?Ym9iQHZpY3RpbS5leGFtcGxl?=",
    ),
    (
        "encoded-address-and-eve",
        "an encoded address before another",
        "Composition Kills, address encoding",
        "=?utf-8?b?PGJvYkB2aWN0aW0uZXhhbXBsZT4=?=,<eve@evil.example>",
    ),
    ("encoded-local", "an encoded local part", "RFC 2047 5", "=?utf-8?q?bob?=@victim.example"),
    ("encoded-at", "an encoded at", "RFC 2047 5", "bob=?utf-8?q?=40?=victim.example"),
    (
        "encoded-nul",
        "an encoded NUL and line feed before the real domain",
        "Mailsploit (2017)",
        "=?utf-8?b?Ym9iQHZpY3RpbS5leGFtcGxl?==?utf-8?q?=00=0A?=@evil.example",
    ),
    (
        "shown-quoted",
        "a display name that shows another address",
        "reference, ambiguous_sender",
        '"alice@bank.example" <bob@victim.example>',
    ),
    (
        "shown-encoded",
        "an encoded display name that shows another address",
        "Mailsploit (2017); reference",
        "=?utf-8?q?alice=40bank=2Eexample?= <bob@victim.example>",
    ),
    (
        "shown-base64",
        "the same in base64",
        "Mailsploit (2017); reference",
        "=?utf-8?b?YWxpY2VAYmFuay5leGFtcGxl?= <bob@victim.example>",
    ),
    (
        "shown-in-two-words",
        "another address in two encoded words",
        "RFC 2047 6.2",
        "=?utf-8?q?alice=40ba?= =?utf-8?q?nk=2Eexample?= <bob@victim.example>",
    ),
    (
        "shown-full-width",
        "another address with a full-width @",
        "UTS 46 4; reference, ambiguous_sender",
        "alice\uff20bank.example <bob@victim.example>",
    ),
    (
        "shown-brackets",
        "a quoted display name with another mailbox",
        "reference, ambiguous_sender",
        '"Alice <alice@bank.example>" <bob@victim.example>',
    ),
]

_LEGAL = [
    (
        "leading-space",
        "a first line that begins with a space continues the field above it, which is SES's",
        "RFC 5322 2.2.3; " + _COMPOSITION,
        f" From: eve@evil.example\r\n{_BOB}",
        BOB,
    ),
    ("legal-bare", "control: a bare address", "RFC 5322 3.4", "From: bob@victim.example", BOB),
    ("legal-angle", "control: brackets alone", "RFC 5322 3.4", "From: <bob@victim.example>", BOB),
    (
        "legal-name-case",
        "control: the field name in capitals",
        "RFC 5322 1.2.2",
        "FROM: bob@victim.example",
        BOB,
    ),
    ("legal-no-space", "control: no space behind the colon", "RFC 5322 2.2", "From:bob@victim.example", BOB),
    (
        "legal-space-colon",
        "control: a space before the colon",
        "RFC 5322 4.5",
        "From : bob@victim.example",
        BOB,
    ),
    (
        "legal-address-case",
        "control: capitals in the address",
        "RFC 5321 2.4",
        "From: BOB@VICTIM.EXAMPLE",
        BOB,
    ),
    (
        "legal-folded",
        "control: a folded value",
        "RFC 5322 2.2.3",
        "From: Bob Builder\r\n <bob@victim.example>",
        BOB,
    ),
    (
        "legal-folded-first",
        "control: folded before the value",
        "RFC 5322 2.2.3",
        "From:\r\n bob@victim.example",
        BOB,
    ),
    (
        "legal-comma",
        "control: a comma in quotes",
        "RFC 5322 3.2.4",
        'From: "Builder, Bob" <bob@victim.example>',
        BOB,
    ),
    (
        "legal-quoted-pair",
        "control: quotes in quotes",
        "RFC 5322 3.2.4",
        r'From: "Bob \"the\" Builder" <bob@victim.example>',
        BOB,
    ),
    (
        "legal-dots",
        "control: dots in the name",
        "RFC 5322 4.1",
        "From: Bob A. Builder <bob@victim.example>",
        BOB,
    ),
    (
        "legal-encoded",
        "control: an encoded name",
        "RFC 2047 2",
        "From: =?utf-8?b?QsO4YiBCdWlsZGVy?= <bob@victim.example>",
        BOB,
    ),
    (
        "legal-exchange",
        "control: a name as Exchange writes it",
        "RFC 5322 3.2.4",
        'From: "Builder, Bob (IT)" <bob@victim.example>',
        BOB,
    ),
    ("legal-utf8", "control: a name in UTF-8", "RFC 6532 3.2", "From: Bøb <bob@victim.example>", BOB),
    (
        "legal-own-address",
        "control: the display name is the same address",
        "own: Outlook",
        "From: \"'bob@victim.example'\" <bob@victim.example>",
        BOB,
    ),
    (
        "legal-atext",
        "control: every odd letter of an atom",
        "RFC 5322 3.2.3",
        "From: o'brien/x=y{z}@victim.example",
        Accepted("o'brien/x=y{z}@victim.example"),
    ),
    (
        "legal-suffix",
        "a sub-address sees its own held mail, not Bob's",
        "RFC 5233",
        "From: bob+x@victim.example",
        Accepted("bob+x@victim.example"),
    ),
    (
        "legal-dotted",
        "a dot in the local part is another mailbox",
        "RFC 5321 2.3.11",
        "From: b.ob@victim.example",
        Accepted("b.ob@victim.example"),
    ),
    (
        "legal-bank-name",
        "a display name that is only a name lists nothing of that name's",
        "own",
        "From: Alice <bob@victim.example>",
        BOB,
    ),
]

ATTACKS = [
    *(
        Attack(f"from-{name}", trick, source, _AMBIGUOUS, mail(sender=sender))
        for name, trick, source, sender in _FIELDS
    ),
    *(
        Attack(
            f"from-{name}",
            trick,
            source,
            _AMBIGUOUS,
            mail(sender=f"From: {value}"),
            verdicts=ALL_PASS,
            held=("alice@bank.example",),
        )
        for name, trick, source, value in _VALUES
    ),
    *(
        Attack(f"from-{name}", trick, source, due, mail(sender=sender))
        for name, trick, source, sender, due in _LEGAL
    ),
    Attack(
        "from-two-from-eves-server",
        "two From fields, from a server of the forger's own",
        _COMPOSITION,
        _AMBIGUOUS,
        mail(sender=f"{_EVE}\r\n{_BOB}"),
        peer=EVES_SERVER,
        envelope_from="eve@evil.example",
    ),
    Attack(
        "from-percent-path",
        "Bob's address as a percent path: it is Eve's domain's mailbox",
        "RFC 5321 3.6.1",
        Accepted("bob%victim.example@evil.example"),
        mail(sender="From: bob%victim.example@evil.example"),
        peer=EVES_SERVER,
        envelope_from="eve@evil.example",
    ),
    Attack(
        "from-bang-path",
        "Bob's address as a bang path: it is Eve's domain's mailbox",
        "RFC 976",
        Accepted("victim.example!bob@evil.example"),
        mail(sender="From: victim.example!bob@evil.example"),
        peer=EVES_SERVER,
        envelope_from="eve@evil.example",
    ),
    *(
        Attack(
            f"from-{name.lower()}",
            f"{name} names another person than From",
            source,
            EVE,
            mail(f"{name}: bob@victim.example", sender=_EVE),
            peer=EVES_SERVER,
            envelope_from="eve@evil.example",
            records=EVERYTHING_COUNTS,
        )
        for name, source in [
            ("Sender", "Composition Kills, From and Sender"),
            ("Resent-From", "Composition Kills, From and Resent-From"),
            ("X-Original-From", "own"),
            ("Reply-To", "RFC 5322 3.6.2"),
            ("Return-Receipt-To", "own"),
            ("Apparently-From", "own"),
        ]
    ),
]
