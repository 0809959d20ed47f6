"""Sums that leave the range of their type: what was a step to a mean is made again, or refused.

Only floats near the end of their range and integers of 64 bits can leave it. Both are found by a
look at the results, which are fewer than the values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stemzarr.errors import UnsupportedDataError
from stemzarr.views.view import Reduce

__all__ = ["check_integers", "check_range", "correct_floats", "is_finite"]

_WRAPPED = 2.0**62


def is_finite(values: NDArray[Any]) -> bool:
    """Whether every value is finite, in one pass where their sum is."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.add.reduce(values, axis=None)) or bool(np.isfinite(values).all())


def correct_floats(blocks: NDArray[Any], out: NDArray[Any], reduce: Reduce) -> None:
    """Make means of floats again where a sum on the way to them overflowed.

    Parameters
    ----------
    blocks
        (..., rows, columns) what was joined.
    out
        (...) what it became. Only what is not finite changes, and by its own block alone.
    reduce
        Whether that is the ``mean`` or the ``sum``.

    Raises
    ------
    UnsupportedDataError
        A sum of finite values is too large for the type of `out`.
    """
    if is_finite(out):
        return
    places = np.nonzero(~np.isfinite(out))
    taken = blocks[places].astype(np.float64)
    weight = 1 / (taken.shape[-2] * taken.shape[-1]) if reduce == "mean" else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        made = (taken * weight).sum(axis=(-2, -1))
    check_range(made[np.isfinite(taken).all(axis=(-2, -1))], out.dtype)
    out[places] = made


def check_range(values: ArrayLike, dtype: np.dtype[Any]) -> None:
    """Raise `UnsupportedDataError` where what finite values became does not fit a float type."""
    if not (np.abs(values) <= np.finfo(dtype).max).all():
        raise _too_large(dtype)


def _too_large(dtype: np.dtype[Any]) -> UnsupportedDataError:
    msg = f"the sum of these values is too large for {dtype}"
    return UnsupportedDataError(msg, hint="use the method 'bin' with reduce='mean'")


def check_integers(blocks: NDArray[Any], sums: NDArray[Any]) -> None:
    """Refuse sums of integers that the widest integers cannot hold.

    Parameters
    ----------
    blocks
        (..., rows, columns) what was added.
    sums
        (...) what it became, modulo 2**64 where that was too much.

    Raises
    ------
    UnsupportedDataError
        A sum is outside the range of its type.
    """
    if blocks.dtype.kind not in "iu" or blocks.dtype.itemsize < 8 or not blocks.size:  # noqa: PLR2004
        return
    largest = max(-int(blocks.min()), int(blocks.max()))
    if largest * blocks.shape[-2] * blocks.shape[-1] <= np.iinfo(sums.dtype).max:
        return
    rough = blocks.sum(axis=(-2, -1), dtype=np.float64)
    if (np.abs(rough - sums) > _WRAPPED).any():
        raise _too_large(sums.dtype)
