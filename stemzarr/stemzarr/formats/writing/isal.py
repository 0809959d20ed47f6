"""Checksums and deflate by Intel's ISA-L, which leaves the processor as it was.

ISA-L returns with the upper halves of the vector registers in use (its issue 24), and the older
kind of vector instructions then waits for them: in the same thread, Blosc takes a third to a half
longer to decode until some other code clears them (``benchmarks/bench_isal.py``). Any sum of
numpy's does, so one follows each call.
"""

from __future__ import annotations

import functools

import numpy as np
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

__all__ = ["crc32", "crc32_combine", "deflate"]

_LEVEL = 1
_HEADER = b"\x78\x01"
_RAW = -15
_ADLER = 65521
_FEW = np.zeros(64, np.float32)


def crc32(data: memoryview) -> int:
    """Return the CRC-32 of some bytes, as zip files hold it."""
    checksum: int = isal_zlib.crc32(data)
    _clear_registers()
    return checksum


def crc32_combine(first: int, second: int, second_bytes: int) -> int:
    """Return the CRC-32 of two runs of bytes from that of each; the second has `second_bytes`."""
    checksum: int = isal_zlib.crc32_combine(first, second, second_bytes)
    return checksum


def deflate(content: NDArray[np.uint8], zeros: int = 0) -> bytes:
    """Return a zlib stream of some bytes and of `zeros` times the byte 0 behind them.

    Measured on counted data, shuffled: ISA-L's level 1 is twelve times as fast as zlib's level 4,
    which HyperSpy uses, and its streams are a tenth larger; in ISA-L's smaller blocks they are 1 %
    smaller and take 5 to 40 % longer. Its level 3 was slower and larger than level 1.
    """
    if not zeros:
        compressed: bytes = igzip_lib.compress(content, _LEVEL, igzip_lib.COMP_ZLIB)
    else:
        stream = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
        parts = [stream.compress(content), stream.flush(isal_zlib.Z_FULL_FLUSH)]
        checksum = _adler32_with_zeros(isal_zlib.adler32(content), zeros)
        compressed = b"".join([_HEADER, *parts, _deflated_zeros(zeros), checksum])
    _clear_registers()
    return compressed


@functools.lru_cache(maxsize=16)
def _deflated_zeros(count: int) -> bytes:
    """Return the end of a deflate stream that unpacks to `count` zeros, whatever comes before."""
    compressed: bytes = igzip_lib.compress(bytes(count), _LEVEL, igzip_lib.COMP_DEFLATE)
    return compressed


def _adler32_with_zeros(checksum: int, zeros: int) -> bytes:
    """Return the checksum that ends a zlib stream (RFC 1950) after `zeros` more bytes of 0."""
    total, weighted = checksum & 0xFFFF, checksum >> 16
    return ((weighted + zeros * total) % _ADLER << 16 | total).to_bytes(4, "big")


def _clear_registers() -> None:
    np.add(_FEW, _FEW)
