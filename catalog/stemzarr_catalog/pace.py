"""When work goes on, and how fast: hours of the day, and bytes in a second."""

from __future__ import annotations

import datetime as dt
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stemzarr.errors import OptionError

if TYPE_CHECKING:
    from stemzarr.model import Progress

__all__ = ["Hours", "OutsideHoursError", "Pace", "parse_hours"]

_HOURS = re.compile(r"(\d{1,2}):(\d\d) ?- ?(\d{1,2}):(\d\d)")
_LONGEST_SLEEP_S = 0.5
"""Ctrl-C waits for threads, which therefore never sleep for long at once."""


class OutsideHoursError(Exception):
    """The hours in which work goes on are over; what is done is kept, and resumed later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A part of each day, by the clock of this machine."""

    begin: dt.time
    """When work begins."""
    end: dt.time
    """When it ends; on the next day where that is earlier than the begin."""

    def seconds_until(self, now: dt.datetime) -> float:
        """Return how long it takes until they begin; 0 within them.

        Examples
        --------
        >>> night = parse_hours("20:00-07:00")
        >>> night.seconds_until(dt.datetime(2026, 1, 15, 6, 59))
        0.0
        >>> night.seconds_until(dt.datetime(2026, 1, 15, 19, 30))
        1800.0
        """
        time_now = now.time()
        if self.begin < self.end:
            is_within = self.begin <= time_now < self.end
        else:
            is_within = time_now >= self.begin or time_now < self.end
        if is_within:
            return 0.0
        begin = dt.datetime.combine(now.date(), self.begin)
        if begin < now:
            begin += dt.timedelta(days=1)
        return (begin - now).total_seconds()


def parse_hours(text: str) -> Hours:
    """Read hours such as ``20:00-07:00``.

    Raises
    ------
    OptionError
        The text names no two different times of a day.
    """
    hint = "write two times, such as 20:00-07:00"
    found = _HOURS.fullmatch(text.strip())
    if found is None:
        raise OptionError(f"{text!r} is not a range of times", hint=hint)
    try:
        begin, end = (dt.time(int(found[n]), int(found[n + 1])) for n in (1, 3))
    except ValueError:
        raise OptionError(f"{text!r} names a time that does not exist", hint=hint) from None
    if begin == end:
        raise OptionError(f"{text!r} begins and ends at the same time", hint=hint)
    return Hours(begin=begin, end=end)


@dataclass(slots=True, kw_only=True)
class Pace:
    """Keeps an ingest to hours and to a rate, by its progress callback."""

    hours: Hours | None = None
    """When work goes on; None for always."""
    bandwidth: int | None = None
    """Bytes of pixel data in a second, at most; None for as fast as it goes."""
    now: Callable[[], dt.datetime] = field(default=dt.datetime.now)
    """Gives the local time; another one serves tests."""
    clock: Callable[[], float] = field(default=time.monotonic)
    """Gives seconds."""
    sleep: Callable[[float], None] = field(default=time.sleep)
    """Waits."""
    _due: float = 0.0

    def seconds_until_open(self) -> float:
        """Return how long it takes until work goes on; 0 where it may now."""
        return 0.0 if self.hours is None else self.hours.seconds_until(self.now())

    def follow(self, progress: Progress | None) -> Progress | None:
        """Return a progress callback that keeps to the hours and the rate.

        It raises `OutsideHoursError` when the hours end, and sleeps where work is too fast. What a
        resumed ingest counts as done at its begin, in the thread that began it, costs no time.
        """
        if self.hours is None and self.bandwidth is None:
            return progress
        beginner, last = threading.get_ident(), 0

        def advance(done: int, total: int) -> None:
            nonlocal last
            if progress is not None:
                progress(done, total)
            if self.seconds_until_open():
                raise OutsideHoursError
            if threading.get_ident() != beginner:
                self._spend(done - last)
            last = done

        return advance

    def _spend(self, nbytes: int) -> None:
        """Sleep until the bytes so far fit into the rate."""
        if self.bandwidth is None:
            return
        self._due = max(self._due, self.clock()) + nbytes / self.bandwidth
        while (left := self._due - self.clock()) > 0:
            self.sleep(min(left, _LONGEST_SLEEP_S))
