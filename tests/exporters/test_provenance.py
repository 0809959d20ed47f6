"""What a file says of where it came from is enough to make it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

import stemzarr
from stemzarr.options import ExportOptions, ReadOptions
from stemzarr.store import read_record
from stemzarr.testing import write_synthetic_dm4
from stemzarr.views import View


def provenance_of(path: Path) -> dict[str, Any]:
    """Return what the sidecar of a file says of its making."""
    sidecar = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = sidecar["provenance"]
    return found


def make_again(source: Path, dest: Path, provenance: dict[str, Any]) -> None:
    """Repeat an export from nothing but what its sidecar says."""
    read, form = dict(provenance["read"]), dict(provenance["export"])
    read["scan_shape"] = read["scan_shape"] and tuple(read["scan_shape"])
    name = form.pop("format")
    stemzarr.export(
        source,
        dest,
        document=provenance["document"],
        view=provenance["view"] and View.from_json(provenance["view"]),
        format=name,
        read=ReadOptions(**read),
        options=ExportOptions(**form),
    )


def test_a_sidecar_repeats_an_export_of_a_plain_stack(tmp_path: Path) -> None:
    """Shape of the scan and data set are in it: without them the file would be another one."""
    values = np.random.default_rng(0).integers(0, 99, (6, 4, 5)).astype(np.uint16)
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file["a/first"] = values
        file["b/larger"] = np.zeros((9, 9, 9), np.float32)
    read = ReadOptions(scan_shape=(2, 3), dataset="a/first")
    first, second = tmp_path / "first.npy", tmp_path / "second.npy"
    view = View(downsample=2, method="stride")
    stemzarr.export(tmp_path / "stack.h5", first, view=view, read=read)
    np.testing.assert_array_equal(np.load(first), values.reshape(2, 3, 4, 5)[..., ::2, :4:2])
    make_again(tmp_path / "stack.h5", second, provenance_of(first))
    assert second.read_bytes() == first.read_bytes()
    assert provenance_of(second) == provenance_of(first)
    assert provenance_of(first)["size"] == (tmp_path / "stack.h5").stat().st_size


def test_the_way_leads_back_to_the_first_file(tmp_path: Path) -> None:
    """A view of a view names every store between, each recipe, and the hash of the original."""
    source, whole = tmp_path / "scan.dm4", tmp_path / "whole.zarr"
    write_synthetic_dm4(source, (4, 6), (16, 16))
    stemzarr.ingest(source, whole)
    views = [View(scan_step=2), View(downsample=2), View(normalize="log1p")]
    stores = [whole, tmp_path / "a.zarr", tmp_path / "b.zarr", tmp_path / "c.npy"]
    for view, before, after in zip(views, stores, stores[1:], strict=False):
        stemzarr.export(before, after, view=view)
    found = provenance_of(stores[-1])
    for view, store in zip(reversed(views), reversed(stores[:-1]), strict=True):
        assert (View.from_json(found["view"]), found["source"]) == (view, store.name)
        found = found["origin"]
    record = read_record(whole)
    assert (found["source"], found["hash"]) == ("scan.dm4", record["hash"])
    assert found["size"] == source.stat().st_size
    with xr.open_zarr(stores[2]) as opened:
        assert opened.attrs["derived_from"] == "a.zarr"
        assert json.loads(opened.attrs["provenance"]) == provenance_of(stores[-1])["origin"]
    sidecar = json.loads(stores[-1].with_name("c.npy.json").read_text(encoding="utf-8"))
    assert "provenance" not in sidecar["facts"]
