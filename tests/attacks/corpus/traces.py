"""Trace fields and HELO names that imitate SES's fields. They come from a stranger's server."""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import (
    BOB,
    SIGNED,
    STRANGER,
    Attack,
    Auth,
    Event,
    Relay,
    mail,
    verdicts,
)

_UNAUTHENTICATED = Refusal.UNAUTHENTICATED
_SES = "SES documentation, receiving email: headers; reference"
_FORGING = "RFC 5321 7.2; RFC 8601 7.1"
_RECEIVED = (
    "Received: from mail.victim.example (mail.victim.example [127.0.0.1])"
    " by inbound-smtp.us-east-1.amazonaws.com with SMTP id {guess}"
    " for manual-report-request@reports.example.com; Mon, 23 Nov 2026 12:00:00 +0000 (UTC)"
)
_RESULTS = (
    "Authentication-Results: amazonses.com; spf=pass client-ip=127.0.0.1; envelope-from=bob@victim.example;"
    " helo=mail.victim.example; dkim=pass header.i=@victim.example; dmarc=pass header.from=victim.example;"
)
_BY = "by inbound-smtp.us-east-1.amazonaws.com with SMTP id"

_FIELDS = [
    ("received", "SES's Received field with a guessed id", _FORGING, _RECEIVED.format(guess="a" * 40)),
    (
        "received-no-id",
        "a Received field of Bob's own server",
        _FORGING,
        "Received: from [127.0.0.1] by mail.victim.example",
    ),
    (
        "received-google",
        "a Received field of another provider",
        _FORGING,
        "Received: by 127.0.0.1 with SMTP id x",
    ),
    (
        "received-spf",
        "Received-SPF",
        "RFC 7208 9.1",
        "Received-SPF: pass (x) client-ip=127.0.0.1; envelope-from=bob@victim.example",
    ),
    ("results", "SES's Authentication-Results", "RFC 8601 7.1", _RESULTS),
    ("arc-results", "ARC-Authentication-Results", "RFC 8617 4.1.1", "ARC-" + _RESULTS),
    ("ses-spam", "X-SES-Spam-Verdict", _SES, "X-SES-Spam-Verdict: PASS"),
    ("ses-dkim-verdict", "a verdict that SES never puts in a field", _SES, "X-SES-DKIM-Verdict: PASS"),
    (
        "ses-receipt",
        "X-SES-RECEIPT",
        _SES,
        "X-SES-RECEIPT: AEFBQUFB\r\nX-SES-DKIM-SIGNATURE: a=rsa-sha256; d=amazonses.com",
    ),
    ("return-path", "Return-Path", "RFC 5321 4.4", "Return-Path: <bob@victim.example>"),
    ("x-originating", "X-Originating-IP", "own", "X-Originating-IP: [127.0.0.1]"),
    (
        "x-received",
        "X-Received",
        "own",
        "X-Received: from [127.0.0.1] by inbound-smtp.us-east-1.amazonaws.com",
    ),
    (
        "whole-block",
        "the whole block of an earlier mail of SES's",
        _SES,
        (
            f"Return-Path: <bob@victim.example>\r\n{_RECEIVED.format(guess='b' * 40)}\r\n"
            f"X-SES-Spam-Verdict: PASS\r\n{_RESULTS}"
        ),
    ),
    (
        "xcrossorg",
        "Exchange's own word that the mail is internal",
        "own",
        "X-MS-Exchange-Organization-AuthAs: Internal",
    ),
]

_HELO = [
    ("literal", "an address literal", "RFC 5321 4.1.3", "[127.0.0.1]"),
    ("own-name", "the name of Bob's server", "RFC 5321 4.1.4", "mail.victim.example"),
    ("ses-text", "SES's own words with a guessed id", "own", f"x ([127.0.0.1]) {_BY} {'c' * 40} for x"),
    ("bracket", "a bracket before SES's", "own", "x [127.0.0.1])"),
    ("bracket-open", "a bracket that does not close", "own", "x [127.0.0.1"),
    ("comment-open", "a comment that swallows what follows", "RFC 5322 3.2.2", "x ([127.0.0.1] ("),
    ("results", "a dkim result", "RFC 8601 7.1", "x; dkim=pass header.i=@victim.example; dmarc=pass"),
    ("semicolon", "a date and a second hop", "own", "x; Mon, 23 Nov 2026 12:00:00 +0000 from [127.0.0.1]"),
]

