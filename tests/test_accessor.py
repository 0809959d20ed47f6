"""The accessor of xarray Datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import stemzarr
import stemzarr.accessor
from stemzarr.errors import OptionError
from stemzarr.metadata.optics import electron_wavelength_nm
from stemzarr.testing import write_synthetic_dm4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of a small scan."""
    folder = tmp_path_factory.mktemp("accessor")
    write_synthetic_dm4(folder / "scan.dm4", (6, 5), (17, 19), "uint16")
    stemzarr.ingest(folder / "scan.dm4", folder / "scan.zarr")
    return folder / "scan.zarr"


@pytest.mark.parametrize("opened_by", [stemzarr.open, xr.open_zarr])
def test_a_view_is_what_xarray_would_coarsen(store: Path, opened_by: object) -> None:
    """The Dataset may come from stemzarr or from plain xarray; coordinates follow."""
    scan = opened_by(store)  # type: ignore[operator]
    viewed = scan.stem.view(scan_step=2, downsample=2)
    expected = scan.isel(scan_y=slice(None, None, 2), scan_x=slice(None, None, 2))
    expected = expected.coarsen(det_y=2, det_x=2, boundary="trim").mean()
    assert viewed.intensity.chunks is not None
    np.testing.assert_allclose(viewed.intensity, expected.intensity, rtol=1e-6)
    for dim in expected.intensity.dims:
        np.testing.assert_allclose(viewed[dim], expected[dim], rtol=1e-9, atol=1e-12)


def test_a_view_of_a_selection_is_the_selection_of_a_view(store: Path) -> None:
    """What an analysis selected can be viewed like a whole scan."""
    scan = stemzarr.open(store)
    rows = slice(1, 4)
    selected = scan.isel(scan_y=rows).stem.view(downsample=3, method="fft")
    viewed = scan.stem.view(downsample=3, method="fft").isel(scan_y=rows)
    xr.testing.assert_allclose(selected.intensity, viewed.intensity)


def test_views_of_views_tell_every_step(store: Path) -> None:
    """Whether a view is still lazy or was written, a view of it names both, in their order."""
    first = stemzarr.View(scan_step=2)
    words = "every 2nd scan position; blocks of 2×2 detector pixels, mean"
    lazy = stemzarr.open(store).stem.view(first)
    assert lazy.stem.view(downsample=2).attrs["view"] == words
    derived = store.with_name("derived.zarr")
    stemzarr.export(store, derived, view=first)
    written = stemzarr.open(derived)
    assert written.stem.view(downsample=2).attrs["view"] == words
    assert xr.open_zarr(derived).stem.view(downsample=2).attrs["view"] == words
    again = store.with_name("again.zarr")
    stemzarr.export(derived, again, view=stemzarr.View(downsample=2))
    assert stemzarr.open(again).attrs["view"] == words


def test_a_derived_store_names_only_what_it_holds(store: Path) -> None:
    """The link to the survey image does not go where the image does not."""
    assert stemzarr.open(store).attrs["survey_document"] == "survey"
    derived = store.with_name("stepped.zarr")
    stemzarr.export(store, derived, view=stemzarr.View(scan_step=2))
    assert "survey_document" not in stemzarr.open(derived).attrs


def test_a_virtual_image_sums_the_ring_in_the_units_of_the_detector(store: Path) -> None:
    """The same sum by xarray's own masking."""
    scan = stemzarr.open(store)
    step = float(scan.det_y[1] - scan.det_y[0])
    image = scan.stem.virtual_image(inner=2 * step, outer=6.5 * step, center=(0.0, 0.0))
    radius = np.hypot(scan.det_y, scan.det_x)
    ring = scan.intensity.where((radius >= 2 * step) & (radius < 6.5 * step), 0)
    np.testing.assert_array_equal(image, ring.sum(("det_y", "det_x")).transpose("scan_y", "scan_x"))
    assert image.dims == ("scan_y", "scan_x")
    assert image.dtype.kind in "iu"


def test_a_view_and_its_fields_exclude_each_other(store: Path) -> None:
    """A recipe is given once; a field that no view has is named."""
    scan = stemzarr.open(store)
    with pytest.raises(OptionError, match="exclude each other"):
        scan.stem.view(stemzarr.View(), downsample=2)
    with pytest.raises(OptionError, match="no field binning"):
        scan.stem.view(binning=2)


