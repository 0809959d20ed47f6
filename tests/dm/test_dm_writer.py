"""What `write_dm` writes is a DM file to readers that we did not write."""

import warnings
from pathlib import Path
from typing import Any

import ncempy.io.dm
import numpy as np
import pytest
import rsciio.digitalmicrograph
from numpy.typing import NDArray

from stemzarr.formats.dm.reader import read_dm
from stemzarr.options import ReadOptions
from stemzarr.testing import (
    DMAxis,
    DMImage,
    StreamedArray,
    synthetic_scan,
    write_dm,
    write_synthetic_dm4,
)

CODES = ["i2", "f4", "c8", "u1", "i4", "i1", "u2", "u4", "f8", "c16"]


def read_rosettasciio(path: Path) -> list[dict[str, Any]]:
    """Return the signals that rosettasciio finds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rsciio.digitalmicrograph.file_reader(str(path))


def read_ncempy(path: Path, index: int) -> NDArray:
    """Return the values of one image as ncempy finds them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ncempy.io.dm.fileDM(str(path)) as file:
            return file.getDataset(index)["data"]


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("dtype", CODES)
def test_other_readers_find_the_values(tmp_path: Path, dtype: str, version: int) -> None:
    """Rosettasciio and ncempy read the values of every type back exactly."""
    path = tmp_path / f"x.dm{version}"
    data = np.random.default_rng(1).integers(0, 100, (6, 9)).astype(dtype)
    axes = (DMAxis(scale=0.5, origin=2.0, units="\u00b5m"), DMAxis(scale=0.25, units="nm"))
    write_dm(path, DMImage(data=data, axes=axes, name="name"), version=version)
    (signal,) = read_rosettasciio(path)
    np.testing.assert_array_equal(signal["data"], data)
    assert signal["data"].dtype == np.dtype(dtype)
    assert [(a["scale"], a["offset"], a["units"]) for a in signal["axes"]] == [
        (0.5, -1.0, "\u00b5m"),
        (0.25, 0.0, "nm"),
    ]
    assert signal["metadata"]["General"]["title"] == "name"
    np.testing.assert_array_equal(read_ncempy(path, 0), data)


def test_several_images_and_tags_are_found(tmp_path: Path) -> None:
    """Images keep their order behind the thumbnail; nested, dotted and large tags are there."""
    path = tmp_path / "x.dm4"
    tags = {
        "Cal v1.2": {"List": [1, "\u00b5\u03a9", {"deep": 2.5}], "Pair": (3, 4.5)},
        "Big": np.arange(50_000.0),
        "Flag": True,
    }
    images = [DMImage(data=np.full((2, 3), n, "u2"), name=f"n{n}", tags=tags) for n in range(3)]
    write_dm(path, images, tags={"Session": "x"})
    signals = read_rosettasciio(path)
    assert [int(signal["data"][0, 0]) for signal in signals] == [0, 1, 2]
    found = signals[0]["original_metadata"]["ImageList"]["TagGroup0"]["ImageTags"]
    assert found["Cal v12"]["List"] == {
        "Data0": 1,
        "Data1": "\u00b5\u03a9",
        "TagGroup0": {"deep": 2.5},
    }
    assert found["Cal v12"]["Pair"] == (3, 4.5)
    assert found["Big"][-1] == 49_999.0
    assert found["Flag"]


@pytest.mark.parametrize("layout", ["detector-fast", "scan-fast"])
def test_streams_equal_arrays(tmp_path: Path, layout: str) -> None:
    """A scan that is made while it is written gives the bytes of the same scan in memory."""
    stream = synthetic_scan((5, 7), (12, 10), "u2", seed=3)
    for name, data in {"stream": stream, "array": stream.to_array()}.items():
        write_dm(tmp_path / f"{name}.dm4", DMImage(data=data, layout=layout))
    assert (tmp_path / "stream.dm4").read_bytes() == (tmp_path / "array.dm4").read_bytes()


def test_rotated_streams_are_written_in_slabs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan-fast file is the same whatever the memory that its writer may use."""
    stream = synthetic_scan((5, 7), (12, 10), "u2", seed=3)
    write_dm(tmp_path / "large.dm4", DMImage(data=stream, layout="scan-fast"))
    monkeypatch.setattr("stemzarr.testing.dm_writer._SLAB_BYTES", 3 * 240)
    write_dm(tmp_path / "small.dm4", DMImage(data=stream, layout="scan-fast"))
    assert (tmp_path / "small.dm4").read_bytes() == (tmp_path / "large.dm4").read_bytes()


def test_zeros_are_a_hole(tmp_path: Path) -> None:
    """An array without pieces is written as zeros without writing them."""
    path = tmp_path / "hole.dm4"
    zeros = StreamedArray(shape=(64, 64, 128, 128), dtype=np.dtype("u2"))
    write_dm(path, DMImage(data=zeros))
    assert path.stat().st_size > zeros.nbytes
    assert not read_rosettasciio(path)[0]["data"].any()


def test_synthetic_scans_look_like_real_ones(tmp_path: Path) -> None:
    """Mostly zeros, Poisson counts, a bright centre, several grains, equal for equal seeds."""
    scan = synthetic_scan((12, 12), (64, 64), "u2", seed=1)
    counts = scan.to_array()
    assert 0.7 < (counts == 0).mean() < 0.95
    mean = counts.mean(axis=(0, 1))
    assert mean[30:34, 30:34].mean() > 10 * np.median(mean)
    np.testing.assert_array_equal(
        counts, synthetic_scan((12, 12), (64, 64), "u2", seed=1).to_array()
    )
    assert (counts != synthetic_scan((12, 12), (64, 64), "u2", seed=2).to_array()).any()
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (12, 12), (64, 64), "u2", seed=1)
    signals = read_rosettasciio(path)
    np.testing.assert_array_equal(signals[0]["data"], counts)
    assert signals[1]["metadata"]["General"]["title"] == "ADF Survey Image"


def test_synthetic_files_know_all_that_real_ones_know(tmp_path: Path) -> None:
    """Facts, calibration, layout and survey image of a synthetic file are found by our reader."""
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (5, 6), (16, 16), "u2", voltage_V=200e3)
    source = read_dm(path, ReadOptions())
    assert [document.slug for document in source.documents][0::2] == ["thumbnail", "survey"]
    scan = source.document
    assert scan.facts["beam_energy_keV"] == 200.0
    assert scan.facts["camera_length_mm"] == 115.0
    assert scan.facts["acquired"] == "2025-09-16T14:06:16"
    assert scan.facts["complete"] == 1
    assert scan.layout is not None
    assert (scan.layout.order, scan.layout.confidence) == ("detector-fast", "high")
    assert scan.attributes["survey_document"] == "survey"
    assert source.find("survey").attributes["scan_rect_bottom"] == 96
    assert not scan.notes
    early = {"SI": {"Acquisition": {"Last pixel": 17, "Spatial Sampling": {}}}}
    early["SI"]["Acquisition"]["Spatial Sampling"] = {"Height (pixels)": 5, "Width (pixels)": 6}
    write_synthetic_dm4(path, (5, 6), (16, 16), "u2", tags=early)
    scan = read_dm(path, ReadOptions()).document
    assert scan.facts["complete"] == 0
    assert any("17 of 30" in note for note in scan.notes)
