"""Who may have a report: the rules, in the order in which they apply. Nothing here does I/O.

`screen` judges the mail alone and finds the requester; `decide` judges whether the requester wrote the mail.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import assert_never

from quarantine.acting.reference import shortened
from quarantine.asking.commands import MOST_COMMANDS, Command
from quarantine.asking.event import InboundMail, Verdict
from quarantine.asking.machines import machine_sign
from quarantine.asking.replays import OLDEST, Stale, freshness
from quarantine.asking.replying import ReplyContext, read_reply_context
from quarantine.asking.trace import connecting_ip, dkim_domains, dmarc_domains, doubt
from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.domains import InvalidDomain, aligned, normalise_domain
from quarantine.mail.strict import malformed_field, parse_from


class Refusal(StrEnum):
    """Why a request is not granted; docs/reference.md says what an operator does about each."""

    NOT_A_TRIGGER = "not_a_trigger"  # none of the envelope recipients is an address that we know
    AUTOMATIC = "automatic"  # a machine wrote it: answering could loop (RFC 3834 2)
    AMBIGUOUS_SENDER = "ambiguous_sender"  # no single From address to answer to
    INFECTED = "infected"  # SES found a virus
    SPAM = "spam"  # SES found it to be spam
    DENIED = "denied"  # an auth record denies it
    UNAUTHENTICATED = "unauthenticated"  # nothing proves that the From address wrote it
    REPLAYED = "replayed"  # only DKIM proves it, and it is old, was not written to us, or was seen before
    TOO_SOON = "too_soon"  # the cooldown of the requester's mailbox is not over
    TOO_MUCH = "too_much"  # more requests than the mailbox or its domain may make in an hour, or one mail may
    NOT_YOURS = (
        "not_yours"  # the message is in none of the requester's mailboxes, or the mailbox is not theirs
    )


class Method(StrEnum):
    """What an auth record can accept as proof of the From address."""

    DMARC = "dmarc"  # RFC 7489
    DKIM = "dkim"  # RFC 6376, by a domain aligned with From
    SPF = "spf"  # RFC 7208, of an envelope sender aligned with From


@dataclass(frozen=True, slots=True)
class AuthRecord:
    """The methods that prove an address, a domain or everybody (`*`).

    mailboxes: whose held mail this address sees too; of an address's own record only.
    forwarded: an alias of the company forwards mail to the trigger, so that To does not name it.
    administrators: who answers what users ask for; of a domain's record or that of `*`.
    """

    principal: str
    accept: frozenset[Method] = frozenset()
    deny: bool = False
    mailboxes: tuple[Address, ...] = ()
    forwarded: bool = False
    administrators: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class RelayRecord:
    """A network whose hosts may relay for a domain, or for every domain (`*`)."""

    principal: str
    network: IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is done. detail: what was seen, for the operator; requester: None if that is unclear."""

    reason: Refusal
    detail: str
    requester: Address | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A granted request: who may see which mailboxes, as its row stores it.

    request_id: the SES message id of the mail that asked, for its first command; `<id>.2` and so on for more.
    requester: its From address. The answer goes to this address and to no other.
    mailboxes: the mailboxes that they may see: the requester's own first, then aliases and shared mailboxes.
    received_at: when SES received the mail, UTC.
    accepted_by: the method and the record that accepted it, in words, for the operator.
    replay_key: by which to remember a mail that only DKIM proves; None for any other.
    administered: the domains, or `*`, whose administrators the requester can ask.
    """

    request_id: str
    requester: Address
    mailboxes: tuple[Address, ...]
    command: Command
    received_at: datetime
    accepted_by: str = ""
    reply: ReplyContext = field(default_factory=ReplyContext)
    replay_key: str | None = None
    administered: frozenset[str] = frozenset()


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
    *,
    number: int = 1,
) -> Decision:
    """Decide whether it is proven that the requester wrote a screened mail.

    number: the place of the command among those of the mail.
    auth: the records of `principals(requester)`, the most specific first.
    relays: those of the requester's domain and of `*`; those of other principals are ignored.
    """
    if (record := denial(auth)) is not None:
        return Refused(Refusal.DENIED, f"denied by the auth record of {record.principal}", requester)
    own = auth[0] if auth else AuthRecord(requester.domain)
    method = _method(mail, requester, own)
    is_connection_proven = _spf_aligned(mail, requester)
    relayed = None if method and is_connection_proven else _relayed(mail, requester, relays)
    if method is None and relayed is None:
        return Refused(Refusal.UNAUTHENTICATED, _unauthenticated(mail, auth[:1]), requester)
    replay_key = None
    if not is_connection_proven and relayed is None:
        fresh = freshness(mail, requester, command, forwarded=own.forwarded)
        if isinstance(fresh, Stale):
            return Refused(Refusal.REPLAYED, f"only DKIM proves it, and: {fresh.detail}", requester)
        replay_key = fresh.key
    return Accepted(
        request_id=request_id(mail, number),
        requester=requester,
        mailboxes=mailboxes_of(requester, auth),
        command=command,
        received_at=mail.received_at,
        accepted_by=f"{method}, by the auth record of {own.principal}" if method else relayed or "",
        replay_key=replay_key,
        reply=read_reply_context(mail),
        administered=administered_of(auth),
    )


def denial(auth: Sequence[AuthRecord]) -> AuthRecord | None:
    """Return the record that denies a requester; None for none. auth: the most specific first."""
    # A denial of everybody applies only to requesters without a more specific record.
    denying = (record for record in auth if record.deny and (record.principal != "*" or record is auth[0]))
    return next(denying, None)


def request_id(mail: InboundMail, number: int) -> str:
    """Return the id of the request that a mail's first, second, ... command makes."""
    return mail.message_id if number == 1 else f"{mail.message_id}.{number}"


