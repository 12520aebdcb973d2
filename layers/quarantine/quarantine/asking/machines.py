"""The signs that a machine wrote a mail: answering one could loop (RFC 3834 2)."""

import re

from quarantine.asking.event import InboundMail
from quarantine.mail.addresses import Address

LOOP_MARKER = "X-Quarantine-Report"  # in every mail that this system sends; a request with it is refused

_MAX_SHOWN = 254  # characters of a field that a refusal repeats
_BULK = frozenset({"bulk", "junk", "list"})
_MACHINES = frozenset({"mailer-daemon", "postmaster"})


def machine_sign(
    mail: InboundMail, requester: Address | None, trigger: str, report_sender: Address
) -> str | None:
    """Return a description of the sign that a machine wrote the mail; None if there is no such sign.

    requester: the From address, None if it cannot be read. trigger: the local part that asks for a report.
    """
    if not mail.envelope_from or mail.values("Return-Path")[:1] == ("<>",):  # RFC 5321 4.5.5
        return "an empty envelope sender"
    for header in mail.headers:
        if header.key == "auto-submitted" and (word := _keyword(header.value)) != "no":  # RFC 3834 5
            return f"Auto-Submitted: {word}"
        if header.key == "precedence" and not _BULK.isdisjoint(_WORD.findall(_keyword(header.value))):
            return f"Precedence: {_keyword(header.value)}"
        if header.key.startswith("list-") or header.key == LOOP_MARKER.lower():  # RFC 2369, RFC 2919
            return f"a {header.key[:_MAX_SHOWN]} field"
    if requester is not None and _is_a_machine(requester, trigger, report_sender):
        return f"From is {requester}"
    return None


def _is_a_machine(requester: Address, trigger: str, report_sender: Address) -> bool:
    bare = requester.without_suffix()
    return bare == report_sender.without_suffix() or bare.local in _MACHINES | {trigger}


_WORD = re.compile(r"[a-z]+")
_COMMENT = re.compile(r"\([^()]*\)")
_LINE = 998  # RFC 5322 2.1.1: limits the work; a comment that is cut off cannot become a keyword that we know


def _keyword(value: str) -> str:
    """Return a field's keyword without comments (RFC 5322 3.2.2) and parameters, lower case."""
    value = value[:_LINE]
    while (shorter := _COMMENT.sub(" ", value)) != value:  # from the innermost comment outwards
        value = shorter
    return value.partition(";")[0].strip().lower()[:_MAX_SHOWN]
