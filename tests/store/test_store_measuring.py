"""An older store is measured later: it becomes what an ingest would have made of its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.options import IngestOptions
from stemzarr.pixels.resources import Resources
from stemzarr.store import add_measures, read_store, revise, verify_store, write_store
from stemzarr.store.format import plan
from stemzarr.store.format.nodes import PREVIEWS
from stemzarr.testing.sources import counted, document_of, source_of
from stemzarr.testing.stores import change_store

ADDED = ("com_y", "com_x", "tile_sums", "bad_pixels")


def previews_of(store: Path) -> dict[str, bytes]:
    """Return the bytes of all files below ``preview``."""
    files = sorted(path for path in (store / "preview").rglob("*") if path.is_file())
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in files}


def make(folder: Path, name: str, **options: Any) -> Path:
    """Write a store of a scan with lost positions and a bad pixel, cut into several shards."""
    valid, bad = np.ones((7, 9), bool), np.zeros((20, 30), bool)
    valid[5, 3:], bad[3, 4] = False, True
    values = counted((7, 9, 20, 30)) * valid[..., np.newaxis, np.newaxis]
    values[..., 10, 2] = 500
    document = document_of(values.astype("u2"), valid=valid, bad_pixels=bad)
    store = folder / f"{name}.zarr"
    write_store(
        source_of(folder / "a.dm4", [document]), store, IngestOptions(sync=False, **options)
    )
    return store


@pytest.mark.parametrize("removed", [[f"preview/{name}" for name in ADDED], ["preview"]])
def test_what_is_missing_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: list[str]
) -> None:
    """Arrays that a store lacks, or all of them, come with the bytes of a new ingest."""
    monkeypatch.setattr(plan, "CHUNK_BYTES", 2**12)
    monkeypatch.setattr(plan, "_LEAST_SHARD", 2**14)
    monkeypatch.setattr(plan, "_SHARD_PATTERNS", 1)
    whole = make(tmp_path, "whole")
    if removed == ["preview"]:
        old = make(tmp_path, "old", preview=False)
        expected = tuple(sorted(f"preview/{name}" for name in PREVIEWS))
    else:
        old = make(tmp_path, "old")
        change_store(old, remove=removed)
        expected = tuple(sorted(removed))
    revise(old, {"det_y.scale": 0.5})
    assert read_store(old).document.tiles is None
    done: list[int] = []
    added = add_measures(old, Resources(threads=3, progress=lambda now, _: done.append(now)))
    assert added == expected
    assert done[-1] == read_store(old).document.nbytes
    assert verify_store(old).ok
    assert previews_of(old) == previews_of(whole)
    assert add_measures(old) == ()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] == ".") == []


def test_what_has_nothing_to_measure_stays(tmp_path: Path) -> None:
    """A store without a scan is left as it is."""
    source = source_of(tmp_path / "a.dm4", [document_of(counted((20, 30)), "diffraction")])
    write_store(source, tmp_path / "a.zarr", IngestOptions(sync=False))
    before = (tmp_path / "a.zarr/zarr.json").read_bytes()
    assert add_measures(tmp_path / "a.zarr") == ()
    assert (tmp_path / "a.zarr/zarr.json").read_bytes() == before
