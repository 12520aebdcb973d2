"""Mails that a machine wrote, each from a server that may relay: an answer could loop."""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import BOB, TRIGGER, Attack, Event, Relay, mail

_AUTOMATIC = Refusal.AUTOMATIC
_RFC = "RFC 3834 5"

_FIELDS = [
    ("replied", "auto-replied", _RFC, "Auto-Submitted: auto-replied"),
    ("generated", "auto-generated", _RFC, "Auto-Submitted: auto-generated"),
    ("notified", "auto-notified", "RFC 5436 2.7.1", "Auto-Submitted: auto-notified; owner-email=a@x.example"),
    ("extension", "a keyword that we do not know", _RFC, "Auto-Submitted: x-robot"),
    ("empty", "no keyword", _RFC, "Auto-Submitted:"),
    ("case", "in capitals", _RFC, "AUTO-SUBMITTED: AUTO-REPLIED"),
    ("comment", "behind a comment", _RFC, "Auto-Submitted: (no) auto-replied"),
    ("comment-nested", "behind a comment in a comment", _RFC, "Auto-Submitted: (x (no)) auto-replied"),
    ("folded", "folded", _RFC, "Auto-Submitted:\r\n auto-replied"),
    ("space-colon", "with a space before the colon", "RFC 5322 4.5", "Auto-Submitted : auto-replied"),
    ("no-and-replied", "no, then auto-replied", _RFC, "Auto-Submitted: no\r\nAuto-Submitted: auto-replied"),
    ("replied-and-no", "auto-replied, then no", _RFC, "Auto-Submitted: auto-replied\r\nAuto-Submitted: no"),
    ("nope", "a word that begins with no", _RFC, "Auto-Submitted: nope"),
    ("bulk", "Precedence bulk", "RFC 2076 3.9", "Precedence: bulk"),
    ("junk", "Precedence junk", "RFC 2076 3.9", "Precedence: junk"),
    ("list", "Precedence list, in capitals", "RFC 2076 3.9", "PRECEDENCE: LIST"),
    ("bulk-comment", "Precedence bulk with a comment", "RFC 2076 3.9", "Precedence: bulk (vacation)"),
    (
        "bulk-nested",
        "Precedence bulk with a comment in a comment",
        "RFC 5322 3.2.2",
        "Precedence: bulk (a (b))",
    ),
    ("bulk-two-words", "Precedence bulk among words", "RFC 2076 3.9", "Precedence: bulk, list"),
    ("bulk-quoted", "Precedence bulk in quotes", "RFC 5322 3.2.4", 'Precedence: "bulk"'),
    ("list-id", "List-Id", "RFC 2919", "List-Id: <team.victim.example>"),
    ("list-unsubscribe", "List-Unsubscribe", "RFC 2369", "List-Unsubscribe: <mailto:x@x.example>"),
    ("list-post", "List-Post, in lower case", "RFC 2369", "list-post: NO"),
    ("list-unknown", "a List- field that we do not know", "reference, automatic", "List-X: y"),
    ("marker", "our own loop marker", "reference, automatic: our own report", "X-Quarantine-Report: x"),
    ("marker-case", "our own loop marker in capitals", "reference, automatic", "X-QUARANTINE-REPORT : x"),
]

_SENDERS = [
    ("daemon", "From mailer-daemon", "RFC 5321 4.5.5; RFC 3834 2", "MAILER-DAEMON@victim.example"),
    ("daemon-suffix", "From mailer-daemon with a suffix", "RFC 3834 2", "mailer-daemon+x@victim.example"),
    ("postmaster", "From postmaster", "RFC 3834 2", "Postmaster@victim.example"),
    (
        "trigger",
        "From the trigger, of Bob's domain",
        "reference, automatic",
        "manual-report-request@victim.example",
    ),
    (
        "trigger-suffix",
        "From the trigger with a suffix",
        "reference, automatic",
        "Manual-Report-Request+a@victim.example",
    ),
    ("reporter", "From our own report's address", "reference, automatic", "quarantine@reports.example.com"),
    (
        "reporter-suffix",
        "From the same with a suffix",
        "reference, automatic",
        "Quarantine+bounce@REPORTS.example.com",
    ),
]

_ORDINARY = [
    ("no", "control: Auto-Submitted no", _RFC, "Auto-Submitted: no"),
    ("no-parameters", "control: no, with comment and parameter", _RFC, "Auto-Submitted: No (a person); x=y"),
    ("no-nested", "control: no, with a comment in a comment", _RFC, "Auto-Submitted: no (a (person))"),
    ("first-class", "control: another Precedence", "RFC 2076 3.9", "Precedence: first-class"),
    (
        "suppress",
        "control: Exchange's wish for no replies of robots",
        "MS-OXCMAIL 2.2.3.2.14",
        "X-Auto-Response-Suppress: OOF",
    ),
    ("listing", "control: a field whose name only begins like List", "RFC 2369", "Listing: x"),
    ("x-list", "control: List in the middle of a name", "RFC 2369", "X-Mailing-List-Not: x"),
    (
        "receipt",
        "control: a wish for a receipt",
        "RFC 8098 2.1",
        "Disposition-Notification-To: bob@victim.example",
    ),
]

ATTACKS = [
    *(
        Attack(f"auto-{name}", trick, source, _AUTOMATIC, mail(field))
        for name, trick, source, field in _FIELDS
    ),
    *(
        Attack(
            f"auto-{name}",
            trick,
            source,
            _AUTOMATIC,
            mail(sender=f"From: {sender}"),
            records=(Relay("victim.example", "127.0.0.1/32"),),
        )
        for name, trick, source, sender in _SENDERS
    ),
    *(Attack(f"auto-{name}", trick, source, BOB, mail(field)) for name, trick, source, field in _ORDINARY),
    Attack("auto-bounce", "an empty envelope sender", "RFC 5321 4.5.5", _AUTOMATIC, mail(), envelope_from=""),
    Attack(
        "auto-return-path-null",
        "SES's Return-Path says that the envelope sender is empty",
        "RFC 5321 4.5.5",
        _AUTOMATIC,
        mail(),
        event=Event(return_path="<>"),
    ),
    Attack(
        "auto-before-ambiguous",
        "a robot's mail with two From fields",
        "reference: the first that applies",
        _AUTOMATIC,
        mail("From: eve@evil.example", "Auto-Submitted: auto-replied"),
    ),
    Attack(
        "auto-delivery-report",
        "a delivery report with an envelope sender, from the daemon",
        "RFC 3464 2",
        _AUTOMATIC,
        mail(
            "Content-Type: multipart/report; report-type=delivery-status",
            sender="From: MAILER-DAEMON@victim.example",
        ),
    ),
    Attack(
        "auto-our-trigger-as-from",
        "From is the address that was written to",
        "reference, automatic",
        _AUTOMATIC,
        mail(sender=f"From: {TRIGGER}"),
    ),
]
