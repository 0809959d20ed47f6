"""A lake where its folder, its clock or its file system is not what one would wish."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

import stemzarr_catalog.index
from stemzarr.errors import StemzarrError, WriteError
from stemzarr.storage.locks import FileLock
from stemzarr.testing.faults import Crash, Faults, inject_faults
from stemzarr_catalog import Lake, open_lake


def read_only() -> OSError:
    """Return what a file system says that is mounted read-only."""
    return OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.fixture
def lake(tmp_path: Path, tiny: Any, tiny_dm4: Path) -> Lake:
    """Return a lake with one entry."""
    made = open_lake(tmp_path / "lake", create=True)
    made.ingest(tiny_dm4, name="scan", options=tiny.fast)
    return made


def use(folder: Path, names: list[str]) -> None:
    """Open a lake, find an entry and read it."""
    opened = open_lake(folder)
    assert list(opened) == names
    assert opened.search("kind=4d-stem").names == names
    for name in names:
        with opened[name].open(chunks=None) as dataset:
            assert dataset["intensity"].to_numpy().any()


@pytest.mark.parametrize("index", [True, False])
def test_a_read_only_lake_is_read(
    lake: Lake, tiny: Any, tiny_dm4: Path, index: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With or without an index, it is searched and opened; what writes says that it cannot."""
    if not index:
        (lake.path / "catalog.sqlite").unlink()
    monkeypatch.setattr(os, "utime", lambda *_, **__: (_ for _ in ()).throw(read_only()))
    before = sorted(lake.path.rglob("*"))
    with inject_faults(0, error=read_only, mode="lasting", below=lake.path):
        use(lake.path, ["scan"])
        other = open_lake(lake.path)
        for act in (
            lambda: other.tag("scan", "new"),
            lambda: other.ingest(tiny_dm4, name="again", options=tiny.fast),
            lambda: other.calibrate("scan", {"camera_length_mm": 100.0}),
        ):
            with pytest.raises(WriteError, match=r"Read-only file system|for reading only"):
                act()
    assert sorted(path for path in lake.path.rglob("*") if "sqlite" not in path.name) == [
        path for path in before if "sqlite" not in path.name
    ]
    use(lake.path, ["scan"])


def test_a_process_that_dies_leaves_nothing_beside_the_store_that_the_next_one_keeps(
    tmp_path: Path, sweep: Any, tiny: Any, tiny_dm4: Path
) -> None:
    """Dead at any call of an ingest, also after the store was shown: the next one tidies up."""
    folder = tmp_path / "lake"
    template = tmp_path / "empty"
    open_lake(template, create=True)

    def run() -> None:
        with contextlib.suppress(Crash):
            open_lake(folder).ingest(tiny_dm4, name="x", options=tiny.fast)

    def check(_: Faults) -> None:
        sweep.release_locks(folder)
        open_lake(folder).ingest(tiny_dm4, name="x", options=tiny.fast)
        assert [path.name for path in (folder / "stores").iterdir()] == ["x.zarr"]
        use(folder, ["x"])

    sweep(folder, run, check, error=Crash, mode="crash", template=template)


@pytest.mark.parametrize("jump_s", [-(10**7), 10**7])
def test_a_clock_that_jumps_loses_nothing(
    lake: Lake, tiny: Any, tmp_path: Path, jump_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Months forth or back between two commands: entries come, go and are found all the same."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    for path in [lake.path, *lake.path.rglob("*")]:
        os.utime(path, (real() + jump_s, real() + jump_s))
    other = tiny.write(tmp_path / "other.dm4", seed=5)
    assert open_lake(lake.path).ingest(other, options=tiny.fast).status == "ingested"
    assert open_lake(lake.path).ingest(other, options=tiny.fast).status == "unchanged"
    use(lake.path, ["other", "scan"])
    open_lake(lake.path).remove("scan")
    use(lake.path, ["other"])


def test_a_lock_of_a_dead_process_from_the_future_is_taken_over(tmp_path: Path) -> None:
    """The clock was set back after its owner died: the process number tells, not the time."""
    path = tmp_path / "lock"
    with FileLock(path):
        held = path.read_text(encoding="utf-8")
    path.write_text(held.replace(f'"pid": {os.getpid()}', f'"pid": {2**22 + 1}'), encoding="utf-8")
    os.utime(path, (time.time() + 10**6, time.time() + 10**6))
    with FileLock(path):
        assert path.exists()
    assert not path.exists()


def test_a_file_system_without_locks_will_do(
    lake: Lake, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SQLite's own locking switched off, our locks alone keep writers apart."""
    connect = sqlite3.connect

    def unlocked(address: str, *arguments: Any, **options: Any) -> sqlite3.Connection:
        if address.startswith("file:") and "memory" not in address:
            address += ("&" if "?" in address else "?") + "vfs=unix-none"
        return connect(address, *arguments, **options)

    monkeypatch.setattr(stemzarr_catalog.index.sqlite3, "connect", unlocked)
    other = tiny.write(tmp_path / "other.dm4", seed=5)
    open_lake(lake.path).ingest(other, options=tiny.fast)
    open_lake(lake.path).tag("other", "new")
    use(lake.path, ["other", "scan"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_really_full(tmp_path: Path, tiny: Any, tiny_dm4: Path) -> None:
    """On a file system of some kB: an error that says so, and all is well once there is room."""
    import subprocess

    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", folder],  # noqa: S607
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        (folder / "ballast").write_bytes(bytes(70_000))
        with pytest.raises(WriteError, match="No space left"):
            tiny.ingest(tiny_dm4, folder / "x.zarr", tiny.options)
        assert not (folder / "x.zarr").exists()
        (folder / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=4m", folder], check=True)  # noqa: S607
        store = tiny.ingest(tiny_dm4, folder / "x.zarr", tiny.options)
        assert sorted(p.name for p in folder.iterdir()) == [store.name]
    finally:
        subprocess.run(["umount", folder], check=True)  # noqa: S607


def test_an_index_that_is_no_database_is_rebuilt(lake: Lake) -> None:
    """A folder full of noise where the index was: nothing is lost."""
    (lake.path / "catalog.sqlite").write_bytes(os.urandom(5000))
    use(lake.path, ["scan"])
    try:
        open_lake(lake.path / "stores")
    except StemzarrError as error:
        assert "no lake" in str(error)  # noqa: PT017 - what is inside a lake is none
