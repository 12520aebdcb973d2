"""A mail as SES received it, read from the event of a receipt rule's Lambda action.

A mail's header has two parts: the block that SES adds on top, and the fields that the sender wrote. Only the
block is trusted, except where SES repeats text from the sender in it.

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
    """The value is not an event of an SES receipt rule; the message says where it differs."""


class Verdict(StrEnum):
    """The result of an SES scan; each of our checks is `is Verdict.PASS` or `is Verdict.FAIL`."""

    PASS = "PASS"  # the check ran and passed
    FAIL = "FAIL"  # the check ran and failed
    GRAY = "GRAY"  # nothing to check, or no clear result
    PROCESSING_FAILED = "PROCESSING_FAILED"  # SES could not run the check
    DISABLED = "DISABLED"  # the receipt rule does not scan
    UNKNOWN = "UNKNOWN"  # missing, or a status that we do not know


@dataclass(frozen=True, slots=True)
class Verdicts:
    spam: Verdict
    virus: Verdict
    spf: Verdict
    dkim: Verdict
    dmarc: Verdict


@dataclass(frozen=True, slots=True)
class InboundMail:
    """A mail that a receipt rule delivered.

    message_id: the unique id that SES assigned; not the Message-ID field.
    recipients: the envelope recipients that matched the rule.
    envelope_from: the reverse-path without brackets; empty for a bounce (RFC 5321 4.5.5).
    headers: from the top; cut off at about 10 KB if headers_truncated.
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
        """Return the values of all fields of that name, ignoring case, from the top."""
        return tuple(header.value for header in self.headers if header.key == name.lower())


_MESSAGE_ID = re.compile(
    r"[A-Za-z0-9._-]{1,128}"
)  # it names an S3 object and a row, so it must not contain a path


def parse_event(event: object) -> InboundMail:
    """Read the event with which SES invokes intake. Raises MalformedEvent and no other exception."""
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
    """Return a mail whose header SES cut off, with the header section of its raw message instead.

    Raises MalformedHeader.
    """
    return replace(mail, headers=parse_header(raw), headers_truncated=False)


def _message_id(mail: Mapping[str, Any]) -> str:
    message_id = mail.get("messageId")
    if not isinstance(message_id, str) or not _MESSAGE_ID.fullmatch(message_id):
        raise MalformedEvent(f"mail.messageId is not an SES message id: {message_id!r:.200}")
    return message_id


def _recipients(receipt: Mapping[str, Any]) -> tuple[str, ...]:
    # Not mail.destination and not the To field: the sender chose those addresses.
    match receipt.get("recipients"):
        case [*recipients] if all(isinstance(each, str) for each in recipients):
            return tuple(_without_surrogates(recipient) for recipient in recipients)
        case other:
            raise MalformedEvent(f"receipt.recipients is not a list of addresses: {other!r:.200}")


def _envelope_from(mail: Mapping[str, Any]) -> str:
    match mail.get("source"):
        case None | "<>":
            return ""
        case str(source):
            return _without_surrogates(source)
        case other:
            raise MalformedEvent(f"mail.source is not an address: {other!r:.200}")


def _headers(mail: Mapping[str, Any]) -> tuple[Header, ...]:
    match mail.get("headers"):
        case [*headers]:
            return tuple(_header(header) for header in headers)
        case other:
            raise MalformedEvent(f"mail.headers is not a list: {other!r:.200}")


def _header(header: object) -> Header:
    match header:
        case {"name": str(name), "value": str(value)}:
            return Header(_without_surrogates(name), unfolded(_without_surrogates(value)))
        case _:
            raise MalformedEvent(f"mail.headers has an entry that is not a header: {header!r:.200}")


def _without_surrogates(text: str) -> str:
    """Return the text without lone surrogates: JSON can contain them, but they cannot be stored or logged."""
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
        raise MalformedEvent(f"mail.timestamp is not a time: {timestamp!r:.200}") from e
