"""The values of a scan that count, as real numbers, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import UnsupportedDataError
from stemzarr.model import Blocks, Document, read_box
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.resources import Resources
from stemzarr.views.slabs import map_document

__all__ = ["check_scan", "map_counts", "real_counts"]

Result = TypeVar("Result")


def check_scan(document: Document) -> None:
    """Raise `UnsupportedDataError` unless a document is a 4D scan."""
    if document.kind != "4d-stem" or document.channels:
        msg = f"the document {document.slug!r} is of kind {document.kind!r}"
        raise UnsupportedDataError(msg, hint="this needs a 4D scan")


def real_counts(values: NDArray[Any], bad: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return values (…, det_y, det_x) as float64, 0 where they do not count.

    These are bad pixels that the file names, and values that are not finite; of complex values the
    magnitude counts.
    """
    wide = (np.abs(values) if values.dtype.kind == "c" else values).astype(np.float64)
    if values.dtype.kind in "fc":
        wide[~np.isfinite(wide)] = 0.0
    if bad is not None:
        wide[..., bad] = 0.0
    return wide


def map_counts(
    function: Callable[[NDArray[np.float64], tuple[slice, ...]], Result],
    document: Document,
    resources: Resources,
) -> Iterator[Result]:
    """Yield ``function(values, place)`` for parts of a scan, in order, computed in threads.

    Parameters
    ----------
    function
        Takes the values that count (scan_y, scan_x, det_y, det_x), also 0 at positions that a
        salvage did not recover, and their place in the scan.
    document, resources
        A 4D scan; threads, memory and progress of the pass.

    Raises
    ------
    UnsupportedDataError
        The document is not a 4D scan.
    """
    check_scan(document)
    bad, valid = document.bad_pixels, document.valid  # a worker needs no more of the document

    def work(readable: Blocks, box: Box) -> Result:
        place = box.slices()[:2]
        counts = real_counts(read_box(readable, box.start, box.shape), bad)
        if valid is not None:
            counts[~valid[place]] = 0.0
        return function(counts, place)

    yield from map_document(work, document.blocks, 2, resources)
