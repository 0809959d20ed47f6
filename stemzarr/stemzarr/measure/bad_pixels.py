"""Pixels of a detector that do not tell the truth, found in what a scan adds up to.

Only what cannot be otherwise is called bad: a pixel that never counts among pixels that do (dead);
one that always gives the same value among pixels that vary (stuck); one that outshines all its
neighbours in most patterns, where whatever is diffracted has the width of a central disk of
several pixels (hot). Nothing is changed by that: a view masks or replaces them on demand.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.measure.disk import Disk

__all__ = ["BAD_PIXELS", "KINDS_OF_BAD", "find_bad_pixels"]

BAD_PIXELS: Final = "bad_pixels"
"""Name of the array of ``preview`` that holds them."""
KINDS_OF_BAD: Final = {"named": 1, "dead": 2, "stuck": 3, "hot": 4}
"""Value of a pixel that the file names as bad, and of those that are found; 0 is a good one."""

_FEWEST_PATTERNS = 16
_LEAST_SIDE = 5
_COUNTED = 25
"""Independent counts of a pixel beside which a sum of 0 is no chance."""
_MEDIAN_CHI2 = 0.4549
"""Median of the square of a standard normal variable."""
_LARGEST_DEAD = 4
_LARGEST_STUCK = 2
_WIDE_DISK = 1.5
"""Radius in pixels of a central disk beside which no single pixel is a Bragg spot."""
_OUTSHINES = 10.0
"""How much more a hot pixel exceeds its surroundings than each of its neighbours does."""
_PERSISTS = 0.5
"""Share of the sampled patterns in which a hot pixel exceeds all its neighbours."""

Image = NDArray[np.float64]


def find_bad_pixels(
    total: NDArray[Any],
    top: NDArray[Any],
    patterns: int,
    *,
    peaks: Image,
    disk: Disk,
    named: NDArray[np.bool_] | None,
) -> NDArray[np.uint8]:
    """Return which pixels are bad, and how.

    Parameters
    ----------
    total, top
        (det_y, det_x) sum and maximum over all recorded patterns.
    patterns
        Number of them; less than 16 say nothing.
    peaks
        (det_y, det_x) as in `Sample`.
    disk
        The central disk.
    named
        (det_y, det_x) pixels that the file names as bad; None where there are none.

    Returns
    -------
    numpy.ndarray
        (det_y, det_x) values of `KINDS_OF_BAD`.
    """
    bad = np.zeros(total.shape, np.uint8)
    silent = np.zeros(total.shape, bool) if named is None else named
    bad[silent] = KINDS_OF_BAD["named"]
    if patterns < _FEWEST_PATTERNS or min(total.shape) < _LEAST_SIDE:
        return bad
    with np.errstate(over="ignore", invalid="ignore"):
        known = np.isfinite(total.astype(np.float64)) & ~silent
        dead = _find_dead(total, top, known)
        stuck = _find_stuck(total, top, patterns, known)
        hot = _find_hot(total / patterns, known, peaks, disk)
    for kind, found in (("hot", hot), ("stuck", stuck), ("dead", dead)):
        bad[found & known] = KINDS_OF_BAD[kind]
    return bad


def _find_dead(
    total: NDArray[Any], top: NDArray[Any], known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return pixels that are 0 in all patterns, few together, within pixels that count."""
    zero = (total == 0) & (top == 0) & known
    counted = total >= _COUNTED * _spread(np.where(known, total, np.nan).astype(np.float64))
    return _islands(zero, counted, known, _LARGEST_DEAD)


def _spread(total: Image) -> float:
    """Return the variance of sums as a multiple of their mean, at least 1, which is Poisson's.

    It is that of neighbours where there is little: one electron may be many counts, and patterns
    that repeat, or are sums of others, hold fewer electrons than counts.
    """
    pairs = ((total[:-1], total[1:]), (total[:, :-1], total[:, 1:]))
    apart = np.concatenate([(one - other).ravel() for one, other in pairs])
    both = np.concatenate([(one + other).ravel() for one, other in pairs])
    counts = np.isfinite(both) & (both >= _COUNTED)
    if not counts.any():
        return 1.0
    few = counts & (both <= np.quantile(both[counts], 0.25))
    return max(1.0, float(np.median(apart[few] ** 2 / both[few])) / _MEDIAN_CHI2)


def _find_stuck(
    total: NDArray[Any], top: NDArray[Any], patterns: int, known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return pixels with one value in all patterns, which none of their neighbours has."""
    mean = total / patterns
    if total.dtype.kind == "f":
        constant = np.isclose(mean, top, rtol=1e-9, atol=0.0)
    else:
        constant = total == top.astype(total.dtype) * total.dtype.type(patterns)
    found = _islands(constant & (total != 0) & known, ~constant, known, _LARGEST_STUCK)
    # A peak that saturates the detector is constant, too, and the maximum of its surroundings.
    tops = np.where(known, top, -np.inf).astype(np.float64)
    around = functools.reduce(np.maximum, _around(tops, constant=-np.inf))
    return found & ~((tops >= around) & (2 * around >= tops))


def _islands(
    chosen: NDArray[np.bool_],
    surrounding: NDArray[np.bool_],
    known: NDArray[np.bool_],
    largest: int,
) -> NDArray[np.bool_]:
    """Return chosen pixels, at most `largest` that touch, all whose neighbours are `surrounding`.

    Unknown pixels are no neighbours; there have to be three at least.
    """
    from scipy import ndimage

    if not chosen.any():
        return chosen
    around = np.ones((3, 3), bool)
    labels, count = ndimage.label(chosen, around)
    sizes = np.bincount(labels.reshape(-1), minlength=count + 1)
    wrong = np.zeros(count + 1, bool)
    wrong[0], wrong[1:] = True, sizes[1:] > largest
    neighbours = np.zeros(count + 1, int)
    for shift in _around(labels, constant=0):
        # Each pixel beside an island, seen from that pixel.
        beside = (shift > 0) & ~chosen & known
        np.add.at(neighbours, shift[beside], 1)
        wrong[shift[beside & ~surrounding]] = True
    wrong[1:] |= neighbours[1:] < 3  # noqa: PLR2004 - in a corner
    found: NDArray[np.bool_] = ~wrong[labels]
    return found


def _around(values: NDArray[Any], *, constant: float) -> Iterator[NDArray[Any]]:
    """Yield the image of each of the eight neighbours, `constant` beyond the edge."""
    padded = np.pad(values, 1, constant_values=constant)
    rows, columns = values.shape
    for y, x in itertools.product(range(3), range(3)):
        if (y, x) != (1, 1):
            yield padded[y : y + rows, x : x + columns]


def _find_hot(mean: Image, known: NDArray[np.bool_], peaks: Image, disk: Disk) -> NDArray[np.bool_]:
    """Return pixels that outshine their neighbours in most patterns."""
    hot = np.zeros(mean.shape, bool)
    rows, columns = np.nonzero((peaks >= _PERSISTS) & known)
    if not disk.found or disk.radius < _WIDE_DISK or not rows.size:
        return hot
    padded = np.pad(np.where(known, mean, np.nan), 2, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))[rows, columns]
    ground = np.nanmedian(windows, axis=(1, 2))
    windows[:, 2, 2] = ground  # each window is a copy, and not of its pixel from here on
    beside = np.nanmax(windows[:, 1:4, 1:4], axis=(1, 2)) - ground
    excess = mean[rows, columns] - ground
    found = (excess > np.abs(ground)) & (excess >= _OUTSHINES * beside)
    hot[rows[found], columns[found]] = True
    return hot
