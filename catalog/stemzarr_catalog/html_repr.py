"""What a notebook shows of a lake, a list of entries, and an entry."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stemzarr_catalog.pictures import read_pictures, render_png, to_base64
from stemzarr_catalog.salvaging import count_recovered
from stemzarr_catalog.wording import (
    RECTANGLE,
    format_bytes,
    format_recovered,
    format_rectangle,
    format_value,
    label,
)

if TYPE_CHECKING:
    from stemzarr_catalog.entry import Entry

__all__ = ["entries_html", "entry_html", "lake_html"]

_ROWS = 20
_PICTURE, _SMALL_PICTURE = 192, 48
_SHORT = 24
"""Characters up to which a text stays on one line."""
_FACTS = ("specimen", "beam_energy_keV", "camera_length_mm", "acquired")
_TABLE = '<table style="table-layout:auto;width:auto">'
_STYLE = "font-family:system-ui,sans-serif;font-size:13px;text-align:left"


def _cell(value: object, tag: str = "td") -> str:
    style = "padding:2px 16px 2px 0;text-align:left;vertical-align:middle"
    if len(str(value)) <= _SHORT:
        style += ";white-space:nowrap"
    return f'<{tag} style="{style}">{html.escape(str(value))}</{tag}>'


def _table(rows: Iterable[Sequence[object]]) -> str:
    lines = ("".join((_cell(row[0], "th"), *map(_cell, row[1:]))) for row in rows)
    return _TABLE + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _pictures(entry: Entry, size: int) -> str:
    images = (
        f'<img alt="{html.escape(picture.name)}" title="{html.escape(picture.name)}"'
        f' src="data:image/png;base64,{to_base64(render_png(picture, size))}"'
        # Notebooks let pictures shrink with their column, which here is as wide as they are.
        f' style="display:inline-block;margin:0 6px 0 0;height:{size}px;width:auto;max-width:none;'
        'image-rendering:pixelated">'
        for picture in read_pictures(entry.path, size)
    )
    return "".join(images)


def _sizes(record: Mapping[str, Any]) -> str:
    pairs = zip(record["dims"], record["shape"], strict=True)
    return ", ".join(f"{dim}: {size}" for dim, size in pairs)


def _stored(entry: Entry) -> str:
    size, stored = entry.source.get("size"), entry.stored_bytes
    return f"{format_bytes(size or 0)}" + (f", stored in {format_bytes(stored)}" if stored else "")


def _recovered(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield how much of a source that ends early was recovered."""
    found = count_recovered(entry.path) if entry.facts.get("complete") == 0 else None
    if found is not None:
        yield "recovered", format_recovered(found)


def entry_html(entry: Entry) -> str:
    """Return an entry as HTML: pictures, facts, axes, source, notes; all text escaped."""
    notes = entry.notes
    axes = [
        (axis["name"], f"{axis['size']} × {axis['scale']:.6g} {axis['units']}")
        for axis in entry.document["axes"]
    ]
    others = [
        (document["slug"], f"{document['kind']}: {document['title']} ({_sizes(document)})")
        for document in entry.documents
        if not document["main"]
    ]
    source = entry.source
    facts = entry.facts
    scanned = format_rectangle(facts)
    rows: list[Sequence[object]] = [
        *_recovered(entry),
        *(
            (label(name), format_value(name, value))
            for name, value in facts.items()
            if name not in ("survey_document", *RECTANGLE)
        ),
        *((("scanned", scanned),) if scanned else ()),
        *axes,
        *others,
        ("source", f"{source.get('name')} ({source.get('format')}, {_stored(entry)})"),
        ("store", entry.path),
    ]
    if notes.tags:
        rows.append(("tags", ", ".join(notes.tags)))
    if notes.remark:
        rows.append(("remark", notes.remark))
    rows += notes.fields.items()
    head = f"{entry.kind} ({_sizes(entry.document)}) {entry.dtype}"
    return (
        f'<div style="{_STYLE}"><b>{html.escape(entry.name)}</b> {html.escape(head)}<br>'
        f'<div style="margin:6px 0">{_pictures(entry, _PICTURE)}</div>{_table(rows)}</div>'
    )


def entries_html(entries: Sequence[Entry], *, total: int | None = None) -> str:
    """Return entries as an HTML table with small pictures, the first ones of a long list."""
    shown = entries[:_ROWS]
    rest = (len(entries) if total is None else total) - len(shown)
    facts = [name for name in _FACTS if any(name in entry.facts for entry in shown)]
    partly = any(entry.facts.get("complete") == 0 for entry in shown)
    state = ("state",) if partly else ()
    titles = ("name", "", "kind", "shape", "dtype", *state, *map(label, facts))
    head = "".join(_cell(title, "th") for title in titles)
    lines = []
    for entry in shown:
        shape = "×".join(map(str, entry.shape))
        values = [
            format_value(key, entry.facts[key]) if key in entry.facts else "" for key in facts
        ]
        marks = ("incomplete" if entry.facts.get("complete") == 0 else "",) if partly else ()
        cells = "".join(map(_cell, (entry.kind, shape, entry.dtype, *marks, *values)))
        style = "white-space:nowrap;text-align:left"
        pictures = f'<td style="{style}">{_pictures(entry, _SMALL_PICTURE)}</td>'
        lines.append(f"<tr>{_cell(entry.name, 'th')}{pictures}{cells}</tr>")
    more = f"<p>and {rest} more</p>" if rest > 0 else ""
    table = f"{_TABLE}<tr>{head}</tr>{''.join(lines)}</table>"
    return f'<div style="{_STYLE};overflow-x:auto">{table}{more}</div>'


def lake_html(path: str, count: int, kinds: Mapping[Any, int], first: Sequence[Entry]) -> str:
    """Return a lake as HTML: what it holds by kind, and its first entries."""
    parts = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    entries = "1 entry" if count == 1 else f"{count:,} entries"
    head = f"<b>Lake</b> {html.escape(path)}: {entries} ({html.escape(parts)})"
    return f'<div style="{_STYLE}">{head}</div>{entries_html(first, total=count)}'
