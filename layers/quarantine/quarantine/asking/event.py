"""A mail as SES received it: read from the event of a receipt rule's Lambda action.

Two kinds of text meet in a mail's header: the block that SES puts on top, and the sender's own. Only the
block is trusted, and in the block not the places where SES repeats what the sender said.

The event: https://docs.aws.amazon.com/ses/latest/dg/receiving-email-action-lambda-event.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from quarantine.mail.strict import Header, parse_header, unfolded


class MalformedEvent(ValueError):
    """The value is no event of an SES receipt rule; the message says where."""


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


def with_raw_header(mail: InboundMail, raw: bytes) -> InboundMail:
    """Return a mail that SES cut with the header section of its raw message. Raises MalformedHeader."""
    return replace(mail, headers=parse_header(raw), headers_truncated=False)


def _message_id(mail: Mapping[str, Any]) -> str:
    message_id = mail.get("messageId")
    if not isinstance(message_id, str) or not _MESSAGE_ID.fullmatch(message_id):
        raise MalformedEvent(f"mail.messageId is no SES message id: {message_id!r:.200}")
    return message_id


def _recipients(receipt: Mapping[str, Any]) -> tuple[str, ...]:
    # Not mail.destination and not the To field: they name whom the sender says it is for.
    match receipt.get("recipients"):
        case [*recipients] if all(isinstance(each, str) for each in recipients):
            return tuple(_without_surrogates(recipient) for recipient in recipients)
        case other:
            raise MalformedEvent(f"receipt.recipients is no list of addresses: {other!r:.200}")


def _envelope_from(mail: Mapping[str, Any]) -> str:
    match mail.get("source"):
        case None | "<>":
            return ""
        case str(source):
            return _without_surrogates(source)
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
            return Header(_without_surrogates(name), unfolded(_without_surrogates(value)))
        case _:
            raise MalformedEvent(f"mail.headers has an entry that is no header: {header!r:.200}")


def _without_surrogates(text: str) -> str:
    """Return the text without lone surrogates, which JSON can carry and nothing can store or log."""
    return text.encode("utf-8", "replace").decode()


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
