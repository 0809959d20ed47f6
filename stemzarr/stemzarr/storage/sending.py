"""An object that is sent while it is made: in parts, of which a few are in memory."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

__all__ = ["PART_BYTES", "PartSink"]

PART_BYTES: Final = 8 * 1024**2
"""Bytes of a part."""
_IN_MEMORY = 16 * 1024**2
"""Size up to which an object is sent by one request."""
_LOOK_S = 0.1
"""Seconds after which one that waits looks whether anybody still sends."""


class _StoppedError(Exception):
    """The object is not to appear."""


class PartSink:
    """Takes the bytes of an object; a large one is sent meanwhile, by a thread.

    Parameters
    ----------
    send
        Sends an object, from its bytes or from an iterator over its parts, and puts nothing
        where that raises.
    """

    def __init__(self, send: Callable[[bytes | Iterator[bytes]], None]) -> None:
        self._send = send
        self._held = bytearray()
        self._parts: queue.Queue[bytes | None] = queue.Queue(1)
        self._pool: ThreadPoolExecutor | None = None
        self._sent: Future[None] = Future()
        self._stopped = False

    def write(self, piece: bytes, /) -> None:
        """Take the next bytes.

        Raises
        ------
        WriteError
            What came before could not be sent.
        """
        self._held += piece
        if self._pool is None and len(self._held) > _IN_MEMORY:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="stemzarr-send")
            self._sent = self._pool.submit(self._send, self._take())
        while self._pool is not None and len(self._held) >= PART_BYTES:
            self._give(bytes(memoryview(self._held)[:PART_BYTES]))
            del self._held[:PART_BYTES]

    def finish(self) -> None:
        """Send what is left, and return when the object is there.

        Raises
        ------
        WriteError
            It could not be sent.
        """
        if self._pool is None:
            self._send(bytes(self._held))
            return
        with self._pool:
            self._give(bytes(self._held))
            self._give(None)
            self._sent.result()

    def stop(self) -> None:
        """End without an object."""
        self._stopped = True
        if self._pool is not None:
            with self._pool:
                self._give(None, quiet=True)

    def _give(self, part: bytes | None, *, quiet: bool = False) -> None:
        """Hand a part to the thread, or raise what ended that."""
        while not self._sent.done():
            try:
                self._parts.put(part, timeout=_LOOK_S)
            except queue.Full:
                continue
            return
        if not quiet:
            self._sent.result()

    def _take(self) -> Iterator[bytes]:
        while (part := self._parts.get()) is not None and not self._stopped:
            if part:
                yield part
        if self._stopped:
            raise _StoppedError
