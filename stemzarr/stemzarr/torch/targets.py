"""Labels of patterns, joined to them by the coordinates of the scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from stemzarr.errors import OptionError
from stemzarr.model import Axis
from stemzarr.torch.part import Part

__all__ = ["Targets", "join_targets", "weigh_classes"]

Targets = Mapping[str, xr.DataArray | Sequence[xr.DataArray]]
"""Labels by name: a map over the scan, or a list of one for each document."""

_TOLERANCE = 1e-3
"""Steps of the scan by which coordinates may differ and still mean one position."""


def join_targets(parts: Sequence[Part], targets: Targets) -> dict[str, NDArray[Any]]:
    """Return the labels of all patterns by name, each (N, …), in the order of the patterns.

    Raises
    ------
    OptionError
        There are more or fewer maps than documents; one lacks a dim or a coordinate of the scan,
        or has it in other units; a pattern has no label, or one that is NaN; or labels are not
        numbers.
    """
    joined = {}
    for name, given in targets.items():
        maps = [given] if isinstance(given, xr.DataArray) else list(given)
        if len(maps) != len(parts) or not all(isinstance(m, xr.DataArray) for m in maps):
            msg = f"the target {name!r} has {len(maps)} maps for {len(parts)} documents"
            raise OptionError(msg, hint="give a list with one DataArray for each document")
        pairs = zip(parts, maps, strict=True)
        rows = [_label_part(part, labels, name) for part, labels in pairs]
        if len({found.shape[1:] for found in rows}) > 1:
            found = ", ".join(str(some.shape[1:]) for some in rows)
            msg = f"the labels {name!r} have different shapes: {found}"
            raise OptionError(msg, hint="give maps whose further dims are equally long")
        joined[name] = np.concatenate(rows)
    return joined


def _label_part(part: Part, labels: xr.DataArray, name: str) -> NDArray[Any]:
    """Return the label of each pattern of a part."""
    axes = part.document.axes[: len(part.lead)]
    if missing := [axis.name for axis in axes if axis.name not in labels.coords]:
        msg = f"the target {name!r} has no coordinate {', '.join(missing)}"
        raise OptionError(msg, hint="labels are joined by it; to_map and .stem give maps with it")
    if labels.dtype.kind not in "biufc":
        msg = f"the target {name!r} is {labels.dtype}"
        raise OptionError(msg, hint="give numbers, such as the number of a class")
    values = labels.transpose(*(axis.name for axis in axes), ...).to_numpy()
    places = [_match(axis, labels.coords[axis.name], name) for axis in axes]
    positions = np.unravel_index(part.positions, part.lead) if axes else ()
    chosen = tuple(place[at] for place, at in zip(places, positions, strict=True))
    known = np.all([place >= 0 for place in chosen], axis=0) if axes else np.True_
    rows: NDArray[Any] = values[chosen] if axes else values[np.newaxis]
    if rows.dtype.kind in "fc":
        known = known & ~np.isnan(rows.reshape(len(rows), -1)).any(axis=1)
    if not np.all(known):
        number = len(rows) - int(np.count_nonzero(known))
        msg = f"{number} of {len(rows)} patterns have no label in the target {name!r}"
        raise OptionError(msg, hint="choose those that have one first, with dataset.take(masks)")
    return np.ascontiguousarray(rows, rows.dtype.newbyteorder("="))


def _match(axis: Axis, coordinate: xr.DataArray, name: str) -> NDArray[np.int64]:
    """Return for each position of an axis where it is along a coordinate, or -1."""
    if coordinate.dims != (axis.name,) or coordinate.dtype.kind not in "iuf":
        msg = f"the coordinate {axis.name} of the target {name!r} is not one number a position"
        raise OptionError(msg, hint="give it the coordinate of the scan")
    units = coordinate.attrs.get("units", axis.units)
    if units != axis.units:
        msg = f"{axis.name} of the target {name!r} is in {units}, that of the scan in {axis.units}"
        raise OptionError(msg, hint="give labels the coordinates of the scan as it is calibrated")
    wanted, found = axis.values(), coordinate.to_numpy().astype(np.float64)
    order = np.argsort(found)
    found = found[order]
    margin = _TOLERANCE * (abs(axis.scale) or 1.0)
    if np.any(np.diff(found) <= margin):
        msg = f"the target {name!r} has a position along {axis.name} twice"
        raise OptionError(msg, hint="give each position one label")
    if not len(found):
        return np.full(axis.size, -1)
    right = np.clip(np.searchsorted(found, wanted), 0, len(found) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(wanted - found[left] < found[right] - wanted, left, right)
    near = np.abs(found[nearest] - wanted) <= margin
    return np.where(near, order[nearest], -1)


def weigh_classes(classes: NDArray[Any], name: str) -> torch.Tensor:
    """Return a weight for each class, so that all classes weigh as much: N / (classes × count).

    A class without a pattern weighs 0.

    Raises
    ------
    OptionError
        The labels are not one whole number from 0 on for each pattern.
    """
    if classes.ndim != 1 or classes.dtype.kind not in "biu" or classes.min(initial=0) < 0:
        msg = f"the target {name!r} is {classes.dtype} of shape {classes.shape}"
        raise OptionError(msg, hint="classes are whole numbers from 0 on, one for each pattern")
    counts = np.bincount(classes.astype(np.int64))
    weights = np.divide(
        len(classes),
        np.count_nonzero(counts) * counts,
        out=np.zeros(len(counts)),
        where=counts > 0,
    )
    return torch.from_numpy(weights.astype(np.float32))
