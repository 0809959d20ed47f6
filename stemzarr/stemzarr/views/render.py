"""The pixels of views, rendered when they are read."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Blocks, Statistics, box_of, read_box
from stemzarr.pixels.boxes import Box, fill_box, grid
from stemzarr.pixels.buffers import borrow
from stemzarr.views.kernels import downsample_view, join_scan, output_sizes, rendered_dtype
from stemzarr.views.normalize import Scaling, cast_checked
from stemzarr.views.view import View

__all__ = ["Selection", "ViewBlocks"]

_CACHE_BYTES = 2 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which pixels of one dim of the source a view uses, before anything is joined."""

    start: int
    """First pixel."""
    step: int
    """Distance of neighbouring pixels."""
    size: int
    """Number of pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewBlocks:
    """The pixels of a view, rendered from those of its source when they are read."""

    base: Blocks
    """The pixels of the whole document."""
    view: View
    """The recipe."""
    selections: tuple[Selection, ...]
    """For every dim, which pixels of the source take part."""
    scan_ndim: int
    """How many of the first dims are scan dims that the view may join."""
    pattern_ndim: int
    """How many of the last dims are one pattern."""
    scaling: Scaling
    """What happens to the values last, before they are cast."""
    statistics: Statistics | None = None
    """Statistics of the values before they are scaled, where they are known."""
    dtype: np.dtype[Any]
    """Type of the rendered values."""
    piece_bytes: int
    """How much of the source is held at once by one read."""

    shape: tuple[int, ...] = field(init=False)
    """Lengths of the dims of the view."""
    block_shape: tuple[int, ...] = field(init=False)
    """The box of the view that follows from one block of the source."""
    _joined: tuple[int, ...] = field(init=False)
    """How many selected pixels of each dim become one."""
    _detector: bool = field(init=False)
    """Whether the view changes the detector."""

    def __post_init__(self) -> None:
        """Work out what every read needs.

        Raises
        ------
        OptionError
            A factor is larger than the detector.
        """
        detector, joins = self.view.changes_detector, self.view.scan_downsample
        sizes, joined = [s.size for s in self.selections], [1] * len(self.selections)
        for dim in range(self.scan_ndim):
            sizes[dim] //= joins
            joined[dim] = joins
        if detector:
            sizes[-2:] = output_sizes(tuple(sizes[-2:]), self.view)
            joined[-2:] = self.view.factors
        strides = [s.step * n for s, n in zip(self.selections, joined, strict=True)]
        blocks = [
            min(size, max(1, math.ceil(block / stride)))
            for block, stride, size in zip(self.base.block_shape, strides, sizes, strict=True)
        ]
        found = {"shape": tuple(sizes), "block_shape": tuple(blocks), "_joined": tuple(joined)}
        for name, value in {**found, "_detector": detector}.items():
            object.__setattr__(self, name, value)

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Render the box of ``out.shape`` at `start` into `out`, in pieces of whole patterns."""
        window, inner = self._window(tuple(start), out.shape)
        for piece in self._pieces(out.shape):
            with self._read_piece(piece, tuple(start), window) as read:
                joins = self.scan_ndim and self.view.scan_downsample > 1
                n, reduce = self.view.scan_downsample, self.view.reduce
                values = join_scan(read, n, reduce) if joins else read
                self._render(values, out[piece], inner)

    @property
    def nbytes_read(self) -> int:
        """Size of what the whole view is made of."""
        return math.prod(s.size for s in self.selections) * self.base.dtype.itemsize

    def source_box(
        self, start: Sequence[int], shape: Sequence[int]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return start and shape of the part of the source that a box of the view is made of."""
        window, _ = self._window(tuple(start), tuple(shape))
        lead = zip(start[: len(shape) - self.pattern_ndim], shape, self._joined, strict=False)
        parts = [*(slice(a * n, (a + size) * n) for a, size, n in lead), *window]
        both = list(zip(self.selections, parts, strict=True))
        return (
            tuple(s.start + part.start * s.step for s, part in both),
            tuple((part.stop - part.start - 1) * s.step + 1 for s, part in both),
        )

    def sources_of(self, box: Box) -> Iterator[tuple[Blocks, Box]]:
        """Yield what is read of the source for a box of the view: no row that is jumped over."""
        start, shape = self.source_box(box.start, box.shape)
        steps = [
            n if self._reads_through(dim) else selection.step
            for dim, (selection, n) in enumerate(zip(self.selections, shape, strict=True))
        ]
        for jump in itertools.product(*map(range, [0] * len(shape), shape, steps)):
            corner = tuple(a + step for a, step in zip(start, jump, strict=True))
            whole = (n if n == step else 1 for n, step in zip(shape, steps, strict=True))
            yield self.base, Box(corner, tuple(whole))

    def _render(self, values: NDArray[Any], out: NDArray[Any], inner: tuple[slice, ...]) -> None:
        """Downsample, scale and cast a piece, few patterns at a time.

        So many that caches hold them, and that threads do not wait for each other between calls.
        """
        lead = values.shape[: values.ndim - self.pattern_ndim]
        few = max(1, _CACHE_BYTES // max(1, 4 * math.prod(values.shape[len(lead) :])))
        straight = (
            self._detector
            and rendered_dtype(values.dtype, self.view) == self.dtype
            and out.shape[-2:] == output_sizes(values.shape[-2:], self.view)
            and out.flags.c_contiguous
        )
        parts: Iterable[tuple[slice, ...]] = ((),)
        if math.prod(lead[:-1]) > 1 or math.prod(lead) > few:
            parts = grid(lead, [*(1 for _ in lead[1:]), few])
        for part in parts:
            rendered = values[part]
            if self._detector:
                rendered = downsample_view(rendered, self.view, out[part] if straight else None)
            scaled = self.scaling.apply(rendered)
            if not straight or scaled is not rendered:
                cast_checked(scaled[_keep(inner)], self.dtype, out[part])

    def _window(
        self, start: tuple[int, ...], shape: tuple[int, ...]
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return which part of each pattern to read, and which part of the result to keep."""
        first = len(shape) - self.pattern_ndim
        wanted = box_of(start[first:], shape[first:])
        if self._detector and self.view.method in ("gauss", "fft"):
            return tuple(slice(0, s.size) for s in self.selections[first:]), wanted
        joined, selected = self._joined[first:], self.selections[first:]
        read = []
        for part, factor, selection, size in zip(
            wanted, joined, selected, self.shape[first:], strict=True
        ):
            whole = part.start == 0 and part.stop == size
            stop = selection.size if whole else part.stop * factor
            read.append(slice(part.start * factor, stop))
        return tuple(read), tuple(slice(0, part.stop - part.start) for part in wanted)

    def _pieces(self, shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
        """Cut the leading dims of a box so that the source of each piece fits `piece_bytes`."""
        lead = shape[: len(shape) - self.pattern_ndim]
        values = math.prod(s.size for s in self.selections[len(lead) :])
        costs = [
            joined * (selection.step if self._reads_through(dim) else 1)
            for dim, (selection, joined) in enumerate(
                zip(self.selections[: len(lead)], self._joined, strict=False)
            )
        ]
        budget = self.piece_bytes // max(1, values * self.base.dtype.itemsize)
        if math.prod(lead) * math.prod(costs) <= budget:
            return iter([tuple(slice(0, n) for n in lead)])
        # Counted in positions of the source, so many to one of the view.
        spans = [n * cost for n, cost in zip(lead, costs, strict=True)]
        blocks = [n * cost for n, cost in zip(self.block_shape, costs, strict=False)]
        box = fill_box(spans, budget, least=costs, unit=costs, block=blocks)
        return grid(lead, [n // cost for n, cost in zip(box, costs, strict=True)])

    def _reads_through(self, dim: int) -> bool:
        """Whether unselected positions of a dim are read along, since a block holds several."""
        return self.selections[dim].step <= self.base.block_shape[dim]

    @contextlib.contextmanager
    def _read_piece(
        self, piece: tuple[slice, ...], start: tuple[int, ...], window: tuple[slice, ...]
    ) -> Iterator[NDArray[Any]]:
        """Give the selected pixels that a piece is made of, in memory that is borrowed."""
        lead = zip(start, piece, self._joined, strict=False)
        wanted = [
            *(slice((a + part.start) * n, (a + part.stop) * n) for a, part, n in lead),
            *window,
        ]
        shape = tuple(part.stop - part.start for part in wanted)
        first = tuple(
            s.start + part.start * s.step for s, part in zip(self.selections, wanted, strict=True)
        )
        steps = tuple(selection.step for selection in self.selections)
        through = tuple(step if self._reads_through(d) else 1 for d, step in enumerate(steps))
        jumps = [d for d, step in enumerate(steps) if step > 1 and through[d] == 1]
        if not jumps:
            with borrow(_extent(shape, through), self.base.dtype) as values:
                self.base.read_into(values, first)
                yield values[tuple(slice(None, None, step) for step in through)]
            return
        with borrow(shape, self.base.dtype) as out:
            single = tuple(1 if d in jumps else n for d, n in enumerate(shape))
            for index in np.ndindex(*(shape[d] for d in jumps)):
                place = dict(zip(jumps, index, strict=True))
                corner = tuple(a + place.get(d, 0) * steps[d] for d, a in enumerate(first))
                box = tuple(
                    slice(place[d], place[d] + 1) if d in place else slice(None)
                    for d in range(len(shape))
                )
                values = read_box(self.base, corner, _extent(single, through))
                out[box] = values[tuple(slice(None, None, step) for step in through)]
            yield out


def _extent(shape: tuple[int, ...], steps: tuple[int, ...]) -> tuple[int, ...]:
    """Return how many pixels `shape` of them span, each `steps` after the one before."""
    return tuple((n - 1) * step + 1 for n, step in zip(shape, steps, strict=True))


def _keep(inner: tuple[slice, ...]) -> Any:  # noqa: ANN401 - numpy's own index type is private
    return (..., *inner)