_DKIM = verdicts(dkim="PASS")
_ONLY_DKIM = (Auth("victim.example", ("dkim",)), Relay("victim.example", "127.0.0.1/32"))
_SPF_PART = (
    "spf=pass (spfCheck: x) client-ip=127.0.0.99; envelope-from=eve@evil.example; helo=mail.evil.example;"
)
_SIGNED = "DKIM-Signature: v=1; a=rsa-sha256; d=evil.example; s=s; h=from:to:date:message-id; bh=x; b=y"

_SES_RESULTS = [
    (
        "comment",
        "a passing result in SES's comment of the SPF record",
        "reference, dkim; RFC 7208 7",
        (
            "amazonses.com; spf=pass (x; dkim=pass header.i=@victim.example;) client-ip=1;"
            " dkim=pass header.i=@evil.example;"
        ),
    ),
    (
        "quoted-i",
        "a passing result in a quoted i=",
        "Composition Kills, DKIM results injection",
        (
            f"amazonses.com; {_SPF_PART}"
            ' dkim=pass header.i="x; dkim=pass header.i=@victim.example"@evil.example;'
        ),
    ),
    (
        "single-quote",
        "a single quote in d=",
        "Composition Kills, DKIM results injection",
        f"amazonses.com; {_SPF_PART} dkim=pass header.i=@victim.example'a.evil.example;",
    ),
    (
        "fail-and-pass",
        "a failing signature of Bob's domain beside a passing one of Eve's",
        "RFC 6376 6.1",
        f"amazonses.com; {_SPF_PART} dkim=fail header.i=@victim.example; dkim=pass header.i=@evil.example;",
    ),
    (
        "two-domains",
        "one result with two domains",
        "RFC 8601 2.2",
        f"amazonses.com; {_SPF_PART} dkim=pass header.i=@evil.example header.d=victim.example;",
    ),
    (
        "reason",
        "Bob's domain in another property",
        "RFC 8601 2.2",
        f'amazonses.com; {_SPF_PART} dkim=pass reason="header.i=@victim.example" header.i=@evil.example;',
    ),
    (
        "authserv-id",
        "another server's results in SES's place",
        "RFC 8601 5",
        "victim.example; dkim=pass header.i=@victim.example;",
    ),
    (
        "late-dkim",
        "a dkim result behind dmarc's",
        "reference, dkim",
        (
            f"amazonses.com; {_SPF_PART} dkim=pass header.i=@evil.example; dmarc=fail;"
            " dkim=pass header.i=@victim.example;"
        ),
    ),
    (
        "open-comment",
        "a comment that does not end",
        "RFC 8601 2.2",
        f"amazonses.com; {_SPF_PART} dkim=pass header.i=@victim.example; (",
    ),
    (
        "none",
        "the verdict is PASS and no signature is named",
        "reference, dkim",
        f"amazonses.com; {_SPF_PART} dkim=pass;",
    ),
    (
        "spf-twice",
        "a whole second set of results behind a comment that closes early",
        "RFC 7208 7.3; reference, dkim",
        (
            "amazonses.com; spf=pass (x) client-ip=1; envelope-from=a; helo=b;"
            " dkim=pass header.i=@victim.example; dmarc=pass header.from=victim.example; (x)"
            " client-ip=127.0.0.99; envelope-from=eve@evil.example; helo=mail.evil.example;"
            " dkim=pass header.i=@evil.example;"
        ),
    ),
    (
        "unknown-method",
        "a result of a method that SES does not have",
        "RFC 8617 4.1.1; reference, dkim",
        f"amazonses.com; {_SPF_PART} dkim=pass header.i=@victim.example; arc=pass;",
    ),
    ("empty", "an empty field", "own", ""),
]

