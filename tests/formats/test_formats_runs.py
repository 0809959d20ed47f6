"""Runs of frames are whole, or what is missing is said: EMPAD, blockfile, TVIPS, MRC, NumPy."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    OptionError,
    SourceNotFoundError,
    StemzarrError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.model import read_all
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import read_source
from stemzarr.store import verify_store, write_store
from stemzarr.testing.contracts import check_reader

SCAN = (4, 3)
SIDE = 16


def patterns(scan: tuple[int, int], shape: tuple[int, int], dtype: str) -> NDArray[Any]:
    """Return a scan in which every pattern has a value of its own."""
    count = scan[0] * scan[1]
    values = np.arange(count, dtype=dtype)[:, None, None] + np.arange(shape[1], dtype=dtype)
    return np.broadcast_to(values, (count, *shape)).reshape(*scan, *shape).astype(dtype)


def write_blockfile(folder: Path) -> tuple[Path, NDArray[Any]]:
    """Write a scan as NanoMEGAS does: a header, an image, frames with six bytes before each."""
    values = patterns(SCAN, (SIDE, SIDE), "u1")
    head = bytearray(0x1000)
    struct.pack_into("<6sH3I4HH2dIHI", head, 0, b"IMGBLO", 0x102, 0x1000, 0x1010, 0,
                     SIDE, 0, SCAN[1], SCAN[0], 0, 2.0, 3.0, 200_000, 500, 0)  # fmt: skip
    frames = (b"\xaa\x55" + struct.pack("<I", n) + one.tobytes() for n, one in
              enumerate(values.reshape(-1, SIDE, SIDE)))  # fmt: skip
    path = folder / "scan.blo"
    path.write_bytes(bytes(head) + bytes(16) + b"".join(frames))
    return path, values


def write_mrc(folder: Path) -> tuple[Path, NDArray[Any]]:
    """Write frames behind an MRC header with 32 further bytes of header."""
    values = patterns(SCAN, (SIDE, SIDE + 2), "<u2")
    head = bytearray(1024 + 32)
    struct.pack_into("<10i", head, 0, SIDE + 2, SIDE, 12, 6, 0, 0, 0, SIDE + 2, SIDE, 12)
    struct.pack_into("<3f3f3i", head, 40, 8.0, 8.0, 12.0, 90.0, 90.0, 90.0, 1, 2, 3)
    struct.pack_into("<I", head, 92, 32)
    head[208:216] = b"MAP DD\0\0"
    path = folder / "scan.mrc"
    path.write_bytes(bytes(head) + values.tobytes())
    return path, values


def write_tvips(folder: Path, split: int = 7) -> tuple[Path, NDArray[Any]]:
    """Write a recording in two files, of which the second has no header."""
    values = patterns(SCAN, (SIDE, SIDE), "<u2")
    head = struct.pack("<13I204s", 256, 2, SIDE, SIDE, 16, 0, 0, 1, 1, 5, 200_000, 1000, 64, b"")
    frames = [
        struct.pack("<4If2I5fI2f", n, 1_700_000_000 + n, 0, 0, 0.0, 0, 2, *[0.0] * 5, 0, 0.0, 0.0)
        + bytes(4)
        + one.tobytes()
        for n, one in enumerate(values.reshape(-1, SIDE, SIDE))
    ]
    path = folder / "scan_000.tvips"
    path.write_bytes(head + b"".join(frames[:split]))
    (folder / "scan_001.tvips").write_bytes(b"".join(frames[split:]))
    return path, values


def write_empad(folder: Path) -> tuple[Path, NDArray[Any]]:
    """Write frames of 130 rows, and the description that names them."""
    values = patterns(SCAN, (128, 128), "<f4")
    frames = np.full((*SCAN, 130, 128), -7, "<f4")
    frames[:, :, :128] = values
    raw = folder / "frames.raw"
    frames.tofile(raw)
    path = folder / "scan.xml"
    path.write_text(
        '<root><timestamp isoformat="2024-05-02T17:28:39"/>'
        '<raw_file filename="C:\\data\\frames.raw"/>'
        f"<pix_x>{SCAN[1]}</pix_x><pix_y>{SCAN[0]}</pix_y><exposure_time>1.0</exposure_time>"
        "<iom_measurements><high_voltage>300000.0</high_voltage>"
        "<calibrated_pixelsize>2.5e-10</calibrated_pixelsize>"
        "<full_scan_field_of_view><x>6e-9</x><y>6e-9</y><scale_factor>0.75</scale_factor>"
        "</full_scan_field_of_view></iom_measurements></root>"
    )
    return path, values


def write_npy(folder: Path) -> tuple[Path, NDArray[Any]]:
    """Write a scan of big-endian values with NumPy."""
    values = patterns(SCAN, (SIDE, SIDE), ">u2")
    path = folder / "scan.npy"
    np.save(path, values)
    return path, values


@dataclass(frozen=True)
class Format:
    """One format that holds frame after frame."""

    write: Callable[[Path], tuple[Path, NDArray[Any]]]
    """Writes a whole scan and returns its file and values."""
    data: str
    """Name of the file with the last frames."""
    declares_scan: bool
    """Whether the file says what the shape of the scan is."""
    counts: bool = True
    """Whether the file says how many frames there must be."""
    lead: int = 0
    """Bytes of the header of a frame."""


FORMATS = {
    "blo": Format(write_blockfile, "scan.blo", declares_scan=True, lead=6),
    "mrc": Format(write_mrc, "scan.mrc", declares_scan=False),
    "tvips": Format(write_tvips, "scan_001.tvips", declares_scan=False, counts=False, lead=64),
    "empad": Format(write_empad, "frames.raw", declares_scan=True),
    "npy": Format(write_npy, "scan.npy", declares_scan=True),
}
each_format = pytest.mark.parametrize("name", list(FORMATS))


def stride(name: str, values: NDArray[Any]) -> int:
    """Return how many bytes a frame takes on disk."""
    rows = 130 if name == "empad" else values.shape[2]
    return rows * values.shape[3] * values.dtype.itemsize + FORMATS[name].lead


def cut(path: Path, nbytes: int) -> None:
    """Take bytes off the end of a file."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - nbytes)


