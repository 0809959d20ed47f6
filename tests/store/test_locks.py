"""Locks exclude each other across threads and processes, and outlive no owner."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stemzarr.errors import StoreBusyError, WriteError
from stemzarr.storage import locks, processes
from stemzarr.storage.locks import FileLock
from stemzarr.storage.processes import ProcessRecord, process_state
from stemzarr.testing.faults import Crash, inject_faults

NO_PROCESS = 2**22 - 1

HOLD = """
import sys, time
from pathlib import Path
from stemzarr.storage.locks import FileLock
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


@pytest.mark.parametrize("other", ["boot", "host", "namespace"])
@pytest.mark.parametrize("age_s", [0, 3600])
def test_a_number_names_a_process_only_where_it_was_given(
    tmp_path: Path, other: str, age_s: int
) -> None:
    """Of another machine of the same name, a container or an earlier boot the beat decides."""
    path = tmp_path / "lock"
    with FileLock(path):
        owner = json.loads(path.read_text())
    path.write_text(json.dumps({**owner, "pid": NO_PROCESS, other: "another"}))
    then = time.time() - age_s
    os.utime(path, (then, then))
    if age_s:
        with FileLock(path):
            pass
    else:
        with pytest.raises(StoreBusyError, match=f"process {NO_PROCESS}"):
            FileLock(path).__enter__()


@pytest.mark.parametrize("hidden", ["_boot", "_namespace"])
def test_where_the_system_hides_itself_the_beat_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    """Without /proc no number decides, though it is the same everywhere: empty."""
    monkeypatch.setattr(processes, hidden, lambda: "")
    path = tmp_path / "lock"
    with FileLock(path):
        owner = json.loads(path.read_text())
    path.write_text(json.dumps({**owner, "pid": NO_PROCESS}))
    with pytest.raises(StoreBusyError):
        FileLock(path).__enter__()
    os.utime(path, (1, 1))
    with FileLock(path):
        pass


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(
    ("number", "seen", "state"),
    [
        (errno.ESRCH, None, "ended"),
        (errno.EPERM, None, "unknown"),  # hidepid=2: it exists, and /proc does not show it
        (errno.EPERM, 100.0, "running"),
        (None, 100.5, "running"),
        (None, 9000.0, "unknown"),  # another one of this number, or a clock that jumped
        (None, None, "unknown"),  # it has ended, and nobody asked for its end
    ],
)
def test_only_a_process_that_can_be_seen_decides(
    monkeypatch: pytest.MonkeyPatch, number: int | None, seen: float | None, state: str
) -> None:
    """What `kill` and /proc say of it, by what a lock says of it."""

    def kill(_pid: int, _signal: int) -> None:
        if number is not None:
            raise OSError(number, "said")

    record = ProcessRecord.own()
    if not (record.boot and record.namespace):
        pytest.skip("this system does not name itself")
    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(processes, "_started", lambda _pid: seen)
    assert process_state(dataclasses.replace(record, pid=77, started=100.0)) == state


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="a system without zombies")
def test_a_process_that_is_dead_and_not_reaped_keeps_nobody_out_for_long(tmp_path: Path) -> None:
    """A container without an init keeps its dead: their locks go after a minute of silence."""
    path = tmp_path / "lock"
    process = holder(path)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is still there
    with pytest.raises(StoreBusyError):
        FileLock(path).__enter__()
    os.utime(path, (1, 1))
    with FileLock(path):
        pass
    process.communicate()


@pytest.mark.parametrize("content", ["[1]", '"text"', '{"pid": "x"}', '{"pid": -1}', "[" * 10**5])
def test_noise_in_a_lock_is_waited_out(tmp_path: Path, content: str) -> None:
    """What is no record of a process says nothing: the age decides."""
    path = tmp_path / "lock"
    path.write_text(content)
    with pytest.raises(StoreBusyError):
        FileLock(path).__enter__()
    os.utime(path, (1, 1))
    with FileLock(path):
        pass


def test_a_lock_from_the_future_is_no_beat(tmp_path: Path) -> None:
    """The clock of the file system was set back after its owner died elsewhere."""
    path = tmp_path / "lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    os.utime(path, (time.time() + 10**6, time.time() + 10**6))
    with FileLock(path):
        pass


