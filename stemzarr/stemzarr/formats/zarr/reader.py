"""Zarr folders of other programs, formats 2 and 3: xarray, abTEM, OME-Zarr, plain arrays.

Arrays are read lazily, chunk by chunk. Zarr leaves out chunks that hold nothing but the fill
value, so that a lost chunk looks like an empty one: a note counts those that are absent.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from stemzarr.errors import (
    EntryNotFoundError,
    UnsupportedDataError,
)
from stemzarr.format_row import FormatRow
from stemzarr.formats.file_blocks import FileBlocks, parsing
from stemzarr.formats.found import FileFacts, Found, build_source
from stemzarr.formats.hdf5.files import stored_dtype
from stemzarr.formats.hdf5.tree import KEPT_VALUES
from stemzarr.formats.labelling import FoundAxis
from stemzarr.formats.saved import MASKS, SavedVariable, is_saved, label_saved
from stemzarr.formats.zarr.abtem import abtem_axes, abtem_facts
from stemzarr.formats.zarr.marks import folder_size
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import finite_number, offset_or_nan, plain_text
from stemzarr.model import Source, box_of
from stemzarr.options import ReadOptions
from stemzarr.storage.objects import Stamp

__all__ = ["FORMATS", "ZarrBlocks", "read_zarr_folder"]

FORMATS = (
    FormatRow(
        name="Zarr 2 and 3 of other programs",
        formats=("zarr",),
        suffixes=(".zarr",),
        read="arrays of numbers, the finest level of OME-Zarr, coordinates as axes",
        lazy="the chunks that a box touches",
        complete="not known: Zarr leaves out empty chunks; a note counts those that are absent",
        unseen="a lost chunk, which reads as the fill value",
        writers=("zarr", "zarr2"),
    ),
)
"""Rows of docs/formats.md."""


_GENERIC: Final = frozenset({"data", "array", "values", "0"})
_MOST_DOCUMENTS: Final = 100

_Node = zarr.Array[Any] | zarr.Group


def read_zarr_folder(path: Path, options: ReadOptions) -> Source:
    """Return the arrays of a Zarr folder, without reading pixels.

    Every array of numbers with two dims or more is a document; coordinates calibrate its axes,
    and other vectors are documents where no dim bears their name. ``options.dataset`` takes one.

    Raises
    ------
    CorruptFileError
        Its metadata cannot be read.
    EntryNotFoundError
        There is no array of that path.
    UnsupportedDataError
        It holds no arrays of numbers.
    """
    arrays = dict(_arrays(path))
    chosen, notes = _choose(path, arrays, options)
    stamp = Stamp.of(path)
    found = [_found(path, stamp, arrays, name, alone=len(chosen) == 1) for name in chosen]
    if options.dataset is None:
        found = _with_labels(path, arrays, found)
    file = FileFacts(
        format="zarr",
        stamp=Stamp(*folder_size(path)),
        load_metadata=functools.partial(_load_metadata, path),
        notes=notes,
    )
    return build_source(path, file, found, options)


def _open(path: Path) -> _Node:
    hint = "copy it again from its origin"
    with parsing(path, "is not a readable Zarr folder", hint), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zarr.open(LocalStore(path, read_only=True), mode="r")


def _nodes(path: Path) -> Iterator[tuple[str, _Node]]:
    """Yield path and node of all groups and arrays, the root as the first."""
    root = _open(path)
    yield "", root
    if isinstance(root, zarr.Group):
        failure = "holds a group or an array that cannot be read"
        with parsing(path, failure, "copy it again"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            members = sorted(root.members(max_depth=None), key=lambda one: one[0])
        yield from members


def _arrays(path: Path) -> Iterator[tuple[str, zarr.Array[Any]]]:
    for name, node in _nodes(path):
        if isinstance(node, zarr.Array):
            yield name, node


def _choose(
    path: Path, arrays: Mapping[str, zarr.Array[Any]], options: ReadOptions
) -> tuple[list[str], tuple[str, ...]]:
    """Return the paths of the arrays that are documents, and notes of those that are not."""
    numbers = [name for name, array in arrays.items() if _is_data(array)]
    if options.dataset is not None:
        wanted = options.dataset.strip("/")
        if wanted not in numbers:
            shown = ", ".join(_describe(name, arrays[name]) for name in numbers[:12])
            msg = f"there is no array of numbers {options.dataset!r}"
            raise EntryNotFoundError(msg, path=path, hint=f"it holds {shown or 'none'}")
        return [wanted], ()
    named = {dim for array in arrays.values() for dim in _dims(array) if dim}
    smaller = set(_smaller_levels(path))
    data = [
        name
        for name in numbers
        if name not in smaller and (arrays[name].ndim > 1 or name.rpartition("/")[2] not in named)
    ]
    data = data or [name for name in numbers if name not in smaller]
    if not data:
        raise UnsupportedDataError(
            "is a Zarr folder without arrays of numbers", path=path, hint="give another folder"
        )
    data.sort(key=lambda name: (arrays[name].ndim == 4, arrays[name].nbytes), reverse=True)  # noqa: PLR2004 - a scan
    left = [*data[_MOST_DOCUMENTS:], *(name for name in numbers if name in smaller)]
    notes = [
        f"array {_describe(name, arrays[name])} is left out; --dataset {name} takes it"
        for name in left
    ]
    odd = [name for name, array in arrays.items() if array.ndim and name not in numbers]
    notes += [
        f"array {_describe(name, arrays[name])} is left out: only arrays of numbers are read"
        for name in odd
        if arrays[name].size > KEPT_VALUES
    ]
    return data[:_MOST_DOCUMENTS], tuple(notes)


def _describe(name: str, array: zarr.Array[Any]) -> str:
    return f"{name!r} ({' × '.join(map(str, array.shape))}, {array.dtype})"


def _is_data(array: zarr.Array[Any]) -> bool:
    known = stored_dtype(np.dtype(array.dtype)) if isinstance(array.dtype, np.dtype) else None
    return bool(array.ndim) and array.size > 0 and known is not None and not known[1]


def _dims(array: zarr.Array[Any]) -> tuple[str, ...]:
    """Return the names of the dims, as format 3 has them and xarray writes them in format 2."""
    names: Any = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")
    fits = isinstance(names, (list, tuple)) and len(names) == array.ndim
    return tuple(str(name or "") for name in names) if fits else ("",) * array.ndim


def _multiscales(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the path of each OME-Zarr image and what it says of its levels."""
    for name, node in _nodes(path):
        if not isinstance(node, zarr.Group):
            continue
        attributes: Any = dict(node.attrs)
        within = attributes.get("ome") if isinstance(attributes.get("ome"), Mapping) else attributes
        listed = within.get("multiscales")
        for image in listed if isinstance(listed, list) else []:
            if isinstance(image, Mapping) and isinstance(image.get("datasets"), list):
                yield name, image


