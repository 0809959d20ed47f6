"""What Nion Swift says of the values of an item: the JSON text beside them, in any file.

It gives how many dims are scan and how many one datum, the calibration of each, and the
instrument. Projects before version 12 keep most of it in one entry of ``data_sources``, and
exported files call some of it by other names (``ImportExportManager.py`` of Nion Swift).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.formats.found import Found
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.finding import (
    Facts,
    find_numbers,
    finite_number,
    get_path,
    iso_datetime,
    number_or_nan,
    offset_or_nan,
)
from stemzarr.model import Blocks, Brightness, Fact
from stemzarr.pixels.derived import DerivedBlocks
from stemzarr.pixels.packing import COLOUR_CHANNELS

__all__ = ["Properties", "parse_properties"]

_CALIBRATIONS: Final = ("dimensional_calibrations", "spatial_calibrations")
_SIGNS: Final = (*_CALIBRATIONS, "collection_dimension_count", "data_shape")
_COLOURS: Final = (3, 4)
"""Bytes of a coloured pixel: blue, green, red, and alpha where there are four."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """The text of one item, parsed."""

    tree: Mapping[str, Any]
    """All that the text says."""
    below: str = ""
    """Path of what describes the values, its parts divided by ``/``; empty for the root."""

    @property
    def described(self) -> Mapping[str, Any]:
        """What describes the values; the root says what it does not."""
        tree: Any = self.tree
        for part in self.below.split("/") if self.below else ():
            tree = tree[int(part)] if isinstance(tree, list) else tree[part]
        return {**self.tree, **tree}

    @property
    def is_of_values(self) -> bool:
        """Whether it describes values at all."""
        return any(sign in self.described for sign in _SIGNS)

    def describe(self, bare: Found, place: str) -> Found:
        """Return values with their title, axes, calibrations and facts.

        Parameters
        ----------
        bare
            The values, in the order of the disk.
        place
            Path of the text in the metadata of the source.
        """
        tree = self.described
        base, shape = bare.base, tuple(axis.size for axis in bare.axes)
        channels = bare.channels
        if not channels and _is_coloured(tree, base):
            base, channels = _BlueFirst(bare.base), COLOUR_CHANNELS[: shape[-1]]
            shape = shape[:-1]
        inner = "/".join(filter(None, (place, self.below)))
        return replace(
            bare,
            title=str(tree.get("title") or ""),
            base=base,
            channels=channels,
            axes=_axes(tree, shape),
            hints=Hints(signal_type=_signal_type(tree, len(shape))),
            facts={**_moment(self.tree, place), **_facts(tree, inner)},
            brightness=_brightness(tree),
            notes=(*bare.notes, *_unplaced(tree, len(shape))),
        )


def _unplaced(tree: Mapping[str, Any], ndim: int) -> tuple[str, ...]:
    """Say that there are other calibrations than dims: which belongs to which is not known."""
    count = len(_calibrations(tree))
    if count in (0, ndim):
        return ()
    return (f"{count} calibrations for {ndim} dims, so that no axis is calibrated",)


def parse_properties(text: object) -> Properties | None:
    """Return what a text says of an item; None where it is not one of Nion Swift's."""
    try:
        tree = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(tree, dict):
        return None
    sources = tree.get("data_sources")
    below = ""
    if isinstance(tree.get("data_source"), dict):
        below = "data_source"
    elif isinstance(sources, list) and sources and isinstance(sources[0], dict):
        below = "data_sources/0"
    return Properties(tree=tree, below=below)


def _is_coloured(tree: Mapping[str, Any], base: Blocks) -> bool:
    """Return whether the last dim is one of colours: Swift calibrates all dims but that one."""
    shape = base.shape
    if base.dtype != np.uint8 or len(shape) < len(_COLOURS) + 1 or shape[-1] not in _COLOURS:
        return False
    return len(_calibrations(tree)) == len(shape) - 1


@dataclass(frozen=True, slots=True)
class _BlueFirst(DerivedBlocks):
    """Coloured pixels that are stored as blue, green, red (and alpha), given as red first."""

    base: Blocks

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`."""
        stored = np.empty((*out.shape[:-1], self.shape[-1]), self.dtype)
        self.base.read_into(stored, (*start[:-1], 0))
        stored[..., :3] = stored[..., 2::-1].copy()
        out[...] = stored[..., start[-1] : start[-1] + out.shape[-1]]


def _calibrations(tree: Mapping[str, Any]) -> list[Any]:
    listed = (tree.get(name) for name in _CALIBRATIONS)
    return next((one for one in listed if isinstance(one, list)), [])


def _axes(tree: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[FoundAxis, ...]:
    """Return the axes in the order of the disk: a sequence, the collection, the datum."""
    calibrations = _calibrations(tree)
    if len(calibrations) != len(shape):
        calibrations = [{}] * len(shape)
    datum = _datum_dims(tree, len(shape))
    sequence = bool(tree.get("is_sequence"))
    axes = []
    for dim, (size, given) in enumerate(zip(shape, calibrations, strict=True)):
        tags = given if isinstance(given, Mapping) else {}
        axes.append(
            FoundAxis(
                size=size,
                name="frame" if sequence and dim == 0 else "",
                scale=number_or_nan(tags.get("scale")),
                offset=offset_or_nan(tags.get("offset")),
                units=str(tags.get("units") or ""),
                navigate=None if datum is None else dim < len(shape) - datum,
            )
        )
    return tuple(axes)


def _datum_dims(tree: Mapping[str, Any], ndim: int) -> int | None:
    count = tree.get("datum_dimension_count")
    return count if isinstance(count, int) and 0 < count <= ndim else None


def _signal_type(tree: Mapping[str, Any], ndim: int) -> str:
    """Return what one datum is, where its units do not say it."""
    two = _datum_dims(tree, ndim) == 2  # noqa: PLR2004 - a pattern or an image
    collection = tree.get("collection_dimension_count")
    return "diffraction" if two and isinstance(collection, int) and collection > 0 else ""


def _brightness(tree: Mapping[str, Any]) -> Brightness | None:
    """Return the calibration of the values, which stay as they are recorded."""
    given = tree.get("intensity_calibration")
    tags = given if isinstance(given, Mapping) else {}
    scale, offset = finite_number(tags.get("scale")), finite_number(tags.get("offset"))
    units = str(tags.get("units") or "")
    if scale in (None, 0.0, 1.0) and not offset and not units:
        return None
    return Brightness(scale=scale or 1.0, offset=offset or 0.0, units=units)


def _facts(tree: Mapping[str, Any], place: str) -> Facts:
    return {
        fact: (value, "/".join((place, *path.split("."))))
        for fact, value, path in find_numbers("nion", lambda path: get_path(tree, path))
    }


def _moment(tree: Mapping[str, Any], place: str) -> Facts:
    """Return when the item was made: in UTC without a zone, or by the clock of an export."""
    created = tree.get("created")
    if isinstance(created, str) and created[:4].isdigit():
        return {"acquired": (f"{created.removesuffix('Z')}+00:00", f"{place}/created")}
    local, zone = (get_path(tree, f"datetime_original.{name}") for name in ("local_datetime", "tz"))
    if not isinstance(local, str):
        return {}
    moment: Fact = iso_datetime(*local.partition("T")[::2], zone if isinstance(zone, str) else "")
    return {"acquired": (moment, f"{place}/datetime_original/local_datetime")} if moment else {}
