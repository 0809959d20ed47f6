"""Documents, axes and facts as tables that a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from stemzarr_cli.text import format_bytes, format_number, format_shape, printable

__all__ = [
    "axes_table",
    "documents_table",
    "entries_table",
    "facts_table",
    "nbytes",
    "plan_table",
    "sessions_table",
]

_MINUTES = len("2026-11-22T12:00")
_WIDE = 90
_UNITS = {
    "_keV": "keV",
    "_mm": "mm",
    "_mrad": "mrad",
    "_ms": "ms",
    "_s": "s",
    "_nA": "nA",
    "_deg": "°",
}


def _table(*columns: str, header: bool = True) -> Table:
    style = box.SIMPLE_HEAD if header else None
    table = Table(box=style, show_header=header, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def nbytes(document: Mapping[str, Any]) -> int:
    """Return the bytes of a document's pixels from its JSON form."""
    import numpy as np

    count = 1
    for size in document["shape"]:
        count *= size
    return count * int(np.dtype(document["dtype"]).itemsize)


def documents_table(documents: Sequence[Mapping[str, Any]], main: str, width: int) -> Table:
    """Return one row for each document; the main one is marked.

    Parameters
    ----------
    documents, main
        The documents, and the slug of the main one.
    width
        Columns of the terminal; titles are left out where there is no room for them.
    """
    titles = ("title",) if width >= _WIDE else ()
    table = _table("", "document", "kind", "shape", "dtype", "size", *titles)
    for column in table.columns[2:6]:
        column.no_wrap = True
    for document in documents:
        is_main = document["slug"] == main
        table.add_row(
            "→" if is_main else "",
            Text(printable(document["slug"])),
            document["kind"],
            format_shape(document["shape"]),
            document["dtype"],
            format_bytes(nbytes(document)),
            *((Text(printable(document["title"])),) if titles else ()),
            style="bold" if is_main else None,
        )
    return table


def _axis_range(axis: Mapping[str, Any]) -> str:
    """Return where an axis begins and ends, in its units."""
    first = axis["offset"]
    last = first + (axis["size"] - 1) * axis["scale"]
    return f"{format_number(float(first))} … {format_number(float(last))}"


def axes_table(axes: Iterable[Mapping[str, Any]]) -> Table:
    """Return one row for each axis: length, step, range, units."""
    table = _table("axis", "pixels", "step", "from … to", "units")
    for axis in axes:
        units = printable(axis["units"]) + ("" if axis["calibrated"] else " (not calibrated)")
        table.add_row(
            Text(printable(axis["name"])),
            str(axis["size"]),
            format_number(float(axis["scale"])),
            _axis_range(axis),
            Text(units),
        )
    return table


def facts_table(facts: Mapping[str, Any]) -> Table:
    """Return name and value of each fact, the unit beside the value instead of in the name."""
    table = _table("fact", "value", header=False)
    for name, value in facts.items():
        ending = next((end for end in _UNITS if name.endswith(end)), "")
        label = name.removesuffix(ending).replace("_", " ")
        unit = f" {_UNITS[ending]}" if ending else ""
        table.add_row(Text(printable(label), style="dim"), Text(format_number(value) + unit))
    return table


def plan_table(arrays: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row for each array of a store that is planned."""
    table = _table("array", "shape", "dtype", "size", "chunk", "shard", "shards")
    for array in arrays:
        table.add_row(
            Text(printable(array["path"])),
            format_shape(array["shape"]),
            array["dtype"],
            format_bytes(array["nbytes"]),
            f"{format_shape(array['chunk'])} ({format_bytes(array['chunk_bytes'])})",
            format_shape(array["shard"]),
            str(array["shards"]),
        )
    return table


def entries_table(entries: Iterable[Mapping[str, Any]]) -> Table:
    """Return one row for each entry of a lake."""
    listed = list(entries)
    dated = ("acquired",) if any("acquired" in entry["facts"] for entry in listed) else ()
    table = _table("name", "kind", "shape", "dtype", "source", *dated, "title")
    for column in table.columns[1:-1]:
        column.no_wrap = True
    for entry in listed:
        size = entry["source"].get("size")
        table.add_row(
            Text(printable(entry["name"]), style="bold"),
            entry["kind"],
            format_shape(entry["shape"]),
            entry["dtype"],
            "" if size is None else format_bytes(size),
            *(Text(printable(entry["facts"].get("acquired", ""))[:_MINUTES]) for _ in dated),
            Text(printable(entry["title"])),
        )
    return table


def sessions_table(sessions: Iterable[Mapping[str, Any]]) -> Table:
    """Return one row for each day of one person at one instrument."""
    table = _table("day", "instrument", "operator", "entries", "size", "specimens")
    for session in sessions:
        table.add_row(
            session["day"] or "not known",
            Text(printable(session["instrument"] or "")),
            Text(printable(session["operator"] or "")),
            str(session["entries"]),
            format_bytes(session["size"]),
            Text(printable(", ".join(session["specimens"]))),
        )
    return table
