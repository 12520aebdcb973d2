"""Reads a stored mail for a preview: any bytes give a preview, or a reason why there is none."""

from collections.abc import Iterator, Sequence
from typing import Final

from quarantine.mail.charsets import decoded
from quarantine.mail.lenient import Fields, Sender, field_sender, parse_sender
from quarantine.mail.links import defanged
from quarantine.mail.text import clean_text, clipped
from quarantine.previewing.bodies import decoded_size, read_text
from quarantine.previewing.reduction import reduced
from quarantine.previewing.structure import NotShown, Part, parts_of, shown_fields
from quarantine.previewing.values import AttachedFile, AttachedMessage, CannotBeShown, Preview

MOST_TEXT: Final = 20_000
"""Bytes of text that a preview shows, as UTF-8 and before it is defanged."""

MOST_READ: Final = 1024 * 1024
"""Bytes of text parts that are decoded."""

_MOST_LISTED = 50  # files and messages
_LONGEST_LINE = 2000
_LONGEST_FIELD, _LONGEST_NAME, _LONGEST_SUBJECT = 300, 80, 200


def read_preview(raw: bytes) -> Preview | CannotBeShown:
    """Return what a mail says, as safe text. Never raises for what stands in the mail."""
    try:
        return _preview(raw)
    except NotShown as e:
        return e.reason
    # Parsers of hostile text fail in ways of their own; there is nothing to retry.
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return CannotBeShown.UNREADABLE


def _preview(raw: bytes) -> Preview:
    top = parts_of(raw)
    fields = shown_fields(raw)
    sender = parse_sender(field_sender(fields.top(b"from")))
    bodies = list(_bodies(raw, top))
    text = _text(raw, bodies)
    lines, shown = _lines(text)
    others = [part for part in top.leaves() if part not in bodies and _is_listed(part)]
    listed = others[:_MOST_LISTED]
    return Preview(
        sender=_safe_sender(sender),
        claims_address=sender.claims_address,
        to=_safe(_field(fields, b"to"), _LONGEST_FIELD),
        cc=_safe(_field(fields, b"cc"), _LONGEST_FIELD),
        date=_safe(_field(fields, b"date"), _LONGEST_FIELD),
        subject=_safe(decoded(fields.top(b"subject")), _LONGEST_SUBJECT),
        lines=lines,
        shown=shown,
        whole=max(len(text.encode()), shown, sum(_unread(raw, part) for part in bodies)),
        files=tuple(_file(raw, part) for part in listed if part.media_type != "message/rfc822"),
        messages=tuple(_message(raw, part) for part in listed if part.media_type == "message/rfc822"),
        unlisted=len(others) - len(listed),
    )


# --- Which parts are the text ---


def _bodies(raw: bytes, part: Part) -> Iterator[Part]:
    """Yield the parts that a mail program shows as the text, in their order."""
    if part.media_type == "multipart/alternative":  # RFC 2046 5.1.4
        yield from _best(raw, [list(_bodies(raw, child)) for child in part.children])
    elif part.is_multipart:
        for child in part.children:
            yield from _bodies(raw, child)
    elif part.media_type in ("text/plain", "text/html") and not part.is_attachment and not part.name:
        yield part


def _best(raw: bytes, choices: Sequence[list[Part]]) -> list[Part]:
    """Return the first of these that is plain text and not blank, else the richest, which comes last."""
    for bodies in choices:
        if bodies and all(part.media_type == "text/plain" for part in bodies) and _text(raw, bodies).strip():
            return bodies
    return next((bodies for bodies in reversed(choices) if bodies), [])


def _is_listed(part: Part) -> bool:
    """Return whether a part is more than the other form of the text."""
    return part.is_attachment or bool(part.name) or part.media_type not in ("text/plain", "text/html")


# --- The text ---


def _text(raw: bytes, bodies: Sequence[Part]) -> str:
    room, texts = MOST_READ, []
    for part in bodies:
        if room <= 0:
            break
        text = read_text(raw, part, room)
        room -= min(part.end - part.start, room)
        texts.append(reduced(text) if part.media_type == "text/html" else text)
    return "\n\n".join(texts)


def _unread(raw: bytes, part: Part) -> int:
    """Return the size of a plain part that is not read completely; of HTML, most is not text."""
    size = decoded_size(raw, part)
    return size if part.media_type == "text/plain" and size > MOST_READ else 0


def _lines(text: str) -> tuple[tuple[str, ...], int]:
    """Return the lines that are shown, and how many bytes of the text they are. No two are blank in a row."""
    kept: list[str] = []
    shown = 0
    cut = text.encode("utf-8", "replace")[:MOST_TEXT].decode("utf-8", "ignore")
    for line in cut.splitlines():
        safe = _safe(line, _LONGEST_LINE)
        if safe or (kept and kept[-1]):
            kept.append(safe)
    shown = len(cut.encode())
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept), shown


# --- Safe values ---


def _safe(text: str, length: int) -> str:
    return clipped(defanged(clean_text(text)), length)


def _safe_sender(sender: Sender) -> Sender:
    return Sender(clipped(defanged(sender.name), _LONGEST_NAME), defanged(sender.address))


def _field(fields: Fields, name: bytes) -> str:
    return decoded(fields.top(name))


def _file(raw: bytes, part: Part) -> AttachedFile:
    return AttachedFile(
        _safe(part.name, _LONGEST_NAME), _safe(part.media_type, _LONGEST_NAME), decoded_size(raw, part)
    )


def _message(raw: bytes, part: Part) -> AttachedMessage:
    fields = shown_fields(raw, part.start)
    sender = parse_sender(field_sender(fields.top(b"from")))
    subject = _safe(decoded(fields.top(b"subject")), _LONGEST_SUBJECT)
    return AttachedMessage(_safe_sender(sender), subject, part.end - part.start)
