"""PNG files of 8 bits: grey, colour, or shades of a palette, without a filter.

https://www.w3.org/TR/png-3/#4Concepts.FormatChunks
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_CHANNELS", "encode_png"]

_COLOURS: Final = {1: 0, 2: 4, 3: 2, 4: 6}
_PALETTE: Final = 3
MOST_CHANNELS: Final = 4
"""Red, green, blue and alpha."""


def encode_png(
    pixels: NDArray[np.uint8],
    *,
    palette: NDArray[np.uint8] | None = None,
    description: str = "",
    level: int = -1,
) -> bytes:
    """Return pixels as a PNG.

    Parameters
    ----------
    pixels
        Grey or numbers of colours in the palette, shape (rows, columns); or with channels last.
    palette
        The colours, shape (colours, 3).
    description
        Text to go with it; what Latin-1 lacks becomes ``?``.
    level
        How hard zlib compresses.
    """
    height, width, *channels = pixels.shape
    rows: NDArray[Any] = pixels.reshape(height, -1)
    # every row begins with the number of its filter: none
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    colour = _COLOURS[channels[0] if channels else 1] if palette is None else _PALETTE
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))]
    if description:
        parts.append((b"tEXt", f"Description\0{description}".encode("latin-1", "replace")))
    if palette is not None:
        parts.append((b"PLTE", np.ascontiguousarray(palette).tobytes()))
    parts += [(b"IDAT", zlib.compress(lines.tobytes(), level)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