def _levels(prefix: str, image: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (f"{prefix}/{level['path']}".strip("/"), level)
        for level in image["datasets"]
        if isinstance(level, Mapping) and isinstance(level.get("path"), str)
    ]


def _smaller_levels(path: Path) -> Iterator[str]:
    """Yield the arrays that are smaller copies of others."""
    for prefix, image in _multiscales(path):
        yield from (name for name, _ in _levels(prefix, image)[1:])


def _found(
    path: Path,
    stamp: Stamp,
    arrays: Mapping[str, zarr.Array[Any]],
    name: str,
    *,
    alone: bool,
) -> Found:
    array = arrays[name]
    known = stored_dtype(np.dtype(array.dtype))
    if known is None:
        raise UnsupportedDataError(f"{name!r} holds no numbers", path=path)
    *groups, last = name.split("/")
    generic = last.lower() in _GENERIC
    title = ("" if alone else " ".join(groups) or last) if generic else last
    root: dict[str, Any] = dict(_open(path).attrs)
    axes, notes = abtem_axes(root, name, tuple(array.shape))
    return Found(
        title=title,
        base=ZarrBlocks(
            path=path,
            stamp=stamp,
            name=name,
            shape=tuple(array.shape),
            dtype=known[0],
            block_shape=tuple(
                max(1, min(a, n)) for a, n in zip(array.chunks, array.shape, strict=True)
            ),
        ),
        axes=axes or _ome_axes(path, name, array) or _axes(arrays, name, array),
        facts=abtem_facts(root, name),
        notes=(*notes, *_absent(array)),
        address=name,
    )


def _with_labels(
    path: Path, arrays: Mapping[str, zarr.Array[Any]], found: list[Found]
) -> list[Found]:
    """Return what was found, a Dataset of ours at the root with all its labels and its masks."""
    root: dict[str, Any] = dict(_open(path).attrs)
    variables = {
        name: SavedVariable(
            dims=_dims(array),
            attributes=dict(array.attrs),
            read=functools.partial(_values, array),
        )
        for name, array in arrays.items()
        if "/" not in name
    }
    places = {one.address: place for place, one in enumerate(found)}
    if "intensity" not in places or not is_saved(root, variables.get("intensity")):
        return found
    place = places["intensity"]
    document = label_saved(root, variables, found[place].base)
    if document is None:
        return found
    found[place] = dataclasses.replace(found[place], title=document.title, document=document)
    return [one for one in found if one.address not in MASKS]


