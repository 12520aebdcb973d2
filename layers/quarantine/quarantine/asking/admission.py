"""Who may have a report: the rules, in the order in which they apply. Nothing here does I/O.

`screen` judges the mail alone and finds the requester; `decide` judges whether the requester wrote the mail.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import assert_never

from quarantine.asking.commands import Command
from quarantine.asking.event import InboundMail, Verdict
from quarantine.asking.machines import machine_sign
from quarantine.asking.replying import ReplyContext, read_reply_context
from quarantine.asking.trace import connecting_ip, dkim_domains, dmarc_domains
from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.domains import InvalidDomain, aligned, normalise_domain
from quarantine.mail.strict import malformed_field, parse_from


class Refusal(StrEnum):
    """Why a mail gets no report; docs/reference.md says what an operator does about each."""

    NOT_A_TRIGGER = "not_a_trigger"  # none of the envelope recipients is the trigger
    AUTOMATIC = "automatic"  # a machine wrote it: answering could loop (RFC 3834 2)
    AMBIGUOUS_SENDER = "ambiguous_sender"  # no single From address to answer to
    INFECTED = "infected"  # SES found a virus
    SPAM = "spam"  # SES found it to be spam
    DENIED = "denied"  # an auth record denies it
    UNAUTHENTICATED = "unauthenticated"  # nothing proves that the From address wrote it
    TOO_SOON = "too_soon"  # the requester's cooldown is not over


class Method(StrEnum):
    """What an auth record can accept as proof of the From address."""

    DMARC = "dmarc"  # RFC 7489
    DKIM = "dkim"  # RFC 6376, by a domain aligned with From
    SPF = "spf"  # RFC 7208, of an envelope sender aligned with From


@dataclass(frozen=True, slots=True)
class AuthRecord:
    """The methods that prove an address, a domain or everybody (`*`).

    mailboxes: further mailboxes whose held mail this address sees; only in an address's own record.
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
    """No report. detail: what was seen, for the operator; requester: who asked, None if that is unclear."""

    reason: Refusal
    detail: str
    requester: Address | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A granted request: who may see which mailboxes, as its row stores it.

    request_id: the SES message id of the mail that asked.
    requester: its From address. The answer goes to this address and to no other.
    mailboxes: the mailboxes that they may see: the requester's own first, then aliases and shared mailboxes.
    received_at: when SES received the mail, UTC.
    accepted_by: the method and the record that accepted it, in words, for the operator.
    """

    request_id: str
    requester: Address
    mailboxes: tuple[Address, ...]
    command: Command
    received_at: datetime
    accepted_by: str = ""
    reply: ReplyContext = field(default_factory=ReplyContext)


type Decision = Accepted | Refused


def principals(requester: Address) -> tuple[str, str, str]:
    """Return the principals whose records can apply to a requester, the most specific first."""
    return (str(requester), requester.domain, "*")


def screen(mail: InboundMail, trigger: str, report_sender: Address) -> Address | Refused:
    """Return who asks for a report, or why this mail may not ask for one, regardless of who wrote it.

    trigger: the local part that asks for a report.
    """
    sender = _from_address(mail)
    requester = sender if isinstance(sender, Address) else None
    if (detail := machine_sign(mail, requester, trigger, report_sender)) is not None:
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
    command: Command,
    requester: Address,
    auth: Sequence[AuthRecord],
    relays: Iterable[RelayRecord] = (),
) -> Decision:
    """Decide whether it is proven that the requester wrote a screened mail.

    auth: the records of `principals(requester)`, the most specific first.
    relays: those of the requester's domain and of `*`; those of other principals are ignored.
    """
    for record in auth:
        # A denial of everybody applies only to requesters without a more specific record.
        if record.deny and (record.principal != "*" or record is auth[0]):
            return Refused(Refusal.DENIED, f"denied by the auth record of {record.principal}", requester)
    accepted_by = _authenticated(mail, requester, auth[:1]) or _relayed(mail, requester, relays)
    if accepted_by is None:
        return Refused(Refusal.UNAUTHENTICATED, _unauthenticated(mail, auth[:1]), requester)
    return Accepted(
        request_id=mail.message_id,
        requester=requester,
        mailboxes=mailboxes_of(requester, auth),
        command=command,
        received_at=mail.received_at,
        accepted_by=accepted_by,
        reply=read_reply_context(mail),
    )


def too_soon(requester: Address, cooldown: timedelta) -> Refused:
    """Return the refusal of a requester whose cooldown is not over; only the requests table can know this."""
    return Refused(Refusal.TOO_SOON, f"a report was asked for within the last {cooldown}", requester)


def evidence(mail: InboundMail) -> dict[str, str]:
    """Return the facts behind a decision about the mail, for the log and the requests table; never a body."""
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
    if (field := malformed_field(mail.headers)) is not None:
        return InvalidAddress(f"a header section that two readers could take apart differently: {field!r}")
    fields = mail.values("From")
    if len(fields) != 1:  # RFC 5322 3.6: exactly one
        return InvalidAddress(f"{len(fields)} From fields")
    try:
        return parse_from(fields[0])
    except InvalidAddress as e:
        return e


def _authenticated(mail: InboundMail, requester: Address, auth: Sequence[AuthRecord]) -> str | None:
    for record in auth:
        for method in Method:
            if method in record.accept and _passes(method, mail, requester):
                return f"{method}, by the auth record of {record.principal}"
    return None


def _passes(method: Method, mail: InboundMail, requester: Address) -> bool:
    match method:
        case Method.DMARC:
            # SES may have read another From than we did: its verdict is about the domain that it names.
            return mail.verdicts.dmarc is Verdict.PASS and all(
                _aligned(domain, requester) for domain in dmarc_domains(mail)
            )
        case Method.DKIM:  # RFC 7489 3.1.1; SES's verdict is PASS for a signature by any domain
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
    """Return the mailboxes that a requester may see: their own, then those that their own record names."""
    others = {
        mailbox for record in auth if record.principal == str(requester) for mailbox in record.mailboxes
    }
    return (requester, *sorted(others - {requester}))
