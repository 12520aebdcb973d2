"""A mail as SES received it: read from the event of a receipt rule's Lambda action.

Two kinds of text meet in a mail's header: the block that SES puts on top, and the sender's own. Only the
block is trusted, and in the block not the places where SES repeats what the sender said.

The event: https://docs.aws.amazon.com/ses/latest/dg/receiving-email-action-lambda-event.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from quarantine.domains import InvalidDomain, normalise_domain


class MalformedEvent(ValueError):
    """The value is no event of an SES receipt rule; the message says where."""


class MalformedHeader(ValueError):
    """The raw mail's header section cannot be told from its body in only one way."""


class Verdict(StrEnum):
    """What SES found; every check of ours is `is Verdict.PASS` or `is Verdict.FAIL`."""

    PASS = "PASS"  # the check was made and passed
    FAIL = "FAIL"  # the check was made and failed
    GRAY = "GRAY"  # nothing to check, or no clear result
    PROCESSING_FAILED = "PROCESSING_FAILED"  # SES could not make the check
    DISABLED = "DISABLED"  # the receipt rule does not scan
    UNKNOWN = "UNKNOWN"  # missing, or a word that we do not know


@dataclass(frozen=True, slots=True)
class Verdicts:
    spam: Verdict
    virus: Verdict
    spf: Verdict
    dkim: Verdict
    dmarc: Verdict


@dataclass(frozen=True, slots=True)
class Header:
    """One field as it stands in the mail, unfolded (RFC 5322 2.2.3) and otherwise untouched."""

    name: str
    value: str

    @property
    def key(self) -> str:
        """The name to compare: white space before the colon (RFC 5322 4.5) makes no other field of it."""
        return self.name.strip().lower()


@dataclass(frozen=True, slots=True)
class InboundMail:
    """A mail that a receipt rule handed over.

    message_id: SES's own, unique; not the Message-ID field.
    recipients: the envelope recipients that matched the rule.
    envelope_from: the reverse-path without brackets; empty for a bounce (RFC 5321 4.5.5).
    headers: from the top; cut at about 10 KB when headers_truncated.
    received_at: UTC.
    """

    message_id: str
    recipients: tuple[str, ...]
    envelope_from: str
    headers: tuple[Header, ...]
    headers_truncated: bool
    verdicts: Verdicts
    received_at: datetime

    def values(self, name: str) -> tuple[str, ...]:
        """Return the value of each field of that name, in any case, from the top."""
        return tuple(header.value for header in self.headers if header.key == name.lower())


_MESSAGE_ID = re.compile(
    r"[A-Za-z0-9._-]{1,128}"
)  # it names an S3 object and a row: nothing that could be a path
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_LINE_END = re.compile(rb"\r?\n(?![ \t])")
_HEADER_END = re.compile(rb"\A\r\n|\r\n\r\n")
_HEADER_END_OF_LF = re.compile(rb"\A\n|\n\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")


def parse_event(event: object) -> InboundMail:
    """Read the event with which SES invokes intake. Raises MalformedEvent, and nothing else."""
    match event:
        case {"Records": [{"eventSource": "aws:ses", "ses": {"mail": dict(mail), "receipt": dict(receipt)}}]}:
            return InboundMail(
                message_id=_message_id(mail),
                recipients=_recipients(receipt),
                envelope_from=_envelope_from(mail),
                headers=_headers(mail),
                headers_truncated=mail.get("headersTruncated", False) is not False,
                verdicts=Verdicts(
                    spam=_verdict(receipt, "spamVerdict"),
                    virus=_verdict(receipt, "virusVerdict"),
                    spf=_verdict(receipt, "spfVerdict"),
                    dkim=_verdict(receipt, "dkimVerdict"),
                    dmarc=_verdict(receipt, "dmarcVerdict"),
                ),
                received_at=_timestamp(mail),
            )
        case _:
            raise MalformedEvent("not one record of aws:ses with a mail and a receipt")


def parse_header(raw: bytes) -> tuple[Header, ...]:
    """Read the header section of a raw message (RFC 5322 2.2).

    raw: the message from its start, at least to the empty line that ends the section. Its lines end in CRLF,
    or all in LF, as in a file.

    Raises MalformedHeader if that line is not there, since what lies beyond it could be a second From, and
    if line ends are mixed, since then readers differ on what is a line and where the section ends.
    """
    of_lf = _BARE_LF.match(raw, raw.find(b"\n")) is not None
    end = (_HEADER_END_OF_LF if of_lf else _HEADER_END).search(raw)
    if end is None:
        raise MalformedHeader(f"no end of the header section in the first {len(raw)} bytes")
    section = raw[: end.start()]
    if b"\r\n" in section if of_lf else _BARE_LF.search(section):
        raise MalformedHeader("a header section with mixed line ends")
    # A bare CR is no line end (RFC 5322 2.2): it stays in the value, and makes a malformed field of it.
    return tuple(_raw_header(line) for line in _LINE_END.split(section) if line)


def with_raw_header(mail: InboundMail, raw: bytes) -> InboundMail:
    """Return a mail that SES cut with the header section of its raw message. Raises MalformedHeader."""
    return replace(mail, headers=parse_header(raw), headers_truncated=False)


