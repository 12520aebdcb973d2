"""`quarantine held show` and `fetch`: an operator looks at one held mail."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.cells import chop_cells

from ops import arguments
from ops.messages import Mailbox, MessageId, one
from ops.operator import Operator, OperatorError
from ops.words import moment, shown
from quarantine.mail.escaping import escaped
from quarantine.mail.lenient import end_of_header
from quarantine.previewing.preview import Attachment, Preview, read_preview
from quarantine.previewing.structure import CannotBeShown
from quarantine.stores.items import Values, plain
from quarantine.stores.objects import Changed, Gone, HeldObjects

_MARK = "| "
_MOST_HEADER = 64 * 1024  # bytes of a header section that are shown


def show(context: typer.Context, mailbox: Mailbox, message_id: MessageId) -> None:
    """Show a held mail: what is known of it, its header section, and its text without working links.

    The sender wrote all lines that begin with |. Do not trust them.
    """
    operator: Operator = context.obj
    row = one(operator, arguments.address(mailbox), message_id)
    mail = _stored(operator, row)
    header, preview = _header(mail), read_preview(mail)
    facts = {name: value for name, value in plain(row).items() if name != "code"}
    described = _described(facts, header, preview, operator.out.width)
    operator.say("\n".join(described), **facts, header=header, preview=_values(preview))


def fetch(
    context: typer.Context,
    mailbox: Mailbox,
    message_id: MessageId,
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.", metavar="FILE")],
) -> None:
    """Write a held mail to a file, byte for byte as the filter stored it. It may be dangerous to open."""
    operator: Operator = context.obj
    row = one(operator, arguments.address(mailbox), message_id)
    mail = _stored(operator, row)
    with file.open("xb") as target:
        target.write(mail)
    operator.say(f"{len(mail)} bytes written to {file}", key=row["raw_key"], file=str(file), size=len(mail))


def _stored(operator: Operator, row: Values) -> bytes:
    """Return the mail that was judged. Raises OperatorError."""
    key = row.get("raw_key")
    if not key:
        raise OperatorError("the mail itself is not stored: only what the report shows is known")
    objects = HeldObjects(operator.client("s3"), operator.name("MailBucketName"))
    try:
        return objects.whole(key, row.get("etag"))
    except Gone as e:
        raise OperatorError(f"the bucket has no {key} any more") from e
    except Changed as e:
        raise OperatorError(f"{key} is not the mail that was judged: somebody has overwritten it") from e


def _header(mail: bytes) -> list[str]:
    end = end_of_header(mail[:_MOST_HEADER])
    section = mail[: _MOST_HEADER if end is None else end]
    text = section.decode("utf-8", "backslashreplace").rstrip("\r\n")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _described(
    facts: dict[str, Any], header: list[str], preview: Preview | CannotBeShown, width: int
) -> Iterator[str]:
    """Describe the message. Our own lines come first, and the sender's lines begin with a mark."""
    mailbox, reason = shown(facts["recipient"]), shown(facts["reason"])
    yield f"A message held for {mailbox}: {facts['status']}, held as {reason}."
    yield f"Received on {moment(facts['received_at'])}; stored as {shown(facts['raw_key'])}."
    if "acted_by" in facts:
        yield f"Last changed on {moment(facts['acted_at'])} by {shown(facts['acted_by'])}."
    yield "What follows was written by the sender."
    yield ""
    yield "Header:"
    yield from _marked(header, width)
    yield ""
    match preview:
        case Preview():
            yield from _text(preview, width)
        case CannotBeShown():
            yield f"Its text cannot be shown: {preview.value}."


def _text(preview: Preview, width: int) -> Iterator[str]:
    yield "Attachments:" if preview.attachments else "No attachments."
    yield from _marked(map(_attached, preview.attachments), width)
    yield ""
    yield "The beginning of its text:" if preview.text.is_cut else "Text:"
    yield from _marked(preview.text.lines, width)


def _marked(lines: Iterable[str], width: int) -> Iterator[str]:
    """Wrap the sender's lines here: the terminal would begin the rest of a long one without the mark."""
    for line in lines:
        for part in chop_cells(escaped(line), width - len(_MARK)) or [""]:
            yield f"{_MARK}{part}".rstrip()


def _attached(attachment: Attachment) -> str:
    name = attachment.name or "(no name)"
    return f"{name}, {attachment.media_type}, {attachment.size} bytes"


def _values(preview: Preview | CannotBeShown) -> dict[str, Any]:
    match preview:
        case Preview():
            return {
                "text": list(preview.text.lines),
                "is_cut": preview.text.is_cut,
                "attachments": [
                    {"name": each.name, "media_type": each.media_type, "size": each.size}
                    for each in preview.attachments
                ],
            }
        case CannotBeShown():
            return {"cannot_be_shown": preview.value}
