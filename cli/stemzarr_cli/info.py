"""``stemzarr info``: what is in a file."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from stemzarr.options import IngestOptions, ReadOptions
from stemzarr_cli.command import Command, any_lake_option
from stemzarr_cli.completing import complete_sources
from stemzarr_cli.places import describe_left, expand_folder, find_source, is_plain_folder
from stemzarr_cli.reading import read_options
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_bytes, format_path, printable


@click.command(cls=Command)
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE|FOLDER...", shell_complete=complete_sources
)
@read_options
@any_lake_option
@click.pass_obj
def info(
    report: Report, /, *, files: tuple[str, ...], read: ReadOptions, lake: Path | None
) -> None:
    """Show what is in a file, without reading its pixels.

    Documents, dims, dtype, calibration, the meaning of the axes with the evidence for it, and
    whether the file is complete. FILE may also be a store or a name in the lake. Of a folder, one
    table: each file, whether the lake has it, and about how much space it needs there, estimated
    from a few chunks.
    """
    import stemzarr

    for file in files:
        with report.attempt():
            if not read.join and is_plain_folder(file):
                _survey(report, file, lake, read)
                continue
            found = stemzarr.info(find_source(file, lake, far=True).path, read)
            report.result(found, functools.partial(_draw, report, found))


def _survey(report: Report, folder: str, lake: Path | None, read: ReadOptions) -> None:
    import stemzarr
    from stemzarr_cli.survey import show_survey

    paths, left = expand_folder(folder)
    if left:
        report.note(describe_left(folder, left))
    show_survey(
        report,
        paths,
        lake,
        IngestOptions(read=read),
        lambda source: stemzarr.info(source.path, read),
    )


def _draw(report: Report, found: Mapping[str, Any]) -> None:
    """Print what is in a file for a person."""
    from rich.text import Text

    from stemzarr_cli.tables import FactList, axes_table, documents_table

    main = next(doc for doc in found["documents"] if doc["slug"] == found["main"])
    about = [found["format"], format_bytes(found["size"])]
    if not found["complete"]:
        about.append("INCOMPLETE")
    report.show(
        Text.assemble((format_path(found["path"]), "bold"), f"  {', '.join(about)}"),
        "",
        documents_table(found["documents"], found["main"]),
        "",
        axes_table(main["axes"]),
        "",
    )
    layout = main["layout"]
    if layout:
        report.say(f"layout {layout['order']} ({layout['confidence']} confidence)")
        for evidence in layout["evidence"]:
            report.say(f"  {evidence}")
        report.say()
    facts = {name: value for name, value in main["facts"].items() if name != "complete"}
    if facts:
        report.show(FactList(facts.items()))
    for note in dict.fromkeys((*found["notes"], *main["notes"])):
        report.show(Text(f"note: {printable(note)}", style="yellow"))
