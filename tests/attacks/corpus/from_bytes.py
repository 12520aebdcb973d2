"""Bytes that end a line, a field or a word for one parser but not for another."""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import ALL_PASS, BOB, TRIGGER, Attack, Event, mail

_AMBIGUOUS = Refusal.AMBIGUOUS_SENDER
_SMUGGLING = "SMTP smuggling (CVE-2023-51764, -51765, -51766)"
_BOB = b"From: bob@victim.example"
_EVE = b"From: eve@evil.example"
_REST = b"\r\nTo: " + TRIGGER.encode() + b"\r\nSubject: x\r\n\r\nbody\r\n"

_BYTES = [
    (
        "nul-in-domain",
        "a NUL that ends the domain for C",
        "Composition Kills, NUL",
        b"From: bob@victim.example\0.evil.example",
    ),
    ("nul-in-local", "a NUL in the local part", "RFC 5322 4.1", b"From: bob\0@victim.example"),
    ("nul-in-name", "a NUL in the display name", "Mailsploit (2017)", b"From: Bob\0 <bob@victim.example>"),
    ("nul-elsewhere", "a NUL in another field", "RFC 5322 4.1", b"X-A: a\0From: eve@evil.example\r\n" + _BOB),
    (
        "bare-cr",
        "a second From behind a bare CR",
        _SMUGGLING,
        b"From: bob@victim.example\rFrom: eve@evil.example",
    ),
    (
        "bare-cr-other",
        "a From behind a bare CR of another field",
        _SMUGGLING,
        b"X-A: b\rFrom: eve@evil.example\r\n" + _BOB,
    ),
    ("bare-lf", "a second From behind a bare LF", _SMUGGLING, _BOB + b"\n" + _EVE),
    (
        "bare-lf-first",
        "the first field ends in LF, the rest in CRLF",
        _SMUGGLING,
        b"X-A: b\n" + _EVE + b"\r\n" + _BOB,
    ),
    ("lf-cr", "LF CR as a line end", "own", _BOB + b"\n\r" + _EVE),
    ("cr-cr-lf", "CR CR LF as a line end", "own", _BOB + b"\r\r\n" + _EVE),
    (
        "vt",
        "a vertical tab before a second From",
        "own: str.splitlines",
        b"X-A: b\x0bFrom: eve@evil.example\r\n" + _BOB,
    ),
    (
        "ff",
        "a form feed before a second From",
        "own: str.splitlines",
        b"X-A: b\x0cFrom: eve@evil.example\r\n" + _BOB,
    ),
    (
        "nel",
        "a next line (U+0085) in From",
        "own: str.splitlines",
        "From: Bob\x85 <bob@victim.example>".encode(),
    ),
    ("esc", "an escape sequence in the name", "own: terminals", b"From: \x1b[8mBob <bob@victim.example>"),
    ("del", "a DEL in the name", "RFC 5322 3.2.3", b"From: Bob\x7f <bob@victim.example>"),
    ("backspace", "backspaces in the address", "own", b"From: eve\x08\x08\x08bob@victim.example"),
    ("latin1-local", "a local part in Latin-1", "RFC 6532 3.1", b"From: b\xf8b@victim.example"),
    ("latin1-domain", "a domain in Latin-1", "RFC 6532 3.1", b"From: bob@v\xefctim.example"),
    ("utf8-local", "a local part in UTF-8", "RFC 6531; reference", "From: bøb@victim.example".encode()),
    ("utf8-broken", "broken UTF-8 in the address", "RFC 3629 3", b"From: bob@victim.example\xc3"),
    ("utf8-overlong", "an over-long form of the at", "RFC 3629 10", b"From: bob\xc1\x80victim.example"),
    ("utf16", "a From in UTF-16", "own", "From: bob@victim.example".encode("utf-16-be")),
    ("bom", "a byte order mark before From", "own", b"\xef\xbb\xbf" + _BOB),
    ("no-break-space", "a no-break space in the address", "own", "From: bob\xa0@victim.example".encode()),
    (
        "line-separator",
        "a line separator (U+2028) in the address",
        "own: str.splitlines",
        "From: bob@victim.example\u2028".encode(),
    ),
    (
        "long-line",
        "a From longer than all fields that SES gives",
        "SES documentation: headersTruncated",
        b"From: " + b"x" * 10_240 + b" <bob@victim.example>",
    ),
    (
        "long-folded",
        "the same, folded",
        "SES documentation: headersTruncated",
        b"From: " + b"xxxxxxxxx\r\n " * 1_100 + b"<bob@victim.example>",
    ),
    (
        "long-local",
        "a local part that is too long",
        "RFC 5321 4.5.3.1.1",
        b"From: " + b"b" * 65 + b"@victim.example",
    ),
    (
        "long-domain",
        "a domain that is too long",
        "RFC 5321 4.5.3.1.2",
        b"From: bob@" + b"b." * 130 + b"example",
    ),
]

