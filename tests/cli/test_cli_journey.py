"""From a dm4 to a store, a catalog and back out, as a person types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from stemzarr.testing import write_synthetic_dm4
from stemzarr_cli.program import run

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small realistic dm4."""
    path = tmp_path_factory.mktemp("source") / "scan.dm4"
    write_synthetic_dm4(path, (6, 7), (24, 32))
    return path


@pytest.fixture(scope="module")
def lake(scan: Path) -> Path:
    """Return a lake that holds the scan."""
    folder = scan.with_name("lake")
    assert run(["ingest", str(scan), "--lake", str(folder), "--quiet"]) == 0
    return folder


def test_info_gives_what_the_contract_names(scan: Path, say: Callable[..., Lines]) -> None:
    """The JSON of ``info`` has the promised keys, with sizes and calibration of the file."""
    (found,) = say("info", scan)
    assert {"path", "format", "complete", "documents"} <= found.keys()
    assert found["format"] == "dm4"
    assert found["complete"] is True
    main = next(document for document in found["documents"] if document["slug"] == found["main"])
    keys = {"index", "slug", "title", "kind", "dims", "shape", "dtype", "axes", "layout"}
    assert keys <= main.keys()
    assert main["kind"] == "4d-stem"
    assert main["shape"] == [6, 7, 24, 32]
    assert main["layout"]["order"] == "detector-fast"
    assert {"name", "size", "offset", "scale", "units"} <= main["axes"][0].keys()


def test_ingest_says_what_it_made(scan: Path, tmp_path: Path, say: Callable[..., Lines]) -> None:
    """One line a file; the second time the file is known, and nothing is written."""
    lake = tmp_path / "lake"
    (first,) = say("ingest", scan, "--lake", lake)
    (second,) = say("ingest", scan, "--lake", lake)
    keys = "name store kind shape dtype source_bytes stored_bytes seconds status error"
    assert set(keys.split()) <= first.keys()
    assert (first["status"], second["status"]) == ("ingested", "unchanged")
    assert first["name"] == "scan"
    opened = xr.open_zarr(first["store"], consolidated=True)
    assert opened.intensity.dims == ("scan_y", "scan_x", "det_y", "det_x")
    opened.close()


def test_a_dry_run_writes_nothing(scan: Path, tmp_path: Path, say: Callable[..., Lines]) -> None:
    """The plan is shown, no lake is made."""
    (plan,) = say("ingest", scan, "--dry-run", "--lake", tmp_path / "lake")
    assert plan["source_bytes"] >= 6 * 7 * 24 * 32 * 2
    assert plan["arrays"]
    assert 0 < plan["expected_bytes"] < plan["source_bytes"]
    (virtual,) = say("ingest", scan, "--dry-run", "--virtual", "--lake", tmp_path / "lake")
    assert virtual["expected_bytes"] == 0
    assert list(tmp_path.iterdir()) == []


def test_ingest_says_what_a_person_should_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was noticed on the way is said in words: floats that are all integers, for one."""
    path = tmp_path / "floats.dm4"
    write_synthetic_dm4(path, (2, 3), (8, 8), np.float32)
    assert run(["ingest", str(path), "--lake", str(tmp_path / "lake")]) == 0
    assert "stored as float32, holds only integers" in capsys.readouterr().out


def test_a_folder_stands_for_its_files(tmp_path: Path, say: Callable[..., Lines]) -> None:
    """Every file that is recognised is ingested, at any depth; the rest is passed over."""
    (tmp_path / "data" / "monday").mkdir(parents=True)
    write_synthetic_dm4(tmp_path / "data" / "monday" / "a.dm4", (2, 3), (8, 8))
    write_synthetic_dm4(tmp_path / "data" / "b.dm4", (2, 3), (8, 8), seed=1)
    (tmp_path / "data" / "notes.txt").write_text("nothing", encoding="utf-8")
    (tmp_path / "data" / ".c.dm4").write_bytes(b"still being written")
    lines = say("ingest", tmp_path / "data", "--lake", tmp_path / "lake")
    assert sorted(line["name"] for line in lines) == ["a", "b"]
    again = say("ingest", tmp_path, "--lake", tmp_path / "lake")
    assert {line["status"] for line in again} == {"unchanged"}


def test_ls_filters_sorts_and_counts(lake: Path, say: Callable[..., Lines]) -> None:
    """The query decides what is listed; a facet counts it."""
    (entry,) = say("ls", "kind=4d-stem", "beam_energy_keV>=200", "--lake", lake)
    keys = {"name", "title", "kind", "dims", "shape", "dtype", "facts", "source", "store"}
    assert keys | {"documents"} <= entry.keys()
    assert say("ls", "kind=spectrum", "--lake", lake) == []
    assert say("ls", "--sort", "-size", "--limit", "0", "--lake", lake) == []
    counted = say("ls", "--facet", "kind", "--lake", lake)
    assert counted == [{"field": "kind", "value": "4d-stem", "count": 1}]


def test_show_by_name_and_by_path(lake: Path, say: Callable[..., Lines]) -> None:
    """A store is the same whichever way it is named, and its metadata is found by path."""
    (named,) = say("show", "scan", "--lake", lake)
    (pathed,) = say("show", named["store"])
    assert named["documents"] == pathed["documents"]
    (found,) = say("show", "scan", "--lake", lake, "--metadata", "ImageList/1/ImageTags/SI")
    assert "Acquisition" in found["value"]


def test_show_draws_for_a_person(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Facts and axes are shown in words, without escapes where nobody watches."""
    assert run(["show", "scan", "--lake", str(lake)]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("4d-stem", "scan_y", "1/nm", "300 keV"))
    assert "\x1b" not in shown


