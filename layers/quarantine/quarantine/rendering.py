"""A report, made into a mail: plain text and HTML, threaded under the request, quiet towards robots.

The HTML part links to the trigger and to nothing else. A mail client that makes links of its own from what
looks like a domain or an address is kept from it by `<wbr>` inside the word: it shows nothing, is read
aloud as nothing and is not copied. Plain text has no such mark, so there a subject is written as security
people write it: `evil[.]example`.
"""

import base64
import functools
import quopri
import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime
from email import policy
from email.headerregistry import Address as Mailbox
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    ModuleLoader,
    StrictUndefined,
    select_autoescape,
)
from markupsafe import Markup, escape

from quarantine.addresses import Address
from quarantine.report import ELLIPSIS, QuarantineReport
from quarantine.request import LOOP_MARKER

SENDER_NAME = "Mail quarantine"

_LINE = 998  # RFC 5322 2.1.1
_COLUMNS = 72


def render(
    report: QuarantineReport, *, sender: Address, reply_to: Address | None, now: datetime
) -> EmailMessage:
    """Return the mail that carries the report to its requester; `as_bytes()` is what goes on the wire.

    now: for the Date field, aware. The same report at the same time is the same mail, byte for byte.
    """
    request_id = report.request.request_id
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = Mailbox(SENDER_NAME, addr_spec=str(sender))
    mail["To"] = str(report.requester)
    mail["Subject"] = _subject(report)
    mail["Date"] = now
    mail["Message-ID"] = f"<{request_id}.report@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-replied"  # RFC 3834 3.1.7
    mail["X-Auto-Response-Suppress"] = "All"  # what Exchange heeds instead: MS-OXCMAIL 2.2.3.2.14
    mail[LOOP_MARKER] = request_id
    if reply_to is not None:
        mail["Reply-To"] = str(reply_to)
    _thread(mail, report.request.message_id, report.request.references)
    _fill(mail, _TEXT.render(report=report, reply_to=reply_to), "plain")
    mail.make_alternative(boundary=f"=_{request_id}")
    html = EmailMessage(policy=_POLICY)
    _fill(html, _HTML.render(report=report, reply_to=reply_to), "html")
    del html["MIME-Version"]  # RFC 2045 4: it belongs to the whole
    mail.attach(html)
    mail["Content-Language"] = "en"  # last: what sets content drops the Content- fields before it
    return mail


def _subject(report: QuarantineReport) -> str:
    count = _counted(report.total, "message", report.at_least) if report.total else "nothing held"
    return f"Held mail for {report.requester}: {count}"


def _thread(mail: EmailMessage, message_id: str | None, references: Iterable[str]) -> None:
    if message_id is not None:  # RFC 5322 3.6.4
        mail["In-Reply-To"] = message_id
        mail["References"] = " ".join((*references, message_id))


def _fill(part: EmailMessage, text: str, subtype: str) -> None:
    part.set_content(text, subtype, cte=_transfer_encoding(text))


def _transfer_encoding(text: str) -> str:
    """Return the smallest that is 7-bit clean (EmailMessage itself guesses from the first ten lines)."""
    if text.isascii() and all(len(line) <= _LINE for line in text.splitlines()):
        return "7bit"
    data = text.encode()
    quoted, based = len(quopri.encodestring(data)), len(base64.encodebytes(data))
    return "quoted-printable" if quoted <= based else "base64"


# --- Header fields ---


class _MessageIds(UnstructuredHeader, BaseHeader):
    """Message ids, one on a line: EmailMessage makes encoded words of long ones (python/cpython#79986)."""

    def fold(self, *, policy: policy.Policy) -> str:
        return f"{self.name}: " + f"{policy.linesep} ".join(self.split()) + policy.linesep


class _Registry(HeaderRegistry):
    """Makes the class of each field once: the standard library makes it anew for each field of each mail."""

    __getitem__ = functools.cache(HeaderRegistry.__getitem__)


def _header_registry() -> HeaderRegistry:
    registry = _Registry()
    for name in ("message-id", "in-reply-to", "references"):
        registry.map_to_type(name, _MessageIds)
    return registry


_POLICY = policy.SMTP.clone(header_factory=_header_registry())


