"""The page's decoder gives what numcodecs gives, and names what is damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crc32c import crc32c
from numcodecs import blosc
from numcodecs.zstd import Zstd

from stemzarr.store.format.encode import with_crc

Node = Callable[..., Any]
DTYPES = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float16", "float32",
    "float64", "complex64", "complex128",
)  # fmt: skip
MUTATIONS = int(os.environ.get("STEMZARR_MUTATIONS", "1500"))
"""Damaged chunks; 100 000 were tried by hand."""


def values_of(dtype: str, count: int, rng: np.random.Generator) -> Iterator[np.ndarray[Any, Any]]:
    """Yield sparse counts, dense ones, a ramp, zeros, and a repeated piece."""
    most = 2 if dtype == "bool" else 120
    yield rng.poisson(0.3, count).astype(dtype)
    yield rng.integers(0, most, count).astype(dtype)
    yield (np.arange(count) % 97).astype(dtype)
    yield np.zeros(count, dtype)
    yield np.resize(rng.integers(0, most, 37), count).astype(dtype)
    if dtype[0] in "fc":
        yield rng.normal(size=count).astype(dtype)


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with chunks of every type, codec and shuffle, and what they hold."""
    folder = tmp_path_factory.mktemp("chunks")
    rng = np.random.default_rng(0)
    stored, right = bytearray(), bytearray()
    items = []

    def add(frame: bytes, raw: bytes, codec: str) -> None:
        chunk = with_crc(frame)
        items.append([len(stored), len(chunk), codec, len(right), len(raw)])
        stored.extend(chunk)
        right.extend(raw)

    # Blosc's own threads would not end with the test.
    blosc.use_threads = False
    for dtype in DTYPES:
        for count in (1, 8, 63, 1000, 40_000):
            for number, values in enumerate(values_of(dtype, count, rng)):
                raw = values.tobytes()
                add(raw, raw, "bytes")
                for codec, level in ((b"zstd", 1), (b"zstd", 6), (b"lz4", 9)):
                    for shuffle in (blosc.NOSHUFFLE, blosc.SHUFFLE, blosc.BITSHUFFLE):
                        size = 0 if (number + shuffle) % 2 else 1024**2
                        plain = values.view("u1") if dtype == "complex128" else values
                        add(blosc.compress(plain, codec, level, shuffle, size), raw, "blosc")
    (folder / "stored").write_bytes(stored)
    (folder / "right").write_bytes(right)
    (folder / "items.json").write_text(json.dumps(items))
    return folder


READ = """
const { readFileSync } = await import("fs");
const { decodeChunk } = await import("PAGE/chunks.js");
const folder = process.argv[1];
const stored = new Uint8Array(readFileSync(`${folder}/stored`));
const items = JSON.parse(readFileSync(`${folder}/items.json`));
"""


def test_every_chunk_is_decoded_bit_for_bit(chunks: Path, node: Node) -> None:
    """Of every type, codec, shuffle, level and number of blocks."""
    script = (
        READ
        + """
    const right = readFileSync(`${folder}/right`);
    const wrong = [];
    items.forEach(([start, length, codec, from, size], i) => {
      const found = decodeChunk(stored.subarray(start, start + length), codec, size);
      if (Buffer.compare(found, right.subarray(from, from + size))) wrong.push(i);
    });
    console.log(JSON.stringify([items.length, wrong]));
    """
    )
    count, wrong = node(script, str(chunks))
    assert count > 3000
    assert wrong == []


def test_frames_of_zstd_are_decoded_bit_for_bit(tmp_path: Path, node: Node) -> None:
    """Of every level, on text, noise and runs, up to many blocks; trailing bytes are refused."""
    rng = np.random.default_rng(1)
    words = [bytes(rng.integers(97, 123, rng.integers(2, 9), np.uint8)) for _ in range(300)]
    text = b" ".join(words[i] for i in rng.integers(0, 300, 90_000))
    sources = [
        b"", b"a", b"ab" * 50, text[:3000], text, bytes(700_000), rng.bytes(150_000),
        rng.poisson(3, 400_000).astype(np.uint8).tobytes(),
        np.repeat(rng.integers(0, 9, 5000), 40).astype(np.uint16).tobytes(),
    ]  # fmt: skip
    items = []
    for number, source in enumerate(sources):
        (tmp_path / f"{number}").write_bytes(source)
        for level in (-5, 1, 3, 9, 19):
            name = f"{number}.{level}"
            (tmp_path / name).write_bytes(Zstd(level).encode(source))
            items.append([name, number, len(source)])
    script = """
    const { readFileSync } = await import("fs");
    const { decodeZstd } = await import("PAGE/zstd.js");
    const folder = process.argv[1], wrong = [];
    for (const [name, right, size] of JSON.parse(process.argv[2])) {
      const source = new Uint8Array(readFileSync(`${folder}/${name}`)), out = new Uint8Array(size);
      decodeZstd(source, out);
      if (Buffer.compare(out, readFileSync(`${folder}/${right}`))) wrong.push(name);
      const longer = new Uint8Array(source.length + 1);
      longer.set(source);
      try { decodeZstd(longer, out); wrong.push(`${name} and a byte`); }
      catch (error) { if (error.name !== "DamagedError") wrong.push(`${name}: ${error}`); }
    }
    console.log(JSON.stringify(wrong));
    """
    assert node(script, str(tmp_path), json.dumps(items)) == []


