"""``stemzarr explore``: a scan in the browser."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path

import click

from stemzarr.options import ReadOptions
from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.places import find_source
from stemzarr_cli.reading import read_options
from stemzarr_cli.report import Report


@click.command(cls=Command)
@click.argument("source")
@click.option("--document", metavar="SLUG", help="The document that is shown first.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Port of 127.0.0.1. [default: any free one]",
)
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
@read_options
@lake_option
@click.pass_obj
def explore(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    source: str,
    document: str | None,
    port: int,
    no_browser: bool,
    read: ReadOptions,
    lake: Path | None,
) -> None:
    """Look at a scan in the browser.

    SOURCE is a name in the lake, a store, or any file that stemzarr reads: it need not be ingested.
    Move over the scan to see its patterns, drag detectors to see their images. The page is served
    on this machine alone, to whoever has its address; nothing is changed. Ctrl-C ends it.
    """
    from stemzarr.explorer import Explorer
    from stemzarr.explorer.one_source import OneSource
    from stemzarr.registry import read_source

    place = find_source(source, lake)
    name = place.entry.name if place.entry is not None else place.path.stem
    server = Explorer(OneSource(read_source(place.path, read), name, document), port=port)

    def started() -> None:
        report.result({"address": server.address}, lambda: report.say(server.address))
        report.note("Ctrl-C ends it")
        if not no_browser:
            # A browser that runs in the terminal would keep the server from answering it.
            threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()

    server.run(started)
