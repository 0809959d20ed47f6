"""From what a person types to a path: a file, a store, or a name in the lake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr.errors import (
    EntryNotFoundError,
    OptionError,
    SourceNotFoundError,
    UnsupportedDataError,
)
from stemzarr.formats.zarr.marks import is_store_folder
from stemzarr.options import as_path
from stemzarr.storage.acquisitions import acquisition_name
from stemzarr.storage.address import RemotePath, as_source
from stemzarr.storage.foreign import is_foreign
from stemzarr_cli.parameters import PUBLISHED

if TYPE_CHECKING:
    from stemzarr_catalog import Entry, Lake

__all__ = [
    "Place",
    "describe_left",
    "expand_folder",
    "find_record",
    "find_source",
    "is_plain_folder",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a SOURCE is."""

    path: Path
    """The file or store."""
    entry: Entry | None = None
    """The entry of the lake that was named, where it was not a path."""
    lake: Lake | None = None
    """The lake of that entry."""


def find_source(text: str, lake: Path | None, *, far: bool = False) -> Place:
    """Return what a SOURCE means; a path that exists wins over a name in the lake.

    Parameters
    ----------
    text
        As it was typed.
    lake
        Where names are looked up.
    far
        Whether it may be the address of a store.

    Raises
    ------
    SourceNotFoundError, OptionError
        It is neither, or an address that the command cannot use.
    """
    path = _path(text, far=far)
    if path.exists() or len(path.parts) != 1:
        return Place(path=path)
    place = _find_entry(text, lake)
    if isinstance(place.path, RemotePath) and not far:
        raise OptionError(PUBLISHED[0], path=place.path, hint=PUBLISHED[1])
    return place


def find_record(text: str, lake: Path | None) -> tuple[Path, dict[str, Any]]:
    """Return a store, given by its path or its name in the lake, and what is known of it.

    Raises
    ------
    SourceNotFoundError, UnsupportedDataError, DamagedStoreError
        It is neither, or a file that is not a store, or a store that cannot be understood.
    """
    path = _path(text, far=True)
    is_far = isinstance(path, RemotePath)
    if not (is_far or path.exists()):
        place = _find_entry(text, lake)
        if place.entry is not None:
            return place.path, place.entry.json()
        path = place.path
    if not (is_far or is_store_folder(path)):
        hint = f"'stemzarr info {path}' shows a file that is not ingested"
        raise UnsupportedDataError("is not a store", path=path, hint=hint)
    from stemzarr_catalog.record import read_record

    record = {**read_record(path, path.stem).json, "store": str(path.absolute())}
    del record["origins"]  # which tell entries of a lake apart
    return path, record


def _path(text: str, *, far: bool = False) -> Path:
    """Return a path as it was typed, of this machine or, where that will do, an address."""
    path = as_source(text) if far else as_path(text)
    if isinstance(path, RemotePath):
        return path
    return path if text.startswith("file:") else Path(text).expanduser()


def _find_entry(name: str, where: Path | None) -> Place:
    """Return the entry of that name, or say in one line where it was looked for."""
    from stemzarr_catalog import open_lake

    try:
        lake = open_lake(where)
        if name in lake.problems and name not in lake:
            # It is there and cannot be read: that is what verify is for.
            return Place(path=lake.store_path(name), lake=lake)
        entry = _entry_of(lake, name)
    except EntryNotFoundError as error:
        message, hint = (
            f"there is no such file, and no such entry in the lake {lake.path}",
            error.hint,
        )
    except SourceNotFoundError as error:
        if where is not None:
            raise
        message, hint = f"there is no such file, and {error.message} at {error.path}", error.hint
    else:
        return Place(path=entry.path, entry=entry, lake=lake)
    raise SourceNotFoundError(message, path=name, hint=hint)


def _entry_of(lake: Lake, name: str) -> Entry:
    """Return the entry of a name, or that of the acquisition whose file has this stem.

    Raises
    ------
    EntryNotFoundError
        The lake has neither.
    """
    try:
        return lake[name]
    except EntryNotFoundError:
        # `scan_master` means what became the entry `scan`.
        for suffix in (".h5", ".tvips"):
            entry = lake.find_folded(acquisition_name(Path(f"{name}{suffix}")))
            if entry is not None and entry.source.get("name") == f"{name}{suffix}":
                return entry
        raise


def is_plain_folder(file: str) -> bool:
    """Return whether a path is a folder of files, and neither a store nor another source."""
    from stemzarr.registry import is_data, is_store

    path = _path(file, far=True)
    return path.is_dir() and not is_store(path) and not is_data(path)


def expand_folder(file: str) -> tuple[list[Path], list[Path]]:
    """Return a file as it is, and for a folder everything below it that a reader is made for.

    Of the files of one acquisition only that is returned by which all are read.
    Stores, hidden files and links to folders are skipped: the first are ingested already, the
    second are what other programs are still writing, the third lead elsewhere or in a circle.

    Returns
    -------
    tuple of two lists
        What is taken, and the pictures and tables below a folder that are read where they are
        named, but are found in folders of data too.

    Raises
    ------
    SourceNotFoundError
        A folder holds nothing that is taken.
    """
    from stemzarr.registry import is_data

    path = _path(file)
    if not path.is_dir() or is_data(path):
        return [path], []
    left: list[Path] = []
    found = list(_below(path, left))
    if not found:
        msg = "this folder holds no file of a kind that is ingested from folders"
        hint = f"name the files themselves{_such_as(left)}"
        raise SourceNotFoundError(msg, path=path, hint=hint)
    return found, left


def describe_left(folder: str, left: Sequence[Path]) -> str:
    """Say how many files of which suffixes below a folder are not taken; empty for none."""
    if not left:
        return ""
    kinds = Counter(path.suffix.lower() for path in left)
    shown = ", ".join(f"{number} {suffix}" for suffix, number in sorted(kinds.items()))
    return f"{folder}: {shown} left out (name the files to include them{_such_as(left)})"


def _such_as(left: Sequence[Path]) -> str:
    return f", such as {left[0].name}" if left else ""


def _below(folder: Path, left: list[Path]) -> Iterator[Path]:
    """Yield the data below a folder, and what cannot be looked into, to be reported as such.

    What is read by name alone is added to `left`.
    """
    from stemzarr.registry import is_data, is_store, lead_of, reads_suffix

    try:
        # `scan` comes before `scan copy`
        inside = sorted(folder.iterdir(), key=lambda path: (path.stem, path.suffix))
    except OSError:
        yield folder
        return
    for path in inside:
        try:
            hidden = path.name.startswith(".") or is_foreign(path.name)
            if hidden or is_store(path):
                continue
            is_folder = path.is_dir() and not path.is_symlink()
        except OSError:
            yield path
            continue
        if not is_folder and lead_of(path) is not None:
            continue
        if is_data(path):
            yield path
        elif is_folder:
            yield from _below(path, left)
        elif path.is_file() and reads_suffix(path.suffix.lower()):
            left.append(path)
