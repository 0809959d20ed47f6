"""Results that xarray users add to a store: theirs, readable, and never damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import stemzarr
from stemzarr.errors import CorruptFileError, DamagedStoreError, StoreExistsError
from stemzarr.model import read_box
from stemzarr.options import ExportOptions, IngestOptions
from stemzarr.registry import read_source
from stemzarr.storage.foreign import is_foreign
from stemzarr.store import (
    read_store,
    renew_listing,
    restore_metadata,
    revise,
    verify_store,
    write_store,
)
from stemzarr.store import results as results_module
from stemzarr.store.format.manifest import read_manifest
from stemzarr.store.format.tree import read_nodes
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake
from stemzarr_catalog.validate import validate_lake
from stemzarr_cli.program import run

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")

FOREIGN = [
    ".DS_Store", "._zarr.json", "._0", "Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini",
    ".nfs000000000a1b2c3d", "Icon\r", ".directory", ".fuse_hidden0000a1", "~$scan.docx",
]  # fmt: skip
FOREIGN_FOLDERS = ["@eaDir", ".AppleDouble", "$RECYCLE.BIN", ".Trash-1000"]


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dm4 with a scan and a survey image."""
    path = tmp_path_factory.mktemp("results") / "scan.dm4"
    write_synthetic_dm4(path, (4, 5), (8, 6))
    return path


@pytest.fixture
def store(scan: Path, tmp_path: Path) -> Path:
    """Return a fresh store, the only entry of a lake."""
    lake = open_lake(tmp_path / "lake", create=True)
    lake.ingest(scan, name="scan", options=IngestOptions(sync=False))
    return lake.store_path("scan")


def image(store: Path, name: str = "vbf") -> xr.Dataset:
    """Return what an xarray user computes."""
    with xr.open_zarr(store) as opened:
        return opened.intensity.mean(("det_y", "det_x")).rename(name).to_dataset().load()


def add(store: Path) -> None:
    """Add an image as the docs of xarray say."""
    image(store).to_zarr(store, group="analysis", mode="a")


def add_deep(store: Path) -> None:
    """Add one in groups within groups, with a space in a name."""
    image(store, "strain").to_zarr(store, group="analysis/strain/second try", mode="a")


def add_in_silence(store: Path) -> None:
    """Add one without the root hearing of it."""
    image(store).to_zarr(store, group="analysis/vbf", mode="a", consolidated=False)


def add_and_consolidate(store: Path) -> None:
    """Add one and consolidate all metadata."""
    add(store)
    zarr.consolidate_metadata(store)


def add_by_zarr(store: Path) -> None:
    """Add an array without names for its dims."""
    group = zarr.open_group(store, mode="a").create_group("analysis")
    group.create_array("labels", data=np.arange(20, dtype="u1").reshape(4, 5))


def overwrite(store: Path) -> None:
    """Write a result again."""
    add(store)
    (2 * image(store)).to_zarr(store, group="analysis", mode="w")


def remove_again(store: Path) -> None:
    """Remove all results by hand."""
    add(store)
    shutil.rmtree(store / "analysis")


def remove_one_of_two(store: Path) -> None:
    """Remove one result and consolidate all metadata."""
    add(store)
    add_deep(store)
    shutil.rmtree(store / "analysis" / "strain")
    zarr.consolidate_metadata(store)


def leave_a_remark(store: Path) -> None:
    """Leave files that no Zarr program knows."""
    (store / "analysis" / "old").mkdir(parents=True)
    (store / "analysis" / "old" / ".zarray").write_text("{}")
    (store / "analysis" / "zarr.json").write_text("{")
    (store / "analysis" / "how.txt").write_text("by hand")


