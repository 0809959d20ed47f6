"""Results that people computed from entries: labelled arrays beside the stores.

Each is a Zarr group of its own, ``results/NAME/RESULT.zarr``, as xarray writes it, with where it
came from among its attributes. The store of the entry is never touched. A result belongs to an
entry by its name and the digest of its source: another source under that name has none of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stemzarr
from stemzarr.errors import CorruptFileError, EntryNotFoundError, OptionError, StoreExistsError
from stemzarr.metadata.dates import utc_now
from stemzarr.storage.files import move, publish, remove_tree
from stemzarr.storage.foreign import is_foreign
from stemzarr.storage.local import put_text
from stemzarr.storage.reasons import writing
from stemzarr_catalog.fields import nearest
from stemzarr_catalog.names import check_name, lookup_name

if TYPE_CHECKING:
    import xarray as xr

    from stemzarr_catalog.entry import Entry

__all__ = [
    "FOLDER",
    "Result",
    "add_result",
    "find_results",
    "open_result",
    "pick_result",
    "read_result",
    "read_results",
    "redact_results",
    "remove_result",
    "results_folder",
    "set_aside",
]

FOLDER = "results"
"""Name of the folder of all results in a lake."""
_SUFFIX = ".zarr"
_MARK = "stemzarr_result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One result of an entry."""

    name: str
    """Its name, that of the array."""
    path: Path
    """The Zarr group that holds it."""
    dims: tuple[str, ...]
    """Dims of the array."""
    shape: tuple[int, ...]
    """Lengths of these dims."""
    dtype: str
    """Type of the values."""
    source_hash: str
    """Digest of the source that it was computed from."""
    created: str
    """When it was added, in UTC."""
    lineage: Mapping[str, Any]
    """What was said of where it came from, such as code, model and parameters."""

    def json(self) -> dict[str, Any]:
        """Return the result as ``result ls --json`` prints it."""
        return {
            **dataclasses.asdict(self),
            "path": str(self.path),
            "dims": list(self.dims),
            "shape": list(self.shape),
        }


def results_folder(lake: Path, name: str) -> Path:
    """Return where the results of an entry are, or would be."""
    return lake / FOLDER / lookup_name(name)


def find_results(lake: Path, name: str) -> Iterator[Path]:
    """Give the groups below the folder of an entry's results, sorted by name."""
    try:
        with os.scandir(results_folder(lake, name)) as listing:
            found = sorted(item.name for item in listing if item.is_dir(follow_symlinks=False))
    except OSError:
        return
    for item in found:
        if item.endswith(_SUFFIX) and not item.startswith(".") and not is_foreign(item):
            yield results_folder(lake, name) / item


def read_results(lake: Path, name: str, source_hash: str | None) -> dict[str, Result]:
    """Return the results of an entry by name, those of its own source alone.

    Raises
    ------
    CorruptFileError
        A group there is not a result as `add_result` leaves it.
    """
    read = map(read_result, find_results(lake, name))
    return {found.name: found for found in read if found.source_hash == source_hash}


