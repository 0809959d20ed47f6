"""What reading costs beside decoding: through a store's blocks, an opened Dataset, a part of it.

``python benchmarks/bench_reading.py --folder /tmp/bench --full`` reads a store of 2 GiB of counts
in one thread, warm: aligned chunks, single patterns, whole rows. The codec alone is numcodecs
decoding the same chunks from memory into one buffer. Figures are processor time, the least of
interleaved rounds.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from bench_virtual_images import FULL, SMALL
from numcodecs import blosc
from side_by_side import table

import stemzarr
from stemzarr.model import Blocks
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.store.blocks import StoreBlocks
from stemzarr.store.format.encode import CRC_BYTES
from stemzarr.store.format.shard import read_index
from stemzarr.testing import write_synthetic_dm4

MOST = 256
"""Chunks that one case reads."""


def encoded_chunks(blocks: StoreBlocks) -> Iterator[bytes]:
    """Yield the chunks of the first shard as they are on disk, without their checksums."""
    inner = math.prod(s // c for s, c in zip(blocks.shard, blocks.chunk, strict=True))
    key = "/".join((blocks.array, "c", *["0"] * len(blocks.shape)))
    shard = blocks.store.get(key)
    for offset, length in read_index(blocks.store, key, inner, lambda: 0).places.tolist()[:MOST]:
        if offset < len(shard):
            yield shard[offset : offset + length - CRC_BYTES]


def read_boxes(blocks: Blocks, chunk: tuple[int, ...], box: tuple[int, ...], count: int) -> None:
    """Read boxes of one shape into one buffer, one at the corner of each chunk."""
    out = np.empty(box, blocks.dtype)
    steps = [
        range(0, n - b + 1, max(b, c)) for n, b, c in zip(blocks.shape, box, chunk, strict=True)
    ]
    for start in itertools.islice(itertools.product(*steps), count):
        blocks.read_into(out, start)


def cases_in(store: Path) -> dict[str, tuple[Callable[[], object], int]]:
    """Return what is measured, by name, and how many chunks each decodes."""
    blocks = read_source(store).document.blocks
    assert isinstance(blocks, StoreBlocks)
    encoded = list(encoded_chunks(blocks))
    buffer = np.empty(blocks.chunk, blocks.dtype).reshape(-1).view(np.uint8)
    chunk, (rows, columns, *pattern) = blocks.chunk, blocks.shape
    opened = stemzarr.open(store)
    top, left = chunk[0], chunk[1]
    doors: dict[str, Blocks] = {
        "the store's blocks": blocks,
        "a Dataset": opened.stem.document.blocks,
        "a Dataset without dask": stemzarr.open(store, chunks=None).stem.document.blocks,
        "its isel": opened.isel(scan_y=slice(top, None)).stem.document.blocks,
    }
    count = min(len(encoded), columns // left * (rows // top - 1))
    cases: dict[str, tuple[Callable[[], object], int]] = {
        "the codec alone": (lambda: [blosc.decompress(c, buffer) for c in encoded], len(encoded)),
    }
    for door, found in doors.items():
        shapes = {
            "chunks": (chunk, count, 1),
            "patterns": ((1, 1, *pattern), count, 1),
            "rows": ((top, columns, *pattern), rows // top - 1, math.ceil(columns / left)),
        }
        for what, (box, boxes, each) in shapes.items():
            cases[f"{what} through {door}"] = (
                functools.partial(read_boxes, found, chunk, box, boxes),
                boxes * each,
            )
    lazy = opened["intensity"]
    cases["patterns by xarray and dask, as before"] = (
        lambda: [lazy[y, 0].to_numpy() for y in range(0, rows, top)],
        len(range(0, rows, top)),
    )
    return cases


def main() -> None:
    """Make the store, run the cases, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the files are made")
    parser.add_argument("--full", action="store_true", help="a file of 2 GiB")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = options.folder / "reading"
    folder.mkdir(parents=True, exist_ok=True)
    write_synthetic_dm4(folder / "scan.dm4", *(FULL if options.full else SMALL))
    stemzarr.ingest(folder / "scan.dm4", folder / "scan.zarr", IngestOptions(overwrite=True))
    cases = cases_in(folder / "scan.zarr")
    least = dict.fromkeys(cases, math.inf)
    for _ in range(options.rounds + 1):
        for name, (run, chunks) in cases.items():
            worked = time.process_time()
            run()
            least[name] = min(least[name], (time.process_time() - worked) / chunks)
    codec = least["the codec alone"]
    rows = [(name, 1e3 * found, f"{found / codec:.2f}") for name, found in least.items()]
    table("Reading, for each chunk that is decoded", rows, ("", "cpu ms", "to the codec"))


if __name__ == "__main__":
    main()
