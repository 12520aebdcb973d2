"""Tables for a person and for a program.

On a terminal, a table fits its width: ids, addresses and times stay whole, and sentences are wrapped. If that
leaves too little room for them, each row is a block, one line per column. Anywhere else, a row is one line,
with tabs between its columns, so that grep and cut find what they look for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.words import moment

_GAP = 2
_NARROWEST = 24  # columns in which a sentence can still be read
_LONGEST_WORD = 40  # a longer one may be broken: only a stranger writes it

SENTENCES = frozenset({"detail", "error", "mailboxes", "note", "sender", "subject"})
"""The columns that may be wrapped; every other value is an id, an address, a time or a word."""


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The cells of a table as text, under the names of its columns."""

    columns: Sequence[str]
    cells: Sequence[Sequence[str]]

    def widths(self) -> dict[str, int]:
        """Return how wide each column is if nothing is wrapped."""
        return {name: max(map(cell_len, (name, *self._of(name)))) for name in self.columns}

    def narrowest(self, name: str) -> int:
        """Return how narrow a column may become: of a sentence, as its longest word."""
        words = (word for text in self._of(name) for word in text.split())
        if name not in SENTENCES:
            return max(map(cell_len, (name, *self._of(name))))
        return max(_NARROWEST, min(_LONGEST_WORD, max(map(cell_len, words), default=0)))

    def _of(self, name: str) -> Sequence[str]:
        place = self.columns.index(name)
        return [cells[place] for cells in self.cells]


def show(console: Console, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows; nothing if there are none. A column without a value is left out.

    The values may come from strangers: no value can control the terminal or begin a row.
    """
    found = [[cell(row.get(name)) for name in columns] for row in rows]
    if not console.is_terminal:
        for cells in found:  # all columns: their places must not depend on the rows
            print("\t".join(cells), file=console.file)
        return
    used = [place for place in range(len(columns)) if any(cells[place] for cells in found)]
    sheet = _Sheet([columns[place] for place in used], [[cells[place] for place in used] for cells in found])
    if not sheet.columns:
        return
    widths = _fitted(sheet, console.width)
    if widths is None:
        _print_blocks(console, sheet)
    else:
        console.print(_table(sheet, widths))


def cell(value: object) -> str:
    """Return a value as one line of plain text."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case set() | frozenset():
            return ", ".join(sorted(map(cell, value)))
        case list() | tuple():
            return ", ".join(map(cell, value))
        case _:
            return moment(value)


def _fitted(sheet: _Sheet, room: int) -> Mapping[str, int] | None:
    """Return the width of each column; None if the table would not be readable."""
    widths = sheet.widths()
    least = {name: min(width, sheet.narrowest(name)) for name, width in widths.items()}
    excess = sum(widths.values()) + _GAP * (len(widths) - 1) - room
    if excess > sum(widths.values()) - sum(least.values()):
        return None
    for _ in range(excess):  # from the widest, so that all sentences get about the same room
        name = max((name for name in widths if widths[name] > least[name]), key=widths.__getitem__)
        widths[name] -= 1
    return widths


def _table(sheet: _Sheet, widths: Mapping[str, int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for name in sheet.columns:
        table.add_column(
            name.replace("_", " "), width=widths[name], no_wrap=name not in SENTENCES, overflow="fold"
        )
    for cells in sheet.cells:
        table.add_row(*map(Text, cells))
    return table


def _print_blocks(console: Console, sheet: _Sheet) -> None:
    """Print one line per column and an empty line between rows; a sentence continues below itself."""
    indent = max(map(len, sheet.columns)) + _GAP
    for number, cells in enumerate(sheet.cells):
        if number:
            console.print()
        for name, text in zip(sheet.columns, cells, strict=True):
            if not text:
                continue
            shown = Text(text)  # an id is not wrapped, so that it can be copied whole
            if name in SENTENCES:
                lines = shown.wrap(console, max(_NARROWEST, console.width - indent), overflow="fold")
                shown = Text(f"\n{' ' * indent}").join(lines)
            label = name.replace("_", " ").ljust(indent)
            console.print(Text.assemble((label, "bold"), shown), soft_wrap=True)
