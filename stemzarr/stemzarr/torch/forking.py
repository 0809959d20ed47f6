"""Work in threads that a fork waits for, so that no child inherits a lock that is held."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

__all__ = ["held_off_by_forks"]


class _Gate:
    """Lets threads pass until it is closed, which waits for those inside."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = 0

    @contextlib.contextmanager
    def passing(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed += 1
            self._changed.wait_for(lambda: not self._inside)

    def open(self) -> None:
        with self._changed:
            self._closed -= 1
            self._changed.notify_all()


_gate = _Gate()


def held_off_by_forks() -> contextlib.AbstractContextManager[None]:
    """Return a context that begins in no fork of the process, and that a fork waits for.

    What is inside may take locks of this process for a moment, and must not fork itself.
    """
    return _gate.passing()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _gate.close(),  # noqa: PLW0108 - a child has another gate
        after_in_parent=lambda: _gate.open(),  # noqa: PLW0108 - the same
        after_in_child=_gate.__init__,  # type: ignore[misc]  # a lock of another thread stays held
    )
