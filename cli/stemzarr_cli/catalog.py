"""``stemzarr catalog``: keeps the index of a lake."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import click

from stemzarr.errors import OptionError
from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.report import Report


@click.group()
def catalog() -> None:
    """Keep the index of a lake."""


@catalog.command(cls=Command)
@lake_option
@click.pass_obj
def rebuild(report: Report, /, *, lake: Path | None) -> None:
    """Make the index and catalog.yaml anew from the stores and notes.

    Nothing is lost by it: stores and notes are the truth, the index is a cache.
    """
    from stemzarr_catalog import open_lake

    opened = open_lake(lake)
    opened.rebuild()
    problems = opened.problems
    record = {"lake": str(opened.path), "entries": len(opened), "problems": problems}
    report.result(record, lambda: report.say(f"{opened.path}: {len(opened)} entries"))
    for name, problem in problems.items():
        report.note(f"{name} cannot be listed: {problem}")


@catalog.command(cls=Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@lake_option
@click.pass_obj
def remove(report: Report, /, *, names: tuple[str, ...], yes: bool, lake: Path | None) -> None:
    """Delete entries: their stores and what people said about them.

    Only stores of the lake can be deleted; the files that they were made from stay.
    """
    from stemzarr_catalog import open_lake

    opened = open_lake(lake)
    for name in names:
        with report.attempt():
            entry = opened[name]
            if yes or _confirmed(name, entry.path):
                opened.remove(name)
                record = {"name": name, "status": "removed"}
                report.result(record, functools.partial(report.say, f"{name}  removed"))
            else:
                report.note(f"{name} stays")


def _confirmed(name: str, store: Path) -> bool:
    """Ask the person, who must be there to be asked."""
    if not sys.stdin.isatty():
        raise OptionError("nobody can be asked", path=store, hint="say --yes to delete it")
    return click.confirm(f"Delete {name} for good ({store})?", err=True)


@catalog.command(cls=Command)
@lake_option
@click.pass_obj
def path(report: Report, /, *, lake: Path | None) -> None:
    """Print the path of catalog.yaml, for intake.

    For example: intake.open_catalog(PATH).
    """
    from stemzarr_catalog import open_lake

    yaml = str(open_lake(lake).yaml)
    report.result({"path": yaml}, lambda: report.say(yaml))
