"""Every reader keeps the contract, and the contract notices who does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.errors import StemzarrError
from stemzarr.model import ArrayBlocks, Axis, Document, Layout, Source
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_document, check_reader


def test_all_dm_samples(samples: Path) -> None:
    """Every document of every DM file keeps the contract."""
    for path in sorted((samples / "dm").glob("*.dm[34]")):
        check_reader(path)


def test_what_is_salvaged(samples: Path, tmp_path: Path) -> None:
    """A file cut anywhere is refused, or recovered into what keeps the contract."""
    content = (samples / "dm" / "2D-test-5.dm3").read_bytes()
    path = tmp_path / "cut.dm3"
    for length in np.linspace(100, len(content) - 100, 25).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(StemzarrError):
            read_source(path)
        try:
            check_reader(path, ReadOptions(salvage=True))
        except StemzarrError:
            continue


def good() -> Document:
    """Return a document that keeps all promises."""
    array = np.arange(2 * 3 * 4 * 5, dtype="<u2").reshape(2, 3, 4, 5)
    names = ("scan_y", "scan_x", "det_y", "det_x")
    return Document(
        index=0,
        slug="scan_1",
        title="Scan 1",
        kind="4d-stem",
        axes=tuple(Axis(name=name, size=n) for name, n in zip(names, array.shape, strict=True)),
        blocks=ArrayBlocks(array),
        layout=Layout(order="detector-fast", evidence=("the test's word",)),
    )


@dataclass(frozen=True)
class Careless(ArrayBlocks):
    """Blocks that forget where a box begins."""

    def read_into(self, out: np.ndarray[Any, Any], start: Sequence[int]) -> None:
        """Copy a box from the beginning."""
        ArrayBlocks(self.array).read_into(out, [0] * len(start))


ARRAY = np.arange(120).reshape(2, 3, 4, 5)
BREACHES = {
    "title": {"title": ""},
    "kind": {"kind": "stack"},
    "no evidence": {"layout": Layout(order="scan-fast")},
    "unknown fact": {"facts": {"voltage": 1}},
    "NaN": {"facts": {"magnification": float("nan")}},
    "truth value": {"attributes": {"ready": True}},
    "nested": {"attributes": {"tags": {}}},
    "stray path": {"fact_paths": {"exposure_s": "a"}},
    "size": {"blocks": ArrayBlocks(np.zeros((2, 3, 4, 6)))},
    "big-endian": {"blocks": ArrayBlocks(ARRAY.astype(">u2"))},
    "objects": {"blocks": ArrayBlocks(ARRAY.astype(object))},
    "wrong box": {"blocks": Careless(ARRAY)},
    "useless scale": {"axes": (*good().axes[:3], Axis(name="det_x", size=5, scale=0.0))},
    "calibrated pixels": {"axes": (*good().axes[:3], Axis(name="det_x", size=5, calibrated=True))},
}


@pytest.mark.parametrize("breach", list(BREACHES))
def test_a_breach_is_noticed(breach: str) -> None:
    """The contract holds for a good document, and for none that breaks a promise."""
    check_document(good())
    with pytest.raises(AssertionError):
        check_document(dataclasses.replace(good(), **BREACHES[breach]))


@pytest.mark.parametrize(
    "change",
    [
        {"size": 2},
        {"main": 7},
        {"documents": ()},
        {"load_metadata": lambda: {"x": float("nan")}},
        {"documents": (dataclasses.replace(good(), slug="../evil"),)},
        {"documents": (dataclasses.replace(good(), slug="scan"),)},
        {"documents": (good(), dataclasses.replace(good(), index=1))},
    ],
)
def test_a_careless_source_is_noticed(tmp_path: Path, change: dict[str, Any]) -> None:
    """The contract holds for a good source, and for none that breaks a promise."""
    path = tmp_path / "file"
    path.write_bytes(b"x")

    def read(path: Path, _options: ReadOptions) -> Source:
        status = path.stat()
        return Source(
            path=path,
            format="test",
            size=status.st_size,
            modified_ns=status.st_mtime_ns,
            documents=(good(),),
            main=0,
        )

    check_reader(path, read=read)
    with pytest.raises(AssertionError):
        check_reader(path, read=lambda p, o: dataclasses.replace(read(p, o), **change))


def test_loading_pixels_is_noticed(tmp_path: Path) -> None:
    """A reader that loads pixels to find out what a file holds breaks the contract."""
    path = tmp_path / "large.npy"
    np.save(path, np.zeros((10, 10, 100, 100)))
    check_reader(path, memory=6_000_000)

    def greedy(path: Path, options: ReadOptions) -> Source:
        np.load(path)
        return read_source(path, options)

    with pytest.raises(AssertionError, match="allocated"):
        check_reader(path, read=greedy, memory=6_000_000)
