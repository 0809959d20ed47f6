"""Means of counts in one pass, compiled by numba where it is installed: the extra ``fast``.

To the bits of the passes of numpy in `stemzarr.views.kernels`, which are the reference: the sums
are whole numbers that float32 holds, so that nothing but the one product with the weight rounds.
Numba takes half a second and 90 MB to start, so that it is imported for large work alone.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bin_means", "prepare_compiled"]

_WORTH_BYTES = 128 * 1024**2
_LARGEST_FACTOR = 8
_COUNTS = (np.dtype(np.uint8), np.dtype(np.uint16))

_numba: Any = None
"""The package, once it is in use."""


def prepare_compiled(nbytes: int) -> None:
    """Use compiled kernels from here on, where numba is installed and so many bytes are worth it.

    Parameters
    ----------
    nbytes
        Size of what is going to be read and downsampled.
    """
    global _numba  # noqa: PLW0603 - a package is imported once a process
    if _numba is None and nbytes >= _WORTH_BYTES:
        _numba = _find_numba()


@functools.cache
def _find_numba() -> Any:  # noqa: ANN401 - it has no types
    try:
        numba = importlib.import_module("numba")
    except ImportError:  # also where it does not go with this numpy
        return None
    return None if numba.config.DISABLE_JIT else numba


def bin_means(values: NDArray[Any], factors: tuple[int, int], out: NDArray[Any]) -> bool:
    """Fill `out` with means of blocks of pixels, where a compiled kernel does that.

    Parameters
    ----------
    values
        (..., det_y, det_x) patterns.
    factors
        Lengths of a block along det_y and det_x.
    out
        (..., det_y // factor, det_x // factor).

    Returns
    -------
    bool
        Whether `out` was filled.
    """
    if (
        _numba is None
        or values.dtype not in _COUNTS
        or out.dtype != np.float32
        or max(factors) > _LARGEST_FACTOR
        or not (values.flags.c_contiguous and out.flags.c_contiguous)
    ):
        return False
    kernel = _compile_bin(*factors)
    weight = np.float32(1 / (factors[0] * factors[1]))
    flat = out.reshape(-1, *out.shape[-2:])
    kernel(values.reshape(-1, *values.shape[-2:]), weight, flat)
    return True


@functools.cache
def _compile_bin(rows: int, columns: int) -> Callable[..., None]:
    """Return the kernel of one pair of factors, which are constants to the compiler."""

    def fill(values, weight, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba finds the types
        patterns, height, width = out.shape
        for n in range(patterns):
            for y in range(height):
                for x in range(width):
                    total = np.uint32(0)
                    for row in range(rows):
                        for column in range(columns):
                            total += np.uint32(values[n, y * rows + row, x * columns + column])
                    # Signed integers become floats by one instruction.
                    out[n, y, x] = np.float32(np.int32(total)) * weight

    kernel: Callable[..., None] = _numba.njit(nogil=True)(fill)
    return kernel
