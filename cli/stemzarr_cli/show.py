"""``stemzarr show``: one entry, seen closely."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemzarr.errors import EntryNotFoundError, OptionError
from stemzarr_catalog.wording import (
    RECTANGLE,
    format_recovered,
    format_rectangle,
    format_value,
    label,
)
from stemzarr_cli.command import Command, any_lake_option
from stemzarr_cli.completing import complete_sources
from stemzarr_cli.parameters import POSITION
from stemzarr_cli.places import find_record
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_bytes, format_path, printable

if TYPE_CHECKING:
    from stemzarr_catalog.pictures import Picture

_GAP = 2
_MOST_ROWS = 24
_LEAST_ROWS = 8
_ROWS_BELOW = 4
_LEAST_COLUMNS = 24


@click.command(cls=Command)
@click.argument("name", shell_complete=complete_sources)
@click.option(
    "--metadata",
    is_flag=False,
    flag_value="",
    metavar="[PATH|WORD]",
    help="Print the tag tree of the source, the part of it at PATH, or all tags with WORD in them.",
)
@click.option("--at", type=POSITION, help="Show the pattern at this scan position instead.")
@any_lake_option
@click.pass_obj
def show(
    report: Report,
    /,
    *,
    name: str,
    metadata: str | None,
    at: tuple[int, int] | None,
    lake: Path | None,
) -> None:
    """Show one entry: facts, axes, pictures, metadata.

    Bright field and mean diffraction, or the image or spectrum, are drawn in the terminal. NAME
    is a name in the lake or the path of a store. Options follow it:
    'stemzarr show scan --metadata ImageList/1'.
    """
    path, record = find_record(name, lake)
    if at is not None and metadata is not None:
        raise OptionError("--at and --metadata exclude each other", hint="leave one of them out")
    if at is not None:
        _show_pattern(report, path, at)
    elif metadata is None:
        report.result(record, lambda: _draw(report, path, record))
    else:
        _show_metadata(report, path, metadata)


def _draw(report: Report, path: Path, record: Mapping[str, Any]) -> None:
    from rich.text import Text

    from stemzarr_cli.tables import FactList, axes_table, documents_table

    main = next(document for document in record["documents"] if document["main"])
    report.show(
        Text.assemble((printable(record["name"]), "bold"), f"  {printable(record['title'])}"),
        Text(format_path(record["store"]), style="dim"),
        "",
        documents_table(record["documents"], main["slug"]),
        "",
        axes_table(main["axes"]),
        "",
        FactList(_facts(path, record).items()),
    )
    for note in record["source"].get("notes") or ():
        report.say_wrapped(f"note: {note}", fg="yellow")
    _draw_pictures(report, path)


def _facts(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a person wants to know: the acquisition, then where the store came from."""
    source = record["source"]
    ingest = source.get("ingest") or {}
    facts = record["facts"]
    apart = ("complete", "survey_document", *RECTANGLE)
    known = {
        **{name: value for name, value in facts.items() if name not in apart},
        "scanned": format_rectangle(facts),
        "complete": facts.get("complete"),
        "recovered": _recovered(path, record),
        "source": format_path(source.get("path") or source.get("name")),
        "size": _sizes(source.get("size"), record.get("stored_bytes")),
        "codec": (ingest.get("options") or {}).get("codec"),
        "pixels": _bad_pixels(path, record),
        "central disk": _disk(path),
        "layout": (source.get("layout") or {}).get("order"),
        "ingested": ingest.get("finished"),
        "original can be rebuilt": "yes" if source.get("rebuildable") else "no",
        **_notes(record.get("notes") or {}),
        "results": ", ".join(found["name"] for found in record.get("results") or ()),
        **_revisions(source.get("revisions") or ()),
    }
    return {name: value for name, value in known.items() if value not in (None, "")}


def _recovered(path: Path, record: Mapping[str, Any]) -> str | None:
    """Say how much of a source that ends early was recovered."""
    from stemzarr_catalog.salvaging import count_recovered

    found = count_recovered(path) if record["facts"].get("complete") == 0 else None
    return format_recovered(found) if found else None


def _bad_pixels(path: Path, record: Mapping[str, Any]) -> str | None:
    """Return how many pixels the file names as bad, and how many of which kind were found."""
    from stemzarr.measure.bad_pixels import BAD_PIXELS, KINDS_OF_BAD
    from stemzarr.registry import read_source

    main = next(document for document in record["documents"] if document["main"])
    named = main.get("bad_pixels") or 0  # an index of an older version does not have it
    measured = read_source(path).document.measured
    if measured is None or BAD_PIXELS not in measured.names:
        return f"{named} bad" if named else None
    kinds = measured.load(BAD_PIXELS)
    counts = {name: int((kinds == kind).sum()) for name, kind in KINDS_OF_BAD.items()}
    listed = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"{sum(counts.values())} bad: {listed}" if listed else None


