"""Counted electrons are dense scans, made box by box, with every electron in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.errors import (
    CorruptFileError,
    OptionError,
    StemzarrError,
    UnsupportedDataError,
)
from stemzarr.model import read_all, read_box
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader

SCAN, DETECTOR = (3, 4), (5, 7)


def write_events(
    path: Path,
    frames: list[np.ndarray[Any, Any]],
    positions: np.ndarray[Any, Any] | None,
    *,
    shapes: tuple[tuple[int, int] | None, tuple[int, int] | None] = (SCAN, DETECTOR),
    **storage: Any,
) -> None:
    """Write lists of electrons as stempy does: frames and scan positions, with their shapes."""
    with h5py.File(path, "w") as file:
        group = file.create_group("electron_events")
        kind = h5py.vlen_dtype(np.uint32)
        data = group.create_dataset("frames", (len(frames),), dtype=kind, **storage)
        for number, frame in enumerate(frames):
            data[number] = frame
        if shapes[1] is not None:
            data.attrs.update({"Ny": shapes[1][0], "Nx": shapes[1][1]})
        if positions is not None:
            group["scan_positions"] = positions
            if shapes[0] is not None:
                group["scan_positions"].attrs.update({"Ny": shapes[0][0], "Nx": shapes[0][1]})


def dense(frames: list[np.ndarray[Any, Any]], positions: np.ndarray[Any, Any]) -> Any:
    """Return the scan that the lists make, one electron after the other."""
    counts = np.zeros((SCAN[0] * SCAN[1], DETECTOR[0] * DETECTOR[1]), np.int64)
    for frame, position in zip(frames, positions, strict=True):
        for pixel in frame:
            counts[position, pixel] += 1
    return counts.reshape(*SCAN, *DETECTOR)


def whole(path: Path, options: ReadOptions | None = None) -> Any:
    """Return all values of the main document."""
    blocks = read_source(path, options).document.blocks
    return read_all(blocks)


@given(seed=st.integers(0, 2**32 - 1), chunked=st.booleans(), packed=st.booleans())
def test_every_electron_counts(
    tmp_path_factory: pytest.TempPathFactory, seed: int, *, chunked: bool, packed: bool
) -> None:
    """Positions in any order, several frames each, several electrons a pixel: all add up."""
    path = tmp_path_factory.mktemp("events") / "scan.h5"
    random = np.random.default_rng(seed)
    count = int(random.integers(12, 40))
    positions = np.concatenate([np.arange(12), random.integers(0, 12, count - 12)])
    random.shuffle(positions)
    frames = [random.integers(0, 35, int(random.integers(0, 90))).astype("u4") for _ in positions]
    storage = {"chunks": (7,)} if chunked or packed else {}
    storage |= {"compression": "gzip"} if packed else {}
    write_events(path, frames, positions, **storage)
    source = read_source(path)
    np.testing.assert_array_equal(whole(path), dense(frames, positions))
    assert source.document.kind == "4d-stem"
    assert source.complete


def test_a_count_fits_its_type(tmp_path: Path) -> None:
    """The type of the counts holds the electrons of the fullest position, all in one pixel."""
    path = tmp_path / "scan.h5"
    for most, dtype in ((200, "u1"), (256, "u2"), (70_000, "u4")):
        frames = [np.full(most, 3, "u4"), *[np.arange(4, dtype="u4")] * 11]
        write_events(path, frames, np.arange(12))
        document = check_reader(path).document
        assert document.dtype == dtype
        assert whole(path)[0, 0, 0, 3] == most


def test_frames_one_after_the_other(tmp_path: Path) -> None:
    """Twice as many frames as positions are two frames for each, as version 3 of stempy writes."""
    path = tmp_path / "scan.h5"
    frames = [np.array([k], "u4") for k in range(24)]
    write_events(path, frames, np.arange(12))
    np.testing.assert_array_equal(whole(path), dense(frames, np.repeat(np.arange(12), 2)))


def test_missing_positions_are_counted(tmp_path: Path) -> None:
    """A scan of which not all positions have a frame is incomplete, with both numbers."""
    path = tmp_path / "scan.h5"
    write_events(path, [np.arange(3, dtype="u4")] * 10, np.arange(10))
    source = check_reader(path)
    assert not source.complete
    assert any("10 of 12 positions" in note for note in source.document.notes)


def test_what_cannot_be_known_is_refused(tmp_path: Path) -> None:
    """Without the detector's or the scan's shape the file is refused, and says what gives it."""
    path = tmp_path / "scan.h5"
    frames = [np.arange(k % 5, dtype="u4") for k in range(12)]
    write_events(path, frames, np.arange(12), shapes=(SCAN, None))
    with pytest.raises(UnsupportedDataError, match=r"detector size.*Nx"):
        read_source(path)
    for positions in (np.arange(12), None):
        write_events(path, frames, positions, shapes=(None, DETECTOR))
        with pytest.raises(UnsupportedDataError, match=r"scan size.*--scan-shape"):
            read_source(path)
        values = whole(path, ReadOptions(scan_shape=SCAN))
        np.testing.assert_array_equal(values, dense(frames, np.arange(12)))
    with pytest.raises(CorruptFileError, match="frames for 12 positions"):
        read_source(path, ReadOptions(scan_shape=(2, 2)))


def test_a_hit_outside_the_detector_is_refused(tmp_path: Path) -> None:
    """An electron beyond the last pixel is damage, not the pixel of another row."""
    path = tmp_path / "scan.h5"
    write_events(path, [np.array([35], "u4")] * 12, np.arange(12))
    with pytest.raises(StemzarrError, match="pixel 35 is hit"):
        whole(path)


def test_images_beside_counted_electrons_are_documents(tmp_path: Path) -> None:
    """Images of stempy are documents beside the scan, the main one; each can be chosen."""
    path = tmp_path / "scan.h5"
    write_events(path, [np.arange(3, dtype="u4")] * 12, np.arange(12))
    with h5py.File(path, "a") as file:
        file["stem/images"] = np.ones((2, *SCAN), "u8")
    source = check_reader(path)
    assert [one.kind for one in source.documents] == ["4d-stem", "stack"]
    assert source.document.kind == "4d-stem"
    chosen = read_source(path, ReadOptions(dataset="stem/images"))
    assert [one.shape for one in chosen.documents] == [(2, *SCAN)]
    assert (
        read_source(path, ReadOptions(dataset="electron_events/frames")).document.shape[:2] == SCAN
    )


@pytest.mark.parametrize("declared", [SCAN, None])
@pytest.mark.parametrize("placed", [True, False])
def test_a_given_shape_agrees_with_the_positions(
    tmp_path: Path, declared: tuple[int, int] | None, *, placed: bool
) -> None:
    """A shape of more positions than the file has is refused; a salvage leaves them empty."""
    path = tmp_path / "scan.h5"
    frames = [np.arange(k % 5, dtype="u4") for k in range(12)]
    write_events(path, frames, np.arange(12) if placed else None, shapes=(declared, DETECTOR))
    with pytest.raises(OptionError, match="4 x 4 needs 16 patterns, it holds 12"):
        read_source(path, ReadOptions(scan_shape=(4, 4)))
    assert read_source(path, ReadOptions(scan_shape=(2, 6))).complete
    salvaged = read_source(path, ReadOptions(scan_shape=(4, 4), salvage=True))
    assert not salvaged.complete
    assert salvaged.document.shape == (4, 4, *DETECTOR)
    values = read_box(salvaged.document.blocks, (0, 0, 0, 0), salvaged.document.shape)
    np.testing.assert_array_equal(values.reshape(16, -1)[:12].sum(1), [k % 5 for k in range(12)])
    assert not values.reshape(16, -1)[12:].any()
