"""A case of the corpus: a mail, the route by which it arrived, and the address that may get a report."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any

from local.ses import GRAY, Delivery
from quarantine.asking.admission import Refusal
from quarantine.asking.event import Verdict, Verdicts
from tests.world import NOW

TRIGGER = "manual-report-request@reports.example.com"

# Loopback addresses, so that a client can connect from them on the wire.
OWN_SERVER = "127.0.0.1"  # the mail server of Bob's domain
EVES_SERVER = "127.0.0.66"  # the server of Eve's domain: she is a customer of the same system
STRANGER = "127.0.0.99"  # a server without a record

ALL_PASS = Verdicts(*[Verdict.PASS] * 5)

DATE = "Date: Mon, 23 Nov 2026 12:59:55 +0100"
"""When a mail was written; over SMTP, it was written now."""

SIGNED = "DKIM-Signature: v=1; a=rsa-sha256; d=victim.example; s=s; h=from:to:date:message-id; bh=x; b=y"

type Json = str | int | bool | list[Json] | dict[str, Json] | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The expected report. requester: its recipient; shows: other mailboxes whose held mail it lists."""

    requester: str
    shows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Relay:
    principal: str
    network: str


@dataclass(frozen=True, slots=True)
class Auth:
    principal: str
    accept: tuple[str, ...] = ()
    deny: bool = False
    mailboxes: tuple[str, ...] = ()
    forwarded: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Parts of a mail's event that no SMTP client could cause; `{id}` is the message id.

    return_path, received, results: the text of SES's own fields, Authentication-Results the last.
    without: fields that are missing in SES's block.
    own: the sender's fields, instead of those of the mail.
    receipt: members of the receipt that are set, or removed if None.
    truncated: SES cut the list of header fields after its own block.
    stored: the raw mail that SES stored, instead of the one that was received.
    """

    return_path: str | None = None
    received: str | None = None
    results: str | None = None
    without: tuple[str, ...] = ()
    own: tuple[tuple[str, str], ...] | None = None
    receipt: tuple[tuple[str, Json], ...] = ()
    truncated: bool = False
    stored: bytes | None = None


BOB = Accepted("bob@victim.example")
EVE = Accepted("eve@evil.example")
ALL_METHODS = ("dmarc", "dkim", "spf")
RELAYS = (Relay("victim.example", f"{OWN_SERVER}/32"), Relay("evil.example", f"{EVES_SERVER}/32"))
METHODS = (Auth("victim.example", ALL_METHODS), Auth("evil.example", ALL_METHODS))
EVERYTHING_COUNTS = RELAYS + METHODS
NOTHING_EVENT = Event()


@dataclass(frozen=True, slots=True)
class Attack:
    """One mail. victim.example and evil.example stand for two domains that only this case uses: see `apart`.

    id: only letters that a domain may contain.
    source: where the trick was published; "reference" is docs/reference.md.
    expected: the refusal, or the report.
    data: as in SMTP's DATA. records: all records of its domains. held: further mailboxes with held mail.
    """

    id: str
    trick: str
    source: str
    expected: Refusal | Accepted
    data: bytes
    peer: str = OWN_SERVER
    helo: str = "mail.victim.example"
    envelope_from: str = "bob@victim.example"
    recipients: tuple[str, ...] = (TRIGGER,)
    verdicts: Verdicts = GRAY
    records: tuple[Relay | Auth, ...] = EVERYTHING_COUNTS
    held: tuple[str, ...] = ()
    event: Event = NOTHING_EVENT

    @property
    def message_id(self) -> str:
        """Return an id in SES's format."""
        return sha256(self.id.encode()).hexdigest()[:40]

    @property
    def delivery(self) -> Delivery:
        recipients = tuple(map(_with_references, self.recipients))
        data = _with_references(self.data.decode("latin-1")).encode("latin-1")
        return Delivery(self.peer, self.helo, self.envelope_from, recipients, data)

    @property
    def is_of_an_action(self) -> bool:
        """Return whether the held mails themselves are needed."""
        return any("REF(" in recipient for recipient in self.recipients)

    @property
    def mailboxes(self) -> frozenset[str]:
        """Return all mailboxes of the case: something is held for each."""
        due = (self.expected.requester,) if isinstance(self.expected, Accepted) else ()
        return frozenset([*map(self._own, _PEOPLE), *self.held, *due])

    @property
    def is_for_smtp(self) -> bool:
        """Return whether a client of the local run can cause the case, without affecting another case."""
        return (
            self.event == NOTHING_EVENT
            and self.verdicts in (GRAY, ALL_PASS)
            and self.peer.startswith("127.")
            and all(record.principal != "*" for record in self.records)
        )

    def apart(self) -> "Attack":
        """Return the case with its own domains, so that its cooldowns and records affect no other."""
        changes = {
            field.name: _replaced(getattr(self, field.name), self._own)
            for field in fields(self)
            if field.name not in {"id", "trick", "source", "verdicts"}
        }
        return replace(self, **changes)

    def _own(self, text: str) -> str:
        for domain in _DOMAINS:
            name, _, suffix = domain.partition(".")
            own = f"{name}-{self.id}.{suffix}"
            text = text.replace(domain, own).replace(domain.upper(), own.upper())
        return text


_DOMAINS = ("victim.example", "evil.example")
_PEOPLE = ("bob@victim.example", "alice@victim.example", "eve@evil.example")


def _replaced(value: Any, own: Any) -> Any:
    match value:
        case Refusal():
            return value
        case str():
            return own(value)
        case bytes():
            return own(value.decode("latin-1")).encode("latin-1")
        case tuple() | list():
            return type(value)(_replaced(each, own) for each in value)
        case Accepted() | Relay() | Auth() | Event():
            return replace(
                value, **{field.name: _replaced(getattr(value, field.name), own) for field in fields(value)}
            )
        case _:
            return value


_REFERENCE = re.compile(r"REF\(([^)]*)\)")


def _with_references(text: str) -> str:
    return _REFERENCE.sub(lambda named: f"{int(NOW.timestamp())}-{code_of(named[1])}", text)


def code_of(mailbox: str) -> str:
    """Return the code of the message that is held for a mailbox."""
    return sha256(mailbox.lower().encode()).hexdigest()[:16].translate(_LETTERS)


# A report breaks up what could be a phone number: a secret is of letters alone.
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def secret_of(mailbox: str) -> str:
    """Return the subject of the mail held for a mailbox: a word that is used nowhere else."""
    return f"secret{sha256(mailbox.encode()).hexdigest()[:16].translate(_LETTERS)}"


def mail(*more: str, sender: str | None = "From: Bob Builder <bob@victim.example>") -> bytes:
    """Return a mail to the trigger. sender: its From field with its name; more: the text after it."""
    lines = [
        *([] if sender is None else [sender]),
        f"To: {TRIGGER}",
        "Subject: What is held for me?",
        DATE,
        "Message-ID: <0123456789abcdef@victim.example>",
        *more,
        "",
        "Anything will do here.",
        "",
    ]
    return "\r\n".join(lines).encode()


def verdicts(**words: str) -> Verdicts:
    """Return GRAY verdicts except for the named ones."""
    chosen: Mapping[str, Verdict] = {name: Verdict(word) for name, word in words.items()}
    return replace(GRAY, **chosen)
