"""``stemzarr catalog``: keeps the index of a lake."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stemzarr.errors import DamagedStoreError, OptionError
from stemzarr_cli.command import Command, any_lake_option, lake_option
from stemzarr_cli.completing import complete_names, complete_query
from stemzarr_cli.describe import describe
from stemzarr_cli.parameters import PATH
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_count, format_path, shorten_list

if TYPE_CHECKING:
    from stemzarr_catalog import Lake


@click.group()
def catalog() -> None:
    """Maintain the index of a lake."""


catalog.add_command(describe)


@catalog.command(cls=Command)
@click.option(
    "--measures",
    is_flag=True,
    help="Measure scans whose stores are of an earlier version, too: tile sums, centre of mass, "
    "bad pixels, and pictures where there are none. Reads all their pixels once.",
)
@lake_option
@click.pass_obj
def rebuild(report: Report, /, *, measures: bool, lake: Path | None) -> None:
    """Rebuild the index and catalog.yaml from the stores and notes.

    Results that people added to stores, below analysis, are listed in the stores' metadata, so
    that xarray.open_datatree shows them. Nothing is lost: stores and notes are the truth,
    the index is a cache.
    """
    from stemzarr_catalog import open_lake

    opened = open_lake(lake)
    opened.manager.check_writable()
    if measures:
        _measure_all(report, opened)
    unlisted = opened.rebuild()
    problems = opened.problems
    record = {"lake": str(opened.path), "entries": len(opened), "problems": problems}
    report.result(
        record, lambda: report.say(f"{opened.path}: {format_count(len(opened), 'entry')}")
    )
    for name, problem in problems.items():
        report.note(f"{name} cannot be listed: {problem}")
    for name, problem in unlisted.items():
        report.note(f"the results in {name} cannot be listed: {problem}")


def _measure_all(report: Report, lake: Lake) -> None:
    """Give every store of the lake the measures that it lacks, and name what was added."""
    from stemzarr.pixels.resources import Resources
    from stemzarr.store import add_measures

    report.resume = "Run the same command again to measure the rest"
    for name in lake:
        with report.attempt(), report.progress(f"measuring {name}") as progress:
            added = add_measures(lake[name].path, Resources(progress=progress))
            if added:
                report.note(f"{name}: added {', '.join(added)}")


@catalog.command(cls=Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_names)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--keep-results", is_flag=True, help="Leave what 'stemzarr result add' added.")
@lake_option
@click.pass_obj
def remove(
    report: Report,
    /,
    *,
    names: tuple[str, ...],
    yes: bool,
    keep_results: bool,
    lake: Path | None,
) -> None:
    """Delete entries: their stores and what people said about them.

    Results go with the entry, those of 'stemzarr result add' and those that people added to the
    store below analysis; they are named first. The former stay with --keep-results, and belong
    to the entry again once its source is ingested under its name.
    Only stores of the lake can be deleted; the files that they were made from stay.
    """
    from stemzarr.store import find_added
    from stemzarr_catalog import open_lake
    from stemzarr_catalog.results import find_results

    opened = open_lake(lake)
    opened.manager.check_writable()
    for name in names:
        with report.attempt():
            path = opened.store_path(name) if name in opened.problems else opened[name].path
            kept = [found.stem for found in find_results(opened.path, name)]
            results = (*find_added(path), *(() if keep_results else kept))
            if yes or _confirmed(name, path, results):
                opened.remove(name, keep_results=keep_results)
                if kept and keep_results:
                    report.note(f"the results {shorten_list(kept)} of {name} stay")
                record = {"name": name, "status": "removed", "results": list(results)}
                lost = f", with its results {shorten_list(results)}" if results else ""
                report.result(record, functools.partial(report.say, f"{name}  removed{lost}"))
            else:
                report.note(f"{name} stays")


def _confirmed(name: str, store: Path, results: tuple[str, ...]) -> bool:
    """Ask the person, who must be there to be asked."""
    lost = f", with the results {shorten_list(results)}" if results else ""
    if not sys.stdin.isatty():
        msg = f"{name} would be deleted permanently{lost}; use --yes without a terminal"
        raise OptionError(msg, path=store, hint="use --yes to delete it")
    return click.confirm(f"Delete {name} for good ({store}){lost}?", err=True)


@catalog.command(cls=Command)
@any_lake_option
@click.pass_obj
def path(report: Report, /, *, lake: Path | None) -> None:
    """Print the path of catalog.yaml, for intake.

    For example: intake.open_catalog(PATH).
    """
    from stemzarr_catalog import open_lake

    yaml = str(open_lake(lake).yaml)
    report.result({"path": yaml}, lambda: report.say(yaml))


@catalog.command(cls=Command)
@lake_option
@click.pass_obj
def validate(report: Report, /, *, lake: Path | None) -> None:
    """Check attributes, notes, names, the index and catalog.yaml.

    Every attribute is compared with the JSON Schema of stores. Pixels are not read: that is
    'stemzarr verify'.
    """
    from stemzarr_catalog import open_lake
    from stemzarr_catalog.validate import validate_lake

    opened = open_lake(lake)
    sound = True
    for finding in validate_lake(opened):
        sound = False
        report.result(finding.json(), lambda: None)
        report.fail(DamagedStoreError(finding.message, path=finding.path))
    if sound and not report.as_json:
        report.say(f"{opened.path}: {format_count(len(opened), 'entry')}, all as they should be")


@catalog.command(cls=Command)
@click.argument("dest", type=PATH)
@click.argument("query", nargs=-1, shell_complete=complete_query)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["stac", "parquet", "citation", "deposit"]),
    help="[default: parquet where DEST ends in .parquet, else stac]",
)
@click.option("--overwrite", is_flag=True, help="Replace what is at DEST.")
@any_lake_option
@click.pass_obj
def export(
    report: Report,
    /,
    *,
    dest: Path,
    query: tuple[str, ...],
    format_name: str | None,
    overwrite: bool,
    lake: Path | None,
) -> None:
    """Write the catalog for other programs.

    As a static STAC collection in the folder DEST, as one Parquet table DEST.parquet, or as what
    it takes to cite the data (RO-Crate, DataCite, CITATION.cff and a README in the folder DEST),
    of all entries or of those that QUERY finds. A deposit is a folder for Zenodo and its like,
    which take no folders: each store as one .zarr.zip, with all that and the SHA-256 of the files.
    """
    from stemzarr_catalog import open_lake
    from stemzarr_catalog.depositing import export_deposit
    from stemzarr_catalog.export import export_citation, export_parquet, export_stac

    chosen = format_name or ("parquet" if dest.suffix == ".parquet" else "stac")
    writers: dict[str, Callable[..., int]] = {
        "parquet": export_parquet,
        "stac": export_stac,
        "citation": export_citation,
        "deposit": functools.partial(export_deposit, note=report.note),
    }
    written = writers[chosen](open_lake(lake), dest, " ".join(query), overwrite=overwrite)
    record = {"dest": str(dest.absolute()), "format": chosen, "entries": written}
    count = format_count(written, "entry")
    report.result(record, lambda: report.say(f"{format_path(dest)}  {chosen}  {count}"))
