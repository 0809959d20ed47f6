"""Stamps: files that say when a command was done, for make, Snakemake and their like."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import click

from stemzarr_cli.parameters import PATH
from stemzarr_cli.report import Report

__all__ = ["stamp_option", "stamped"]

stamp_option = click.option(
    "--stamp",
    type=PATH,
    metavar="FILE",
    help="Write FILE, the JSON lines of the results, when nothing failed, also where all is "
    "unchanged: make and Snakemake look at its time.",
)
"""The option of every command that leaves what is done already as it is."""


@contextlib.contextmanager
def stamped(report: Report, stamp: Path | None) -> Iterator[None]:
    """Write the results of the block into a file, after it, unless something failed.

    Raises
    ------
    WriteError
        The file cannot be written.
    """
    if stamp is None:
        yield
        return
    from stemzarr.storage.local import put_text

    results = report.keep_results()
    yield
    if report.status == 0:
        # What failed and was salvaged then has a line of its own.
        done = (record for record in results if record.get("status") != "failed")
        lines = (json.dumps(record, allow_nan=False) for record in done)
        put_text(stamp, "".join(f"{line}\n" for line in lines))
