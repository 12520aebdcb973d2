"""Envelope recipients that look like the trigger, and unusual spellings of the trigger."""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import BOB, TRIGGER, Attack, Event, mail

_NOT = Refusal.NOT_A_TRIGGER
_RULE = "reference, not_a_trigger"

_OTHERS = [
    ("sales", "another mailbox, and the trigger in To", _RULE, "sales@reports.example.com"),
    ("longer", "a longer local part", _RULE, "manual-report-requests@reports.example.com"),
    ("shorter", "a shorter local part", _RULE, "manual-report-reques@reports.example.com"),
    ("prefix", "text before the trigger", _RULE, "x-manual-report-request@reports.example.com"),
    ("suffix-side", "the trigger as the suffix", "RFC 5233", "x+manual-report-request@reports.example.com"),
    (
        "suffix-empty-user",
        "a suffix without a user",
        "RFC 5233",
        "+manual-report-request@reports.example.com",
    ),
    ("suffix-minus", "a suffix by hyphen", "own: qmail", "manual-report-request-x@reports.example.com"),
    ("suffix-equals", "a suffix by equals sign", "own: VERP", "manual-report-request=x@reports.example.com"),
    ("dots", "dots for hyphens", "own", "manual.report.request@reports.example.com"),
    ("underscores", "underscores for hyphens", "own", "manual_report_request@reports.example.com"),
    ("no-hyphens", "no hyphens", "own", "manualreportrequest@reports.example.com"),
    ("quoted-space", "quoted with a space", "RFC 5321 4.1.2", '"manual-report-request "@reports.example.com'),
    ("percent", "a percent path", "RFC 5321 3.6.1", "manual-report-request%x.example@reports.example.com"),
    ("bang", "a bang path", "RFC 976", "reports.example.com!manual-report-request@x.example"),
    ("long-s", "a long s for s", "UTS 46 4", "manual-report-reque\u017ft@reports.example.com"),
    ("cyrillic", "a Cyrillic a", "UTS 39", "m\u0430nual-report-request@reports.example.com"),
    ("hyphen-2010", "a typographic hyphen", "UTS 39", "manual\u2010report-request@reports.example.com"),
    ("full-width", "full-width letters", "UTS 46 4", "\uff4danual-report-request@reports.example.com"),
    ("zero-width", "a zero-width space", "own", "manual-report-request\u200b@reports.example.com"),
    ("soft-hyphen", "a soft hyphen", "own", "manual-report-request\u00ad@reports.example.com"),
    ("domain-only", "the trigger as the domain", _RULE, "x@manual-report-request.example.com"),
]

# The SMTP server of the local run refuses these, or interprets quotes and encoded words itself.
_EVENT_ONLY = [
    (
        "quoted",
        "quoted: refused, not interpreted",
        "RFC 5321 4.1.2; reference, Limits",
        '"manual-report-request"@reports.example.com',
    ),
    ("encoded", "an encoded word", "RFC 2047 5", "=?utf-8?q?manual-report-request?=@reports.example.com"),
    (
        "two-ats",
        "two ats",
        "CVE-2019-16056 (Python email)",
        "manual-report-request@reports.example.com@x.example",
    ),
    ("route", "a source route", "RFC 5321 4.1.1.3", "@x.example:manual-report-request@reports.example.com"),
    ("no-domain", "no domain", "RFC 5321 4.1.1.3", "manual-report-request"),
    ("comment", "a comment", "RFC 5322 3.2.2", "manual-report-request(x)@reports.example.com"),
    ("leading-dot", "a dot before it", "RFC 5322 3.2.3", ".manual-report-request@reports.example.com"),
    ("space", "a space behind it", "own", "manual-report-request @reports.example.com"),
    (
        "newline",
        "a line feed behind it",
        "own: re.match with $",
        "manual-report-request\n@reports.example.com",
    ),
    ("nul", "a NUL behind it", "own", "manual-report-request\0@reports.example.com"),
    (
        "list",
        "two addresses in one",
        "own",
        "x@reports.example.com,manual-report-request@reports.example.com",
    ),
    ("empty", "nothing", "own", ""),
]

_RIGHT = [
    ("capitals", "control: capitals", _RULE, ("MANUAL-REPORT-REQUEST@Reports.Example.COM",)),
    ("suffix", "control: a suffix", "RFC 5233", ("manual-report-request+november@reports.example.com",)),
    ("suffix-two", "control: two suffixes", "RFC 5233", ("manual-report-request+a+b.c@reports.example.com",)),
    ("suffix-none", "control: an empty suffix", "RFC 5233", ("manual-report-request+@reports.example.com",)),
    ("domain", "control: any domain", _RULE, ("manual-report-request@anything.example",)),
    ("second", "control: the second of two recipients", _RULE, ("sales@reports.example.com", TRIGGER)),
    (
        "twice",
        "the trigger in two spellings in one mail: one report",
        "own",
        (TRIGGER, "Manual-Report-Request+x@reports.example.com"),
    ),
]

ATTACKS = [
    *(
        Attack(f"trigger-{name}", trick, source, _NOT, mail(), recipients=(recipient,))
        for name, trick, source, recipient in _OTHERS
    ),
    *(
        Attack(
            f"trigger-{name}",
            trick,
            source,
            _NOT,
            mail(),
            event=Event(receipt=(("recipients", [recipient]),)),
        )
        for name, trick, source, recipient in _EVENT_ONLY
    ),
    *(
        Attack(f"trigger-{name}", trick, source, BOB, mail(), recipients=to)
        for name, trick, source, to in _RIGHT
    ),
    Attack(
        "trigger-no-recipient",
        "the trigger in To and in mail.destination, and no recipient",
        "SES documentation: receipt.recipients",
        _NOT,
        mail(),
        event=Event(receipt=(("recipients", []),)),
    ),
    Attack(
        "trigger-only-cc",
        "the trigger in Cc, for a robot's recipient",
        _RULE,
        _NOT,
        mail(f"Cc: {TRIGGER}", f"X-Original-To: {TRIGGER}", f"Delivered-To: {TRIGGER}"),
        recipients=("x@reports.example.com",),
    ),
]
