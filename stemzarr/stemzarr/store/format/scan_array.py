"""Arrays over the scan with dims of their own, such as tile sums: cut as the shards of the pixels.

A chunk has what one shard of the pixels was measured to, so that it is written as soon as that is
known, and one read serves a region of the scan. In it the dims of its own come first: neighbours
in the scan resemble each other more than neighbours on the detector, which makes it smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.store.format.encode import find_codec
from stemzarr.store.format.nodes import OWN_DIMS_FIRST
from stemzarr.store.format.schema import array_node
from stemzarr.store.format.tree import Tree

__all__ = ["scan_chunk", "write_scan_array"]


def scan_chunk(shape: Sequence[int], shard: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of chunks: the scan positions of a shard of the pixels, other dims whole."""
    cut = (min(s, max(1, n)) for s, n in zip(shard[:2], shape[:2], strict=True))
    return (*cut, *(max(1, n) for n in shape[2:]))


def write_scan_array(  # noqa: PLR0913 - what there is to say of an array
    tree: Tree,
    path: str,
    dims: Sequence[str],
    shape: Sequence[int],
    dtype: np.dtype[Any],
    parts: Iterable[tuple[tuple[int, ...], NDArray[Any]]],
    *,
    chunk: Sequence[int],
    attributes: Mapping[str, Any],
) -> None:
    """Write an array over the scan, and note its node.

    Parameters
    ----------
    tree
        The store that is being written.
    path, dims, shape, dtype, attributes
        Of the array, four dims.
    parts
        First scan position and values (scan_y, scan_x, own, own) of every chunk; those at the high
        sides may be smaller.
    chunk
        Lengths of a chunk, as `scan_chunk` gives them.
    """
    dtype = dtype.newbyteorder("<")
    codec = find_codec("zstd", dtype, tuple(chunk))
    chain = [OWN_DIMS_FIRST, *codec.metadata()]
    tree.nodes[path] = array_node(
        shape, dtype, dims, chunk=chunk, codecs=chain, attributes=attributes
    )
    stored = (*chunk[2:], *chunk[:2])
    for start, values in parts:
        piece = np.zeros(stored, dtype)
        rows, columns = values.shape[:2]
        piece[:, :, :rows, :columns] = np.moveaxis(values, (2, 3), (0, 1))
        place = (str(a // c) for a, c in zip(start, chunk, strict=False))
        key = "/".join((path, "c", *place, "0", "0"))
        tree.store.put(key, b"".join(codec.encode(piece)))
