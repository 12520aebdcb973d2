"""HTML as the lines of text that a reader sees, in linear time.

Tags and comments are found as the HTML Standard says
(https://html.spec.whatwg.org/multipage/parsing.html#tokenization), but no tree is made: text needs none. The
lines are hostile text, which is cleaned afterwards. So a difference from a browser can only show too much or
too little of it. Why this uses no library: docs/decisions/0023-previews.md.
"""

import html
import re
from collections.abc import Iterator
from typing import Final

from quarantine.mail.domains import InvalidDomain, normalise_domain

_SPACE = r"[\t\n\f\r ]"
_ATTRIBUTE = rf"""
    [\t\n\f\r /]*+ ([^\t\n\f\r />] [^\t\n\f\r />=]*+)
    (?: {_SPACE}*+ = {_SPACE}*+ (?: "([^"]*+) (?:"|\Z) | '([^']*+) (?:'|\Z) | ([^\t\n\f\r >]*+) ) )?+
"""
_UNNAMED = re.sub(r"\((?![?*])", "(?:", _ATTRIBUTE)
_TOKEN = re.compile(
    rf"""
      (?P<text> [^<]++ )
    | <!-- (?: -?> | .*? (?: --!?> | \Z ) )
    | < (?P<end>/)?+ (?P<name> [A-Za-z] [^\t\n\f\r />]*+ )
        (?P<attributes> (?: {_UNNAMED} )*+ ) [\t\n\f\r /]*+ (?:>|\Z)
    | <(?: [!?] | /(?=.) ) [^>]*+ (?:>|\Z)
    | (?P<sign> (?: < (?![A-Za-z!?/]) )++ | < )
    """,
    re.VERBOSE | re.DOTALL,
)
_ATTRIBUTES = re.compile(_ATTRIBUTE, re.VERBOSE)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The elements whose content is not markup; of these, only a textarea shows it.
_NOT_SHOWN = _names("iframe noembed noframes script style title xmp")
_RAW = _NOT_SHOWN | {"textarea"}
_CLOSED = {name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE) for name in _RAW}
_VOID = _names("area base br col embed hr img input link meta param source track wbr")
# Each begins a line, and its end begins another.
_LINES = _names("""
    address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset
    figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main menu nav ol option p pre section summary
    table tbody tfoot thead tr ul
""")
_PARAGRAPHS = _names("blockquote dl h1 h2 h3 h4 h5 h6 hr ol p pre table ul")  # an empty line between two
_CELLS = frozenset({"td", "th"})
# The tag of any other element changes nothing, unless it hides what is in it.
_ACTIVE = _LINES | _CELLS | _RAW | {"a", "img", "plaintext", "template"}
# An element of these ends where the next of its group begins.
_NEXT = {name: group for group in (_CELLS, frozenset({"dd", "dt"})) for name in group} | {
    name: frozenset({name}) for name in ("li", "option", "tr")
}
_HIDDEN = re.compile(
    r"(?:display:none|visibility:(?:hidden|collapse)|mso-hide:all|(?:font-size|opacity|max-height):0+"
    r"(?:\.0*)?(?:px|pt|em|rem|%)?(?:;|!|\Z))"
)
_BLANKS = re.compile(r"[\t\n\f\r ]+")
_ZEROS = re.compile(r"(&#[xX]?)0+(?=[0-9a-fA-F])")
_HUGE = re.compile(r"&#(?:[0-9]{8,}+|[xX][0-9a-fA-F]{8,}+);?")
_TARGET = re.compile(r"[\x00-\x20]*+(?:https?:)?[/\\]{2,}+([^/\\?#]*+)", re.IGNORECASE)
_NOT_IN_URL = re.compile(r"[\t\n\r]")  # https://url.spec.whatwg.org/#concept-basic-url-parser
_LONGEST_DOMAIN: Final = 253
_LONGEST_STYLE: Final = 2_000


def reduce_html(page: str) -> Iterator[str]:
    """Yield the lines of a page one by one, as they would be seen without images. They are hostile.

    The target of a link follows its text as a domain, if the text does not name that: `Pay (evil.example)`.
    """
    return _Reduction(page).lines()


