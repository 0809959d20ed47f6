"""Documents with large blocks on disk: held part by part, each part read once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.model import ArrayBlocks, Axis, Blocks, Document, read_box
from stemzarr.pixels import boxes
from stemzarr.pixels.resources import Resources
from stemzarr.testing import write_synthetic_dm4
from stemzarr.views import Box, View, apply, virtual_image
from stemzarr.views.slabs import map_document

DIMS = ("scan_y", "scan_x", "det_y", "det_x")


@dataclass(frozen=True)
class Costly:
    """Values whose blocks are large, which counts how many values were read."""

    array: NDArray[Any]
    block_shape: tuple[int, ...]
    read: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        self.read.append(out.size)
        ArrayBlocks(self.array).read_into(out, start)


def document_of(blocks: Blocks) -> Document:
    """Return a 4D scan of `blocks`."""
    axes = tuple(Axis(name=name, size=n) for name, n in zip(DIMS, blocks.shape, strict=True))
    return Document(index=0, slug="main", title="t", kind="4d-stem", axes=axes, blocks=blocks)


VIEWS = (
    View(),
    View(downsample=2, method="fft"),
    View(roi="scan_y=1:,det_x=2:7", scan_step=2),
    View(scan_downsample=2, downsample=(1, 3), reduce="sum"),
)


@given(
    st.tuples(st.integers(3, 6), st.integers(3, 6), st.just(9), st.just(10)),
    st.sampled_from(VIEWS),
    st.sampled_from([500, 3_000, 20_000]),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([(1, 1), (2, 3)]),
)
@settings(max_examples=40)
def test_boxes_of_slabs_give_the_document(
    shape: tuple[int, ...],
    view: View,
    memory: int,
    threads: int,
    split: bool,
    unit: tuple[int, int],
) -> None:
    """Whatever the budget, the boxes cover the view in order and hold what it holds."""
    array = np.random.default_rng(0).integers(0, 99, shape).astype(np.uint16)
    block = (*shape[:2], 1, shape[3]) if split else (2, 3, *shape[2:])
    document = apply(document_of(Costly(array, block)), view)
    whole = read_box(document.blocks, (0, 0, 0, 0), document.shape)
    rendered = np.full(whole.shape, 7, whole.dtype)
    units = (*unit, *document.shape[2:])

    def work(blocks: Blocks, box: Box) -> Box:
        rendered[box.slices()] = read_box(blocks, box.start, box.shape)
        return box

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "_BOX_BYTES", 512)
        found = list(
            map_document(
                work, document.blocks, 2, Resources(memory=memory, threads=threads), unit=units
            )
        )
    np.testing.assert_array_equal(rendered, whole)
    assert sum(box.size for box in found) == whole.size
    assert all(a % n == 0 for box in found for a, n in zip(box.start, units, strict=True))


def test_each_value_of_large_blocks_is_read_once() -> None:
    """A source that splits patterns is read once as a whole, in parts that fit half the budget."""
    array = np.arange(16 * 16 * 32 * 32, dtype=np.uint32).reshape(16, 16, 32, 32)
    source = Costly(array, (16, 16, 1, 32))
    memory = 256 * 1024
    for _ in map_document(
        lambda blocks, box: read_box(blocks, box.start, box.shape),
        source,
        2,
        Resources(memory=memory, threads=2),
    ):
        pass
    assert sum(source.read) == array.size
    assert max(source.read) * 4 <= memory // 2


def test_a_transposed_scan_exports_what_the_plain_one_does(tmp_path: Any) -> None:
    """Statistics, virtual images and rendered values do not depend on the order on disk."""
    import stemzarr

    shown = {}
    for layout in ("detector-fast", "scan-fast"):
        path = tmp_path / f"{layout}.dm4"
        write_synthetic_dm4(path, (7, 9), (16, 18), layout=layout)
        stemzarr.export(
            path, tmp_path / f"{layout}.npy", view=View(downsample=2, normalize="minmax")
        )
        image = virtual_image(stemzarr.registry.read_source(path).document, outer=None)
        shown[layout] = np.load(tmp_path / f"{layout}.npy"), image.to_numpy()
    for plain, turned in zip(*shown.values(), strict=True):
        np.testing.assert_array_equal(plain, turned)
        assert math.prod(plain.shape) > 0