def _values(array: zarr.Array[Any]) -> NDArray[Any]:
    return np.asarray(array[...])


def _absent(array: zarr.Array[Any]) -> tuple[str, ...]:
    """Return a note that counts the chunks which are not stored."""
    there, all_of_them = array.nchunks_initialized, array.nchunks
    if there >= all_of_them:
        return ()
    fill = clean_json(array.fill_value)
    absent = f"{all_of_them - there} of {all_of_them} chunks are not stored and read as {fill}"
    return (f"{absent}: Zarr leaves out such chunks, so lost ones cannot be seen",)


def _axes(
    arrays: Mapping[str, zarr.Array[Any]], name: str, array: zarr.Array[Any]
) -> tuple[FoundAxis, ...]:
    """Return the axes by the coordinates that are beside an array, or above it."""
    axes = []
    for dim, size in zip(_dims(array), array.shape, strict=True):
        coordinate = _coordinate(arrays, name, dim)
        axis = FoundAxis(size=size, name=dim)
        if coordinate is not None and coordinate.shape == (size,):
            units = plain_text(coordinate.attrs.get("units"))
            axis = FoundAxis(size=size, name=dim, units=units)
            axis = axis.at(coordinate[:]) if size <= KEPT_VALUES else axis
        axes.append(axis)
    return tuple(axes)


def _coordinate(
    arrays: Mapping[str, zarr.Array[Any]], name: str, dim: str
) -> zarr.Array[Any] | None:
    groups = name.split("/")[:-1]
    while dim:
        found = arrays.get("/".join([*groups, dim]))
        if found is not None and found.dtype.kind in "iuf":
            return found
        if not groups:
            break
        groups.pop()
    return None


def _ome_axes(path: Path, name: str, array: zarr.Array[Any]) -> tuple[FoundAxis, ...]:
    """Return the axes of an OME-Zarr level, nothing where the array is none."""
    for prefix, image in _multiscales(path):
        level = dict(_levels(prefix, image)).get(name)
        named = image.get("axes")
        if level is None or not isinstance(named, list) or len(named) != array.ndim:
            continue
        scale = _transformation(level, "scale", array.ndim)
        offset = _transformation(level, "translation", array.ndim)
        tags = [one if isinstance(one, Mapping) else {"name": one} for one in named]
        return tuple(
            FoundAxis(
                size=size,
                name=str(tag.get("name") or ""),
                scale=finite_number(step) or math.nan,
                offset=offset_or_nan(first),
                units=str(tag.get("unit") or ""),
            )
            for size, tag, step, first in zip(array.shape, tags, scale, offset, strict=True)
        )
    return ()


def _transformation(level: Mapping[str, Any], kind: str, ndim: int) -> list[Any]:
    for one in level.get("coordinateTransformations") or []:
        values = one.get(kind) if isinstance(one, Mapping) else None
        if isinstance(values, list) and len(values) == ndim:
            return values
    return [None] * ndim


def _load_metadata(path: Path) -> dict[str, Any]:
    """Return attributes of all groups and arrays, and the values of small arrays, as clean JSON."""
    tree: dict[str, Any] = {}
    for name, node in _nodes(path):
        below = tree
        for part in name.split("/") if name else ():
            below = below.setdefault(part, {})
        below.update({f"@{key}": clean_json(value) for key, value in dict(node.attrs).items()})
        if isinstance(node, zarr.Array):
            below["shape"], below["dtype"] = list(node.shape), str(node.dtype)
            if node.ndim <= 1 and node.size <= KEPT_VALUES:
                below["value"] = clean_json(np.asarray(node[...]))
    return tree


@functools.lru_cache(maxsize=32)
def _open_array(path: Path, _stamp: Stamp, name: str, _process: int) -> zarr.Array[Any]:
    node = _open(path)
    found = node if not name else cast("zarr.Group", node)[name]
    return cast("zarr.Array[Any]", found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZarrBlocks(FileBlocks):
    """Values of one array of a Zarr folder."""

    name: str
    """Path of the array below it, empty for the folder itself."""

    def fill(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`."""
        array = _open_array(self.path, self.stamp, self.name, os.getpid())
        np.copyto(out, np.asarray(array[box_of(start, out.shape)]), casting="same_kind")

    def failure(self) -> tuple[str, str]:
        """Return what is said where a codec fails, and what to do about it."""
        return f"cannot decode {self.name or 'the array'!r}", "a chunk is damaged; copy it again"