_FIELD_NAME = re.compile(r"[!-9;-~]+[ \t]*")  # RFC 5322 2.2, with the white space of its 4.5
_LINE_BREAK = re.compile(r"[\x00\n\x0b\x0c\r]")


def malformed_field(mail: InboundMail) -> str | None:
    """Return the start of a field at which another reader could see another line; None when there is none."""
    for header in mail.headers:
        if not _FIELD_NAME.fullmatch(header.name) or _LINE_BREAK.search(header.value):
            return f"{header.name}: {header.value}"[:80]
    return None


def connecting_ip(mail: InboundMail) -> IPv4Address | IPv6Address | None:
    """Return the address of the server that handed the mail to SES; None when it cannot be told.

    It stands in SES's own Received field only: the first, with this mail's id, which no sender can know.
    A HELO name may look like anything, so it is the last bracketed address before that id.
    """
    bracketed = re.findall(r"\[([^\[\]]*)\]", _hop(mail))
    return _ip(bracketed[-1]) if bracketed else None


def dkim_domains(mail: InboundMail) -> tuple[str, ...]:
    """Return the domains of the signatures that SES verified, normalised, from its Authentication-Results.

    Empty when SES's own field cannot be told from a sender's text.
    """
    results = authentication_results(mail)
    return tuple(domain for result in results for domain in _passing_dkim(result))


_DMARC_FROM = re.compile(r"\bheader\.from=\"?([^\s;()\"]+)", re.IGNORECASE)  # RFC 8601 2.7.2, RFC 7489 11.1


def dmarc_domains(mail: InboundMail) -> tuple[str, ...]:
    """Return every domain that SES's Authentication-Results names as that of From; empty where it names none.

    As it stands, text of the sender's in that field included: all of them must be right, so a word more can
    only be one that is wrong.
    """
    if not mail.values("Received"):
        return ()
    fields = [header.value for header in _ses_block(mail) if header.key == "authentication-results"]
    return tuple(_DMARC_FROM.findall(fields[0])) if fields else ()


def _message_id(mail: Mapping[str, Any]) -> str:
    message_id = mail.get("messageId")
    if not isinstance(message_id, str) or not _MESSAGE_ID.fullmatch(message_id):
        raise MalformedEvent(f"mail.messageId is no SES message id: {message_id!r:.200}")
    return message_id


def _recipients(receipt: Mapping[str, Any]) -> tuple[str, ...]:
    # Not mail.destination and not the To field: they name whom the sender says it is for.
    match receipt.get("recipients"):
        case [*recipients] if all(isinstance(each, str) for each in recipients):
            return tuple(_text(recipient) for recipient in recipients)
        case other:
            raise MalformedEvent(f"receipt.recipients is no list of addresses: {other!r:.200}")


def _envelope_from(mail: Mapping[str, Any]) -> str:
    match mail.get("source"):
        case None | "<>":
            return ""
        case str(source):
            return _text(source)
        case other:
            raise MalformedEvent(f"mail.source is no address: {other!r:.200}")


def _headers(mail: Mapping[str, Any]) -> tuple[Header, ...]:
    match mail.get("headers"):
        case [*headers]:
            return tuple(_header(header) for header in headers)
        case other:
            raise MalformedEvent(f"mail.headers is no list: {other!r:.200}")


def _header(header: object) -> Header:
    match header:
        case {"name": str(name), "value": str(value)}:
            return Header(_text(name), _FOLD.sub("", _text(value)))
        case _:
            raise MalformedEvent(f"mail.headers has an entry that is no header: {header!r:.200}")


def _text(text: str) -> str:
    """Return the text without lone surrogates, which JSON can carry and nothing can store or log."""
    return text.encode("utf-8", "replace").decode()


def _raw_header(line: bytes) -> Header:
    name, colon, value = line.decode("utf-8", "replace").partition(":")
    if not colon:  # no field, and for some readers the end of the header section: a malformed one for us
        return Header("", name)
    return Header(name, _FOLD.sub("", value).strip(" \t"))


def _verdict(receipt: Mapping[str, Any], name: str) -> Verdict:
    match receipt.get(name):
        case {"status": str(status)} if status in Verdict:
            return Verdict(status)
        case _:
            return Verdict.UNKNOWN


def _timestamp(mail: Mapping[str, Any]) -> datetime:
    timestamp = mail.get("timestamp")
    try:
        return datetime.fromisoformat(str(timestamp)).astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise MalformedEvent(f"mail.timestamp is no time: {timestamp!r:.200}") from e


def _hop(mail: InboundMail) -> str:
    """Return what SES's Received field says of the client; empty if the first one is not SES's.

    What only SES can have written is its host name with the id that it gave this mail.
    """
    ours = re.compile(
        rf"\bby inbound-smtp\.[a-z0-9-]+\.amazonaws\.com with SMTP id {re.escape(mail.message_id)}(?![^\s;])"
    )
    for received in mail.values("Received")[:1]:
        if (match := ours.search(received)) is not None:
            return received[: match.start()]
    return ""


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    literal = text.strip().removeprefix("IPv6:")  # RFC 5321 4.1.3
    try:
        ip = ip_address(literal)
    except ValueError:
        return None
    if isinstance(ip, IPv6Address):
        return None if ip.scope_id is not None else ip.ipv4_mapped or ip
    return ip


