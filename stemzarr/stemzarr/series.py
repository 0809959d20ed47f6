"""Series: scans of one form, such as those of a tilt or focus series, as one lazy Dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.labelled import dask_chunks
from stemzarr.lazy import BlocksArray
from stemzarr.metadata.facts import FACTS
from stemzarr.model import Blocks, Document, Fact
from stemzarr.pixels.boxes import Box

__all__ = ["SeriesBlocks", "join_series"]

_UNITS: Final = {fact.name: fact.unit for fact in FACTS}
_MASKS: Final = {"valid": True, "bad_pixels": False}
"""Masks of a document, and what one that has none stands for."""


@dataclass(frozen=True, slots=True)
class SeriesBlocks:
    """The pixels of several documents of one shape and type, one after the other."""

    members: tuple[Blocks, ...]
    """Those of each."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Their number, and the shape of each."""
        return len(self.members), *self.members[0].shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.members[0].dtype

    @property
    def block_shape(self) -> tuple[int, ...]:
        """A block of one of them."""
        return 1, *self.members[0].block_shape

    def sources_of(self, box: Box) -> Iterator[tuple[Blocks, Box]]:
        """Yield what is read of each member for a box."""
        for place in range(box.start[0], box.start[0] + box.shape[0]):
            yield self.members[place], Box(box.start[1:], box.shape[1:])

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box at `start`, member by member.

        Raises
        ------
        StemzarrError
            As the blocks of the members.
        """
        for place, target in enumerate(out):
            self.members[start[0] + place].read_into(target, tuple(start[1:]))


def join_series(members: Sequence[tuple[Path, Document]], dim: str) -> xr.Dataset:
    """Return documents as one lazy Dataset with a further dim before all others.

    Parameters
    ----------
    members
        The documents, each with the path that it was opened from; one may be there twice.
    dim
        A fact, in whose order they come and whose values are the coordinate; any other name keeps
        the order, and has no coordinate.

    Returns
    -------
    xarray.Dataset
        ``intensity`` (dim, …). What all have in common is in the attributes; facts that differ
        are coordinates along `dim`, of the members that have none NaN or empty.

    Raises
    ------
    OptionError
        There is no member, the name is that of a dim of theirs, or a member lacks the fact.
    UnsupportedDataError
        Their kinds, shapes, types or axes differ.
    """
    if not members:
        raise OptionError("a series has no members", hint="give the paths of one or more")
    for path, document in members:
        _check_alike(members[0], path, document, dim)
    ordered = _ordered(members, dim)
    documents = [document for _, document in ordered]
    first = documents[0]
    dims = (dim, *first.dims)
    blocks = SeriesBlocks(tuple(document.blocks for document in documents))
    lazy = indexing.LazilyIndexedArray(BlocksArray(blocks, first.pattern_ndim))
    shared, differing = _sort_out([document.group_attributes() for document in documents])
    same, calibrations = _sort_out([document.intensity_attributes() for document in documents])
    intensity = xr.Variable(dims, lazy, same)
    chunks = dask_chunks(blocks, first.pattern_ndim)
    intensity.encoding["preferred_chunks"] = dict(zip(dims, chunks, strict=True))
    coords: dict[str, Any] = {
        axis.name: ((axis.name,), axis.values(), axis.attributes()) for axis in first.axes
    }
    along = {**differing, **calibrations}
    if dim in shared and dim in _UNITS:
        along[dim] = [shared.pop(dim)] * len(documents)
    coords |= {name: ((dim,), _column(along[name]), _about(name)) for name in along}
    variables = {"intensity": intensity, **_masks(documents, dim)}
    return xr.Dataset(variables, coords, shared)


def _check_alike(first: tuple[Path, Document], path: Path, document: Document, dim: str) -> None:
    """Refuse a member that has not the form of the first one."""
    lead, model = first
    if dim in (*document.dims, "intensity", *_MASKS):
        msg = f"a series cannot have the dim {dim!r}: its members have that name"
        raise OptionError(msg, path=path, hint="choose another, such as the fact that varies")
    for what in ("kind", "shape", "dtype", "channels"):
        found, expected = getattr(document, what), getattr(model, what)
        if found != expected:
            msg = f"its {what} is {found}, and that of {lead.name} is {expected}"
            hint = "leave it out, or open it by itself"
            raise UnsupportedDataError(f"cannot be in one series: {msg}", path=path, hint=hint)
    for axis, other in zip(document.axes, model.axes, strict=True):
        if (axis.scale, axis.offset, axis.units) != (other.scale, other.offset, other.units):
            msg = (
                f"cannot be in one series: its {axis.name} begins at {axis.offset:g} in steps of "
                f"{axis.scale:g} {axis.units}, and that of {lead.name} at {other.offset:g} in "
                f"steps of {other.scale:g} {other.units}"
            )
            hint = "stemzarr calibrate changes what is wrong; else open them one by one"
            raise UnsupportedDataError(msg, path=path, hint=hint)


def _ordered(members: Sequence[tuple[Path, Document]], dim: str) -> list[tuple[Path, Document]]:
    """Return members in the order of a fact, those of equal values as they were given."""
    if dim not in _UNITS:
        return list(members)
    for path, document in members:
        if dim not in document.facts:
            msg = f"has no {dim}, by which the series is ordered"
            hint = f"stemzarr calibrate NAME {dim}=VALUE, or give another name as the dim"
            raise OptionError(msg, path=path, hint=hint)
    values = [document.facts[dim] for _, document in members]
    if len({isinstance(value, str) for value in values}) > 1:
        msg = f"{dim} is text in some members, and a number in others: {values}"
        raise OptionError(msg, hint="stemzarr calibrate makes them alike")
    return sorted(members, key=lambda member: cast("Any", member[1].facts[dim]))


def _sort_out(
    tables: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the attributes that all have alike, and the others as columns."""
    names = dict.fromkeys(name for table in tables for name in table)
    columns = {name: [table.get(name) for table in tables] for name in names}
    shared = {
        n: column[0] for n, column in columns.items() if column.count(column[0]) == len(column)
    }
    return shared, {name: column for name, column in columns.items() if name not in shared}


def _column(values: Sequence[Fact | None]) -> NDArray[Any]:
    """Return one value of each member: numbers, NaN where one is missing, or texts."""
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values])
    return np.array([np.nan if value is None else value for value in values])


def _about(name: str) -> dict[str, str]:
    return {"units": _UNITS[name]} if _UNITS.get(name) else {}


def _masks(documents: Sequence[Document], dim: str) -> dict[str, xr.Variable]:
    """Return the masks that members have, one for each of them."""
    first, masks = documents[0], {}
    for name, plain in _MASKS.items():
        found = [getattr(document, name) for document in documents]
        dims = first.dims[:2] if name == "valid" else first.dims[-2:]
        shape = first.shape[:2] if name == "valid" else first.shape[-2:]
        if any(mask is not None for mask in found):
            whole = np.full(shape, plain)
            stacked = np.stack([whole if mask is None else mask for mask in found])
            masks[name] = xr.Variable((dim, *dims), stacked)
    return masks
