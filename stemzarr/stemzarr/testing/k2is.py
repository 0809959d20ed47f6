"""K2-IS recordings, for tests: the eight ``.bin`` of the sectors and their ``.gtg``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.formats.k2is import BLOCK_BYTES, HEADER
from stemzarr.testing.dm_image import DMImage
from stemzarr.testing.dm_writer import write_dm

__all__ = ["K2IS_SHAPE", "write_k2is"]

K2IS_SHAPE: Final = (1860, 2048)
"""Pixels of a frame (det_y, det_x)."""
_ROWS, _COLUMNS = 930, 16


def write_k2is(  # noqa: PLR0913 - what varies between recordings, one by one
    folder: Path,
    frames: NDArray[Any],
    scan: tuple[int, int] | None = None,
    *,
    opened: int = 0,
    lead: Sequence[int] = (0,) * 8,
    first_id: int = 100,
    tags: Mapping[str, Any] | None = None,
    name: str = "Capture1_",
) -> Path:
    """Write frames (frame, det_y, det_x) of 12 bits as a recording, and return its ``.gtg``.

    Parameters
    ----------
    folder
        Where all files go.
    frames
        Their values.
    scan
        What the tags declare, None for a series.
    opened
        The first frame whose blocks have the mark of the shutter.
    lead
        Blocks of a frame before the first one that each sector holds.
    first_id
        Number of the first frame.
    tags
        Further tags of the ``.gtg``.
    name
        Stem of all names.
    """
    for sector in range(8):
        before = range(32 - lead[sector], 32)
        blocks = [_block(frames[0], sector, n, first_id - 1, 0) for n in before]
        for number, frame in enumerate(frames):
            blocks += [
                _block(frame, sector, n, first_id + number, number >= opened) for n in range(32)
            ]
        (folder / f"{name}{sector + 1}.bin").write_bytes(b"".join(blocks))
    picture = DMImage(data=np.ones((4, 5), np.uint16), name="K2 survey")
    content = dict(tags or {})
    if scan is not None:
        content["SI Dimensions"] = {"Size X": np.uint32(scan[1]), "Size Y": np.uint32(scan[0])}
    path = folder / f"{name}.gtg"
    write_dm(path, picture, tags=content)
    return path


def _block(frame: NDArray[Any], sector: int, number: int, frame_id: int, flags: int) -> bytes:
    half, right = divmod(number, 16)
    y, x = half * _ROWS, (15 - right) * _COLUMNS
    header = np.zeros(1, HEADER)
    header["sync"], header["block_size"] = 0xFFFF0055, BLOCK_BYTES
    header["width"], header["height"], header["frame_id"] = 256, K2IS_SHAPE[0], frame_id
    header["version"], header["flags"] = 1, flags
    header["block_count"] = frame_id * 32 + number
    header["x_start"], header["y_start"] = x, y
    header["x_end"], header["y_end"] = x + _COLUMNS - 1, y + _ROWS - 1
    left = sector * 256 + x
    values = frame[y : y + _ROWS, left : left + _COLUMNS].astype(np.uint16).reshape(-1, 2)
    first, second = values.T
    packed = np.stack([first & 255, first >> 8 | (second & 15) << 4, second >> 4], axis=-1)
    return header.tobytes() + packed.astype(np.uint8).tobytes()
