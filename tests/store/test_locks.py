"""Locks exclude each other across threads and processes, and outlive no owner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stemzarr.errors import StoreBusyError, WriteError
from stemzarr.locks import FileLock

HOLD = """
import sys, time
from pathlib import Path
from stemzarr.locks import FileLock
with FileLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_only_one_holds_it_and_nothing_stays(tmp_path: Path) -> None:
    """A second lock on the same path is told who holds the first; afterwards no file is left."""
    path = tmp_path / "lock"
    with FileLock(path), pytest.raises(StoreBusyError, match=f"process {os.getpid()}"):
        FileLock(path).__enter__()
    with FileLock(path):
        pass
    assert not list(tmp_path.iterdir())


def test_threads_take_turns(tmp_path: Path) -> None:
    """Read-modify-write under the lock loses nothing."""
    counter = tmp_path / "counter"
    counter.write_text("0")

    def add(_: int) -> None:
        with FileLock(tmp_path / "lock", timeout_s=60):
            value = int(counter.read_text())
            time.sleep(0)
            counter.write_text(str(value + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert counter.read_text() == "24"


def test_a_live_process_keeps_it_and_a_killed_one_does_not(tmp_path: Path) -> None:
    """While the owner lives it is busy; killed without warning, its lock is taken at once."""
    path = tmp_path / "lock"
    process = holder(path)
    try:
        with pytest.raises(StoreBusyError):
            FileLock(path, timeout_s=0.2).__enter__()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()  # type: ignore[union-attr]
        process.stdout.close()  # type: ignore[union-attr]
    assert path.exists()
    with FileLock(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_many_that_find_a_dead_owner_take_turns(tmp_path: Path) -> None:
    """However many take over at once, only one holds it at a time."""
    path = tmp_path / "lock"
    inside = []
    for _ in range(5):
        with FileLock(path):
            dead = json.loads(path.read_text())
        path.write_text(json.dumps({**dead, "pid": 2**22 - 1}))
        barrier = threading.Barrier(6)

        def work() -> None:
            barrier.wait()  # noqa: B023 - the threads end within the loop
            with FileLock(path, timeout_s=60):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

        with ThreadPoolExecutor(6) as pool:
            for future in [pool.submit(work) for _ in range(6)]:
                future.result()
    assert not path.exists()


@pytest.mark.parametrize("age_s", [0, 3600])
def test_who_died_while_taking_over_keeps_nobody_out_for_long(tmp_path: Path, age_s: int) -> None:
    """What is left of a takeover stands for a minute; then the lock is taken at once."""
    path = tmp_path / "lock"
    guard = tmp_path / "lock.takeover"
    for file in (path, guard):
        file.write_text("{}")
        os.utime(file, (1, 1))
    then = time.time() - age_s
    os.utime(guard, (then, then))
    lock = FileLock(path)
    if age_s:
        with lock:
            assert not guard.exists()
    else:
        with pytest.raises(StoreBusyError):
            lock.__enter__()


@pytest.mark.parametrize(
    ("owner", "age_s", "dead"),
    [
        ({"host": "elsewhere", "pid": 1}, 0, False),
        ({"host": "elsewhere", "pid": 1}, 3600, True),
        ({}, 0, False),
        ({}, 3600, True),
        ("not json", 3600, True),
    ],
)
def test_the_age_decides_where_nobody_can_look(
    tmp_path: Path, owner: object, age_s: int, dead: bool
) -> None:
    """Another host's lock, or an unreadable one, stands while it is touched, and no longer."""
    path = tmp_path / "lock"
    path.write_text(owner if isinstance(owner, str) else json.dumps(owner))
    then = time.time() - age_s
    os.utime(path, (then, then))
    lock = FileLock(path)
    if dead:
        with lock:
            pass
    else:
        with pytest.raises(StoreBusyError):
            lock.__enter__()


def test_another_boot_means_dead(tmp_path: Path) -> None:
    """After a restart of the machine a process number says nothing."""
    path = tmp_path / "lock"
    with FileLock(path):
        owner = json.loads(path.read_text())
    if not owner["boot"]:
        pytest.skip("this system does not name its boots")
    path.write_text(json.dumps({**owner, "boot": "before"}))
    with FileLock(path):
        pass


def test_a_clock_that_jumped_kills_no_live_owner(tmp_path: Path) -> None:
    """A start time that no longer fits proves nothing while the lock is touched."""
    path = tmp_path / "lock"
    with FileLock(path):
        owner = json.loads(path.read_text())
        path.write_text(json.dumps({**owner, "started": owner["started"] - 7200}))
        with pytest.raises(StoreBusyError):
            FileLock(path).__enter__()
        path.write_text(json.dumps(owner))


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A lock that cannot be made is a write error that names the path."""
    with pytest.raises(WriteError, match="nowhere"):
        FileLock(tmp_path / "nowhere" / "lock").__enter__()
