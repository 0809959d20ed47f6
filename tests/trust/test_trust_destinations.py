"""`--overwrite` replaces one thing by another: never a folder of other things, never the source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemzarr
from stemzarr.errors import OptionError, StemzarrError, StoreExistsError
from stemzarr.options import ExportOptions, IngestOptions
from stemzarr.storage.files import replace
from stemzarr.store import rebuild
from stemzarr_catalog import open_lake
from stemzarr_catalog.export import export_parquet, export_stac

OVER = ExportOptions(overwrite=True, threads=1)
ANEW = IngestOptions(overwrite=True, threads=1, sync=False)


@pytest.fixture
def thesis(tmp_path: Path) -> Path:
    """Return a folder that nobody may delete."""
    folder = tmp_path / "thesis"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "chapter.txt").write_text("years", encoding="utf-8")
    return folder


WAYS: dict[str, Callable[[Path, Path], Any]] = {
    "zarr": lambda source, dest: stemzarr.export(source, dest, format="zarr", options=OVER),
    "npy": lambda source, dest: stemzarr.export(source, dest, format="npy", options=OVER),
    "dm": lambda source, dest: stemzarr.export(source, dest, format="dm", options=OVER),
    "ingest": lambda source, dest: stemzarr.ingest(source, dest, ANEW),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_folder_of_other_things_is_replaced(thesis: Path, tiny_dm4: Path, way: str) -> None:
    """Whoever mistypes a destination loses nothing, and is told before any work is done."""
    with pytest.raises(StoreExistsError, match="would be deleted"):
        WAYS[way](tiny_dm4, thesis)
    assert (thesis / "data" / "chapter.txt").read_text(encoding="utf-8") == "years"
    assert [path.name for path in thesis.parent.iterdir()] == ["thesis"]


@pytest.mark.parametrize("store", [False, True])
def test_no_file_of_a_person_is_deleted_with_a_zarr_folder(
    tmp_path: Path, tiny: Any, tiny_dm4: Path, store: bool
) -> None:
    """The suffix .zarr makes no folder a store, and a store with notes in it is more than one.

    What systems leave in folders is nobody's, so it keeps nothing from being replaced.
    """
    dest = tmp_path / "notes.zarr"
    if store:
        tiny.ingest(tiny_dm4, dest)
    dest.mkdir(exist_ok=True)
    (dest / "mine.txt").write_text("years", encoding="utf-8")
    for way in ("zarr", "ingest"):
        with pytest.raises(StoreExistsError, match=r"mine\.txt.*would be deleted"):
            WAYS[way](tiny_dm4, dest)
    assert (dest / "mine.txt").read_text(encoding="utf-8") == "years"
    (dest / "mine.txt").rename(dest / ".DS_Store")
    WAYS["zarr"](tiny_dm4, dest)
    assert stemzarr.info(dest)["documents"][0]["shape"]


def test_no_function_of_ours_replaces_a_folder_of_other_things(
    thesis: Path, tmp_path: Path, tiny: Any, tiny_dm4: Path
) -> None:
    """Neither the catalog's exports, nor a rebuilt file, nor the rename below them all."""
    lake = open_lake(tmp_path / "lake", create=True)
    entry = lake[lake.ingest(tiny_dm4, options=tiny.fast).name]
    (tmp_path / "new").touch()
    for act in (
        lambda: export_stac(lake, thesis, overwrite=True),
        lambda: export_parquet(lake, thesis, overwrite=True),
        lambda: rebuild(entry.path, thesis, overwrite=True),
        lambda: replace(tmp_path / "new", thesis),
        lambda: replace(tmp_path / "new", lake.path),
    ):
        with pytest.raises(StoreExistsError, match="would be deleted"):
            act()
    assert (thesis / "data" / "chapter.txt").exists()
    assert list(open_lake(lake.path)) == ["tiny"]
    for _ in range(2):
        export_stac(lake, tmp_path / "stac", overwrite=True)
    assert (tmp_path / "stac" / "collection.json").is_file()


@pytest.mark.parametrize("way", WAYS)
def test_what_is_one_thing_is_replaced(tmp_path: Path, tiny: Any, tiny_dm4: Path, way: str) -> None:
    """A file, a store, an empty folder."""
    dest = tmp_path / {"dm": "x.dm4", "npy": "x.npy"}.get(way, "x.zarr")
    for before in (dest.touch, lambda: tiny.ingest(tiny_dm4, dest), dest.mkdir):
        before()
        WAYS[way](tiny_dm4, dest)
        assert stemzarr.info(dest)["documents"][0]["shape"]
        tiny.ingest(tiny_dm4, dest, ANEW)
        WAYS[way](tiny_dm4, dest)
        stemzarr.storage.files.remove_tree(dest)
        assert {path.name for path in tmp_path.iterdir()} <= {f"{dest.name}.json"}


def test_nothing_is_written_over_or_into_its_own_source(
    tmp_path: Path, tiny: Any, tiny_dm4: Path
) -> None:
    """A view of a file is smaller than the file, and a store is gone when a file takes its name."""
    array, store = tmp_path / "x.npy", tiny.ingest(tiny_dm4, tmp_path / "x.zarr")
    np.save(array, np.ones((2, 3, 4, 4), np.uint16))
    (tmp_path / "link.npy").symlink_to(array)
    view = stemzarr.View(downsample=2)
    for source, dest in (
        (array, array),
        (array, tmp_path / "link.npy"),
        (tmp_path / "link.npy", array),
        (store, store),
        (store, store / "half.npy"),
        (store, store / "intensity" / "half.npy"),
    ):
        with pytest.raises(OptionError, match=r"source"):
            stemzarr.export(source, dest, view=view, format="npy", options=OVER)
    (store / "in.npy").write_bytes(array.read_bytes())
    with pytest.raises(OptionError, match="each other"):
        stemzarr.ingest(store / "in.npy", store, ANEW)
    (store / "in.npy").unlink()
    assert np.load(array).shape == (2, 3, 4, 4)
    assert stemzarr.verify(store).ok


def test_a_link_that_leads_to_itself_is_replaced_or_refused(tmp_path: Path, tiny_dm4: Path) -> None:
    """It is no destination that would be followed without end."""
    loop = tmp_path / "loop.npy"
    loop.symlink_to(loop)
    stemzarr.export(tiny_dm4, loop, options=OVER)
    assert np.load(loop).shape == (2, 3, 4, 4)
    assert not loop.is_symlink()


def test_the_sidecar_of_a_failed_export_is_no_surprise(tmp_path: Path, tiny_dm4: Path) -> None:
    """What is refused leaves the folder as it was."""
    with pytest.raises(StemzarrError):
        stemzarr.export(tiny_dm4, tmp_path / "x.npy", document="no such")
    assert list(tmp_path.iterdir()) == []
