"""Documents as labelled xarray objects: lazy values, calibrated coordinates, flat attributes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from stemzarr.errors import UnsupportedDataError
from stemzarr.lazy import BlocksArray, find_selection
from stemzarr.metadata.facts import FACT_NAMES
from stemzarr.model import (
    CHANNEL,
    PATTERN_KINDS,
    Axis,
    Blocks,
    Brightness,
    Document,
    Fact,
    Kind,
    box_of,
    dims_of_kind,
)
from stemzarr.pixels.boxes import fill_box

__all__ = ["dask_chunks", "from_dataset", "sort_facts", "to_dataset"]

_DASK_CHUNK_BYTES = 64 * 1024**2
_SCAN = ("scan_y", "scan_x")


def dask_chunks(blocks: Blocks, pattern_ndim: int) -> tuple[int, ...]:
    """Return a chunk shape for dask: whole patterns, whole blocks of the disk, about 64 MiB.

    The leading dims are filled from the last to the first, so that a chunk is whole scan rows
    where rows are small; a pattern larger than the target is a chunk of its own.
    """
    shape = blocks.shape
    leading = len(shape) - pattern_ndim
    return fill_box(
        shape,
        _DASK_CHUNK_BYTES // blocks.dtype.itemsize,
        least=(*[1] * leading, *shape[leading:]),
        block=blocks.block_shape,
    )


def to_dataset(document: Document, prefix: str = "") -> xr.Dataset:
    """Return a document as a lazy Dataset, as its store would be opened by xarray.

    Parameters
    ----------
    document
        What to label.
    prefix
        Put before every dim, for a document that is beside others in one tree.

    Returns
    -------
    xarray.Dataset
        ``intensity`` with the dims of the document's kind, raw values in the source's dtype; a
        float64 coordinate in calibrated units for every dim but ``channel``; flat attributes.
        Nothing is read until values are asked for.
    """
    dims = tuple(prefix + name for name in document.dims)
    values = BlocksArray(document.blocks, document.pattern_ndim, document)
    lazy = indexing.LazilyIndexedArray(values)
    intensity = xr.Variable(dims, lazy, document.intensity_attributes())
    chunks = dask_chunks(document.blocks, document.pattern_ndim)
    intensity.encoding["preferred_chunks"] = dict(zip(dims, chunks, strict=True))
    coords = {
        prefix + axis.name: xr.Variable((prefix + axis.name,), axis.values(), axis.attributes())
        for axis in document.axes
    }
    variables = {"intensity": intensity}
    if document.valid is not None:
        variables["valid"] = xr.Variable(dims[:2], document.valid)
    if document.bad_pixels is not None:
        variables["bad_pixels"] = xr.Variable(dims[-2:], document.bad_pixels)
    return xr.Dataset(variables, coords, document.group_attributes())


@dataclass(frozen=True, slots=True)
class DataArrayBlocks:
    """Blocks over a DataArray, in memory or lazy, as an analysis has left it."""

    array: xr.DataArray
    """The values in canonical order."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, in the byte order of this machine."""
        return self.array.dtype.newbyteorder("=")

    @property
    def block_shape(self) -> tuple[int, ...]:
        """The largest dask chunk, else what the file prefers, else the whole array."""
        if self.array.chunks is not None:
            return tuple(max(sizes) for sizes in self.array.chunks)
        preferred = self.array.encoding.get("preferred_chunks", {})
        return tuple(min(n, preferred.get(d, n)) for d, n in self.array.sizes.items())

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Compute the box at `start` in the calling thread."""
        values = self.array[box_of(start, out.shape)].compute(scheduler="synchronous").to_numpy()
        np.copyto(out, values, casting="equiv")


def from_dataset(dataset: xr.Dataset) -> Document:
    """Return the document that a Dataset stands for: the inverse of `to_dataset`.

    Parameters
    ----------
    dataset
        With ``intensity`` and evenly spaced coordinates; sliced or computed ones will do.

    Raises
    ------
    UnsupportedDataError
        There is no ``intensity``, its dims are not those of a kind, or a coordinate is uneven.
    """
    if "intensity" not in dataset:
        found = ", ".join(map(str, dataset.data_vars)) or "none"
        raise UnsupportedDataError(
            f"the Dataset has no variable 'intensity' (its variables: {found})",
            hint="open it with stemzarr.open, or rename the variable",
        )
    array = dataset["intensity"]
    channels = tuple(array.attrs.get("channel_names", ())) if CHANNEL in array.dims else ()
    names = tuple(str(name) for name in array.dims if name != CHANNEL)
    kind = next((k for k in get_args(Kind) if names == dims_of_kind(k, len(names))), None)
    if kind is None:
        raise UnsupportedDataError(
            f"'intensity' has dims {array.dims}, which are those of no kind of document",
            hint="transpose it to (scan_y, scan_x, det_y, det_x), or select one pattern or image; "
            "a row of a scan keeps its dim with isel(scan_y=slice(2, 3))",
        )
    attrs = dict(array.attrs)
    brightness = None
    if "brightness_scale" in attrs:
        scale, offset = float(attrs["brightness_scale"]), float(attrs["brightness_offset"])
        brightness = Brightness(scale=scale, offset=offset, units=str(attrs["brightness_units"]))
    facts = {
        str(k): cast("Fact", v) for k, v in dataset.attrs.items() if k not in ("title", "kind")
    }
    title = str(dataset.attrs.get("title", "scan"))
    valid = _mask_of(dataset, "valid", names[:2]) if names[:2] == _SCAN else None
    bad = _mask_of(dataset, "bad_pixels", names[-2:]) if kind in PATTERN_KINDS else None
    selected = find_selection(array)
    origin = selected.source.document if selected is not None and selected.is_whole else None
    same = origin is not None and _equal(valid, origin.valid) and _equal(bad, origin.bad_pixels)
    return Document(
        index=0,
        slug="main",
        title=title,
        kind=cast("Kind", kind),
        axes=tuple(_axis_of(dataset, name) for name in names),
        blocks=DataArrayBlocks(array) if selected is None else selected.simplest(),
        brightness=brightness,
        channels=channels,
        facts=facts,
        valid=valid,
        bad_pixels=bad,
        tiles=origin.tiles if origin is not None and same else None,
        measured=origin.measured if origin is not None and same else None,
    )


def sort_facts(document: Document) -> Document:
    """Return a document of a Dataset with its facts apart from its other attributes.

    A Dataset has both among its attributes; what is neither text nor a number is no attribute of
    a document.
    """
    flat = {k: value for k, value in document.facts.items() if isinstance(value, str | int | float)}
    return dataclasses.replace(
        document,
        facts={name: value for name, value in flat.items() if name in FACT_NAMES},
        attributes={name: value for name, value in flat.items() if name not in FACT_NAMES},
    )


def _equal(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _mask_of(dataset: xr.Dataset, name: str, dims: tuple[str, ...]) -> NDArray[np.bool_] | None:
    """Return a mask; what was selected from a scan may have it without both its dims."""
    if name not in dataset or set(dataset[name].dims) != set(dims):
        return None
    return dataset[name].transpose(*dims).to_numpy().astype(bool)


def _axis_of(dataset: xr.Dataset, name: str) -> Axis:
    """Return the axis of a dim, from its coordinate's values rather than its attributes."""
    size = dataset.sizes[name]
    if name not in dataset.coords:
        return Axis(name=name, size=size)
    coordinate = dataset.coords[name]
    attrs, values = coordinate.attrs, coordinate.to_numpy().astype(np.float64)
    axis = Axis(
        name=name,
        size=size,
        scale=float(attrs.get("scale", 1.0)),
        offset=float(attrs.get("offset", values[0] if size else 0.0)),
        units=str(attrs.get("units", "pixel")),
        calibrated=bool(attrs.get("calibrated", "units" in attrs)),
        source_units=str(attrs.get("source_units", "")),
        long_name=str(attrs.get("long_name", "")),
    )
    if not size or np.array_equal(axis.values(), values):
        return axis
    scale = axis.scale if size == 1 else float((values[-1] - values[0]) / (size - 1))
    axis = dataclasses.replace(axis, scale=scale, offset=float(values[0]))
    if not np.allclose(axis.values(), values, rtol=1e-9, atol=abs(scale) * 1e-6):
        raise UnsupportedDataError(
            f"the coordinate {name!r} is not evenly spaced",
            hint="select with a slice of constant step",
        )
    return axis
