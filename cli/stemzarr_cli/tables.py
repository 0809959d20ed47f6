"""Documents, axes, facts and entries as tables that a person reads, on any width of terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from stemzarr_catalog.wording import format_value, label
from stemzarr_cli.text import format_bytes, format_number, format_shape, printable

if TYPE_CHECKING:
    from stemzarr_catalog.alike import Alike
    from stemzarr_catalog.search import Brief

__all__ = [
    "FactList",
    "Listing",
    "alike_table",
    "axes_table",
    "documents_table",
    "entries_table",
    "nbytes",
    "plan_table",
    "sessions_table",
]

_GAP = 3
_FACT_GAP = 2


class Listing:
    """A table that leaves columns out where the terminal is too narrow for them.

    Parameters
    ----------
    rows
        Text by column, the same columns in every row; it is made safe for the terminal.
    dispensable
        Columns that may be left out, the first to go first.
    marked
        Number of the row that stands out.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, str]],
        *,
        dispensable: Sequence[str] = (),
        marked: int | None = None,
    ) -> None:
        self._rows = [{column: printable(cell) for column, cell in row.items()} for row in rows]
        self._dispensable = dispensable
        self._marked = marked

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the columns that fit; text of the first one is wrapped where even they do not."""
        columns = self._fitting(options.max_width)
        widths = [self._width(column) for column in columns]
        if sum(widths) + _GAP * (len(columns) - 1) <= options.max_width:
            yield from self._lines(columns, widths)
            return
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for number, column in enumerate(columns):
            table.add_column(column, overflow="fold", no_wrap=0 < number < len(columns) - 1)
        for number, row in enumerate(self._rows):
            style = "bold" if number == self._marked else None
            table.add_row(*(Text(row[column]) for column in columns), style=style)
        yield table

    def _lines(self, columns: Sequence[str], widths: Sequence[int]) -> Iterator[Segment]:
        """Draw what needs no folding as rich's table does, in a tenth of its time."""
        bold = Style(bold=True)
        yield Segment(_aligned(columns, widths).rstrip(" "), bold)
        yield Segment("\n" + "─" * (sum(widths) + _GAP * (len(widths) - 1)) + "\n")
        for number, row in enumerate(self._rows):
            line = _aligned([row[column] for column in columns], widths).rstrip(" ")
            yield Segment(line, bold if number == self._marked else None)
            yield Segment("\n")

    def _fitting(self, width: int) -> list[str]:
        columns = list(self._rows[0]) if self._rows else []
        empty = [column for column in columns if not any(row[column] for row in self._rows)]
        columns = [column for column in columns if column not in empty]
        for column in self._dispensable:
            if sum(map(self._width, columns)) + _GAP * (len(columns) - 1) <= width:
                break
            if column in columns:
                columns.remove(column)
        return columns

    def _width(self, column: str) -> int:
        return max(cell_len(column), *(cell_len(row[column]) for row in self._rows))