# A signature may have any text in d= and i=, and SES repeats it: the mail's signatures, and SES's text.
_COMPOSED = "Composition Kills, DKIM results injection"
_SIGNATURES = [
    (
        "i-encoded",
        "a passing result in an i= that SES repeats without its quotes",
        "RFC 6376 2.11; " + _COMPOSED,
        ['d=evil.example; i="x=3B dkim=3Dpass header.i=3D@victim.example"@evil.example'],
        f"{_SPF_PART} dkim=pass header.i=x; dkim=pass header.i=@victim.example@evil.example;",
    ),
    (
        "d-comment",
        "a comment in d= hides whose signature it is; that of a second one ends it",
        _COMPOSED,
        ["d=victim.example(.evil.example", "d=)"],
        f"{_SPF_PART} dkim=pass header.i=@victim.example(.evil.example; dkim=permerror header.i=@);",
    ),
    (
        "d-property",
        "a space in d= makes another property of the rest",
        _COMPOSED,
        ["d=victim.example header.x=.evil.example"],
        f"{_SPF_PART} dkim=pass header.i=@victim.example header.x=.evil.example;",
    ),
    (
        "d-quote",
        "a quote from the SPF record to d= hides SES's own results",
        _COMPOSED,
        ['d=x".evil.example'],
        (
            "spf=pass (x) client-ip=1; envelope-from=a; helo=b; dkim=pass header.i=@victim.example;"
            ' dmarc=pass header.x=") client-ip=127.0.0.99; envelope-from=eve@evil.example;'
            ' helo=mail.evil.example; dkim=pass header.i=@x".evil.example;'
        ),
    ),
    (
        "d-case",
        "the same comment, with D in capitals",
        _COMPOSED,
        ["D=victim.example(.evil.example", "D=)"],
        f"{_SPF_PART} dkim=pass header.i=@victim.example(.evil.example; dkim=permerror header.i=@);",
    ),
]


def _repeated(name: str, trick: str, source: str, signatures: list[str], results: str) -> Attack:
    """Return a mail of Eve's in Bob's name, signed as she likes, with SES's results for it."""
    return Attack(
        f"results-{name}",
        trick,
        source,
        _UNAUTHENTICATED,
        mail(*signatures),
        peer=STRANGER,
        helo="mail.evil.example",
        envelope_from="eve@evil.example",
        verdicts=_DKIM,
        records=_ONLY_DKIM,
        event=Event(results=results),
    )


