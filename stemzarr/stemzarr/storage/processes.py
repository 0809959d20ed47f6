"""Which processes can be seen from here, and whether one of them has ended.

A number names a process only within one PID namespace of one run of one operating system: in
another container, or on another machine of the same name, it is another process or none.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

__all__ = ["ProcessRecord", "State", "process_state"]

State = Literal["ended", "running", "unknown"]
"""What is known of a process: that it has ended, that it is running, or neither."""

_CLOCK_TOLERANCE_S = 2.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_RANDOM_NODE = 1 << 40
"""The bit that `uuid.getnode` sets in a number that it made up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """What a file says about the process that made it."""

    host: str
    """Name of the machine."""
    boot: str
    """What names this run of its operating system; empty where nothing does."""
    namespace: str
    """What names its PID namespace; empty where processes cannot be distinguished by number."""
    pid: int
    """Number of the process."""
    started: float | None
    """Start of the process in seconds since 1970, by the clock of the machine."""

    @classmethod
    def own(cls) -> Self:
        """Return the record of this process."""
        pid = os.getpid()
        return cls(
            host=socket.gethostname(),
            boot=_boot(),
            namespace=_namespace(),
            pid=pid,
            started=_started(pid),
        )

    @classmethod
    def parse(cls, content: dict[str, Any]) -> Self | None:
        """Return the record that JSON holds; None where it holds none."""
        texts = [content.get(name) for name in ("host", "boot", "namespace")]
        pid, started = content.get("pid"), content.get("started")
        if not isinstance(pid, int) or not all(isinstance(text, str) for text in texts):
            return None
        return cls(
            host=str(texts[0]),
            boot=str(texts[1]),
            namespace=str(texts[2]),
            pid=pid,
            started=float(started) if isinstance(started, int | float) else None,
        )


def process_state(record: ProcessRecord | None) -> State:
    """Return what is known here of the process that a record names.

    Only within one PID namespace of one run of one system do numbers decide; elsewhere, and where
    the system hides the processes of others (``hidepid``), the answer is "unknown".
    """
    if record is None or not (record.boot and record.namespace) or record.pid <= 0:
        return "unknown"
    here = (socket.gethostname(), _boot(), _namespace())
    if (record.host, record.boot, record.namespace) != here:
        return "unknown"
    if not _exists(record.pid):
        return "ended"
    started = _started(record.pid)
    if started is None or record.started is None:
        return "unknown"
    # A jump of the clock moves start times, so another start time alone proves nothing.
    same = abs(started - record.started) <= _CLOCK_TOLERANCE_S
    return "running" if same else "unknown"


def _exists(pid: int) -> bool:
    """Return whether the system has a process of this number, whoever owns it."""
    if sys.platform == "win32":
        import psutil

        return bool(psutil.pid_exists(pid))
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    except OverflowError:
        return False
    return True


def _started(pid: int) -> float | None:
    """Return the start of a process; None where it cannot be seen, or is dead but not reaped."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except (psutil.Error, OSError, ValueError, OverflowError):
        return None


@functools.cache
def _boot() -> str:
    """Return what names the present run of the operating system, or at least the machine."""
    with contextlib.suppress(OSError):
        return _BOOT.read_text(encoding="ascii").strip()
    node = 0 if sys.platform.startswith("linux") else uuid.getnode()
    return f"{node:012x}" if node and not node & _RANDOM_NODE else ""


def _namespace() -> str:
    """Return what names the PID namespace; it is not kept, since a fork may leave it."""
    if sys.platform in ("win32", "darwin"):
        return "all"
    try:
        state = _NAMESPACE.stat()
    except OSError:
        return ""
    return f"{state.st_dev:x}.{state.st_ino:x}"
