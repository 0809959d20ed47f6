"""Folders of files with one frame each become one stack or scan, in the order people count."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import stemzarr
from stemzarr.errors import (
    OptionError,
    SourceChangedError,
    SourceNotFoundError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.formats.join.numbering import natural_key, number_names
from stemzarr.formats.join.reader import is_set
from stemzarr.model import read_all, read_box
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import lead_of, read_source
from stemzarr.store import read_store, verify_store, write_store
from stemzarr.testing import DMAxis, DMImage, write_dm
from stemzarr.testing.contracts import check_reader
from stemzarr.testing.merlin import write_hdr, write_mib

ROWS, COLUMNS = 6, 8
JOIN = ReadOptions(join=True)


def frames(count: int) -> NDArray[Any]:
    """Return frames of which no two, and no two rows, are alike."""
    return np.arange(count * ROWS * COLUMNS).reshape(count, ROWS, COLUMNS).astype("u2")


def write_frame(path: Path, frame: NDArray[Any]) -> None:
    """Write one frame in the format of the suffix; ``.z.tif`` is compressed."""
    suffix = path.suffix
    if suffix == ".mib":
        write_mib(path, frame[np.newaxis], [0.001 * int(frame[0, 0])])
    elif suffix == ".npy":
        np.save(path, frame)
    elif suffix == ".tif":
        tifffile.imwrite(path, frame, compression="zlib" if ".z." in path.name else None)
    else:
        version = 3 if suffix == ".dm3" else 4
        axes = (DMAxis(scale=0.1, units="nm"),) * 2
        write_dm(path, DMImage(data=frame, axes=axes), version=version)


def write_set(folder: Path, suffix: str, numbers: list[int], values: NDArray[Any]) -> None:
    """Write frames under names without leading zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        write_frame(folder / f"run_{number}{suffix}", values[number])


def values_of(path: Path, options: ReadOptions = JOIN) -> NDArray[Any]:
    """Return the values of the main document."""
    blocks = read_source(path, options).document.blocks
    return read_all(blocks)


def salvage(*shape: int) -> ReadOptions:
    """Return the options that salvage a scan of joined frames."""
    return ReadOptions(join=True, salvage=True, scan_shape=(shape[0], shape[1]))


@pytest.mark.parametrize("suffix", [".mib", ".npy", ".tif", ".z.tif", ".dm3", ".dm4"])
def test_a_folder_of_frames_is_one_stack_and_one_scan(tmp_path: Path, suffix: str) -> None:
    """Values, order (9 before 10) and calibration are those of the frames, in any format."""
    values = frames(12)
    folder = tmp_path / "a.set"
    write_set(folder, suffix, list(range(12)), values)
    source = check_reader(folder, JOIN)
    assert (source.document.kind, source.document.title) == ("stack", "a.set")
    assert source.complete
    assert len(source.files) == 12
    assert source.size == sum(file.stat().st_size for file in folder.iterdir())
    np.testing.assert_array_equal(values_of(folder), values)
    scan = read_source(folder, ReadOptions(join=True, scan_shape=(3, 4))).document
    assert scan.dims == ("scan_y", "scan_x", "det_y", "det_x")
    box = read_box(scan.blocks, (1, 2, 1, 3), (2, 2, 4, 5))
    np.testing.assert_array_equal(box, values.reshape(3, 4, ROWS, COLUMNS)[1:3, 2:4, 1:5, 3:8])
    if suffix.startswith(".dm"):
        axis = scan.axis("det_y")
        assert (axis.scale, axis.units, axis.calibrated) == (pytest.approx(0.1), "nm", True)


def write_oneview(folder: Path, seconds: int, each: int, values: NDArray[Any]) -> None:
    """Write the tree that a OneView camera writes in situ."""
    for number, frame in enumerate(values[: seconds * each]):
        second, count = divmod(number, each)
        place = folder / "Hour_00" / "Minute_00" / f"Second_{second:02d}"
        place.mkdir(parents=True, exist_ok=True)
        name = f"Run_Hour_00_Minute_00_Second_{second:02d}_Frame_{count:04d}.dm4"
        image = DMImage(data=frame, tags={"Microscope Info": {"Voltage": 3e5 + number}})
        write_dm(place / name, image)


