"""Scans in memory with a calibration that tells every axis from the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from numpy.typing import NDArray

from stemzarr.model import ArrayBlocks, Axis, Document, dims_of_kind

MakeScan = Callable[..., Document]


def make(values: NDArray[Any], **fields: Any) -> Document:
    """Return a 4D document over `values`; each axis has its own scale and offset."""
    names = dims_of_kind("4d-stem", 4)
    units = ("nm", "nm", "mrad", "mrad")
    axes = tuple(
        Axis(name=n, size=s, scale=0.3 * (i + 1), offset=-1.7 * i, units=u, calibrated=True)
        for i, (n, s, u) in enumerate(zip(names, values.shape, units, strict=True))
    )
    return Document(
        index=0,
        slug="scan",
        title="A scan",
        kind="4d-stem",
        axes=axes,
        blocks=ArrayBlocks(values),
        **fields,
    )


@pytest.fixture
def make_scan() -> MakeScan:
    """Return a function that makes a 4D document of an array."""
    return make
