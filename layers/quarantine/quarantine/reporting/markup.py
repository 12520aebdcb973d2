"""The templates of the mails that we send, with escaping, dates and wrapping.

A folder in `templates/` is a mail: its From name, its subject, its text and its HTML. The HTML part links
only to our own addresses. Held text was defanged before (quarantine.mail.links). Our own addresses are
written unchanged. In the HTML, a `<wbr>` in them prevents automatic links in most mail programs: it is not
shown, not read aloud and not copied.
"""

import re
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, ModuleLoader, StrictUndefined
from markupsafe import Markup, escape

from quarantine.mail.addresses import Address
from quarantine.mail.text import wrapped, wrapped_anywhere, wrapped_held

_COLUMNS = 72
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _moment(time: datetime) -> str:
    # Not strftime: it is slow, and a report shows four times per row.
    day, month = _DAYS[time.weekday()], _MONTHS[time.month - 1]
    return f"{day} {time.day} {month} {time.year}, {time.hour:02}:{time.minute:02}"


_ADDRESS_JOINT = re.compile(r"(?<=@)|(?=\.)")  # not before the @: some programs link "@example"


def _unlinked(address: Address) -> Markup:
    return Markup(_ADDRESS_JOINT.sub("<wbr>", escape(str(address))))  # noqa: S704 - escaped


def _held(text: str, indent: int) -> str:
    return wrapped_held(text, _COLUMNS, indent)


_QUOTED = "| "  # before each line of held text


def _quoted(text: str, label: str = "") -> str:
    """Return held text as marked lines; those after the first are indented, so that none imitates a label."""
    first, *others = wrapped_anywhere(text, _COLUMNS - len(_QUOTED) - len(label))
    lines = (label + first, *(" " * len(label) + line for line in others))
    return "\n".join((_QUOTED + line).rstrip(" ") for line in lines)


def _paragraph(text: str) -> str:
    return wrapped(" ".join(text.split()), _COLUMNS) + "\n"


def _mailto(address: Address) -> str:
    return f"mailto:{quote(str(address), safe='@')}"  # RFC 6068 2


_FOLDER = Path(__file__).parent / "templates"
_COMPILED = _FOLDER / "compiled"  # only in a built layer, by layers/pack.py


def compile_templates() -> None:
    """Write the templates as Python files beside them, so that a start does not need to compile them."""
    shutil.rmtree(_COMPILED, ignore_errors=True)
    environment = _environment(FileSystemLoader(_FOLDER))
    environment.compile_templates(_COMPILED, zip=None, ignore_errors=False)


def _environment(loader: BaseLoader) -> Environment:
    environment = Environment(
        loader=loader,
        autoescape=_is_html,  # noqa: S701 - on for HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]  # of the extension
    environment.filters |= {
        "held": _held,
        "mailto": _mailto,
        "moment": _moment,
        "paragraph": _paragraph,
        "quoted": _quoted,
        "unlinked": _unlinked,
    }
    return environment


def _is_html(name: str | None) -> bool:
    return name is not None and name.endswith("html.j2")


_ENVIRONMENT = _environment(ChoiceLoader([ModuleLoader(_COMPILED), FileSystemLoader(_FOLDER)]))


@dataclass(frozen=True, slots=True)
class RenderedParts:
    """The rendered templates of one mail; from_name and subject are one line each."""

    from_name: str
    subject: str
    text: str
    html: str


class MailTemplates:
    """The templates of one mail, loaded when this object is made, so that no request waits for them.

    folder: its name in `templates/`.
    """

    def __init__(self, folder: str) -> None:
        names = ("from_name", "subject", "text", "html")
        self._templates = {name: _ENVIRONMENT.get_template(f"{folder}/{name}.j2") for name in names}

    def render(self, **values: object) -> RenderedParts:
        """Render all parts with the same values."""
        parts = {name: template.render(**values) for name, template in self._templates.items()}
        line = {name: " ".join(parts[name].split()) for name in ("from_name", "subject")}
        return RenderedParts(**parts | line)
