"""Chunks to bytes and back: Blosc over shuffled values, then crc32c.

The codec chain of a chunk is ``[bytes, blosc, crc32c]``, or ``[bytes, crc32c]`` where nothing is
compressed. Every Zarr v3 implementation reads it. Blosc runs in its contextual mode, one thread
per call, without the GIL: its own threads would write blocks in any order, so the same values
would not always give the same bytes. It compresses a chunk in one block: in its usual ones of
32 KiB zstd takes half as long again to encode counts, twice as long to decode them, and a tenth
more space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from crc32c import crc32c
from numcodecs import blosc
from numpy.typing import NDArray

from stemzarr.errors import DamagedStoreError, SchemaVersionError
from stemzarr.options import Codec

__all__ = ["CRC_BYTES", "SHUFFLES", "ChunkCodec", "crc_matches", "find_codec", "with_crc"]

Shuffle = Literal["bitshuffle", "shuffle"]

CRC_BYTES = 4
"""Bytes that crc32c appends to a chunk."""
SHUFFLES: dict[Shuffle, int] = {"bitshuffle": blosc.BITSHUFFLE, "shuffle": blosc.SHUFFLE}
"""Blosc's number of each shuffle, the default first."""
_LEVELS = {"zstd": 1, "lz4": 9}
_BLOCK_BYTES = 1024**2
_BLOSC_HEADER = 16
_LARGEST_BLOSC = blosc.MAX_BUFFERSIZE


def with_crc(encoded: bytes) -> bytes:
    """Return `encoded` followed by its crc32c, little-endian."""
    return encoded + crc32c(encoded).to_bytes(CRC_BYTES, "little")


def crc_matches(stored: memoryview) -> bool:
    """Return whether the last four bytes of `stored` are the crc32c of those before them."""
    found = int.from_bytes(stored[-CRC_BYTES:], "little")
    return len(stored) >= CRC_BYTES and crc32c(stored[:-CRC_BYTES]) == found


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCodec:
    """How the chunks of one array are encoded."""

    name: Codec
    """``zstd``, ``lz4`` or ``none``."""
    itemsize: int
    """Bytes of one value, by which bits or bytes are shuffled."""
    shuffle: Shuffle = "bitshuffle"
    """Whether the bits of all values are sorted by their place in the value, or the bytes."""

    def metadata(self) -> list[dict[str, Any]]:
        """Return the codec chain as it is in ``zarr.json``."""
        endian = {} if self.itemsize == 1 else {"endian": "little"}
        chain: list[dict[str, Any]] = [{"name": "bytes", "configuration": endian}]
        if self.name != "none":
            configuration = {
                "cname": self.name,
                "clevel": _LEVELS[self.name],
                "shuffle": self.shuffle,
                "typesize": self.itemsize,
                "blocksize": _BLOCK_BYTES,
            }
            chain.append({"name": "blosc", "configuration": configuration})
        return [*chain, {"name": "crc32c"}]

    def encode(self, values: NDArray[Any]) -> tuple[bytes, bytes]:
        """Return the encoded values and their crc32c, two pieces that follow each other.

        Parameters
        ----------
        values
            One whole chunk, C-contiguous, little-endian.
        """
        if self.name == "none":
            encoded = values.tobytes()
        else:
            # Contextual mode whatever another library set: see the top of this file.
            blosc.use_threads = False
            # The size of the values is that of the buffer's items, which all versions understand.
            encoded = blosc.compress(
                values.reshape(-1),
                self.name.encode(),
                _LEVELS[self.name],
                SHUFFLES[self.shuffle],
                _BLOCK_BYTES,
            )
        return encoded, crc32c(encoded).to_bytes(CRC_BYTES, "little")

    def decode(self, stored: memoryview, out: NDArray[Any]) -> None:
        """Decode one chunk into `out`.

        Parameters
        ----------
        stored
            The bytes of the chunk as they are on disk, crc32c included.
        out
            C-contiguous buffer of one whole chunk.

        Raises
        ------
        DamagedStoreError
            The checksum or the size does not fit; `out` then holds nothing meaningful.
        """
        flat = out.reshape(-1).view(np.uint8)
        self.check(stored, flat.nbytes)
        encoded = stored[:-CRC_BYTES]
        if self.name == "none":
            flat[...] = np.frombuffer(encoded, np.uint8)
            return
        try:
            blosc.decompress(encoded, flat)
        except (RuntimeError, ValueError) as error:
            raise DamagedStoreError(f"cannot be decompressed: {error}") from error

    def check(self, stored: memoryview, nbytes: int) -> None:
        """Raise unless a chunk as it is on disk is whole and says that it holds `nbytes`.

        Raises
        ------
        DamagedStoreError
            The checksum or the size does not fit.
        """
        if not crc_matches(stored):
            raise DamagedStoreError("the checksum does not fit the bytes")
        encoded = stored[:-CRC_BYTES]
        if self.name == "none":
            declared = len(encoded)
        else:
            declared, length = (int.from_bytes(encoded[a : a + 4], "little") for a in (4, 12))
            if length != len(encoded) or length < _BLOSC_HEADER:
                # Blosc reads as far as its header says, whatever the length of its buffer.
                raise DamagedStoreError(f"has {len(encoded)} bytes and declares {length}")
        if declared != nbytes:
            raise DamagedStoreError(f"holds {declared} bytes instead of {nbytes}")


def find_codec(choice: Codec, dtype: np.dtype[Any], chunk: tuple[int, ...]) -> ChunkCodec:
    """Return the codec for chunks of that shape; one too large for Blosc is not compressed."""
    nbytes = math.prod(chunk) * dtype.itemsize
    name: Codec = choice if 0 < nbytes <= _LARGEST_BLOSC else "none"
    return ChunkCodec(name=name, itemsize=dtype.itemsize)


def codec_from_metadata(chain: list[dict[str, Any]], dtype: np.dtype[Any]) -> ChunkCodec:
    """Return the codec that decodes what a chain in ``zarr.json`` describes.

    How values were shuffled is in every chunk as well.

    Raises
    ------
    SchemaVersionError
        The chain is none that this version writes.
    """
    names = [codec["name"] for codec in chain]
    if names == ["bytes", "crc32c"]:
        return ChunkCodec(name="none", itemsize=dtype.itemsize)
    if names == ["bytes", "blosc", "crc32c"]:
        return ChunkCodec(name=chain[1]["configuration"]["cname"], itemsize=dtype.itemsize)
    msg = f"its chunks are encoded as {', '.join(names)}"
    raise SchemaVersionError(msg, hint="update stemzarr, or open it with xarray.open_zarr")
