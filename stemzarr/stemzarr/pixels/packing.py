"""Forms in which Gatan's software packs pixels: colour, and FFT planes of real images.

The FFT of a real image is Hermitian, F(-k) = conj F(k), so one half of the plane says all. Each
packed form has its inverse here, exact to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "COLOUR_CHANNELS",
    "pack_colour",
    "pack_plane",
    "pack_plane_old",
    "unpack_colour",
    "unpack_plane",
    "unpack_plane_old",
]

COLOUR_CHANNELS = ("red", "green", "blue", "alpha")
_SHIFTS = (16, 8, 0, 24)
"""Where red, green, blue and alpha are in the 32-bit integer of a pixel."""


def unpack_colour(pixels: NDArray[np.uint32], channels: slice = slice(None)) -> NDArray[np.uint8]:
    """Return the channels of 32-bit pixels as a new last dim: red, green, blue, alpha."""
    shifts = np.array(_SHIFTS[channels], np.uint32)
    return (pixels[..., np.newaxis] >> shifts).astype(np.uint8)


def pack_colour(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return the 32-bit pixels of colours (…, 4)."""
    pixels = np.zeros(colours.shape[:-1], np.uint32)
    for channel, shift in enumerate(_SHIFTS):
        pixels |= colours[..., channel].astype(np.uint32) << np.uint32(shift)
    return pixels


def _opposite_rows(height: int) -> NDArray[np.intp]:
    """Return for each row of a centred plane the row of the opposite frequency."""
    return (2 * (height // 2) - np.arange(height)) % height


def unpack_plane(half: NDArray[Any], width: int) -> NDArray[Any]:
    """Return the whole centred FFT plane of a packed one (``DataType`` 27 and 28).

    Parameters
    ----------
    half
        Shape (…, height, width // 2 + 1): column j holds the horizontal frequency -j, so the
        first column is the centre of the plane and the last its left edge.
    width
        Width of the whole plane.

    Returns
    -------
    numpy.ndarray
        Shape (…, height, width), the frequency 0 at (height // 2, width // 2).
    """
    height, centre = half.shape[-2], width // 2
    plane = np.empty((*half.shape[:-1], width), half.dtype)
    plane[..., : centre + 1] = half[..., ::-1]
    mirrored = half[..., _opposite_rows(height), 1 : width - centre]
    plane[..., centre + 1 :] = np.conjugate(mirrored)
    return plane


def pack_plane(plane: NDArray[Any]) -> NDArray[Any]:
    """Return the packed half of a whole FFT plane; the inverse of `unpack_plane`."""
    return np.ascontiguousarray(plane[..., plane.shape[-1] // 2 :: -1])


def unpack_plane_old(packed: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Return the whole FFT plane of a packed one of old versions (``DataType`` 5).

    Parameters
    ----------
    packed
        Shape (2N, 2N), as many real numbers as the plane has pixels. As (2N, N) complex numbers
        they are the right half of the plane, whose column of frequency 0 holds each conjugate
        pair once, the values of the corners in the bytes that this leaves.

    Returns
    -------
    numpy.ndarray
        Shape (2N, 2N), complex64.
    """
    n = len(packed) // 2
    half = np.ascontiguousarray(packed).view(np.complex64).reshape(2 * n, n)
    plane = np.zeros((2 * n, 2 * n), np.complex64)
    plane[n, 0], plane[0, 0] = half[0, 0].real, half[0, 0].imag
    plane[n, n], plane[0, n] = half[n, 0].real, half[n, 0].imag
    plane[: n + 1, n + 1 :] = half[: n + 1, 1:]
    plane[n + 1 :, n:] = half[n + 1 :]
    plane[n + 1 :, 0] = half[1:n, 0]
    opposite = slice(-1, -n, -1)
    plane[0, 1:n] = np.conjugate(plane[0, opposite])
    plane[n, 1:n] = np.conjugate(plane[n, opposite])
    plane[1:n, 0] = np.conjugate(plane[opposite, 0])
    plane[1:n, n] = np.conjugate(plane[opposite, n])
    plane[1:n, 1:n] = np.conjugate(plane[opposite, opposite])
    plane[n + 1 :, 1:n] = np.conjugate(plane[n - 1 : 0 : -1, opposite])
    return plane


def pack_plane_old(plane: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Return the packed form of a whole FFT plane; the inverse of `unpack_plane_old`."""
    n = len(plane) // 2
    half = np.empty((2 * n, n), np.complex64)
    corners = half.view(np.float32).reshape(2 * n, n, 2)
    corners[0, 0] = plane[n, 0].real, plane[0, 0].real
    corners[n, 0] = plane[n, n].real, plane[0, n].real
    half[: n + 1, 1:] = plane[: n + 1, n + 1 :]
    half[n + 1 :] = plane[n + 1 :, n:]
    half[1:n, 0] = plane[n + 1 :, 0]
    return half.view(np.float32).reshape(2 * n, 2 * n)
