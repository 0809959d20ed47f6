"""Documents through views: planned, scaled, and labelled with exact axes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.model import Axis, Brightness, Document, Fact, Statistics
from stemzarr.options import available_threads
from stemzarr.pixels.boxes import splits_patterns
from stemzarr.pixels.resources import Resources
from stemzarr.views.correcting import correct
from stemzarr.views.kernels import sum_dtype, working_dtype
from stemzarr.views.moments import measure_blocks
from stemzarr.views.normalize import Scaling, cast_checked, needs_statistics, scaling_from
from stemzarr.views.region import parse_roi, resolve_span
from stemzarr.views.render import Selection, ViewBlocks
from stemzarr.views.view import View

__all__ = ["apply", "measure_document"]

_SCAN = ("scan_y", "scan_x")
_DETECTOR = ("det_y", "det_x")
_RECTANGLE = (("scan_rect_top", "scan_rect_bottom"), ("scan_rect_left", "scan_rect_right"))
_PIECE_BYTES = 4 * 1024**2
_MEMORY = 256 * 1024**2


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
    if view.bad_pixels is not None:
        document = correct(document, view.bad_pixels)
    threads = threads or available_threads()
    blocks = _plan_blocks(document, view, memory // (2 * threads + 2), memory)
    statistics = document.statistics if view.keeps_values else None
    if needs_statistics(view.normalize) and statistics is None:
        plain = dataclasses.replace(view, normalize="none", clip_negative=False, dtype=None)
        unscaled = dataclasses.replace(blocks, dtype=_rendered_dtype(document, plain))
        statistics = measure_blocks(
            unscaled,
            document.pattern_ndim,
            Resources(threads=threads, memory=memory),
            valid=_valid(document, view, blocks),
            bad=_bad_pixels(document, view, blocks),
        )
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
        _refuse(document, "detector")
    spans = {}
    for span in parse_roi(view.roi):
        if span.dim not in dims:
            _refuse(document, f"axis {span.dim!r}")
        spans[span.dim] = resolve_span(span, document.axis(span.dim))
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
    return ViewBlocks(
        base=document.blocks,
        view=view,
        selections=tuple(selections),
        scan_ndim=scan_ndim,
        pattern_ndim=document.pattern_ndim,
        scaling=Scaling(),
        dtype=_rendered_dtype(document, view),
        piece_bytes=piece,
    )


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
    ends = np.array([statistics.min, statistics.max])
    if view.clip_negative:
        ends = np.maximum(ends, 0.0)
    if blocks.base.dtype == blocks.dtype:
        return
    if blocks.base.dtype.kind in "iub" or blocks.dtype.kind == "f":
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
    known = document.group_attributes()
    described = known.get("view")
    words = view.describe() if described is None else f"{described}; {view.describe()}"
    return dataclasses.replace(
        document,
        axes=tuple(axes),
        blocks=blocks,
        attributes={**document.attributes, **_rectangle(known, document, blocks), "view": words},
        statistics=blocks.statistics if unchanged else None,
        brightness=_brightness(document, view),
        valid=_valid(document, view, blocks),
        bad_pixels=_bad_pixels(document, view, blocks),
        tiles=None,
        measured=None,
    )


def _rectangle(
    known: Mapping[str, Fact], document: Document, blocks: ViewBlocks
) -> dict[str, float]:
    """Return where in its survey image the part of a scan is that a view shows, if known."""
    moved: dict[str, float] = {}
    for dim, names in enumerate(_RECTANGLE[: blocks.scan_ndim]):
        first, last = (known.get(name) for name in names)
        if not isinstance(first, int | float) or not isinstance(last, int | float):
            return {}
        selected, size = blocks.selections[dim], document.shape[dim]
        kept = blocks.shape[dim] * blocks.view.scan_downsample * selected.step
        ends = selected.start, min(size, selected.start + kept)
        if ends != (0, size):
            width = (last - first) / size
            moved |= {name: first + width * end for name, end in zip(names, ends, strict=True)}
    return moved


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


def _bad_pixels(document: Document, view: View, blocks: ViewBlocks) -> NDArray[np.bool_] | None:
    """Return which pixels of the view are bad: those that a bad pixel of the detector enters."""
    if document.bad_pixels is None:
        return None
    rows, columns = (slice(s.start, s.start + s.size) for s in blocks.selections[-2:])
    bad: NDArray[np.bool_] = np.asarray(document.bad_pixels[rows, columns])
    if not bad.any() or not view.changes_detector:
        return bad if bad.any() else None
    if view.method in ("gauss", "fft"):
        msg = f"{np.count_nonzero(bad)} bad pixels would spread by the method {view.method!r}"
        raise UnsupportedDataError(
            msg, hint="use the method 'bin' or 'stride', or bad_pixels='median'"
        )
    (y, x), (height, width) = view.factors, blocks.shape[-2:]
    if view.method == "stride":
        found = bad[::y, ::x][:height, :width]
    else:
        joined = bad[: height * y, : width * x].reshape(height, y, width, x)
        found = np.asarray(joined.any(axis=(1, 3)))
    return found if found.any() else None


def measure_document(
    document: Document, *, threads: int | None = None, memory: int = _MEMORY
) -> Statistics:
    """Return the statistics of a document: those it carries, or from one pass over its values.

    Patterns that a salvage did not recover do not count, nor do bad pixels.
    """
    if document.statistics is not None:
        return document.statistics
    return measure_blocks(
        document.blocks,
        document.pattern_ndim,
        Resources(threads=threads or available_threads(), memory=memory),
        valid=document.valid,
        bad=document.bad_pixels,
    )
