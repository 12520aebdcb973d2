"""What an answer copies from the request: its thread, and the UTC offset of the requester's clock."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_tz

from quarantine.asking.event import InboundMail


@dataclass(frozen=True, slots=True)
class ReplyContext:
    """How an answer is threaded, and in which UTC offset it shows times.

    utc_offset: of the requester's clock, from the Date field; zero if that is missing or unreadable.
    message_id, references: msg-ids of the request (RFC 5322 3.6.4); None and empty if they are unusable.
    """

    utc_offset: timedelta = timedelta()
    message_id: str | None = None
    references: tuple[str, ...] = ()


def read_reply_context(mail: InboundMail) -> ReplyContext:
    """Read the context from the mail's own fields; never raises."""
    return ReplyContext(
        utc_offset=_utc_offset(mail),
        message_id=next(iter(_message_ids(mail.values("Message-ID"))), None),
        references=_references(mail),
    )


_MSG_ID = re.compile(r"<[!-;=?A-~]{1,120}@[!-;=?A-~]{1,120}>")  # RFC 5322 3.6.4, of printable ASCII
_MAX_REFERENCES = 10


def _message_ids(values: Iterable[str]) -> Iterator[str]:
    return (match[0] for value in values for match in _MSG_ID.finditer(value))


def _references(mail: InboundMail) -> tuple[str, ...]:
    """Return a reply's references without the last one (RFC 5322 3.6.4): the parent's, or its In-Reply-To."""
    fields = mail.values("References")[:1] or mail.values("In-Reply-To")[:1]
    references = tuple(_message_ids(fields))
    if len(references) <= _MAX_REFERENCES:
        return references
    return (references[0], *references[1 - _MAX_REFERENCES :])  # the first and the latest keep the thread


_MAX_UTC_OFFSET = timedelta(hours=14)


def _utc_offset(mail: InboundMail) -> timedelta:
    for value in mail.values("Date")[:1]:
        try:
            parsed = parsedate_tz(value)
            offset = timedelta(seconds=(parsed and parsed[9]) or 0)
        except (ValueError, IndexError, TypeError, OverflowError):  # the parser does not expect hostile text
            return timedelta()
        if abs(offset) <= _MAX_UTC_OFFSET:
            return timedelta(minutes=offset // timedelta(minutes=1))
    return timedelta()
