"""Makes the pictures of the pages again: `python docs/make_pictures.py`, from the demo's scan."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import hsv_to_rgb
from PIL import Image

import stemzarr
from stemzarr.testing import write_synthetic_dm4

DOCS = Path(__file__).parent
PICTURES = DOCS / "pictures"
SHAPE = ((48, 64), (128, 128))
"""Of the scan of ``stemzarr demo``."""


def recipes() -> list[str]:
    """Return the Python of the cookbook."""
    text = (DOCS / "cookbook.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def draw_scan(scan: Any) -> None:
    """Draw the first picture of the README: bright field and mean pattern."""
    figure = scan.stem.plot()
    figure.suptitle("")
    figure.set_size_inches(7.6, 3.6)
    figure.savefig("scan.png", dpi=80)
    plt.close(figure)


def draw_images(scan: Any) -> None:
    """Draw the second one: dark field, deflection as colours, likeness."""
    deflection = scan.stem.dpc()
    hue = np.mod(deflection.direction / (2 * np.pi), 1)
    size = np.clip(deflection.magnitude / deflection.magnitude.quantile(0.99), 0, 1)
    colours = hsv_to_rgb(np.nan_to_num(np.stack([hue, np.ones_like(hue), size], axis=-1)))
    panels = {
        "dark field": (scan.stem.virtual_image(inner=0.4, outer=1.2), "gray"),
        "deflection": (colours, None),
        "likeness to one pattern": (scan.stem.likeness((10, 20)), "cividis"),
    }
    figure, all_axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
    for axes, (title, (image, cmap)) in zip(all_axes, panels.items(), strict=True):
        axes.imshow(image, cmap=cmap, interpolation="nearest")
        axes.set(title=title, xticks=[], yticks=[])
    figure.savefig("images.png", dpi=70)
    plt.close(figure)


def main() -> None:
    """Make all pictures in a folder of its own, then put them beside the pages."""
    mpl.use("Agg")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_synthetic_dm4(Path("scan.dm4"), *SHAPE)
        store = Path("stemzarr-lake/stores/scan.zarr")
        store.parent.mkdir(parents=True)
        stemzarr.ingest("scan.dm4", store)
        scan = stemzarr.open(store)
        draw_scan(scan)
        draw_images(scan)
        names: dict[str, Any] = {}
        for recipe in recipes():
            exec(compile(recipe, "cookbook.md", "exec"), names)  # noqa: S102 - our own page
        for path in Path().glob("*.png"):
            with Image.open(path) as picture:
                picture.convert("RGB").quantize(128).save(path, optimize=True)
            shutil.copy(path, PICTURES)


if __name__ == "__main__":
    main()