def test_a_tree_of_seconds_is_one_stack(tmp_path: Path) -> None:
    """All folders below are one set; what varies is in the metadata, what is missing in a note."""
    values = frames(12)
    write_oneview(tmp_path / "run", 3, 4, values)
    source = read_source(tmp_path / "run", JOIN)
    np.testing.assert_array_equal(values_of(tmp_path / "run"), values)
    joined = source.load_metadata()["joined"]
    assert joined["varying"]["beam_energy_keV"] == pytest.approx([300 + n / 1e3 for n in range(12)])
    assert len(joined["paths"]) == 12
    assert any("beam_energy_keV: not the same" in note for note in source.notes)
    second = tmp_path / "run/Hour_00/Minute_00/Second_01"
    (second / "Run_Hour_00_Minute_00_Second_01_Frame_0003.dm4").unlink()
    assert (
        "of the numbers 0 to 3 3 is missing in Second_01"
        in read_source(tmp_path / "run", JOIN).notes
    )
    scan = values_of(tmp_path / "run", salvage(2, 6)).reshape(12, ROWS, COLUMNS)
    assert not scan[7].any()
    np.testing.assert_array_equal(np.delete(scan, 7, 0), np.delete(values, 7, 0))


def test_frames_are_where_their_numbers_say(tmp_path: Path) -> None:
    """A gap is noted with its numbers; a salvage leaves its place free and marks it."""
    values = frames(12)
    write_set(tmp_path / "s", ".mib", [n for n in range(12) if n not in (4, 5, 9)], values)
    source = read_source(tmp_path / "s", JOIN)
    assert source.document.shape[0] == 9
    assert "of the numbers 0 to 11 4-5, 9 are missing" in source.notes
    with pytest.raises(OptionError, match=r"needs 12 frames, it holds 9; .* 4-5, 9 are missing"):
        read_source(tmp_path / "s", ReadOptions(join=True, scan_shape=(3, 4)))
    found = read_source(tmp_path / "s", salvage(3, 4))
    assert not found.complete
    assert found.document.valid is not None
    np.testing.assert_array_equal(np.flatnonzero(~found.document.valid), [4, 5, 9])
    expected = values.copy()
    expected[[4, 5, 9]] = 0
    np.testing.assert_array_equal(
        values_of(tmp_path / "s", salvage(3, 4)).reshape(expected.shape), expected
    )
    with pytest.raises(OptionError, match="do not say where in 10"):
        read_source(tmp_path / "s", salvage(2, 5))
    with pytest.raises(OptionError, match="needs 8 frames, it holds 9"):
        read_source(tmp_path / "s", salvage(2, 4))


@pytest.mark.parametrize(("first", "base"), [(0, 0), (1, 1), (3, 0), (3, 1)])
def test_the_last_number_tells_what_is_missing_before_the_first(
    tmp_path: Path, first: int, base: int
) -> None:
    """Frames that end with the scan are its last ones, those that begin it its first ones."""
    numbers = list(range(first, 12 + base if first == 3 else 9))
    write_set(tmp_path / "s", ".npy", numbers, frames(13))
    valid = read_source(tmp_path / "s", salvage(3, 4)).document.valid
    assert valid is not None
    places = [number - base for number in numbers]
    np.testing.assert_array_equal(np.flatnonzero(valid), places)


def test_a_file_that_is_cut_costs_its_frame_alone(tmp_path: Path) -> None:
    """It is refused by name; a salvage marks its place, and the stack leaves it out."""
    values = frames(6)
    for suffix in (".npy", ".mib", ".dm4"):
        folder = tmp_path / suffix[1:]
        write_set(folder, suffix, list(range(6)), values)
        cut = folder / f"run_2{suffix}"
        os.truncate(cut, cut.stat().st_size - 40)
        with pytest.raises(TruncatedFileError) as caught:
            read_source(folder, JOIN)
        assert caught.value.path == str(cut)
        source = read_source(folder, salvage(2, 3))
        assert not source.complete
        assert any(note.startswith(cut.name) for note in source.notes)
        valid = source.document.valid
        assert valid is not None
        np.testing.assert_array_equal(np.flatnonzero(~valid), [2])
        stack = values_of(folder, ReadOptions(join=True, salvage=True))
        np.testing.assert_array_equal(stack, np.delete(values, 2, 0))


def test_the_hdr_of_a_merlin_describes_the_set(tmp_path: Path) -> None:
    """Its scan is taken, its number of frames compared, itself a part."""
    values = frames(6)
    for number in range(6):
        write_frame(tmp_path / f"multi_{number:04d}.mib", values[number])
    write_hdr(tmp_path / "multi.hdr", 6, 1, (2, 3))
    source = read_source(tmp_path, JOIN)
    assert source.document.shape == (2, 3, ROWS, COLUMNS)
    assert tmp_path / "multi.hdr" in source.parts
    assert source.document.facts["acquired"] == "2022-03-01T10:11:12"
    assert source.load_metadata()["joined"]["varying"]["acquired"]
    (tmp_path / "multi_0005.mib").unlink()
    source = read_source(tmp_path, JOIN)
    assert (source.complete, source.document.kind) == (False, "stack")
    assert "5 frames are on disk, 6 are declared in multi.hdr" in source.notes
    with pytest.raises(TruncatedFileError, match="6 are declared"):
        write_store(source, tmp_path.parent / "s.zarr", IngestOptions(read=JOIN))
    valid = read_source(tmp_path, ReadOptions(join=True, salvage=True)).document.valid
    assert valid is not None
    assert valid.sum() == 5
    for number in (5, 6):
        write_frame(tmp_path / f"multi_{number:04d}.mib", values[number - 1])
    both = read_source(tmp_path, ReadOptions(join=True, salvage=True)).documents
    assert [document.shape[:-2] for document in both] == [(2, 3), (1,)]