# What only the requests table knows.


def too_soon(requester: Address, cooldown: timedelta) -> Refused:
    """Return the refusal of a requester whose cooldown is not over."""
    return Refused(Refusal.TOO_SOON, f"a report was asked for within the last {cooldown}", requester)


def seen_before(requester: Address) -> Refused:
    """Return the refusal of a mail that only DKIM proves and that was accepted before."""
    detail = f"only DKIM proves it, and the same mail was accepted within the last {OLDEST.days} days"
    return Refused(Refusal.REPLAYED, detail, requester)


def too_much(requester: Address, limited: str, limit: int) -> Refused:
    """Return the refusal of a requester when `limited`, a mailbox or a domain, made all its requests."""
    return Refused(Refusal.TOO_MUCH, f"{limited} may make {limit} accepted requests in an hour", requester)


def too_many_commands(requester: Address, count: int) -> Refused:
    """Return the refusal of a mail that asks for more than one mail may."""
    detail = f"one mail may ask for {MOST_COMMANDS} things, and this one asks for {count}"
    return Refused(Refusal.TOO_MUCH, detail, requester)


def not_theirs(requester: Address, mailbox: Address) -> Refused:
    """Return the refusal of a requester who asks for the report of somebody else."""
    detail = f"they asked for the report of {mailbox}, which is not theirs, and are not its administrator"
    return Refused(Refusal.NOT_YOURS, detail, requester)


def evidence(mail: InboundMail) -> dict[str, str]:
    """Return the facts behind a decision about the mail, for the log and the requests table; never a body."""
    return {
        "from": " | ".join(value[:_SHOWN] for value in mail.values("From")[:3]),
        "envelope_from": mail.envelope_from[:_SHOWN],
        "recipients": " ".join(shortened(each) for each in mail.recipients[:3])[:_SHOWN],
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


def _method(mail: InboundMail, requester: Address, record: AuthRecord) -> Method | None:
    """Return the first method that the record accepts and the mail passes."""
    passed = (method for method in Method if method in record.accept and _passes(method, mail, requester))
    return next(passed, None)


def _passes(method: Method, mail: InboundMail, requester: Address) -> bool:
    match method:
        case Method.DMARC:
            # SES may have read another From than we do: its verdict is of the domain that it names.
            domains = dmarc_domains(mail)
            return (
                mail.verdicts.dmarc is Verdict.PASS
                and bool(domains)  # `all` of none is not proof
                and all(_aligned(domain, requester) for domain in domains)
            )
        case Method.DKIM:  # RFC 7489 3.1.1; SES's verdict is PASS for a signature by any domain
            return mail.verdicts.dkim is Verdict.PASS and any(
                aligned(domain, requester.domain) for domain in dkim_domains(mail)
            )
        case Method.SPF:
            return _spf_aligned(mail, requester)
        case _:
            assert_never(method)


def _aligned(domain: str, requester: Address) -> bool:
    try:
        return aligned(normalise_domain(domain), requester.domain)
    except InvalidDomain:
        return False


def _spf_aligned(mail: InboundMail, requester: Address) -> bool:
    return mail.verdicts.spf is Verdict.PASS and _envelope_aligned(mail, requester)  # RFC 7489 3.1.2


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
    accepts = "no auth record"
    for record in auth:
        accepts = f"{record.principal} accepts {', '.join(sorted(record.accept)) or 'nothing'}"
    found = " ".join(f"{method}={getattr(mail.verdicts, method)}" for method in Method)
    ip = connecting_ip(mail) or "unknown"
    doubted = ""
    if mail.verdicts.dkim is Verdict.PASS and (why := doubt(mail)) is not None:
        doubted = f"; SES's results count for nothing, because {why}"
    return f"{found}; {accepts}; connecting IP {ip} in no relay record{doubted}"


def administered_of(auth: Sequence[AuthRecord]) -> frozenset[str]:
    """Return which of these principals have administrators."""
    return frozenset(record.principal for record in auth if record.administrators)


def mailboxes_of(requester: Address, auth: Sequence[AuthRecord]) -> tuple[Address, ...]:
    """Return the mailboxes that a requester may see: their own, then those that their own record names."""
    others = {
        mailbox for record in auth if record.principal == str(requester) for mailbox in record.mailboxes
    }
    return (requester, *sorted(others - {requester}))
