"""Who may have a report: the rules, in the order in which they apply. Nothing here asks or tells anyone.

`screen` judges the mail by itself and finds who asks; `decide` judges whether they are who they say.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_tz
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import assert_never

from quarantine.addresses import Address, InvalidAddress, parse_from
from quarantine.domains import InvalidDomain, aligned, normalise_domain
from quarantine.inbound import (
    InboundMail,
    Verdict,
    connecting_ip,
    dkim_domains,
    dmarc_domains,
    malformed_field,
)
from quarantine.request import LOOP_MARKER, ReportRequest


class Refusal(StrEnum):
    """Why a mail gets no report; README.md says what an operator does about each."""

    NOT_A_TRIGGER = "not_a_trigger"  # no envelope recipient is the trigger
    AUTOMATIC = "automatic"  # a machine wrote it: answering could loop (RFC 3834 2)
    AMBIGUOUS_SENDER = "ambiguous_sender"  # no single From address to answer to
    INFECTED = "infected"  # SES found a virus
    SPAM = "spam"  # SES found it to be spam
    DENIED = "denied"  # an auth record says no
    UNAUTHENTICATED = "unauthenticated"  # nothing proves that the From address wrote it
    TOO_SOON = "too_soon"  # the requester's cooldown is not over


class Method(StrEnum):
    """What an auth record can accept as proof of the From address."""

    DMARC = "dmarc"  # RFC 7489
    DKIM = "dkim"  # RFC 6376, by a domain aligned with From
    SPF = "spf"  # RFC 7208, of an envelope sender aligned with From


@dataclass(frozen=True, slots=True)
class AuthRecord:
    """What counts for an address, a domain or everybody (`*`).

    mailboxes: whose held mail this address sees too; of an address's own record only.
    """

    principal: str
    accept: frozenset[Method] = frozenset()
    deny: bool = False
    mailboxes: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class RelayRecord:
    """A network whose hosts may relay for a domain, or for every domain (`*`)."""

    principal: str
    network: IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Refused:
    """No report. detail: what was seen, for the operator; requester: who asked, where that could be told."""

    reason: Refusal
    detail: str
    requester: Address | None = None


def principals(requester: Address) -> tuple[str, str, str]:
    """Return whose records can count for a requester, the most specific first."""
    return (str(requester), requester.domain, "*")


def screen(mail: InboundMail, trigger: Address, report_sender: Address) -> Address | Refused:
    """Return who asks for a report, or why this mail may not ask for one whoever wrote it."""
    sender = _from_address(mail)
    requester = sender if isinstance(sender, Address) else None
    if (detail := _automatic(mail, requester, trigger, report_sender)) is not None:
        return Refused(Refusal.AUTOMATIC, detail, requester)
    if isinstance(sender, InvalidAddress):
        return Refused(Refusal.AMBIGUOUS_SENDER, str(sender))
    if mail.verdicts.virus is Verdict.FAIL:
        return Refused(Refusal.INFECTED, "virus verdict FAIL", sender)
    if mail.verdicts.spam is Verdict.FAIL:
        return Refused(Refusal.SPAM, "spam verdict FAIL", sender)
    return sender


def decide(
    mail: InboundMail,
    trigger: Address,
    requester: Address,
    auth: Sequence[AuthRecord],
    relays: Iterable[RelayRecord] = (),
) -> ReportRequest | Refused:
    """Say whether a screened mail is proven to be its requester's.

    auth: the records of `principals(requester)`, the most specific first.
    relays: those of the requester's domain and of `*`; of other principals they do not count.
    """
    for record in auth:
        # A denial of everybody holds for those who have no record of their own.
        if record.deny and (record.principal != "*" or record is auth[0]):
            return Refused(Refusal.DENIED, f"denied by the auth record of {record.principal}", requester)
    accepted_by = _authenticated(mail, requester, auth[:1]) or _relayed(mail, requester, relays)
    if accepted_by is None:
        return Refused(Refusal.UNAUTHENTICATED, _unauthenticated(mail, auth[:1]), requester)
    return ReportRequest(
        request_id=mail.message_id,
        requester=requester,
        mailboxes=mailboxes_of(requester, auth),
        trigger=trigger,
        received_at=mail.received_at,
        accepted_by=accepted_by,
        utc_offset=_utc_offset(mail),
        message_id=next(iter(_message_ids(mail.values("Message-ID"))), None),
        references=_references(mail),
    )


def too_soon(requester: Address, cooldown: timedelta) -> Refused:
    """Return the refusal of a requester whose cooldown is not over: what only the requests table can tell."""
    return Refused(Refusal.TOO_SOON, f"a report was asked for within the last {cooldown}", requester)


def evidence(mail: InboundMail) -> dict[str, str]:
    """Return what a decision about the mail rests on, for the log and the requests table; never a body."""
    return {
        "from": " | ".join(value[:_SHOWN] for value in mail.values("From")[:3]),
        "envelope_from": mail.envelope_from[:_SHOWN],
        "recipients": " ".join(mail.recipients[:3])[:_SHOWN],
        "connecting_ip": str(connecting_ip(mail) or "unknown"),
        "dkim_domains": " ".join(dkim_domains(mail))[:_SHOWN],
        **{name: str(getattr(mail.verdicts, name)) for name in ("spam", "virus", "spf", "dkim", "dmarc")},
    }


_SHOWN = 254


def _from_address(mail: InboundMail) -> Address | InvalidAddress:
    if (field := malformed_field(mail)) is not None:
        return InvalidAddress(f"a header section that two readers could take apart differently: {field!r}")
    fields = mail.values("From")
    if len(fields) != 1:  # RFC 5322 3.6: exactly one
        return InvalidAddress(f"{len(fields)} From fields")
    try:
        return parse_from(fields[0])
    except InvalidAddress as e:
        return e


_BULK = frozenset({"bulk", "junk", "list"})
_MACHINES = frozenset({"mailer-daemon", "postmaster"})


def _automatic(
    mail: InboundMail, requester: Address | None, trigger: Address, report_sender: Address
) -> str | None:
    """Say what shows that a machine wrote the mail; None when nothing does."""
    if not mail.envelope_from or mail.values("Return-Path")[:1] == ("<>",):  # RFC 5321 4.5.5
        return "an empty envelope sender"
    for header in mail.headers:
        if header.key == "auto-submitted" and (word := _keyword(header.value)) != "no":  # RFC 3834 5
            return f"Auto-Submitted: {word}"
        if header.key == "precedence" and not _BULK.isdisjoint(_WORD.findall(_keyword(header.value))):
            return f"Precedence: {_keyword(header.value)}"
        if header.key.startswith("list-") or header.key == LOOP_MARKER.lower():  # RFC 2369, RFC 2919
            return f"a {header.key[:_SHOWN]} field"
    if requester is not None and _is_a_machine(requester, trigger, report_sender):
        return f"From is {requester}"
    return None


def _is_a_machine(requester: Address, trigger: Address, report_sender: Address) -> bool:
    bare = requester.without_suffix()
    return bare == report_sender.without_suffix() or bare.local in _MACHINES | {trigger.local}


_WORD = re.compile(r"[a-z]+")
_COMMENT = re.compile(r"\([^()]*\)")
_LINE = 998  # RFC 5322 2.1.1: bounds the work; what is cut within a comment is no keyword that we know


def _keyword(value: str) -> str:
    """Return a field's keyword without comments (RFC 5322 3.2.2) and parameters, lower case."""
    value = value[:_LINE]
    while (shorter := _COMMENT.sub(" ", value)) != value:  # from the innermost comment outwards
        value = shorter
    return value.partition(";")[0].strip().lower()[:_SHOWN]