def test_the_whole_tree_opens_with_every_document(store: Path) -> None:
    """`xr.open_datatree` gives the same tree from the dm4 as from its store."""
    dm4 = store.with_name("scan.dm4")
    from_store = xr.open_datatree(store, engine="zarr")
    from_dm4 = xr.open_datatree(dm4)
    assert set(from_dm4.children) <= set(from_store.children)
    for path in ("/documents/survey", "/documents/thumbnail", "/"):
        np.testing.assert_array_equal(from_dm4[path].intensity, from_store[path].intensity)
        assert from_dm4[path].intensity.dims == from_store[path].intensity.dims


@pytest.mark.parametrize(("energy", "wavelength_pm"), [(80, 4.1757), (200, 2.5079), (300, 1.9687)])
def test_the_wavelength_is_that_of_the_tables(energy: float, wavelength_pm: float) -> None:
    """Relativistic wavelengths of Williams and Carter, table 1.2, to their digits."""
    assert electron_wavelength_nm(energy) * 1e3 == pytest.approx(wavelength_pm, abs=1e-4)


def test_angles_and_frequencies_are_each_other_s_derived_coordinates(store: Path) -> None:
    """From 1/nm to mrad and back gives the same numbers; the dims stay."""
    scan = stemzarr.open(store)
    both = scan.stem.with_angles()
    np.testing.assert_allclose(both.det_y_mrad, scan.det_y * electron_wavelength_nm(300) * 1e3)
    assert both.det_y_mrad.attrs["units"] == "mrad"
    assert both.det_y_mrad.dims == ("det_y",)
    angular = scan.assign_coords({d: both[f"{d}_mrad"].to_numpy() for d in ("det_y", "det_x")})
    for dim in ("det_y", "det_x"):
        angular[dim].attrs["units"] = "mrad"
    back = angular.stem.with_angles()
    np.testing.assert_allclose(back.det_x_inverse_nm, scan.det_x)


def test_angles_need_the_beam_energy_and_a_calibrated_detector(store: Path) -> None:
    """What is missing is named, with the command that gives it."""
    scan = stemzarr.open(store)
    unknown = scan.drop_attrs(deep=False)
    with pytest.raises(OptionError, match="stemzarr calibrate"):
        unknown.stem.with_angles()
    scan.det_y.attrs["units"] = "pixel"
    with pytest.raises(OptionError, match="det_y is in pixel"):
        scan.stem.with_angles()


def test_the_measures_are_asked_by_the_accessor(tmp_path: Path) -> None:
    """Each method gives what the function of its name gives, of a store and of its source."""
    pytest.importorskip("matplotlib").use("agg")
    write_synthetic_dm4(tmp_path / "a.dm4", (6, 7), (24, 32))
    stemzarr.ingest(tmp_path / "a.dm4", tmp_path / "a.zarr")
    kept, scan = stemzarr.open(tmp_path / "a.zarr"), stemzarr.open(tmp_path / "a.dm4")
    mask = np.zeros((24, 32), bool)
    mask[8:16, 16:] = True
    for one in (kept, scan):
        np.testing.assert_array_equal(one.stem.pattern(2, 3), scan["intensity"][2, 3])
        mean = scan["intensity"][1:3].mean(("scan_y", "scan_x"))
        np.testing.assert_allclose(one.stem.mean_pattern("scan_y=1:3"), mean)
        image = scan["intensity"].to_numpy()[..., mask].sum(axis=-1)
        np.testing.assert_array_equal(one.stem.virtual_image(mask=mask), image)
        assert one.stem.likeness((0, 0)).dims == ("scan_y", "scan_x")
        assert one.stem.radial_profile().dims == ("radius",)
        assert len(one.stem.plot().axes) == 2
        assert len(one.stem.plot(one.stem.likeness((1, 2))).axes) == 2
    for how in ({}, {"rotation": 20.0, "flip": True}, {"mask": mask}):
        found, expected = (one.stem.center_of_mass(**how) for one in (kept, scan))
        np.testing.assert_allclose(found.to_array(), expected.to_array(), atol=1e-9)
    assert {"magnitude", "direction"} <= set(kept.stem.dpc().data_vars)
    with pytest.raises(OptionError, match="image has dims"):
        kept.stem.plot(kept.stem.pattern(0, 0))
