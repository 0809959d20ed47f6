"""Merlin files: the values are RosettaSciIO's, the scan is the one that was made."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    OptionError,
    SourceNotFoundError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.model import read_all, read_box
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import find_reader, is_data, read_source
from stemzarr.store import verify_store, write_store
from stemzarr.testing.contracts import check_reader
from stemzarr.testing.merlin import line_times, write_hdr, write_mib

ROWS, COLUMNS = 8, 12


def frames(count: int, dtype: str = "u2") -> NDArray[Any]:
    """Return frames of which no two rows are alike."""
    return np.arange(count * ROWS * COLUMNS).reshape(count, ROWS, COLUMNS).astype(dtype)


def values_of(path: Path, options: ReadOptions | None = None) -> NDArray[Any]:
    """Return the values of the main document."""
    blocks = read_source(path, options or ReadOptions()).document.blocks
    return read_all(blocks)


def confidence(path: Path) -> str:
    """Return how sure the scan is."""
    layout = read_source(path).document.layout
    assert layout is not None
    return layout.confidence


@pytest.mark.parametrize(("dtype", "lead"), [("u1", 384), ("u2", 384), ("u4", 768), ("u2", 768)])
def test_values_are_those_of_rosettasciio(tmp_path: Path, dtype: str, lead: int) -> None:
    """Every type and length of header gives the values and the rows that RosettaSciIO gives."""
    path = tmp_path / "a.mib"
    write_mib(path, frames(24, dtype), lead=lead, sensors="2x2" if lead == 768 else "1x1")
    write_hdr(tmp_path / "a.hdr", 24, 6)
    source = check_reader(path)
    assert source.document.shape == (4, 6, ROWS, COLUMNS)
    assert source.complete
    assert source.parts == (tmp_path / "a.hdr",)
    assert confidence(path) == "high"
    theirs = importlib.import_module("rsciio.quantumdetector").file_reader(str(path))[0]["data"]
    np.testing.assert_array_equal(values_of(path), theirs)
    blocks = source.document.blocks
    np.testing.assert_array_equal(
        read_box(blocks, (1, 2, 3, 4), (2, 3, 4, 5)), theirs[1:3, 2:5, 3:7, 4:9]
    )


def test_facts_are_those_of_the_files(tmp_path: Path) -> None:
    """Date, exposure and detector are taken from the .hdr, or else from the first frame."""
    path = tmp_path / "a.mib"
    write_mib(path, frames(4))
    assert read_source(path).document.facts == {
        "detector": "Merlin 1x1",
        "exposure_s": 0.001,
        "dwell_time_s": 0.001,
        "acquired": "2024-07-02T11:46:44+00:00",
    }
    write_hdr(tmp_path / "a.hdr", 4, 2)
    source = read_source(path)
    assert source.document.facts["acquired"] == "2022-03-01T10:11:12"
    assert source.load_metadata()["hdr"]["Frames per Trigger (Number)"] == "2"


@pytest.mark.parametrize(
    ("count", "hdr", "scan"), [(28, (24, 6), (4, 6)), (28, (28, 7), (4, 6)), (20, (20, 5), (4, 4))]
)
def test_idle_patterns_are_left_out_by_name(
    tmp_path: Path, count: int, hdr: tuple[int, int], scan: tuple[int, int]
) -> None:
    """Idle patterns are no part of the scan, a note has the option that takes them."""
    path = tmp_path / "a.mib"
    whole = frames(count)
    write_mib(path, whole)
    write_hdr(tmp_path / "a.hdr", *hdr, scan)
    source = check_reader(path)
    lines = whole.reshape(scan[0], -1, ROWS, COLUMNS)
    assert source.complete
    np.testing.assert_array_equal(values_of(path), lines[:, : scan[1]])
    line = lines.shape[1]
    assert any(f"--scan-shape {scan[0]},{line} takes all" in n for n in source.document.notes)
    np.testing.assert_array_equal(values_of(path, ReadOptions(scan_shape=(4, line))), lines)


@pytest.mark.parametrize(
    ("count", "hdr", "scan", "complete"),
    [
        (26, (24, 6), None, False),
        (26, (26, 6), None, True),
        (26, (24, 1), (4, 6), False),
        (20, (20, 4), (4, 4), True),
        (48, (48, 1), (4, 6), True),
    ],
)
def test_frames_that_make_no_scan_are_all_kept(
    tmp_path: Path, count: int, hdr: tuple[int, int], scan: tuple[int, int] | None, complete: bool
) -> None:
    """Frames beyond the scan are a stack with all others, and a note says why."""
    path = tmp_path / "a.mib"
    write_mib(path, frames(count))
    write_hdr(tmp_path / "a.hdr", *hdr, scan)
    source = check_reader(path)
    assert source.complete is complete
    assert source.document.kind == "stack"
    assert any(str(count) in note for note in (*source.notes, *source.document.notes))
    np.testing.assert_array_equal(values_of(path), frames(count))
    with pytest.raises(OptionError, match=f"holds {count}"):
        read_source(path, ReadOptions(scan_shape=(3, 5)))


def test_a_frame_that_was_lost_is_noticed(tmp_path: Path) -> None:
    """Frames that are numbered further than there are some have lost their positions."""
    path = tmp_path / "a.mib"
    write_mib(path, frames(25))
    write_hdr(tmp_path / "a.hdr", 24, 6)
    size = path.stat().st_size // 25
    content = path.read_bytes()
    assert not any("lost" in note for note in check_reader(path).notes)
    path.write_bytes(content[: 12 * size] + content[13 * size :])
    source = check_reader(path)
    assert any("numbered from 1 to 25, so 1 between them were lost" in n for n in source.notes)
    np.testing.assert_array_equal(
        values_of(path).reshape(24, ROWS, COLUMNS), np.delete(frames(25), 12, axis=0)
    )


@given(st.sets(st.integers(0, 27), min_size=1, max_size=27), st.booleans())
def test_a_salvage_puts_frames_where_their_numbers_say(kept: set[int], idle: bool) -> None:
    """Whichever frames are lost, the others are at their positions, idle ones left out."""
    line, every = (7 if idle else 6), frames(28 if idle else 24)
    there = np.isin(np.arange(len(every)), sorted(kept))
    if there.all() or not there.any():
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.mib")
        write_mib(path, every)
        size = path.stat().st_size // len(every)
        content = path.read_bytes()
        parts = [content[n * size : (n + 1) * size] for n in np.flatnonzero(there)]
        path.write_bytes(b"".join(parts))
        write_hdr(path.with_suffix(".hdr"), len(every), line, (4, 6))
        options = ReadOptions(salvage=True)
        in_scan = there.reshape(4, line)[:, :6]
        if not in_scan.any():
            with pytest.raises(TruncatedFileError):
                read_source(path, options)
            return
        found = read_source(path, options).document
        scan = every.reshape(4, line, ROWS, COLUMNS)[:, :6]
        expected = np.where(in_scan[..., None, None], scan, 0)
        np.testing.assert_array_equal(values_of(path, options), expected)
        valid = np.ones((4, 6), bool) if found.valid is None else found.valid
        np.testing.assert_array_equal(valid, in_scan)


def test_a_scan_that_was_stopped_is_incomplete(tmp_path: Path) -> None:
    """ScanX and ScanY outrank a number of frames that only counts those that came.

    A shape that is given for just these frames is believed.
    """
    path = tmp_path / "a.mib"
    write_mib(path, frames(22))
    write_hdr(tmp_path / "a.hdr", 22, 22, (4, 6))
    source = check_reader(path)
    assert not source.complete
    assert source.notes == ("22 of 24 patterns are on disk",)
    np.testing.assert_array_equal(values_of(path), frames(22))
    salvaged = read_source(path, ReadOptions(salvage=True)).document
    assert salvaged.shape[:2] == (4, 6)
    assert salvaged.valid is not None
    assert int(salvaged.valid.sum()) == 22
    given = read_source(path, ReadOptions(scan_shape=(2, 11)))
    assert given.complete
    assert given.document.shape[:2] == (2, 11)


@pytest.mark.parametrize("scan", [None, (4, 6)])
def test_a_cut_file_is_a_stack_and_is_salvaged(
    tmp_path: Path, scan: tuple[int, int] | None
) -> None:
    """What is there of a cut file is a stack, a salvage makes the scan with what is valid."""
    path = tmp_path / "a.mib"
    write_mib(path, frames(24))
    write_hdr(tmp_path / "a.hdr", 24, 1 if scan else 6, scan)
    with path.open("r+b") as file:
        file.truncate(17 * (384 + ROWS * COLUMNS * 2) + 400)
    source = check_reader(path)
    assert not source.complete
    assert source.notes == ("17 of 24 patterns are on disk",)
    np.testing.assert_array_equal(values_of(path), frames(17))
    with pytest.raises(TruncatedFileError):
        write_store(source, tmp_path / "no.zarr", IngestOptions())
    options = ReadOptions(salvage=True)
    write_store(read_source(path, options), tmp_path / "s.zarr", IngestOptions(read=options))
    assert verify_store(tmp_path / "s.zarr").ok
    stored = read_source(tmp_path / "s.zarr").document
    assert stored.shape[:2] == (4, 6)
    assert stored.valid is not None
    assert int(stored.valid.sum()) == 17
    np.testing.assert_array_equal(
        values_of(tmp_path / "s.zarr").reshape(24, ROWS, COLUMNS)[:17], frames(17)
    )


@pytest.mark.parametrize(
    ("pause", "unsteady", "scan", "expected", "sure"),
    [
        (0.005, 0.0, None, (4, 6), "high"),
        (0.0009, 3e-4, None, (4, 6), "low"),
        (0.0, 3e-5, (4, 6), (4, 6), "high"),
    ],
)
def test_pauses_show_the_lines(
    tmp_path: Path,
    pause: float,
    unsteady: float,
    scan: tuple[int, int] | None,
    expected: tuple[int, int],
    sure: str,
) -> None:
    """Regular pauses are line ends; those of an unsteady trigger are only a guess."""
    path = tmp_path / "a.mib"
    write_mib(path, frames(24), line_times(4, 6, pause, unsteady))
    if scan is not None:
        write_hdr(tmp_path / "a.hdr", 24, 1, scan)
    assert read_source(path).document.shape[:2] == expected
    assert confidence(path) == sure
    assert read_source(path, ReadOptions(scan_shape=(3, 8))).document.shape[:2] == (3, 8)


def test_without_evidence_nothing_is_sure(tmp_path: Path) -> None:
    """A square number of steady frames is a guess, another number a stack, one frame a pattern."""
    for count, kind in ((16, "4d-stem"), (24, "stack"), (1, "diffraction")):
        path = tmp_path / f"of{count}.mib"
        write_mib(path, frames(count))
        assert check_reader(path).document.kind == kind
    assert confidence(tmp_path / "of16.mib") == "low"


def test_names_in_any_case(tmp_path: Path) -> None:
    """Suffixes count in any case, and a folder whose name has .mib in it is a folder."""
    folder = tmp_path / "day.mib"
    folder.mkdir()
    write_mib(folder / "A.MIB", frames(24))
    write_hdr(folder / "A.HDR", 24, 6)
    write_mib(folder / "b.mib", frames(24))
    write_hdr(folder / "b.HDR", 24, 6)
    for name in ("A.MIB", "b.mib"):
        assert check_reader(folder / name).document.shape[:2] == (4, 6)
    assert not is_data(folder)
    assert find_reader(folder).name != "merlin"


def test_a_header_alone_names_the_file_to_give(tmp_path: Path) -> None:
    """A .hdr leads to its .mib, or says that it is missing."""
    write_hdr(tmp_path / "a.hdr", 24, 6)
    with pytest.raises(SourceNotFoundError, match=r"a\.mib"):
        read_source(tmp_path / "a.hdr")
    write_mib(tmp_path / "a.MIB", frames(24))
    with pytest.raises(UnsupportedDataError) as refused:
        read_source(tmp_path / "a.hdr")
    assert refused.value.hint == "give a.MIB instead"


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Raw values, other bytes, and frames of two sizes are refused by name."""
    path = tmp_path / "a.mib"
    write_mib(path, frames(2, "u8"), depth="R64")
    with pytest.raises(UnsupportedDataError, match="raw"):
        read_source(path)
    write_mib(path, frames(4))
    content = path.read_bytes()
    path.write_bytes(content + bytes(len(content)))
    with pytest.raises(CorruptFileError, match="does not begin"):
        read_source(path)
    path.write_bytes(b"something else")
    with pytest.raises(CorruptFileError, match="does not begin"):
        read_source(path)
    path.write_bytes(content[:200])
    with pytest.raises(TruncatedFileError):
        read_source(path)