Spoil = Callable[[Path], object]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda f: np.save(f / "run_3.npy", np.zeros((6, 9), "u2")), "run_3.npy"),
        (lambda f: np.save(f / "run_2.npy", np.zeros((6, 8), "u4")), "run_2.npy"),
        (lambda f: np.save(f / "run_1.npy", np.zeros((4, 6, 8), "u2")), "run_1.npy"),
        (lambda f: np.save(f / "other_1.npy", np.zeros((6, 8), "u2")), "other_1.npy"),
        (lambda f: write_frame(f / "run_9.dm4", frames(1)[0]), "run_9.dm4"),
        (lambda f: (f / "b").mkdir() or write_set(f / "b", ".npy", [1], frames(2)), "run_1.npy"),
    ],
    ids=["shape", "dtype", "several frames", "name", "format", "folder"],
)
def test_the_first_file_that_is_another_frame_is_named(
    tmp_path: Path, spoil: Spoil, named: str
) -> None:
    """One format, shape, type and pattern of names; anything else is no set."""
    write_set(tmp_path, ".npy", list(range(4)), frames(4))
    (tmp_path / "notes.txt").write_text("no frame")
    assert read_source(tmp_path, JOIN).document.shape[0] == 4
    spoil(tmp_path)
    with pytest.raises(UnsupportedDataError) as caught:
        read_source(tmp_path, JOIN)
    assert caught.value.path is not None
    assert Path(caught.value.path).name == named


def test_only_a_folder_of_several_frames_is_joined(tmp_path: Path) -> None:
    """A file, a store, one frame, and options that cannot act are refused."""
    write_set(tmp_path / "s", ".npy", [0], frames(1))
    file = tmp_path / "s" / "run_0.npy"
    with pytest.raises(SourceNotFoundError, match="at least two"):
        read_source(tmp_path / "s", JOIN)
    stemzarr.ingest(file, tmp_path / "one.zarr")
    for path in (file, tmp_path / "one.zarr"):
        with pytest.raises(OptionError, match="not a folder of files"):
            read_source(path, JOIN)
    with pytest.raises(SourceNotFoundError):
        read_source(tmp_path / "nothing", JOIN)
    with pytest.raises(OptionError, match="layout"):
        ReadOptions(join=True, layout="scan-fast")
    with pytest.raises(OptionError, match="dataset"):
        ReadOptions(join=True, dataset="a")
    write_set(tmp_path / "s", ".npy", [1], frames(2))
    with pytest.raises(OptionError, match="SHA-256"):
        stemzarr.ingest(tmp_path / "s", tmp_path / "b.zarr", IngestOptions(read=JOIN, sha256=True))


def test_files_beside_frames_and_unlike_calibrations_are_said(tmp_path: Path) -> None:
    """What is left out, and what is true of the first frame alone, has a note."""
    for number in range(3):
        axes = (DMAxis(scale=0.1 if number < 2 else 0.2, units="nm"),) * 2
        write_dm(tmp_path / f"f_{number}.dm4", DMImage(data=frames(3)[number], axes=axes))
    tifffile.imwrite(tmp_path / "screen.tif", frames(1)[0])
    notes = read_source(tmp_path, JOIN).notes
    assert "1 further file is left out, such as screen.tif" in notes
    assert any("calibration of 1 frames" in note and "f_2.dm4" in note for note in notes)


