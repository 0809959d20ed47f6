"""``stemzarr ls --like``: scans that resemble one pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stemzarr_cli.places import find_source
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_count

if TYPE_CHECKING:
    from stemzarr_catalog import Lake
    from stemzarr_catalog.alike import Comparison

__all__ = ["list_alike"]

_LIMIT = 10


def list_alike(
    report: Report,
    lake: Lake,
    like: tuple[str, tuple[int, int]],
    query: str,
    limit: int | None,
) -> None:
    """List the scans of a query, the most alike first, and name those that cannot be compared."""
    from stemzarr_catalog.alike import find_alike, read_model

    source, at = like
    model = read_model(find_source(source, lake.path, far=True).path, at)
    most = _LIMIT if limit is None else limit
    with report.progress("reading mean patterns", counted="scans") as progress:
        compared = find_alike(lake, model, query, limit=most, progress=progress)
    _tell(report, lake, compared)


def _tell(report: Report, lake: Lake, compared: Comparison) -> None:
    if report.as_json:
        for alike in compared.found:
            said = {
                "likeness": alike.likeness,
                "at": list(alike.at),
                "mean_likeness": alike.mean_likeness,
            }
            report.result({**alike.entry.json(), **said}, lambda: None)
        for name, reason in compared.not_compared.items():
            report.result({"name": name, "likeness": None, "not_compared": reason}, lambda: None)
    elif compared.found:
        from stemzarr_cli.tables import alike_table

        report.show(alike_table(compared.found))
    else:
        report.note(f"{lake.path}: no scan can be compared")
    if compared.left:
        next_best = next(iter(compared.left.values()))
        report.note(
            f"{format_count(len(compared.left), 'scan')} more by their mean patterns alone, the"
            f" best of them with likeness {next_best:.3f}; --limit N looks through N scans"
        )
    reasons: dict[str, list[str]] = {}
    for name, reason in compared.not_compared.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        report.note(f"not compared: {', '.join(names)}: {reason}")
    if compared.no_scans:
        report.note(f"{format_count(compared.no_scans, 'entry')} left out: not 4D scans")
