"""``stemzarr explore``: a scan, or a lake, in the browser."""

from __future__ import annotations

import functools
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stemzarr.errors import OptionError
from stemzarr.options import ReadOptions
from stemzarr_cli.command import Command, any_lake_option
from stemzarr_cli.integration import desktop_option
from stemzarr_cli.parameters import BYTES, PATH
from stemzarr_cli.places import find_source
from stemzarr_cli.reading import read_options
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_bytes, format_path

if TYPE_CHECKING:
    from stemzarr.explorer.one_source import OneSource
    from stemzarr_catalog.exploring import LakeSubjects


@click.command(cls=Command)
@click.argument("source", required=False)
@click.option("--document", metavar="SLUG", help="The document that is shown first.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Port of 127.0.0.1. [default: any free one]",
)
@click.option("--edit", is_flag=True, help="Let the page calibrate stores by a ring.")
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
@click.option(
    "--html", type=PATH, metavar="FILE", help="Write one page to mail, and serve nothing."
)
@click.option(
    "--size",
    type=BYTES,
    default="20MB",
    show_default=True,
    help="Largest size of that page: patterns are binned until it fits.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is not a page of stemzarr.")
@desktop_option
@read_options
@any_lake_option
@click.pass_obj
def explore(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    source: str | None,
    document: str | None,
    port: int,
    edit: bool,
    no_browser: bool,
    html: Path | None,
    size: int,
    overwrite: bool,
    read: ReadOptions,
    lake: Path | None,
) -> None:
    """Look at a scan, or the lake, in the browser.

    SOURCE is a name in the lake, a store, or any file that stemzarr reads: it need not be ingested.
    Without one, or with the folder of a lake, the page is a live gallery of the lake.
    Move over the scan to see its patterns, drag detectors to see their images. The page is served
    on this machine alone, to whoever has its address; nothing is changed, unless --edit lets a
    ring on a known spacing, or around the disk, calibrate the store. Ctrl-C ends it.
    With --html, one file is written instead that shows the scan anywhere, offline; without a
    SOURCE, a page that opens stores on the web server where it is put, or that are dropped on it.
    """
    one = None if source is None else _one_source(source, document, read, lake)
    if html is not None:
        if edit:
            raise OptionError(
                "a page made by --html cannot change a store", hint="leave out --edit or --html"
            )
        if one is None:
            _write_bare(report, html, overwrite=overwrite)
        else:
            _write(report, one, html, size=size, overwrite=overwrite)
        return
    from stemzarr.api import export
    from stemzarr.explorer import Explorer

    server = Explorer(
        one or _lake(source, document, read, lake),
        port=port,
        export=functools.partial(export, read=read),
        edit=edit,
    )

    def started() -> None:
        report.result({"address": server.address}, lambda: report.say(server.address))
        report.note("Ctrl-C ends it")
        if not no_browser:
            # A browser that runs in the terminal would keep the server from answering it.
            threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()

    server.run(started)


def _one_source(
    text: str, document: str | None, read: ReadOptions, lake: Path | None
) -> OneSource | None:
    """Return the source that is meant; None where it is a lake."""
    from stemzarr.explorer.one_source import OneSource
    from stemzarr.registry import read_source
    from stemzarr_catalog.opening import is_lake

    place = find_source(text, lake, far=True)
    if place.entry is None and is_lake(place.path):
        return None
    name = place.entry.name if place.entry is not None else place.path.stem
    return OneSource(read_source(place.path, read), name, document)


def _lake(
    text: str | None, document: str | None, read: ReadOptions, lake: Path | None
) -> LakeSubjects:
    """Return the lake that is meant."""
    from stemzarr_catalog import open_lake
    from stemzarr_catalog.exploring import LakeSubjects

    if document is not None or read != ReadOptions():
        msg = "of a lake, there is no document to choose and no file to read"
        raise OptionError(msg, hint="name a SOURCE, or leave --document and options of reading out")
    return LakeSubjects(open_lake(text or lake))


def _write(report: Report, subjects: OneSource, dest: Path, *, size: int, overwrite: bool) -> None:
    """Write a page to mail, and say what is in it."""
    from stemzarr.explorer.single_page import write_single_page

    with report.progress("binning") as progress:
        page = write_single_page(
            subjects.open("", None), dest, size=size, overwrite=overwrite, progress=progress
        )
    record = {"dest": str(page.dest.absolute()), "bytes": page.bytes, "bin": page.bin}
    binned = "patterns as they are" if page.bin == 1 else f"patterns binned {page.bin} × {page.bin}"
    line = f"{format_path(page.dest)}  {format_bytes(page.bytes)}, {binned}"
    report.result(record, lambda: report.say(line))


def _write_bare(report: Report, dest: Path, *, overwrite: bool) -> None:
    """Write a page without a scan, which opens stores itself."""
    from stemzarr.explorer.single_page import write_bare_page

    page = write_bare_page(dest, overwrite=overwrite)
    record = {"dest": str(page.dest.absolute()), "bytes": page.bytes}
    line = f"{format_path(page.dest)}  {format_bytes(page.bytes)}, opens any store"
    report.result(record, lambda: report.say(line))
