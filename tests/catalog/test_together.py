"""Many entries at once: what takes time that grows with the lake is done now and then."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from sqlite3 import Connection

import numpy as np
import pytest
import yaml

from stemzarr.options import IngestOptions
from stemzarr_catalog import Lake, index_manager, known, lake, open_lake, recognising
from stemzarr_catalog.index import Index
from stemzarr_catalog.ingesting import find_unchanged

OPTIONS = IngestOptions(sync=False, threads=1)


class Clock:
    """Monotonic time that a test sets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock by which the lake puts things off: each call takes a second."""
    clock = Clock()

    def later() -> float:
        clock.now += 1.0
        return clock.now

    monkeypatch.setattr(clock, "monotonic", later)
    monkeypatch.setattr(index_manager, "time", clock)
    return clock


def write(folder: Path, number: int) -> Path:
    """Write a small image."""
    path = folder / f"image{number}.npy"
    np.save(path, np.full((4, 5), number, np.uint16))
    return path


def listed(opened: Lake) -> set[str]:
    """Return the entries that ``catalog.yaml`` lists."""
    return set(yaml.safe_load(opened.yaml.read_text(encoding="utf-8"))["sources"]) - {"lake"}


def test_the_yaml_is_written_once_for_many(
    lake_path: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index has each entry at once, the YAML all of them at the end."""
    written: list[int] = []
    real = lake.write_yaml
    monkeypatch.setattr(
        lake, "write_yaml", lambda path, found: (written.append(len(found)), real(path, found))
    )
    opened = open_lake(lake_path)
    with opened.together():
        for number in range(6):
            opened.ingest(write(tmp_path, number), options=OPTIONS)
            assert len(open_lake(lake_path, read_only=True)) == number + 1
    assert len(written) == 2
    assert written[-1] == 6
    assert listed(opened) == set(opened)
    assert clock.now > 0


def test_after_a_crash_the_next_to_open_writes_the_yaml(
    lake_path: Path, tmp_path: Path, clock: Clock
) -> None:
    """What a killed process put off is not lost."""
    opened = open_lake(lake_path)
    pending = opened.together()
    pending.__enter__()
    for number in range(3):
        opened.ingest(write(tmp_path, number), options=OPTIONS)
    clock.now = 0.0
    assert listed(opened) < set(opened)
    assert listed(open_lake(lake_path)) == {"image0", "image1", "image2"}
    before = opened.yaml.stat().st_mtime_ns
    open_lake(lake_path)
    assert opened.yaml.stat().st_mtime_ns == before


def test_a_failure_leaves_the_yaml_whole(lake_path: Path, tmp_path: Path, clock: Clock) -> None:
    """Ctrl-C too."""
    opened = open_lake(lake_path)

    def interrupted() -> None:
        with opened.together():
            for number in range(3):
                opened.ingest(write(tmp_path, number), options=OPTIONS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert listed(opened) == set(opened)
    assert len(opened) == 3
    assert clock.now > 0


def test_a_known_file_is_not_opened(
    lake_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size and time say that it is the same; one that was just written is looked into."""
    from stemzarr_catalog import ingesting

    opened = open_lake(lake_path)
    old, new = write(tmp_path, 0), write(tmp_path, 1)
    os.utime(old, (1.7e9, 1.7e9))
    for path in (old, new):
        opened.ingest(path, options=OPTIONS)

    def refuse(*_: object) -> None:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(ingesting, "read_source", refuse)
        assert opened.ingest(old, options=OPTIONS).status == "unchanged"
        with pytest.raises(AssertionError):
            opened.ingest(new, options=OPTIONS)
    os.utime(old, (1.8e9, 1.8e9))
    with monkeypatch.context() as patch:
        patch.setattr(ingesting, "read_source", refuse)
        with pytest.raises(AssertionError):
            opened.ingest(old, options=OPTIONS)
    for module in (known, recognising):
        assert module.TICK_NS == 2e9


def test_many_known_files_are_one_question(
    lake_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is opened as often for many files as for one, and none of them is opened."""
    opened = open_lake(lake_path)
    paths = [write(tmp_path, number) for number in range(12)]
    for path in paths:
        os.utime(path, (1.7e9, 1.7e9))
    with opened.together():
        for path in paths:
            opened.ingest(path, options=OPTIONS)
    real, asked = Index.reading, []

    def reading(index: Index) -> AbstractContextManager[Connection]:
        asked.append(index)
        return real(index)

    monkeypatch.setattr(Index, "reading", reading)
    found = find_unchanged(opened, paths, OPTIONS)
    assert list(found) == paths
    assert {(one.name, one.status) for one in found.values()} == {
        (path.stem, "unchanged") for path in paths
    }
    assert len(asked) == 1
    os.utime(paths[0], (1.8e9, 1.8e9))
    paths[1].unlink()
    shutil.rmtree(found[paths[2]].store)
    assert list(find_unchanged(opened, paths, OPTIONS)) == paths[3:]
    assert find_unchanged(opened, paths, IngestOptions(redact=True)) == {}


def test_what_a_killed_process_left_of_known_files_is_removed(
    lake_path: Path, tmp_path: Path
) -> None:
    """Only where it is theirs: what another process is writing stays."""
    opened = open_lake(lake_path)
    path = write(tmp_path, 0)
    os.utime(path, (1.7e9, 1.7e9))
    opened.ingest(path, options=OPTIONS)
    mine, other = (opened.stores / f".image{number}.zarr.ingest" for number in (0, 1))
    for folder in (mine, other):
        folder.mkdir()
        (folder / "journal").write_text("{}", encoding="utf-8")
    assert find_unchanged(opened, [path], OPTIONS)[path].status == "unchanged"
    assert not mine.exists()
    assert other.exists()
