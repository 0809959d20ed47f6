"""What was opened, selected or computed is exported as it is, with the way back to its file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import stemzarr
import stemzarr.accessor  # for Datasets that were never opened
from stemzarr.errors import StoreExistsError, UnsupportedDataError
from stemzarr.testing import write_synthetic_dm4


@pytest.fixture
def scan(tmp_path: Path) -> xr.Dataset:
    """Return an opened scan."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (6, 7), (8, 8))
    return stemzarr.open(tmp_path / "scan.dm4")


def test_a_selection_is_written_and_recognized(scan: xr.Dataset, tmp_path: Path) -> None:
    """Values, labels and the part that was taken; the same again is left, another is refused."""
    part = scan.isel(scan_y=slice(1, 5, 2), det_x=slice(3, None))
    result = part.stem.export(tmp_path / "part.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "part.npy"), part.intensity)
    found = json.loads((tmp_path / "part.npy.json").read_text(encoding="utf-8"))["provenance"]
    assert found["selected"] == [[1, 5, 2], [0, 7, 1], [0, 8, 1], [3, 8, 1]]
    assert (found["computed"], found["origin"]["source"]) == (False, "scan.dm4")
    assert found == result.provenance
    assert part.stem.export(tmp_path / "part.npy", skip_existing=True).status == "unchanged"
    with pytest.raises(StoreExistsError, match="made otherwise"):
        scan.stem.export(tmp_path / "part.npy", skip_existing=True)
    part.stem.export(tmp_path / "part.zarr")
    xr.testing.assert_equal(stemzarr.open(tmp_path / "part.zarr"), part)


def test_computed_values_keep_labels_and_origin(scan: xr.Dataset, tmp_path: Path) -> None:
    """They are written, said to be computed, and never recognized as what a file holds."""
    wide = scan.stem.widen()
    less = wide.assign(intensity=wide.intensity - wide.intensity.isel(scan_y=0, scan_x=0))
    result = stemzarr.export(less, tmp_path / "less.zarr")
    assert result.provenance["computed"]
    found = stemzarr.open(tmp_path / "less.zarr")
    raw = scan.intensity.to_numpy().astype(np.int64)
    np.testing.assert_array_equal(found.intensity, raw - raw[0, 0])
    assert found.attrs["beam_energy_keV"] == scan.attrs["beam_energy_keV"]
    with pytest.raises(StoreExistsError, match="computed"):
        less.stem.export(tmp_path / "less.zarr", skip_existing=True)


def test_documents_and_arrays_of_memory_are_exported(scan: xr.Dataset, tmp_path: Path) -> None:
    """A document, a view, and a Dataset that was never a file."""
    stemzarr.export(scan.stem.document, tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), scan.intensity)
    scan.stem.view(downsample=2).stem.export(tmp_path / "b.npy")
    stemzarr.export(tmp_path / "scan.dm4", tmp_path / "c.npy", view=stemzarr.View(downsample=2))
    assert (tmp_path / "b.npy").read_bytes() == (tmp_path / "c.npy").read_bytes()
    values = np.arange(360, dtype="u1").reshape(3, 4, 5, 6)
    bare = xr.Dataset({"intensity": (("scan_y", "scan_x", "det_y", "det_x"), values)})
    bare.stem.export(tmp_path / "bare.hspy")
    np.testing.assert_array_equal(stemzarr.open(tmp_path / "bare.hspy").intensity, values)
    with pytest.raises(UnsupportedDataError, match="to_zarr"):
        bare.stem.export(tmp_path / "bare.zarr")


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "u4"])
def test_wide_values_neither_wrap_nor_overflow(dtype: str) -> None:
    """Differences, squares and weighted sums are those of Python's integers; nothing is read."""
    extremes = np.iinfo(dtype)
    values = np.resize(np.array([0, 1, extremes.min, extremes.max]), (2, 3, 4, 4)).astype(dtype)
    dims = ("scan_y", "scan_x", "det_y", "det_x")
    wide = xr.Dataset({"intensity": (dims, values)}).stem.widen().intensity
    exact = values.astype(object)
    mask = np.arange(16).reshape(4, 4) % 3 == 0
    np.testing.assert_array_equal(wide - values[0, 0].max(), exact - exact[0, 0].max())
    square = (exact * exact).astype(np.float64)
    np.testing.assert_allclose((wide * wide).astype(np.float64), square, rtol=1e-15)
    summed = wide.dot(xr.DataArray(mask, dims=dims[2:])).astype(np.float64)
    np.testing.assert_allclose(summed, (exact * mask).sum((2, 3)).astype(np.float64), rtol=1e-7)
