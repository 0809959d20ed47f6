"""Every reader at hand finds the bits, dims and attributes of the conformance kit."""

from __future__ import annotations

import base64
import json
import math
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr

import stemzarr
from stemzarr import explorer
from stemzarr.testing import conformance

Read = Callable[[Path, str], tuple[bytes, list[str], str]]


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the kit."""
    folder = tmp_path_factory.mktemp("kit")
    conformance.main(str(folder))
    return folder


def expected(kit: Path) -> dict[str, Any]:
    """Return what the manifest says."""
    manifest: dict[str, Any] = json.loads((kit / conformance.MANIFEST).read_text("utf-8"))
    assert len(manifest) == 10
    return manifest


def by_zarr(store: Path, name: str) -> tuple[bytes, list[str], str]:
    """Read with zarr-python."""
    array = zarr.open_array(store / name, mode="r")
    return array[...].tobytes(), list(array.metadata.dimension_names), array.dtype.name


def by_zarrs(store: Path, name: str) -> tuple[bytes, list[str], str]:
    """Read with zarrs, through zarr-python."""
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return by_zarr(store, name)


def by_tensorstore(store: Path, name: str) -> tuple[bytes, list[str], str]:
    """Read with tensorstore."""
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store}/{name}"}}
    array = tensorstore.open(spec).result()
    return array.read().result().tobytes(), list(array.domain.labels), array.dtype.name


@pytest.mark.parametrize("read", [by_zarr, by_zarrs, by_tensorstore])
def test_other_libraries_read_the_kit(kit: Path, read: Read) -> None:
    """Values to the bit, names of dims, types."""
    for store, content in expected(kit).items():
        for name, array in content["arrays"].items():
            values, dims, dtype = read(kit / store, name)
            assert values == base64.b64decode(array["base64"]), (store, name)
            assert dims == array["dims"]
            assert dtype == array["data_type"]


def test_attributes_of_the_kit(kit: Path) -> None:
    """The root says what the document says."""
    for store, content in expected(kit).items():
        found = dict(zarr.open_group(kit / store, mode="r").attrs)
        assert {name: found[name] for name in content["attributes"]} == content["attributes"]


def test_stemzarr_reads_the_kit(kit: Path) -> None:
    """So does what wrote it, through its own path for pixels."""
    for store, content in expected(kit).items():
        found = stemzarr.open(kit / store, chunks=None).intensity.to_numpy()
        assert found.tobytes() == base64.b64decode(content["arrays"]["intensity"]["base64"])


SCRIPT = """
const { readFileSync, readdirSync, statSync } = await import("fs");
const { StoreArray } = await import("PAGE/store_array.js");
const { decodeChunk, VALUE_SIZES } = await import("PAGE/chunks.js");
const [root, ...paths] = process.argv.slice(1);
const BITS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array };
const decoder = { async decode(bytes, { codec, size, type }) {
  const raw = decodeChunk(bytes, codec, size);
  return new BITS[VALUE_SIZES[type]](raw.buffer, raw.byteOffset, size / VALUE_SIZES[type]);
} };
const found = [];
for (const path of paths) {
  const bytes = (key) => new Uint8Array(readFileSync(`${root}/${key}`));
  const files = {
    whole: async (key) => bytes(key), part: async (key, a, b) => bytes(key).slice(a, b),
  };
  const sizes = new Map(readdirSync(`${root}/${path}/c`, { recursive: true })
    .map((name) => `${path}/c/${name}`).map((key) => [key, statSync(`${root}/${key}`).size]));
  const node = JSON.parse(readFileSync(`${root}/${path}/zarr.json`));
  const values = await new StoreArray(files, decoder, path, node, sizes).read();
  found.push(Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64"));
}
console.log(JSON.stringify(found));
"""


def test_the_page_reads_the_kit(kit: Path) -> None:
    """The JavaScript of the explorer, in node."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("there is no node: the page's JavaScript is not tried outside a browser")
    page = (Path(explorer.__file__).parent / "page").as_uri()
    manifest = expected(kit)
    paths = {f"{s}/{name}": a for s, c in manifest.items() for name, a in c["arrays"].items()}
    command = [program, "--input-type=module", "-e", SCRIPT.replace("PAGE", page), "--", str(kit)]
    done = subprocess.run([*command, *paths], capture_output=True, timeout=120, check=False)
    assert not done.returncode, done.stderr.decode()
    found = json.loads(done.stdout)
    assert [p for p, values in zip(paths, found, strict=True) if values != paths[p]["base64"]] == []


def test_the_kit_has_what_it_is_for(kit: Path) -> None:
    """Every codec, several shards, chunks that stick out, and files for arrays of zeros."""
    codecs, sticking = set(), 0
    for store in expected(kit):
        node = json.loads((kit / store / "intensity/zarr.json").read_text("utf-8"))
        inner = node["codecs"][0]["configuration"]
        codecs |= {
            f"{codec['name']} {codec.get('configuration', {}).get('cname', '')}".strip()
            for codec in inner["codecs"]
        }
        pairs = zip(node["shape"], inner["chunk_shape"], strict=True)
        sticking += any(size % chunk for size, chunk in pairs)
        shards = [f for f in (kit / store / "intensity/c").rglob("*") if f.is_file()]
        grid = zip(node["shape"], node["chunk_grid"]["configuration"]["chunk_shape"], strict=True)
        assert len(shards) == math.prod(-(-size // shard) for size, shard in grid)
    assert {"blosc zstd", "blosc lz4", "bytes", "crc32c"} <= codecs
    assert sticking >= 3
    assert not np.frombuffer(
        base64.b64decode(expected(kit)["i.zarr"]["arrays"]["intensity"]["base64"]), np.uint8
    ).any()


def test_the_kit_as_one_zip(kit: Path, tmp_path: Path) -> None:
    """The zip holds the same files."""
    conformance.main(str(tmp_path / "kit.zip"))
    with zipfile.ZipFile(tmp_path / "kit.zip") as packed:
        assert packed.testzip() is None
        names = {file.relative_to(kit).as_posix() for file in kit.rglob("*") if file.is_file()}
        assert set(packed.namelist()) == names
        assert json.loads(packed.read(conformance.MANIFEST)) == expected(kit)
