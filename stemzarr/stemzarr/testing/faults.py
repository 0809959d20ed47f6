"""Faults of the operating system, brought about at a chosen moment.

As SQLite does it: an operation is run again and again, and each time the next of its calls that
change the disk fails, until one run meets no fault. Whatever the moment, what is left must be
what was promised. Calls are those that Python makes: opening a file to write, writing, flushing,
renaming, removing, making a folder. What a C library writes by itself is not seen.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self
from unittest import mock

__all__ = ["Crash", "Faults", "inject_faults", "no_space", "read_fails"]

Mode = Literal["once", "lasting", "crash"]
"""One call fails; it and all later ones that take space fail; the process is dead from then on."""


class Crash(BaseException):
    """Stands for the sudden end of the process: nothing after it reaches the disk."""


def no_space() -> OSError:
    """Return what a full disk says."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_fails() -> OSError:
    """Return what a failing disk says."""
    return OSError(errno.EIO, os.strerror(errno.EIO))


@dataclass(slots=True)
class Faults:
    """Counts the calls that change the disk and fails the chosen one."""

    at: int | None
    """Number of the call that fails, counted from 0; None only counts."""
    error: Callable[[], BaseException] = no_space
    """Makes what that call raises."""
    mode: Mode = "once"
    """What becomes of the calls after it."""
    below: Path | None = None
    """The folder below which calls count; everywhere where it is None."""
    calls: list[str] = field(default_factory=list)
    """Names of the calls so far."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def struck(self) -> bool:
        """Whether the chosen call was reached."""
        return self.at is not None and len(self.calls) > self.at

    def call(self, name: str, *, takes_space: bool = True) -> None:
        """Count a call, and raise if it is to fail."""
        with self._lock:
            number = len(self.calls)
            self.calls.append(name)
        if self.at is None or number < self.at:
            return
        later = {"once": False, "lasting": takes_space, "crash": True}[self.mode]
        if number == self.at or later:
            raise self.error()

    def concerns(self, path: Any) -> bool:  # noqa: ANN401 - whatever os functions take
        """Return whether a call on `path` counts."""
        if isinstance(path, int):
            return False
        return self.below is None or Path(os.fsdecode(path)).is_relative_to(self.below)


class _Watched:
    """A file whose writes are counted."""

    def __init__(self, file: Any, faults: Faults) -> None:  # noqa: ANN401 - any file object
        self._file = file
        self._faults = faults

    def write(self, data: Any) -> Any:  # noqa: ANN401 - as the file's
        self._faults.call("write")
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the file has
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


@contextlib.contextmanager
def inject_faults(
    at: int | None,
    *,
    error: Callable[[], BaseException] = no_space,
    mode: Mode = "once",
    below: Path | None = None,
) -> Iterator[Faults]:
    """Let the `at`-th call that changes the disk fail inside the block.

    Parameters
    ----------
    at
        Which call fails, counted from 0; None counts them all.
    error
        Makes what it raises; `Crash` for the end of the process.
    mode
        What becomes of later calls.
    below
        The folder whose calls count.

    Yields
    ------
    Faults
        Says afterwards which calls were made.
    """
    faults = Faults(at=at, error=error, mode=mode, below=below)
    with contextlib.ExitStack() as stack:
        # A module that is imported meanwhile must not be compiled to a file that is cut short.
        stack.enter_context(mock.patch.object(sys, "dont_write_bytecode", new=True))
        stack.enter_context(mock.patch.object(io, "open", _open(faults, io.open)))
        for name in ("fsync", "pwrite"):
            if hasattr(os, name):
                stack.enter_context(mock.patch.object(os, name, _plain(faults, name)))
        for name in ("link", "mkdir", "replace", "rename", "unlink", "rmdir"):
            stack.enter_context(mock.patch.object(os, name, _on_path(faults, name)))
        yield faults


def _open(faults: Faults, original: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        if not set(mode) & set("wax+") or not faults.concerns(file):
            return original(file, mode, *rest, **more)
        faults.call("open")
        return _Watched(original(file, mode, *rest, **more), faults)

    return opened


def _plain(faults: Faults, name: str) -> Callable[..., Any]:
    original = getattr(os, name)

    def called(*arguments: Any) -> Any:  # noqa: ANN401
        faults.call(name)
        return original(*arguments)

    return called


def _on_path(faults: Faults, name: str) -> Callable[..., Any]:
    original = getattr(os, name)

    def called(path: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        if more.get("dir_fd") is not None or faults.concerns(path):
            faults.call(name, takes_space=name in {"link", "mkdir"})
        return original(path, *rest, **more)

    return called
