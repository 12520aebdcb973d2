"""A held mail as a reader may see it before deciding: safe text, and a list of what is attached.

The mail is hostile. What is read of it is bounded before it is read, nothing is opened, and all that comes
out is cleaned and defanged: it can be shown anywhere as text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from quarantine.mail.charsets import decoded
from quarantine.mail.dates import parse_time
from quarantine.mail.lenient import Fields, field_sender, header_fields
from quarantine.mail.links import defanged
from quarantine.mail.text import clean_text, clipped
from quarantine.previewing.bodies import ShownText, is_body, name_of, octets, shown_text, size_of
from quarantine.previewing.headline import Headline, headline_of
from quarantine.previewing.structure import CannotBeShown, Part, read_structure

_LONGEST_NAME, _LONGEST_LIST = 80, 300  # characters
_HEADER_OF_ATTACHED = 16 * 1024  # bytes of an attached mail that are read


@dataclass(frozen=True, slots=True)
class Attachment:
    """What is attached, not opened. name: "" if it has none. size: in bytes, when decoded.

    message: of an attached mail, which may have attachments of its own.
    """

    name: str
    media_type: str
    size: int
    message: Headline | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """A held mail as safe text. to, cc: as they stand in the mail, cut; "" if missing.

    date: when the sender says to have written it, UTC; None if that cannot be read.
    """

    headline: Headline
    to: str
    cc: str
    date: datetime | None
    text: ShownText
    attachments: tuple[Attachment, ...]


def read_preview(raw: bytes) -> Preview | CannotBeShown:
    """Read a stored mail. Never raises; what cannot be shown is a value."""
    try:
        mail = read_structure(raw)
        return mail if isinstance(mail, CannotBeShown) else _preview(raw, mail)
    except (
        ValueError,
        LookupError,
        RecursionError,
    ):  # a fault in our code must not leave a reader without an answer
        return CannotBeShown.UNREADABLE


def _preview(raw: bytes, mail: Part) -> Preview:
    fields = mail.fields
    return Preview(
        headline=_headline(fields),
        to=_shown(decoded(b", ".join(fields.every.get(b"to", ()))), _LONGEST_LIST),
        cc=_shown(decoded(b", ".join(fields.every.get(b"cc", ()))), _LONGEST_LIST),
        date=parse_time(fields.top(b"date")),
        text=shown_text(raw, mail),
        attachments=tuple(_attachment(raw, part) for part in _attached(mail, mail)),
    )


def _shown(text: str, length: int) -> str:
    return clipped(defanged(clean_text(text)), length)


def _headline(fields: Fields) -> Headline:
    return headline_of(field_sender(fields.top(b"from")), decoded(fields.top(b"subject")))


def _attached(part: Part, mail: Part) -> Iterator[Part]:
    if part.children:
        for child in part.children:
            yield from _attached(child, mail)
    elif not is_body(part, is_whole=part is mail):
        yield part


def _attachment(raw: bytes, part: Part) -> Attachment:
    message = None
    if part.media_type == "message/rfc822":
        fields = header_fields(octets(raw, part, _HEADER_OF_ATTACHED), frozenset({b"from", b"subject"}))
        message = _headline(fields)
    return Attachment(
        name=_shown(name_of(part), _LONGEST_NAME),
        media_type=defanged(part.media_type),
        size=size_of(raw, part),
        message=message,
    )
