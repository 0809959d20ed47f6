"""What xarray wrote of a Dataset of ours is read with all its labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import stemzarr
from stemzarr.labelled import to_dataset
from stemzarr.model import ArrayBlocks, Axis, Brightness, Document
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake

VALUES = np.random.default_rng(0).poisson(3, (5, 6, 8, 7)).astype(np.uint16)
WAYS: dict[str, Callable[[xr.Dataset, Path], object]] = {
    "zarr": lambda saved, path: saved.to_zarr(path, zarr_format=3, consolidated=True),
    "zarr2": lambda saved, path: saved.to_zarr(path, zarr_format=2),
    "nc": lambda saved, path: saved.to_netcdf(path),
}


def labelled(values: NDArray[Any]) -> xr.Dataset:
    """Return a scan with everything that a Dataset can say of a document."""
    scales = {"scan_y": 2.5, "scan_x": 2.5, "det_y": 0.25, "det_x": 0.125}
    axes = tuple(
        Axis(name=name, size=size, scale=scale, offset=-1.0, units="nm", calibrated=True)
        for (name, scale), size in zip(scales.items(), values.shape, strict=True)
    )
    document = Document(
        index=0,
        slug="main",
        title="A scan",
        kind="4d-stem",
        axes=axes,
        blocks=ArrayBlocks(values),
        brightness=Brightness(scale=2.0, offset=1.0, units="electron"),
        facts={"beam_energy_keV": 200.0, "specimen": "SrTiO\u2083", "complete": 0},
        attributes={"scan_rect_top": 3},
        valid=np.arange(30).reshape(5, 6) % 7 > 0,
        bad_pixels=np.arange(56).reshape(8, 7) == 9,
    )
    return to_dataset(document)


@pytest.mark.filterwarnings("ignore:.*onsolidated metadata")
@pytest.mark.parametrize("way", WAYS)
def test_all_labels_come_back(way: str, tmp_path: Path) -> None:
    """Values, coordinates, masks, facts and brightness of a selection, which can be ingested."""
    saved = labelled(VALUES).isel(scan_y=slice(1, 5, 2), det_x=slice(2, None))
    path = tmp_path / ("saved.nc" if way == "nc" else "saved.zarr")
    WAYS[way](saved, path)
    found = stemzarr.open(path)
    xr.testing.assert_equal(found, saved)
    said = json.loads(found.attrs.pop("provenance"))
    assert (said["source"], said["size"]) == (path.name, stemzarr.info(path)["size"])
    assert found.attrs == saved.attrs
    assert found.intensity.attrs == saved.intensity.attrs
    for name in saved.dims:
        assert found[name].attrs["units"] == "nm"
    assert len(stemzarr.info(path)["documents"]) == 1
    stemzarr.ingest(path, tmp_path / "again.zarr")
    with xr.open_zarr(tmp_path / "again.zarr") as again:
        xr.testing.assert_equal(again, saved)
        assert again.attrs["specimen"] == saved.attrs["specimen"]


@pytest.mark.filterwarnings("ignore:.*onsolidated metadata")
@pytest.mark.parametrize("way", WAYS)
def test_what_xarray_saved_has_the_origin_of_its_file(way: str, tmp_path: Path) -> None:
    """A part of a scan that was opened as file or store, read back and ingested beside it."""
    file = tmp_path / "scan.dm4"
    write_synthetic_dm4(file, (4, 5), (8, 8))
    lake = open_lake(tmp_path / "lake", create=True)
    lake.ingest(file)
    for number, opened in enumerate((stemzarr.open(file), lake["scan"].open())):
        path = tmp_path / f"part{number}.{'nc' if way == 'nc' else 'zarr'}"
        WAYS[way](opened.isel(scan_x=slice(number, 2 + number)), path)
        said = json.loads(stemzarr.open(path).attrs["provenance"])
        assert (said["source"], said["origin"]["source"]) == (path.name, "scan.dm4")
        lake.ingest(path)
    (group,) = lake.duplicates()
    assert {each.name for each in group} == {"scan", "part0", "part1"}


@pytest.mark.filterwarnings("ignore:.*onsolidated metadata")
def test_a_copy_of_a_store_by_xarray_is_no_damaged_store(tmp_path: Path) -> None:
    """It has the attributes of a store, and nothing else of it."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (4, 5), (8, 8))
    stemzarr.ingest(tmp_path / "scan.dm4", tmp_path / "scan.zarr")
    with xr.open_zarr(tmp_path / "scan.zarr") as store:
        part = store.isel(scan_x=slice(0, 3)).drop_encoding()
        part.to_zarr(tmp_path / "part.zarr")
        found = stemzarr.open(tmp_path / "part.zarr")
        xr.testing.assert_equal(found, part)
    assert stemzarr.info(tmp_path / "part.zarr")["format"] == "zarr"
    assert stemzarr.info(tmp_path / "scan.zarr")["format"] == "stemzarr"


def test_what_is_no_document_is_read_as_before(tmp_path: Path) -> None:
    """Other dims, uneven coordinates and scaled values are left to what reads any arrays."""
    saved = labelled(VALUES)
    uneven = saved.isel(det_y=[0, 1, 4])
    renamed = saved.rename(scan_y="row")
    for number, odd in enumerate((uneven, renamed)):
        odd.to_netcdf(tmp_path / f"{number}.nc")
        slugs = [one["slug"] for one in stemzarr.info(tmp_path / f"{number}.nc")["documents"]]
        assert len(slugs) > 1
