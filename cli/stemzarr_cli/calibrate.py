"""``stemzarr calibrate``: revises calibration and facts of a store."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import click

from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.parameters import ASSIGNMENT, gather
from stemzarr_cli.places import find_source
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_number


@click.command(cls=Command)
@click.argument("name")
@click.argument("facts", nargs=-1, required=True, type=ASSIGNMENT, metavar="FACT=VALUE...")
@lake_option
@click.pass_obj
def calibrate(
    report: Report, /, *, name: str, facts: tuple[tuple[str, Any], ...], lake: Path | None
) -> None:
    """Revise calibration and facts of a store.

    The pixels stay as they are, and the earlier values are kept in the store's record. FACT is a
    fact (camera_length_mm=115), a property of an axis (det_x.scale=0.021 det_x.units=1/nm) or of
    the values (brightness.scale=0.5); another document's begins with its slug (survey/x.scale=2).
    """
    from stemzarr.store import revise

    given = gather(facts)
    place = find_source(name, lake)
    if place.entry is not None and place.lake is not None:
        changes = place.lake.calibrate(place.entry.name, given)
    else:
        changes = revise(place.path, given)
    record = {"name": place.path.stem, "changes": [dataclasses.asdict(one) for one in changes]}
    report.result(record, functools.partial(_draw, report, record))


def _draw(report: Report, record: dict[str, Any]) -> None:
    for change in record["changes"]:
        before = "not known" if change["before"] is None else format_number(change["before"])
        report.say(f"{change['fact']}: {before} → {format_number(change['after'])}")
    if not record["changes"]:
        report.say(f"{record['name']}: nothing is different")
