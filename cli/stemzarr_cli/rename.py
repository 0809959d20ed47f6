"""``stemzarr rename``: another name for an entry."""

from __future__ import annotations

from pathlib import Path

import click

from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.completing import complete_names
from stemzarr_cli.report import Report


@click.command(cls=Command)
@click.argument("name", shell_complete=complete_names)
@click.argument("new")
@lake_option
@click.pass_obj
def rename(report: Report, /, *, name: str, new: str, lake: Path | None) -> None:
    """Give an entry another name.

    Its store, notes and results, the index and catalog.yaml change together. The former name is
    remembered, since exports that were made before say it: 'stemzarr ls' finds the entry by it.
    """
    from stemzarr_catalog import open_lake

    entry = open_lake(lake).rename(name, new)
    record = {"name": entry.name, "formerly": name, "store": str(entry.path)}
    report.result(record, lambda: report.say(f"{name}  is now {entry.name}"))
