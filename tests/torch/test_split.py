"""Splits of a scan into training and validation."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stemzarr.errors import OptionError
from stemzarr.model import ArrayBlocks, Axis, Document, dims_of_kind

pytest.importorskip("torch")

from stemzarr.torch import PatternDataset, split_blocks

SHAPE = (9, 14, 8, 10)
VALUES = np.zeros(SHAPE, np.float32)
# every pattern says where it is
VALUES[..., 0, 0] = np.arange(9)[:, np.newaxis]
VALUES[..., 0, 1] = np.arange(14)


@dataclasses.dataclass(frozen=True)
class Units(ArrayBlocks):
    """An array in blocks of the disk."""

    block: tuple[int, ...]

    @property
    def block_shape(self) -> tuple[int, ...]:
        return self.block


def dataset_of(block: tuple[int, ...]) -> PatternDataset:
    """Return the patterns of a scan in blocks of that shape."""
    named = zip(dims_of_kind("4d-stem", 4), SHAPE, strict=True)
    axes = tuple(Axis(name=name, size=size) for name, size in named)
    blocks = Units(VALUES, block=block)
    document = Document(index=0, slug="scan", title="", kind="4d-stem", axes=axes, blocks=blocks)
    return PatternDataset(document)


@given(
    st.integers(1, 4),
    st.integers(0, 2),
    st.floats(0.1, 0.6),
    st.integers(0, 3),
    st.sampled_from([(1, 2, 8, 10), SHAPE]),
)
def test_a_block_split_keeps_neighbours_apart(
    tile: int, gap: int, fraction: float, seed: int, block: tuple[int, ...]
) -> None:
    """Training and validation share no pattern, and none of theirs are nearer than the gap.

    Also where the whole scan is one block of the disk.
    """
    sizes = (tile, tile if block == SHAPE else tile + tile % 2)
    tiles = -(-9 // sizes[0]) * -(-14 // sizes[1])
    chosen = max(1, round(tiles * fraction))
    assume(gap == 0 or chosen * (sizes[0] + 2 * gap) * (sizes[1] + 2 * gap) < 9 * 14)
    dataset = dataset_of(block)
    training, validation = split_blocks(dataset, fraction, tile=tile, gap=gap, seed=seed)
    places = [
        np.array([part.position(index)[1] for index in range(len(part))])
        for part in (training, validation)
    ]
    apart = np.abs(places[0][:, np.newaxis] - places[1][np.newaxis]).max(axis=2)
    assert apart.min() > gap
    if gap == 0:
        assert len(training) + len(validation) == len(dataset)
    assert len(validation) <= chosen * sizes[0] * sizes[1]
    np.testing.assert_array_equal(training[0][0, 0, :2], places[0][0])


@given(st.integers(1, 3), st.integers(0, 1), st.integers(0, 9), st.integers(2, 4))
def test_any_number_of_parts_are_kept_apart(tile: int, gap: int, seed: int, count: int) -> None:
    """No two parts share a pattern or have neighbours within the gap, and each has its share."""
    dataset = dataset_of(SHAPE)
    shares = {f"part {n}": 0.5 if n == 0 else 0.5 / (count - 1) for n in range(count)}
    try:
        parts = split_blocks(dataset, shares, tile=tile, gap=gap, seed=seed)
    except OptionError as error:
        assume("leave no pattern" not in error.message)
        raise
    assert list(parts) == list(shares)
    places = [part.positions()[1] for part in parts.values()]
    for number, one in enumerate(places):
        for other in places[number + 1 :]:
            apart = np.abs(one[:, np.newaxis] - other[np.newaxis]).max(axis=2)
            assert apart.min() > gap
    if gap == 0:
        assert sum(map(len, places)) == len(dataset)
    assert [part.counts for part in parts.values()] == [(len(some),) for some in places]


def test_a_scan_that_would_not_train_is_named() -> None:
    """Of several scans, one that a single tile covers gives no pattern to training."""
    large = dataset_of(SHAPE).documents[0]
    axes = tuple(
        dataclasses.replace(axis, size=n) for axis, n in zip(large.axes, (2, 3, 8, 10), strict=True)
    )
    small = dataclasses.replace(
        large, axes=axes, blocks=ArrayBlocks(VALUES[:2, :3]), title="small one"
    )
    with pytest.raises(OptionError, match=r"scans 1 \(small one\) would give no pattern"):
        split_blocks(PatternDataset([large, small]), tile=4)
    assert min(split_blocks(PatternDataset([large, small]), tile=1, gap=0)[0].counts) > 0


@pytest.mark.parametrize("shares", [{"a": 1.0}, {"a": 0.5, "b": 0.4}, {"a": 0.5, "b": "x"}])
def test_shares_that_do_not_make_a_whole_are_refused(shares: Any) -> None:
    """Each part has a share, and all together are 1."""
    with pytest.raises(OptionError, match=r"share|parts are"):
        split_blocks(dataset_of(SHAPE), shares)


def test_a_split_that_leaves_nothing_is_refused() -> None:
    """A tile as large as the scan, or a gap that takes the rest, is an error with a way out."""
    dataset = dataset_of(SHAPE)
    for choice in ({"tile": 16}, {"tile": 4, "gap": 14}):
        with pytest.raises(OptionError, match="choose a smaller tile or gap"):
            split_blocks(dataset, **choice)
    assert all(len(part) for part in split_blocks(dataset, tile=4))


@pytest.mark.parametrize(
    "fields", [{"fraction": "a"}, {"fraction": 1}, {"tile": 1.5}, {"seed": -1}]
)
def test_a_split_refuses_what_cannot_be_split(fields: dict[str, Any]) -> None:
    """A fraction outside 0 to 1, and numbers that are not whole, are named."""
    with pytest.raises(OptionError, match=f"{next(iter(fields))} is"):
        split_blocks(dataset_of(SHAPE), **fields)
