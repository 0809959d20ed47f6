"""What every reader must pass, those of other packages too.

A package that adds a reader through the entry point group ``stemzarr.readers`` calls
`check_reader` in its own tests, on a file of each form that it reads::

    def test_my_format_keeps_the_contract():
        check_reader(Path("scan.xyz"))

Values are compared with themselves, box against whole; that they are the right ones is for a
test with an oracle of the format.
"""

from __future__ import annotations

import itertools
import json
import math
import pickle
import re
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.labelled import to_dataset
from stemzarr.metadata.facts import FACT_NAMES
from stemzarr.model import (
    PATTERN_DIMS,
    Blocks,
    Document,
    Source,
    box_of,
    dims_of_kind,
    main_document,
    read_box,
)
from stemzarr.options import ReadOptions
from stemzarr.recognition import ReadSource
from stemzarr.registry import read_source

__all__ = ["check_blocks", "check_document", "check_reader"]

_SLUG: Final = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")
_RESERVED: Final = frozenset({"scan", "det", "dim", "frame", "energy", "channel"})
_WHOLE: Final = 64 * 1024**2
_READING: Final = 32 * 1024**2


def check_reader(
    path: Path,
    options: ReadOptions | None = None,
    *,
    read: ReadSource | None = None,
    memory: int = _READING,
) -> Source:
    """Read a file and raise unless all that a reader promises is so.

    Parameters
    ----------
    path
        A file that can be read.
    options
        How to read it.
    read
        The reader; by default the one that the registry finds for the file.
    memory
        How many bytes may be allocated while reading. It proves that no pixels are loaded where
        the file holds more than that.

    Returns
    -------
    Source
        What the reader gave, for further checks.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which, and of which document.
    """
    options = options or ReadOptions()
    tracemalloc.start()
    try:
        source = read_source(path, options) if read is None else read(path, options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    _require(peak <= memory, f"reading allocated {peak} bytes of at most {memory}")
    _check_source(source, path)
    for document in source.documents:
        check_document(document)
    return source


def _require(condition: object, promise: str) -> None:
    if not condition:
        raise AssertionError(promise)


def _check_source(source: Source, path: Path) -> None:
    _require(source.path == path, f"path is {source.path}, not {path}")
    if path.is_file():
        states = [file.stat() for file in source.files]
        size, modified = sum(one.st_size for one in states), max(one.st_mtime_ns for one in states)
        _require(source.size == size, "size is not that of the files")
        _require(source.modified_ns == modified, "modified_ns is not that of the files")
    _require(source.format, "format has no name")
    _require(source.documents, "there is no document")
    indices = [document.index for document in source.documents]
    _require(len(set(indices)) == len(indices), "two documents have one index")
    slugs = [document.slug for document in source.documents]
    _require(len({slug.lower() for slug in slugs}) == len(slugs), f"slugs repeat: {slugs}")
    for slug in slugs:
        _require(_SLUG.fullmatch(slug), f"slug {slug!r} is not safe in paths and dims")
        _require(slug not in _RESERVED, f"slug {slug!r} would share dims with the main document")
    _require(source.main in indices, "main names no document")
    _require(source.main == main_document(source.documents), "main is not the main document")
    first, second = source.load_metadata(), source.load_metadata()
    _require(isinstance(first, dict), "metadata is not an object")
    _check_json(first, "metadata")
    _require(json.dumps(first) == json.dumps(second), "metadata differs when loaded again")
    _check_segments(source)


def _check_segments(source: Source) -> None:
    """Require that header and pixel data together are the file."""
    if not source.segments:
        return
    ends = [segment.offset + segment.nbytes for segment in source.segments]
    starts = [segment.offset for segment in source.segments]
    _require(all(a <= b for a, b in itertools.pairwise(starts)), "segments are not sorted")
    _require(
        all(end <= start for end, start in zip(ends, starts[1:], strict=False)),
        "segments overlap",
    )
    pixels = sum(segment.nbytes for segment in source.segments)
    header = len(source.load_header())
    _require(
        not source.complete or pixels + header == source.size,
        f"{pixels} bytes of pixels and {header} of header are not the file's {source.size}",
    )


def _check_json(tree: object, name: str) -> None:
    """Require JSON without NaN and infinities, in text that UTF-8 can carry."""
    try:
        text = json.dumps(tree, allow_nan=False, ensure_ascii=False)
        text.encode("utf-8")
    except (TypeError, ValueError) as error:
        msg = f"{name} is not clean JSON: {error}"
        raise AssertionError(msg) from error
    _require(json.loads(text) == tree, f"{name} changes on its way through JSON")


def check_document(document: Document) -> None:
    """Raise unless a document, its labels and its pixels keep what the model promises.

    Raises
    ------
    AssertionError
        A promise is broken.
    """
    name = f"document {document.slug!r}"
    _check_labels(document, name)
    _check_attributes(document, name)
    check_blocks(document.blocks, name)
    _check_dataset(document, name)
    again = pickle.loads(pickle.dumps(document))  # noqa: S301 - our own bytes
    _require(again.dims == document.dims, f"{name} loses its dims when it is pickled")


def _check_labels(document: Document, name: str) -> None:
    _require(document.title, f"{name} has no title")
    _require(document.kind in PATTERN_DIMS, f"{name} is of unknown kind {document.kind!r}")
    names = tuple(axis.name for axis in document.axes)
    expected = dims_of_kind(document.kind, len(names))
    _require(names == expected, f"{name} has axes {names}, not {expected}")
    _require(len(document.dims) == len(document.shape), f"{name} has dims that are not axes")
    for axis, size in zip(document.axes, document.shape, strict=False):
        where = f"{name}, axis {axis.name}"
        _require(axis.size == size, f"{where} has {axis.size} pixels, the array {size}")
        _require(math.isfinite(axis.scale) and axis.scale, f"{where} has scale {axis.scale}")
        _require(math.isfinite(axis.offset), f"{where} has offset {axis.offset}")
        _require(axis.units, f"{where} has no units; nothing is 'pixel'")
        _require(not axis.calibrated or axis.units != "pixel", f"{where} is calibrated in pixels")
    if document.channels:
        _require(document.shape[-1] == len(document.channels), f"{name} misses channels")
    if document.kind == "4d-stem":
        _require(
            document.layout is not None, f"{name} does not say how its axes are ordered on disk"
        )
        _require(document.layout and document.layout.evidence, f"{name} has layout, no evidence")
    if document.valid is not None:
        _require(document.valid.shape == document.shape[:2], f"{name} has a mask of other shape")
    if document.bad_pixels is not None:
        fits = document.bad_pixels.shape == document.shape[-2:] and not document.channels
        _require(fits, f"{name} has bad pixels of other shape than its patterns")


def _check_attributes(document: Document, name: str) -> None:
    attributes: Mapping[str, Any] = document.group_attributes()
    for key, value in attributes.items():
        flat = isinstance(value, (str, int, float)) and not isinstance(value, bool)
        _require(flat, f"{name} has attribute {key!r} of {type(value).__name__}")
    _check_json(dict(attributes), f"{name}: attributes")
    unknown = set(document.facts) - FACT_NAMES
    _require(not unknown, f"{name} has facts of unknown names: {sorted(unknown)}")
    stray = set(document.fact_paths) - set(document.facts)
    _require(not stray, f"{name} has paths of facts that it has not: {sorted(stray)}")


def check_blocks(blocks: Blocks, name: str = "blocks") -> None:
    """Raise unless pixels come out alike: whole, in boxes, from threads and after pickling.

    Raises
    ------
    AssertionError
        Two ways to the same values differ.
    """
    _require(isinstance(blocks, Blocks), f"{name} is not a Blocks")
    dtype = blocks.dtype
    _require(dtype.kind in "biufc", f"{name} has values of type {dtype}")
    _require(dtype == dtype.newbyteorder("<"), f"{name} has big-endian values")
    ndim = len(blocks.shape)
    _require(ndim > 0 and min(blocks.shape) > 0, f"{name} has shape {blocks.shape}")
    fits = len(blocks.block_shape) == ndim and min(blocks.block_shape) > 0
    _require(fits, f"{name} of shape {blocks.shape} has blocks of {blocks.block_shape}")
    start, shape = _bounded(blocks)
    whole = read_box(blocks, start, shape)
    copied: Blocks = pickle.loads(pickle.dumps(blocks))  # noqa: S301 - our own bytes
    _require(_same(read_box(copied, start, shape), whole), f"{name} changes when it is pickled")
    boxes = list(_boxes(shape))
    for corner, size in boxes:
        _check_box(blocks, whole, (start, corner, size), name)
    with ThreadPoolExecutor(4) as pool:
        checks = [pool.submit(_check_box, blocks, whole, (start, *box), name) for box in boxes * 2]
        for check in checks:
            check.result()


def _bounded(blocks: Blocks) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return corner and shape of what is compared: all of it, or of a large one the end."""
    shape = list(blocks.shape)
    for dim in range(len(shape)):
        nbytes = math.prod(shape) * blocks.dtype.itemsize
        if nbytes > _WHOLE:
            shape[dim] = max(1, shape[dim] * _WHOLE // nbytes)
    start = tuple(n - m for n, m in zip(blocks.shape, shape, strict=True))
    return start, tuple(shape)


def _boxes(shape: Sequence[int]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield corner and size of boxes: first and last value, halves, slabs, and some at random."""
    yield (0,) * len(shape), (1,) * len(shape)
    yield tuple(n - 1 for n in shape), (1,) * len(shape)
    for dim, length in enumerate(shape):
        size = list(shape)
        size[dim] = (length + 1) // 2
        corner = [0] * len(shape)
        corner[dim] = length - size[dim]
        yield tuple(corner), tuple(size)
    generator = np.random.default_rng(len(shape))
    for _ in range(6):
        corner = [int(generator.integers(n)) for n in shape]
        yield (
            tuple(corner),
            tuple(
                int(generator.integers(1, n - a + 1)) for a, n in zip(corner, shape, strict=True)
            ),
        )


def _check_box(
    blocks: Blocks,
    whole: NDArray[Any],
    box: tuple[Sequence[int], Sequence[int], Sequence[int]],
    name: str,
) -> None:
    """Compare one box, read into a contiguous buffer and into one with gaps, with the whole."""
    origin, corner, size = box
    expected = whole[box_of(corner, size)]
    start = tuple(a + b for a, b in zip(origin, corner, strict=True))
    where = f"{name}: the box of {tuple(size)} at {start} differs from the whole"
    _require(_same(read_box(blocks, start, size), expected), where)
    spread = np.zeros(tuple(2 * n for n in size), blocks.dtype)
    gaps = spread[(slice(None, None, 2),) * len(size)]
    blocks.read_into(gaps, start)
    _require(_same(gaps, expected), f"{where} in a buffer with gaps")
    _require(
        np.count_nonzero(spread) == np.count_nonzero(gaps), f"{where}: it wrote beside the buffer"
    )


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return whether two arrays hold the same bytes, NaN included."""
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def _check_dataset(document: Document, name: str) -> None:
    dataset = to_dataset(document)
    _require(dataset["intensity"].dims == document.dims, f"{name}: the Dataset has other dims")
    start, shape = _bounded(document.blocks)
    values = dataset["intensity"][box_of(start, shape)].to_numpy()
    _require(_same(values, read_box(document.blocks, start, shape)), f"{name}: Dataset differs")
    for axis in document.axes:
        found = dataset[axis.name].to_numpy()
        _require(np.array_equal(found, axis.values()), f"{name}: coordinate {axis.name} differs")
