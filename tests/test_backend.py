"""The engine does what xarray expects of any engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import stemzarr
from stemzarr.errors import EntryNotFoundError, OptionError
from stemzarr.options import IngestOptions
from stemzarr.store import revise
from stemzarr.testing import write_synthetic_dm4


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Return a file with a scan and a survey image."""
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (3, 4), (16, 16))
    return path


@pytest.fixture
def store(tmp_path: Path, scan: Path) -> Path:
    """Return a store of the scan."""
    stemzarr.ingest(scan, tmp_path / "scan.zarr", IngestOptions())
    return tmp_path / "scan.zarr"


def test_several_files_open_as_one_and_close(tmp_path: Path, scan: Path) -> None:
    """`xarray.open_mfdataset` joins scans, and closes what it joined."""
    other = tmp_path / "other.dm4"
    write_synthetic_dm4(other, (3, 4), (16, 16), seed=1)
    with xr.open_mfdataset(
        [scan, other],
        engine="stemzarr",
        combine="nested",
        concat_dim="number",
        combine_attrs="drop",
        join="override",
    ) as both:
        assert both.sizes["number"] == 2
        np.testing.assert_array_equal(
            both.intensity[1].values, stemzarr.open(other).intensity.values
        )
    with xr.open_dataset(scan, engine="stemzarr") as one:
        assert one.intensity.shape == (3, 4, 16, 16)
    one.close()


@pytest.mark.parametrize(
    "keywords",
    [
        {"decode_times": False},
        {"mask_and_scale": False},
        {"decode_coords": "all"},
        {"decode_cf": False},
        {"concat_characters": False, "decode_timedelta": False},
        {"drop_variables": ["valid"]},
    ],
)
def test_keywords_of_xarray_are_taken(scan: Path, keywords: dict[str, object]) -> None:
    """What other engines decode is not encoded here, so that the values stay what they are."""
    plain = xr.open_dataset(scan, engine="stemzarr")
    xr.testing.assert_identical(plain, xr.open_dataset(scan, engine="stemzarr", **keywords))  # type: ignore[arg-type]


def test_a_group_is_a_document(scan: Path, store: Path) -> None:
    """The groups of `open_datatree` open one by one, under plain dim names."""
    for path in (scan, store):
        survey = xr.open_dataset(path, engine="stemzarr", group="documents/survey")
        assert survey.intensity.dims == ("y", "x")
        main = xr.open_dataset(path, engine="stemzarr", group="/")
        assert main.intensity.dims == ("scan_y", "scan_x", "det_y", "det_x")
        with pytest.raises(EntryNotFoundError):
            xr.open_dataset(path, engine="stemzarr", group="documents/nothing")
        for group in ("preview", "documents", "documents/survey/x"):
            with pytest.raises(OptionError, match="no group"):
                xr.open_dataset(path, engine="stemzarr", group=group)
        with pytest.raises(OptionError, match="contradict"):
            xr.open_dataset(path, engine="stemzarr", group="documents/survey", document="scan")


def test_an_unknown_keyword_is_refused(scan: Path) -> None:
    """A keyword that is misspelt is not passed over."""
    with pytest.raises(OptionError, match="decode_time"):
        xr.open_dataset(scan, engine="stemzarr", decode_time=False)


def test_what_stemzarr_opens_can_be_written_with_xarray(tmp_path: Path) -> None:
    """A store of several shards, and a part of it, copies by `to_zarr` without a word."""
    values = np.random.default_rng(0).poisson(1, (40, 66, 128, 128)).astype("u2")
    np.save(tmp_path / "s.npy", values)
    stemzarr.ingest(tmp_path / "s.npy", tmp_path / "s.zarr", IngestOptions())
    opened = stemzarr.open(tmp_path / "s.zarr")
    part = opened.isel(scan_y=slice(3, 9))
    for name, dataset in (("copy", opened), ("part", part)):
        dataset.to_zarr(tmp_path / f"{name}.zarr", zarr_format=3, consolidated=False)
        with xr.open_zarr(tmp_path / f"{name}.zarr", consolidated=False) as again:
            assert again.intensity.dtype == np.uint16
            np.testing.assert_array_equal(again.intensity[2, 5].values, dataset.intensity[2, 5])


def test_a_decoder_acts_where_there_is_something_to_decode(store: Path) -> None:
    """An axis in seconds becomes time differences when that is asked for; pixels stay lazy."""
    revise(store, {"scan_y.units": "seconds", "scan_y.scale": 2, "scan_y.offset": 0})
    plain = xr.open_dataset(store, engine="stemzarr", decode_timedelta=False)
    timed = xr.open_dataset(store, engine="stemzarr", decode_timedelta=True)
    assert plain.scan_y.dtype == np.float64
    np.testing.assert_array_equal(timed.scan_y, np.arange(3) * np.timedelta64(2, "s"))
    chunks = "preferred_chunks"
    assert timed.intensity.encoding[chunks] == plain.intensity.encoding[chunks]
    assert not timed.intensity.variable._in_memory
    with xr.open_datatree(store, engine="stemzarr", decode_timedelta=True) as tree:
        assert tree["/"].scan_y.dtype.kind == "m"
