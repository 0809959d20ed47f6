"""Stores are checked, revised, tagged and removed, and nothing is lost on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import stemzarr
from stemzarr.registry import read_source
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.stores import change_store
from stemzarr_cli.program import run

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dm4 and a lake that holds it."""
    folder = tmp_path_factory.mktemp("made")
    write_synthetic_dm4(folder / "scan.dm4", (5, 6), (16, 16))
    assert run(["ingest", str(folder / "scan.dm4"), "--lake", str(folder / "lake"), "-q"]) == 0
    return folder


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Path:
    """Return a lake of this test alone."""
    return Path(shutil.copytree(made / "lake", tmp_path / "lake"))


@pytest.fixture
def say(lake: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Lines]:
    """Return a function that runs a command on the lake with ``--json`` and gives its lines."""

    def call(*words: object, status: int = 0) -> Lines:
        done = run([*map(str, words), "--lake", str(lake), "--json"])
        captured = capsys.readouterr()
        assert done == status, captured.err
        return [json.loads(line) for line in captured.out.splitlines()]

    return call


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def shard_of(lake: Path) -> Path:
    """Return a shard of the scan's pixels."""
    return next(path for path in lake.glob("stores/scan.zarr/intensity/c/**/*") if path.is_file())


def test_verify_finds_what_is_sound_and_what_is_not(
    made: Path, lake: Path, say: Callable[..., Lines]
) -> None:
    """A sound store passes, with its original too; a flipped byte is one line and status 1."""
    assert say("verify", "scan")[0]["ok"] is True
    assert say("verify", "scan", "--source", made / "scan.dm4")[0]["ok"] is True
    flip(shard_of(lake))
    (found,) = say("verify", "scan", status=1)
    assert found["problems"]


