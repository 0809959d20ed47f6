"""Runs the tasks of an ingest on the threads of this process."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from stemzarr.model import Progress
from stemzarr.pixels.threads import map_in_threads
from stemzarr.store.ingest.task import Workspace

__all__ = ["ProgressCounter", "checking", "run_in_threads"]

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class _Task(Protocol[R_co]):
    def run(self, workspace: Workspace) -> R_co: ...


@dataclass(slots=True, kw_only=True)
class ProgressCounter:
    """Counts bytes of values over threads and reports progress."""

    total: int
    """Bytes in all."""
    progress: Progress | None
    """Progress callback; may be None."""
    done: int = 0
    """Bytes so far."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, nbytes: int) -> None:
        """Count some bytes; calls from several threads are passed on one at a time."""
        with self._lock:
            self.done += nbytes
            if self.progress is not None:
                self.progress(self.done, self.total)


def checking(check: Callable[[], None], progress: Progress | None) -> Progress:
    """Return a progress callback that first asks whether the work may go on.

    Parameters
    ----------
    check
        Raises where it may not, as `FileLock.check`.
    progress
        The callback; may be None.
    """

    def advance(done: int, total: int) -> None:
        check()
        if progress is not None:
            progress(done, total)

    return advance


def run_in_threads(
    tasks: Iterable[_Task[T]], threads: int, note: Callable[[T], None], counter: ProgressCounter
) -> None:
    """Run all tasks, each by one thread, and note each as it is done.

    When one fails or the user interrupts, the others end at their next box and what is done stays
    noted.

    Parameters
    ----------
    tasks
        What to do.
    threads
        How many threads work at once.
    note
        Called with what each task returns, in this thread.
    counter
        Counts bytes.
    """
    workspace = Workspace(report=counter.add)
    results = map_in_threads(
        lambda task: task.run(workspace),
        tasks,
        threads=threads,
        ahead=math.inf,
        ordered=False,
        stop=workspace.stop,
        rest=note,
    )
    with contextlib.closing(results):
        for result in results:
            note(result)