# --- Templates ---


def _counted(number: int, noun: str, at_least: bool = False) -> str:
    if at_least:  # one or more are several, to the grammar
        return f"{number} or more {noun}s"
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _moment(time: datetime) -> str:
    # Not strftime: it is slow, and a report has four times a row.
    day, month = _DAYS[time.weekday()], _MONTHS[time.month - 1]
    return f"{day} {time.day} {month} {time.year}, {time.hour:02}:{time.minute:02}"


_LINK_JOINT = re.compile(r"(?<=\S)(?=[.@。．｡＠]\S)|(?<=\S:)(?=\S)")


def _unlinked(text: object) -> Markup:
    # What escape() writes is never a space and holds none of the joint's letters: no joint comes or goes.
    return Markup(_LINK_JOINT.sub("<wbr>", escape(str(text))))  # noqa: S704 - escaped


def _defanged(text: str) -> str:
    """Bracket the dot of what looks like a domain, and the colon of a URL."""
    return re.sub(r"(?<=\w)\.(?=[^\W\d_]{2})|:(?=//)", r"[\g<0>]", text)


def _wrapped(text: str, indent: int = 0) -> str:
    """Break a text into lines of 72 columns, all but the first indented by so many spaces."""
    if _is_narrow(text) and len(text) <= _COLUMNS - indent:
        return text
    return ("\n" + " " * indent).join(_lines(text, _COLUMNS - indent))


def _paragraph(text: str) -> str:
    return _wrapped(" ".join(text.split())) + "\n"


def _lines(text: str, columns: int) -> Iterator[str]:
    if _is_narrow(text):
        yield from _narrow_lines(text, columns)
        return
    line, room = "", columns
    for piece in _pieces(text):
        if line and _columns(piece.rstrip()) > room:
            yield line.rstrip()
            line, room = "", columns
        line += piece
        room -= _columns(piece)
    yield line


def _is_narrow(text: str) -> bool:
    """Tell of most texts, also of those that were cut, that each character takes one column."""
    return text.replace(ELLIPSIS, "").isascii()


def _narrow_lines(text: str, columns: int) -> Iterator[str]:
    """Do the same for a text of one column a character, as most are, without looking at each."""
    while len(text) > columns:
        end = text.rfind(" ", 0, columns + 1)
        if end == -1:
            end = text.find(" ", columns)  # a word that is longer than a line stays whole
        if end == -1:
            break
        yield text[:end]
        text = text[end + 1 :]
    yield text


def _pieces(text: str) -> Iterator[str]:
    """Part a text after each space and each wide letter; an address stays in one piece, to be copied."""
    start = 0
    for end, char in enumerate(text, 1):
        if char == " " or _columns(char) > 1:
            yield text[start:end]
            start = end
    yield text[start:]


def _columns(text: str) -> int:
    """Return how many columns of a terminal the text takes (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _mailto(address: Address) -> str:
    return f"mailto:{quote(str(address), safe='@')}"  # RFC 6068 2


_TEMPLATES = Path(__file__).parent / "templates"
_COMPILED = _TEMPLATES / "compiled"  # in a built layer: layers/pack.py


def compile_templates() -> None:
    """Write the templates beside themselves as Python, so that a start need not compile them."""
    shutil.rmtree(_COMPILED, ignore_errors=True)
    environment = _environment(FileSystemLoader(_TEMPLATES))
    environment.compile_templates(_COMPILED, zip=None, ignore_errors=False)


def _environment(loader: BaseLoader) -> Environment:
    environment = Environment(
        loader=loader,
        autoescape=select_autoescape(("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "counted": _counted,
        "defanged": _defanged,
        "mailto": _mailto,
        "moment": _moment,
        "paragraph": _paragraph,
        "unlinked": _unlinked,
        "wrapped": _wrapped,
    }
    return environment


# Loaded at import, so that no report waits for it.
_ENVIRONMENT = _environment(ChoiceLoader([ModuleLoader(_COMPILED), FileSystemLoader(_TEMPLATES)]))
_TEXT = _ENVIRONMENT.get_template("report.txt.j2")
_HTML = _ENVIRONMENT.get_template("report.html.j2")