ATTACKS = [
    *(
        Attack(
            f"trace-{name}",
            f"forged: {trick}",
            source,
            _UNAUTHENTICATED,
            (field + "\r\n").encode() + mail(),
            peer=STRANGER,
        )
        for name, trick, source, field in _FIELDS
    ),
    *(
        Attack(f"helo-{name}", f"HELO: {trick}", source, _UNAUTHENTICATED, mail(), peer=STRANGER, helo=helo)
        for name, trick, source, helo in _HELO
    ),
    *(_repeated(name, trick, source, [_SIGNED], results) for name, trick, source, results in _SES_RESULTS),
    *(
        _repeated(
            name,
            trick,
            source,
            [
                f"DKIM-Signature: v=1; a=rsa-sha256; {tags}; s=s; h=from:to:date:message-id; bh=x; b=y"
                for tags in signatures
            ],
            f"amazonses.com; {results}",
        )
        for name, trick, source, signatures, results in _SIGNATURES
    ),
    Attack(
        "results-two-signatures",
        "control: Bob's signature passes, a forwarder's cannot be checked",
        "RFC 6376 6.1",
        BOB,
        mail(
            SIGNED.replace("s=s;", "i=@victim.example; s=s;"),
            "DKIM-Signature: v=1; a=rsa-sha256; d=old.example.net; s=s; h=from:to:date:message-id; bh=x; b=y",
        ),
        peer=STRANGER,
        envelope_from=f"SRS0={'x' * 60}=victim.example=bob@out.example.net",
        verdicts=_DKIM,
        records=_ONLY_DKIM,
        event=Event(
            results="amazonses.com; spf=softfail (spfCheck: transitioning domain of out.example.net does not"
            " designate 127.0.0.99 as permitted sender) client-ip=127.0.0.99;"
            " envelope-from=x@out.example.net; helo=mail.victim.example;"
            " dkim=permerror header.i=@old.example.net; dkim=pass header.i=@victim.example;"
            " dmarc=pass header.from=victim.example;"
        ),
    ),
    Attack(
        "results-helo-injects",
        "HELO brings a dkim result into SES's own field",
        "Composition Kills, results injection",
        _UNAUTHENTICATED,
        mail(_SIGNED),
        peer=STRANGER,
        helo="x; dkim=pass header.i=@victim.example",
        envelope_from="eve@evil.example",
        verdicts=_DKIM,
        records=_ONLY_DKIM,
    ),
    Attack(
        "results-envelope-injects",
        "the envelope sender brings a dkim result into SES's own field",
        "Composition Kills, SPF results injection",
        _UNAUTHENTICATED,
        mail(_SIGNED),
        peer=STRANGER,
        helo="mail.evil.example",
        envelope_from='"x; dkim=pass header.i=@victim.example;"@evil.example',
        verdicts=_DKIM,
        records=_ONLY_DKIM,
    ),
    Attack(
        "results-nul-domain",
        "a NUL in d=",
        "Composition Kills, NUL ambiguity",
        Refusal.AMBIGUOUS_SENDER,
        mail(_SIGNED),
        peer=STRANGER,
        helo="mail.evil.example",
        envelope_from="eve@evil.example",
        verdicts=_DKIM,
        records=_ONLY_DKIM,
        event=Event(results=f"amazonses.com; {_SPF_PART} dkim=pass header.i=@victim.example\0.evil.example;"),
    ),
    Attack(
        "results-own-in-place-of-ses",
        "SES put no Authentication-Results on, the sender did",
        "RFC 8601 7.1",
        _UNAUTHENTICATED,
        _RESULTS.encode() + b"\r\n" + mail(),
        peer=STRANGER,
        verdicts=_DKIM,
        records=_ONLY_DKIM,
        event=Event(without=("authentication-results",)),
    ),
    Attack(
        "trace-ses-received-missing",
        "SES's Received field is not there, the sender's is the first",
        "reference, relay",
        _UNAUTHENTICATED,
        _RECEIVED.format(guess="d" * 40).encode() + b"\r\n" + mail(),
        event=Event(without=("received",)),
    ),
    Attack(
        "trace-other-mails-id",
        "the first Received field has the id of another mail",
        "reference, relay",
        _UNAUTHENTICATED,
        mail(),
        event=Event(received=f"from x (x [127.0.0.1]) {_BY} {'e' * 40} for x; date"),
    ),
    Attack(
        "trace-longer-id",
        "the id goes on behind this mail's",
        "reference, relay",
        _UNAUTHENTICATED,
        mail(),
        event=Event(received=f"from x (x [127.0.0.1]) {_BY} {{id}}0 for x; date"),
    ),
    Attack(
        "trace-other-host",
        "the host only begins like SES's",
        "reference, relay",
        _UNAUTHENTICATED,
        mail(),
        event=Event(
            received="from x (x [127.0.0.1]) by inbound-smtp.us-east-1.amazonaws.com.evil.example"
            " with SMTP id {id} for x"
        ),
    ),
    Attack(
        "trace-before-host",
        "the host only ends like SES's",
        "reference, relay",
        _UNAUTHENTICATED,
        mail(),
        event=Event(
            received="from x (x [127.0.0.1]) by evil-inbound-smtp.us-east-1.amazonaws.com"
            " with SMTP id {id} for x"
        ),
    ),
    Attack(
        "trace-no-bracket",
        "SES's Received field names no address",
        "reference, relay",
        _UNAUTHENTICATED,
        mail(),
        event=Event(received=f"from [127.0.0.1] ([unknown]) {_BY} {{id}} for x; date"),
    ),
    Attack(
        "trace-own-hops",
        "control: Bob's server put on its own trace fields",
        "RFC 5321 4.4",
        BOB,
        b"Received: from pc17 ([203.0.113.9]) by mail.victim.example\r\n"
        b"Authentication-Results: mail.victim.example; auth=pass\r\n" + mail(),
    ),
    Attack(
        "trace-return-path-below",
        "control: an empty Return-Path of the sender's own, below SES's",
        "RFC 5321 4.4",
        BOB,
        b"Return-Path: <>\r\n" + mail(),
    ),
    Attack(
        "helo-control",
        "control: HELO is an address literal",
        "RFC 5321 4.1.3",
        BOB,
        mail(),
        helo="[203.0.113.9]",
    ),
]
