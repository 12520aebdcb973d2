"""Amazon SES as the functions see it: a mail that it received, and what became of one that it sent."""

import json
import re
import secrets
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from email import message_from_bytes
from email.utils import format_datetime
from ipaddress import ip_address
from typing import Any

from quarantine.asking.event import Verdict, Verdicts
from quarantine.mail.addresses import InvalidAddress
from quarantine.mail.strict import Header, MalformedHeader, parse_from, parse_header

REGION = "us-east-1"
GRAY = Verdicts(*[Verdict.GRAY] * 5)

_HEADERS_LIMIT = 10 * 1024  # SES cuts the list in its event at about 10 KB
_RESULT_WORDS = {Verdict.PASS: "pass", Verdict.FAIL: "fail", Verdict.PROCESSING_FAILED: "temperror"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """The data of one SMTP transaction (RFC 5321), and the client's address. data: as sent."""

    peer: str
    helo: str
    envelope_from: str
    recipients: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A delivery that SES accepted. raw: the mail that its S3 action stores. event: the event for intake."""

    message_id: str
    raw: bytes
    event: dict[str, Any]


def new_message_id() -> str:
    """Return an id in SES's format: forty letters and digits that nobody can guess."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(40))


def receive(delivery: Delivery, verdicts: Verdicts, message_id: str, now: datetime) -> Received:
    """Add SES's fields to a mail and make its event.

    A dkim verdict of PASS covers the domain of each DKIM-Signature, or the From domain if there is none.
    """
    delivery = replace(delivery, data=re.sub(rb"(?<!\r)\n", b"\r\n", delivery.data))
    block = _block(delivery, verdicts, message_id, now)
    raw = block + delivery.data
    headers = _headers(raw)
    shown = list(_first(headers, _HEADERS_LIMIT))
    mail = {
        "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "source": delivery.envelope_from,
        "messageId": message_id,
        "destination": list(delivery.recipients),
        "headersTruncated": len(shown) < len(headers),
        "headers": [{"name": header.name, "value": header.value} for header in shown],
        "commonHeaders": _common_headers(shown),
    }
    receipt = {
        "timestamp": mail["timestamp"],
        "processingTimeMillis": 400,
        "recipients": list(delivery.recipients),
        **{f"{name}Verdict": {"status": str(getattr(verdicts, name))} for name in Verdicts.__slots__},
        "action": {
            "type": "Lambda",
            "functionArn": f"arn:aws:lambda:{REGION}:123456789012:function:intake",
            "invocationType": "Event",
        },
    }
    event = {
        "Records": [
            {"eventSource": "aws:ses", "eventVersion": "1.0", "ses": {"mail": mail, "receipt": receipt}}
        ]
    }
    return Received(message_id, raw, json.loads(json.dumps(event)))


# --- Sent mail ---

BOUNCING = "bounce.example"
"""A domain whose mail server knows no mailbox."""


@dataclass(frozen=True, slots=True)
class SentMail:
    """A mail that SES accepted. tags: by name, as SendEmail got them."""

    message_id: str
    to: str
    raw: bytes
    configuration_set: str
    tags: Mapping[str, str]


def sending_event(sent: SentMail, rejects: bytes, now: datetime) -> dict[str, Any]:
    """Return what SES reports about a mail, as EventBridge puts it on the queue.

    rejects: a mail that contains this has a virus, so SES does not send it; empty for none. Mail to BOUNCING
    and to its sub-domains comes back. Any other mail is delivered.
    """
    time = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    part: dict[str, Any]
    if rejects and any(rejects in content for content in _contents(sent.raw)):
        detail_type, kind, part = "Email Rejected", "Reject", {"reason": "Bad content"}
    elif f".{_domain(sent.to)}".endswith(f".{BOUNCING}"):
        said = f"smtp; 550 5.1.1 <{sent.to}>: user unknown"
        recipient = {"emailAddress": sent.to, "action": "failed", "status": "5.1.1", "diagnosticCode": said}
        bounce: dict[str, Any] = {
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "bouncedRecipients": [recipient],
        }
        detail_type, kind, part = "Email Bounced", "Bounce", bounce | {"timestamp": time}
    else:
        detail_type, kind = "Email Delivered", "Delivery"
        part = {"recipients": [sent.to], "smtpResponse": "250 2.0.0 Ok", "timestamp": time}
    tags = {"ses:configuration-set": sent.configuration_set, **sent.tags}
    mail = {
        "timestamp": time,
        "messageId": sent.message_id,
        "destination": [sent.to],
        "tags": {name: [value] for name, value in tags.items()},
    }
    return {
        "version": "0",
        "detail-type": detail_type,
        "source": "aws.ses",
        "account": "123456789012",
        "time": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "region": REGION,
        "resources": [],
        "detail": {"eventType": kind, "mail": mail, kind.lower(): part},
    }


def _contents(raw: bytes) -> Iterator[bytes]:
    """Yield a mail as it is, and each of its parts without its transfer encoding."""
    yield raw
    for part in message_from_bytes(raw).walk():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            yield content


# --- Received mail ---


def _block(delivery: Delivery, verdicts: Verdicts, message_id: str, now: datetime) -> bytes:
    spf = (
        f"{_result(verdicts.spf)} (spfCheck: domain of {_domain(delivery.envelope_from)})"
        f" client-ip={delivery.peer}; envelope-from={delivery.envelope_from}; helo={delivery.helo};"
    )
    dkim = _dkim_results(delivery.data, verdicts.dkim)
    hop = f"from {delivery.helo} ({_reverse_name(delivery.peer)} [{delivery.peer}])"
    fields = {
        "Return-Path": f"<{delivery.envelope_from}>",
        "Received": f"{hop}\r\n by inbound-smtp.{REGION}.amazonaws.com with SMTP id {message_id}"
        f"\r\n for {delivery.recipients[0]};\r\n {format_datetime(now)} (UTC)",
        "X-SES-Spam-Verdict": str(verdicts.spam),
        "X-SES-Virus-Verdict": str(verdicts.virus),
        "Received-SPF": spf,
        "Authentication-Results": f"amazonses.com;\r\n spf={spf}\r\n {dkim}"
        f" dmarc={_result(verdicts.dmarc)} header.from={_from_domain(delivery.data)};",
        "X-SES-RECEIPT": secrets.token_urlsafe(48),
        "X-SES-DKIM-SIGNATURE": f"a=rsa-sha256; q=dns/txt; b={secrets.token_urlsafe(96)}; c=relaxed/simple;"
        " s=local; d=amazonses.com; v=1; bh=local; h=From:To:Cc:Bcc:Subject:Date:Message-ID",
    }
    # aiosmtpd passes bytes of a command that are not UTF-8 as surrogates.
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode(errors="surrogateescape")


def _result(verdict: Verdict) -> str:
    return _RESULT_WORDS.get(verdict, "none")


def _dkim_results(data: bytes, verdict: Verdict) -> str:
    signatures = [header.value for header in _headers(data) if header.key == "dkim-signature"]
    domains = [tag.partition("=")[2] for value in signatures for tag in _tags(value) if tag.startswith("d=")]
    signers = domains or ([_from_domain(data)] if verdict is Verdict.PASS else [])
    return " ".join(f"dkim={_result(verdict)} header.i=@{domain};" for domain in signers) or "dkim=none;"


def _tags(signature: str) -> list[str]:
    return ["".join(tag.split()) for tag in signature.split(";")]  # RFC 6376 3.2


def _from_domain(data: bytes) -> str:
    try:
        return parse_from(next(header.value for header in _headers(data) if header.key == "from")).domain
    except (StopIteration, InvalidAddress):
        return "unknown"


def _domain(address: str) -> str:
    return address.rpartition("@")[2] or "unknown"


def _reverse_name(peer: str) -> str:
    return "localhost" if ip_address(peer).is_loopback else "unknown"


def _headers(raw: bytes) -> tuple[Header, ...]:
    try:
        return parse_header(raw)
    except MalformedHeader:  # a mail without a body may end after its last field
        return parse_header(raw + b"\r\n\r\n")


def _first(headers: Iterable[Header], limit: int) -> Iterable[Header]:
    size = 0
    for header in headers:
        size += len(header.name) + len(header.value)
        if size > limit:
            return
        yield header


def _common_headers(headers: Iterable[Header]) -> dict[str, Any]:
    """Return SES's short list of headers. Intake does not read it: it repeats what the sender wrote."""
    fields = {header.key: header.value for header in headers}
    lists = {name: [fields[name]] for name in ("from", "to", "cc") if name in fields}
    texts = {
        key: fields[name]
        for name, key in (
            ("return-path", "returnPath"),
            ("date", "date"),
            ("message-id", "messageId"),
            ("subject", "subject"),
        )
        if name in fields
    }
    return lists | texts