def read_result(path: Path) -> Result:
    """Return what a group of results holds.

    Raises
    ------
    CorruptFileError
        It is not one that `add_result` leaves.
    """
    name = path.name.removesuffix(_SUFFIX)
    try:
        group = json.loads((path / "zarr.json").read_bytes())
        node = json.loads((path / name / "zarr.json").read_bytes())
        said = group["attributes"][_MARK]
        return Result(
            name=name,
            path=path,
            dims=tuple(node["dimension_names"] or ()),
            shape=tuple(node["shape"]),
            dtype=str(node["data_type"]),
            source_hash=str(said["source_hash"]),
            created=str(said["created"]),
            lineage=dict(said["lineage"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"is not a result that stemzarr wrote: {type(error).__name__}: {error}"
        hint = "move it out of the folder, or remove it"
        raise CorruptFileError(msg, path=path, hint=hint) from error


def _write(path: Path, array: xr.DataArray, origin: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write an array as a group that appears complete or not at all.

    Parameters
    ----------
    path
        The group.
    array
        The array, whose name is that of the group.
    origin
        What is kept of where it came from: source_hash, lineage.
    overwrite
        Whether a result of that name is replaced.

    Raises
    ------
    OptionError
        The array holds what Zarr does not, or its attributes are not JSON.
    StoreExistsError
        A result of that name is there.
    WriteError
        The operating system could not write.
    """
    if path.exists() and not overwrite:
        hint = "give the array another name, or overwrite=True (--overwrite) to replace it"
        raise StoreExistsError("the entry has a result of that name", path=path, hint=hint)
    dataset = array.compute().drop_encoding().to_dataset(name=array.name)
    created = utc_now()
    dataset.attrs = {
        _MARK: {"created": created, "stemzarr": stemzarr.__version__, **origin},
        "title": str(array.attrs.get("long_name") or array.name),
    }
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with publish(path) as temporary:
        dataset.to_zarr(temporary, zarr_format=3, consolidated=False)


def _check_result(array: object) -> None:
    """Refuse what cannot be kept as a result.

    Raises
    ------
    OptionError
        It is not a DataArray, has no name that is safe on every system, is called as one of its
        dims, or holds other values than numbers.
    """
    import xarray as xr

    if not isinstance(array, xr.DataArray):
        msg = f"a result is a DataArray, not {type(array).__name__}"
        raise OptionError(msg, hint="PatternDataset.to_map and .stem give one; or xr.DataArray(…)")
    if not isinstance(array.name, str) or array.name in (*array.dims, *array.coords):
        msg = f"the name of the array is {array.name!r}"
        raise OptionError(msg, hint='name it as the result is to be called: array.rename("phase")')
    check_name(array.name)
    for name, values in {array.name: array, **array.coords}.items():
        if values.dtype.kind not in "biufc":
            msg = f"{name} holds values of type {values.dtype}"
            raise OptionError(msg, hint="give numbers, and say in attrs what they mean")
    if misfits := [name for name in map(str, array.dims) if not name.isidentifier()]:
        msg = f"{', '.join(misfits)} cannot be the name of a dim"
        raise OptionError(msg, hint="a letter, then letters, digits and '_'")
    for name, values in {array.name: array, **array.coords}.items():
        _check_json(values.attrs, f"the attributes of {name}")


def _check_lineage(lineage: object) -> dict[str, Any]:
    """Return what is said of where a result came from.

    Raises
    ------
    OptionError
        It is not a mapping of names to what JSON can hold.
    """
    if lineage is None:
        return {}
    if not isinstance(lineage, Mapping) or not all(isinstance(key, str) for key in lineage):
        raise OptionError("lineage is not a mapping of names", hint='such as {"model": "v3"}')
    _check_json(lineage, "the lineage")
    return dict(lineage)


def _check_json(value: Mapping[Any, Any], what: str) -> None:
    try:
        json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"{what} cannot be kept as JSON: {error}"
        raise OptionError(msg, hint="give texts, finite numbers, lists and mappings") from error


def open_result(result: Result) -> xr.DataArray:
    """Open a result lazily, as it was added.

    Raises
    ------
    EntryNotFoundError
        It was removed since it was listed.
    """
    import xarray as xr

    try:
        dataset = xr.open_zarr(result.path, chunks=None, consolidated=False)
    except FileNotFoundError as error:
        msg = f"the result {result.name!r} is not there any more"
        raise EntryNotFoundError(msg, path=result.path, hint="list them again") from error
    array: xr.DataArray = dataset[result.name]
    return array


def pick_result(found: Mapping[str, Result], name: str, entry: str) -> Result:
    """Return the result of a name.

    Raises
    ------
    EntryNotFoundError
        There is none; the message names the nearest ones.
    """
    if name in found:
        return found[name]
    close = nearest(name, found) or list(found)
    hint = f"there are: {', '.join(close)}" if close else f"stemzarr result add {entry} FILE"
    raise EntryNotFoundError(f"{entry} has no result {name!r}", hint=hint)


def add_result(
    lake: Path,
    entry: Entry,
    array: xr.DataArray,
    lineage: Mapping[str, Any] | None,
    *,
    overwrite: bool,
) -> Result:
    """Write a result of an entry, as `Lake.add_result`; the caller holds the lake."""
    _check_result(array)
    path = results_folder(lake, entry.name) / f"{array.name}{_SUFFIX}"
    origin = {"source_hash": entry.source.get("hash"), "lineage": _check_lineage(lineage)}
    _write(path, array, origin, overwrite=overwrite)
    return read_result(path)


def remove_result(entry: Entry, name: str) -> None:
    """Delete a result of an entry, as `Lake.remove_result`; the caller holds the lake."""
    path = pick_result(entry.results, name, entry.name).path
    with writing(path):
        with set_aside(path):
            pass
        if not any(path.parent.iterdir()):
            remove_tree(path.parent)


def redact_results(
    lake: Path, name: str, clean: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> None:
    """Replace lineage and attributes of the results of an entry by what `clean` leaves of them."""
    for path in find_results(lake, name):
        for file in sorted(path.rglob("zarr.json")):
            node = json.loads(file.read_bytes())
            said = node.get("attributes", {})
            cleaned = clean(said)
            if _MARK in said:
                mark = said[_MARK]
                cleaned[_MARK] = {**mark, "lineage": clean(mark.get("lineage", {}))}
            if cleaned != said:
                put_text(file, json.dumps({**node, "attributes": cleaned}))


@contextlib.contextmanager
def set_aside(folder: Path) -> Iterator[None]:
    """Delete a folder or group when the block succeeds, and put it back when it fails."""
    if not folder.is_dir():
        yield
        return
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.{time.time_ns():x}.old")
    move(folder, aside)
    try:
        yield
    except BaseException:
        move(aside, folder)
        raise
    remove_tree(aside)
