"""Metadata that other programs edit: refused in words that help, told value by value, restored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import stemzarr
from stemzarr.errors import DamagedStoreError, SourceNotFoundError, StemzarrError, WriteError
from stemzarr.storage.local import LocalFolder
from stemzarr.store import read_store, restore_metadata, revise, verify_store
from stemzarr.store.format.manifest import read_manifest, write_manifest
from stemzarr.store.format.tree import Tree, read_nodes
from stemzarr.testing.faults import Crash, Faults, no_space
from stemzarr.testing.mutation import dump_loosely, mutate_json
from stemzarr_catalog import open_lake
from stemzarr_cli.program import run

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")


def all_bytes(store: Path) -> dict[str, bytes]:
    """Return the content of every file."""
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def edit_root(store: Path) -> None:
    """Correct a name, as a person does in Python."""
    zarr.open_group(store, mode="r+").attrs["operator"] = "Ann"


def edit_without_consolidation(store: Path) -> None:
    """Do the same with a program that does not know of consolidated metadata."""
    zarr.open_group(store, mode="r+", use_consolidated=False).attrs["operator"] = "Ann"


def edit_axis(store: Path) -> None:
    """Edit an array's attributes, and consolidate."""
    zarr.open_group(store, mode="r+")["det_x"].attrs["units"] = "mrad"
    zarr.consolidate_metadata(store)


def add_variable(store: Path) -> None:
    """Add a mask with xarray, which replaces all attributes of the root."""
    mask = xr.Dataset({"mask": (("scan_y", "scan_x"), np.ones((2, 3)))}, attrs={"operator": "Ann"})
    mask.to_zarr(store, mode="a")


EDITS: dict[Callable[[Path], None], str] = {
    edit_root: 'operator is "Ann" instead of "Bob"',
    edit_without_consolidation: 'operator is "Ann" instead of "Bob"',
    edit_axis: 'det_x: units is "mrad" instead of "1/nm"',
    add_variable: "title is gone",
}


@pytest.fixture
def store(tmp_path: Path, tiny: Any, tiny_dm4: Path) -> Path:
    """Return a store of one's own, revised once."""
    store: Path = tiny.ingest(tiny_dm4, tmp_path / "x.zarr")
    revise(store, {"operator": "Bob"})
    return store


@pytest.mark.parametrize("edit", EDITS)
def test_metadata_that_other_programs_edit_are_told_and_restored(
    store: Path, edit: Callable[[Path], None]
) -> None:
    """Opening says what to do, `verify` what differs, and after the restoring no byte does."""
    before = all_bytes(store)
    edit(store)
    with pytest.raises(StemzarrError, match=r"--restore-metadata.*calibrate"):
        read_store(store)
    assert not verify_store(store).ok
    told = [str(difference) for difference in restore_metadata(store)]
    assert EDITS[edit] in told
    added = {name for name in all_bytes(store) if name.startswith("mask")}
    assert all_bytes(store) == before | {name: all_bytes(store)[name] for name in added}
    assert read_store(store).document.facts["operator"] == "Bob"
    assert all("mask" in problem or "repeat" in problem for problem in verify_store(store).problems)
    assert not restore_metadata(store) or added


def test_the_message_of_opening_names_what_was_edited(store: Path) -> None:
    """A person learns which value it is without comparing files."""
    edit_root(store)
    with pytest.raises(DamagedStoreError, match='operator is "Ann" instead of "Bob"'):
        stemzarr.open(store)
    assert 'metadata: operator is "Ann" instead of "Bob"' in verify_store(store).problems


@settings(max_examples=60)
@given(data=st.data())
def test_any_change_of_any_metadata_is_restored(
    tmp_path_factory: pytest.TempPathFactory, tiny_store: Path, data: st.DataObject
) -> None:
    """Values, keys and nodes changed or gone in any ``zarr.json``: every byte comes back."""
    store = tmp_path_factory.mktemp("any") / "x.zarr"
    shutil.copytree(tiny_store, store)
    before = all_bytes(store)
    files = sorted(p for p in store.rglob("zarr.json") if "manifest" not in p.parts)
    for file in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=3)):
        rng = data.draw(st.randoms(use_true_random=False))
        content = dump_loosely(mutate_json(json.loads(before[str(file.relative_to(store))]), rng))
        file.write_bytes(content)
        if data.draw(st.booleans()):
            file.unlink()
    restore_metadata(store)
    assert all_bytes(store) == before
    shutil.rmtree(store)