def test_the_store_names_every_file_and_is_compared_with_all(tmp_path: Path) -> None:
    """Provenance, verification against the folder, a virtual store, and the lake's own folder."""
    values = frames(12)
    write_set(tmp_path / "s", ".mib", list(range(12)), values)
    options = IngestOptions(read=ReadOptions(join=True, scan_shape=(3, 4)), sync=False)
    store = tmp_path / "s" / "s.zarr"
    stemzarr.ingest(tmp_path / "s", store, options)
    np.testing.assert_array_equal(
        read_box(read_store(store).document.blocks, (0,) * 4, (3, 4, ROWS, COLUMNS)),
        values.reshape(3, 4, ROWS, COLUMNS),
    )
    report = verify_store(store, source=tmp_path / "s")
    assert report.ok
    assert report.whole
    virtual = tmp_path / "v.zarr"
    stemzarr.ingest(tmp_path / "s", virtual, IngestOptions(read=options.read, virtual=True))
    assert int(stemzarr.open(virtual).intensity.sum()) == int(values.sum())
    # the text of a frame alone changes, none of its values
    file = tmp_path / "s" / "run_7.mib"
    file.write_bytes(file.read_bytes().replace(b"1000000ns", b"1000001ns"))
    assert not verify_store(store, source=tmp_path / "s").ok
    os.utime(file, ns=(1, 1))
    with pytest.raises(SourceChangedError):
        stemzarr.open(virtual).intensity.load()


def test_blocks_reach_many_files_of_which_few_are_open(tmp_path: Path) -> None:
    """One block is all of 200 small files; a worker gets them in a few bytes a file."""
    write_set(tmp_path, ".npy", list(range(200)), frames(200))
    blocks = read_source(tmp_path, JOIN).document.blocks
    assert blocks.block_shape == (200, ROWS, COLUMNS)
    again = pickle.loads(pickle.dumps(blocks))
    assert len(pickle.dumps(blocks)) < 200 * 100
    np.testing.assert_array_equal(read_box(again, (0, 0, 0), again.shape), frames(200))
    folder = Path("/proc/self/fd")
    if folder.is_dir():
        links = [str(one.readlink()) for one in folder.iterdir() if one.exists()]
        opened = [link for link in links if link.startswith(str(tmp_path))]
        assert len(opened) < 50


def test_python_joins_as_the_command_does(tmp_path: Path) -> None:
    """`open`, `info` and the xarray engine take the word."""
    import xarray as xr

    write_set(tmp_path / "s", ".npy", list(range(4)), frames(4))
    opened = stemzarr.open(tmp_path / "s", join=True)
    np.testing.assert_array_equal(opened.intensity.values, frames(4))
    both = xr.open_dataset(tmp_path / "s", engine="stemzarr", join=True, scan_shape=(2, 2))
    assert both.intensity.dims == ("scan_y", "scan_x", "det_y", "det_x")
    assert stemzarr.info(tmp_path / "s", JOIN)["documents"][0]["shape"] == [4, ROWS, COLUMNS]


def test_files_are_a_set_where_their_names_count(tmp_path: Path) -> None:
    """Frames of one pattern are; scans, and names of several patterns, are not."""
    write_set(tmp_path / "a", ".npy", [0, 1], frames(2))
    files = sorted((tmp_path / "a").iterdir())
    assert is_set(files)
    shutil.copy(files[0], tmp_path / "a" / "b.npy")
    assert not is_set(sorted((tmp_path / "a").iterdir()))
    for number in range(2):
        write_mib(tmp_path / f"scan_{number}.mib", frames(4))
    assert not is_set(sorted(tmp_path.glob("*.mib")))


@given(st.sets(st.integers(0, 60), min_size=2), st.booleans())
def test_every_number_is_there_or_said_to_be_missing(numbers: set[int], padded: bool) -> None:
    """Names sort by their number, with leading zeros or not, and gaps are the other numbers."""
    width = 3 if padded else 1
    names = sorted((f"f_{n:0{width}d}.tif" for n in numbers), key=natural_key)
    found = number_names(names)
    assert found.numbers == tuple(sorted(numbers))
    missing = set(range(min(numbers), max(numbers))) - numbers
    assert bool(missing) == bool(found.gaps)
    if missing and "leave gaps" not in found.gaps and "more" not in found.gaps:
        said = found.gaps.split(" to ")[1].partition(" ")[2].rpartition(" ")[0].rpartition(" ")[0]
        ranges = [list(map(int, one.split("-"))) for one in said.split(", ")]
        assert {n for r in ranges for n in range(r[0], r[-1] + 1)} == missing


def test_leads_are_sought_in_one_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that has come to rest is listed once, not once for each of its files."""
    names = [*(f"scan_{n}.h5" for n in range(20)), "night_MASTER.H5", "night_data_000001.h5"]
    for name in names:
        (tmp_path / name).touch()
    os.utime(tmp_path, (1e9, 1e9))
    listed = []
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or iterdir(path))
    leads = {name: lead_of(tmp_path / name) for name in names}
    assert {name for name, lead in leads.items() if lead is not None} == {names[-1]}
    assert leads[names[-1]] == tmp_path / "night_MASTER.H5"
    assert len(listed) == 1
    (tmp_path / "scan_3_Master.h5").touch()
    assert lead_of(tmp_path / "scan_3.h5") == tmp_path / "scan_3_Master.h5"
