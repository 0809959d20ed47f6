"""DECTRIS masters: the scan that is declared, the frames that are there, what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from stemzarr.errors import OptionError, TruncatedFileError, UnsupportedDataError
from stemzarr.model import read_all
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import read_source
from stemzarr.store import verify_store, write_store
from stemzarr.testing.contracts import check_reader

DETECTOR = (6, 5)


def write_master(
    folder: Path,
    frames: int,
    *,
    triggers: int = 0,
    images: int = 0,
    per_file: int = 10,
    record: tuple[int, int] | None = None,
) -> tuple[Path, NDArray[Any]]:
    """Write master, data files and record as the detector's file writer does."""
    count = int(np.prod(DETECTOR))
    values = np.arange(frames * count, dtype="u4").reshape(frames, *DETECTOR)
    with h5py.File(folder / "s_master.h5", "w") as master:
        specific = master.create_group("entry/instrument/detector/detectorSpecific")
        specific["nimages"], specific["ntrigger"] = np.uint64(images), np.uint64(triggers)
        for number, first in enumerate(range(0, frames, per_file), start=1):
            name = f"s_data_{number:06d}.h5"
            master[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
            with h5py.File(folder / name, "w") as file:
                data = file.create_dataset("entry/data/data", data=values[first : first + per_file])
                data.attrs["image_nr_low"] = np.uint64(first + 1)
    if record is not None:
        with h5py.File(folder / "s.h5", "w") as file:
            tags = {"NumPixelsY": record[0], "NumPixelsX": record[1], "Pixel Size": 0.2}
            file.create_group("STEM Metadata").attrs.update(tags)
    return folder / "s_master.h5", values


def values_of(path: Path, options: ReadOptions | None = None, document: int = 0) -> NDArray[Any]:
    """Return all values of a document."""
    blocks = read_source(path, options).documents[document].blocks
    return read_all(blocks)


@pytest.mark.parametrize(("triggers", "images"), [(4, 9), (12, 20), (3, 3), (2, 18)])
def test_images_of_a_trigger_are_a_line(tmp_path: Path, triggers: int, images: int) -> None:
    """The shape of the scan is that of the triggers, not a square that fits by chance."""
    path, values = write_master(tmp_path, triggers * images, triggers=triggers, images=images)
    source = check_reader(path)
    document = source.document
    assert document.shape == (triggers, images, *DETECTOR)
    assert document.layout is not None
    assert document.layout.confidence == "high"
    assert "ntrigger" in document.layout.evidence[0]
    assert len(source.parts) == -(-triggers * images // 10)
    np.testing.assert_array_equal(values_of(path).reshape(values.shape), values)


def test_a_square_is_no_more_than_a_guess(tmp_path: Path) -> None:
    """One image a trigger says nothing of lines: the square has low confidence and a note."""
    path, _ = write_master(tmp_path, 25, triggers=25, images=1)
    document = read_source(path).document
    assert document.shape[:2] == (5, 5)
    assert document.layout is not None
    assert document.layout.confidence == "low"


@pytest.mark.parametrize("record", [None, (6, 5)])
@pytest.mark.parametrize("there", [26, 29, 11])
def test_frames_that_are_missing_are_counted(
    tmp_path: Path, there: int, record: tuple[int, int] | None
) -> None:
    """Fewer frames than declared are a stack; a salvage makes the scan with what is there."""
    path, values = write_master(tmp_path, there, triggers=30, images=1, record=record)
    source = check_reader(path)
    assert not source.complete
    assert source.notes[0] == f"{there} of 30 patterns are on disk"
    assert source.document.kind == "stack"
    np.testing.assert_array_equal(values_of(path), values)
    with pytest.raises(TruncatedFileError, match=f"{there} of 30"):
        write_store(source, tmp_path / "no.zarr", IngestOptions())
    options = ReadOptions(salvage=True, scan_shape=(6, 5))
    valid = check_reader(path, options).document.valid
    assert valid is not None
    assert int(valid.sum()) == there
    got = values_of(path, options).reshape(30, *DETECTOR)
    np.testing.assert_array_equal(got[:there], values)
    assert not got[there:].any()
    with pytest.raises(OptionError, match="needs 20 patterns"):
        read_source(path, ReadOptions(salvage=True, scan_shape=(4, 5)))


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_data_file_that_is_missing_leaves_a_gap(tmp_path: Path, lost: int) -> None:
    """Frames behind the gap keep their positions, whichever of the files is missing."""
    path, values = write_master(tmp_path, 30, triggers=6, images=5)
    (tmp_path / f"s_data_{lost:06d}.h5").unlink()
    source = read_source(path)
    assert source.notes == (
        "20 of 30 patterns are on disk",
        f"its data file 's_data_{lost:06d}.h5' is missing",
    )
    options = ReadOptions(salvage=True)
    document = check_reader(path, options).document
    first = (lost - 1) * 10
    gap = np.zeros(30, bool)
    gap[first : first + 10] = True
    assert document.valid is not None
    np.testing.assert_array_equal(document.valid.ravel(), ~gap)
    got = values_of(path, options).reshape(values.shape)
    np.testing.assert_array_equal(got, np.where(gap[:, None, None], 0, values))
    write_store(read_source(path, options), tmp_path / "s.zarr", IngestOptions(read=options))
    assert verify_store(tmp_path / "s.zarr").ok


def test_frames_beyond_the_scan_are_kept(tmp_path: Path) -> None:
    """One frame too many is in the stack, or in a document of its own beside the scan."""
    path, values = write_master(tmp_path, 31, triggers=30, images=1, record=(6, 5))
    source = read_source(path)
    assert not source.complete
    assert source.notes[0] == "31 patterns are on disk, 30 are declared"
    assert source.document.shape == (31, *DETECTOR)
    options = ReadOptions(salvage=True)
    assert [one.shape for one in read_source(path, options).documents] == [
        (6, 5, *DETECTOR),
        (1, *DETECTOR),
    ]
    np.testing.assert_array_equal(values_of(path, options, 1), values[30:])


def test_parts_say_what_they_belong_to(tmp_path: Path) -> None:
    """A record names its master; a data file names the master, or that it is missing."""
    path, _ = write_master(tmp_path, 30, triggers=6, images=5, record=(6, 5))
    with pytest.raises(UnsupportedDataError) as refused:
        read_source(tmp_path / "s.h5")
    assert refused.value.hint == "give s_master.h5 instead"
    part = tmp_path / "s_data_000001.h5"
    assert any("s_master.h5" in note for note in read_source(part).notes)
    path.unlink()
    assert any("s_master.h5 is missing" in note for note in read_source(part).notes)


@pytest.mark.parametrize("dtype", ["u2", "u4"])
@pytest.mark.parametrize("masked", [False, True])
def test_flagged_values_are_bad_pixels_without_a_mask(
    tmp_path: Path, dtype: str, masked: bool
) -> None:
    """A pixel that holds the largest value in every frame is bad, whatever the mask names.

    It enters no statistic; a pixel that reaches the value in one frame only is no such pixel.
    """
    path, _ = write_master(tmp_path, 30, record=(6, 5))
    flag = np.iinfo(dtype).max
    for number in range(1, 4):
        with h5py.File(tmp_path / f"s_data_{number:06d}.h5", "r+") as file:
            values = np.ones((10, *DETECTOR), dtype)
            values[:, 2, 3] = flag
            values[0, 4, 4] = flag if number == 1 else 1
            del file["entry/data/data"]
            data = file.create_dataset("entry/data/data", data=values)
            data.attrs["image_nr_low"] = np.uint64(10 * number - 9)
    expected = np.zeros(DETECTOR, bool)
    expected[2, 3] = True
    if masked:
        with h5py.File(path, "r+") as file:
            mask = np.zeros(DETECTOR, "u4")
            mask[0, 0] = 8
            file["entry/instrument/detector/detectorSpecific/pixel_mask"] = mask
        expected[0, 0] = True
    document = check_reader(path).document
    np.testing.assert_array_equal(document.bad_pixels, expected)
    write_store(read_source(path), tmp_path / "s.zarr", IngestOptions())
    preview = xr.open_datatree(tmp_path / "s.zarr")["preview"]
    assert preview.mean_diffraction.values[~expected].max() < flag
    assert preview.total_intensity.values[1:].max() == 30 - expected.sum()


def test_a_byte_of_255_is_a_count(tmp_path: Path) -> None:
    """Bytes have no value to flag with: a bright pixel of 255 in every frame is not bad."""
    path, _ = write_master(tmp_path, 10)
    with h5py.File(tmp_path / "s_data_000001.h5", "r+") as file:
        del file["entry/data/data"]
        data = file.create_dataset("entry/data/data", data=np.full((10, *DETECTOR), 255, "u1"))
        data.attrs["image_nr_low"] = np.uint64(1)
    assert read_source(path).document.bad_pixels is None


def test_flagged_values_of_a_plain_file_of_a_detector_are_bad(tmp_path: Path) -> None:
    """A NeXus file that describes its detector flags as a master does; any other file does not."""
    values = np.ones((4, 5, *DETECTOR), "u2")
    values[..., 2, 3] = 0xFFFF
    for name in ("nexus.h5", "plain.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["entry/measured/data"] = values
            if name == "nexus.h5":
                file["entry/instrument/detector/count_time"] = 0.1
    document = check_reader(tmp_path / "nexus.h5").document
    assert document.bad_pixels is not None
    assert np.argwhere(document.bad_pixels).tolist() == [[2, 3]]
    assert read_source(tmp_path / "plain.h5").document.bad_pixels is None


def test_a_data_file_that_continues_no_other_is_named(tmp_path: Path) -> None:
    """A data file that was copied over the next one is noticed by the images that it counts."""
    path, _ = write_master(tmp_path, 30, record=(6, 5))
    (tmp_path / "s_data_000002.h5").unlink()
    shutil.copyfile(tmp_path / "s_data_000001.h5", tmp_path / "s_data_000002.h5")
    (note,) = read_source(path).notes
    assert note.startswith("its data file 's_data_000002.h5' begins with image 1")
    assert note.endswith("where image 11 is expected")


def test_chunks_that_were_never_written_are_counted(tmp_path: Path) -> None:
    """A data file with room for frames that never came says so, as any other HDF5 file does."""
    path, _ = write_master(tmp_path, 30, triggers=6, images=5)
    with h5py.File(tmp_path / "s_data_000002.h5", "w") as file:
        data = file.create_dataset("entry/data/data", (10, *DETECTOR), "u4", chunks=(1, *DETECTOR))
        data.attrs["image_nr_low"] = np.uint64(11)
        data[:7] = 1
    assert "3 of 10 chunks were never written and read as 0" in read_source(path).notes