def values_of(path: Path, options: ReadOptions) -> NDArray[Any]:
    """Return the values of the main document."""
    blocks = read_source(path, options).document.blocks
    return read_all(blocks)


@each_format
def test_a_whole_run_keeps_the_contract(tmp_path: Path, name: str) -> None:
    """A file that holds what it declares is complete, and all its frames are there."""
    path, values = FORMATS[name].write(tmp_path)
    options = ReadOptions(scan_shape=SCAN)
    check_reader(path, options)
    source = read_source(path, options)
    assert source.complete
    assert source.document.kind == "4d-stem"
    np.testing.assert_array_equal(values_of(path, options), values)


@each_format
@given(lost=st.floats(0.01, 11.9))
@settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    print_blob=True,
)
def test_a_cut_run_is_a_stack_of_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, name: str, lost: float
) -> None:
    """A file cut anywhere among its frames says so, is refused by an ingest, and is salvaged."""
    folder = tmp_path_factory.mktemp(name)
    kind = FORMATS[name]
    path, values = kind.write(folder)
    frame = stride(name, values)
    size = (folder / kind.data).stat().st_size
    nbytes = min(round(lost * frame), size - 1)
    if name == "tvips" and nbytes % frame == 0:
        nbytes += 1
    cut(folder / kind.data, nbytes)
    whole = 12 - -(-nbytes // frame)
    if whole == 0:
        with pytest.raises(StemzarrError):
            read_source(path)
        return
    source = read_source(path)
    assert not source.complete
    assert str(whole) in source.notes[0]
    assert source.document.kind == "stack"
    flat = values.reshape(12, *values.shape[2:])
    np.testing.assert_array_equal(values_of(path, ReadOptions()), flat[:whole])
    with pytest.raises(TruncatedFileError) as refused:
        write_store(source, folder / "no.zarr", IngestOptions())
    assert "--salvage" in (refused.value.hint or "")
    options = ReadOptions(salvage=True, scan_shape=None if kind.declares_scan else SCAN)
    salvaged = check_and_read(path, options)
    assert salvaged.valid is not None
    assert int(salvaged.valid.sum()) == whole
    expected = np.where(np.arange(12)[:, None, None] < whole, flat, 0).reshape(values.shape)
    np.testing.assert_array_equal(values_of(path, options), expected)


def check_and_read(path: Path, options: ReadOptions) -> Any:
    """Return the main document of a source that keeps the contract."""
    check_reader(path, options)
    return read_source(path, options).document


@pytest.mark.parametrize("name", ["blo", "mrc", "empad"])
def test_frames_beyond_what_is_declared_are_kept(tmp_path: Path, name: str) -> None:
    """More frames than the header declares are a stack of all, or a scan and the rest."""
    kind = FORMATS[name]
    path, values = kind.write(tmp_path)
    frame = stride(name, values)
    with (tmp_path / kind.data).open("ab") as file:
        file.write(bytes(2 * frame))
    source = read_source(path)
    assert not source.complete
    assert source.notes[0] == "14 patterns are on disk, 12 are declared"
    assert source.document.shape[0] == 14
    salvaged = read_source(path, ReadOptions(salvage=True, scan_shape=SCAN))
    assert [one.shape[:-2] for one in salvaged.documents] == [SCAN, (2,)]
    np.testing.assert_array_equal(
        values_of(path, ReadOptions(salvage=True, scan_shape=SCAN)), values
    )


@pytest.mark.parametrize("name", ["blo", "mrc", "empad"])
def test_bytes_behind_the_last_pattern_are_named(tmp_path: Path, name: str) -> None:
    """A run that is whole may have a tail that is no pattern: nothing of it is left out unsaid."""
    kind = FORMATS[name]
    path, values = kind.write(tmp_path)
    with (tmp_path / kind.data).open("ab") as file:
        file.write(bytes(5))
    source = check_reader(path)
    assert source.complete
    assert "5 bytes behind the last pattern are not a pattern" in source.notes
    options = ReadOptions(scan_shape=SCAN)
    np.testing.assert_array_equal(values_of(path, options), values)


@pytest.mark.parametrize("step", [-1.0, 0.0, float("nan")])
def test_an_unknown_step_of_a_blockfile_is_no_calibration(tmp_path: Path, step: float) -> None:
    """-1, 0 and NaN stand for a step that nobody knows: pixels are counted, and a note says so."""
    path, _ = write_blockfile(tmp_path)
    head = bytearray(path.read_bytes())
    struct.pack_into("<2d", head, 30, step, step)
    path.write_bytes(bytes(head))
    document = check_reader(path).document
    for axis in document.axes[:2]:
        assert (axis.scale, axis.units, axis.calibrated) == (1, "pixel", False)
        assert any(axis.name[-1] in note and "step" in note for note in document.notes)


@each_format
def test_a_salvaged_run_becomes_a_sound_store(tmp_path: Path, name: str) -> None:
    """The store of a salvage verifies, and says that its source is not complete."""
    kind = FORMATS[name]
    path, values = kind.write(tmp_path)
    cut(tmp_path / kind.data, stride(name, values) * 3 // 2)
    options = ReadOptions(salvage=True, scan_shape=SCAN)
    write_store(read_source(path, options), tmp_path / "s.zarr", IngestOptions(read=options))
    assert verify_store(tmp_path / "s.zarr").ok
    source = read_source(tmp_path / "s.zarr")
    assert not source.complete
    assert source.document.valid is not None
    assert int(source.document.valid.sum()) == 10


def test_a_scan_of_another_size_is_refused(tmp_path: Path) -> None:
    """A shape that is not that of all declared patterns is no shape of the scan."""
    path, values = write_mrc(tmp_path)
    cut(path, stride("mrc", values))
    with pytest.raises(OptionError, match="needs 20 patterns"):
        read_source(path, ReadOptions(salvage=True, scan_shape=(4, 5)))


def test_a_cut_blockfile_keeps_its_facts(tmp_path: Path) -> None:
    """Calibration and facts of a file that is cut are those of its header."""
    path, values = write_blockfile(tmp_path)
    whole = read_source(path)
    cut(path, stride("blo", values))
    salvaged = read_source(path, ReadOptions(salvage=True))
    assert salvaged.document.facts == whole.document.facts
    assert salvaged.document.axes == whole.document.axes
    assert salvaged.document.facts["beam_energy_keV"] == pytest.approx(200)


def test_what_empad_records(tmp_path: Path) -> None:
    """Energy, date, steps of scan and detector are taken from the description."""
    path, _ = write_empad(tmp_path)
    source = read_source(path)
    document = source.document
    assert source.parts == (tmp_path / "frames.raw",)
    assert document.facts["beam_energy_keV"] == pytest.approx(300)
    assert document.facts["exposure_s"] == pytest.approx(1e-3)
    assert document.facts["acquired"] == "2024-05-02T17:28:39"
    assert document.axis("scan_x").scale == pytest.approx(2.0)
    assert document.axis("det_x").scale == pytest.approx(0.25)
    assert document.axis("det_x").units == "1/nm"


def test_two_scans_of_an_empad_are_said(tmp_path: Path) -> None:
    """Where the description and the name of the frames contradict each other, a note has both."""
    path, _ = write_empad(tmp_path)
    before = tmp_path / "frames.raw"
    for rows, columns in (SCAN, (SCAN[1] + 1, SCAN[0])):
        raw = before.rename(tmp_path / f"scan_x{columns}_y{rows}.raw")
        path.write_text(path.read_text().replace(before.name, raw.name))
        before, document = raw, read_source(path).document
        notes = [note for note in document.notes if "declares" in note]
        assert document.shape[:2] == SCAN
        assert bool(notes) is ((rows, columns) != SCAN)
        both = f"{SCAN[0]} x {SCAN[1]}", f"{rows} x {columns}", f"{SCAN[0]} x {SCAN[1]} is taken"
        assert all(part in note for note in notes for part in both)


@pytest.mark.parametrize("version", [1, 2])
def test_a_recording_that_ends_in_its_header_says_so(tmp_path: Path, version: int) -> None:
    """Wherever the header of a TVIPS file is cut, in files of either version."""
    path, _ = write_tvips(tmp_path)
    head = bytearray(path.read_bytes()[:256])
    head[4] = version
    for nbytes in (1, 19, 20, 51, 52, 100, 255):
        path.write_bytes(head[:nbytes])
        with pytest.raises(CorruptFileError, match=f"inside its header, after {nbytes} bytes"):
            read_source(path)


def test_frames_given_alone_name_the_file_to_give(tmp_path: Path) -> None:
    """A part names its lead; a lead names a part that is missing."""
    path, _ = write_empad(tmp_path)
    with pytest.raises(UnsupportedDataError) as refused:
        read_source(tmp_path / "frames.raw")
    assert refused.value.hint == "give scan.xml instead"
    (tmp_path / "frames.raw").unlink()
    with pytest.raises(SourceNotFoundError, match=r"frames\.raw"):
        read_source(path)
    write_tvips(tmp_path)
    with pytest.raises(UnsupportedDataError) as refused:
        read_source(tmp_path / "scan_001.tvips")
    assert refused.value.hint == "give scan_000.tvips instead"
    (tmp_path / "scan_000.tvips").unlink()
    with pytest.raises(SourceNotFoundError, match=r"scan_000\.tvips"):
        read_source(tmp_path / "scan_001.tvips")


def test_a_gap_in_a_recording_is_named(tmp_path: Path) -> None:
    """Frames behind a missing part have no place in the scan, and are not passed over unsaid."""
    path, _ = write_tvips(tmp_path)
    (tmp_path / "scan_001.tvips").rename(tmp_path / "scan_002.tvips")
    source = read_source(path)
    assert not source.complete
    assert any("scan_001.tvips is missing" in note for note in source.notes)
    assert source.document.shape[0] == 7


def test_arrays_saved_into_one_file_are_documents(tmp_path: Path) -> None:
    """What numpy.save wrote behind the first array is read as well; other bytes are named."""
    path = tmp_path / "two.npy"
    first, second = np.arange(60.0).reshape(3, 4, 5), np.arange(6, dtype="u1")
    with path.open("wb") as file:
        np.save(file, first)
        np.save(file, second)
    source = read_source(path)
    assert source.complete
    assert [one.shape for one in source.documents] == [(3, 4, 5), (6,)]
    with path.open("ab") as file:
        file.write(b"more")
    assert read_source(path).notes == ("4 bytes behind the last array are not an array",)
    assert not read_source(path).complete


def test_a_big_endian_mrc_is_refused(tmp_path: Path) -> None:
    """Numbers of another byte order are never taken for counts."""
    path, _ = write_mrc(tmp_path)
    content = bytearray(path.read_bytes())
    content[212:214] = b"\x11\x11"
    path.write_bytes(content)
    with pytest.raises(UnsupportedDataError, match="big-endian"):
        read_source(path)


def test_a_description_with_entities_is_no_empad(tmp_path: Path) -> None:
    """XML that could grow without bound is never expanded."""
    path, _ = write_empad(tmp_path)
    path.write_text('<!DOCTYPE r [<!ENTITY a "b">]>' + path.read_text())
    with pytest.raises(StemzarrError):
        read_source(path)
