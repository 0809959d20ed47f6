"""``stemzarr export``: a scan, or a view of it, as a file of another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemzarr.options import ExportOptions, ReadOptions
from stemzarr.registry import EXPORTERS
from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.parameters import BYTES
from stemzarr_cli.places import find_source
from stemzarr_cli.reading import read_options
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_bytes, format_path, format_seconds, format_shape
from stemzarr_cli.viewing import view_options

if TYPE_CHECKING:
    from stemzarr.api import ExportResult
    from stemzarr.views import View

_FORMATS = [exporter.name for exporter in EXPORTERS]


@click.command(cls=Command)
@click.argument("source")
@click.argument("dest", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_name",
    metavar="FORMAT",
    help=f"Format where the suffix of DEST does not say it: {', '.join(_FORMATS)}.",
)
@click.option("--document", metavar="SLUG", help="Another document than the main one.")
@view_options
@click.option(
    "--tensor",
    type=click.Choice(["patterns", "scan"]),
    default="patterns",
    show_default=True,
    help="Form of a .pt: (N, 1, det_y, det_x) or (scan_y, scan_x, det_y, det_x).",
)
@click.option(
    "--with-metadata", is_flag=True, help="Make a .pt hold a dict of tensor and metadata."
)
@read_options
@click.option("--memory", type=BYTES, help="Budget for buffers. [default: 256MiB]")
@click.option("--threads", type=int, metavar="N", help="[default: as many as processors]")
@click.option("--overwrite", is_flag=True, help="Replace a file that stands at DEST.")
@lake_option
@click.pass_obj
def export(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    source: str,
    dest: Path,
    format_name: str | None,
    document: str | None,
    view: View | None,
    read: ReadOptions,
    lake: Path | None,
    **chosen: Any,  # noqa: ANN401 - fields of ExportOptions
) -> None:
    """Write a scan, or a view of it, in another format.

    The suffix of DEST says the format. SOURCE is a name in the lake, a store, or any file that
    stemzarr reads. A view is applied in this order: region, scan step, downsampling,
    normalisation. A .pt is float32 unless --dtype says otherwise. DEST appears when it is
    complete, or not at all.
    """
    import stemzarr

    options = ExportOptions(**{key: value for key, value in chosen.items() if value is not None})
    place = find_source(source, lake)
    report.resume = "nothing was written; the same command begins again"
    with report.progress(f"exporting {dest.name}") as progress:
        result = stemzarr.export(
            place.path,
            dest,
            view=view,
            document=document,
            format=format_name,
            options=options,
            read=read,
            progress=progress,
        )
    if place.entry is not None and place.lake is not None and not place.lake.read_only:
        place.lake.add_export(place.entry.name, {**result.json(), **result.provenance})
    report.result(result.json(), lambda: _draw(report, result, view))


def _draw(report: Report, result: ExportResult, view: View | None) -> None:
    what = f"{format_shape(result.shape)} {result.dtype}"
    spent = f"{format_bytes(result.bytes)} in {format_seconds(result.seconds)}"
    report.say(f"{format_path(result.dest)}  {result.format}  {what}  {spent}")
    if view is not None:
        report.say(f"  {view.describe()}")
