"""From what a person types to a path: a file, a store, or a name in the lake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr.errors import (
    EntryNotFoundError,
    SourceNotFoundError,
    StemzarrError,
    UnsupportedDataError,
)

if TYPE_CHECKING:
    from stemzarr_catalog import Entry, Lake

__all__ = ["Place", "expand_folders", "find_record", "find_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a SOURCE is."""

    path: Path
    """The file or store."""
    entry: Entry | None = None
    """The entry of the lake that was named, where it was no path."""
    lake: Lake | None = None
    """The lake of that entry."""


def find_source(text: str, lake: Path | None) -> Place:
    """Return what a SOURCE means; a path that exists wins over a name in the lake.

    Raises
    ------
    SourceNotFoundError
        It is neither.
    """
    path = Path(text).expanduser()
    if path.exists() or len(path.parts) != 1:
        return Place(path=path)
    return _find_entry(text, lake)


def find_record(text: str, lake: Path | None) -> tuple[Path, dict[str, Any]]:
    """Return a store, given by its path or its name in the lake, and what is known of it.

    Raises
    ------
    SourceNotFoundError, UnsupportedDataError, DamagedStoreError
        It is neither, or a file that is no store, or a store that cannot be understood.
    """
    path = Path(text).expanduser()
    if not path.exists():
        entry = _find_entry(text, lake).entry
        assert entry is not None  # noqa: S101 - what is found by its name has one
        return entry.path, entry.json()
    if not (path / "zarr.json").is_file():
        hint = f"'stemzarr info {path}' shows a file that is not ingested"
        raise UnsupportedDataError("is no store", path=path, hint=hint)
    from stemzarr_catalog.record import read_record

    return path, {**read_record(path, path.stem).json, "store": str(path.absolute())}


def _find_entry(name: str, where: Path | None) -> Place:
    """Return the entry of that name, or say in one line where it was looked for."""
    from stemzarr_catalog import open_lake

    try:
        lake = open_lake(where)
        entry = lake[name]
    except EntryNotFoundError as error:
        message, hint = (
            f"there is no such file, nor such an entry in the lake {lake.path}",
            error.hint,
        )
    except SourceNotFoundError as error:
        if where is not None:
            raise
        message, hint = f"there is no such file, and {error.message} at {error.path}", error.hint
    else:
        return Place(path=entry.path, entry=entry, lake=lake)
    raise SourceNotFoundError(message, path=name, hint=hint)


def expand_folders(files: Sequence[str]) -> Iterator[Path]:
    """Yield files as they are, and for a folder everything below it that a reader recognises.

    Stores and hidden files are passed over: the first are ingested already, the second are
    what other programs are still writing.

    Raises
    ------
    SourceNotFoundError
        A folder holds nothing that stemzarr reads.
    """
    for file in files:
        path = Path(file).expanduser()
        if not path.is_dir() or _is_source(path):
            yield path
            continue
        found = list(_below(path))
        if not found:
            msg = "no file below this folder is of a kind that stemzarr reads"
            raise SourceNotFoundError(msg, path=path, hint="name the files themselves")
        yield from found


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not (path / "zarr.json").exists():
                yield from _below(path)
        elif _is_source(path):
            yield path


def _is_source(path: Path) -> bool:
    """Tell whether a reader knows the path by its bytes or suffix, the last resort apart."""
    from stemzarr.registry import find_reader, readers

    try:
        return find_reader(path) is not readers()[-1]
    except StemzarrError:
        return False
