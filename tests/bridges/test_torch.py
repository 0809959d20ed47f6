"""A Dataset as a data set of PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import stemzarr

torch = pytest.importorskip("torch")


def test_patterns_are_read_when_they_are_asked_for(folder: Path, pixel_reads: list[int]) -> None:
    """They are those of the Dataset through the view; options are those of `PatternDataset`."""
    scan = stemzarr.open(folder / "scan.zarr")
    patterns = scan.stem.to_torch(stemzarr.View(downsample=2, reduce="sum"), threads=1)
    assert patterns.shape == (42, 1, 9, 10)
    assert not pixel_reads
    values = scan.intensity[2, 3].to_numpy().reshape(9, 2, 10, 2).sum(axis=(1, 3))
    np.testing.assert_array_equal(patterns[2 * 6 + 3][0], values)
    assert pixel_reads
