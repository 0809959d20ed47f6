"""``stemzarr verify``: whether stores are sound, and which originals are safe to delete."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr_cli.command import Command, any_lake_option
from stemzarr_cli.completing import complete_sources
from stemzarr_cli.parameters import DURATION, PATH
from stemzarr_cli.places import Place, find_source
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_bytes, format_count
from stemzarr_cli.verdict import tell

if TYPE_CHECKING:
    from stemzarr.store import VerifyReport
    from stemzarr_catalog import Lake

_WAIT_S = 7 * 24 * 3600.0
"""How long an original stays where it is after its ingest, unless --wait says otherwise."""


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=complete_sources)
@click.option(
    "--source",
    type=PATH,
    metavar="FILE",
    help="Compare one store with its original, value by value and byte by byte.",
)
@click.option(
    "--originals",
    is_flag=True,
    help="List the sources that their stores can give back byte for byte: safe to delete.",
)
@click.option(
    "--restore-metadata",
    "restore",
    is_flag=True,
    help="First put back metadata that another program or the disk changed.",
)
@click.option("--all", "everything", is_flag=True, help="Check all stores of the lake.")
@click.option(
    "--oldest",
    is_flag=True,
    help="Begin with stores that were never verified, then those verified longest ago.",
)
@click.option(
    "--for",
    "span",
    type=DURATION,
    help="Begin no more stores after this time, such as 90min or 2h.",
)
@click.option(
    "--move-to",
    type=PATH,
    metavar="FOLDER",
    help="With --originals: move those that are safe to delete there, with a receipt.",
)
@click.option(
    "--wait",
    type=DURATION,
    help="With --move-to: leave what was ingested less than this ago. [default: 7d]",
)
@any_lake_option
@click.pass_obj
def verify(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    names: tuple[str, ...],
    everything: bool,
    source: Path | None,
    originals: bool,
    restore: bool,
    oldest: bool,
    span: float | None,
    move_to: Path | None,
    wait: float | None,
    lake: Path | None,
) -> None:
    """Check every file and chunk of stores.

    Files are compared with the manifest, chunks with their checksums and digests; what fails is
    read a second time. Nothing is repaired, except with --restore-metadata: then every zarr.json is
    written as the manifest remembers it. NAME is a name in the lake or the path of a store.

    With --originals, stores of the lake (all, or those named) are checked and compared with the
    files that they were made from; a file is listed only when its store is sound, holds every
    byte of it, and it is still the same.

    A lake remembers when each store was verified: 'verify --all --oldest --for 2h', run again and
    again, goes through a large lake in rotation. 'ls --health' sums up.
    """
    if originals:
        if source is not None or restore or oldest or span is not None:
            hint = "leave --source, --restore-metadata, --oldest and --for out"
            raise OptionError("--originals finds the sources itself", hint=hint)
        _list_originals(report, names, lake, move_to, wait)
        return
    if move_to is not None or wait is not None:
        raise OptionError("--move-to and --wait go with --originals", hint="add --originals")
    if source is not None and len(names) != 1:
        hint = "'stemzarr ls' lists the names of a lake"
        raise OptionError("--source needs exactly one NAME", hint=hint)
    chosen = names or _all_names(report, lake, everything=everything)
    if oldest:
        chosen = _oldest_first(chosen, lake)
    ends = math.inf if span is None else time.monotonic() + span
    for number, name in enumerate(chosen):
        if time.monotonic() >= ends:
            left = format_count(len(chosen) - number, "store")
            report.note(f"{report.name}: time is up; {left} left for next time")
            break
        with report.attempt():
            place = find_source(name, lake, far=not restore)
            _verify(report, place, source, restore=restore)


def _verify(report: Report, place: Place, source: Path | None, *, restore: bool) -> None:
    """Check one store, say what was found, and remember that."""
    import stemzarr

    path = place.path
    if restore:
        _restore(report, path)
    with report.progress(f"verifying {path.stem}") as progress:
        found = stemzarr.verify(path, source=source, progress=progress)
    if source is not None and not found.ok:
        alone = stemzarr.verify(path)
        if alone.ok:
            _remember(place.lake, path.stem, alone)
            _tell_other(report, found)
            return
    _remember(place.lake, path.stem, found)
    tell(report, found)


def _remember(lake: Lake | None, name: str, found: VerifyReport) -> None:
    """Note in a lake when one of its stores was verified."""
    if lake is not None:
        from stemzarr_catalog.verified import note_verification

        note_verification(lake, name, found)


def _oldest_first(names: tuple[str, ...], where: Path | None) -> tuple[str, ...]:
    """Return names of stores, those first that were verified longest ago, or never."""
    from stemzarr_catalog import open_lake
    from stemzarr_catalog.verified import oldest_first

    order = {name: place for place, name in enumerate(oldest_first(open_lake(where)))}
    return tuple(sorted(names, key=lambda name: order.get(name, -1)))


def _all_names(report: Report, where: Path | None, *, everything: bool) -> tuple[str, ...]:
    """Return the names of all entries, which must be asked for: it may take hours."""
    from stemzarr_catalog import open_lake

    lake = open_lake(where)
    names = tuple(sorted({*lake, *lake.problems}))
    size = format_bytes(sum(entry.stored_bytes for entry in lake.search()))
    what = f"{format_count(len(names), 'store')}, {size}"
    if everything:
        return names
    if not sys.stdin.isatty() or report.as_json:
        hint = "name stores, or give --all"
        raise OptionError(f"would check all of {lake.path}: {what}", hint=hint)
    return names if report.ask(f"{lake.path}: {what}", "Check them all?") else ()


def _tell_other(report: Report, found: VerifyReport) -> None:
    """Say that a sound store was compared with a file that it was not made from."""
    name = found.path.stem
    report.result(
        {**found.json(), "other": True},
        lambda: report.say(f"{name}  sound, and made from another file"),
    )
    differs = found.problems[0]
    more = len(found.problems) - 1
    msg = f"is not the file that {name} came from: {differs}{f', and {more} more' if more else ''}"
    report.fail(UnsupportedDataError(msg, path=found.original))


def _restore(report: Report, path: Path) -> None:
    """Put the metadata of a store back, and say what was otherwise."""
    from stemzarr.store import restore_metadata

    for difference in restore_metadata(path):
        report.note(f"{path.stem}: restored, for {difference}")


def _list_originals(
    report: Report,
    names: tuple[str, ...],
    where: Path | None,
    move_to: Path | None,
    wait: float | None,
) -> None:
    from stemzarr_catalog import open_lake
    from stemzarr_catalog.moving import check_folder
    from stemzarr_cli.originals import Moving, list_originals

    lake = open_lake(where)
    moving = None
    if move_to is not None:
        check_folder(move_to, lake.path)
        moving = Moving(folder=move_to.absolute(), wait_s=_WAIT_S if wait is None else wait)
    elif wait is not None:
        raise OptionError("--wait goes with --move-to", hint="add --move-to FOLDER")
    list_originals(report, names, lake, moving, _remember)