# The fields of SES's block below its Received field, in the order in which SES puts them on.
_SES_BLOCK = (
    "x-ses-spam-verdict",
    "x-ses-virus-verdict",
    "received-spf",
    "authentication-results",
    "x-ses-receipt",
    "x-ses-dkim-signature",
)
# All that may stand before SES's own words in its Received field. A HELO name with anything else in it
# could imitate what follows, here and where SES repeats it.
_PLAIN_HOP = re.compile(r"from [\w.:\[\]-]+ \((?:[\w.-]+ )?\[[^\[\]]*\]\)\s+", re.ASCII)


def _ses_block(mail: InboundMail) -> Iterator[Header]:
    """Yield the fields that SES put on below its Received field: they end where the order does."""
    keys = [header.key for header in mail.headers]
    below = iter(mail.headers[keys.index("received") + 1 :])
    place = 0
    while (header := next(below, None)) and header.key in _SES_BLOCK[place:]:
        place = _SES_BLOCK.index(header.key) + 1
        yield header


def authentication_results(mail: InboundMail) -> list[list[str]]:
    """Return the results of SES's own Authentication-Results, each as its words; none if in doubt.

    SES repeats five texts of the sender's in it: the HELO name, the envelope sender, a domain of their SPF
    record, and the `d=` and `i=` of each signature. It is believed only if none of them can have added or
    hidden a result.
    """
    if not (_PLAIN_HOP.fullmatch(_hop(mail)) and _has_plain_sender(mail) and _has_plain_signers(mail)):
        return []
    fields = [header.value for header in _ses_block(mail) if header.key == "authentication-results"]
    authserv_id, *results = _split_results(fields[0]) if fields else [[]]
    return results if authserv_id == ["amazonses.com"] and _is_in_order(results) else []


# Of the characters of a dot-atom: an envelope sender that a forwarder rewrote may be longer than an address.
_PLAIN_SENDER = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")


def _has_plain_sender(mail: InboundMail) -> bool:
    return not mail.envelope_from or _PLAIN_SENDER.fullmatch(mail.envelope_from) is not None


_PLAIN_SIGNERS = {
    "d": re.compile(r"[\w.-]+"),  # RFC 6376 3.5; a U-label adds no result
    "i": re.compile(r"[\w.+-]*@[\w.-]+", re.ASCII),
}


def _has_plain_signers(mail: InboundMail) -> bool:
    """Tell whether each signature is of a plain name, whether it is valid or not: SES repeats both."""
    tags = (tag.partition("=") for value in mail.values("DKIM-Signature") for tag in value.split(";"))
    named = ((name.strip().lower(), value.strip()) for name, _, value in tags)
    return all(_PLAIN_SIGNERS[name].fullmatch(value) for name, value in named if name in _PLAIN_SIGNERS)


# What SES says, in its order; only dkim may come more than once. A result that a sender added would come
# too early, or stand beside SES's own.
_RESULTS_ORDER = ("spf", "client-ip", "envelope-from", "helo", "dkim", "dmarc")


def _is_in_order(results: list[list[str]]) -> bool:
    words = [word.lower().partition("=")[0] for result in results for word in result]
    methods = [word for word in words if not word.startswith("header.")]
    if not set(methods) <= set(_RESULTS_ORDER):
        return False
    places = [_RESULTS_ORDER.index(method) for method in methods]
    return places == sorted(places) and all(methods.count(word) <= 1 for word in methods if word != "dkim")


_RESULTS_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[();]|[^"();]+')


def _split_results(value: str) -> list[list[str]]:
    """Split an Authentication-Results value at its semicolons, without comments; quoted strings are blanked.

    SES's field is not of RFC 8601's grammar (it has bare `client-ip=` and `helo=` results), so the
    libraries for that refuse it. What is unbalanced yields one empty result.
    """
    tokens = _RESULTS_TOKEN.findall(value)
    results, depth = [""], 0
    for token in tokens:
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif depth == 0 and token == ";":
            results.append("")
        elif depth == 0:
            results[-1] += '""' if token.startswith('"') else token
        if depth < 0:
            return [[]]
    balanced = depth == 0 and "".join(tokens) == value
    return [result.split() for result in results] if balanced else [[]]


def _passing_dkim(result: list[str]) -> Iterator[str]:
    """Yield the signing domain of a result that reads `dkim=pass header.i=@domain` (or header.d=domain)."""
    if not result or result[0].lower() != "dkim=pass":
        return
    properties = [word.partition("=") for word in result[1:]]
    signers = [value for name, _, value in properties if name.lower() in ("header.i", "header.d")]
    domains = {signer.rpartition("@")[2] for signer in signers}
    if len(domains) == 1:  # two that differ: one of them is not SES's
        try:
            yield normalise_domain(domains.pop())
        except InvalidDomain:
            return