def _authenticated(mail: InboundMail, requester: Address, auth: Sequence[AuthRecord]) -> str | None:
    for record in auth:
        for method in Method:
            if method in record.accept and _passes(method, mail, requester):
                return f"{method}, by the auth record of {record.principal}"
    return None


def _passes(method: Method, mail: InboundMail, requester: Address) -> bool:
    match method:
        case Method.DMARC:
            # SES may have read another From than we do: its verdict is of the domain that it names.
            return mail.verdicts.dmarc is Verdict.PASS and all(
                _aligned(domain, requester) for domain in dmarc_domains(mail)
            )
        case Method.DKIM:  # RFC 7489 3.1.1; SES's verdict is PASS for a signature of any domain
            return mail.verdicts.dkim is Verdict.PASS and any(
                aligned(domain, requester.domain) for domain in dkim_domains(mail)
            )
        case Method.SPF:  # RFC 7489 3.1.2
            return mail.verdicts.spf is Verdict.PASS and _envelope_aligned(mail, requester)
        case _:
            assert_never(method)


def _aligned(domain: str, requester: Address) -> bool:
    try:
        return aligned(normalise_domain(domain), requester.domain)
    except InvalidDomain:
        return False


def _envelope_aligned(mail: InboundMail, requester: Address) -> bool:
    try:
        return aligned(Address.parse(mail.envelope_from).domain, requester.domain)
    except InvalidAddress:
        return False


