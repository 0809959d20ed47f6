"""Long work that waits: for its hours of the day, and for a share that went away."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from stemzarr.errors import OptionError, StemzarrError
from stemzarr.options import IngestOptions
from stemzarr_catalog.pace import Hours, OutsideHoursError, Pace, parse_hours
from stemzarr_cli.parameters import BYTES, Parsed
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_path, format_seconds

__all__ = ["Steady", "pace_options"]

_POLL_S = 5.0
T = TypeVar("T")

HOURS = Parsed("HH:MM-HH:MM", parse_hours)


def pace_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that has ``options`` of an ingest its `Pace`, as ``pace``.

    Raises
    ------
    OptionError
        Workers read by themselves, so that nothing here could slow them down.
    """

    @functools.wraps(function)
    def wrapped(
        *args: Any,  # noqa: ANN401 - whatever the command takes
        hours: Hours | None,
        bandwidth: int | None,
        options: IngestOptions,
        **given: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        if bandwidth is not None and (options.workers or options.scheduler):
            msg = "--bandwidth excludes --workers and --scheduler"
            raise OptionError(msg, hint="give --threads instead")
        pace = Pace(hours=hours, bandwidth=bandwidth)
        return function(*args, options=options, pace=pace, **given)

    in_hours = click.option(
        "--hours", type=HOURS, help="Work only at these hours of the day, such as 20:00-07:00."
    )
    at_rate = click.option(
        "--bandwidth", type=BYTES, help="Read at most SIZE of pixel data a second, such as 50MB."
    )
    return in_hours(at_rate(wrapped))


@dataclass(slots=True)
class Steady:
    """Does things that may have to wait.

    Parameters
    ----------
    report
        Where it is said what is waited for.
    pace
        Hours and rate.
    lake
        Folder of the lake, which may go away.
    roots
        Folders of the sources, which may go away, too.
    sleep
        Waits some seconds; another one serves tests.
    """

    report: Report
    pace: Pace
    lake: Path
    roots: Sequence[Path] = ()
    sleep: Callable[[float], None] = time.sleep
    _known: dict[Path, tuple[int, int] | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Remember which folders are there."""
        self._known = {place: _identity(place) for place in (*self.roots, self.lake)}

    def do(self, act: Callable[[], T], needed: Path) -> T:
        """Return what a function returns, which is called again when something came back.

        Parameters
        ----------
        act
            What is done.
        needed
            A file that is there unless its share has gone.
        """
        while True:
            self._wait_for_hours()
            try:
                return act()
            except OutsideHoursError:
                continue
            except (StemzarrError, OSError) as error:
                gone = self._find_gone(needed)
                if gone is None:
                    raise
                self._wait_for(gone, needed, error)

    def _wait_for_hours(self) -> None:
        left = self.pace.seconds_until_open()
        if left:
            self.report.note(
                f"{self.report.name}: waiting {format_seconds(left)} until its hours begin"
            )
        while left:
            self.sleep(min(left, _POLL_S))
            left = self.pace.seconds_until_open()

    def _find_gone(self, needed: Path) -> Path | None:
        """Return the folder that went away; None where each is the one that it was."""
        for place in (*filter(needed.is_relative_to, self.roots), self.lake):
            known = self._known[place]
            if known is not None and _identity(place) != known and not self._is_back(place, needed):
                return place
        return None

    def _is_back(self, place: Path, needed: Path) -> bool:
        """Return whether a folder has what it had: an empty one is where a share was mounted."""
        return _identity(place / "stores" if place == self.lake else needed) is not None

    def _wait_for(self, place: Path, needed: Path, error: Exception) -> None:
        """Wait until a folder is there again: a network share, a disk that was pulled out."""
        said = f"{self.report.name}: {format_path(place)} is gone ({error}); waiting for it"
        self.report.note(f"{said}. Ctrl-C stops, and the same command resumes")
        while not self._is_back(place, needed):
            self.sleep(_POLL_S)
        self.report.note(f"{self.report.name}: {format_path(place)} is back")
        self._known[place] = _identity(place)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and number of a file or folder; None where it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