def test_it_appears_with_its_content(tmp_path: Path) -> None:
    """A process that dies at any moment leaves no lock, or one that says whose it is."""
    for moment in range(100):
        folder = tmp_path / str(moment)
        folder.mkdir()
        path = folder / "lock"
        with (
            inject_faults(moment, error=Crash, mode="crash", below=tmp_path) as faults,
            contextlib.suppress(Crash),
            FileLock(path),
        ):
            pass
        if path.exists():
            assert json.loads(path.read_text())["pid"] == os.getpid()
        if not faults.struck:
            break
    assert moment > 3


@pytest.mark.parametrize("error", [OSError(errno.EPERM, "no links"), AttributeError("no links")])
def test_a_file_system_without_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """ExFAT and some shares have none: the file is made, then filled."""

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    test_only_one_holds_it_and_nothing_stays(tmp_path)
    test_threads_take_turns(tmp_path)


def test_an_answer_that_the_network_lost_is_no_other_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS may link, lose its answer and refuse the second request: the lock is ours."""
    link = Path.hardlink_to

    def twice(self: Path, target: Path) -> None:
        link(self, target)
        link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", twice)
    with FileLock(tmp_path / "lock") as lock:
        lock.check(now=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [{"pid": 77, "host": "ward"}, None])
def test_who_waits_says_for_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any] | None
) -> None:
    """After a second or two: what is locked, by whom, and when it comes free at the latest."""
    monkeypatch.setattr(locks, "_SAY_S", 0.0)
    path = tmp_path / "lock"
    path.write_text("" if content is None else json.dumps(content))
    who = "process 77 on ward" if content else "an unknown host"
    with (
        pytest.warns(UserWarning, match=rf"waiting for the store, which .*{who}.*60 s"),
        pytest.raises(StoreBusyError),
    ):
        FileLock(path, timeout_s=0.2, what="the store").__enter__()


def another(path: Path) -> None:
    """Put a lock of another process in the place of one."""
    path.unlink()
    path.write_text(json.dumps({"token": "another", "pid": 77, "host": "ward"}))


@pytest.mark.parametrize(
    ("act", "said"), [(another, "process 77 on ward took it over"), (Path.unlink, "was removed")]
)
def test_who_lost_it_is_told_at_the_next_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], None], said: str
) -> None:
    """The beat ends, `check` and the end of the block raise, and the other's lock stays."""
    monkeypatch.setattr(locks, "_HEARTBEAT_S", 0.01)
    path = tmp_path / "lock"
    lock = FileLock(path, what="the store")
    lock.__enter__()
    act(path)
    assert lock._heart is not None
    lock._heart.join()
    for ask in (lock.check, lambda: lock.__exit__(None, None, None)):
        with pytest.raises(StoreBusyError, match=f"the lock of the store was lost: .*{said}"):
            ask()
    assert path.exists() == (act is another)
    if act is another:
        assert json.loads(path.read_text())["pid"] == 77


def test_who_was_asleep_looks_before_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one clock moved and the other did not, `check` does not wait for the beat."""
    lock = FileLock(tmp_path / "lock")
    lock.__enter__()
    another(lock.path)
    lock.check()
    asleep = time.monotonic(), time.time() + 3600
    monkeypatch.setattr(locks, "_clocks", lambda: asleep)
    for ask in (lock.check, lambda: lock.__exit__(None, None, None)):
        with pytest.raises(StoreBusyError, match="lost"):
            ask()


def test_a_share_that_does_not_answer_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the network is no loss, until others may have taken over."""

    def refuse(*_: Any, **__: Any) -> str:
        raise OSError(errno.EIO, "Input/output error")

    lock = FileLock(tmp_path / "lock")
    with lock:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", refuse)
            lock.check(now=True)
        lock.check(now=True)
        lock._confirmed = (time.monotonic() - 100, time.time() - 100)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", refuse)
            with pytest.raises(StoreBusyError, match="did not answer for 60 s"):
                lock.check(now=True)


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
