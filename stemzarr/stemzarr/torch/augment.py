"""Augmentation of batches on the device that trains, right for counts.

The order that keeps counts counts: `Orient` and `Shift` move whole pixels, then `Thin` or
`Resample` draw counts, then the scaling of the dataset (``scale_on_device=True``), and `Rotate`,
which interpolates, last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch

from stemzarr.errors import OptionError
from stemzarr.options import check_whole

__all__ = ["Orient", "Resample", "Rotate", "Shift", "Thin"]

_SYMMETRIES = 8
_ABOVE_ZERO = math.ulp(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orient:
    """Turns each pattern by a random multiple of 90° and mirrors it at random: no value changes.

    Patterns that are not square are rotated by 180° and mirrored.

    Examples
    --------
    >>> batch = torch.arange(6).reshape(1, 1, 2, 3)
    >>> int(Orient()(batch).sum())
    15
    """

    generator: torch.Generator | None = None
    """Source of random numbers; that of torch where None."""

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return patterns (N, 1, det_y, det_x) of the same type, each in an orientation of its own.

        Raises
        ------
        OptionError
            It is not a batch of patterns.
        """
        _check_batch(batch)
        square = batch.shape[-2] == batch.shape[-1]
        chosen = _draw(batch, 0, _SYMMETRIES, self.generator)
        turns = chosen // 2 if square else 2 * (chosen // 4)
        given, batch = batch, _as_signed(batch)
        out = torch.empty_like(batch)
        for turn in range(0, 4, 1 if square else 2):
            for mirrored in range(2):
                some = (turns == turn) & (chosen % 2 == mirrored)
                turned = torch.rot90(batch[some], turn, (-2, -1)) if turn else batch[some]
                out[some] = turned.flip(-1) if mirrored else turned
        return out.view(given.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Moves each pattern by whole pixels at random, as a descan that is not right; 0 comes in."""

    most: int
    """The most pixels, along each dim and in each direction."""
    generator: torch.Generator | None = None
    """Source of random numbers; that of torch where None."""

    def __post_init__(self) -> None:
        """Refuse what is not a number of pixels."""
        check_whole("most", self.most, 0)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return patterns (N, 1, det_y, det_x) of the same type, each moved.

        Raises
        ------
        OptionError
            It is not a batch of patterns.
        """
        _check_batch(batch)
        out = _as_signed(batch)
        for dim in (-2, -1):
            size = batch.shape[dim]
            by = _draw(batch, -self.most, self.most + 1, self.generator)
            places = torch.arange(size, device=batch.device) - by[:, None]
            inside = (places >= 0) & (places < size)
            shape = [len(batch), 1, 1, 1]
            shape[dim] = size
            index = places.clamp(0, size - 1).reshape(shape).expand_as(out)
            out = torch.where(inside.reshape(shape), out.gather(dim, index), out.new_zeros(()))
        return out.view(batch.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thin:
    """Keeps each count with a probability, as a lower dose would have recorded the pattern.

    What follows a Poisson distribution does so afterwards, with that part of its mean.
    """

    keep: float
    """Probability that a count stays."""
    generator: torch.Generator | None = None
    """Source of random numbers; that of torch where None."""

    def __post_init__(self) -> None:
        """Refuse what is not a probability."""
        _check_number("keep", self.keep, (_ABOVE_ZERO, 1.0), "it is above 0 and at most 1")

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return counts (N, 1, det_y, det_x) as float32.

        Raises
        ------
        OptionError
            The batch does not hold counts.
        """
        counts = _take_counts(batch)
        kept = torch.full_like(counts, float(self.keep))
        return torch.binomial(counts, kept, generator=self.generator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resample:
    """Draws each count again from a Poisson distribution around it, at the dose times a factor.

    The noise of the new counts comes on top of that of the recorded ones: for patterns with few
    counts use `Thin`, which adds none.
    """

    dose: float = 1.0
    """Factor of the dose."""
    generator: torch.Generator | None = None
    """Source of random numbers; that of torch where None."""

    def __post_init__(self) -> None:
        """Refuse what is not a factor."""
        _check_number("dose", self.dose, (_ABOVE_ZERO, 1e9), "it is above 0, and 1 by default")

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return counts (N, 1, det_y, det_x) as float32.

        Raises
        ------
        OptionError
            The batch does not hold counts.
        """
        means = _take_counts(batch) * float(self.dose)
        return torch.poisson(means, generator=self.generator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """Turns each pattern by a random angle around its middle, linearly interpolated; 0 comes in.

    What it gives are no counts: it is for after the scaling.
    """

    most_deg: float = 180.0
    """The largest angle, in either direction."""
    generator: torch.Generator | None = None
    """Source of random numbers; that of torch where None."""

    def __post_init__(self) -> None:
        """Refuse what is not an angle."""
        _check_number("most_deg", self.most_deg, (0.0, 180.0), "it is from 0 to 180")

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return patterns (N, 1, det_y, det_x) of the same floating-point type, each turned.

        Raises
        ------
        OptionError
            It is not a batch of patterns, or holds whole numbers.
        """
        _check_batch(batch)
        if not batch.is_floating_point():
            msg = f"a batch of {batch.dtype} cannot be interpolated"
            raise OptionError(msg, hint="scale it first; Orient turns counts by 90°")
        drawn = torch.rand(len(batch), generator=self.generator, device=_device(batch, self))
        angle = torch.deg2rad((2 * drawn - 1) * float(self.most_deg)).to(batch.device)
        height, width = batch.shape[-2:]
        cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
        # grid_sample counts half the detector as 1, along each dim.
        rows = [
            torch.stack([cos, -sin * height / width, zero], 1),
            torch.stack([sin * width / height, cos, zero], 1),
        ]
        matrices = torch.stack(rows, 1).to(batch.dtype)
        grid = torch.nn.functional.affine_grid(matrices, list(batch.shape), align_corners=False)
        return torch.nn.functional.grid_sample(batch, grid, align_corners=False)


def _check_number(name: str, value: object, ends: tuple[float, float], hint: str) -> None:
    if not isinstance(value, Real) or not ends[0] <= float(value) <= ends[1]:
        raise OptionError(f"{name} is {value!r}", hint=hint)


def _check_batch(batch: object) -> None:
    if not isinstance(batch, torch.Tensor) or batch.ndim != 4 or batch.shape[1] != 1:  # noqa: PLR2004 - (N, 1, det_y, det_x)
        found = tuple(batch.shape) if isinstance(batch, torch.Tensor) else type(batch).__name__
        msg = f"a batch of patterns is (N, 1, det_y, det_x), not {found}"
        raise OptionError(msg, hint="with targets, the first of a batch is its patterns")


def _as_signed(batch: torch.Tensor) -> torch.Tensor:
    """Return the same bytes in a type that torch moves: of unsigned ones it knows uint8 alone."""
    signed = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
    return batch.view(signed.get(batch.dtype, batch.dtype))


def _take_counts(batch: torch.Tensor) -> torch.Tensor:
    """Return a batch as float32 counts, or say that it holds something else."""
    _check_batch(batch)
    counts = batch.to(torch.float32)
    if bool(((counts < 0) | (counts != counts.floor())).any()):
        msg = "the batch holds values that are not counts: negative, or not whole"
        hint = "give counts: scale_on_device=True, without a view that takes means (reduce='sum')"
        raise OptionError(msg, hint=hint)
    return counts


def _device(batch: torch.Tensor, augmentation: Any) -> torch.device:  # noqa: ANN401 - one of ours
    generator: torch.Generator | None = augmentation.generator
    return batch.device if generator is None else generator.device


def _draw(
    batch: torch.Tensor, low: int, high: int, generator: torch.Generator | None
) -> torch.Tensor:
    """Return a random whole number for each pattern, from `low` to below `high`."""
    device = batch.device if generator is None else generator.device
    drawn = torch.randint(low, high, (len(batch),), generator=generator, device=device)
    return drawn.to(batch.device)