def test_restoring_is_done_or_not_whenever_it_stops(
    tmp_path: Path, sweep: Any, store: Path
) -> None:
    """A crash or a full disk at any call: the edited metadata or those restored."""
    edit_axis(store)
    copy = tmp_path / "lake" / "x.zarr"
    raised: list[BaseException] = []

    def restore() -> None:
        raised.clear()
        try:
            restore_metadata(copy)
        except (StemzarrError, Crash) as error:
            raised.append(error)

    def check(_: Faults) -> None:
        assert all(isinstance(error, WriteError | Crash) for error in raised)
        sweep.release_locks(copy.parent)
        restore_metadata(copy)
        assert verify_store(copy, threads=1).ok

    copy.parent.mkdir()
    for error, mode in ((Crash, "crash"), (no_space, "lasting")):
        sweep(copy, restore, check, error=error, mode=mode, template=store)


def test_what_cannot_be_restored_is_said(store: Path, tmp_path: Path) -> None:
    """No store; a manifest that is damaged, of the first days, or forged to lead elsewhere."""
    with pytest.raises(SourceNotFoundError):
        restore_metadata(tmp_path)
    nodes = read_nodes(store)
    files = read_manifest(store, nodes).files
    for added in ({"../evil": nodes["det_x"]}, {"a\\b": nodes["det_x"]}):
        write_manifest(Tree(store=LocalFolder(store), nodes={**nodes, **added}), files)
        with pytest.raises(DamagedStoreError, match="not valid"):
            restore_metadata(store)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zarr"]
    (store / "source" / "manifest" / "c" / "0").write_bytes(b"noise")
    with pytest.raises(DamagedStoreError, match="manifest"):
        restore_metadata(store)


def test_a_forged_revision_writes_nothing_elsewhere(tmp_path: Path, tiny_store: Path) -> None:
    """A stranger's store with an unfinished revision: opening it moves no file out of it."""
    for name, link in (("../../loot", False), ("/loot", False), ("way/loot", True)):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        store = folder / "inner" / "x.zarr"
        shutil.copytree(tiny_store, store)
        stage = store / ".revision-evil"
        (stage / "way").mkdir(parents=True)
        (stage / "way" / "loot").write_bytes(b"theirs")
        (store.parent / "loot").write_bytes(b"mine")
        (stage / "committed").write_text(name, encoding="utf-8")
        if link:
            (store / "way").symlink_to(store.parent)
        with pytest.raises(DamagedStoreError, match="names"):
            read_store(store)
        assert (store.parent / "loot").read_bytes() == b"mine"
        assert not (folder / "loot").exists()


def test_a_damaged_entry_is_verified_restored_and_removed_by_its_name(
    tmp_path: Path, tiny: Any, tiny_dm4: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the catalog cannot read is found by its name all the same, by those who can help."""
    lake = open_lake(tmp_path / "lake", create=True)
    lake.ingest(tiny_dm4, name="scan", options=tiny.fast)
    place = ["--lake", str(lake.path)]

    def say(*words: str) -> tuple[int, str]:
        status = run([*words, *place])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    edit_root(lake.store_path("scan"))
    assert say("ls")[1].count("--restore-metadata") == 1
    status, said = say("verify", "scan")
    assert status == 1
    assert 'operator is "Ann"' not in say("verify", "--originals", "--restore-metadata")[1]
    assert "operator was added" in said
    status, said = say("verify", "scan", "--restore-metadata")
    assert status == 0, said
    assert "restored, for operator was added" in said
    assert open_lake(lake.path)["scan"].facts.get("operator") is None
    edit_root(lake.store_path("scan"))
    assert say("show", "scan")[0] == 1
    assert say("catalog", "remove", "scan", "--yes")[0] == 0
    assert not lake.store_path("scan").exists()
