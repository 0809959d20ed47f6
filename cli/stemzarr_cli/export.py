"""``stemzarr export``: a scan, or a view of it, as a file of another format."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from stemzarr.errors import OptionError, SourceNotFoundError, StemzarrError
from stemzarr.options import ColourMap, ExportOptions, ImageName, ReadOptions, as_path
from stemzarr.registry import EXPORTERS, Exporter, exporters
from stemzarr.storage.files import check_destination
from stemzarr.storage.reasons import writing
from stemzarr_cli.command import Command, any_lake_option
from stemzarr_cli.completing import complete_query, complete_sources
from stemzarr_cli.parameters import BYTES, CENTER, PATH, POSITION
from stemzarr_cli.parts import split_progress
from stemzarr_cli.places import Place, find_source
from stemzarr_cli.reading import read_options
from stemzarr_cli.report import Report, explain
from stemzarr_cli.stamp import stamp_option, stamped
from stemzarr_cli.text import format_bytes, format_count, format_path, format_seconds, format_shape
from stemzarr_cli.viewing import view_options

if TYPE_CHECKING:
    from stemzarr.api import ExportResult
    from stemzarr.model import Progress
    from stemzarr.views import View
    from stemzarr_catalog import Entry

_FORMATS = [exporter.name for exporter in EXPORTERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What every file of one command has in common."""

    format: str | None
    """Name of the exporter."""
    document: str | None
    """Slug of the document."""
    view: View | None
    """The recipe."""
    options: ExportOptions
    """Budget, threads, form."""
    read: ReadOptions
    """How a source is understood."""


@click.command(cls=Command)
@click.argument("source", required=False, shell_complete=complete_sources)
@click.argument("dest", required=False, type=PATH)
@click.option(
    "--query",
    metavar="QUERY",
    shell_complete=complete_query,
    help="Export all entries that a query finds.",
)
@click.option(
    "--to",
    "folder",
    type=PATH,
    metavar="FOLDER",
    help="Where they go, each under its name; the folder is made.",
)
@click.option(
    "--format",
    "format_name",
    metavar="FORMAT",
    help=f"Format where the suffix of DEST does not say it: {', '.join(_FORMATS)}.",
)
@click.option(
    "--document",
    metavar="SLUG",
    help="Another document than the main one; 'all' for all in one file (hspy, dm).",
)
@view_options
@click.option(
    "--image",
    type=click.Choice(get_args(ImageName)),
    help="Write this image of a 4D scan instead of the scan; of a store it is there already.",
)
@click.option(
    "--inner",
    type=float,
    metavar="R",
    help="Write the virtual image from this radius on, in the units of the detector.",
)
@click.option("--outer", type=float, metavar="R", help="Write it up to this radius.")
@click.option(
    "--at",
    type=POSITION,
    help="Write the one pattern at this scan position; with --image likeness, compare all with it.",
)
@click.option(
    "--center",
    type=CENTER,
    help="Centre of the ring, of com-y and its like, of dpc and radial-profile, in the units of "
    "the detector. [default: that of the central disk]",
)
@click.option(
    "--tensor",
    type=click.Choice(["patterns", "scan"]),
    default="patterns",
    show_default=True,
    help="Form of a .pt alone: (N, 1, det_y, det_x) or (scan_y, scan_x, det_y, det_x).",
)
@click.option(
    "--with-metadata",
    is_flag=True,
    help="Make a .pt (no other format) hold a dict of tensor and metadata.",
)
@click.option("--scale-bar", is_flag=True, help="Draw a bar with its length into a .png.")
@click.option(
    "--cmap", type=click.Choice(get_args(ColourMap)), help="Colours of a .png. [default: grey]"
)
@click.option(
    "--zoom", type=int, metavar="N", help="Make each value of a .png N × N pixels. [default: 1]"
)
@read_options
@click.option(
    "--memory",
    type=BYTES,
    help="Budget for buffers, as far as a format needs any. [default: 256MiB]",
)
@click.option("--threads", type=int, metavar="N", help="[default: as many as processors]")
@click.option("--no-sync", is_flag=True, help="Do not wait until the disk has the file.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists at DEST.")
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Leave a file at DEST that was made from the same source in the same way; any other one "
    "is refused, or replaced with --overwrite.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@stamp_option
@any_lake_option
@click.pass_obj
def export(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    source: str | None,
    dest: Path | None,
    query: str | None,
    folder: Path | None,
    format_name: str | None,
    document: str | None,
    view: View | None,
    read: ReadOptions,
    lake: Path | None,
    stamp: Path | None,
    **chosen: Any,  # noqa: ANN401 - fields of ExportOptions
) -> None:
    """Write a scan, or a view of it, in another format.

    The suffix of DEST says the format. SOURCE is a name in the lake, a store, or any file that
    stemzarr reads. A view is applied in this order: region, scan step, downsampling,
    normalisation; --image, --inner and --outer make an image of the scan before the last. A .pt
    is float32 unless --dtype says otherwise. DEST appears when it is complete, or not at all. With
    --document all the view applies to the main document, and the others are written as they are.

    Many at once: stemzarr export --query 'kind=4d-stem' --to FOLDER --format pt, and once more
    with --skip-existing for those that are new.
    """
    chosen["sync"] = not chosen.pop("no_sync")
    options = ExportOptions(**{key: value for key, value in chosen.items() if value is not None})
    wanted = _Wanted(format=format_name, document=document, view=view, options=options, read=read)
    report.resume = "Nothing was written. Run the same command to start again"
    with stamped(report, None if options.dry_run else stamp):
        if source is not None and dest is not None and query is None and folder is None:
            _export_one(report, find_source(source, lake, far=True), dest, wanted)
        elif None not in (query, folder, format_name) and source is None:
            _export_many(report, lake, query or "", folder or Path(), wanted)
        else:
            msg = "needs SOURCE and DEST, or --query, --to and --format"
            raise OptionError(msg, hint="stemzarr export -h")


