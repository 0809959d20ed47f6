"""A lock between processes and machines: a file that only one can create.

The file says who holds it, from the moment it is there: it is written under another name and
linked into place. A process that can be seen from here decides by itself: one that has ended
holds nothing, a running one keeps its lock however long it is silent. Of a process in another
container, on another machine or hidden by the system nothing is known. So the owner touches the
file every few seconds, and a lock that nobody touched for a minute is taken over; ages are
measured by the clock of the file system alone, whatever the clocks of the machines say. An owner
that was asleep for that long finds at its next beat that the lock is another's, and stops.

flock is not used: it is unreliable on network file systems. Nor is `filelock.SoftFileLease`
(4.3.1): its file is created empty, and an empty one is never taken over, so that a process killed
between the two steps locks everyone out for ever; and where two machines have one name, the live
lock of the other is taken for that of a process that ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
import time
import uuid
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stemzarr.errors import StoreBusyError
from stemzarr.storage.files import seconds_untouched
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.processes import ProcessRecord, process_state

__all__ = ["FileLock"]

_HEARTBEAT_S = 5.0
_STALE_S = 60.0
_FIRST_POLL_S = 0.05
_LAST_POLL_S = 0.25
_SAY_S = 1.5
"""How long to wait before saying what is waited for."""


class FileLock:
    """Exclusive right to something, held while the context manager is open.

    Two objects on one path exclude each other, in one process too; it is not reentrant.

    Parameters
    ----------
    path
        The lock file; its folder must exist.
    timeout_s
        How long to wait for another owner; 0 asks once.
    what
        What is locked, for the message.

    Raises
    ------
    StoreBusyError
        Another process holds the lock until the time is over. At the end of the block: the lock
        was lost within it.
    WriteError
        The file cannot be made.

    Warns
    -----
    UserWarning
        Once, after a second or two of waiting: for what, and who holds it.
    """

    def __init__(self, path: Path, *, timeout_s: float = 0.0, what: str = "it") -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._what = what
        self._token = uuid.uuid4().hex
        self._released = threading.Event()
        self._heart: threading.Thread | None = None
        self._lost: str | None = None
        self._confirmed = (0.0, 0.0)

    def __enter__(self) -> Self:
        began = time.monotonic()
        poll, said = _FIRST_POLL_S, False
        while not self._create():
            if self._remove_dead():
                continue
            waited = time.monotonic() - began
            if waited >= self._timeout_s:
                raise self._busy()
            if waited >= _SAY_S and not said:
                said = True
                warnings.warn(self._waiting(), stacklevel=2)
            time.sleep(poll)
            poll = min(poll * 1.2, _LAST_POLL_S)
        self._lost = None
        self._confirmed = _clocks()
        self._released.clear()
        self._heart = threading.Thread(target=self._beat, name="stemzarr-lock", daemon=True)
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._released.set()
        if self._heart is not None:
            self._heart.join()
        if self._made(self.path):
            with contextlib.suppress(OSError):
                self.path.unlink()
        elif kind is None:
            self.check(now=True)

    def check(self, *, now: bool = False) -> None:
        """Raise unless the lock is still held.

        Parameters
        ----------
        now
            Whether to look at its file in any case; otherwise that is done once in a beat, so
            that it may be asked after every block.

        Raises
        ------
        StoreBusyError
            Another process took it over, or it was removed: what it guards is no longer ours.
        """
        ages = (abs(a - b) for a, b in zip(_clocks(), self._confirmed, strict=True))
        if self._lost is None and (now or max(ages) > _HEARTBEAT_S):
            self._look()
        if self._lost is not None:
            hint = "this machine slept or its disk did not answer; try again when that has ended"
            msg = f"the lock of {self._what} was lost: {self._lost}"
            raise StoreBusyError(msg, path=self.path, hint=hint)

    def _create(self) -> bool:
        """Make the lock file with its content, unless there is one."""
        return LocalFolder(self.path.parent).put_if_absent(self.path.name, self._content())

    def _content(self) -> bytes:
        record = {"token": self._token, **dataclasses.asdict(ProcessRecord.own())}
        return json.dumps(record).encode()

    def _remove_dead(self) -> bool:
        """Remove the lock of a dead owner, and return whether to try again at once.

        Two that see it at the same time must not remove twice: only one makes the guard.
        """
        if not _is_dead(self.path):
            return False
        guard = self.path.with_name(f"{self.path.name}.takeover")
        try:
            with guard.open("x", encoding="utf-8") as file:
                file.write(json.dumps({"token": self._token}))
        except OSError:
            left = (seconds_untouched(guard) or 0.0) > _STALE_S
            if left:
                guard.unlink(missing_ok=True)
            return left
        try:
            # Who took so long that its guard was removed leaves the lock to the others.
            dead = _is_dead(self.path) and self._made(guard)
            if dead:
                self.path.unlink(missing_ok=True)
            return dead
        finally:
            if self._made(guard):
                guard.unlink(missing_ok=True)

    def _made(self, path: Path) -> bool:
        """Return whether a file is one that we made."""
        return bool(_read(path).get("token") == self._token)

    def _busy(self) -> StoreBusyError:
        return StoreBusyError(
            f"{self._what} is being written by {_name(_read(self.path))}",
            path=self.path,
            hint="wait for it to finish; a lock whose owner died is taken over by itself",
        )

    def _waiting(self) -> str:
        owner = _name(_read(self.path))
        return (
            f"waiting for {self._what}, which {owner} is writing ({self.path}); "
            f"its lock is free {_STALE_S:.0f} s after that has died"
        )

    def _beat(self) -> None:
        """Touch the lock from time to time, until it is released or lost."""
        while not self._released.wait(_HEARTBEAT_S):
            self._look()
            if self._lost is not None:
                return

    def _look(self) -> None:
        """Touch the lock if it is still ours, or remember who has it."""
        try:
            content = _parse(self.path.read_text(encoding="utf-8"))
            if content.get("token") == self._token:
                os.utime(self.path)
                self._confirmed = _clocks()
                return
            self._lost = f"{_name(content)} took it over"
        except FileNotFoundError:
            self._lost = "its file was removed"
        except OSError as error:
            # A share that does not answer may come back, and finds the lock ours or another's.
            if time.monotonic() - self._confirmed[0] > _STALE_S:
                self._lost = f"its file did not answer for {_STALE_S:.0f} s ({error.strerror})"


def _clocks() -> tuple[float, float]:
    """Return two clocks: one that stops while the machine sleeps, and one that does not."""
    return time.monotonic(), time.time()


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _parse(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _name(owner: dict[str, Any]) -> str:
    """Return the words for the process that a lock names."""
    return f"process {owner.get('pid', '?')} on {owner.get('host', 'an unknown host')}"


def _is_dead(path: Path) -> bool:
    """Return whether the owner has ended, or may have and has not touched its lock for long."""
    state = process_state(ProcessRecord.parse(_read(path)))
    if state != "unknown":
        return state == "ended" and path.exists()
    # Far in the future is not a beat either: the clock of the file system was set back since.
    return abs(seconds_untouched(path) or 0.0) > _STALE_S
