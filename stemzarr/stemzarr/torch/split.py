"""Training, validation and further parts of the same scan, without neighbours on two sides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import overload

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError
from stemzarr.options import check_whole
from stemzarr.torch.dataset import PatternDataset

__all__ = ["split_blocks"]


@overload
def split_blocks(
    dataset: PatternDataset,
    fraction: float = 0.2,
    *,
    tile: int = 16,
    gap: int = 1,
    seed: int = 0,
) -> tuple[PatternDataset, PatternDataset]: ...


@overload
def split_blocks(
    dataset: PatternDataset,
    fraction: Mapping[str, float],
    *,
    tile: int = 16,
    gap: int = 1,
    seed: int = 0,
) -> dict[str, PatternDataset]: ...


def split_blocks(
    dataset: PatternDataset,
    fraction: float | Mapping[str, float] = 0.2,
    *,
    tile: int = 16,
    gap: int = 1,
    seed: int = 0,
) -> tuple[PatternDataset, PatternDataset] | dict[str, PatternDataset]:
    """Split patterns into training and validation, or into any parts, by tiles of the scan.

    Neighbouring patterns are nearly the same, so that a random split tests a network on what it
    was trained with. Here whole tiles go to validation, and the positions around them to neither.
    `PatternDataset.counts` tells how many patterns of each scan a part has.

    Parameters
    ----------
    dataset
        The patterns.
    fraction
        Part of the tiles that validate; or the share of each of several parts by its name, such as
        ``{"training": 0.7, "validation": 0.15, "test": 0.15}``. The first part is what trains: it
        takes what the others leave.
    tile
        Least length of a tile in scan positions. Tiles are made of whole units of the disk, where
        that gives enough of them for the fraction; a scan of few units is cut through them.
    gap
        Positions around the tiles of a part that are in no part named before it, so that patterns
        of two parts are always further apart.
    seed
        The same seed gives the same tiles.

    Returns
    -------
    tuple or dict
        Dataset for training, dataset for validation; or the dataset of each part by its name.

    Raises
    ------
    OptionError
        The fraction is not between 0 and 1, shares do not sum to 1, another number is not whole or
        too small, a part would be empty, or a scan would give no pattern to the first part.
    """
    tile, gap = check_whole("tile", tile, 1), check_whole("gap", gap, 0)
    shares = _read_shares(fraction)
    rng = np.random.default_rng(check_whole("seed", seed, 0))
    chosen = [_choose(lead, unit, shares[1:], tile, rng) for lead, unit in dataset.tiles]
    parts = [
        dataset.take([_keep_apart(numbers, part, gap) for numbers in chosen])
        for part in range(len(shares))
    ]
    _check_parts(dataset, parts, tile)
    if isinstance(fraction, Mapping):
        return dict(zip(fraction, parts, strict=True))
    return parts[0], parts[1]


def _read_shares(fraction: object) -> list[float]:
    """Return the share of each part, that of training first."""
    if isinstance(fraction, Mapping):
        shares = list(fraction.values())
        if len(shares) < 2 or not all(isinstance(s, Real) and 0 < float(s) < 1 for s in shares):  # noqa: PLR2004 - one part is no split
            msg = f"the parts are {dict(fraction)}"
            raise OptionError(msg, hint="give two or more, each a share between 0 and 1")
        if not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise OptionError(f"the shares sum to {sum(shares):g}", hint="they are to sum to 1")
        return [float(share) for share in shares]
    if not isinstance(fraction, Real) or not 0 < float(fraction) < 1:
        msg = f"fraction is {fraction!r}"
        raise OptionError(msg, hint="it is between 0 and 1")
    return [1 - float(fraction), float(fraction)]


def _check_parts(dataset: PatternDataset, parts: Sequence[PatternDataset], tile: int) -> None:
    """Refuse a split by which a part would be empty, or a scan would not train at all."""
    if not all(map(len, parts)):
        msg = f"tiles of {tile} positions leave no pattern for one of the parts"
        raise OptionError(msg, hint="choose a smaller tile or gap")
    lost = [
        f"{number} ({document.title or document.slug})"
        for number, document in enumerate(dataset.documents)
        if dataset.counts[number] and not parts[0].counts[number]
    ]
    if lost:
        msg = f"scans {', '.join(lost)} would give no pattern to the first part"
        hint = "choose a smaller tile or gap, or give whole scans to the parts with split_scans"
        raise OptionError(msg, hint=hint)


def _choose(
    lead: tuple[int, ...],
    unit: tuple[int, ...],
    shares: Sequence[float],
    tile: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return for each position of a scan in which part its tile is; 0 is the first."""
    sizes = [min(n, math.ceil(tile / u) * u) for n, u in zip(lead, unit, strict=True)]
    if math.prod(_counts(lead, sizes)) < round(1 / min(*shares, 1 - sum(shares))):
        sizes = [min(n, tile) for n in lead]
    counts = _counts(lead, sizes)
    tiles = math.prod(counts)
    order, chosen = rng.permutation(tiles), np.zeros(tiles, np.int64)
    first = 0
    for part, share in enumerate(shares, 1):
        last = first + max(1, round(tiles * share))
        chosen[order[first:last]] = part
        first = last
    parts = chosen.reshape(counts)
    for dim, (n, size) in enumerate(zip(lead, sizes, strict=True)):
        parts = np.repeat(parts, size, axis=dim).take(range(n), axis=dim)
    return parts


def _keep_apart(chosen: NDArray[np.int64], part: int, gap: int) -> NDArray[np.bool_]:
    """Return the positions of a part that are further than the gap from all parts after it."""
    near: NDArray[np.bool_] = _grow(chosen > part, gap)
    kept: NDArray[np.bool_] = (chosen == part) & ~near
    return kept


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