def _relayed(mail: InboundMail, requester: Address, relays: Iterable[RelayRecord]) -> str | None:
    ip = connecting_ip(mail)
    for record in relays:
        if ip is not None and ip in record.network and record.principal in (requester.domain, "*"):
            return f"{ip}, by the relay record {record.network} of {record.principal}"
    return None


def _unauthenticated(mail: InboundMail, auth: Sequence[AuthRecord]) -> str:
    accepts = [
        f"{record.principal} accepts {', '.join(sorted(record.accept)) or 'nothing'}" for record in auth
    ]
    found = " ".join(f"{method}={getattr(mail.verdicts, method)}" for method in Method)
    ip = connecting_ip(mail) or "unknown"
    return f"{found}; {''.join(accepts) or 'no auth record'}; connecting IP {ip} in no relay record"


def mailboxes_of(requester: Address, auth: Sequence[AuthRecord]) -> tuple[Address, ...]:
    """Return whose held mail a requester sees: their own first, then what their own record opens."""
    others = {
        mailbox for record in auth if record.principal == str(requester) for mailbox in record.mailboxes
    }
    return (requester, *sorted(others - {requester}))


_MSG_ID = re.compile(r"<[!-;=?A-~]{1,120}@[!-;=?A-~]{1,120}>")  # RFC 5322 3.6.4, of printable ASCII
_MAX_REFERENCES = 10


def _message_ids(values: Iterable[str]) -> Iterator[str]:
    return (match[0] for value in values for match in _MSG_ID.finditer(value))


def _references(mail: InboundMail) -> tuple[str, ...]:
    """Return the references of a reply less the last, RFC 5322 3.6.4: the parent's, or its In-Reply-To."""
    fields = mail.values("References")[:1] or mail.values("In-Reply-To")[:1]
    references = tuple(_message_ids(fields))
    if len(references) <= _MAX_REFERENCES:
        return references
    return (references[0], *references[1 - _MAX_REFERENCES :])  # the first and the latest hold a thread


_MAX_UTC_OFFSET = timedelta(hours=14)


def _utc_offset(mail: InboundMail) -> timedelta:
    for value in mail.values("Date")[:1]:
        try:
            parsed = parsedate_tz(value)
            offset = timedelta(seconds=(parsed and parsed[9]) or 0)
        except (ValueError, IndexError, TypeError, OverflowError):  # the parser does not foresee hostile text
            return timedelta()
        if abs(offset) <= _MAX_UTC_OFFSET:
            return timedelta(minutes=offset // timedelta(minutes=1))
    return timedelta()
