"""Training and validation from the same scan, without neighbours on both sides."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError
from stemzarr.options import check_whole
from stemzarr.torch.dataset import PatternDataset

__all__ = ["split_blocks"]


def split_blocks(
    dataset: PatternDataset,
    fraction: float = 0.2,
    *,
    tile: int = 16,
    gap: int = 1,
    seed: int = 0,
) -> tuple[PatternDataset, PatternDataset]:
    """Split patterns into training and validation by tiles of the scan.

    Neighbouring patterns are nearly the same, so that a random split tests a network on what it
    was trained with. Here whole tiles go to validation, and the positions around them to neither.

    Parameters
    ----------
    dataset
        The patterns.
    fraction
        Part of the tiles that validate.
    tile
        Least length of a tile in scan positions. Tiles are made of whole units of the disk, where
        that gives enough of them for the fraction; a scan of few units is cut through them.
    gap
        Positions around the validation tiles that take no part.
    seed
        The same seed gives the same tiles.

    Returns
    -------
    tuple
        Dataset for training, dataset for validation.

    Raises
    ------
    OptionError
        The fraction is not between 0 and 1, another number is not whole or too small, or a part
        would be empty.
    """
    tile, gap = check_whole("tile", tile, 1), check_whole("gap", gap, 0)
    _check_fraction(fraction)
    rng = np.random.default_rng(check_whole("seed", seed, 0))
    validating = [_choose(lead, unit, fraction, tile, rng) for lead, unit in dataset.tiles]
    validation = dataset.take(validating)
    training = dataset.take([~_grow(mask, gap) for mask in validating])
    if not len(validation) or not len(training):
        msg = f"tiles of {tile} positions leave no pattern for one of the parts"
        raise OptionError(msg, hint="choose a smaller tile or gap")
    return training, validation


def _check_fraction(fraction: object) -> None:
    if not isinstance(fraction, Real) or not 0 < float(fraction) < 1:
        msg = f"fraction is {fraction!r}"
        raise OptionError(msg, hint="it is between 0 and 1")


def _choose(
    lead: tuple[int, ...],
    unit: tuple[int, ...],
    fraction: float,
    tile: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Return which positions of a scan are in tiles that were chosen."""
    sizes = [min(n, math.ceil(tile / u) * u) for n, u in zip(lead, unit, strict=True)]
    if math.prod(_counts(lead, sizes)) < round(1 / min(fraction, 1 - fraction)):
        sizes = [min(n, tile) for n in lead]
    counts = _counts(lead, sizes)
    tiles = math.prod(counts)
    chosen = np.zeros(tiles, bool)
    chosen[rng.permutation(tiles)[: max(1, round(tiles * fraction))]] = True
    mask = chosen.reshape(counts)
    for dim, (n, size) in enumerate(zip(lead, sizes, strict=True)):
        mask = np.repeat(mask, size, axis=dim).take(range(n), axis=dim)
    return mask


def _counts(lead: tuple[int, ...], sizes: list[int]) -> list[int]:
    """Return how many tiles of `sizes` there are along each dim."""
    return [math.ceil(n / size) for n, size in zip(lead, sizes, strict=True)]


def _grow(mask: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
    """Return a mask that reaches `gap` positions further along every dim."""
    grown = mask.copy()
    for dim in range(mask.ndim):
        lines = np.moveaxis(grown, dim, 0)
        before = lines.copy()
        for step in range(1, gap + 1):
            lines[step:] |= before[:-step]
            lines[:-step] |= before[step:]
    return grown