class _Reduction:
    def __init__(self, page: str) -> None:
        self._page = page
        self._line: list[str] = []
        self._pre = 0  # levels of elements that keep their line ends
        self._hidden = ""  # the element that hides what is in it
        self._levels = 0  # of elements of that name in it
        self._target = ""  # the domain of the link that is open
        self._since = 0  # where its text begins in the line

    def lines(self) -> Iterator[str]:
        place = 0
        while match := _TOKEN.match(self._page, place):
            place = match.end()
            if name := match["name"]:
                name = name.lower()
                if not self._hidden and name not in _ACTIVE and (match["end"] or not match["attributes"]):
                    continue
                if match["end"]:
                    yield from self._end(name)
                    continue
                yield from self._start(name, match["attributes"])
                if name in _RAW:
                    begin, place = place, self._end_of_raw(name, place)
                    if name not in _NOT_SHOWN:
                        yield from self._text(unescaped(self._page[begin:place]))
                elif name == "plaintext":
                    yield from self._text(self._page[place:])
                    break
            elif said := match["text"] or match["sign"]:
                yield from self._text(unescaped(said))
        self._close_link()
        yield from self._break()

    # --- Elements ---

    def _start(self, name: str, attributes: str) -> Iterator[str]:
        if self._hidden:
            if not self._ends_hidden(name):
                self._levels += name == self._hidden
                return
            self._hidden = ""
        said = dict(_read(attributes)) if attributes else {}
        if name not in _VOID and name not in _RAW and _is_hidden(name, said):
            self._hidden, self._levels = name, 1
        yield from self._boundary(name)
        if self._hidden:
            return
        match name:
            case "a":
                self._close_link()
                self._target, self._since = _domain(said.get("href", "")), len(self._line)
            case "img":
                yield from self._text(f" {said.get('alt', '')} ")
            case "li":
                self._line.append("- ")
            case "pre":
                self._pre += 1

    def _end(self, name: str) -> Iterator[str]:
        if self._hidden:
            self._levels -= name == self._hidden
            if not self._levels:
                self._hidden = ""
            return
        match name:
            case "a":
                self._close_link()
            case "pre":
                self._pre = max(0, self._pre - 1)
        yield from self._boundary(name)

    def _ends_hidden(self, name: str) -> bool:
        """Return whether an element that is hidden ends where this one begins, without an end tag."""
        if self._hidden == "p":
            return name in _LINES and name != "br"
        return name in _NEXT.get(self._hidden, ())

    def _boundary(self, name: str) -> Iterator[str]:
        if name in _CELLS:
            self._line.append(" ")
        elif name in _LINES:
            yield from self._break()
            if name in _PARAGRAPHS:
                yield ""

    def _end_of_raw(self, name: str, place: int) -> int:
        """Return the place of the end tag of an element whose content is not markup."""
        closed = _CLOSED[name].search(self._page, place)
        return closed.start() if closed else len(self._page)

    # --- Text ---

    def _text(self, text: str) -> Iterator[str]:
        if self._hidden:
            return
        if self._pre:
            *whole, text = text.split("\n")
            for each in whole:
                self._line.append(each)
                yield from self._break()
        self._line.append(_BLANKS.sub(" ", text))

    def _break(self) -> Iterator[str]:
        if self._line:
            yield "".join(self._line)
            self._line = []
            self._since = 0

    def _close_link(self) -> None:
        if self._target and self._target not in "".join(self._line[self._since :]).lower():
            self._line.append(f" ({self._target})")
        self._target = ""


def unescaped(text: str) -> str:
    """Return a text with its character references resolved."""
    if "&" not in text:
        return text
    if "&#" in text:  # html.unescape fails for a number of thousands of digits
        text = _HUGE.sub("\ufffd", _ZEROS.sub(r"\1", text))
    return html.unescape(text)


def _read(attributes: str) -> Iterator[tuple[str, str]]:
    """Yield the attributes of a tag, the last first, so that of two alike the first counts."""
    found = _ATTRIBUTES.findall(attributes)
    for name, *values in reversed(found):
        yield name.lower(), unescaped("".join(values))


def _is_hidden(name: str, attributes: dict[str, str]) -> bool:
    if name == "template" or "hidden" in attributes:
        return True
    style = _BLANKS.sub("", attributes.get("style", "")[:_LONGEST_STYLE]).lower()
    return _HIDDEN.search(style) is not None


def _domain(target: str) -> str:
    """Return the domain of a link to the web as it is compared, or as it stands; "" for any other link."""
    if (found := _TARGET.match(_NOT_IN_URL.sub("", target))) is None:
        return ""
    domain = found[1].rpartition("@")[2].partition(":")[0].strip().lower()[:_LONGEST_DOMAIN]
    try:
        return normalise_domain(domain)
    except InvalidDomain:
        return domain
