"""The tags of a mail that we send: SES repeats them in every event about the mail.

They are the only way from an event to the row of the request: no index finds a row by SES's id of the mail.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class MailKind(StrEnum):
    """What a mail is to the request that it belongs to; the value of the tag `mail`."""

    REPORT = "report"  # the report that was asked for
    DIGEST = "digest"  # a scheduled report
    PREVIEW = "preview"  # the text of a held message
    RELEASE = "release"  # a held message itself, to the mailbox that it was held for
    ASK = "ask"  # asks an administrator to release a message
    ANSWER = "answer"  # says what became of an action
    NOTICE = "notice"  # tells somebody of what they did not ask for just now


REQUEST_TAG: Final = "request"
MAIL_TAG: Final = "mail"

# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html
_LONGEST_VALUE = 256
_ILLEGAL = re.compile(rb"[^A-Za-z0-9-]")  # a tag may contain "_", but here it begins an escape
_ESCAPE = re.compile(r"_([0-9A-F]{2})")
_ESCAPED = re.compile(r"(?:[A-Za-z0-9-]|_[0-9A-F]{2})+")


class UnreadableTags(ValueError):
    """The tags are not those of a mail that we sent; the message says why."""


def tags_of(request_id: str, kind: MailKind) -> Mapping[str, str]:
    """Return the tags of a mail. Raises ValueError if the id does not fit into a tag."""
    value = _ILLEGAL.sub(lambda byte: b"_%02X" % ord(byte[0]), request_id.encode()).decode()
    if not 0 < len(value) <= _LONGEST_VALUE:
        raise ValueError(f"an id that does not fit into a tag: {request_id!r:.200}")
    return {REQUEST_TAG: value, MAIL_TAG: kind.value}


def read_tags(request: str, mail: str) -> tuple[str, MailKind]:
    """Return the request and the kind of a mail. Raises UnreadableTags."""
    if not _ESCAPED.fullmatch(request) or mail not in MailKind:
        raise UnreadableTags(f"not our tags: {request!r:.200}, {mail!r:.200}")
    value = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), request)
    try:
        return value.encode("latin-1").decode(), MailKind(mail)
    except UnicodeDecodeError as e:
        raise UnreadableTags(f"not an id: {request!r:.200}") from e
