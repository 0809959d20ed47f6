"""Damages chunks and shards, and lets the page's JavaScript decode them, in Node.

``python benchmarks/fuzz_explorer.py`` decodes 1000 random patterns of every type, codec and shuffle
and compares them bit for bit with numpy's, then 100 000 chunks that were changed behind a right
checksum: each is decoded to its size or refused by an error of ours, in bounded time. Flipped bytes
of chunks must be named by their checksum.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numcodecs import blosc

from stemzarr import explorer
from stemzarr.store.format.encode import with_crc

_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float16", "float32")
_DTYPES += ("float64", "bool")
_SHAPE = (64, 64)

_SCRIPT = """
import { readFileSync } from "fs";
const { decodeChunk } = await import(`${process.argv[1]}/chunks.js`);
const { crc32c } = await import(`${process.argv[1]}/crc32c.js`);
const [, , folder, mutations, seed] = process.argv;
const stored = new Uint8Array(readFileSync(`${folder}/stored`));
const right = readFileSync(`${folder}/right`);
const items = JSON.parse(readFileSync(`${folder}/items.json`));
const wrong = [];
for (const [start, length, codec, from, size] of items) {
  const found = decodeChunk(stored.subarray(start, start + length), codec, size);
  if (Buffer.compare(found, right.subarray(from, from + size))) wrong.push(start);
}
let flips = 0;
for (let n = 0; n < items.length; n += Math.ceil(items.length / 200)) {
  const [start, length, codec, , size] = items[n];
  for (let i = 0; i < length; i += Math.ceil(length / 97)) {
    const chunk = stored.slice(start, start + length);
    chunk[i] ^= 1 << (i % 8);
    flips++;
    try { decodeChunk(chunk, codec, size); wrong.push(`a flip at ${start + i}`); }
    catch (error) { if (!/checksum/.test(error.message)) wrong.push(String(error)); }
  }
}
let state = Number(seed);
const random = (n) => {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
};
let refused = 0, slowest = 0;
for (let i = 0; i < Number(mutations); i++) {
  const [start, length, codec, , size] = items[random(items.length)];
  let chunk = stored.slice(start, start + length);
  for (let n = 1 + random(4); n; n--) {
    // Half of the changes are where the frame says how long things are.
    chunk[random(random(2) ? length : Math.min(40, length))] = random(256);
  }
  if (random(6) === 0) chunk = chunk.slice(0, 4 + random(length - 3));
  new DataView(chunk.buffer).setUint32(chunk.length - 4, crc32c(chunk, 0, chunk.length - 4), true);
  const begun = performance.now();
  try { if (decodeChunk(chunk, codec, size).length !== size) wrong.push(`${i}: wrong size`); }
  catch (error) {
    refused++;
    if (error.name !== "DamagedError") wrong.push(`${i}: ${error.stack}`);
  }
  slowest = Math.max(slowest, performance.now() - begun);
}
const counted = { patterns: items.length, flips, refused, slowest };
console.log(JSON.stringify({ ...counted, wrong: wrong.slice(0, 9) }));
"""


def make_chunks(folder: Path, dtype: str, count: int, seed: int) -> None:
    """Write patterns of one type, each in every codec and shuffle, and what they hold."""
    rng = np.random.default_rng(seed)
    stored, right, items = bytearray(), bytearray(), []
    for number in range(count):
        mean = 2.0 ** rng.uniform(-4, 6)
        values = np.minimum(rng.poisson(mean, _SHAPE), 120).astype(dtype)
        if dtype.startswith("f") and number % 2:
            values = rng.normal(size=_SHAPE).astype(dtype)
        raw, start = values.tobytes(), len(right)
        right += raw
        frames = [
            ("blosc", blosc.compress(values, codec, level, shuffle))
            for codec, level in ((b"zstd", 1), (b"lz4", 5))
            for shuffle in (blosc.NOSHUFFLE, blosc.SHUFFLE, blosc.BITSHUFFLE)
        ]
        for name, frame in [("bytes", raw), *frames]:
            chunk = with_crc(bytes(frame))
            items.append([len(stored), len(chunk), name, start, len(raw)])
            stored += chunk
    (folder / "stored").write_bytes(stored)
    (folder / "right").write_bytes(right)
    (folder / "items.json").write_text(json.dumps(items))


def main() -> None:
    """Make, damage and decode; fail at the first kind of fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patterns", type=int, default=1000)
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    page = Path(explorer.__file__).parent / "page"
    script = [*("node", "--input-type=module", "-e", _SCRIPT, "--"), page.as_uri()]
    share = -(-options.mutations // len(_DTYPES))
    failed = False
    for number, dtype in enumerate(_DTYPES):
        with tempfile.TemporaryDirectory() as temporary:
            make_chunks(Path(temporary), dtype, options.patterns, options.seed + number)
            begun = time.perf_counter()
            more = [temporary, str(share), str(options.seed + number)]
            done = subprocess.run(
                [*script, *more], capture_output=True, check=True, timeout=540, env=os.environ
            )
        found = json.loads(done.stdout)
        failed |= bool(found["wrong"])
        print(
            f"{dtype:8} {found['patterns']} chunks equal, {found['flips']} flips named,"
            f" {share} changed: {found['refused']} refused, slowest {found['slowest']:.0f} ms;"
            f" {time.perf_counter() - begun:.0f} s; wrong: {found['wrong'] or 'none'}"
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
