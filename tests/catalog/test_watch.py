"""Watching: only complete files are taken, each once, also over restarts."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from stemzarr.errors import SourceNotFoundError, StemzarrError, WriteError
from stemzarr.options import IngestOptions
from stemzarr.testing import DMImage, write_dm
from stemzarr_catalog import Lake, open_lake
from stemzarr_catalog.watch import Watcher, WatchOptions, watch

OPTIONS = IngestOptions(sync=False, threads=1)


class Clock:
    """Seconds that pass when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder that is watched."""
    path = tmp_path / "microscope"
    path.mkdir()
    return path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Return a complete file elsewhere."""
    path = tmp_path / "scan.dm4"
    counts = np.random.default_rng(0).poisson(1.0, (2, 3, 8, 8)).astype(np.uint16)
    write_dm(path, [DMImage(data=counts)])
    return path


@pytest.fixture
def empty(lake_path: Path) -> Lake:
    """Return a lake without stores."""
    return open_lake(lake_path)


def steps(watcher: Watcher, clock: Clock, seconds: float) -> list[tuple[str, str | None]]:
    """Look, let time pass, look again; return status and name of what happened."""
    events = list(watcher.step())
    clock.now += seconds
    events += watcher.step()
    return [(event.status, event.name) for event in events]


def test_what_waits_is_known(empty: Lake, folder: Path, scan: Path) -> None:
    """A file that grows, one that stands still, one that failed; not what is no data, or done."""
    clock = Clock()
    watcher = Watcher(empty, [folder], options=OPTIONS, clock=clock)
    (folder / "notes.txt").write_text("x")
    (folder / "broken.dm4").write_bytes(b"\0\0\0\x04" * 99)
    shutil.copy(scan, folder / "scan.dm4")
    growing = folder / "growing.dm4"
    growing.write_bytes(scan.read_bytes()[:100])
    list(watcher.step())
    assert set(watcher.waiting().values()) == {"waits"}
    clock.now += 9.0
    growing.write_bytes(scan.read_bytes()[:200])
    list(watcher.step())
    assert watcher.waiting()[growing] == "grows"
    clock.now += 1.0
    list(watcher.step())
    found = {path.name: state for path, state in watcher.waiting().items()}
    assert found["growing.dm4"] == "grows"
    assert "scan.dm4" not in found
    assert "notes.txt" not in found
    assert found.get("broken.dm4") in ("is tried again", None)


def test_a_file_is_taken_when_it_stood_still(empty: Lake, folder: Path, scan: Path) -> None:
    """Not before the time has passed, once, and from folders below too."""
    clock = Clock()
    watcher = Watcher(empty, [folder], options=OPTIONS, clock=clock)
    (folder / "session").mkdir()
    shutil.copy(scan, folder / "session" / "scan.dm4")
    assert steps(watcher, clock, 9.0) == []
    assert steps(watcher, clock, 1.0) == [("ingested", "scan")]
    assert steps(watcher, clock, 100.0) == []
    assert list(empty) == ["scan"]


def test_a_file_that_is_still_written_is_left_alone(empty: Lake, folder: Path, scan: Path) -> None:
    """A part of a DM file is recognised by its header, however long the writer pauses."""
    clock = Clock()
    watcher = Watcher(empty, [folder], options=OPTIONS, clock=clock)
    whole = scan.read_bytes()
    arriving = folder / "scan.dm4"
    for length in (0, 3, 100, len(whole) // 2, len(whole) - 9):
        arriving.write_bytes(whole[:length])
        found = steps(watcher, clock, 1000.0)
        assert not [status for status, _ in found if status == "ingested"]
        assert len(empty) == 0
        assert steps(watcher, clock, 1000.0) in ([], [("failed", None)])
    arriving.write_bytes(whole)
    assert steps(watcher, clock, 1000.0) == [("ingested", "scan")]


def test_a_restart_reads_nothing_again(
    empty: Lake, folder: Path, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log tells a new watcher what is done; a line cut off by a crash is no obstacle."""
    clock = Clock()
    shutil.copy(scan, folder)
    assert steps(Watcher(empty, [folder], options=OPTIONS, clock=clock), clock, 60.0)
    with (empty.path / "watch.jsonl").open("a") as file:
        file.write('{"path": "cut o')

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("stemzarr_catalog.watch.read_source", never)
    again = Watcher(open_lake(empty.path), [folder], options=OPTIONS, clock=clock)
    assert steps(again, clock, 1000.0) == []


def test_what_was_removed_from_the_lake_is_taken_again(
    empty: Lake, folder: Path, scan: Path
) -> None:
    """The log is believed only where the entry is still there."""
    clock = Clock()
    shutil.copy(scan, folder)
    steps(Watcher(empty, [folder], options=OPTIONS, clock=clock), clock, 60.0)
    empty.remove("scan")
    again = Watcher(empty, [folder], options=OPTIONS, clock=clock)
    assert steps(again, clock, 60.0) == [("ingested", "scan")]


def test_failures_are_tried_again_and_then_given_up(
    empty: Lake, folder: Path, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt waits longer; a change of the file begins again."""
    clock = Clock()
    shutil.copy(scan, folder)
    patience = WatchOptions(settle_s=0, retry_s=10.0, attempts=3)
    watcher = Watcher(empty, [folder], options=OPTIONS, patience=patience, clock=clock)

    def full(*_: object, **__: object) -> StemzarrError:
        raise WriteError("cannot be written: no space left on device", path=folder)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "ingest", full)
        assert [event.status for event in watcher.step()] == ["failed"]
        assert list(watcher.step()) == []
        clock.now += 10.0
        assert [event.status for event in watcher.step()] == ["failed"]
        clock.now += 39.0
        assert list(watcher.step()) == []
        clock.now += 1.0
        last = list(watcher.step())
        assert [event.status for event in last] == ["given up"]
        assert "no space left" in str(last[0].error)
    clock.now += 1e6
    assert list(watcher.step()) == []
    (folder / "scan.dm4").touch()
    assert [event.status for event in watcher.step()] == ["ingested"]
    log = (empty.path / "watch.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["status"] for line in log] == [
        "failed",
        "failed",
        "given up",
        "ingested",
    ]


def test_only_sources_outside_the_lake_are_taken(empty: Lake, scan: Path) -> None:
    """Other files, hidden ones, links and the lake itself are passed over."""
    clock = Clock()
    folder = empty.path.parent
    scan.rename(folder / ".hidden.dm4")
    (folder / "notes.txt").write_text("x")
    (folder / "link.dm4").symlink_to(folder / ".hidden.dm4")
    shutil.copy(folder / ".hidden.dm4", empty.path / "inside.dm4")
    watcher = Watcher(empty, [folder], options=OPTIONS, clock=clock)
    assert steps(watcher, clock, 1000.0) == []


def test_a_folder_that_is_not_there_is_told(empty: Lake, tmp_path: Path) -> None:
    """Nothing is watched then."""
    with pytest.raises(SourceNotFoundError, match="no such folder"):
        Watcher(empty, [tmp_path / "nowhere"])


def test_watching_stops_when_it_is_told(empty: Lake, folder: Path, scan: Path) -> None:
    """The loop ends and leaves no thread behind."""
    shutil.copy(scan, folder)
    stop = threading.Event()
    patience = WatchOptions(settle_s=0.0, poll_s=0.05)
    for event in watch(empty, [folder], options=OPTIONS, patience=patience, stop=stop):
        assert event.name == "scan"
        stop.set()
