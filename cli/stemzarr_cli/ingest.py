"""``stemzarr ingest``: files become stores of the lake."""

from __future__ import annotations

import dataclasses
import functools
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemzarr.errors import OptionError
from stemzarr.options import IngestOptions, as_path
from stemzarr_cli.command import Command, any_lake_option
from stemzarr_cli.completing import complete_files
from stemzarr_cli.parameters import MOVED, PATH
from stemzarr_cli.places import describe_left, expand_folder
from stemzarr_cli.report import Report
from stemzarr_cli.stamp import stamp_option, stamped
from stemzarr_cli.steady import Steady, pace_options
from stemzarr_cli.storing import store_options
from stemzarr_cli.text import format_bytes, format_path, format_seconds

if TYPE_CHECKING:
    from stemzarr.model import Source
    from stemzarr_catalog.pace import Pace

_MANY = 8
"""From how many files on a folder may be a set of frames."""


@click.command(cls=Command)
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE|FOLDER...", shell_complete=complete_files
)
@click.option("--name", metavar="NAME", help="Name of the entry, for a single file.")
@store_options
@click.option("--overwrite", is_flag=True, help="Replace the store that has the name.")
@click.option(
    "--moved",
    type=MOVED,
    multiple=True,
    help="Treat files below NEW as those that were below OLD; 'none' compares all their bytes.",
)
@click.option(
    "--facts-from",
    type=PATH,
    metavar="FILE",
    help="Take what a truncated file lost, its shape and facts, from FILE of the same session.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be written, and how.")
@stamp_option
@any_lake_option
@click.pass_obj
@pace_options
def ingest(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    files: tuple[str, ...],
    name: str | None,
    options: IngestOptions,
    pace: Pace,
    lake: Path | None,
    overwrite: bool,
    moved: tuple[tuple[str, str] | None, ...],
    facts_from: Path | None,
    dry_run: bool,
    stamp: Path | None,
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
    if not sources:
        return
    if dry_run:
        _plan(report, sources, lake, options)
        return
    report.resume = "Run the same command again to resume"
    if not any(source.exists() for source in sources):
        _explain_missing(report, sources, options)
        return
    from stemzarr_catalog.opening import lake_to_fill
    from stemzarr_cli.batch import Run

    with lake_to_fill(lake) as opened:
        for move in filter(None, moved):
            opened.known.add_move(*move)
        believe = _believe(report, compare=None in moved)
        roots = [path if path.is_dir() else path.parent for path in map(as_path, files)]
        steady = Steady(report, pace, opened.path, roots)
        with stamped(report, stamp):
            Run(report, opened, options, name, facts_from, believe, steady).run(sources)


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


def _explain_missing(report: Report, sources: list[Path], options: IngestOptions) -> None:
    """Say of each file why it cannot be read; a misspelt name makes no lake."""
    from stemzarr.registry import read_source
    from stemzarr_cli.batch import failure

    for source in sources:
        with report.attempt(failure(source.stem)):
            read_source(source, options.read)


def _believe(report: Report, *, compare: bool) -> Callable[[str, str], bool] | None:
    """Return what answers whether a folder was moved: the user, who is asked once for each."""
    if compare:
        return lambda _old, _new: False
    if not sys.stdin.isatty() or report.as_json or report.quiet:
        return None

    @functools.cache
    def ask(old: str, new: str) -> bool:
        what = (
            f"files below {new} have the same names, sizes, times and samples as those below {old}"
        )
        return report.ask(what, "Were they moved? 'n' compares all their bytes.")

    return ask


def _plan(report: Report, sources: list[Path], where: Path | None, options: IngestOptions) -> None:
    """Show how one file would be stored, or what would become of each of several."""
    from stemzarr_cli.survey import look_at, show_survey

    if len(sources) > 1:
        show_survey(report, sources, where, options, functools.partial(_describe_plan, options))
        return
    with report.attempt():
        row, source = look_at(sources[0], where, options)
        plan = {} if source is None else _describe_plan(options, source)
        is_known = row.state == "known" and not options.overwrite
        said = {"source": str(row.path), **plan, "state": row.state}

        def draw() -> None:
            if is_known:
                report.say(f"{format_path(row.path)}: in the lake already, as {row.entry}")
            else:
                _draw_plan(report, row.path, plan)

        report.result(said, draw)


def _describe_plan(options: IngestOptions, source: Source) -> dict[str, Any]:
    from stemzarr.store import expected_bytes, plan_store

    plan = plan_store(source, options)
    expected = expected_bytes(source, plan)
    return {"source": str(source.path), **plan.describe(), "expected_bytes": expected}


def _draw_plan(report: Report, path: Path, plan: Mapping[str, Any]) -> None:
    from stemzarr_cli.tables import plan_table

    size = format_bytes(plan["source_bytes"])
    expected = f"become about {format_bytes(plan['expected_bytes'])}, estimated from a few chunks"
    becomes = "stay where they are" if plan["virtual"] else expected
    report.say(f"{format_path(path)}: {size} of pixels {becomes}")
    report.show(plan_table(plan["arrays"]))
    time = f"about {format_seconds(plan['expected_seconds'])}"
    memory = f"{format_bytes(plan['memory'])} of buffers"
    report.say(f"codec {plan['codec']}, {plan['threads']} threads, {memory}, {time}")
    temporary = sum(array["temporary_bytes"] for array in plan["arrays"])
    if temporary and not plan["virtual"]:
        space = f"{format_bytes(temporary)} beside the store for the time of the ingest"
        report.say(f"scan-fast: takes up to {space}")
