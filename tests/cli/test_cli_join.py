"""`--join`: a folder of files with one frame each is one entry, and the command says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemzarr
from stemzarr.errors import OptionError
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import read_source
from stemzarr_catalog import open_lake
from stemzarr_catalog.watch import Watcher
from stemzarr_cli.program import run

Say = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of twelve frames below a folder with a name that has dots."""
    below = tmp_path / "2024.07.02" / "Alice Smith"
    below.mkdir(parents=True)
    for number in range(12):
        np.save(below / f"run_{number}.npy", np.full((6, 8), number, "u2"))
    return below.parent


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Return where the lake will be."""
    return tmp_path / "lake"


def test_a_folder_becomes_one_entry_under_its_name(folder: Path, lake: Path, say: Say) -> None:
    """Stack or scan, unchanged the second time, another shape refused, a copy recognised."""
    words = ("ingest", folder, "--join", "--scan-shape", "3,4", "--lake", lake)
    (one,) = say(*words)
    assert (one["name"], one["kind"], one["shape"]) == ("2024.07.02", "4d-stem", [3, 4, 6, 8])
    assert [line["status"] for line in say(*words)] == ["unchanged"]
    say("ingest", folder, "--join", "--scan-shape", "4,3", "--lake", lake, status=1)
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    (same,) = say("ingest", copy, "--join", "--lake", lake)
    assert (same["name"], same["status"]) == ("2024.07.02", "unchanged")
    assert "copy is the same file as 2024.07.02" in same["notes"]
    (found,) = say("verify", "2024.07.02", "--source", folder, "--lake", lake)
    assert (found["ok"], found["whole"]) == (True, True)
    assert open_lake(lake)["2024.07.02"].source["files"][11]["name"].endswith("run_11.npy")


def test_one_byte_of_one_file_is_another_source(folder: Path, lake: Path, say: Say) -> None:
    """Whatever the sizes, times and names say: the bytes of all files decide."""
    say("ingest", folder, "--join", "--lake", lake)
    copy = folder.parent / "twin" / folder.name
    shutil.copytree(folder, copy)
    file = copy / "Alice Smith" / "run_5.npy"
    status = file.stat()
    np.save(file, np.full((6, 8), 55, "u2"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    (other,) = say("ingest", copy, "--join", "--lake", lake)
    assert other["status"] == "ingested"
    assert other["name"] == "twin-2024.07.02"


def test_a_folder_that_is_a_set_has_a_hint(
    folder: Path, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its files become entries all the same; the command that the hint names makes them one."""
    assert run(["ingest", str(folder), "--lake", str(lake), "--no-sync", "--no-preview"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "hint" in line]
    assert len(said) == 1
    assert f"'stemzarr ingest --join {folder}' makes them one" in said[0]
    assert len(open_lake(lake)) == 12
    np.save(folder / "Alice Smith" / "sum.npy", np.zeros((6, 8)))
    run(["ingest", str(folder), "--lake", str(lake), "--dry-run"])
    assert "hint" not in capsys.readouterr().err


def test_every_command_that_reads_takes_it(folder: Path, tmp_path: Path, say: Say) -> None:
    """`info` and `export` read a folder as `ingest` does, `--dry-run` plans it."""
    (found,) = say("info", folder, "--join", "--scan-shape", "2,6")
    assert found["documents"][0]["shape"] == [2, 6, 6, 8]
    say("export", folder, tmp_path / "all.npy", "--join")
    expected = np.repeat(np.arange(12, dtype="u2"), 48).reshape(12, 6, 8)
    np.testing.assert_array_equal(np.load(tmp_path / "all.npy"), expected)
    (plan,) = say("ingest", folder, "--join", "--dry-run")
    assert plan["arrays"][0]["shape"] == [12, 6, 8]


def test_what_cannot_be_joined_is_refused(
    folder: Path, tmp_path: Path, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file, a wrong count, an option that cannot act, a folder that is watched."""
    file = folder / "Alice Smith" / "run_0.npy"
    for words, said in (
        ([file, "--join"], "not a folder of files"),
        ([folder, "--join", "--scan-shape", "5,5"], "needs 25 frames, it holds 12"),
        ([folder, "--join", "--layout", "scan-fast"], "leave --layout out"),
        ([folder, "--join", "--sha256"], "leave --sha256 out"),
    ):
        assert run(["ingest", *map(str, words), "--lake", str(lake)]) != 0
        assert said in capsys.readouterr().err
    joined = IngestOptions(read=ReadOptions(join=True))
    with pytest.raises(OptionError, match="complete"):
        Watcher(open_lake(lake, create=True), [tmp_path], options=joined)


def test_a_redacted_set_names_no_folder(folder: Path, tmp_path: Path) -> None:
    """Folders may be named after persons: none of them is in the store, files are."""
    options = IngestOptions(read=ReadOptions(join=True), redact=True, codec="none")
    stemzarr.ingest(folder, tmp_path / "r.zarr", options)
    for file in (tmp_path / "r.zarr").rglob("*"):
        assert not file.is_file() or b"Alice" not in file.read_bytes()
    metadata = read_source(tmp_path / "r.zarr").load_metadata()
    assert "paths" not in metadata["joined"]
    assert b"run_11.npy" in (tmp_path / "r.zarr" / "source" / "zarr.json").read_bytes()
