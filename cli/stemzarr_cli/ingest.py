"""``stemzarr ingest``: files become stores of the lake."""

from __future__ import annotations

import dataclasses
import functools
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from stemzarr.errors import OptionError
from stemzarr.options import IngestOptions, as_path
from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.parameters import MOVED
from stemzarr_cli.places import describe_left, expand_folder
from stemzarr_cli.report import Report
from stemzarr_cli.storing import store_options
from stemzarr_cli.text import format_bytes, format_path, format_seconds, format_shape

_MANY = 8
"""From how many files on a folder may be a set of frames."""
_FAILED = ("name", "store", "kind", "shape", "dtype", "source_bytes", "stored_bytes", "seconds")


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE|FOLDER...")
@click.option("--name", metavar="NAME", help="Name of the entry, for a single file.")
@store_options
@click.option("--overwrite", is_flag=True, help="Replace the store that has the name.")
@click.option(
    "--moved",
    type=MOVED,
    multiple=True,
    help="Take files below NEW for those that were below OLD; 'none' compares all their bytes.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be written, and how.")
@lake_option
@click.pass_obj
def ingest(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    files: tuple[str, ...],
    name: str | None,
    options: IngestOptions,
    lake: Path | None,
    overwrite: bool,
    moved: tuple[tuple[str, str] | None, ...],
    dry_run: bool,
) -> None:
    """Turn files into labelled, compressed stores.

    A folder stands for all files below it that stemzarr reads. A file that is in the lake
    already is left as it is. Memory stays within the budget, whatever the size of a file.
    With --join, a folder whose files hold one frame each becomes one stack, and with
    --scan-shape one scan.
    """
    options = dataclasses.replace(options, overwrite=overwrite)
    sources: list[Path] = []
    for file in files:
        with report.attempt():
            sources += [as_path(file)] if options.read.join else _expand(report, file)
    if name is not None and len(sources) > 1:
        msg = f"--name is {name!r} for {len(sources)} files"
        raise OptionError(msg, hint="give it with one file")
    if dry_run:
        for source in sources:
            with report.attempt():
                _show_plan(report, source, options)
        return
    if not sources:
        return
    report.resume = "Run the same command again to resume"
    _ingest_all(report, sources, lake, options, name, moved)


def _expand(report: Report, file: str) -> list[Path]:
    """Return the files that are meant, and say where a folder of them is one set of frames."""
    found, left = expand_folder(file)
    if left:
        report.note(describe_left(file, left))
    if len(found) >= _MANY:
        from stemzarr.formats.join.reader import is_set

        if is_set(found):
            what = f"{len(found)} files of one frame each, {found[0].name} to {found[-1].name}"
            how = f"stemzarr ingest --join {shlex.quote(file)}"
            report.note(f"{report.name}: hint: {what}: '{how}' makes them one stack")
    return found


def _ingest_all(
    report: Report,
    sources: list[Path],
    where: Path | None,
    options: IngestOptions,
    name: str | None,
    moved: tuple[tuple[str, str] | None, ...],
) -> None:
    from stemzarr.registry import read_source
    from stemzarr_catalog import open_lake
    from stemzarr_catalog.naming import count_folders

    if not any(source.exists() for source in sources):
        for source in sources:  # a misspelt name makes no lake
            with report.attempt(_failure(name or source.stem)):
                read_source(source, options.read)
        return
    lake = open_lake(where, create=True)
    for move in filter(None, moved):
        lake.known.add_move(*move)
    believe = _believe(report, compare=None in moved)
    folders = count_folders(sources)
    for number, source in enumerate(sources, start=1):
        count = f"{number}/{len(sources)} " if len(sources) > 1 else ""
        with report.attempt(_failure(name or source.stem)):
            with report.progress(f"{count}{source.name}") as progress:
                result = lake.ingest(
                    source,
                    name=name,
                    folders=folders[source],
                    options=options,
                    progress=progress,
                    believe=believe,
                )
            report.result(result.json(), functools.partial(_draw, report, result.json()))


def _believe(report: Report, *, compare: bool) -> Callable[[str, str], bool] | None:
    """Return what answers whether a folder was moved: the user, who is asked once for each."""
    if compare:
        return lambda _old, _new: False
    if not sys.stdin.isatty() or report.as_json or report.quiet:
        return None

    @functools.cache
    def ask(old: str, new: str) -> bool:
        what = f"files below {new} have the names, sizes, times and samples of those of {old}"
        return report.ask(what, "Were they moved? 'n' compares all their bytes.")

    return ask


def _failure(name: str) -> dict[str, Any]:
    """Return what is reported of a file that could not be ingested, as JSON."""
    return {**dict.fromkeys(_FAILED), "name": name, "status": "failed"}


def _draw(report: Report, found: Mapping[str, Any]) -> None:
    ratio = found["source_bytes"] / max(1, found["stored_bytes"])
    size = f"{format_bytes(found['source_bytes'])} → {format_bytes(found['stored_bytes'])}"
    what = f"{found['kind']} {format_shape(found['shape'])} {found['dtype']}"
    spent = "" if found["status"] == "unchanged" else f" in {format_seconds(found['seconds'])}"
    report.say(f"{found['name']}  {found['status']}{spent}, {what}")
    report.say(f"  {size} ({ratio:.1f}×) in {format_path(found['store'])}")
    for note in found["notes"]:
        report.say(f"  note: {note}", fg="yellow")


def _show_plan(report: Report, path: Path, options: IngestOptions) -> None:
    from stemzarr.registry import read_source
    from stemzarr.store import expected_bytes, plan_store

    source = read_source(path, options.read)
    plan = plan_store(source, options)
    described = {**plan.describe(), "expected_bytes": expected_bytes(source, plan)}
    report.result({"source": str(path), **described}, lambda: _draw_plan(report, path, described))


def _draw_plan(report: Report, path: Path, plan: Mapping[str, Any]) -> None:
    from stemzarr_cli.tables import plan_table

    size = format_bytes(plan["source_bytes"])
    expected = f"become about {format_bytes(plan['expected_bytes'])}, judged by a few chunks"
    becomes = "stay where they are" if plan["virtual"] else expected
    report.say(f"{path}: {size} of pixels {becomes}")
    report.show(plan_table(plan["arrays"]))
    time = f"about {format_seconds(plan['expected_seconds'])}"
    memory = f"{format_bytes(plan['memory'])} of buffers"
    report.say(f"codec {plan['codec']}, {plan['threads']} threads, {memory}, {time}")
    temporary = sum(array["temporary_bytes"] for array in plan["arrays"])
    if temporary and not plan["virtual"]:
        room = f"{format_bytes(temporary)} beside the store for the time of the ingest"
        report.say(f"scan-fast: takes up to {room}")
