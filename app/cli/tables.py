"""Tables for people: an id is never cut or broken, and a narrow screen gets fewer columns, not narrower ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2
"""Spaces between two columns."""
LEAST_TEXT = 20
"""Below this width a column of texts is left out rather than shown."""
FILE_WIDTH = 200
"""The width of an output that is no screen and has no COLUMNS."""
STATUS_STYLE = {
    "completed": "green",
    "failed": "red",
    "running": "cyan",
    "queued": "yellow",
    "needs_review": "magenta",
    "cancelled": "dim",
    "paused": "blue",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    rank: int = 0
    """0 is always shown; of the others those with the highest number go first when there is no room."""
    text: bool = False
    """Whether its cells may run over several lines."""


def console() -> Console:
    """Standard output for people."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else FILE_WIDTH
    return Console(width=width, highlight=False, emoji=False)


def printable(text: str) -> str:
    """The text with everything written out that a terminal would obey or could not show."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode("ascii") for char in text
    )


def _width(title: str, cells: Iterable[str]) -> int:
    return max(map(cell_len, (title, *(line for cell in cells for line in cell.split("\n")))))


def fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The numbers of the columns to show, without those that are empty in every row.

    Returns:
        Those that fit into `width`; None if even the columns of rank 0 do not.
    """
    kept = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    widths = {number: _width(columns[number].title, (row[number] for row in rows)) for number in kept}
    needed = {number: min(widths[number], LEAST_TEXT) if columns[number].text else widths[number] for number in kept}
    while sum(needed[number] + GAP for number in kept) - GAP > width:
        leaves = max(kept, key=lambda number: (columns[number].rank, number))
        if columns[leaves].rank == 0:
            return None
        kept.remove(leaves)
    return kept


def table(title: str, columns: Sequence[Column | str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table. Cells are shown as they are, never read as markup; without any row, one line says so.

    Where the most important columns have no room side by side, each row is printed as lines of its own.
    """
    heads = [Column(column) if isinstance(column, str) else column for column in columns]
    cells = [["" if value is None else printable(str(value)) for value in row] for row in rows]
    out = console()
    if not cells:
        out.print(Text(f"{title}: none"))
        return
    out.print(Text(title, style="bold"))
    kept = fitting(heads, cells, out.width)
    if kept is None:
        _print_lines(out, heads, cells)
        return
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold")
    for number in kept:
        made.add_column(heads[number].title, overflow="fold", no_wrap=not heads[number].text)
    for row in cells:
        made.add_row(*(_styled(row[number]) for number in kept))
    out.print(made)
    gone = [head.title for number, head in enumerate(heads) if number not in kept and any(row[number] for row in cells)]
    if gone:
        out.print(Text(f"no room for: {', '.join(gone)}; widen the screen, or take --json", style="dim"))
    out.print()


def _print_lines(out: Console, heads: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
    for row in cells:
        for head, cell in zip(heads, row, strict=True):
            if cell:
                out.print(Text.assemble(f"{head.title}: " if head.title else "", _styled(cell)), soft_wrap=True)
        out.print()


def _styled(cell: str) -> Text:
    return Text(cell, style=STATUS_STYLE.get(cell, ""))
