"""Finds the lake, opens it, and makes one where it is wanted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stemzarr.errors import SourceNotFoundError
from stemzarr.storage.address import RemotePath, as_source
from stemzarr.storage.files import remove_file
from stemzarr.storage.local import remove_folder
from stemzarr.storage.reasons import writing

if TYPE_CHECKING:
    from stemzarr_catalog.lake import Lake

__all__ = ["ENVIRONMENT", "find_lake", "is_lake", "lake_to_fill", "open_lake"]

ENVIRONMENT = "STEMZARR_LAKE"
"""Environment variable that names the lake where none is given."""

_DEFAULT = "stemzarr-lake"
_YAML, _INDEX = "catalog.yaml", "catalog.sqlite"


def _make_folders(folder: Path) -> None:
    """Make the folders of a lake.

    Raises
    ------
    WriteError
        They cannot be made.
    """
    with writing(folder):
        (folder / "stores").mkdir(parents=True, exist_ok=True)
        (folder / "notes").mkdir(exist_ok=True)


def is_lake(folder: Path) -> bool:
    """Return whether a folder is a lake: it has stores and a catalog.

    At an address one request asks whether a lake was published there.

    Raises
    ------
    ReadError
        The server does not say.
    """
    if isinstance(folder, RemotePath):
        from stemzarr.storage.objects import get_or_none
        from stemzarr.storage.remote import RemoteFolder
        from stemzarr_catalog.snapshot import LAKE

        return get_or_none(RemoteFolder(folder), LAKE) is not None
    has_catalog = (folder / _YAML).is_file() or (folder / _INDEX).is_file()
    return has_catalog and (folder / "stores").is_dir()


def find_lake(path: str | os.PathLike[str] | None = None) -> Path:
    """Return where the lake is, or would be made.

    It is `path`, else ``$STEMZARR_LAKE``, else the folder that encloses the present one and is a
    lake, else ``stemzarr-lake`` in the present one. A published lake may be given by its address.
    """
    given = path or os.environ.get(ENVIRONMENT)
    if given:
        return as_source(given)
    here = Path.cwd()
    enclosing = (folder for folder in (here, *here.parents) if is_lake(folder))
    return next(enclosing, here / _DEFAULT)


def open_lake(
    path: str | os.PathLike[str] | None = None, *, create: bool = False, read_only: bool = False
) -> Lake:
    """Open a lake and reconcile its index with the stores that are there.

    One that was published is opened at its address, such as ``s3://bucket/lake`` or
    ``https://example.org/lake``, by two requests, later by one: its index is kept on this machine.

    Parameters
    ----------
    path
        Its folder or address; by default the one that `find_lake` finds.
    create
        Whether to make the lake if it is not there; reading never makes one.
    read_only
        Whether to leave its files alone; so is a lake that cannot be written.

    Raises
    ------
    SourceNotFoundError
        There is no lake.
    SchemaVersionError
        A newer stemzarr made its index.
    WriteError
        It cannot be made; on a web server only `stemzarr publish` to its folder makes lakes.
    CorruptFileError, DamagedStoreError, ReadError
        At an address, what is there is damaged, or cannot be read.
    """
    # Where the lake is must be known at every press of a key, without what it is made of.
    from stemzarr_catalog.intake_yaml import write_yaml
    from stemzarr_catalog.lake import Lake

    folder = find_lake(path)
    if isinstance(folder, RemotePath):
        if create:
            from stemzarr_catalog.remote_index import bring_in_line

            bring_in_line(folder)
        return Lake(folder)
    if not is_lake(folder):
        if not create:
            hint = "stemzarr ingest FILE makes one; --lake, or $STEMZARR_LAKE, names another"
            raise SourceNotFoundError("there is no lake", path=folder, hint=hint)
        _make_folders(folder)
        write_yaml(folder / _YAML, [])
    return Lake(folder, read_only=read_only)


@contextlib.contextmanager
def lake_to_fill(path: str | os.PathLike[str] | None = None) -> Iterator[Lake]:
    """Give a lake, which is made where there is none, and removed again where it stays empty.

    What an interrupted ingest left in it to be resumed stays.

    Parameters
    ----------
    path
        Its folder; by default the one that `find_lake` finds.

    Raises
    ------
    SchemaVersionError, WriteError
        As `open_lake`.
    """
    folder = find_lake(path)
    if isinstance(folder, RemotePath):
        yield open_lake(folder, create=True)
        return
    was_lake, was_there = is_lake(folder), folder.exists()
    try:
        yield open_lake(folder, create=True)
    finally:
        if not was_lake:
            with contextlib.suppress(OSError):
                _remove_empty(folder, whole=not was_there)


def _remove_empty(folder: Path, *, whole: bool) -> None:
    """Remove the files of a lake without stores and notes, and with `whole` its folder."""
    for name in ("stores", "notes"):
        remove_folder(folder / name)
    for name in (_YAML, _INDEX):
        remove_file(folder / name)
    if whole:
        remove_folder(folder)
