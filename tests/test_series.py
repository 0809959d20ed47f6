"""Series: several scans of one form as one lazy Dataset, ordered by a fact."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import stemzarr
from stemzarr import api
from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.model import ArrayBlocks, Brightness, read_box
from stemzarr.options import IngestOptions
from stemzarr.series import SeriesBlocks, join_series
from stemzarr.storage.local import LocalFolder
from stemzarr.store import write_store
from stemzarr.testing.sources import counted, document_of, source_of
from stemzarr.testing.web import serve_folder
from stemzarr_catalog import open_lake

TILTS = (10.0, -5.0, 0.0)
SHAPE = (3, 4, 12, 10)


def put(folder: Path, name: str, values: NDArray[Any], **rest: Any) -> Path:
    """Write a store of one document."""
    document = document_of(values, **rest)
    write_store(
        source_of(folder / f"{name}.dm4", [document]), folder / name, IngestOptions(sync=False)
    )
    return folder / name


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return stores of three tilts."""
    folder = tmp_path_factory.mktemp("series")
    return [
        put(
            folder,
            f"{tilt:g}.zarr",
            counted(SHAPE, seed=seed),
            facts={"tilt_alpha_deg": tilt, "beam_energy_keV": 300.0, "specimen": f"S{seed}"},
        )
        for seed, tilt in enumerate(TILTS)
    ]


def values_of(path: Path) -> NDArray[Any]:
    """Return what is in a store, as zarr-python reads it."""
    return xr.open_zarr(path).intensity.to_numpy()


def test_a_series_is_ordered_by_the_fact(stores: list[Path]) -> None:
    """Values follow the fact, whose unit the coordinate has; what differs is beside it."""
    series = stemzarr.open(stores, dim="tilt_alpha_deg")
    assert series.intensity.dims == ("tilt_alpha_deg", "scan_y", "scan_x", "det_y", "det_x")
    np.testing.assert_array_equal(series.tilt_alpha_deg, sorted(TILTS))
    assert series.tilt_alpha_deg.attrs["units"] == "deg"
    assert series.specimen.to_numpy().tolist() == ["S1", "S2", "S0"]
    assert series.attrs["beam_energy_keV"] == 300.0
    assert not {"tilt_alpha_deg", "specimen"} & set(series.attrs)
    for place, number in enumerate(np.argsort(TILTS)):
        np.testing.assert_array_equal(series.intensity[place], values_of(stores[number]))
    one = xr.open_zarr(stores[0])
    for dim in one.intensity.dims:
        np.testing.assert_array_equal(series[dim], one[dim])


def test_any_other_name_keeps_the_order(stores: list[Path]) -> None:
    """The dim has no coordinate; the same store may be there twice."""
    given = [stores[1], stores[0], stores[1]]
    series = stemzarr.open(given, dim="repeat", chunks=None)
    assert "repeat" not in series.coords
    assert series.tilt_alpha_deg.to_numpy().tolist() == [-5.0, 10.0, -5.0]
    for place, path in enumerate(given):
        np.testing.assert_array_equal(series.intensity[place], values_of(path))


def test_members_of_one_value_keep_their_order(stores: list[Path]) -> None:
    """A series along a fact may hold a value several times, all of them even."""
    series = stemzarr.open([stores[0], stores[0]], dim="tilt_alpha_deg")
    assert series.tilt_alpha_deg.to_numpy().tolist() == [10.0, 10.0]


@pytest.mark.parametrize("chunks", ["source", None, {"det_y": 6}])
def test_no_pixel_is_read_before_it_is_asked_for(
    stores: list[Path], monkeypatch: pytest.MonkeyPatch, chunks: Any
) -> None:
    """Opening reads nothing below ``intensity``; a pattern reads its own store alone."""
    reads: list[str] = []
    plain = LocalFolder.read_ranges

    def watched(self: LocalFolder, key: str, *rest: Any) -> None:
        if "intensity/" in key:
            reads.append(self.root.name)
        plain(self, key, *rest)

    monkeypatch.setattr(LocalFolder, "read_ranges", watched)
    series = pickle.loads(pickle.dumps(stemzarr.open(stores, dim="tilt_alpha_deg", chunks=chunks)))
    assert not reads
    pattern = series.isel(tilt_alpha_deg=2, scan_y=1, scan_x=2).intensity
    assert (pattern.chunks is None) == (chunks is None)
    np.testing.assert_array_equal(pattern, values_of(stores[0])[1, 2])
    assert chunks != None or set(reads) == {"10.zarr"}  # noqa: E711


