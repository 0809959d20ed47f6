"""What whoever looks waits for: pointer to paint, opening, a dragged ring, memory, the mailed page.

``python benchmarks/bench_explorer.py`` makes two scans of 2 and 1 GiB in a temporary folder, shows
them in a headless Chromium with a real mouse, and prints the table. ``--large 100`` adds a file of
that many GB that has no blocks on the disk, and with ``--ingest`` its store, which takes minutes.
Each paint is timed from the time stamp of the pointer's event to the end of the frame that shows
its pattern.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import http.server
import json
import multiprocessing
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from browser import Browser, start_browser
from side_by_side import table

import stemzarr

_WATCH = """
(() => {
  const put = CanvasRenderingContext2D.prototype.putImageData;
  const seen = { paints: [], stamp: null, width: 0 };
  window.watched = seen;
  CanvasRenderingContext2D.prototype.putImageData = function (image, ...rest) {
    put.call(this, image, ...rest);
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      const now = performance.now();
      seen.paints.push([image.width, now, seen.stamp === null ? null : now - seen.stamp]);
      if (image.width === seen.width) seen.stamp = null;
    };
    channel.port2.postMessage(null);
  };
  addEventListener("pointermove", (event) => {
    if (seen.stamp === null) seen.stamp = event.timeStamp;
  }, true);
})();
"""
"""Notes when which picture was on the screen: what was drawn in a frame is posted after it."""

Rows = list[tuple[str, str, str]]


def spot_angle(grain: int) -> float:
    """Return the direction of the first reflection of a grain, 0 to 6, in radians."""
    return np.pi / 3 * grain / 7


def make_scan(path: Path, shape: tuple[int, int, int, int], dtype: str) -> None:
    """Write a scan of counts: a disk, and six spots that are elsewhere in each of seven grains."""
    rows, columns, height, width = shape
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    grains = []
    for grain in range(7):
        mean = 3.0 * np.exp(-np.hypot(y - height / 2, x - width / 2) / (width / 12))
        mean[np.hypot(y - height / 2, x - width / 2) < width / 16] += 40
        for angle in spot_angle(grain) + np.pi / 3 * np.arange(6):
            center = height / 2 + width / 4 * np.sin(angle), width / 2 + width / 4 * np.cos(angle)
            mean[np.hypot(y - center[0], x - center[1]) < width / 24] += 6
        grains.append([rng.poisson(mean).astype(dtype) for _ in range(8)])
    values = np.lib.format.open_memmap(path, "w+", dtype=dtype, shape=shape)
    for row in range(rows):
        for column in range(columns):
            grain = grains[row * 4 // rows + column * 4 // columns]
            values[row, column] = grain[(row * 31 + column * 17) % 8]
    values.flush()


@contextlib.contextmanager
def explorer(store: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the address of ``stemzarr explore``, and its process."""
    command = [
        sys.executable,
        "-m",
        "stemzarr_cli",
        "explore",
        str(store),
        "--no-browser",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["address"], psutil.Process(process.pid)
        finally:
            process.terminate()


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Files, and absolute ranges of them, over connections that stay open, as web servers do."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - its interface
        """Say nothing."""

    def do_GET(self) -> None:
        """Send a file or a part of it."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        size = path.stat().st_size
        first, last = (int(wanted[1]), int(wanted[2])) if wanted else (0, size - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(first)
            self.wfile.write(file.read(last + 1 - first))
        self.wfile.flush()


def _serve_files(folder: Path, ready: Any) -> None:  # noqa: ANN401 - an end of a pipe
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Ranges, directory=str(folder))
    )
    ready.send(server.server_port)
    server.serve_forever()


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Yield the address of a plain web server in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve_files, args=(folder, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


async def stage_of(browser: Browser, label: str) -> tuple[float, float, float, float]:
    """Return where the picture of a panel is in the window: left, top, width, height."""
    script = f"""(() => {{
      const stage = document.querySelector('section[aria-label="{label}"] .stage');
      const box = stage.getBoundingClientRect();
      return [box.left, box.top, box.width, box.height];
    }})()"""
    left, top, width, height = await browser.evaluate(script)
    side = min(width, height)
    return left + (width - side) / 2, top + (height - side) / 2, side, side


async def open_page(browser: Browser, address: str, pattern_width: int) -> float:
    """Open a page; return the milliseconds until its first pattern was on the screen."""
    await browser.open(address)
    await browser.until("window.watched")
    await browser.until(f"watched.paints.some(([width]) => width === {pattern_width})")
    return float(
        await browser.evaluate(f"watched.paints.find(([width]) => width === {pattern_width})[1]")
    )


async def pointer_to_paint(
    browser: Browser, pattern_width: int, count: int, *, far: bool
) -> list[float]:
    """Return the milliseconds of moves of a pressed pointer, to anywhere or to neighbours."""
    await browser.until("document.querySelector('.status.exact')")
    left, top, width, height = await stage_of(browser, "Image")
    moves = random.Random(1)
    x, y = 0.3, 0.3
    await browser.mouse("mousePressed", left + x * width, top + y * height, pressed=True)
    await asyncio.sleep(0.5)
    await browser.evaluate(
        f"watched.width = {pattern_width}, watched.stamp = null, watched.paints = []"
    )
    found: list[float] = []
    for _ in range(count):
        x = moves.uniform(0.02, 0.98) if far else x + 1.01 / 128 if x < 0.95 else 0.05
        y = moves.uniform(0.02, 0.98) if far else y + (1.01 / 128 if x < 0.06 else 0)
        await browser.mouse("mouseMoved", left + x * width, top + y * height, pressed=True)
        wait = (
            f"watched.paints.find(([width, , took]) => width === {pattern_width} && took !== null)"
        )
        found.append((await browser.until(wait))[2])
        await browser.evaluate("watched.paints = []")
        await asyncio.sleep(0.04)
    await browser.mouse("mouseReleased", left + x * width, top + y * height)
    return found


async def drag_ring(browser: Browser, scan_width: int, seconds: float) -> tuple[float, float]:
    """Drag the rim of the disk; return paints a second, and seconds from release to exact."""
    await browser.until("document.querySelector('.status.exact')")
    left, top, width, _ = await stage_of(browser, "Pattern")
    rim = await browser.evaluate("""(() => {
      const inputs = document.querySelectorAll('.detector input');
      return Array.from(inputs, (input) => Number(input.value));
    })()""")
    size = width / 128
    x0, y = left + (rim[1] + 0.5 + rim[3]) * size, top + (rim[0] + 0.5) * size
    await browser.mouse("mousePressed", x0, y, pressed=True)
    await browser.evaluate("watched.paints = []")
    end, number = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        number += 1
        await browser.mouse(
            "mouseMoved", x0 + 30 * abs(np.sin(number / 40)) * size, y, pressed=True
        )
    paints = await browser.evaluate(
        f"watched.paints.filter(([width]) => width === {scan_width}).length"
    )
    await browser.mouse("mouseMoved", x0 + 12.3 * size, y, pressed=True)
    begun = time.perf_counter()
    await browser.mouse("mouseReleased", x0 + 12.3 * size, y)
    await browser.until("document.querySelector('.status').textContent === 'exact'", 300)
    return paints / seconds, time.perf_counter() - begun


def library_seconds(store: Path) -> float:
    """Return what `.stem.virtual_image` takes in a process of its own, without its imports."""
    script = (
        "import sys, time, stemzarr; scan = stemzarr.open(sys.argv[1]); t = time.perf_counter();"
        " scan.stem.virtual_image(outer=20.3, center=(64.0, 64.0)).to_numpy();"
        " print(time.perf_counter() - t)"
    )
    runs = (
        subprocess.run([sys.executable, "-c", script, store], capture_output=True, check=True)
        for _ in range(3)
    )
    return statistics.median(float(run.stdout) for run in runs)


def peak_of(process: psutil.Process) -> int:
    """Return the most memory that a process held so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def _spread(times: list[float]) -> str:
    ordered = sorted(times)
    return f"{statistics.median(ordered):.0f} ms, 95 % {ordered[int(0.95 * len(ordered))]:.0f} ms"


async def measure_reading(folder: Path, count: int) -> Rows:
    """Measure pointer to paint and opening, by the server and by ranges, on 256² patterns."""
    store, rows = folder / "wide.zarr", []
    async with start_browser() as browser:
        await browser.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        await browser.show(width=1400, height=900)
        with explorer(store) as (address, process), web_server(folder) as web:
            ways = {"server": address, "ranges": f"{web}/explorer.html?store={store.name}"}
            for name, where in ways.items():
                first = await open_page(browser, where, 256)
                again = [await open_page(browser, where, 256) for _ in range(5)]
                rows.append(
                    (
                        f"opening, {name}",
                        "first pattern painted",
                        f"{first:.0f} ms, again {statistics.median(again):.0f} ms",
                    )
                )
                for far in (True, False):
                    times = await pointer_to_paint(browser, 256, count, far=far)
                    where_to = "anywhere" if far else "to a neighbour"
                    rows.append((f"pointer to paint, {name}", where_to, _spread(times)))
                rows.append(
                    (f"memory of the tab, {name}", "2 GiB", f"{browser.memory() / 1e6:.0f} MB")
                )
            rows.append(("memory of the server", "2 GiB", f"{peak_of(process) / 1e6:.0f} MB"))
        rows += [("console", "errors", str(len(browser.complaints)))]
    return rows


async def measure_images(folder: Path) -> Rows:
    """Measure a dragged ring and the exact image, on 256 × 256 positions."""
    store = folder / "many.zarr"
    async with start_browser() as browser:
        await browser.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        await browser.show(width=1400, height=900)
        with explorer(store) as (address, process):
            await open_page(browser, address, 128)
            # The image follows the ring once tile sums have come.
            came = "performance.getEntriesByType('resource').some((each) => each.name.includes("
            await browser.until(f"{came}'api/tiles') && each.responseEnd > 0)")
            await asyncio.sleep(1)
            rate, exact = await drag_ring(browser, 256, 5)
            tab, server = browser.memory(), peak_of(process)
    library = library_seconds(store)
    return [
        ("dragged ring", "256 × 256 positions", f"{rate:.0f} a second"),
        (
            "exact image after release",
            "1 GiB",
            f"{exact:.2f} s, {exact / library:.2f} × virtual_image",
        ),
        ("memory of the tab", "tile sums of 64 MB", f"{tab / 1e6:.0f} MB"),
        ("memory of the server", "an image", f"{server / 1e6:.0f} MB"),
    ]


async def measure_large(store: Path, size: str) -> Rows:
    """Measure what opening a large store takes: the command, and the page."""
    async with start_browser() as browser:
        await browser.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        await browser.show(width=1400, height=900)
        begun = time.perf_counter()
        with explorer(store) as (address, process):
            started = time.perf_counter() - begun
            first = await open_page(browser, address, 256)
            again = [await open_page(browser, address, 256) for _ in range(5)]
            await asyncio.sleep(8)  # tile sums come meanwhile
            tab, server = browser.memory(), peak_of(process)
    return [
        (
            "opening, server",
            size,
            f"{first:.0f} ms, again {statistics.median(again):.0f} ms; command {started:.2f} s",
        ),
        ("memory", size, f"server {server / 1e6:.0f} MB, tab {tab / 1e6:.0f} MB"),
    ]


async def measure_mail(folder: Path) -> Rows:
    """Measure the page to mail: how large it is, how long it takes to make and to open."""
    page = folder / "mailed.html"
    command = [
        sys.executable,
        "-m",
        "stemzarr_cli",
        "explore",
        folder / "wide.zarr",
        "--html",
        page,
    ]
    begun = time.perf_counter()
    subprocess.run([*command, "--overwrite"], check=True, capture_output=True)
    made = time.perf_counter() - begun
    async with start_browser() as browser:
        await browser.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        await browser.show(width=390, height=844, phone=True)
        conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await browser.call("Network.emulateNetworkConditions", offline=True, **conditions)
        await browser.open(page.as_uri())
        await browser.until("watched.paints.length > 1 && document.querySelector('.status.exact')")
        opened = await browser.evaluate(
            "Math.max(...watched.paints.slice(0, 2).map(([, now]) => now))"
        )
        errors = len(browser.complaints)
    private = [word for word in (str(folder), str(Path.home())) if word in page.read_text()]
    size = page.stat().st_size / 1e6
    shown = f"{size:.1f} MB, made in {made:.1f} s, opens in {opened / 1000:.2f} s"
    return [
        ("page to mail", "2 GiB", f"{shown}, {errors} errors, {len(private)} paths of this machine")
    ]


def prepare(folder: Path, large: int, *, ingest: bool) -> None:
    """Make the files and stores that are not there yet."""
    shapes: dict[str, tuple[tuple[int, int, int, int], str]]
    shapes = {"wide": ((128, 128, 256, 256), "u2"), "many": ((256, 256, 128, 128), "u1")}
    for name, (shape, dtype) in shapes.items():
        if not (folder / f"{name}.zarr").exists():
            make_scan(folder / f"{name}.npy", shape, dtype)
            stemzarr.ingest(folder / f"{name}.npy", folder / f"{name}.zarr")
            (folder / f"{name}.npy").unlink()
    side = int((large * 1e9 / 2 / 256**2) ** 0.5)
    if large and not (folder / "large.npy").exists():
        np.lib.format.open_memmap(folder / "large.npy", "w+", "u2", (side, side, 256, 256))
    if large and ingest and not (folder / "large.zarr").exists():
        stemzarr.ingest(folder / "large.npy", folder / "large.zarr")
    page = [sys.executable, "-m", "stemzarr_cli", "explore", "--html", folder / "explorer.html"]
    subprocess.run([*page, "--overwrite"], check=True, capture_output=True, cwd=folder)


def main() -> None:
    """Make the scans, look at them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="keeps the scans for the next time")
    parser.add_argument("--moves", type=int, default=150)
    parser.add_argument("--large", type=int, default=0, metavar="GB")
    parser.add_argument("--ingest", action="store_true", help="ingest the large file, too")
    parser.add_argument("--only", nargs="*", choices=("reading", "images", "mail", "large"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        wanted = options.only or ("reading", "images", "mail", "large")
        prepare(folder, options.large, ingest=options.ingest)
        rows: Rows = []
        if "reading" in wanted:
            rows += asyncio.run(measure_reading(folder, options.moves))
        if "images" in wanted:
            rows += asyncio.run(measure_images(folder))
        if "mail" in wanted:
            rows += asyncio.run(measure_mail(folder))
        for path in (folder / "large.npy", folder / "large.zarr"):
            if "large" in wanted and path.exists():
                rows += asyncio.run(measure_large(path, f"{path.name}, {options.large} GB"))
    table("The explorer in a browser", rows, ("", "", ""))


if __name__ == "__main__":
    main()
