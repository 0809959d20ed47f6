"""Schema 1 grows by optional arrays: unknown ones are ignored, absent ones are no damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import xarray as xr

import stemzarr
from stemzarr.errors import CorruptFileError, UnsupportedDataError
from stemzarr.model import read_box
from stemzarr.options import ExportOptions, ImageName, IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import (
    open_previews,
    read_store,
    rebuild,
    restore_metadata,
    revise,
    verify_store,
    write_store,
)
from stemzarr.store.format.nodes import PREVIEWS
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.stores import change_store
from stemzarr_catalog import open_lake
from stemzarr_catalog.pictures import read_pictures
from stemzarr_catalog.validate import validate_store

LATER: dict[str, Any] = {
    "arrays": {
        "preview/phase": (np.zeros((4, 5)), ("scan_y", "scan_x")),
        "preview/moments": (
            np.ones((4, 5, 2, 2), "u4"),
            ("scan_y", "scan_x", "order_y", "order_x"),
        ),
        "documents/survey/preview/histogram": (np.arange(7, dtype="u8"), ("survey_bin",)),
        "source/index": (np.arange(9, dtype="u8"), ("chunk",)),
        "source/frames": (np.arange(6, dtype="i2").reshape(2, 3), ("frame", "part")),
        "bad_pixels": (np.zeros((8, 6), bool), ("det_y", "det_x")),
    },
    # forms that this version does not write
    "nodes": {
        "preview/deep": {"zarr_format": 3, "node_type": "group", "attributes": {"of": [1]}},
        "preview/deep/strange": {
            "zarr_format": 3,
            "node_type": "array",
            "attributes": {},
            "shape": [2],
            "data_type": {"name": "struct", "configuration": {}},
            "codecs": [{"name": "unheard-of"}],
        },
    },
}


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dm4 with a scan and a survey image."""
    path = tmp_path_factory.mktemp("optional") / "scan.dm4"
    write_synthetic_dm4(path, (4, 5), (8, 6))
    return path


@pytest.fixture(scope="module")
def plain(scan: Path) -> Path:
    """Return its store, which nobody changes."""
    store = scan.with_name("plain.zarr")
    write_store(read_source(scan), store, IngestOptions(sync=False))
    return store


@pytest.fixture
def make(plain: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return what makes a changed copy of the store, the only entry of a lake."""

    def changed(**what: Any) -> Path:
        store = tmp_path / "lake" / "stores" / "scan.zarr"
        shutil.copytree(plain, store)
        change_store(store, **what)
        return store

    return changed


def check(store: Path, scan: Path, *, rebuilt: bool = True) -> None:
    """Do with a store all that is done with stores."""
    assert verify_store(store, source=scan).ok
    assert restore_metadata(store) == ()
    opened, source = read_store(store), read_source(scan)
    for document, other in zip(opened.documents, source.documents, strict=True):
        zero = tuple(0 for _ in document.shape)
        ours = read_box(document.blocks, zero, document.shape)
        np.testing.assert_array_equal(ours, read_box(other.blocks, zero, other.shape))
    assert set(open_previews(store).variables) <= {*PREVIEWS, *opened.document.dims}
    assert read_pictures(store, 16) is not None
    assert list(validate_store(store)) == []
    lake = open_lake(store.parent.parent, create=True)
    lake.rebuild()
    assert (list(lake), lake.problems) == (["scan"], {})
    if rebuilt:
        again = store.with_name("again.dm4")
        assert rebuild(store, again).exact
        assert again.read_bytes() == scan.read_bytes()
    revise(store, {"camera_length_mm": 77})
    assert verify_store(store).ok
    copy = store.parent / "copy.zarr"
    stemzarr.export(store, copy)
    assert verify_store(copy).ok
    with xr.open_zarr(store) as dataset:
        assert dataset.intensity.shape == opened.document.shape


def test_arrays_of_a_later_version_are_ignored(scan: Path, make: Callable[..., Path]) -> None:
    """Previews, parts of `source` and `bad_pixels` that are not known cost nothing."""
    store = make(**LATER | {"nodes": {}})
    with xr.open_datatree(store, engine="zarr") as tree:
        assert tree["preview"]["moments"].sum() == 80
    check(store, scan)


def test_forms_of_a_later_version_are_ignored(make: Callable[..., Path]) -> None:
    """Types and codecs that are not known cost nothing where what they encode is not known."""
    store = make(**LATER)
    assert verify_store(store).ok
    assert read_pictures(store, 16)
    assert restore_metadata(store) == ()


@pytest.mark.parametrize("name", PREVIEWS)
def test_every_preview_may_be_absent(scan: Path, make: Callable[..., Path], name: str) -> None:
    """Without one of the previews all else is there, and an export makes the one that is asked."""
    store = make(remove=[f"preview/{name}"])
    assert name not in open_previews(store)
    image = name.replace("_", "-")
    if image in get_args(ImageName):
        stemzarr.export(store, store.with_name("x.npy"), options=ExportOptions(image=image))
    check(store, scan)


@pytest.mark.parametrize("gone", ["preview", "documents/survey/preview"])
def test_all_previews_may_be_absent(scan: Path, make: Callable[..., Path], gone: str) -> None:
    """Without the group, there are no statistics either."""
    check(make(remove=[gone]), scan)


def test_parts_of_the_source_may_be_absent(scan: Path, make: Callable[..., Path]) -> None:
    """Without its tag tree or header a store opens, and says that it cannot be rebuilt."""
    store = make(remove=["source/original_metadata"])
    assert read_store(store).load_metadata() == {}
    check(store, scan)


def test_a_store_without_its_header_is_not_rebuilt(make: Callable[..., Path]) -> None:
    """It opens, and its pixels are sound; the file is not made up."""
    store = make(remove=["source/header"])
    assert read_store(store).load_header() == b""
    assert verify_store(store).problems == ("source/header: is not what was read from the source",)
    with pytest.raises(UnsupportedDataError, match="does not hold the"):
        rebuild(store, store.with_name("again.dm4"))


def test_a_known_array_still_has_its_form(make: Callable[..., Path]) -> None:
    """What this version reads is checked as before: its shape, and that it is an array."""
    store = make(arrays={"preview/bright_field": (np.zeros((4, 4)), ("scan_y", "scan_x"))})
    with pytest.raises(CorruptFileError, match="shape of its document"):
        read_store(store)
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    change_store(store, nodes={"source/header": group})
    with pytest.raises(CorruptFileError, match="is not an array"):
        read_store(store)
