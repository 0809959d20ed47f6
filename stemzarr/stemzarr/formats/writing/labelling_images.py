"""What was made of a scan, an image, a pattern or a profile, as a document of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import ArrayBlocks, Axis, Document, Fact, Kind, dims_of_kind
from stemzarr.pixels.resources import Resources
from stemzarr.views.moments import measure_blocks

__all__ = ["label_image"]


def label_image(  # noqa: PLR0913 - what there is to say of an image
    document: Document,
    name: str,
    values: NDArray[Any],
    *,
    kind: Kind = "image",
    axes: Sequence[Axis] | None = None,
    attributes: Mapping[str, Fact | list[float]] | None = None,
    counts: bool = True,
    channels: tuple[str, ...] = (),
) -> Document:
    """Return values that were made of a scan as a document.

    Parameters
    ----------
    document
        The scan.
    name
        What they are, in words.
    values
        They themselves: (y, x) over the scan, (det_y, det_x), or (x,), a last dim for channels.
    kind, axes, channels
        Of the document; by default an image with the axes of the scan, or a pattern with those of
        the detector.
    attributes
        Further attributes.
    counts
        Whether the values are counts, so that the calibration of the scan's values is theirs.
    """
    of_detector = kind == "diffraction"
    if axes is None:
        axes = document.axes[2:] if of_detector else document.axes[:2]
    named = zip(axes, dims_of_kind(kind, len(axes)), strict=True)
    if document.valid is not None and kind == "image" and not channels:
        # nothing was recorded there, which no number of electrons says
        values = np.where(document.valid, values.astype(np.float64), np.nan)
    blocks, bad = ArrayBlocks(values), document.bad_pixels if of_detector else None
    ndim = 1 if bad is None else 2
    # a sum of calibrated values has their scale, but not their offset
    keeps = of_detector or document.brightness is None or not document.brightness.offset
    resources = Resources(threads=1, memory=values.nbytes)
    return dataclasses.replace(
        document,
        title=f"{document.title}, {name}",
        kind=kind,
        axes=tuple(dataclasses.replace(axis, name=dim) for axis, dim in named),
        blocks=blocks,
        layout=None,
        brightness=document.brightness if keeps and counts else None,
        channels=channels,
        attributes={**document.attributes, "image": name, **(attributes or {})},  # type: ignore[dict-item]
        statistics=None if channels else measure_blocks(blocks, ndim, resources, bad=bad),
        valid=None,
        bad_pixels=bad,
        tiles=None,
        measured=None,
    )