def test_exports_are_noted(lake: Path, tmp_path: Path, say: Callable[..., Lines]) -> None:
    """A .hspy holds the values and calibration of the store, and the entry knows of it."""
    dest = tmp_path / "out.hspy"
    (line,) = say("export", "scan", dest, "--scan-step", 2, "--downsample", 2, "--lake", lake)
    assert {"dest", "format", "shape", "dtype", "bytes", "seconds"} <= line.keys()
    assert line["shape"] == [3, 4, 12, 16]
    with h5py.File(dest) as file:
        group = next(iter(file["Experiments"].values()))
        store = xr.open_zarr(lake / "stores" / "scan.zarr").intensity[::2, ::2]
        expected = store.coarsen(det_y=2, det_x=2).mean()
        np.testing.assert_allclose(group["data"][:], expected, rtol=1e-6)
    (entry,) = say("show", "scan", "--lake", lake)
    assert str(dest) in {export["dest"] for export in entry["notes"]["exports"]}


def test_export_straight_from_a_file(
    scan: Path, tmp_path: Path, say: Callable[..., Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lake is needed, and none is made."""
    monkeypatch.chdir(tmp_path)
    say("export", scan, "out.hspy")
    assert [path.name for path in tmp_path.iterdir()] == ["out.hspy"]


def test_pt_is_a_bare_tensor(scan: Path, tmp_path: Path, say: Callable[..., Lines]) -> None:
    """A .pt is (N, 1, det_y, det_x) in float32, and its sidecar says what it is."""
    torch = pytest.importorskip("torch")
    dest = tmp_path / "scan.pt"
    (line,) = say("export", scan, dest, "--downsample", "2,4", "--normalize", "log1p-zscore")
    tensor = torch.load(dest, weights_only=True, mmap=True)
    assert list(tensor.shape) == line["shape"] == [42, 1, 12, 8]
    assert tensor.dtype == torch.float32
    assert json.loads(dest.with_name("scan.pt.json").read_text(encoding="utf-8"))


def test_many_are_exported_at_once(scan: Path, tmp_path: Path, say: Callable[..., Lines]) -> None:
    """All entries of a query are written under their names; what fails is named, the rest done."""
    lake = tmp_path / "lake"
    write_synthetic_dm4(tmp_path / "other.dm4", (3, 3), (8, 8), seed=1)
    say("ingest", scan, tmp_path / "other.dm4", "--lake", lake)
    words = ("export", "--query", "kind=4d-stem", "--format", "hspy", "--lake", lake)
    lines = say(*words, "--to", tmp_path / "out")
    assert sorted(Path(line["dest"]).name for line in lines) == ["other.hspy", "scan.hspy"]
    (tmp_path / "out" / "scan.hspy").unlink()
    lines = say(*words, "--to", tmp_path / "out", status=1)
    assert [Path(line["dest"]).name for line in lines if not line.get("error")] == ["scan.hspy"]
    assert [Path(line["dest"]).name for line in lines if line.get("error")] == ["other.hspy"]


@pytest.mark.parametrize(
    "words",
    [
        ["export", "scan"],
        ["export", "scan", "x.hspy", "--to", "folder"],
        ["export", "--query", "kind=image", "--to", "folder"],
        ["export", "--query", "kind=image", "--to", "folder", "--format", "nonsense"],
    ],
)
def test_half_a_request_is_wrong_usage(words: list[str], lake: Path) -> None:
    """SOURCE and DEST belong together, and so do ``--query``, ``--to`` and ``--format``."""
    assert run([*words, "--lake", str(lake)]) == (1 if "nonsense" in words else 2)
    assert not Path("folder").exists()
