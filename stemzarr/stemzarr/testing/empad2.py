"""EMPAD-G2's ``.raw`` files, for tests, and the constants of a sensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["pack_words", "write_calibration", "write_words"]

_SHAPE: Final = (128, 128, 2)


def pack_words(
    analog: NDArray[Any], counter: NDArray[Any] | int = 0, gain: NDArray[Any] | int = 0
) -> NDArray[np.uint32]:
    """Return words: 14 bits of an analog value, 16 of a counter, and the gain as the highest."""
    words = np.zeros(np.broadcast_shapes(*map(np.shape, (analog, counter, gain))), np.uint32)
    for part, shift in ((analog, 0), (counter, 14), (gain, 31)):
        words |= np.left_shift(np.asarray(part).astype(np.uint32), np.uint32(shift))
    return words


def write_words(folder: Path, words: NDArray[np.uint32], name: str = "scan") -> Path:
    """Write words (scan_y, scan_x, det_y, det_x) under the name that says the scan."""
    path = folder / f"{name}_x{words.shape[1]}_y{words.shape[0]}.raw"
    words.astype("<u4").tofile(path)
    return path


def write_calibration(
    path: Path, model: Literal["linear", "quadratic"] = "linear", seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Write constants of a model as the package ``empad2`` has them, and return them."""
    rng = np.random.default_rng(seed)
    linear = {"G1": 4.0, "G2": 900.0, "B2": 2000.0, "FF": 1.0}
    pairs = {"Ml": 4.0, "alpha": 1e-5, "Md": 900.0, "Oh": -50.0, "Ot": 5.0}
    planes = {f"{name}{side}": middle for name, middle in linear.items() for side in "AB"}
    middles = planes if model == "linear" else {**pairs, "FFA": 1.0, "FFB": 1.0}
    constants = {
        name: (middle * rng.uniform(0.9, 1.1, _SHAPE[: 2 + (name in pairs)])).astype(np.float32)
        for name, middle in middles.items()
    }
    with h5py.File(path, "w") as file:
        for name, values in constants.items():
            file[name] = values
    return constants
