"""Writes at given offsets of one file, from many threads at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from stemzarr.storage.files import write_all

__all__ = ["PositionedWriter"]


class PositionedWriter:
    """A file that exists already, open for writes at given offsets from many threads.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = path.open("r+b", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of `data`, a contiguous view of bytes, from `offset` on."""
        write_all(lambda part, done: self._write_some(part, offset + done), data)

    def _write_some(self, data: memoryview, offset: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._file.fileno(), data, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.write(data) or 0
