"""The page reads a store itself, and gets the numbers that the server would send."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr import ingest
from stemzarr.explorer.single_page import write_bare_page
from stemzarr.explorer.subject import Subject
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source

Node = Callable[..., Any]

OPEN = """
const { readFileSync, statSync } = await import("fs");
const { StoreTransport } = await import("PAGE/store_transport.js");
const { decodeChunk, toValues } = await import("PAGE/chunks.js");
const root = process.argv[1], asked = [];
const files = {
  name: "scan.zarr",
  async whole(path) { asked.push(path); return new Uint8Array(readFileSync(`${root}/${path}`)); },
  async part(path, start, end) {
    asked.push(path);
    return new Uint8Array(readFileSync(`${root}/${path}`)).slice(start, end);
  },
};
const decoder = {
  async decode(bytes, { codec, size, type }, mask, count) {
    const values = toValues(decodeChunk(bytes, codec, size), type);
    if (!mask) return values;
    const one = values.length / count;
    return Float64Array.from({ length: count }, (_, i) => mask.pixels.reduce(
      (sum, pixel, j) => sum + mask.signs[j] * values[i * one + pixel], 0));
  },
};
const store = new StoreTransport(files, process.argv[2] || "", decoder);
const about = await store.describe();
const plain = (plane) => [plane.height, plane.width, Array.from(plane.values)];
"""
DETECTORS = "+ring:0.01,0,0,0.2;-rect:-0.3,-0.3,0.1,0.2"


@pytest.mark.parametrize("codec", ["zstd", "lz4", "none"])
def test_a_scan_gives_what_the_server_sends(
    codec: Any, dm4: Path, tmp_path: Path, node: Node
) -> None:
    """Description, pattern, mean, any image, tile sums."""
    path = tmp_path / "scan.zarr"
    ingest(dm4, path, IngestOptions(codec=codec))
    script = (
        OPEN
        + """
    const tiles = await store.tiles();
    console.log(JSON.stringify({
      about, pattern: plain(await store.pattern(3, 7)), mean: plain(await store.mean([1, 2, 5, 8])),
      image: plain(await store.image(process.argv[3], null, () => {})),
      bright: plain(await store.image(about.presets.bright_field, null, () => {})),
      tiles: { ...tiles, sums: Array.from(tiles.sums) },
      com: Object.values(await store.centerOfMass()).map(plain),
    }));
    """
    )
    found = node(script, str(path), "", DETECTORS)
    subject = Subject(read_source(path), None, "scan")
    about = subject.describe()
    for name in (
        "kind",
        "shape",
        "dtype",
        "dims",
        "document",
        "main",
        "documents",
        "facts",
        "frames",
        "complete",
    ):
        assert found["about"][name] == about[name], name
    for mine, other in zip(found["about"]["axes"], about["axes"], strict=True):
        assert mine == {key: other[key] for key in mine}
    planes = {
        "pattern": subject.pattern(3, 7),
        "mean": subject.mean(1, 2, 5, 8),
        "image": subject.image(DETECTORS),
        "bright": subject.image(about["presets"]["bright_field"]),
    }
    for name, values in planes.items():
        height, width, numbers = found[name]
        np.testing.assert_allclose(np.reshape(numbers, (height, width)), values, rtol=1e-12)
    for (height, width, numbers), shift in zip(found["com"], subject.center_of_mass(), strict=True):
        np.testing.assert_allclose(np.reshape(numbers, (height, width)), shift, atol=1e-9)
    tiles = subject.tiles()
    shape = [found["tiles"][name] for name in ("down", "across", "height", "width")]
    np.testing.assert_array_equal(np.reshape(found["tiles"]["sums"], shape), tiles.sums)
    assert (found["tiles"]["tile"], found["tiles"]["step"]) == (tiles.tile, tiles.step)


def test_an_image_is_read_too(store: Path, node: Node) -> None:
    """The survey image of the scan, and what was scanned of it."""
    script = OPEN + "console.log(JSON.stringify([about.frames, ...plain(await store.plane(0))]));"
    frames, height, width, numbers = node(script, str(store), "survey")
    subject = Subject(read_source(store), "survey", "scan")
    expected = subject.plane(0)
    scan = read_source(store).document.attributes
    edges = [scan[f"scan_rect_{edge}"] for edge in ("top", "left", "bottom", "right")]
    assert frames == [list(frame) for frame in subject.describe()["frames"]] == [edges]
    np.testing.assert_array_equal(np.reshape(numbers, (height, width)), expected)


def test_damage_is_named_and_never_drawn(store: Path, tmp_path: Path, node: Node) -> None:
    """Each flipped byte of a shard is found where it is read: in a chunk, or in the index."""
    path = tmp_path / "scan.zarr"
    shutil.copytree(store, path)
    shard = next(file for file in (path / "intensity" / "c").rglob("*") if file.is_file())
    script = (
        OPEN
        + """
    const { writeFileSync } = await import("fs");
    const whole = readFileSync(process.argv[3]), missed = [], [rows, columns] = about.shape;
    const step = Math.max(1, Math.floor(whole.length / 120));
    for (let i = 0; i < whole.length; i += step) {
      const changed = Buffer.from(whole);
      changed[i] ^= 64;
      writeFileSync(process.argv[3], changed);
      const fresh = new StoreTransport(files, "", decoder);
      await fresh.describe();
      let named = false;
      for (let y = 0; y < rows && !named; y++) for (let x = 0; x < columns && !named; x++) {
        try { await fresh.pattern(y, x); }
        catch (error) { named = error.name === "ReadableError" && /checksum/.test(error.message); }
      }
      if (!named) missed.push(i);
    }
    console.log(JSON.stringify(missed));
    """
    )
    assert node(script, str(path), "", str(shard)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: root["attributes"].pop("stemzarr_schema"), "not a store of stemzarr"),
        (lambda root: root.pop("consolidated_metadata"), "not a store of stemzarr"),
        (lambda root: root["attributes"].update(stemzarr_schema=9), "later version"),
    ],
)
def test_what_is_not_a_store_is_refused(
    change: Callable[[Any], Any], message: str, store: Path, tmp_path: Path, node: Node
) -> None:
    """In words for a person."""
    root = json.loads((store / "zarr.json").read_text(encoding="utf-8"))
    change(root)
    (tmp_path / "zarr.json").write_text(json.dumps(root), encoding="utf-8")
    script = OPEN.replace(
        "const about = await store.describe();",
        "const about = await store.describe().catch((error) => error.message);",
    )
    assert message in node(script + "console.log(JSON.stringify(about));", str(tmp_path))


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, and absolute ranges of them, as the simplest servers have."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Send a file or a part of it."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None:
            super().do_GET()
            return
        first, last = int(wanted[1]), int(wanted[2])
        data = Path(self.translate_path(self.path)).read_bytes()[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def web(store: Path) -> Iterator[str]:
    """Return the address of a web server that knows nothing of stemzarr, with page and store."""
    write_bare_page(store.parent / "explorer.html")
    handler = functools.partial(Ranges, directory=str(store.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="stemzarr-web")
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_browser_reads_a_store_by_ranges(web: str, draw: Callable[..., Any]) -> None:
    """The one page, its worker, and a web server without suffix ranges."""
    address = f"{web}/explorer.html?store=scan.zarr#y=2&x=3&detectors=+ring:0,0,0,0.1"
    page = draw(address, "exact")
    assert "Pattern 2, 3" in page.text
    assert "exact" in page.text
    assert page.tags.count("canvas") == 5
    assert "Cannot be shown" in draw(f"{web}/explorer.html?store=n.zarr", "404").text