def test_members_far_away_are_opened_at_one_time(
    stores: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for all others to be asked for: the round trips of five are those of one."""
    pytest.importorskip("obstore")
    together, plain = threading.Barrier(len(stores), timeout=60), api.read_source

    def waits(*args: Any) -> Any:
        together.wait()
        return plain(*args)

    monkeypatch.setattr(api, "read_source", waits)
    with serve_folder(stores[0].parent) as web:
        addresses = [f"{web.address}/{path.name}" for path in stores]
        series = stemzarr.open(addresses, dim="tilt_alpha_deg")
        np.testing.assert_array_equal(series.tilt_alpha_deg, sorted(TILTS))
        np.testing.assert_array_equal(series.intensity[0], values_of(stores[1]))


def test_a_selected_member_is_a_scan(stores: list[Path]) -> None:
    """``.stem`` of one member is that of its store."""
    series = stemzarr.open(stores, dim="tilt_alpha_deg")
    image = series.sel(tilt_alpha_deg=0).stem.virtual_image(outer=2)
    np.testing.assert_array_equal(image, stemzarr.open(stores[2]).stem.virtual_image(outer=2))


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "shape": ({"values": counted((3, 5, 12, 10))}, r"its shape is \(3, 5, 12, 10\)"),
    "dtype": ({"values": counted(SHAPE, np.uint8)}, "its dtype is uint8"),
    "kind": ({"values": counted((12, 10)), "kind": "diffraction"}, "its kind is diffraction"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_refused_by_name(
    stores: list[Path], tmp_path: Path, case: str
) -> None:
    """The message names the store and what of it differs."""
    changed, message = CASES[case]
    odd = put(tmp_path, "odd.zarr", **{"facts": {"tilt_alpha_deg": 1.0}, **changed})
    with pytest.raises(UnsupportedDataError, match=rf"odd\.zarr: .*{message}"):
        stemzarr.open([*stores, odd], dim="tilt_alpha_deg")


def test_other_axes_and_missing_facts_are_refused_by_name(
    tmp_path: Path,
) -> None:
    """Scans whose axes differ have no common coordinate, and one without the fact has no place."""
    lake = open_lake(tmp_path / "lake", create=True)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", counted(SHAPE, seed=ord(name)))
        lake.ingest(tmp_path / f"{name}.npy", options=IngestOptions(sync=False))
    entries = lake.search()
    assert entries.to_dataset("repeat").sizes["repeat"] == 2
    with pytest.raises(OptionError, match=r"has no tilt_alpha_deg"):
        entries.to_dataset("tilt_alpha_deg")
    lake.calibrate("a", {"det_x.scale": 0.5, "det_x.units": "1/nm"})
    with pytest.raises(UnsupportedDataError, match=r"det_x begins at .* in steps of 0\.5 1/nm"):
        lake.search().to_dataset("repeat")


def test_wrong_use_is_refused(stores: list[Path]) -> None:
    """A series needs members and a name that none of its dims has; one path needs no name."""
    with pytest.raises(OptionError, match="no members"):
        stemzarr.open([], dim="repeat")
    with pytest.raises(OptionError, match="several paths need"):
        stemzarr.open(stores)
    with pytest.raises(OptionError, match="there is one path"):
        stemzarr.open(stores[0], dim="repeat")
    for name in ("scan_y", "intensity", "valid"):
        with pytest.raises(OptionError, match=f"cannot have the dim '{name}'"):
            stemzarr.open(stores, dim=name)


def test_masks_and_calibrations_of_each_member_are_kept() -> None:
    """A member without a mask is whole; brightness that differs is a coordinate."""
    bad = np.zeros(SHAPE[2:], bool)
    bad[3, 4] = True
    brightness = Brightness(scale=0.5, offset=1.0, units="e")
    documents = [
        document_of(counted(SHAPE), bad_pixels=bad),
        document_of(counted(SHAPE), brightness=brightness, facts={"exposure_s": 0.1}),
    ]
    series = join_series([(Path("a"), documents[0]), (Path("b"), documents[1])], "repeat")
    np.testing.assert_array_equal(series.bad_pixels, [bad, np.zeros_like(bad)])
    assert "valid" not in series
    np.testing.assert_array_equal(series.brightness_scale, [np.nan, 0.5])
    assert series.brightness_units.to_numpy().tolist() == ["", "e"]
    np.testing.assert_array_equal(series.exposure_s, [np.nan, 0.1])


@given(data=st.data(), count=st.integers(1, 4))
def test_any_box_of_a_series_is_that_of_its_members(data: st.DataObject, count: int) -> None:
    """Boxes may cross members."""
    values = np.random.default_rng(count).integers(0, 99, (count, 3, 4, 5))
    blocks = SeriesBlocks(tuple(ArrayBlocks(each) for each in values))
    edges = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in values.shape]
    found = read_box(blocks, [a for a, _ in edges], [b - a for a, b in edges])
    np.testing.assert_array_equal(found, values[tuple(slice(*edge) for edge in edges)])
