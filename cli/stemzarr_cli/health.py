"""What ``stemzarr ls --health`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stemzarr_catalog.health import Health, read_health
from stemzarr_catalog.wording import format_value
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_bytes, format_count, format_path, shorten_list

if TYPE_CHECKING:
    from stemzarr_catalog import Lake

__all__ = ["show_health"]


def show_health(report: Report, lake: Lake) -> None:
    """Print the state of a lake, the most important line last."""
    health = read_health(lake)

    def draw() -> None:
        from stemzarr_cli.tables import FactList

        report.say(format_path(lake.path), bold=True)
        report.show(FactList(_lines(health)))

    report.result({"lake": str(lake.path), **health.json()}, draw)


def _lines(health: Health) -> Iterator[tuple[str, str]]:
    virtual = f", {health.virtual:,} of them virtual" if health.virtual else ""
    yield "entries", f"{format_count(health.entries, 'entry')}{virtual}"
    sizes = f"{format_bytes(health.source_bytes)} → {format_bytes(health.stored_bytes)}"
    saved = health.saved_bytes
    share = f" ({saved / health.source_bytes:.0%})" if health.source_bytes else ""
    yield "size", f"{sizes}, {format_bytes(abs(saved))} {'saved' if saved >= 0 else 'more'}{share}"
    since = f", the oldest on {format_value('ingested', health.oldest)}" if health.oldest else ""
    yield "verified", f"{format_count(health.verified, 'store')}{since}"
    if health.unverified:
        size, names = format_bytes(health.unverified_bytes), shorten_list(health.unverified)
        count = format_count(len(health.unverified), "store")
        yield "unverified", f"{count}, {size}: {names} ('stemzarr verify --all --oldest')"
    for alike in health.duplicates:
        yield "duplicates", f"{', '.join(alike)} hold the same data"
    for name, why in health.failing.items():
        yield "failing", f"{name}: {why} ('stemzarr verify {name}')"
    if not health.failing:
        yield "failing", "none"
