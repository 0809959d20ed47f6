"""K2-IS: frames put together from eight files, what is lost of them, where a scan begins."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    ReadError,
    SourceNotFoundError,
    TruncatedFileError,
)
from stemzarr.formats.k2is import BLOCK_BYTES
from stemzarr.model import Document, read_box
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader
from stemzarr.testing.k2is import K2IS_SHAPE, write_k2is

FRAME = 32 * BLOCK_BYTES
FRAMES = np.random.default_rng(3).integers(0, 4096, (5, *K2IS_SHAPE), np.uint16)


def values_of(document: Document) -> NDArray[Any]:
    """Return all patterns of a document, one behind the other."""
    values = read_box(document.blocks, (0,) * len(document.shape), document.blocks.shape)
    return values.reshape(-1, *K2IS_SHAPE)


def sector(path: Path, number: int) -> Path:
    """Return the file of a sector."""
    return path.with_name(f"{path.stem}{number}.bin")


def test_a_scan_begins_before_the_mark_of_the_shutter(tmp_path: Path) -> None:
    """Sectors that began in the middle of a frame, each elsewhere; LiberTEM 0.16 gives the same."""
    path = write_k2is(tmp_path, FRAMES, (1, 3), opened=2, lead=(0, 5, 7, 0, 31, 3, 1, 0))
    source = read_source(path)
    document = source.document
    assert (source.format, source.complete, len(source.files)) == ("k2is", True, 9)
    assert (document.kind, document.shape) == ("4d-stem", (1, 3, *K2IS_SHAPE))
    assert document.layout is not None
    assert document.layout.confidence == "high"
    assert any("1 frames before the scan and 1 behind it" in note for note in document.notes)
    np.testing.assert_array_equal(values_of(document), FRAMES[1:4])
    assert {one.title for one in source.documents} >= {"K2 survey"}
    every = read_source(path, ReadOptions(scan_shape=(1, 5))).document
    assert every.shape[:2] == (1, 5)
    rng = np.random.default_rng()
    blocks = pickle.loads(pickle.dumps(document.blocks))
    for _ in range(20):
        low = [int(rng.integers(0, n)) for n in document.shape]
        size = [int(rng.integers(1, n - a + 1)) for n, a in zip(document.shape, low, strict=True)]
        box = tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))
        expected = FRAMES[1:4][np.newaxis][box]
        np.testing.assert_array_equal(read_box(blocks, low, size), expected, err_msg=str(box))


def test_a_series_keeps_the_contract(tmp_path: Path) -> None:
    """Without a scan in the tags it is a stack of all frames."""
    source = check_reader(write_k2is(tmp_path, FRAMES[:2]), memory=64 << 20)
    assert (source.document.kind, source.document.shape) == ("stack", (2, *K2IS_SHAPE))
    assert source.complete
    np.testing.assert_array_equal(values_of(source.document), FRAMES[:2])


def test_what_a_sector_has_lost_is_missing(tmp_path: Path) -> None:
    """A block, a frame, or any end of a file: the others are where they were, none is mixed."""
    path = write_k2is(tmp_path, FRAMES[:4], (1, 3), opened=2)
    file = sector(path, 3)
    content = file.read_bytes()
    lost_block = content[: 2 * FRAME + 3 * BLOCK_BYTES] + content[2 * FRAME + 4 * BLOCK_BYTES :]
    lost_frame = content[: 2 * FRAME] + content[3 * FRAME :]
    cuts = [(content[: 4 * FRAME - 1], [1, 2]), (content[: 3 * FRAME], [1, 2])]
    cuts += [(content[: 2 * FRAME + BLOCK_BYTES], [1]), (content[2 * FRAME + 5 :], None)]
    for damaged, left in [(lost_block, [1, 3]), (lost_frame, [1, 3]), *cuts]:
        file.write_bytes(damaged)
        if left is None:
            with pytest.raises(CorruptFileError, match="not made of blocks"):
                read_source(path)
            continue
        source = read_source(path)
        assert (source.complete, source.document.kind) == (False, "stack")
        np.testing.assert_array_equal(values_of(source.document), FRAMES[left])
        scan = read_source(path, ReadOptions(salvage=True)).document
        assert scan.valid is not None
        assert (scan.shape[:2], np.flatnonzero(scan.valid).tolist()) == (
            (1, 3),
            [number - 1 for number in left],
        )
        np.testing.assert_array_equal(values_of(scan)[scan.valid.ravel()], FRAMES[left])
    file.write_bytes(content[:BLOCK_BYTES])
    with pytest.raises(TruncatedFileError, match="whole in all eight"):
        read_source(path)


def test_a_series_says_which_frames_are_lost(tmp_path: Path) -> None:
    """Frames between others are counted by their numbers."""
    path = write_k2is(tmp_path, FRAMES[:3])
    content = sector(path, 8).read_bytes()
    sector(path, 8).write_bytes(content[:FRAME] + content[2 * FRAME :])
    source = read_source(path)
    assert not source.complete
    assert any("1 frames between others are lost" in note for note in source.notes)


def test_files_that_are_not_there_or_others(tmp_path: Path) -> None:
    """A missing sector, a block of another frame."""
    path = write_k2is(tmp_path, FRAMES[:3])
    file = sector(path, 5)
    content = bytearray(file.read_bytes())
    content[FRAME + 5 * BLOCK_BYTES + 27] ^= 1
    file.write_bytes(content)
    changed = read_source(path).document.blocks
    with pytest.raises(ReadError, match=r"block at byte \d+ of Capture1_5\.bin"):
        read_box(changed, (1, 0, 1190), (1, 10, 10))
    read_box(changed, (1, 0, 0), (1, 10, 10))
    file.unlink()
    with pytest.raises(SourceNotFoundError, match="number 5"):
        read_source(path)
