"""A scan as one page to mail: its patterns binned until they fit, its named images exact."""

from __future__ import annotations

import base64
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, StoreExistsError, UnsupportedDataError
from stemzarr.explorer.page import MARK, render_single_page
from stemzarr.explorer.subject import Subject
from stemzarr.measure.tiles import narrowest, sum_tiles
from stemzarr.metadata.facts import PERSONAL_FACTS
from stemzarr.model import Blocks, Document, Progress, read_box
from stemzarr.options import as_path
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.resources import Resources
from stemzarr.storage.files import check_destination, publish
from stemzarr.views.slabs import map_document

__all__ = ["SinglePage", "write_bare_page", "write_single_page"]

_MOST_VALUES = 2**24
"""Of all patterns together: four bytes each while a detector is dragged, on a phone too."""
_SAMPLE = 16
_MOST_BYTES = 4
"""Of an integer in JavaScript."""
_TEXT = 4 / 3
"""Characters of base64 for a byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinglePage:
    """What was written."""

    dest: Path
    """The page."""
    bytes: int
    """Its size."""
    bin: int
    """How many pixels along each side of the detector became one."""


def write_single_page(
    subject: Subject,
    dest: str | os.PathLike[str],
    *,
    size: int,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SinglePage:
    """Write a page that shows a scan without a server, a network or a program.

    Parameters
    ----------
    subject
        A 4D scan of real values.
    dest
        The page; an older one of stemzarr is replaced.
    size
        Most bytes of the page. The patterns in it are binned 2 × 2, 4 × 4 … until it fits: sums,
        exact for integers. The bright-field, dark-field and total images are exact.
    overwrite
        Whether another file is replaced.
    progress
        Receives how many bytes of values are done.

    Returns
    -------
    SinglePage
        Its size and binning. Neither paths of this machine nor who measured it are in the page.

    Raises
    ------
    UnsupportedDataError, OptionError
        It is not a scan, or no binning makes it fit.
    StoreExistsError
        Another file exists at `dest`.
    """
    if not subject.is_scan:
        msg = f"the document {subject.document.slug!r} is {subject.document.kind}"
        raise UnsupportedDataError(msg, hint="a page to mail is made of a 4D scan of real values")
    target = _check(dest, overwrite=overwrite)
    images = {name: subject.image(preset) for name, preset in subject.presets.items()}
    texts = {name: _pack(_sent(image)) for name, image in images.items()}
    types: dict[str, dict[str, Any]] = {
        name: {"type": _sent(image).dtype.name} for name, image in images.items()
    }
    base = len(render_single_page(subject.name, _about(subject, types), texts).encode()) + 500
    found, text, factor = _fit(subject.document, size - base, progress)
    types["patterns"] = {"type": found.dtype.name, "shape": list(found.shape), "bin": factor}
    about, data = _about(subject, types), {**texts, "patterns": text}
    page = render_single_page(subject.name, about, data).encode()
    return _publish(target, page, factor)


def write_bare_page(dest: str | os.PathLike[str], *, overwrite: bool = False) -> SinglePage:
    """Write a page without a scan: it opens stores of its web server, or that are dropped on it.

    Raises
    ------
    StoreExistsError
        Another file exists at `dest`, and `overwrite` is false.
    """
    target = _check(dest, overwrite=overwrite)
    return _publish(target, render_single_page("stemzarr").encode(), 1)


def _check(dest: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Return the place of a page, where nothing else is replaced."""
    target = as_path(dest)
    check_destination(target, overwrite=True)
    if target.exists() and not overwrite:
        with target.open("rb") as file:
            ours = MARK.encode() in file.read(4096)
        if not ours:
            msg = "exists already and is not a page of stemzarr"
            hint = "choose another name, or --overwrite to replace it"
            raise StoreExistsError(msg, path=target, hint=hint)
    return target


