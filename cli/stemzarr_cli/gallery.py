"""``stemzarr gallery``: one page of pictures of the lake."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from stemzarr_cli.command import Command, any_lake_option
from stemzarr_cli.completing import complete_query
from stemzarr_cli.parameters import PATH
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_count, format_path


@click.command(cls=Command)
@click.argument("dest", type=PATH)
@click.argument("query", nargs=-1, shell_complete=complete_query)
@click.option("--title", metavar="TEXT", help="Title of the page. [default: the lake's name]")
@click.option("--overwrite", is_flag=True, help="Replace a file that is not a gallery.")
@click.option("--paths", is_flag=True, help="Name the folders of this machine in the page.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@any_lake_option
@click.pass_obj
def gallery(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    dest: Path,
    query: tuple[str, ...],
    title: str | None,
    overwrite: bool,
    paths: bool,
    opens: bool,
    lake: Path | None,
) -> None:
    """Write one HTML page of the lake.

    It holds the pictures and facts of all entries, or of those that QUERY finds, with a search
    in the language of 'stemzarr ls', filters and sorting, and needs no network. DEST is a file, or
    a folder that gets an index.html. It can be mailed: without --paths no folder of this machine
    is named in it.
    """
    from stemzarr_catalog import open_lake
    from stemzarr_catalog.gallery import write_gallery

    opened = open_lake(lake)
    with report.progress("drawing", counted="entries") as progress:
        shown = write_gallery(
            opened,
            dest,
            " ".join(query),
            title=title,
            overwrite=overwrite,
            paths=paths,
            progress=progress,
        )
    page = dest / "index.html" if dest.is_dir() else dest
    record = {"dest": str(page.absolute()), "entries": shown, "bytes": page.stat().st_size}
    report.result(
        record, lambda: report.say(f"{format_path(page)}  {format_count(shown, 'entry')}")
    )
    if opens and not webbrowser.open(page.absolute().as_uri()):
        report.note(f"no browser was found; open {format_path(page)} in one")
