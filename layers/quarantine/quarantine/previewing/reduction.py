"""HTML as text. The parser reads only what it is given: it has no network and no external entities."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from justhtml import Node

MOST_HTML: Final = 256 * 1024
"""Characters of HTML that are read: the text that is shown stands in the first few."""

_LONGEST_TARGET = 80
_UNSEEN = "head, title, style, script, noscript, template, object, svg, math"


def reduced(html: str) -> str:
    """Return the text of an HTML part, a line for each block; after a link, the address that it leads to."""
    # Imported here: it takes half as long as all else that act imports, and most actions show no HTML.
    from justhtml import CollapseWhitespace, Drop, Edit, JustHTML  # noqa: PLC0415

    document = JustHTML(
        html[:MOST_HTML], transforms=[Drop(_UNSEEN), Edit("a[href]", _name_target), CollapseWhitespace()]
    )
    return document.to_text(separator="\n", strip=False, separator_blocks_only=True)


def _name_target(node: "Node") -> None:
    from justhtml import Text  # noqa: PLC0415

    target = str((node.attrs or {}).get("href") or "").strip()
    if target and not target.startswith("#") and target not in node.to_text():
        node.append_child(Text(f" <{target[:_LONGEST_TARGET]}{'…' * (len(target) > _LONGEST_TARGET)}>"))