ATTACKS = [
    *(
        Attack(f"bytes-{name}", trick, source, _AMBIGUOUS, head + _REST, verdicts=ALL_PASS)
        for name, trick, source, head in _BYTES
    ),
    Attack(
        "bytes-header-ends-early",
        "an empty line first: all that follows is the body",
        "RFC 5322 2.1",
        _AMBIGUOUS,
        b"\r\n" + mail(),
    ),
    Attack("bytes-no-header", "a mail of nothing", "RFC 5322 3.6", _AMBIGUOUS, b"\r\n"),
    Attack(
        "bytes-from-in-body",
        "the second From stands in the body: it counts for nothing",
        "RFC 5322 2.1",
        BOB,
        mail() + b"From: eve@evil.example\r\nAuto-Submitted: auto-replied\r\n",
    ),
    Attack(
        "bytes-smuggled-mail",
        "a second mail behind a bare LF dot LF stays in the body of the first",
        _SMUGGLING,
        BOB,
        mail()
        + b"\n.\nMAIL FROM:<eve@evil.example>\r\nRCPT TO:<"
        + TRIGGER.encode()
        + b">\r\nDATA\r\n"
        + _EVE
        + b"\r\n",
    ),
    Attack(
        "bytes-lf-throughout",
        "control: every line ends in LF, as one reader",
        "own",
        BOB,
        mail().replace(b"\r\n", b"\n"),
    ),
    Attack(
        "bytes-tab-folded",
        "control: folded with a tab",
        "RFC 5322 2.2.3",
        BOB,
        mail(sender="From:\tBob\r\n\t<bob@victim.example>"),
    ),
    Attack(
        "bytes-cut-second-from",
        "the second From lies where SES cuts its list",
        "SES: headersTruncated",
        _AMBIGUOUS,
        mail(*(f"X-MS-Exchange-{number}: {'x' * 900}" for number in range(14)), "From: eve@evil.example"),
    ),
    Attack(
        "bytes-cut-auto-submitted",
        "Auto-Submitted lies where SES cuts its list",
        "SES: headersTruncated; RFC 3834 5",
        Refusal.AUTOMATIC,
        mail(
            *(f"X-MS-Exchange-{number}: {'x' * 900}" for number in range(14)), "Auto-Submitted: auto-replied"
        ),
    ),
    Attack(
        "bytes-cut-mixed-ends",
        "a cut mail whose section ends in two places",
        "SES: headersTruncated",
        _AMBIGUOUS,
        mail(
            *(f"X-MS-Exchange-{number}: {'x' * 900}" for number in range(14)),
            "X-A: b\rFrom: eve@evil.example",
        ),
    ),
    Attack(
        "bytes-cut-mixed-lf",
        "what SES stored has an empty line for who ends lines at LF, and From behind it",
        _SMUGGLING,
        _AMBIGUOUS,
        mail(),
        verdicts=ALL_PASS,
        event=Event(truncated=True, stored=b"X-A: a\r\nX-B: b\n\n" + _BOB + _REST),
    ),
    Attack(
        "bytes-cut-no-end",
        "what SES stored has no end of the header section",
        "RFC 5322 2.1",
        _AMBIGUOUS,
        mail(),
        verdicts=ALL_PASS,
        event=Event(truncated=True, stored=_BOB + b"\r\nX-A: b"),
    ),
    Attack(
        "bytes-cut-ordinary",
        "control: a mail of Exchange Online, with more header than an event has",
        "SES: headersTruncated",
        BOB,
        mail(*(f"X-MS-Exchange-{number}: {'x' * 900}" for number in range(14))),
    ),
]
