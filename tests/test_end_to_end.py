"""The whole way of one file: dm4, store, catalog, xarray, intake, HyperSpy, torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import stemzarr
from stemzarr.testing import DMAxis, DMImage, synthetic_scan, write_dm, write_synthetic_dm4
from stemzarr_catalog import open_lake

DIMS = ("scan_y", "scan_x", "det_y", "det_x")
DTYPES = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"]
SHAPES = [(4, 6, 8, 10), (5, 3, 7, 9), (1, 7, 6, 5), (7, 1, 5, 6)]
AXES = (
    DMAxis(scale=0.5, origin=2.0, units="nm"),
    DMAxis(scale=0.25, origin=-1.0, units="nm"),
    DMAxis(scale=0.02, origin=4.0, units="1/nm"),
    DMAxis(scale=0.04, origin=3.5, units="1/nm"),
)


def scan_values(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Return counted data of that type; signed types get negative values, floats fractions."""
    scan = synthetic_scan(shape[:2], shape[2:], "int64", seed=sum(shape))
    values = np.concatenate([np.ravel(piece) for piece in scan.pieces()]).reshape(shape)
    if np.dtype(dtype).kind == "i":
        values = values - 3
    if np.dtype(dtype).kind == "f":
        values = values / 7 - 0.5
    return values.astype(dtype)


def write_scan(path: Path, values: NDArray[Any], layout: Any) -> None:
    """Write a calibrated scan with the flag that GMS sets for its layout."""
    swapped = True if layout == "detector-fast" else None
    write_dm(path, DMImage(data=values, layout=layout, axes=AXES, swapped=swapped, name="cube"))


def check_labelled(dataset: xr.Dataset, values: NDArray[Any]) -> None:
    """Check values, type, dims, and coordinates of offset + index * scale."""
    assert dataset.intensity.dims == DIMS
    assert dataset.intensity.dtype == values.dtype
    np.testing.assert_array_equal(dataset.intensity.values, values)
    for name, axis, size in zip(DIMS, AXES, values.shape, strict=True):
        scale = float(np.float32(axis.scale))
        expected = -axis.origin * scale + scale * np.arange(size)
        np.testing.assert_allclose(dataset[name].values, expected, rtol=1e-12, atol=1e-12)
        assert dataset[name].attrs["units"] == axis.units


@pytest.mark.parametrize("layout", ["detector-fast", "scan-fast"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_way_in_gives_the_scan_that_was_written(
    tmp_path: Path, dtype: str, layout: str
) -> None:
    """The dm4 through xarray, the store through xarray, the lake through intake: all the same."""
    import intake

    lake = open_lake(tmp_path / "lake", create=True)
    # Each type meets two shapes in either layout; all four types of a size meet all shapes.
    first = DTYPES.index(dtype) % 2
    for number, shape in enumerate(SHAPES[first::2]):
        values = scan_values(shape, dtype)
        path = tmp_path / f"scan{number}.dm4"
        write_scan(path, values, layout)
        with xr.open_dataset(path) as opened:
            check_labelled(opened, values)
        check_labelled(stemzarr.open(path), values)
        lake.ingest(path)
        with xr.open_zarr(lake[f"scan{number}"].path) as stored:
            check_labelled(stored, values)
        check_labelled(lake[f"scan{number}"].open(), values)
        catalog = intake.open_catalog(str(tmp_path / "lake" / "catalog.yaml"))
        check_labelled(catalog[f"scan{number}"].to_dask(), values)
        check_labelled(catalog[f"scan{number}"].read(), values)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_hyperspy_opens_the_exported_hspy(tmp_path: Path, shape: Any, dtype: str) -> None:
    """`hs.load`, lazily too, gives the values, names, scales, offsets and units of every axis."""
    hs = pytest.importorskip("hyperspy.api")
    values = scan_values(shape, dtype)
    write_scan(tmp_path / "scan.dm4", values, "detector-fast")
    stemzarr.export(tmp_path / "scan.dm4", tmp_path / "scan.hspy")
    for lazy in (False, True):
        signal = hs.load(tmp_path / "scan.hspy", lazy=lazy)
        data = signal.data.compute() if lazy else signal.data
        np.testing.assert_array_equal(data.reshape(values.shape), values)
        assert data.dtype == values.dtype
        found = {axis.name: axis for axis in signal.axes_manager._axes}
        for name, axis, size in zip(DIMS, AXES, shape, strict=True):
            if size == 1 and name not in found:
                continue  # HyperSpy squeezes what has one position
            assert found[name].units == axis.units
            assert found[name].scale == pytest.approx(axis.scale)
            assert found[name].offset == pytest.approx(-axis.origin * axis.scale)
        if lazy:
            signal.close_file()


def test_the_tags_of_a_dm4_are_the_original_metadata_of_its_hspy(tmp_path: Path) -> None:
    """HyperSpy sees the tag tree that GMS wrote, and nothing that GMS did not."""
    hs = pytest.importorskip("hyperspy.api")
    write_synthetic_dm4(tmp_path / "scan.dm4", (3, 2), (8, 8))
    stemzarr.export(tmp_path / "scan.dm4", tmp_path / "scan.hspy")
    ours = hs.load(tmp_path / "scan.hspy").original_metadata
    theirs = hs.load(tmp_path / "scan.dm4")[-1].original_metadata
    assert set(ours.keys()) <= set(theirs.keys())
    tags = ours.as_dictionary()["ImageList"]
    assert "Microscope Info" in str(tags)


@pytest.mark.parametrize("tensor", ["patterns", "scan"])
def test_torch_maps_the_exported_pt(tmp_path: Path, tensor: Any) -> None:
    """A bare float32 tensor, scan row-major, loaded without unpickling code and by mapping."""
    torch = pytest.importorskip("torch")
    values = scan_values((5, 3, 7, 9), "uint16")
    write_scan(tmp_path / "scan.dm4", values, "scan-fast")
    options = stemzarr.ExportOptions(tensor=tensor)
    result = stemzarr.export(tmp_path / "scan.dm4", tmp_path / "scan.pt", options=options)
    loaded = torch.load(tmp_path / "scan.pt", weights_only=True, mmap=True)
    shape = values.shape if tensor == "scan" else (15, 1, 7, 9)
    assert tuple(loaded.shape) == result.shape == shape
    assert loaded.dtype == torch.float32
    np.testing.assert_array_equal(loaded.numpy(), values.reshape(shape).astype("float32"))
    assert (tmp_path / "scan.pt.json").is_file()
