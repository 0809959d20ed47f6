"""Tile sums of a store, read region by region."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import DamagedStoreError, SourceChangedError
from stemzarr.storage.objects import LONG_AGO, Readable
from stemzarr.storage.reasons import reason_of
from stemzarr.store.blocks import is_replaced
from stemzarr.store.format.encode import ChunkCodec, codec_from_metadata

__all__ = ["ScanArrayBlocks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanArrayBlocks:
    """Values over the scan that `write_scan_array` wrote; a lost chunk raises."""

    store: Readable
    """The store."""
    array: str
    """Path of the array in it."""
    shape: tuple[int, ...]
    """Lengths of the dims."""
    dtype: np.dtype[Any]
    """Type of the values."""
    block_shape: tuple[int, ...]
    """Lengths of a chunk."""
    codec: ChunkCodec
    """How chunks are encoded, their own dims first."""
    written_ns: int | None
    """When the folder of the chunks was filled; None where it was not there."""
    identity: str
    """What `identity_of` says of the store's record."""

    @classmethod
    def from_node(cls, store: Readable, array: str, node: dict[str, Any], identity: str) -> Self:
        """Return the blocks of the array that a ``zarr.json`` describes."""
        dtype = np.dtype(node["data_type"])
        return cls(
            store=store,
            array=array,
            shape=tuple(node["shape"]),
            dtype=dtype,
            block_shape=tuple(node["chunk_grid"]["configuration"]["chunk_shape"]),
            codec=codec_from_metadata(node["codecs"][1:], dtype),
            written_ns=store.state(f"{array}/c", LONG_AGO),
            identity=identity,
        )

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of ``out.shape`` whose first corner is at `start`.

        Raises
        ------
        DamagedStoreError
            A chunk is missing or does not fit its checksum.
        SourceChangedError
            Another store has taken the place of the one that was opened.
        """
        if not out.size:
            return
        if is_replaced(self.store, self.array, self.written_ns, self.identity):
            msg = "the store was replaced since it was opened"
            raise SourceChangedError(msg, path=self.store.root, hint="open it again")
        spans = list(zip(start, out.shape, self.block_shape, strict=True))
        own = tuple(slice(a, a + n) for a, n, _ in spans[2:])
        grid = (range(a // c, math.ceil((a + n) / c)) for a, n, c in spans[:2])
        for place in itertools.product(*grid):
            target, inside = [], []
            for p, (a, n, c) in zip(place, spans, strict=False):
                low, high = max(a, p * c), min(a + n, (p + 1) * c)
                target.append(slice(low - a, high - a))
                inside.append(slice(low - p * c, high - p * c))
            chunk = self._read(place)[(*own, *inside)]
            out[tuple(target)] = np.moveaxis(chunk, (0, 1), (2, 3))

    def _read(self, place: tuple[int, ...]) -> NDArray[Any]:
        """Return a chunk (own, own, scan_y, scan_x)."""
        key = "/".join((self.array, "c", *map(str, place), "0", "0"))
        values: NDArray[Any] = np.empty((*self.block_shape[2:], *self.block_shape[:2]), self.dtype)
        try:
            self.codec.decode(memoryview(self.store.get(key)), values)
        except DamagedStoreError as error:
            raise DamagedStoreError(error.message, path=self.store.root / key) from error
        except OSError as error:
            msg = f"a chunk of {self.array} {reason_of(error)}"
            raise DamagedStoreError(msg, path=self.store.root / key) from error
        return values
