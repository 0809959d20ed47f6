"""Merlin files for tests: frames with their texts, and the ``.hdr`` beside them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["line_times", "write_hdr", "write_mib"]

_START = dt.datetime(2024, 7, 2, 11, 46, 44, tzinfo=dt.UTC)
_NAMES = {1: "U08", 2: "U16", 4: "U32", 8: "U64"}


def write_mib(
    path: Path,
    frames: NDArray[Any],
    times: Sequence[float] | None = None,
    *,
    depth: str = "",
    lead: int = 384,
    sensors: str = "1x1",
) -> None:
    """Write frames (frame, y, x) of unsigned integers as they are shown, the first row on top.

    Parameters
    ----------
    times
        When each frame was taken, in seconds; by default one after the other.
    depth
        Type that the text names, by default that of the values.
    lead
        Bytes of the text before each frame.
    sensors
        Layout of the chips.
    """
    count, rows, columns = frames.shape
    times = [n * 0.001002 for n in range(count)] if times is None else times
    name = depth or _NAMES[frames.dtype.itemsize]
    with path.open("wb") as file:
        for number, (frame, seconds) in enumerate(zip(frames, times, strict=True), start=1):
            moment = _START + dt.timedelta(seconds=seconds)
            text = (
                f"MQ1,{number:06d},{lead:05d},01,{columns:04d},{rows:04d},{name},{sensors:>6},01,"
                f"{moment:%Y-%m-%d %H:%M:%S.%f},0.001000,0,0,0,1.2E+1,3RX,"
                f"MQ1A,{moment:%Y-%m-%dT%H:%M:%S.%f}175Z,1000000ns,12,"
            )
            file.write(text.encode().ljust(lead, b"\0"))
            file.write(frame[::-1].astype(frame.dtype.newbyteorder(">")).tobytes())


def write_hdr(
    path: Path, frames: int, per_trigger: int, scan: tuple[int, int] | None = None
) -> None:
    """Write the description of an acquisition, with ScanX and ScanY where `scan` is given."""
    shape = "" if scan is None else f"ScanX:\t{scan[1]}\nScanY:\t{scan[0]}\n"
    path.write_text(
        "HDR,\t\nTime and Date Stamp (day, mnth, yr, hr, min, s):\t01/03/2022 10:11:12\n"
        f"Frames in Acquisition (Number):\t{frames}\nFrames per Trigger (Number):\t{per_trigger}\n"
        f"{shape}End\t",
        encoding="latin-1",
    )


def line_times(rows: int, columns: int, pause: float, unsteady: float = 0.0) -> list[float]:
    """Return when the frames of a scan are taken, with a pause after each line."""
    rng, now, times = np.random.default_rng(1), 0.0, []
    for _ in range(rows):
        for _ in range(columns):
            times.append(now)
            now += 0.001002 + abs(float(rng.normal(0, unsteady)))
        now += pause
    return times