def test_every_flipped_byte_is_found(chunks: Path, node: Node) -> None:
    """A chunk of which one byte is another, each in turn, is refused by its checksum."""
    script = (
        READ
        + """
    const missed = [];
    const small = items.filter((item) => item[1] < 400).slice(0, 40);
    for (const [start, length, codec, , size] of small) {
      for (let i = 0; i < length; i++) {
        const chunk = stored.slice(start, start + length);
        chunk[i] ^= 1 << (i % 8);
        try { decodeChunk(chunk, codec, size); missed.push([start, i]); }
        catch (error) { if (!/checksum/.test(error.message)) missed.push(String(error)); }
      }
    }
    console.log(JSON.stringify(missed));
    """
    )
    assert node(script, str(chunks)) == []


def test_damage_behind_a_right_checksum_ends_in_an_error_of_ours(chunks: Path, node: Node) -> None:
    """However a chunk is changed, it is decoded to its size or refused, in bounded time."""
    script = (
        READ
        + """
    const { crc32c } = await import("PAGE/crc32c.js");
    let seed = 12345;
    const random = (n) => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return seed % n; };
    const small = items.filter((item) => item[4] <= 200000);
    const odd = [];
    let slowest = 0, refused = 0;
    for (let i = 0; i < Number(process.argv[2]); i++) {
      const [start, length, codec, , size] = small[random(small.length)];
      let chunk = stored.slice(start, start + length);
      for (let changes = 1 + random(4); changes; changes--) chunk[random(length)] = random(256);
      if (random(5) === 0) chunk = chunk.slice(0, 4 + random(length - 3));
      const crc = crc32c(chunk, 0, chunk.length - 4);
      new DataView(chunk.buffer).setUint32(chunk.length - 4, crc, true);
      const begun = performance.now();
      try {
        if (decodeChunk(chunk, codec, size).length !== size) odd.push(`${i}: wrong size`);
      } catch (error) {
        refused++;
        if (error.name !== "DamagedError") odd.push(`${i}: ${error.stack}`);
      }
      slowest = Math.max(slowest, performance.now() - begun);
    }
    console.log(JSON.stringify([odd.slice(0, 5), refused, slowest]));
    """
    )
    odd, refused, _ = node(script, str(chunks), str(MUTATIONS))
    assert odd == []
    assert refused > MUTATIONS / 3


def test_checksums_are_those_of_python(node: Node) -> None:
    """Of any length, aligned or not."""
    data = np.random.default_rng(3).bytes(300)
    script = """
    const { crc32c } = await import("PAGE/crc32c.js");
    const data = Uint8Array.from(JSON.parse(process.argv[1]));
    const found = Array.from(data, (_, i) => crc32c(data, i % 7, Math.max(i, i % 7)));
    console.log(JSON.stringify(found));
    """
    found = node(script, json.dumps(list(data)))
    assert found == [crc32c(data[i % 7 : max(i, i % 7)]) for i in range(300)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_bytes_become_values(dtype: str, node: Node) -> None:
    """Every type of a store gives its numbers; complex ones their magnitude."""
    rng = np.random.default_rng(5)
    values = rng.integers(0, 2 if dtype == "bool" else 100, 64).astype(dtype)
    if dtype[0] in "fc":
        values = values * np.asarray(0.37, dtype)
    script = """
    const { toValues } = await import("PAGE/chunks.js");
    const bytes = Uint8Array.from(JSON.parse(process.argv[1]));
    console.log(JSON.stringify(Array.from(toValues(bytes, process.argv[2]), Number)));
    """
    found = node(script, json.dumps(list(values.tobytes())), dtype)
    expected = np.abs(values) if dtype[0] == "c" else values
    np.testing.assert_allclose(found, expected.astype(np.float64), rtol=1e-7)
