"""Runs the tasks of an ingest on the threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from stemzarr.model import Progress
from stemzarr.store.ingest.task import Workspace

__all__ = ["Tally", "checking", "run_in_threads"]

_POLL_S = 0.5
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class _Task(Protocol[R_co]):
    def run(self, workspace: Workspace) -> R_co: ...


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts bytes of values over threads and tells the user."""

    total: int
    """Bytes in all."""
    progress: Progress | None
    """Is told; may be None."""
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
    tasks: Iterable[_Task[T]], threads: int, note: Callable[[T], None], tally: Tally
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
        Is told what each task returns, in this thread.
    tally
        Counts bytes.
    """
    stop = threading.Event()
    own = threading.local()

    def work(task: _Task[T]) -> T:
        if not hasattr(own, "workspace"):
            own.workspace = Workspace(stop=stop, report=tally.add)
        return task.run(own.workspace)

    with ThreadPoolExecutor(threads, thread_name_prefix="stemzarr") as pool:
        pending: set[Future[T]] = {pool.submit(work, task) for task in tasks}
        try:
            while pending:
                # Windows delivers Ctrl-C only to waits that end by themselves.
                done, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in done:
                    note(future.result())
        except BaseException:
            stop.set()
            for future in pending:
                future.cancel()
            _note_finished(pending, note)
            raise


def _note_finished(pending: set[Future[T]], note: Callable[[T], None]) -> None:
    """Note what still finishes after a failure, which need not be done again."""
    for future in wait(pending).done:
        if not future.cancelled() and future.exception() is None:
            note(future.result())
