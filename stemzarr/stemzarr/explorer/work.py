"""Threads behind the server: those that read little, one that sums tiles, one that computes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["Work"]

_READERS = 2


class Work:
    """Threads that read little, one that sums tiles, and one that computes.

    What nobody waits for any more is stopped.
    """

    def __init__(self) -> None:
        self.progress: dict[tuple[str, str], float] = {}
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="stemzarr-read")
        self._summer = ThreadPoolExecutor(1, thread_name_prefix="stemzarr-tiles")
        self._computer = ThreadPoolExecutor(1, thread_name_prefix="stemzarr-compute")
        self._running: dict[tuple[str, str], threading.Event] = {}

    async def read(self, function: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it returns
        """Return what a function gives that reads little."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, function)

    async def sum(self, function: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it returns
        """Return what a function gives that reads much, while patterns go on being read."""

        def act() -> Any:  # noqa: ANN401
            with contextlib.suppress(InterruptedError):
                return function()
            raise InterruptedError  # a new one: the frames of the other hold its sums

        return await asyncio.get_running_loop().run_in_executor(self._summer, act)

    async def compute(self, job: tuple[str, str], function: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        """Return ``function(progress)``; an earlier call of the same job is stopped."""
        earlier = self._running.get(job)
        if earlier is not None:
            earlier.set()
        stopped = self._running[job] = threading.Event()
        self.progress[job] = 0.0

        def report(done: int, total: int) -> None:
            if stopped.is_set():
                raise InterruptedError
            self.progress[job] = done / max(1, total)

        def act() -> Any:  # noqa: ANN401
            if stopped.is_set():
                raise InterruptedError
            return function(report)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._computer, act)
        finally:
            if self._running.get(job) is stopped:
                del self._running[job], self.progress[job]

    def close(self) -> None:
        """Stop what runs, and wait for it."""
        for stopped in self._running.values():
            stopped.set()
        for pool in (self._readers, self._summer, self._computer):
            pool.shutdown(wait=True, cancel_futures=True)
