"""Views of documents: rendered when they are read, with exact axes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.model import Axis, Blocks, Brightness, Document, Statistics, read_box
from stemzarr.options import available_threads
from stemzarr.views.boxes import align, grid, splits_patterns
from stemzarr.views.kernels import (
    downsample_view,
    join_scan,
    output_sizes,
    sum_dtype,
    working_dtype,
)
from stemzarr.views.moments import measure_blocks
from stemzarr.views.normalize import Scaling, cast_checked, scaling_from
from stemzarr.views.region import parse_roi, resolve_span
from stemzarr.views.view import View

__all__ = ["ViewBlocks", "apply", "measure_document"]

_SCAN = ("scan_y", "scan_x")
_DETECTOR = ("det_y", "det_x")
_PIECE_BYTES = 4 * 1024**2
_CACHE_BYTES = 1024**2
_MEMORY = 256 * 1024**2


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

    source: Blocks
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
    piece_bytes: int = _PIECE_BYTES
    """How much of the source is held at once by one read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims of the view."""
        sizes = [selection.size for selection in self.selections]
        for dim in range(self.scan_ndim):
            sizes[dim] //= self.view.scan_downsample
        if self._detector:
            sizes[-2:] = output_sizes(tuple(sizes[-2:]), self.view)
        return tuple(sizes)

    @property
    def block_shape(self) -> tuple[int, ...]:
        """The box of the view that follows from one block of the source."""
        blocks = []
        joined = self._joined
        for dim, (block, size) in enumerate(zip(self.source.block_shape, self.shape, strict=True)):
            stride = self.selections[dim].step * joined[dim]
            blocks.append(min(size, max(1, math.ceil(block / stride))))
        return tuple(blocks)

    @property
    def _detector(self) -> bool:
        """Whether the view changes the detector."""
        return self.view.changes_detector

    @property
    def _joined(self) -> tuple[int, ...]:
        """How many selected pixels of each dim become one."""
        joined = [1] * len(self.selections)
        joined[: self.scan_ndim] = [self.view.scan_downsample] * self.scan_ndim
        if self._detector:
            joined[-2:] = self.view.factors
        return tuple(joined)

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Render the box of ``out.shape`` at `start` into `out`, in pieces of whole patterns."""
        window, inner = self._window(tuple(start), out.shape)
        for piece in self._pieces(out.shape):
            values = self._read_piece(piece, tuple(start), window)
            if self.scan_ndim and self.view.scan_downsample > 1:
                values = join_scan(values, self.view.scan_downsample, self.view.reduce)
            self._render(values, out[piece], inner)

    def _render(self, values: NDArray[Any], out: NDArray[Any], inner: tuple[slice, ...]) -> None:
        """Downsample, scale and cast a piece, few patterns at a time so that caches hold them."""
        lead = values.shape[: values.ndim - self.pattern_ndim]
        pattern = values[(0,) * len(lead)].size * 4
        few = max(1, _CACHE_BYTES // max(1, pattern))
        lengths = [1] * len(lead)
        if lead:
            lengths[-1] = few
        for part in grid(lead, lengths):
            rendered = values[part]
            if self._detector:
                rendered = downsample_view(rendered, self.view)
            rendered = self.scaling.apply(rendered)
            cast_checked(rendered[_keep(inner)], self.dtype, out[part])

    def _window(
        self, start: tuple[int, ...], shape: tuple[int, ...]
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return which part of each pattern to read, and which part of the result to keep."""
        first = len(shape) - self.pattern_ndim
        wanted = [slice(a, a + n) for a, n in zip(start[first:], shape[first:], strict=True)]
        if self._detector and self.view.method in ("gauss", "fft"):
            return tuple(slice(0, s.size) for s in self.selections[first:]), tuple(wanted)
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
                zip(self.selections, self._joined, strict=True)
            )
        ]
        room = self.piece_bytes // max(1, values * self.source.dtype.itemsize)
        lengths = [1] * len(lead)
        for dim in reversed(range(len(lead))):
            room //= costs[dim]
            if room < 2:  # noqa: PLR2004 - one position at least
                break
            lengths[dim] = align(room, 1, self.block_shape[dim], lead[dim])
            if lengths[dim] < lead[dim]:
                break
            room //= lengths[dim]
        return grid(lead, lengths)

    def _reads_through(self, dim: int) -> bool:
        """Whether unselected positions of a dim are read along, since a block holds several."""
        return self.selections[dim].step <= self.source.block_shape[dim]

    def _read_piece(
        self, piece: tuple[slice, ...], start: tuple[int, ...], window: tuple[slice, ...]
    ) -> NDArray[Any]:
        wanted = [
            slice((a + part.start) * joined, (a + part.stop) * joined)
            for a, part, joined in zip(start, piece, self._joined, strict=False)
        ]
        return self._read([*wanted, *window])

    def _read(self, wanted: list[slice]) -> NDArray[Any]:
        """Read selected pixels, counted within the selection, along every dim."""
        shape = tuple(part.stop - part.start for part in wanted)
        first = tuple(
            s.start + part.start * s.step for s, part in zip(self.selections, wanted, strict=True)
        )
        steps = tuple(selection.step for selection in self.selections)
        through = tuple(step if self._reads_through(d) else 1 for d, step in enumerate(steps))
        jumps = [d for d, step in enumerate(steps) if step > 1 and through[d] == 1]
        if not jumps:
            return self._read_through(first, shape, through)
        out = np.empty(shape, self.source.dtype)
        single = tuple(1 if d in jumps else n for d, n in enumerate(shape))
        for index in np.ndindex(*(shape[d] for d in jumps)):
            place = dict(zip(jumps, index, strict=True))
            corner = tuple(a + place.get(d, 0) * steps[d] for d, a in enumerate(first))
            box = tuple(
                slice(place[d], place[d] + 1) if d in place else slice(None)
                for d in range(len(shape))
            )
            out[box] = self._read_through(corner, single, through)
        return out

    def _read_through(
        self, first: tuple[int, ...], shape: tuple[int, ...], steps: tuple[int, ...]
    ) -> NDArray[Any]:
        extent = tuple((n - 1) * step + 1 for n, step in zip(shape, steps, strict=True))
        values = read_box(self.source, first, extent)
        if all(step == 1 for step in steps):
            return values
        return values[tuple(slice(None, None, step) for step in steps)]


def _keep(inner: tuple[slice, ...]) -> Any:  # noqa: ANN401 - numpy's own index type is private
    return (..., *inner)


def apply(
    document: Document, view: View, *, threads: int | None = None, memory: int = _MEMORY
) -> Document:
    """Return a document that shows another through a view; its pixels are rendered when read.

    Parameters
    ----------
    document
        The document; what the view asks for must be among its dims.
    view
        The recipe.
    threads
        Threads of the extra pass that a normalisation may need; all processors where None.
    memory
        Budget in bytes of that pass.

    Returns
    -------
    Document
        The same document with other axes and values. Nothing is read, except where the
        normalisation needs statistics that the document does not have: then all of the view is
        rendered once.

    Raises
    ------
    OptionError
        The view does not fit the document: a dim that it lacks, a region outside, a factor
        larger than the axis.
    UnsupportedDataError
        The values cannot be treated as asked for.
    """
    if view == View():
        return document
    threads = threads or available_threads()
    blocks = _plan_blocks(document, view, memory // (2 * threads + 2), memory)
    statistics = document.statistics if view.keeps_values else None
    if view.normalize in ("log1p-zscore", "minmax") and statistics is None:
        plain = dataclasses.replace(view, normalize="none", clip_negative=False, dtype=None)
        unscaled = dataclasses.replace(blocks, dtype=_rendered_dtype(document, plain))
        statistics = measure_blocks(unscaled, document.pattern_ndim, threads=threads, memory=memory)
    scaling = scaling_from(view.normalize, statistics, clip=view.clip_negative)
    blocks = dataclasses.replace(blocks, scaling=scaling, statistics=statistics)
    _check_fits(document.statistics, view, blocks)
    return _label(document, view, blocks)


def _plan_blocks(document: Document, view: View, share: int, memory: int) -> ViewBlocks:
    axes, dims = document.axes, document.dims
    scan_ndim = 2 if dims[:2] == _SCAN else 0
    if (view.scan_step > 1 or view.scan_downsample > 1) and not scan_ndim:
        _refuse(document, "scan positions")
    if view.changes_detector and dims[-2:] != _DETECTOR:
        _refuse(document, "a detector")
    spans = {span.dim: resolve_span(span, document.axis(span.dim)) for span in parse_roi(view.roi)}
    selections = []
    for dim, size in enumerate(document.shape):
        start, stop = spans.get(dims[dim], (0, size))
        step = view.scan_step if dim < scan_ndim else 1
        count = math.ceil((stop - start) / step)
        if dim < scan_ndim and view.scan_downsample > count:
            msg = f"cannot join {count} positions of {axes[dim].name} by {view.scan_downsample}"
            raise OptionError(msg, hint=f"use scan_downsample of at most {count}")
        selections.append(Selection(start=start, step=step, size=count))
    block_bytes = math.prod(document.blocks.block_shape) * document.dtype.itemsize
    piece = max(_PIECE_BYTES, min(block_bytes, share))
    if splits_patterns(document.blocks, document.pattern_ndim):
        piece = memory // 2
    blocks = ViewBlocks(
        source=document.blocks,
        view=view,
        selections=tuple(selections),
        scan_ndim=scan_ndim,
        pattern_ndim=document.pattern_ndim,
        scaling=Scaling(),
        dtype=_rendered_dtype(document, view),
        piece_bytes=piece,
    )
    _ = blocks.shape  # a factor larger than the detector is refused here, before any work
    return blocks


def _refuse(document: Document, what: str) -> None:
    msg = f"the document {document.slug!r} is of kind {document.kind!r} and has no {what}"
    raise OptionError(msg, hint=f"its dims are {', '.join(document.dims)}")


def _rendered_dtype(document: Document, view: View) -> np.dtype[Any]:
    dtype = document.dtype
    values_change = view.normalize != "none" or view.clip_negative or view.dtype is not None
    averages = view.scan_downsample > 1 or (view.changes_detector and view.method != "stride")
    if dtype.kind == "c" and (values_change or averages):
        msg = f"the document {document.slug!r} has complex values"
        raise UnsupportedDataError(msg, hint="only regions, steps and strides apply to them")
    if view.dtype is not None:
        return np.dtype(view.dtype)
    if view.gives_fractions:
        return working_dtype(dtype)
    joined = view.scan_downsample**2
    widened = sum_dtype(dtype, joined) if joined > 1 else dtype
    if view.changes_detector and view.reduce == "sum":
        widened = sum_dtype(widened, math.prod(view.factors))
    return widened


def _check_fits(statistics: Statistics | None, view: View, blocks: ViewBlocks) -> None:
    """Refuse before any work what the known range of the values tells to overflow."""
    if statistics is None or not view.keeps_values or view.normalize != "none":
        return
    low = max(statistics.min, 0.0) if view.clip_negative else statistics.min
    ends = np.array([low, statistics.max])
    if blocks.source.dtype.kind in "iub" or blocks.dtype.kind == "f":
        cast_checked(ends, blocks.dtype, np.empty(2, blocks.dtype))


def _label(document: Document, view: View, blocks: ViewBlocks) -> Document:
    axes = [
        _select_axis(axis, s) for axis, s in zip(document.axes, blocks.selections, strict=False)
    ]
    for dim in range(blocks.scan_ndim):
        axes[dim] = _bin_axis(axes[dim], view.scan_downsample)
    if view.changes_detector:
        first = len(axes) - 2
        for place, factor in enumerate(view.factors, start=first):
            axes[place] = _reduce_axis(axes[place], factor, view)
    unchanged = not blocks.scaling.acts and np.can_cast(document.dtype, blocks.dtype)
    described = document.attributes.get("view")
    words = view.describe() if described is None else f"{described}; {view.describe()}"
    return dataclasses.replace(
        document,
        axes=tuple(axes),
        blocks=blocks,
        attributes={**document.attributes, "view": words},
        statistics=blocks.statistics if unchanged else None,
        brightness=_brightness(document, view),
        valid=_valid(document, view, blocks),
    )


def _select_axis(axis: Axis, selection: Selection) -> Axis:
    return dataclasses.replace(
        axis,
        size=selection.size,
        offset=axis.offset + selection.start * axis.scale,
        scale=axis.scale * selection.step,
    )


def _bin_axis(axis: Axis, factor: int) -> Axis:
    return dataclasses.replace(
        axis,
        size=axis.size // factor,
        offset=axis.offset + (factor - 1) / 2 * axis.scale,
        scale=axis.scale * factor,
    )


def _reduce_axis(axis: Axis, factor: int, view: View) -> Axis:
    """Return the axis of the downsampled detector, by the definition of each method."""
    if view.method == "bin":
        return _bin_axis(axis, factor)
    size = axis.size // factor
    stretch = axis.size / size if view.method == "fft" else factor
    return dataclasses.replace(axis, size=size, scale=axis.scale * stretch)


def _brightness(document: Document, view: View) -> Brightness | None:
    """Return the calibration of the rendered values; a normalisation leaves none."""
    if document.brightness is None or view.normalize != "none":
        return None
    if view.reduce == "mean":
        return document.brightness
    count = view.scan_downsample**2 * math.prod(view.factors)
    return dataclasses.replace(document.brightness, offset=document.brightness.offset * count)


def _valid(document: Document, view: View, blocks: ViewBlocks) -> NDArray[np.bool_] | None:
    if document.valid is None:
        return None
    keep = tuple(
        slice(s.start, s.start + (s.size - 1) * s.step + 1, s.step) for s in blocks.selections[:2]
    )
    valid = document.valid[keep]
    rows, columns = blocks.shape[:2]
    n = view.scan_downsample
    whole = valid[: rows * n, : columns * n].reshape(rows, n, columns, n)
    return np.asarray(whole.all(axis=(1, 3)))


def measure_document(
    document: Document, *, threads: int | None = None, memory: int = _MEMORY
) -> Statistics:
    """Return the statistics of a document: those it carries, or from one pass over its values."""
    if document.statistics is not None:
        return document.statistics
    return measure_blocks(
        document.blocks,
        document.pattern_ndim,
        threads=threads or available_threads(),
        memory=memory,
    )
