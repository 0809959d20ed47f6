"""Bad pixels masked, or replaced by what their neighbours say, before anything else is done."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.measure.bad_pixels import BAD_PIXELS
from stemzarr.model import PATTERN_KINDS, Blocks, Document
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.derived import DerivedBlocks
from stemzarr.views.view import BadPixels

__all__ = ["CorrectedBlocks", "all_bad_pixels", "correct"]

_REACHES = (1, 2)
"""How far neighbours are looked for, in pixels; the first distance that has any good ones."""


def all_bad_pixels(document: Document) -> NDArray[np.bool_] | None:
    """Return the pixels that the file names as bad, and those that were found; None for none."""
    named, measured = document.bad_pixels, document.measured
    if measured is None or BAD_PIXELS not in measured.names:
        return named
    found: NDArray[np.bool_] = measured.load(BAD_PIXELS) > 0
    bad = found if named is None else found | named
    return bad if bad.any() else named


def correct(document: Document, how: BadPixels) -> Document:
    """Return a document whose bad pixels, named or found, are masked or replaced.

    Parameters
    ----------
    document
        A document with a detector.
    how
        ``mask``: they are 0, and enter no mean of the document's statistics. ``median``: each is
        the lower median of the good ones among its 8 neighbours, or among its 24 where all 8 are
        bad; one without any is masked.

    Raises
    ------
    OptionError
        The document has no detector, or nobody has looked for bad pixels and the file names none.
    UnsupportedDataError
        The values are complex, which have no median.
    """
    if document.kind not in PATTERN_KINDS or document.channels:
        msg = f"the document {document.slug!r} is of kind {document.kind!r} and has no detector"
        raise OptionError(msg, hint="leave bad_pixels out")
    if how == "median" and document.dtype.kind == "c":
        msg = f"the document {document.slug!r} has complex values, which have no median"
        raise UnsupportedDataError(msg, hint="choose bad_pixels='mask'")
    bad = all_bad_pixels(document)
    if bad is None and (document.measured is None or BAD_PIXELS not in document.measured.names):
        msg = f"no bad pixels are known of the document {document.slug!r}"
        hint = "an ingest looks for them, and catalog rebuild --measures in older stores"
        raise OptionError(msg, hint=hint)
    if bad is None or not bad.any():
        return document
    blocks = CorrectedBlocks(base=document.blocks, bad=bad, how=how)
    left = bad if how == "mask" else blocks.without_neighbours
    return dataclasses.replace(
        document,
        blocks=blocks,
        bad_pixels=left if left.any() else None,
        statistics=None,
        tiles=None,
        measured=None,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class CorrectedBlocks(DerivedBlocks):
    """The pixels of a source with other values where a detector is bad."""

    base: Blocks
    """The pixels as they were recorded."""
    bad: NDArray[np.bool_]
    """(det_y, det_x) the bad ones."""
    how: BadPixels
    """What takes their place."""

    @functools.cached_property
    def without_neighbours(self) -> NDArray[np.bool_]:
        """(det_y, det_x) bad pixels that have no good neighbour, and stay 0."""
        left = self.bad.copy()
        for pixels, _ in self._groups:
            left.reshape(-1)[pixels] = False
        return left

    @functools.cached_property
    def _groups(self) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Bad pixels, and of each the same number of good neighbours: numbers in the pattern."""
        groups: dict[int, list[tuple[int, NDArray[np.intp]]]] = {}
        numbers = np.arange(self.bad.size).reshape(self.bad.shape)
        for row, column in np.argwhere(self.bad):
            for reach in _REACHES:
                around = (
                    slice(max(0, row - reach), row + reach + 1),
                    slice(max(0, column - reach), column + reach + 1),
                )
                good = numbers[around][~self.bad[around]]
                if good.size:
                    groups.setdefault(good.size, []).append((int(numbers[row, column]), good))
                    break
        return [
            (np.array([pixel for pixel, _ in found]), np.stack([good for _, good in found]))
            for found in groups.values()
        ]

    def source_box(
        self, start: Sequence[int], shape: Sequence[int]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return start and shape of what a box needs of the source: neighbours may be beyond it."""
        if self.how == "mask":
            return tuple(start), tuple(shape)
        return (*start[:-2], 0, 0), (*shape[:-2], *self.bad.shape)

    def sources_of(self, box: Box) -> Iterator[tuple[Blocks, Box]]:
        """Yield what is read of the source for a box."""
        yield self.base, Box(*self.source_box(box.start, box.shape))

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box at `start`, bad pixels masked or replaced."""
        top, left = start[-2:]
        part = (slice(top, top + out.shape[-2]), slice(left, left + out.shape[-1]))
        bad = self.bad[part]
        if self.how == "mask" or not bad.any():
            self.base.read_into(out, start)
            out[..., bad] = 0
            return
        if out.shape[-2:] == self.bad.shape and out.flags.c_contiguous:
            self.base.read_into(out, start)
            self._replace(out)
            return
        corner, shape = self.source_box(start, out.shape)
        whole: NDArray[Any] = np.empty(shape, self.dtype)
        self.base.read_into(whole, corner)
        self._replace(whole)
        out[...] = whole[(..., *part)]

    def _replace(self, values: NDArray[Any]) -> None:
        patterns = values.reshape(-1, self.bad.size)
        taken = [np.sort(patterns[:, good], axis=-1) for _, good in self._groups]
        patterns[:, self.bad.reshape(-1)] = 0
        for (pixels, good), ordered in zip(self._groups, taken, strict=True):
            patterns[:, pixels] = ordered[..., (good.shape[1] - 1) // 2]
