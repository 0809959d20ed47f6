"""A microscopist's task, by a script with a real mouse: find a grain, and all that is like it.

``python benchmarks/explorer_task.py --shots FOLDER`` opens ``stemzarr explore`` in a headless
Chromium and does, at the pace of a hand (0.3 s between two actions), what a person does: looks at
patterns across the scan until one differs, moves the disk onto its reflection for a dark field,
colours all positions that are like it, and saves the figure with its scale bar. Prints when each
step was done.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_explorer import explorer, make_scan, spot_angle, stage_of
from browser import Browser, start_browser
from side_by_side import table

import stemzarr

_PACE_S = 0.3


class Hand:
    """Does one thing after another, as slowly as a hand, and notes when each was done."""

    def __init__(self, browser: Browser, shots: Path | None) -> None:
        self.browser = browser
        self.shots = shots
        self.rows: list[tuple[str, str]] = []
        self._begun = time.perf_counter()

    async def click_at(self, panel: str, y: float, x: float) -> None:
        """Click on a picture, at shares of its height and width."""
        left, top, width, height = await stage_of(self.browser, panel)
        await self.browser.click(left + x * width, top + y * height)
        await asyncio.sleep(_PACE_S)

    async def drag(self, panel: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag on a picture, from one point (y, x) to another, in steps."""
        left, top, width, height = await stage_of(self.browser, panel)
        for number in range(13):
            y, x = np.asarray(start) + (np.asarray(end) - np.asarray(start)) * number / 12
            kind = "mouseMoved" if number else "mousePressed"
            await self.browser.mouse(kind, left + x * width, top + y * height, pressed=True)
            await asyncio.sleep(0.02)
        await self.browser.mouse("mouseReleased", left + end[1] * width, top + end[0] * height)
        await asyncio.sleep(_PACE_S)

    async def press(self, text: str) -> None:
        """Click the first button of that text."""
        script = f"""(() => {{
          const box = Array.from(document.querySelectorAll("button"))
            .find((each) => each.textContent === {text!r}).getBoundingClientRect();
          return [box.left + box.width / 2, box.top + box.height / 2];
        }})()"""
        await self.browser.click(*await self.browser.evaluate(script))
        await asyncio.sleep(_PACE_S)

    async def choose(self, label: str, value: str) -> None:
        """Choose from a list."""
        await self.browser.evaluate(f"""(() => {{
          const list = document.querySelector('select[aria-label="{label}"]');
          list.value = {value!r};
          list.dispatchEvent(new Event("change"));
        }})()""")
        await asyncio.sleep(_PACE_S)

    async def done(self, step: str) -> None:
        """Note when a step was done, and what the page looked like then."""
        await self.browser.until("document.querySelector('.status.exact')")
        await asyncio.sleep(_PACE_S)
        self.rows.append((step, f"{time.perf_counter() - self._begun:.1f} s"))
        if self.shots is not None:
            await self.browser.picture(self.shots / f"task-{len(self.rows)}.png")


async def act(address: str, downloads: Path, shots: Path | None) -> list[tuple[str, str]]:
    """Do the task; return its steps and when each was done."""
    async with start_browser() as browser:
        await browser.show(width=1400, height=900)
        where: dict[str, Any] = {"behavior": "allow", "downloadPath": str(downloads)}
        await browser.call("Browser.setDownloadBehavior", **where)
        hand = Hand(browser, shots)
        await browser.open(address)
        await hand.done("the page shows bright field and a pattern")
        for place in ((0.12, 0.12), (0.12, 0.4), (0.4, 0.65), (0.62, 0.62)):
            await hand.click_at("Image", *place)
        await hand.done("a grain is found, and its pattern looked at")
        # The reflection of that grain, as make_scan puts it, from the middle of the pattern.
        angle, middle = spot_angle(4), 0.502
        spot = (middle + np.sin(angle) / 4, middle + np.cos(angle) / 4)
        await hand.drag("Pattern", (middle, middle), spot)
        await hand.done("its dark field")
        await hand.choose("What the image shows", "like")
        await browser.until(
            "document.querySelector('.status').textContent.startsWith('correlation')"
        )
        await hand.done("all that is like it")
        await hand.press("PNG")
        for _ in range(200):
            if any(path.suffix == ".png" for path in downloads.iterdir()):
                break
            await asyncio.sleep(0.05)
        else:
            raise TimeoutError("no figure was saved")
        await hand.done("the figure is saved, with its scale bar")
        if browser.complaints:
            raise RuntimeError(browser.complaints[0])
        return hand.rows


def main() -> None:
    """Do the task and print its steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=Path, help="folder for what the page looks like")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = folder / "grains.zarr"
        make_scan(folder / "grains.npy", (64, 64, 128, 128), "u2")
        stemzarr.ingest(folder / "grains.npy", source)
        downloads = folder / "downloads"
        for made in (downloads, options.shots):
            if made is not None:
                made.mkdir(exist_ok=True)
        with explorer(source) as (address, _):
            rows = asyncio.run(act(address, downloads, options.shots))
    table(
        "Find a grain, its dark field, all like it, save the figure", rows, ("step", "done after")
    )


if __name__ == "__main__":
    main()
