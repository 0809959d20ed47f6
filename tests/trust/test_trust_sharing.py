"""Containers, machines and users that share a folder leave each other's work alone."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stemzarr.errors import StoreBusyError
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.storage import locks
from stemzarr.storage.files import publish, remove_abandoned
from stemzarr.store import revise, verify_store, write_store
from stemzarr.store.ingest.journal import store_lock, unfinished_folder

APART = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
HOLD = """
import sys
import time
from pathlib import Path
from stemzarr.storage import locks
from stemzarr.storage.files import publish
locks._HEARTBEAT_S = 0.02
folder = Path(sys.argv[1])
with publish(folder / "x.npy") as temporary, locks.FileLock(folder / "lock") as lock:
    temporary.touch()
    print("held", flush=True)
    if sys.stdin.readline() == "lose":
        lock._heart.join()
    lock.check(now=True)
"""
TRY = """
import sys
import time
from pathlib import Path
from stemzarr.storage import locks
from stemzarr.errors import StoreBusyError
from stemzarr.storage.files import remove_abandoned
from stemzarr.storage.locks import FileLock
remove_abandoned(Path(sys.argv[1]))
try:
    with FileLock(Path(sys.argv[1]) / "lock") as lock:
        print("taken")
        if "keep" in sys.argv:
            lock.path = lock.path.with_name("nothing")
            lock._token = "gone"
            lock.check = lambda **_: None
except StoreBusyError:
    print("busy")
"""


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run([*APART, "true"], capture_output=True, check=False)
    return done.returncode == 0


containers = pytest.mark.skipif(not _can_unshare(), reason="needs the right to make PID namespaces")


def start(script: str, *words: str, apart: bool) -> subprocess.Popen[str]:
    """Start a script, in a PID namespace of its own where it is `apart`."""
    return subprocess.Popen(
        [*(APART if apart else ()), sys.executable, "-c", script, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def tried(folder: Path, *words: str, apart: bool) -> str:
    """Return what a process says that tries to take the lock in a folder."""
    with start(TRY, str(folder), *words, apart=apart) as process:
        said, wrong = process.communicate()
    assert not wrong
    return said.strip()


@pytest.fixture
def holder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """Give a process that holds a lock and has begun a file, in a namespace or not."""
    with start(HOLD, str(tmp_path), apart=request.param) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()
        process.communicate()


@containers
@pytest.mark.parametrize(
    ("holder", "contender"), [(False, True), (True, False), (True, True)], indirect=["holder"]
)
def test_a_live_lock_in_another_container_is_kept(
    tmp_path: Path, holder: subprocess.Popen[str], contender: bool
) -> None:
    """Two containers of one host name: the lock and the unfinished file stay, until all is done."""
    assert tried(tmp_path, apart=contender) == "busy"
    assert list(tmp_path.glob(".x.npy.*.partial"))
    said, wrong = holder.communicate("done")
    assert (said, wrong) == ("", "")
    assert tried(tmp_path, apart=contender) == "taken"
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


@containers
@pytest.mark.parametrize("holder", [False], indirect=True)
def test_who_sleeps_too_long_stops_when_another_took_over(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    """Stopped as by a laptop's lid, overtaken by a container, woken: it ends and says why."""
    holder.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
    os.utime(tmp_path / "lock", (1, 1))
    assert tried(tmp_path, "keep", apart=True) == "taken"
    holder.send_signal(signal.SIGCONT)
    _, wrong = holder.communicate("lose")
    assert "was lost: process" in wrong
    assert "took it over" in wrong
    assert (tmp_path / "lock").exists()
    assert not (tmp_path / "x.npy").exists()


def test_an_ingest_that_lost_its_lock_leaves_the_other_alone(
    tmp_path: Path, tiny_dm4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asleep at any block: it raises, no store appears, and the other's journal and lock stay."""
    dest = tmp_path / "x.zarr"
    folder, lock = unfinished_folder(dest), store_lock(dest).path
    for moment in range(100):
        calls = iter(range(moment + 1))

        def overtake(_done: int, _total: int) -> None:
            if next(calls, None) == moment:  # noqa: B023 - it is called within the loop
                lock.write_text(json.dumps({"token": "x", "pid": 77, "host": "ward"}))
                (folder / "journal").write_text("of the other")
                (folder / "parts" / "half").mkdir(parents=True, exist_ok=True)
                woken = time.monotonic(), time.time() + 3600
                monkeypatch.setattr(locks, "_clocks", lambda: woken)

        options = IngestOptions(threads=1, sync=False)
        try:
            write_store(read_source(tiny_dm4), dest, options, overtake)
        except StoreBusyError as error:
            assert "process 77 on ward took it over" in str(error)  # noqa: PT017 - or it ended
        else:
            break
        monkeypatch.undo()
        assert not dest.exists()
        # A shard that another thread was noting in that very moment may follow.
        assert (folder / "journal").read_text().startswith("of the other")
        assert (folder / "parts" / "half").is_dir()
        lock.unlink()
        shutil.rmtree(folder)
    assert moment > 1
    assert verify_store(dest).ok


def test_a_revision_that_lost_its_lock_changes_nothing(
    tmp_path: Path, tiny: Any, tiny_dm4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever calibrates and was overtaken leaves the labels as they are."""
    store = tiny.ingest(tiny_dm4, tmp_path / "x.zarr")
    before = tiny.bytes_of(store)
    lock = store_lock(store).path
    module = importlib.import_module("stemzarr.store.upkeep.revise")
    real = module._record

    def overtake(*arguments: Any) -> None:
        lock.unlink()
        lock.write_text(json.dumps({"token": "x", "pid": 77, "host": "ward"}))
        real(*arguments)

    monkeypatch.setattr(module, "_record", overtake)
    with pytest.raises(StoreBusyError, match="process 77 on ward"):
        revise(store, {"camera_length_mm": 123.0})
    assert tiny.bytes_of(store) == before
    lock.unlink()
    assert verify_store(store).ok


def test_a_clock_that_is_days_ahead_makes_no_file_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another machine is writing is judged by the clock of the file system."""
    live = tmp_path / ".y.npy.00000000-1-12345678.partial"
    live.touch()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 10**6)
    remove_abandoned(tmp_path)
    assert live.exists()


def test_a_name_of_any_length_may_be_written(tmp_path: Path) -> None:
    """What the file system takes as a name leaves room for the hidden one beside it."""
    for name in ("n" * 255, "ü" * 127):
        with publish(tmp_path / name) as temporary:
            temporary.write_text("content")
        assert (tmp_path / name).read_text() == "content"
