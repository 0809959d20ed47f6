"""Commands that are run again leave what is done, and give make and Snakemake a stamp."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake
from stemzarr_cli.program import run

Lines = list[dict[str, Any]]
FORMATS = ("npy", "zarr", "hspy", "dm")


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[..., Lines]) -> Path:
    """Return a lake of two scans, whose folder is where commands run."""
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        write_synthetic_dm4(tmp_path / f"scan{number}.dm4", (4, 6), (8, 8), seed=number)
    say("ingest", "scan1.dm4", "scan2.dm4", "--lake", "lake", "--stamp", "stamps/ingest.jsonl")
    monkeypatch.setenv("STEMZARR_LAKE", str(tmp_path / "lake"))
    return tmp_path / "lake"


def many(format_name: str, *words: str) -> list[str]:
    """Return the words of an export of all scans."""
    return ["export", "--query", "kind=4d-stem", "--to", "out", "--format", format_name, *words]


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file below a folder."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.usefixtures("lake")
def test_an_export_again_leaves_what_it_wrote(format_name: str, say: Callable[..., Lines]) -> None:
    """Nothing is written, nothing noted, and the lines say so, whatever the format keeps."""
    first = say(*many(format_name, "--skip-existing"))
    before, notes = states(Path("out")), states(Path("lake/notes"))
    again = say(*many(format_name, "--skip-existing"))
    assert [line["status"] for line in first] == ["exported"] * 2
    assert [line["status"] for line in again] == ["unchanged"] * 2
    assert (states(Path("out")), states(Path("lake/notes"))) == (before, notes)
    for one, other in zip(first, again, strict=True):
        same = ("dest", "format", "shape", "dtype", "bytes")
        assert [one[key] for key in same] == [other[key] for key in same]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--downsample", "2"], "with another view"),
        (["--image", "bright-field"], "of another image"),
        (["--document", "survey"], "of another document"),
    ],
)
@pytest.mark.usefixtures("lake")
def test_what_was_made_otherwise_is_told(
    words: list[str], said: str, say: Callable[..., Lines]
) -> None:
    """A file of other options is neither taken for the wanted one nor replaced unasked."""
    say(*many("npy"))
    before = states(Path("out"))
    lines = say(*many("npy", "--skip-existing", *words), status=1)
    assert all(said in line["error"] and "--overwrite" in line["error"] for line in lines)
    assert states(Path("out")) == before
    assert [line["status"] for line in say(*many("npy", "--skip-existing", "--overwrite", *words))]
    lines = say(*many("npy", "--skip-existing", *words))
    assert {line["status"] for line in lines} == {"unchanged"}


@pytest.mark.parametrize("format_name", ["zarr", "hspy"])
def test_only_what_was_revised_is_written_again(
    format_name: str, lake: Path, say: Callable[..., Lines]
) -> None:
    """A calibration, or other pixels under the name, makes the file of that entry another one."""
    say(*many(format_name))
    say("calibrate", "scan1", "det_x.scale=0.5", "det_y.scale=0.5", "det_x.units=1/nm")
    (line, other) = say(*many(format_name, "--skip-existing"), status=1)
    assert "calibration" in line["error"]
    assert other["status"] == "unchanged"
    lines = say(*many(format_name, "--skip-existing", "--overwrite"))
    assert [line["status"] for line in lines] == ["exported", "unchanged"]
    write_synthetic_dm4(Path("scan2.dm4"), (4, 6), (8, 8), seed=9)
    say("ingest", "scan2.dm4", "--overwrite", "--name", "scan2", "--lake", lake)
    lines = say(*many(format_name, "--skip-existing", "--overwrite"))
    assert [line["status"] for line in lines] == ["unchanged", "exported"]


@pytest.mark.parametrize("format_name", ["npy", "png"])
@pytest.mark.usefixtures("lake")
def test_a_file_that_was_written_to_is_not_taken_for_ours(
    format_name: str, say: Callable[..., Lines]
) -> None:
    """Another size, or a later time, is noticed, even where a sidecar or a record speaks for it."""
    (line, _) = say(*many(format_name))
    dest = Path(line["dest"])
    later = dest.stat().st_mtime_ns + 1_000_000_000
    os.utime(dest, ns=(later, later))
    (line, other) = say(*many(format_name, "--skip-existing"), status=1)
    assert "nothing says how it was made" in line["error"]
    assert other["status"] == "unchanged"


def test_a_lake_that_is_only_read_is_enough_for_sidecars(
    lake: Path, say: Callable[..., Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a record of the lake, sidecars and stores say how they were made."""
    for format_name in ("npy", "zarr"):
        say(*many(format_name))
    shutil.rmtree(lake / "notes")
    for format_name in ("npy", "zarr"):
        lines = say(*many(format_name, "--skip-existing"))
        assert {line["status"] for line in lines} == {"unchanged"}
    say("export", "scan1.dm4", "plain.npy")
    monkeypatch.delenv("STEMZARR_LAKE")
    (line,) = say("export", "scan1.dm4", "plain.npy", "--skip-existing")
    assert line["status"] == "unchanged"


