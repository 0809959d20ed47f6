"""A lock between processes and machines: a file that only one can create.

The file says who holds it: host, process id and the start time of that process, so that the lock
of a dead process is taken over at once. Another host cannot look at the processes here, so the
owner touches the file every few seconds, and a lock that nobody touched for long is taken over
too; ages are measured by the clock of the file system alone, whatever the clocks of the hosts
say. flock is not used: it is unreliable on network file systems.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stemzarr.errors import StoreBusyError
from stemzarr.files import write_error

__all__ = ["FileLock"]

_HEARTBEAT_S = 5.0
_STALE_S = 60.0
_POLL_S = 0.05
_CLOCK_TOLERANCE_S = 2.0


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
        Another live process holds the lock until the time is over.
    WriteError
        The file cannot be made.
    """

    def __init__(self, path: Path, *, timeout_s: float = 0.0, what: str = "it") -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._what = what
        self._token = uuid.uuid4().hex
        self._released = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> Self:
        deadline = time.monotonic() + self._timeout_s
        while not self._create():
            if self._remove_dead():
                continue
            if time.monotonic() >= deadline:
                raise self._busy()
            time.sleep(_POLL_S)
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

    def _create(self) -> bool:
        try:
            file = self.path.open("x", encoding="utf-8")
        except FileExistsError:
            return False
        except PermissionError as error:
            # Windows says so while another process is removing the file.
            if os.name == "nt" and self.path.parent.is_dir():
                return False
            raise write_error(self.path, error) from error
        except OSError as error:
            raise write_error(self.path, error) from error
        try:
            with file:
                file.write(json.dumps({"token": self._token, **_this_process()}))
        except OSError as error:
            # A lock that does not say whose it is would keep everyone out for a minute.
            with contextlib.suppress(OSError):
                self.path.unlink()
            raise write_error(self.path, error) from error
        return True

    def _remove_dead(self) -> bool:
        """Remove the lock of a dead owner, and tell whether to try again at once.

        Two that see it at the same time must not remove twice: only one makes the guard.
        """
        if not _is_dead(self.path, _owner(self.path)):
            return False
        guard = self.path.with_name(f"{self.path.name}.takeover")
        try:
            with guard.open("x", encoding="utf-8") as file:
                file.write(json.dumps({"token": self._token}))
        except OSError:
            left = (_age(guard) or 0.0) > _STALE_S
            if left:
                guard.unlink(missing_ok=True)
            return left
        try:
            # Who took so long that its guard was removed leaves the lock to the others.
            dead = _is_dead(self.path, _owner(self.path)) and self._made(guard)
            if dead:
                self.path.unlink(missing_ok=True)
            return dead
        finally:
            if self._made(guard):
                guard.unlink(missing_ok=True)

    def _made(self, path: Path) -> bool:
        """Tell whether a file is one that we made."""
        return bool(_owner(path).get("token") == self._token)

    def _busy(self) -> StoreBusyError:
        owner = _owner(self.path)
        who = f"process {owner.get('pid', '?')} on {owner.get('host', 'an unknown host')}"
        return StoreBusyError(
            f"{self._what} is being written by {who}",
            path=self.path,
            hint="wait for it to finish; a lock whose owner died is taken over by itself",
        )

    def _beat(self) -> None:
        while not self._released.wait(_HEARTBEAT_S):
            with contextlib.suppress(OSError):
                os.utime(self.path)


def _this_process() -> dict[str, Any]:
    import psutil

    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }


def _boot() -> str:
    """Return what names the present run of the operating system, empty where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _owner(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_dead(path: Path, owner: dict[str, Any]) -> bool:
    age = _age(path)
    if age is None:
        return False
    silent = age > _STALE_S
    if owner.get("host") != socket.gethostname():
        # Another host, or a file that its owner has not filled yet.
        return silent
    if owner.get("boot") != _boot():
        return True
    import psutil

    try:
        started = psutil.Process(owner["pid"]).create_time()
    except (psutil.NoSuchProcess, KeyError, ValueError, TypeError):
        return True
    except psutil.AccessDenied:
        return silent
    # A jump of the clock moves start times, so another start time alone proves nothing.
    return silent and abs(started - owner["started"]) > _CLOCK_TOLERANCE_S


def _age(path: Path) -> float | None:
    """Return the seconds since `path` was touched, by its file system's clock; None if gone."""
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.now")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
