"""Which codec suits which data: size and speed of zstd and lz4, both shuffles, several levels.

``python benchmarks/bench_codecs.py`` encodes and decodes chunks of the shape that stores have, one
thread, in one process, the rounds interleaved. A cell reads ``size encode decode``: how many times
smaller the data get, and how many times longer than the default that takes. Blosc cuts a chunk into
blocks that it compresses each for itself: by its own rule (small ones at low levels), or ``whole``,
the chunk in one piece. ``--markdown`` prints the table for ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray
from side_by_side import table

from stemzarr.options import IngestOptions
from stemzarr.store.format.encode import find_codec
from stemzarr.store.format.plan import CHUNK_BYTES, chunk_shape
from stemzarr.testing import synthetic_scan

SCAN, DETECTOR = (4, 32), (256, 256)
LEVELS = (1, 3, 5, 9)
SHUFFLES = {"bitshuffle": blosc.BITSHUFFLE, "shuffle": blosc.SHUFFLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to encode."""

    name: str | None = None
    """``zstd`` or ``lz4``; None copies."""
    shuffle: str = "bitshuffle"
    """What is done to the values before."""
    level: int = 0
    """Effort."""
    block: int = 0
    """Bytes of the blocks that are compressed each for itself; 0 leaves that to Blosc."""

    def __str__(self) -> str:
        whole = " whole" if self.block else ""
        return "none" if self.name is None else f"{self.name}-{self.level} {self.shuffle}{whole}"

    def encode(self, values: NDArray[Any]) -> bytes:
        """Return the bytes of one chunk."""
        if self.name is None:
            return values.tobytes()
        name, flat = self.name.encode(), values.reshape(-1)
        return bytes(blosc.compress(flat, name, self.level, SHUFFLES[self.shuffle], self.block))

    def decode(self, encoded: bytes, out: NDArray[Any]) -> None:
        """Fill `out` with the values of one chunk."""
        if self.name is None:
            out.reshape(-1)[:] = np.frombuffer(encoded, out.dtype)
        else:
            blosc.decompress(encoded, out.reshape(-1))


def default_setting() -> Setting:
    """Return what an ingest uses unless it is told otherwise."""
    chunk = chunk_shape((*SCAN, *DETECTOR), 2, 2)
    (blosc_codec,) = [
        codec["configuration"]
        for codec in find_codec(IngestOptions().codec, np.dtype(np.uint16), chunk).metadata()
        if codec["name"] == "blosc"
    ]
    return Setting(
        name=blosc_codec["cname"],
        shuffle=blosc_codec["shuffle"],
        level=blosc_codec["clevel"],
        block=blosc_codec["blocksize"],
    )


DEFAULT = default_setting()
SETTINGS = (
    Setting(),
    *(
        Setting(name=name, shuffle=shuffle, level=level, block=block)
        for name in ("zstd", "lz4")
        for shuffle in SHUFFLES
        for level in LEVELS
        for block in (0, CHUNK_BYTES)
    ),
)


def counts() -> NDArray[np.uint16]:
    """Return a counted scan: Poisson counts, most of them zero."""
    return synthetic_scan(SCAN, DETECTOR).to_array()


def dark_noise() -> NDArray[np.uint16]:
    """Return a scan as a camera gives it whose dark image was not subtracted."""
    rng = np.random.default_rng(0)
    offset = 400 + rng.normal(0, 4, DETECTOR)
    signal = 25.0 * counts()
    return np.rint(rng.normal(offset + signal, 6)).clip(0).astype(np.uint16)


def corrected() -> NDArray[np.float32]:
    """Return the same after dark and gain correction: float32, hardly a value twice."""
    gain = np.random.default_rng(1).normal(1, 0.02, DETECTOR).astype(np.float32)
    return (dark_noise().astype(np.float32) - 400) * gain


def integers() -> NDArray[np.float32]:
    """Return counts that were stored as float32."""
    return counts().astype(np.float32)


DATA: dict[str, Callable[[], NDArray[Any]]] = {
    "counts, uint16": counts,
    "dark noise, uint16": dark_noise,
    "corrected, float32": corrected,
    "counts, float32": integers,
}


def chunks_of(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the chunks that a store would hold."""
    shape = chunk_shape(values.shape, values.itemsize, 2)
    patterns = values.reshape(-1, *DETECTOR)
    step = shape[0] * shape[1]
    for first in range(0, len(patterns), step):
        yield np.ascontiguousarray(patterns[first : first + step])


@dataclass(slots=True, kw_only=True)
class Figures:
    """What one setting did to one kind of data."""

    ratio: float
    """Size before over size after."""
    encode_s: float
    """Median seconds to encode all chunks."""
    decode_s: float
    """Median seconds to decode them."""


def measure(chunks: list[NDArray[Any]], rounds: int) -> dict[Setting, Figures]:
    """Encode and decode all chunks by every setting, round after round."""
    times: dict[Setting, list[tuple[float, float]]] = {setting: [] for setting in SETTINGS}
    sizes: dict[Setting, int] = {}
    out = np.empty_like(chunks[0])
    for _ in range(rounds):
        for setting, found in times.items():
            started = time.perf_counter()
            encoded = [setting.encode(chunk) for chunk in chunks]
            half = time.perf_counter()
            for piece in encoded:
                setting.decode(piece, out)
            found.append((half - started, time.perf_counter() - half))
            assert np.array_equal(out, chunks[-1])
            sizes[setting] = sum(map(len, encoded))
    whole = sum(chunk.nbytes for chunk in chunks)
    return {
        setting: Figures(
            ratio=whole / sizes[setting],
            encode_s=statistics.median(first for first, _ in found),
            decode_s=statistics.median(second for _, second in found),
        )
        for setting, found in times.items()
    }


def rows_of(found: dict[str, dict[Setting, Figures]]) -> list[tuple[str, ...]]:
    """Return a row for each setting, a cell for each kind of data."""
    rows = []
    for setting in SETTINGS:
        cells = []
        for figures in found.values():
            mine, default = figures[setting], figures[DEFAULT]
            encode, decode = mine.encode_s / default.encode_s, mine.decode_s / default.decode_s
            cells.append(f"{mine.ratio:5.2f}× {encode:5.2f} {decode:4.2f}")
        rows.append((f"{setting}{' (default)' if setting == DEFAULT else ''}", *cells))
    return rows


def main() -> None:
    """Make the data, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", action="store_true", help="print a table for documentation")
    options = parser.parse_args()
    blosc.use_threads = False
    found, speeds = {}, []
    for name, make in DATA.items():
        values = make()
        found[name] = measure(list(chunks_of(values)), options.rounds)
        default = found[name][DEFAULT]
        encode, decode = (values.nbytes / 1e9 / s for s in (default.encode_s, default.decode_s))
        speeds.append(f"{name} {encode:.2f} and {decode:.2f}")
    rows = rows_of(found)
    if options.markdown:
        print("| | " + " | ".join(DATA) + " |\n|" + "---|" * (1 + len(DATA)))
        print("\n".join("| " + " | ".join(" ".join(c.split()) for c in row) + " |" for row in rows))
    else:
        table("size, encode and decode time against the default", rows, ("", *DATA))
    print(f"\nGB/s of the default, encode and decode, one thread: {'; '.join(speeds)}")


if __name__ == "__main__":
    main()