def test_every_problem_is_one_line(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without ``--json`` the store is called damaged, and each problem names it."""
    (lake / "stores/scan.zarr/scan_y/c/0").unlink()
    assert run(["verify", "scan", "--lake", str(lake)]) == 1
    captured = capsys.readouterr()
    assert "DAMAGED" in captured.out
    assert all("scan.zarr: " in line for line in captured.err.splitlines())
    assert captured.err


def test_originals_are_listed_when_they_are_safe_to_delete(
    made: Path, lake: Path, say: Callable[..., Lines], tmp_path: Path
) -> None:
    """Only a file that a sound store gives back, and that is unchanged, is on the list."""
    (listed,) = say("verify", "--originals")
    assert listed["original"] == str(made / "scan.dm4")
    moved = tmp_path / "copy.dm4"
    shutil.copy2(made / "scan.dm4", moved)
    say("ingest", moved, "--name", "redacted", "--redact")
    assert [line["name"] for line in say("verify", "--originals")] == ["scan"]
    flip(shard_of(lake))
    assert not [line for line in say("verify", "--originals", status=1) if line.get("safe")]


def test_calibrate_revises_and_remembers(lake: Path, say: Callable[..., Lines]) -> None:
    """The new values are what xarray and the catalog see; the old ones are in the record."""
    (line,) = say("calibrate", "scan", "camera_length_mm=99", "det_x.scale=0.5", "det_x.units=mrad")
    assert {change["fact"] for change in line["changes"]} == {
        "camera_length_mm",
        "det_x.scale",
        "det_x.offset",
        "det_x.units",
    }
    with xr.open_zarr(lake / "stores" / "scan.zarr") as scan:
        assert scan.det_x.attrs["units"] == "mrad"
        assert float(scan.det_x[1] - scan.det_x[0]) == pytest.approx(0.5)
        assert scan.attrs["camera_length_mm"] == 99
    (entry,) = say("ls", "camera_length_mm=99")
    assert entry["source"]["revisions"]
    assert say("verify", "scan")[0]["ok"] is True
    assert say("calibrate", "scan", "camera_length_mm=99")[0]["changes"] == []


@pytest.mark.parametrize("wrong", ["camera_lenght_mm=1", "det_z.scale=1", "det_x.scale=wide"])
def test_a_wrong_fact_changes_nothing(
    wrong: str, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be set is refused before anything is written, the right ones beside it too."""
    before = (lake / "stores/scan.zarr/zarr.json").read_bytes()
    assert run(["calibrate", "scan", "camera_length_mm=1", wrong, "--lake", str(lake)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert (lake / "stores/scan.zarr/zarr.json").read_bytes() == before


def test_ingest_takes_facts_at_once(made: Path, say: Callable[..., Lines]) -> None:
    """``--set`` outranks the file."""
    facts = ("--set", "camera_length_mm=77", "--set", "session=monday")
    say("ingest", made / "scan.dm4", "--name", "set", *facts)
    (entry,) = say("show", "set")
    assert entry["facts"]["camera_length_mm"] == 77
    assert entry["facts"]["session"] == "monday"


def test_virtual_copies_no_pixels(made: Path, lake: Path, say: Callable[..., Lines]) -> None:
    """A virtual entry has the labels, and its pixels come from the file."""
    say("ingest", made / "scan.dm4", "--name", "there", "--virtual")
    assert not (lake / "stores" / "there.zarr" / "intensity").exists()
    (line,) = say("export", "there", lake / "there.hspy")
    assert line["shape"] == [5, 6, 16, 16]


def test_tags_are_found_and_survive(say: Callable[..., Lines]) -> None:
    """What a person adds is found by a query, after a rebuild too, and can be taken away."""
    say("tag", "scan", "--add", "good", "-a", "for paper", "--remark", "thin", "--set", "rank=3")
    say("catalog", "rebuild")
    assert [entry["name"] for entry in say("ls", "tag=good", "rank>=3", "thin")] == ["scan"]
    (line,) = say("tag", "scan", "--remove", "good", "--unset", "rank", "--remark", "")
    assert (line["tags"], line["fields"], line["remark"]) == (["for paper"], {}, "")
    assert say("ls", "tag=good") == []


def test_a_rebuild_measures_older_stores(
    lake: Path, say: Callable[..., Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    """``--measures`` adds what a store lacks, says what, and leaves the lake in order."""
    store = lake / "stores/scan.zarr"
    change_store(store, remove=["preview/tile_sums", "preview/com_y"])
    capsys.readouterr()
    assert run(["catalog", "rebuild", "--measures", "--lake", str(lake)]) == 0
    assert "scan: added preview/com_y, preview/tile_sums" in capsys.readouterr().err
    assert (store / "preview/tile_sums/zarr.json").is_file()
    assert say("verify", "scan")[0]["ok"]
    assert run(["catalog", "rebuild", "--measures", "--lake", str(lake)]) == 0
    assert "added" not in capsys.readouterr().err


def test_one_pattern_is_shown(
    made: Path, lake: Path, say: Callable[..., Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    """``show --at`` says what a pattern counts; a position that is none is wrong usage."""
    values = stemzarr.open(made / "scan.dm4")["intensity"][2, 3].to_numpy()
    (line,) = say("show", "scan", "--at", "2,3")
    assert (line["at"], line["shape"], line["dtype"]) == ([2, 3], [16, 16], values.dtype.name)
    assert (line["sum"], line["min"], line["max"]) == (values.sum(), values.min(), values.max())
    assert run(["show", "scan", "--at", "2,3", "--lake", str(lake)]) == 0
    assert "pattern at 2,3: sum" in capsys.readouterr().out
    assert run(["show", "scan", "--at", "5,0", "--lake", str(lake)]) == 2
    assert "it has 5 positions" in capsys.readouterr().err
    assert run(["show", "scan", "--at", "1,1", "--metadata", "--lake", str(lake)]) == 2


def test_remove_asks_first(
    lake: Path, say: Callable[..., Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody can answer, nothing is deleted without ``--yes``; then all of it is."""
    assert run(["catalog", "remove", "scan", "--lake", str(lake)]) == 1
    assert "--yes" in capsys.readouterr().err
    assert [entry["name"] for entry in say("ls")] == ["scan"]
    say("catalog", "remove", "scan", "--yes")
    assert say("ls") == []
    assert list((lake / "stores").glob("[!.]*")) == []


def test_the_path_is_what_intake_opens(lake: Path, say: Callable[..., Lines]) -> None:
    """``catalog path`` prints where catalog.yaml is."""
    assert say("catalog", "path") == [{"path": str(lake / "catalog.yaml")}]


def test_the_gallery_is_one_page(tmp_path: Path, say: Callable[..., Lines]) -> None:
    """A page is written; a file that is no gallery is not replaced."""
    (line,) = say("gallery", tmp_path / "page.html", "kind=4d-stem", "--title", "Monday")
    assert line["entries"] == 1
    assert "Monday" in (tmp_path / "page.html").read_text(encoding="utf-8")
    (tmp_path / "mine.html").write_text("mine", encoding="utf-8")
    say("gallery", tmp_path / "mine.html", status=1)
    assert (tmp_path / "mine.html").read_text(encoding="utf-8") == "mine"


def test_sessions_group_what_was_acquired_together(say: Callable[..., Lines]) -> None:
    """One day of one person at one instrument is one line."""
    (session,) = say("ls", "--sessions")
    assert session["operator"] == "A. Microscopist"
    assert session["names"] == ["scan"]


def test_validate_names_what_is_wrong(
    lake: Path, say: Callable[..., Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    """A sound lake passes; what lies among the stores and is none is one line."""
    assert say("catalog", "validate") == []
    (lake / "stores" / "mine.txt").touch()
    assert run(["catalog", "validate", "--lake", str(lake)]) == 1
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert "mine.txt" in captured.err


def test_the_catalog_leaves_for_other_programs(tmp_path: Path, say: Callable[..., Lines]) -> None:
    """A folder becomes a STAC collection; nothing is replaced unasked."""
    (line,) = say("catalog", "export", tmp_path / "stac")
    assert (line["format"], line["entries"]) == ("stac", 1)
    assert (tmp_path / "stac" / "collection.json").is_file()
    say("catalog", "export", tmp_path / "stac", status=1)
    say("catalog", "export", tmp_path / "stac", "--overwrite")


def test_parquet_by_its_suffix(tmp_path: Path, say: Callable[..., Lines]) -> None:
    """DEST.parquet is a table with one row an entry."""
    parquet = pytest.importorskip("pyarrow.parquet")
    (line,) = say("catalog", "export", tmp_path / "lake.parquet", "kind=4d-stem")
    assert line["format"] == "parquet"
    assert parquet.read_table(tmp_path / "lake.parquet").num_rows == 1


def test_salvage_recovers_what_is_complete(
    made: Path, tmp_path: Path, say: Callable[..., Lines]
) -> None:
    """A cut file is refused with the way out, which then works and marks what is missing."""
    data = (made / "scan.dm4").read_bytes()
    source = read_source(made / "scan.dm4")
    pixels = next(part for part in source.segments if part.document == source.main)
    cut = tmp_path / "cut.dm4"
    cut.write_bytes(data[: pixels.offset + pixels.nbytes // 2])
    say("ingest", cut, status=1)
    (line,) = say("ingest", cut, "--salvage", "--scan-shape", "5,6")
    with (
        xr.open_zarr(line["store"]) as scan,
        xr.open_zarr(say("show", "scan")[0]["store"]) as whole,
    ):
        valid = scan.valid.values
        assert 0 < valid.sum() < valid.size
        assert (scan.intensity.values[valid] == whole.intensity.values[valid]).all()
        assert scan.attrs["complete"] == 0


def test_show_tells_what_people_noted(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tags, remark and own fields stand among the facts, times as people say them."""
    here = ("--lake", str(lake))
    words = ("--add", "thick", "--remark", "see the grain", "--set", "quality=3")
    assert run(["tag", "scan", *words, *here]) == 0
    capsys.readouterr()
    assert run(["show", "scan", *here]) == 0
    shown = {line.strip() for line in capsys.readouterr().out.splitlines()}
    for name, value in (("tags", "thick"), ("remark", "see the grain"), ("quality", "3")):
        assert any(line.startswith(name) and line.endswith(value) for line in shown)
    assert any(line.startswith("exposure") and line.endswith("ms") for line in shown)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ls", "kind=4d"), "no entry has kind=4d; did you mean 4d-stem"),
        (("ls", "--sessions", "kind=4d"), "did you mean 4d-stem"),
        (("ls", "--facet", "kind", "nosuchword"), "No scans match"),
        (("tag", "scan", "good"), "to add it as a tag: stemzarr tag scan --add good"),
    ],
)
def test_a_newcomer_is_told_what_was_probably_meant(
    words: tuple[str, ...], told: str, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing is found, the message says why and what to type."""
    run([*words, "--lake", str(lake)])
    assert told in capsys.readouterr().err