def _failure(dest: Path, wanted: _Wanted) -> dict[str, Any]:
    """Return what is reported of a file that could not be written, as JSON."""
    unknown = dict.fromkeys(("format", "shape", "dtype", "bytes", "seconds"))
    state = {"status": "failed", "dry_run": wanted.options.dry_run, "notes": []}
    return {"dest": str(dest), **unknown, **state}


def _export_one(report: Report, place: Place, dest: Path, wanted: _Wanted) -> None:
    try:
        if wanted.options.dry_run:
            check_destination(as_path(dest), overwrite=True)
        with report.progress(f"exporting {dest.name}") as progress:
            result = _write(place, dest, wanted, progress)
    except StemzarrError as error:
        report.result({**_failure(dest, wanted), "error": explain(error)}, lambda: None)
        raise
    _tell(report, result, wanted.view)
    if place.lake is not None and place.lake.obstacle is not None:
        why = place.lake.obstacle
        report.note(f"{report.name}: note: not listed with its entry: {why}")


def _export_many(
    report: Report, where: Path | None, query: str, folder: Path, wanted: _Wanted
) -> None:
    """Export all entries of a query under one display; those that fail are named."""
    from stemzarr_catalog import open_lake

    lake = open_lake(where)
    entries = lake.search(query)
    if not entries:
        msg = f"no entry matches {query!r}"
        raise SourceNotFoundError(msg, path=lake.path, hint="stemzarr ls shows what there is")
    exporter = _exporter(wanted.format)
    exporter.check_options(wanted.options)
    if wanted.read != ReadOptions():
        msg = "the layout of stores in a lake is known already"
        raise OptionError(msg, hint="leave the options of reading out")
    if folder.exists() and not folder.is_dir():
        raise OptionError("is not a folder", path=folder, hint="name a folder with --to")
    if not wanted.options.dry_run:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    with report.progress(f"exporting {format_count(len(entries), 'entry')}") as progress:
        parts = split_progress(progress, [_size(entry) for entry in entries])
        for entry, part in zip(entries, parts, strict=True):
            dest = folder / f"{entry.name}{exporter.suffix_for(str(entry.source['format']))}"
            with report.attempt(_failure(dest, wanted)) as failed:
                place = Place(path=entry.path, entry=entry, lake=lake)
                result = _write(place, dest, wanted, part)
                counts[result.status] += 1
                _tell(report, result, None)
            counts["failed"] += len(failed)
    if len(entries) > 1:
        report.say(", ".join(f"{number} {status}" for status, number in counts.items() if number))


def _size(entry: Entry) -> int:
    import numpy as np

    return math.prod(entry.shape) * int(np.dtype(entry.dtype).itemsize)


def _exporter(name: str | None) -> Exporter:
    """Return the exporter of a format.

    Raises
    ------
    OptionError
        There is no such format.
    """
    for exporter in exporters():
        if exporter.name == name:
            return exporter
    msg = f"there is no format {name!r}"
    raise OptionError(msg, hint=f"known formats: {', '.join(_FORMATS)}")


def _write(place: Place, dest: Path, wanted: _Wanted, progress: Progress | None) -> ExportResult:
    """Export one source, and note it beside the entry that it came from."""
    import stemzarr

    result = stemzarr.export(
        place.path,
        dest,
        view=wanted.view,
        document=wanted.document,
        format=wanted.format,
        options=wanted.options,
        read=wanted.read,
        progress=progress,
        earlier=() if place.entry is None else place.entry.notes.exports,
    )
    written = result.status == "exported" and not result.dry_run
    if written and place.entry is not None and place.lake is not None and not place.lake.read_only:
        place.lake.add_export(place.entry.name, result.record())
    return result


def _tell(report: Report, result: ExportResult, view: View | None) -> None:
    """Give the result of one export, and what should be known of it on stderr."""
    report.result(result.json(), lambda: _draw(report, result, view))
    for note in result.notes:
        report.note(f"{report.name}: note: {format_path(result.dest)}: {note}")


def _draw(report: Report, result: ExportResult, view: View | None) -> None:
    where = f"{format_path(result.dest)}  {result.format}"
    what = f"{format_shape(result.shape)} {result.dtype}" if result.shape else result.dtype
    if result.status == "unchanged":
        report.say(f"{where}  {what}  unchanged")
        return
    spent = f"{format_bytes(result.bytes)} in {format_seconds(result.seconds)}"
    planned = f"{format_bytes(result.bytes)} of values" if result.shape else "an image"
    report.say(f"{where}  {what}  {f'would be written: {planned}' if result.dry_run else spent}")
    if view is not None:
        report.say(f"  {view.describe()}")