def _publish(target: Path, page: bytes, factor: int) -> SinglePage:
    with publish(target, sync=False) as temporary:
        temporary.write_bytes(page)
    return SinglePage(dest=target, bytes=len(page), bin=factor)


def _about(subject: Subject, arrays: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what the page knows: no path, and nothing of who measured it."""
    about = subject.describe()
    facts = {name: value for name, value in about["facts"].items() if name not in PERSONAL_FACTS}
    return {
        **about,
        "facts": facts,
        "path": subject.source.path.name,
        "documents": [each for each in about["documents"] if each["slug"] == about["document"]],
        "bad_pixels": 0,
        "instant": list(about["presets"]),
        "arrays": arrays,
    }


def _fit(
    document: Document, limit: int, progress: Progress | None
) -> tuple[NDArray[Any], str, int]:
    """Return the finest patterns whose text fits `limit`, that text, and their binning."""
    rows, columns, height, width = document.shape
    factor = 1
    while True:
        down, across = math.ceil(height / factor), math.ceil(width / factor)
        one = down == across == 1
        if rows * columns * down * across <= _MOST_VALUES:
            expected = _expect(document, factor)
            if expected * _TEXT < 1.2 * limit or one:
                patterns = _sent(_bin(document, factor, progress))
                text = _pack(patterns)
                if len(text) <= limit:
                    return patterns, text, factor
        if one:
            msg = f"a page of this scan needs more than {max(0, limit)} bytes"
            raise OptionError(msg, hint="give a larger --size, or a smaller part of the scan")
        factor *= 2


def _expect(document: Document, factor: int) -> int:
    """Return about how many bytes binned patterns take, from some scan rows."""
    rows = range(0, document.shape[0], max(1, document.shape[0] // _SAMPLE))
    packed = 0
    for y in rows:
        start, shape = (y, 0, 0, 0), (1, *document.shape[1:])
        values = read_box(document.blocks, start, shape)[0]
        sums = sum_tiles(_finite(document, values), factor)
        packed += len(zlib.compress(_shuffle(narrowest(sums)), 6))
    return packed * document.shape[0] // len(rows)


def _bin(document: Document, factor: int, progress: Progress | None) -> NDArray[Any]:
    """Return all patterns binned, (scan_y, scan_x, y, x), in the narrowest type."""
    rows, columns, height, width = document.shape
    grid = (math.ceil(height / factor), math.ceil(width / factor))
    sums: NDArray[Any] = np.zeros((rows, columns, *grid), np.uint8)
    kept = document.tiles
    use_kept = kept is not None and factor % kept.side == 0

    def read(blocks: Blocks, box: Box) -> tuple[Box, NDArray[Any]]:
        values = read_box(blocks, box.start, box.shape)
        flat = values.reshape(-1, *values.shape[2:])
        if kept is not None and use_kept:
            return box, sum_tiles(flat, factor // kept.side)
        return box, sum_tiles(_finite(document, flat), factor)

    source = kept.blocks if kept is not None and use_kept else document.blocks
    resources = Resources(memory=64 * 1024**2, progress=progress)
    for box, found in map_document(read, source, 2, resources):
        wide = np.promote_types(sums.dtype, found.dtype)
        sums = sums.astype(np.float32 if wide == np.float64 else wide, copy=False)
        sums[box.slices()[:2]] = found.reshape(*box.shape[:2], *grid)
    return sums


def _finite(document: Document, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, 0)
    return values if document.bad_pixels is None else values * ~document.bad_pixels


def _shuffle(values: NDArray[Any]) -> bytes:
    """Return the bytes of values sorted by their place in the value."""
    plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return plain.reshape(-1, 1).view(np.uint8).T.tobytes()


def _sent(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in the narrowest type that JavaScript has."""
    narrow = narrowest(values)
    wide = narrow.dtype.kind in "iu" and narrow.dtype.itemsize > _MOST_BYTES
    return narrow.astype(np.float64) if wide else narrow


def _pack(values: NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(_shuffle(values), 6)).decode()
