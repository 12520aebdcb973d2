"""What SES reports about a mail that we sent, read from the event that EventBridge puts on the queue.

Best effort, as AWS calls it: an event may be missing, late, doubled, or come before an earlier one.

The envelope: https://docs.aws.amazon.com/ses/latest/dg/monitoring-eventbridge.html
Its detail: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, assert_never

from quarantine.feedback.tags import MAIL_TAG, REQUEST_TAG, MailKind, UnreadableTags, read_tags
from quarantine.mail.text import clean_text, clipped


class MalformedSendingEvent(ValueError):
    """The text is not an event about a mail that we sent; the message says where it differs."""


class Sending(StrEnum):
    """What SES reports about a mail: its `eventType`, without those of templates, links and subscriptions."""

    DELIVERY = "Delivery"  # the recipient's mail server accepted it
    DELAY = "DeliveryDelay"  # not accepted yet; SES goes on trying
    BOUNCE = "Bounce"  # refused, or returned after it was accepted
    COMPLAINT = "Complaint"  # the recipient called it spam
    REJECT = "Reject"  # SES accepted it, found a virus in it, and did not send it


@dataclass(frozen=True, slots=True)
class SendingEvent:
    """One event about one mail.

    request_id, mail_kind: from the tags of the mail. ses_message_id: SES's id of the mail; "" for a mail that
    went to a mail server of the company.
    at: when it happened, UTC. is_permanent: SES has given the mail up, and it did not arrive.
    detail: in the words of SES and of the recipient's mail server: cleaned and cut, and still a stranger's.
    """

    kind: Sending
    request_id: str
    mail_kind: MailKind
    ses_message_id: str
    at: datetime
    is_permanent: bool
    detail: str

    @property
    def is_by_ses(self) -> bool:
        return bool(self.ses_message_id)


_LONGEST_DETAIL: Final = 500
_LONGEST_PART: Final = 200  # a server's answer must not push the rest out
# Bounces that SES calls Transient in which a server refused this very mail, or SES gave up. The others are
# General, which SES also makes of an automatic reply to a mail that was delivered.
_REFUSALS: Final = frozenset({"MailboxFull", "MessageTooLarge", "ContentRejected", "AttachmentRejected"})

type _Part = Mapping[str, Any]


def parse_sending_event(body: str, configuration_set: str) -> SendingEvent:
    """Read a message of the queue. configuration_set: ours; a mail of another one is not ours.

    Raises MalformedSendingEvent and no other exception.
    """
    match _json(body):
        case {
            "source": "aws.ses",
            "time": time,
            "detail": {
                "eventType": str(word),
                "mail": {"messageId": str(message_id), "tags": dict(tags)},
                **rest,
            },
        } if word in Sending:
            kind = Sending(word)
        case _:
            raise MalformedSendingEvent(f"not an event of SES about a mail: {body[:200]!a}")
    if _tag(tags, "ses:configuration-set") != configuration_set:
        raise MalformedSendingEvent(f"a mail of another configuration set: {message_id:.200}")
    try:
        request_id, mail_kind = read_tags(_tag(tags, REQUEST_TAG), _tag(tags, MAIL_TAG))
    except UnreadableTags as e:
        raise MalformedSendingEvent(f"{message_id:.200}: {e}") from e
    part = _part(kind, rest)
    return SendingEvent(
        kind,
        request_id,
        mail_kind,
        message_id,
        _time(part.get("timestamp", time)),  # a Reject has none
        _is_permanent(kind, part),
        clipped(", ".join(filter(None, _details(kind, part))), _LONGEST_DETAIL),
    )


def _json(body: str) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as e:
        raise MalformedSendingEvent(f"not JSON: {body[:100]!a}") from e


def _tag(tags: _Part, name: str) -> str:
    match tags.get(name):
        case [str(value)]:
            return value
        case other:
            raise MalformedSendingEvent(f"the tag {name} is not one text: {other!r:.200}")


def _part(kind: Sending, detail: Mapping[Any, Any]) -> _Part:
    name = kind.value[0].lower() + kind.value[1:]
    part = detail.get(name, {})
    if not isinstance(part, dict):
        raise MalformedSendingEvent(f"{name} is not an object: {part!r:.200}")
    return part


def _time(text: object) -> datetime:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise MalformedSendingEvent(f"not a time: {text!r:.200}") from e


def _is_permanent(kind: Sending, part: _Part) -> bool:
    if kind is Sending.BOUNCE:
        return part.get("bounceType") == "Permanent" or part.get("bounceSubType") in _REFUSALS
    return kind is Sending.REJECT


def _details(kind: Sending, part: _Part) -> Iterator[str]:
    match kind:
        case Sending.DELIVERY:
            yield _shown(part.get("smtpResponse"))
        case Sending.DELAY:
            yield _shown(part.get("delayType"))
            yield from _answers(part.get("delayedRecipients"))
        case Sending.BOUNCE:
            yield " ".join(filter(None, (_shown(part.get(name)) for name in ("bounceType", "bounceSubType"))))
            yield from _answers(part.get("bouncedRecipients"))
        case Sending.COMPLAINT:
            yield _shown(part.get("complaintFeedbackType"))
        case Sending.REJECT:
            yield _shown(part.get("reason"))
        case _:
            assert_never(kind)


def _answers(recipients: object) -> Iterator[str]:
    """Yield what a mail server said about the recipient; each of our mails has only one."""
    match recipients:
        case [dict(recipient), *_]:
            yield _shown(recipient.get("diagnosticCode") or recipient.get("status"))


def _shown(value: object) -> str:
    return clipped(clean_text(value), _LONGEST_PART) if isinstance(value, str) else ""
