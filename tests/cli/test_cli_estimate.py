"""What is said before files are ingested is about what becomes of them."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from stemzarr.options import IngestOptions
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake
from stemzarr_cli.estimate import describe_need
from stemzarr_cli.program import run

OPTIONS = IngestOptions(threads=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, int]:
    """Return scans with their sizes."""
    folder = tmp_path_factory.mktemp("estimate")
    for number in range(4):
        path = folder / f"{number}.dm4"
        write_synthetic_dm4(path, (3, 3 + number), (16, 16), seed=number)
        os.utime(path, (1e9, 1e9))  # what was written just now is not known by its time
    return {path: path.stat().st_size for path in sorted(folder.iterdir())}


def bytes_needed(said: str) -> float:
    """Return the number of bytes that a sentence says are needed."""
    found = re.search(r"about ([\d.]+) (B|kB|MB|GB) needed", said)
    assert found is not None, said
    return float(found[1]) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[found[2]]


def test_the_room_is_about_that_of_the_stores(files: dict[Path, int], tmp_path: Path) -> None:
    """Estimated from a few files, it is within a factor of two of what all of them take."""
    said = describe_need(files, tmp_path, OPTIONS, None)
    assert said.startswith("4 files to ingest, ")
    lake = open_lake(tmp_path / "lake", create=True)
    for path in files:
        lake.ingest(path, options=IngestOptions(threads=1, sync=False))
    taken = sum(file.stat().st_size for file in lake.stores.rglob("*") if file.is_file())
    assert taken / 2 < bytes_needed(said) < 2 * taken


def test_a_rate_makes_it_longer(files: dict[Path, int], tmp_path: Path) -> None:
    """No less time than the bytes take at that rate."""
    assert describe_need(files, tmp_path, OPTIONS, None).endswith("; less than a minute")
    rate = sum(files.values()) // 7200
    assert re.search(
        r"; about (2 h|1 h 59 min|2 h 0 min)", describe_need(files, tmp_path, OPTIONS, rate)
    )


def test_a_full_disk_is_said(
    files: dict[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first file is written."""
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert "1 kB free: not enough for all of them" in describe_need(files, tmp_path, OPTIONS, None)


def test_only_what_is_new_counts(
    files: dict[Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of files that the lake has, and of one alone, nothing is said; nor where none can be read."""
    folder, lake = tmp_path / "folder", tmp_path / "lake"
    folder.mkdir()
    for path in list(files)[:3]:
        shutil.copy2(path, folder)
    words = ["ingest", str(folder), "--lake", str(lake), "--no-sync"]
    assert run(words) == 0
    assert "3 files to ingest" in capsys.readouterr().err
    assert run(words) == 0
    assert "to ingest" not in capsys.readouterr().err
    broken = tmp_path / "broken.dm4"
    broken.write_text("no pixels")
    assert describe_need({broken: 9}, tmp_path, OPTIONS, None) == ""