def _disk(path: Path) -> str | None:
    """Say where the central disk was found, and which radii the previews use, in pixels."""
    from stemzarr.store.format.tree import read_nodes

    disk = read_nodes(path).get("preview", {}).get("attributes", {}).get("disk")
    if not isinstance(disk, Mapping):
        return None
    bright = (disk.get("bright_field_inner", 0.0), disk.get("bright_field_outer", disk["radius"]))
    dark = (disk["annulus_inner"], disk.get("annular_dark_field_outer"))
    ends = [_reach(*radii) for radii in (bright, dark)]
    how = "at" if disk.get("found") else "not found, taken at"
    place = f"({disk['center_y']:.1f}, {disk['center_x']:.1f}), radius {disk['radius']:.1f} pixels"
    return f"{how} {place}; bright field {ends[0]}, annular dark field {ends[1]}"


def _reach(inner: float, outer: float | None) -> str:
    """Say from which radius to which pixels count."""
    to = "to the edge" if outer is None else f"to {outer:.1f}"
    return f"{inner:.1f} {to}" if inner else f"up {to}"


def _revisions(revisions: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return what was revised, when, and from what; the latest first."""
    found = {}
    for revision in reversed(list(revisions)):
        what = ", ".join(
            f"{label(change['fact'])} {_value(change, 'before')} → {_value(change, 'after')}"
            for change in revision.get("changes") or ()
        )
        when = format_value("ingested", revision["at"])
        if revision.get("redacted"):
            what = "redacted"
        if "undone" in revision:
            what = f"{what} (undone {format_value('ingested', revision['undone'])})"
        found[f"revised {when}"] = what
    return found


def _value(change: Mapping[str, Any], which: str) -> str:
    value = change[which]
    return "not known" if value is None else format_value(change["fact"], value)


def _notes(notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what people added, and where exports went."""
    return {
        "tags": ", ".join(notes.get("tags", ())),
        "remark": notes.get("remark"),
        **notes.get("fields", {}),
        "formerly": ", ".join(notes.get("formerly", ())),
        "exports": ", ".join(str(export.get("dest")) for export in notes.get("exports", ())),
    }


def _sizes(source: int | None, stored: int | None) -> str | None:
    if not source or not stored:
        return None
    return f"{format_bytes(source)} → {format_bytes(stored)} ({source / stored:.1f}×)"


def _draw_pictures(report: Report, path: Path) -> None:
    """Draw what the store looks like: pictures side by side, or one above the other."""
    if report.console.is_terminal:
        from stemzarr_catalog.pictures import read_pictures

        size = max(2 * _MOST_ROWS, report.console.width)
        _draw_side_by_side(report, read_pictures(path, size))


def _draw_side_by_side(report: Report, pictures: Sequence[Picture]) -> None:
    """Draw pictures where there is a terminal."""
    if not report.console.is_terminal:
        return
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    from stemzarr_cli.pictures import draw, draw_scale

    width = report.console.width
    beside = (width - _GAP) // 2
    columns = beside if beside >= _LEAST_COLUMNS else width
    rows = min(_MOST_ROWS, max(_LEAST_ROWS, report.console.height - _ROWS_BELOW))
    color = report.console.color_system is not None and not report.console.no_color
    drawn = [
        Group(
            Text(picture.name.replace("_", " "), style="dim"),
            draw(picture, rows=rows, columns=columns, color=color),
            *filter(None, [draw_scale(picture, rows=rows, columns=columns)]),
        )
        for picture in pictures
    ]
    if drawn:
        report.show("", Columns(drawn, padding=(0, _GAP)))


def _show_pattern(report: Report, path: Path, at: tuple[int, int]) -> None:
    """Say what a pattern counts, and draw it."""
    import numpy as np

    from stemzarr.registry import read_source
    from stemzarr.views.patterns import pattern
    from stemzarr_catalog.pictures import picture_of

    document = read_source(path).document
    values = pattern(document, *at).to_numpy()
    real = np.abs(values) if values.dtype.kind == "c" else values
    wide = real.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    record = {
        "at": list(at),
        "shape": list(values.shape),
        "dtype": values.dtype.name,
        "sum": float(finite.sum()),
        "min": float(finite.min(initial=np.inf)) if finite.size else None,
        "max": float(finite.max(initial=-np.inf)) if finite.size else None,
    }

    def draw() -> None:
        ends = f"{record['min']:g} to {record['max']:g}" if finite.size else "no finite value"
        report.say(f"pattern at {at[0]},{at[1]}: sum {record['sum']:g}, {ends}")
        size = max(2 * _MOST_ROWS, report.console.width)
        picture = picture_of("pattern", "pattern", wide, document.axes[3], size)
        _draw_side_by_side(report, [picture])

    report.result(record, draw)


def _show_metadata(report: Report, path: Path, wanted: str) -> None:
    from stemzarr.registry import read_source
    from stemzarr_cli.tagtree import draw_found, draw_tags, find_tag, search_tags

    tags = read_source(path).load_metadata()
    try:
        tree = find_tag(tags, wanted)
    except EntryNotFoundError:
        found = dict(search_tags(tags, wanted))
        if not found:
            raise
        report.result({"word": wanted, "tags": found}, lambda: report.show(draw_found(found)))
        return
    shown = wanted or path.stem
    report.result({"path": wanted, "value": tree}, lambda: report.show(draw_tags(tree, shown)))