def _aligned(cells: Iterable[str], widths: Iterable[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    return (" " * _GAP).join(cell + " " * (width - cell_len(cell)) for cell, width in pairs)


def nbytes(document: Mapping[str, Any]) -> int:
    """Return the bytes of a document's pixels from its JSON form."""
    import numpy as np

    return int(math.prod(document["shape"]) * np.dtype(document["dtype"]).itemsize)


def documents_table(documents: Sequence[Mapping[str, Any]], main: str) -> Listing:
    """Return one row for each document; the main one, given by its slug, stands out."""
    slugs = [document["slug"] for document in documents]
    rows = [
        {
            "document": f"{'→' if document['slug'] == main else ' '} {document['slug']}",
            "kind": document["kind"],
            "shape": format_shape(document["shape"]),
            "dtype": document["dtype"],
            "size": format_bytes(nbytes(document)),
            "title": document["title"],
        }
        for document in documents
    ]
    return Listing(rows, dispensable=("title", "size", "dtype"), marked=slugs.index(main))


def _axis_range(axis: Mapping[str, Any]) -> str:
    """Return where an axis begins and ends, in its units."""
    first = axis["offset"]
    last = first + (axis["size"] - 1) * axis["scale"]
    return f"{format_number(float(first))} … {format_number(float(last))}"


def axes_table(axes: Iterable[Mapping[str, Any]]) -> Listing:
    """Return one row for each axis: length, step, range, units."""
    rows = [
        {
            "axis": axis["name"],
            "pixels": str(axis["size"]),
            "step": format_number(float(axis["scale"])),
            "from … to": _axis_range(axis),
            "units": axis["units"] + ("" if axis["calibrated"] else " (not calibrated)"),
        }
        for axis in axes
    ]
    return Listing(rows, dispensable=("from … to",))


class FactList:
    """Name and value of each fact, the unit beside the value instead of in the name.

    Parameters
    ----------
    facts
        Names and values; a long one goes on below itself.
    """

    def __init__(self, facts: Iterable[tuple[str, Any]]) -> None:
        self._rows = [
            (printable(label(name)), printable(format_value(name, value))) for name, value in facts
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw them without blanks at the ends of lines."""
        width = max((cell_len(name) for name, _ in self._rows), default=0)
        rest = max(1, options.max_width - width - _FACT_GAP)
        for name, value in self._rows:
            start = name + " " * (width + _FACT_GAP - cell_len(name))
            for line in Text(value).wrap(console, rest, overflow="fold") or [Text("")]:
                yield Segment(start, Style(dim=True))
                yield Segment(f"{line.plain.rstrip()}\n")
                start = " " * len(start)


def plan_table(arrays: Iterable[Mapping[str, Any]]) -> Listing:
    """Return one row for each array of a store that is planned."""
    rows = [
        {
            "array": array["path"],
            "shape": format_shape(array["shape"]),
            "dtype": array["dtype"],
            "size": format_bytes(array["nbytes"]),
            "chunk": format_shape(array["chunk"]),
            "bytes": format_bytes(array["chunk_bytes"]),
            "shard": format_shape(array["shard"]),
            "shards": str(array["shards"]),
        }
        for array in arrays
    ]
    return Listing(rows, dispensable=("dtype", "shard", "bytes", "size", "shape"))


def entries_table(entries: Iterable[Brief]) -> Listing:
    """Return one row for each entry of a lake."""
    rows = [
        {
            "name": entry.name,
            "kind": entry.kind,
            "shape": format_shape(entry.shape),
            "state": "" if entry.complete else "incomplete",
            "dtype": entry.dtype,
            "source": format_bytes(entry.size),
            "acquired": format_value("acquired", entry.acquired),
            "tags": ", ".join(entry.tags),
            "title": entry.title,
            "folder": entry.folder,
        }
        for entry in entries
    ]
    hidden = ("folder", "title", "tags", "dtype", "source", "acquired", "shape", "kind")
    return Listing(rows, dispensable=hidden)


def alike_table(found: Iterable[Alike]) -> Listing:
    """Return one row for each scan that resembles a pattern."""
    rows = [
        {
            "name": alike.entry.name,
            "likeness": f"{alike.likeness:.3f}",
            "at": f"{alike.at[0]},{alike.at[1]}",
            "mean pattern": f"{alike.mean_likeness:.3f}",
            "shape": format_shape(alike.entry.shape),
            "title": alike.entry.title,
        }
        for alike in found
    ]
    return Listing(rows, dispensable=("title", "shape", "mean pattern"))


def sessions_table(sessions: Iterable[Mapping[str, Any]]) -> Listing:
    """Return one row for each day of one person at one instrument."""
    rows = [
        {
            "day": session["day"] or "not known",
            "instrument": session["instrument"] or "",
            "operator": session["operator"] or "",
            "entries": str(session["entries"]),
            "size": format_bytes(session["size"]),
            "specimens": ", ".join(session["specimens"]),
        }
        for session in sessions
    ]
    return Listing(rows, dispensable=("specimens", "size"))
