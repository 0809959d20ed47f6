"""Work in threads that stops early: when a call raises, when the consumer stops, at Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

__all__ = ["map_in_threads"]

_POLL_S = 0.5

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(  # noqa: PLR0913 - what may vary, one by one
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    ahead: float = 1,
    ordered: bool = True,
    stop: threading.Event | None = None,
    rest: Callable[[Result], None] | None = None,
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for every item, computed in threads.

    When the consumer stops or a call raises, what has not begun is dropped and what has begun is
    awaited.

    Parameters
    ----------
    function
        Is called in threads.
    items
        What it is called with; taken from in this thread.
    threads
        How many calls are made at once.
    ahead
        How many more items may wait for a thread, or their results to be taken; `math.inf` where
        results are small.
    ordered
        Whether results come in the order of their items, or as they are ready.
    stop
        Is set at the end, so that calls which look at it can end early.
    rest
        Is called with each result that comes after the consumer stopped or a call raised.
    """
    waiting: list[Future[Result]] = []
    with ThreadPoolExecutor(threads, thread_name_prefix="stemzarr") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= threads + ahead:
                    yield _take(waiting, ordered=ordered)
            while waiting:
                yield _take(waiting, ordered=ordered)
        finally:
            if stop is not None:
                stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            for future in waiting:
                if rest and not future.cancelled() and future.exception() is None:
                    rest(future.result())


def _take(waiting: list[Future[Result]], *, ordered: bool) -> Result:
    """Remove a future that is done, or the first one, and return its result."""
    while True:
        for place, future in enumerate(waiting[:1] if ordered else waiting):
            if future.done():
                return waiting.pop(place).result()
        # Windows delivers Ctrl-C only to waits that end by themselves.
        wait(waiting[:1] if ordered else waiting, timeout=_POLL_S, return_when=FIRST_COMPLETED)
