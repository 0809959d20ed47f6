"""``stemzarr calibrate``: revises calibration and facts of stores."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemzarr.errors import OptionError, StemzarrError, UnsupportedDataError
from stemzarr.options import as_path
from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.completing import complete_facts
from stemzarr_cli.parameters import ASSIGNMENT, Parsed, gather
from stemzarr_cli.places import Place, find_source
from stemzarr_cli.report import Report
from stemzarr_cli.selecting import confirm_many, find_entries, query_options
from stemzarr_cli.text import format_count, format_number, shorten_list

if TYPE_CHECKING:
    from stemzarr.model import Fact
    from stemzarr.store import Change

    _Planned = tuple[Place, Mapping[str, Fact], tuple[Change, ...]]


def _disk(text: str) -> float:
    from stemzarr_catalog.calibrating import read_disk_radius

    return read_disk_radius(text)


def _spacing(text: str) -> tuple[float, float]:
    from stemzarr_catalog.calibrating import read_spacing

    return read_spacing(text)


@click.command(cls=Command)
@click.argument("words", nargs=-1, metavar="[NAME] FACT=VALUE...", shell_complete=complete_facts)
@query_options
@click.option(
    "--disk-radius",
    type=Parsed("ANGLE", _disk),
    help="The convergence semi-angle, such as 20mrad: the central disk gives the step.",
)
@click.option(
    "--known-spacing",
    type=Parsed("SPACING@RADIUS", _spacing),
    help="A lattice spacing, and the radius in pixels of its reflection: 0.224nm@31.5.",
)
@click.option("--undo", is_flag=True, help="Put back what the last revision changed.")
@lake_option
@click.pass_obj
def calibrate(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    words: tuple[str, ...],
    query: str | None,
    yes: bool,
    disk_radius: float | None,
    known_spacing: tuple[float, float] | None,
    undo: bool,
    lake: Path | None,
) -> None:
    """Revise calibration and facts of a store.

    The pixels stay as they are, and the earlier values are kept in the store's record. FACT is a
    fact (camera_length=12cm), a property of an axis (det.scale=0.021/nm) or of the values
    (brightness.scale=0.5); another document's begins with its slug (survey/x.scale=2). With
    --query, all entries that it finds are revised, after a preview and a question.
    """
    name, facts = _split(words, has_name=query is None)
    if known_spacing is not None:
        facts |= {"det.scale": 1 / known_spacing[0] / known_spacing[1], "det.units": "1/nm"}
    if undo == bool(facts or disk_radius):
        msg = (
            "needs FACT=VALUE, --disk-radius or --known-spacing"
            if not undo
            else "--undo takes no values"
        )
        raise OptionError(msg, hint="give either what to set, or --undo")
    places = [find_source(name, lake)] if name is not None else find_entries(query or "", lake)
    if undo:
        _undo_all(report, places, yes=yes or query is None)
        return
    if query is None:
        _revise(report, places[0], _facts_of(places[0], facts, disk_radius))
        return
    planned = _plan(report, places, facts, disk_radius)
    if not _confirmed(report, planned, yes=yes):
        return
    for place, given, _ in planned:
        with report.attempt():
            _revise(report, place, given, is_shown=False)
    report.say(f"{format_count(sum(bool(one[2]) for one in planned), 'entry')} calibrated")


def _split(words: Sequence[str], *, has_name: bool) -> tuple[str | None, dict[str, Fact]]:
    """Return the name of the entry, which comes first where there is one, and the facts."""
    from stemzarr_catalog.calibrating import spell_facts

    if has_name and not words:
        raise OptionError("needs NAME, or --query", hint="'stemzarr ls' lists the names")
    if has_name and "=" in words[0] and not as_path(words[0]).exists():
        msg = f"{words[0]!r} is where NAME is expected"
        raise OptionError(msg, hint="name the entry first, or many with --query")
    name, rest = (words[0], words[1:]) if has_name else (None, words)
    return name, spell_facts(gather(ASSIGNMENT(word) for word in rest))


def _facts_of(place: Place, facts: Mapping[str, Fact], disk: float | None) -> dict[str, Fact]:
    """Return what is set of one store: by the angle, where its own central disk is needed."""
    if disk is None:
        return dict(facts)
    from stemzarr_catalog.calibrating import scale_by_disk

    return {**scale_by_disk(place.path, disk), **facts}


def _plan(
    report: Report, places: Sequence[Place], facts: Mapping[str, Fact], disk: float | None
) -> list[_Planned]:
    """Return what is set of each store and what that changes; those that it does not fit fail."""
    from stemzarr_catalog.calibrating import plan_changes

    planned: list[_Planned] = []
    unfit: dict[str, list[str]] = defaultdict(list)
    for place in places:
        try:
            given = _facts_of(place, facts, disk)
            planned.append((place, given, plan_changes(place.path, given)))
        except StemzarrError as error:
            unfit[re.sub(r"^document '[^']*' ", "it ", error.message)].append(place.path.stem)
    for why, names in unfit.items():
        msg = f"{format_count(len(names), 'entry')} left out, {shorten_list(names)}: {why}"
        hint = "narrow the query so that it finds none of them, for example with kind=4d-stem"
        report.fail(UnsupportedDataError(msg, hint=hint))
    return planned


def _confirmed(report: Report, planned: Sequence[_Planned], *, yes: bool) -> bool:
    """Show what would change, the same change of several entries once, and ask."""
    found: dict[str, list[str]] = defaultdict(list)
    for place, _, changes in planned:
        for change in changes:
            found[_describe(change)].append(place.path.stem)
    changed = sum(bool(changes) for _, _, changes in planned)
    lines = [f"{change} in {shorten_list(names)}" for change, names in found.items()]
    same = len(planned) - changed
    if same:
        lines.append(
            f"{format_count(same, 'entry')} already {'has' if same == 1 else 'have'} these values"
        )
    if not changed:
        report.say(lines[0] if lines else "nothing changes")
        return False
    return confirm_many(report, lines, f"Calibrate {format_count(changed, 'entry')}?", yes=yes)


def _revise(
    report: Report, place: Place, facts: Mapping[str, Fact], *, is_shown: bool = True
) -> None:
    if place.entry is not None and place.lake is not None:
        changes = place.lake.calibrate(place.entry.name, facts)
    else:
        from stemzarr.store import revise

        changes = revise(place.path, facts)
    record = {"name": place.path.stem, "changes": [dataclasses.asdict(one) for one in changes]}
    draw = functools.partial(_draw, report, place.path.stem, changes)
    report.result(record, draw if is_shown else lambda: None)


def _undo_all(report: Report, places: Sequence[Place], *, yes: bool) -> None:
    from stemzarr.store import undo_revision

    question = f"Undo the last revision of {format_count(len(places), 'entry')}?"
    names = [shorten_list([place.path.stem for place in places])]
    if not yes and not confirm_many(report, names, question, yes=False):
        return
    for place in places:
        with report.attempt():
            changes = undo_revision(place.path)
            if place.lake is not None:
                place.lake.update(place.path.stem)
            undone = [{**dataclasses.asdict(one)} for one in changes]
            record: dict[str, Any] = {"name": place.path.stem, "undone": undone}
            report.result(record, functools.partial(_draw, report, place.path.stem, changes, -1))


def _draw(report: Report, name: str, changes: Sequence[Change], direction: int = 1) -> None:
    for change in changes:
        report.say(f"{name}  {_describe(change, direction)}")
    if not changes:
        report.say(f"{name}  nothing changes")


def _describe(change: Change, direction: int = 1) -> str:
    """Return a change in words, or backwards what undid it."""
    before, after = (
        "not known" if value is None else format_number(value)
        for value in (change.before, change.after)[::direction]
    )
    return f"{change.fact}: {before} → {after}"