@pytest.mark.usefixtures("lake")
def test_a_dry_run_says_what_would_be_done(say: Callable[..., Lines]) -> None:
    """Nothing is made, and each line has the status that it would have."""
    lines = say(*many("npy", "--dry-run", "--downsample", "2"))
    assert not Path("out").exists()
    assert [line["status"] for line in lines] == ["exported"] * 2
    assert [(line["shape"], line["bytes"]) for line in lines] == [([4, 6, 4, 4], 4 * 384)] * 2
    assert all(line["dry_run"] for line in lines)
    say("export", "scan1", "out.npy", "--downsample", "2")
    say(*many("npy", "--downsample", "2"))
    Path("out/scan2.npy").write_bytes(b"mine")
    before = states(Path())
    words = many("npy", "--downsample", "2", "--skip-existing", "--dry-run")
    lines = say(*words, status=1)
    assert [line["status"] for line in lines] == ["unchanged", "failed"]
    lines = say(*words, "--overwrite")
    assert [line["status"] for line in lines] == ["unchanged", "exported"]
    assert states(Path()) == before


def test_every_line_has_the_same_keys(lake: Path, say: Callable[..., Lines]) -> None:
    """A program reads lines of files that failed as it reads the others."""
    Path("bad.dm4").write_bytes(b"\0\0\0\4 not one")
    good, bad = say("ingest", "scan1.dm4", "bad.dm4", "--lake", lake, status=1)
    assert good.keys() == bad.keys()
    assert (bad["status"], bad["notes"]) == ("failed", [])
    Path("out").mkdir()
    Path("out/scan1.npy").write_bytes(b"mine")
    bad, good = say(*many("npy"), status=1)
    assert good.keys() == bad.keys()
    assert (bad["status"], bad["notes"]) == ("failed", [])


@pytest.mark.usefixtures("lake")
def test_a_stamp_is_as_young_as_the_run(say: Callable[..., Lines]) -> None:
    """It is written where all is unchanged, too, and not where something failed."""
    stamp = Path("stamps/ingest.jsonl")
    os.utime(stamp, ns=(0, 0))
    lines = say("ingest", "scan1.dm4", "scan2.dm4", "--stamp", stamp)
    assert {line["status"] for line in lines} == {"unchanged"}
    assert stamp.stat().st_mtime_ns > Path("scan1.dm4").stat().st_mtime_ns
    assert list(map(json.loads, stamp.read_text(encoding="utf-8").splitlines())) == lines
    say(*many("npy", "--stamp", "stamps/npy.jsonl"))
    Path("stamps/npy.jsonl").unlink()
    say(*many("npy", "--stamp", "stamps/npy.jsonl"), status=1)
    assert not Path("stamps/npy.jsonl").exists()
    assert run([*many("npy", "--skip-existing", "--stamp", "stamps/npy.jsonl"), "--quiet"]) == 0
    assert Path("stamps/npy.jsonl").exists()


def test_the_notes_of_a_lake_grow_with_what_is_written(
    lake: Path, say: Callable[..., Lines]
) -> None:
    """Each file that was written has one record, and those that are left have no second one."""
    for _ in range(3):
        say(*many("png", "--skip-existing", "--overwrite"))
    assert [len(entry.notes.exports) for entry in open_lake(lake).search()] == [1, 1]


def test_the_snakefile_runs_once(tmp_path: Path) -> None:
    """A second run has nothing to do, one without stamps writes nothing, a new file is added."""
    pytest.importorskip("torch")
    if importlib.util.find_spec("snakemake") is None:
        pytest.skip("snakemake is not installed: examples/Snakefile was not run")
    (tmp_path / "data").mkdir()
    for number in (1, 2):
        write_synthetic_dm4(tmp_path / f"data/scan{number}.dm4", (4, 6), (8, 8), seed=number)
    snakefile = Path(__file__).parents[2] / "examples" / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--cores", "1"]
    command += ["--directory", tmp_path, "--config", f"stemzarr={sys.executable} -m stemzarr_cli"]

    def snake() -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stderr

    snake()
    tensors = states(tmp_path / "tensors")
    assert len(open_lake(tmp_path / "stemzarr-lake")) == 2
    assert "Nothing to be done" in snake()
    shutil.rmtree(tmp_path / "stamps")
    assert "Nothing to be done" not in snake()
    assert states(tmp_path / "tensors") == tensors
    write_synthetic_dm4(tmp_path / "data/scan3.dm4", (4, 6), (8, 8), seed=3)
    snake()
    found = states(tmp_path / "tensors")
    assert len(found) == len(tensors) // 2 * 3
    assert tensors.items() <= found.items()