WAYS: dict[Callable[[Path], None], tuple[str, ...]] = {
    add: ("analysis/scan_x", "analysis/scan_y", "analysis/vbf"),
    add_deep: tuple(
        f"analysis/strain/second try/{name}" for name in ("scan_x", "scan_y", "strain")
    ),
    add_in_silence: tuple(f"analysis/vbf/{name}" for name in ("scan_x", "scan_y", "vbf")),
    add_and_consolidate: ("analysis/scan_x", "analysis/scan_y", "analysis/vbf"),
    add_by_zarr: ("analysis/labels",),
    overwrite: ("analysis/scan_x", "analysis/scan_y", "analysis/vbf"),
    remove_again: (),
    remove_one_of_two: ("analysis/scan_x", "analysis/scan_y", "analysis/vbf"),
    leave_a_remark: ("analysis/how.txt", "analysis/old/.zarray"),
}


def own_bytes(store: Path) -> dict[str, bytes]:
    """Return the content of every file that stemzarr wrote, but of the root's metadata."""
    files = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
    mine = {name: p for name, p in files.items() if not name.startswith("analysis/")}
    return {name: path.read_bytes() for name, path in mine.items() if name != "zarr.json"}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_user_adds_is_theirs(
    store: Path, scan: Path, way: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Reading goes on, `verify` names it and finds nothing, and nothing of ours changes."""
    before, opened = own_bytes(store), read_store(store).document
    first = read_box(opened.blocks, (0, 0, 0, 0), (1, 1, 8, 6))
    way(store)
    np.testing.assert_array_equal(read_box(opened.blocks, (0, 0, 0, 0), (1, 1, 8, 6)), first)
    assert stemzarr.open(store).intensity.shape == (4, 5, 8, 6)
    report = verify_store(store, source=scan)
    assert (report.problems, report.added) == ((), WAYS[way])
    assert not any("analysis" in name for name in read_manifest(store, read_nodes(store)).files)
    assert run(["verify", str(store)]) == 0
    said = capsys.readouterr().out
    assert ("added by the user" in said) == bool(WAYS[way])
    assert restore_metadata(store) == ()
    assert own_bytes(store) == before
    assert verify_store(store).added == WAYS[way]
    assert revise(store, {"operator": "Ann"})
    assert read_store(store).document.facts["operator"] == "Ann"
    assert (verify_store(store).problems, verify_store(store).added) == ((), WAYS[way])


@pytest.mark.parametrize("way", WAYS)
def test_rebuilding_the_catalog_lists_the_results(store: Path, way: Callable[[Path], None]) -> None:
    """Only `catalog rebuild` renews the list of the root; then xarray and Zarr show all of it."""
    root = (store / "zarr.json").read_bytes()
    way(store)
    # zarr names no dims, without which xarray would not open the tree any more
    named = [] if way is add_by_zarr else WAYS[way]
    arrays = [name for name in named if (store / name / "zarr.json").is_file()]
    lake = open_lake(store.parent.parent)
    assert lake["scan"].open().intensity.shape == (4, 5, 8, 6)
    verify_store(store)
    restore_metadata(store)
    assert lake.rebuild() == {}
    listed = json.loads((store / "zarr.json").read_bytes())["consolidated_metadata"]["metadata"]
    assert {name for name in listed if listed[name]["node_type"] == "array"} >= set(arrays)
    is_group = (store / "analysis").is_dir() and way is not leave_a_remark
    assert ("analysis" in listed) == is_group
    with xr.open_datatree(store, engine="zarr") as tree:
        for name in arrays:
            group, _, array = name.rpartition("/")
            np.testing.assert_array_equal(tree[group][array], zarr.open_array(store / name)[:])
    if "analysis" not in listed:
        assert (store / "zarr.json").read_bytes() == root
    settled = (store / "zarr.json").read_bytes()
    assert not renew_listing(store)
    assert restore_metadata(store) == ()
    assert (store / "zarr.json").read_bytes() == settled
    revise(store, {"operator": "Ann"})
    with xr.open_datatree(store, engine="zarr") as tree:
        for name in arrays:
            group, _, array = name.rpartition("/")
            assert array in tree[group]
    assert verify_store(store).ok
    assert list(validate_lake(lake)) == []


def test_a_result_of_another_shape_is_listed_nowhere(store: Path) -> None:
    """Of a part of the scan: it is there, and the tree of the store still opens."""
    image(store).isel(scan_y=slice(2)).to_zarr(store, group="analysis/part", mode="a")
    renew_listing(store)
    with xr.open_datatree(store, engine="zarr") as tree:
        assert "vbf" not in tree["analysis/part"]
    with xr.open_zarr(store, group="analysis/part", consolidated=False) as part:
        assert part.vbf.shape == (2, 5)
    assert verify_store(store).ok


def test_a_root_whose_attributes_went_is_restored_with_the_results(store: Path) -> None:
    """`DataTree.to_zarr` empties the root: restored, the results stay."""
    before = (store / "zarr.json").read_bytes()
    xr.DataTree.from_dict({"/analysis": image(store)}).to_zarr(store, mode="a")
    with pytest.raises(ValueError, match="--restore-metadata"):
        read_store(store)
    assert restore_metadata(store)
    assert verify_store(store).added == WAYS[add]
    shutil.rmtree(store / "analysis")
    renew_listing(store)
    assert (store / "zarr.json").read_bytes() == before


def test_a_group_in_another_place_names_the_right_one(store: Path) -> None:
    """Results beside `analysis` are refused with the place where they would be kept."""
    image(store).to_zarr(store, group="strain", mode="a")
    with pytest.raises(DamagedStoreError, match="strain was added") as refused:
        read_store(store)
    assert "group='analysis/NAME'" in (refused.value.hint or "")


def test_an_array_of_another_form_in_another_place_names_the_right_one(store: Path) -> None:
    """As zarr itself writes it: without dims, in chunks of its own."""
    group = zarr.open_group(store, mode="a").create_group("strain")
    group.create_array("xx", shape=(4, 5), chunks=(3, 2), dtype="float64")
    zarr.consolidate_metadata(store)
    with pytest.raises(
        CorruptFileError, match=r"strain/xx: .*results belong below analysis/strain"
    ):
        stemzarr.open(store)


def test_what_is_changed_beside_the_results_is_found(store: Path) -> None:
    """Metadata in zarr's words are compared value by value, and byte by byte with those words."""
    add(store)
    good = (store / "zarr.json").read_bytes()
    for old, new in (
        (b'"clevel": 1', b'"clevel": 2'),
        (b'"units": "1/nm"', b'"units": "1/mm"'),
        (b'"calibrated": 1', b'"calibrated": true'),
        (b'"kind": "inline"', b'"kind": "online"'),
        (b'\n    "title"', b'\n\t  "title"'),
    ):
        assert old in good, old
        (store / "zarr.json").write_bytes(good.replace(old, new, 1))
        assert not verify_store(store).ok, new
    (store / "zarr.json").write_bytes(good)
    extra = xr.Dataset({"mask": (("scan_y", "scan_x"), np.ones((4, 5)))})
    extra.to_zarr(store, group="documents", mode="a")
    assert any("mask" in problem for problem in verify_store(store).problems)
    with pytest.raises(DamagedStoreError, match="mask"):
        read_store(store)


def test_what_systems_leave_is_no_damage(store: Path, scan: Path) -> None:
    """In any folder of a store, lake or notes: verified, listed, validated as if it were not."""
    lake = open_lake(store.parent.parent)
    lake.tag("scan", "good")
    opened = read_store(store).document
    folders = [path for path in lake.path.rglob("*") if path.is_dir()]
    for folder in folders:
        for name in FOREIGN:
            (folder / name).write_bytes(b"x")
        for name in FOREIGN_FOLDERS:
            (folder / name).mkdir()
            (folder / name / "zarr.json").write_bytes(b"{}")
    for name in ("._scan.json", "~$scan.json"):
        (lake.path / "notes" / name).write_bytes(b"x")
    for name in ("._scan.zarr", "~$scan.zarr"):
        (lake.stores / name).mkdir()
        (lake.stores / name / "zarr.json").write_bytes(b"{}")
    assert read_box(opened.blocks, (0, 0, 0, 0), opened.shape).shape == opened.shape
    report = verify_store(store, source=scan)
    assert (report.problems, report.added) == ((), ())
    assert restore_metadata(store) == ()
    assert revise(store, {"operator": "Ann"})
    lake = open_lake(lake.path)
    lake.rebuild()
    assert (list(lake), lake.problems) == (["scan"], {})
    assert list(validate_lake(lake)) == []
    assert lake["scan"].notes.tags == ("good",)
    lake.remove("scan")
    assert not store.exists()


@pytest.mark.parametrize("way", WAYS)
def test_results_are_not_deleted_in_silence(
    store: Path, scan: Path, way: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Replacing a store with results is refused by name, and a removal names them."""
    way(store)
    lake, added = str(store.parent.parent), WAYS[way]
    before = {p: p.read_bytes() for p in store.rglob("*") if p.is_file()}
    commands = [["calibrate", "scan", "operator=Ann"], ["ingest", str(scan), "--overwrite"]]
    assert run([*commands[0], "--lake", lake]) == 0
    assert run([*commands[1], "--lake", lake]) == int(bool(added))
    said = capsys.readouterr().err
    assert all(name in said for name in added)
    kept = {p: p.read_bytes() for p in before if "analysis" in p.parts and p.exists()}
    if added:
        assert kept == {p: content for p, content in before.items() if "analysis" in p.parts}
    assert run(["catalog", "remove", "scan", "--lake", lake]) == 1
    assert all(name in capsys.readouterr().err for name in added[:1])
    assert run(["catalog", "remove", "scan", "--lake", lake, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"] == list(added)
    assert not store.exists()


def test_results_that_come_while_a_store_is_replaced_are_kept(
    store: Path, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is added during the ingest is seen before the store is replaced."""
    checked, once = results_module.find_added, []

    def find(path: Path) -> tuple[str, ...]:
        found = checked(path)
        if not once:
            once.append(path)
            add(store)
        return found

    monkeypatch.setattr(results_module, "find_added", find)
    with pytest.raises(StoreExistsError, match="analysis/vbf"):
        write_store(read_source(scan), store, IngestOptions(sync=False, overwrite=True))
    assert (store / "analysis" / "vbf").is_dir()


def test_only_what_systems_leave_is_passed_over(store: Path) -> None:
    """Names that only look alike are damage as before."""
    for name in ("DS_Store", "x._y", "zarr.json.bak", "Thumbs", "icon", "eaDir", ".hidden"):
        assert not is_foreign(name)
        (store / name).write_bytes(b"x")
        assert verify_store(store).problems == (f"{name}: does not belong to the store",)
        (store / name).unlink()


def test_a_store_of_its_own_is_no_result(tmp_path: Path, scan: Path) -> None:
    """`analysis` is theirs at the root alone; below it, the name means nothing."""
    store = tmp_path / "x.zarr"
    write_store(read_source(scan), store, IngestOptions(sync=False))
    (store / "source" / "analysis").mkdir()
    (store / "source" / "analysis" / "x").write_bytes(b"x")
    assert verify_store(store).problems == ("source/analysis/x: does not belong to the store",)


def test_an_export_does_not_delete_results_either(tmp_path: Path) -> None:
    """A store that holds results is not replaced by an export, and is as it was afterwards."""
    source = tmp_path / "s.npy"
    np.save(source, np.arange(2 * 3 * 4 * 5, dtype="u2").reshape(2, 3, 4, 5))
    dest = tmp_path / "s.zarr"
    stemzarr.export(source, dest)
    image = xr.Dataset({"mean": (("scan_y", "scan_x"), np.ones((2, 3)))})
    image.to_zarr(dest, group="analysis/mine", mode="a", consolidated=False)
    options = ExportOptions(overwrite=True)
    with pytest.raises(StoreExistsError, match="analysis/mine"):
        stemzarr.export(source, dest, options=options)
    with xr.open_zarr(dest, group="analysis/mine", consolidated=False) as kept:
        assert float(kept["mean"].sum()) == 6
    shutil.rmtree(dest / "analysis")
    assert stemzarr.export(source, dest, options=options).shape == (2, 3, 4, 5)
