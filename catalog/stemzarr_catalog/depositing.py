"""A folder for a repository that takes files and no folders: each store as one file."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from stemzarr.errors import OptionError, SourceNotFoundError, StoreExistsError
from stemzarr.options import ExportOptions, as_path
from stemzarr.storage.files import check_destination, publish
from stemzarr.storage.local import LocalFolder
from stemzarr_catalog.citation import needed_citation, render_toml
from stemzarr_catalog.citing import CITATION_FILES, SHA256, citation_files, list_digests

if TYPE_CHECKING:
    from stemzarr_catalog.lake import Lake

__all__ = ["MOST_FILES", "export_deposit"]

MOST_FILES = 100
"""Most files that Zenodo takes in one record."""
_SUFFIX = ".zarr.zip"


def export_deposit(
    lake: Lake,
    folder: str | os.PathLike[str],
    query: str = "",
    *,
    overwrite: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> int:
    """Write stores as one file each, with what it takes to cite them and their SHA-256.

    Parameters
    ----------
    lake
        The lake; its ``lake.toml`` says who made the data.
    folder
        The folder to make, with no folder in it and `MOST_FILES` files at most. It is there when
        it is complete.
    query
        Which entries are written; all by default.
    overwrite
        Refused: a folder of files is never replaced.
    note
        Receives what is left out of a store, such as results that people added.

    Returns
    -------
    int
        How many stores were written.

    Raises
    ------
    OptionError
        The lake has no ``lake.toml``, an entry is virtual, or there would be too many files.
    SourceNotFoundError
        Nothing is found by the query.
    StoreExistsError
        Something exists at `folder`.
    DamagedStoreError
        A store is not as it was written.
    CorruptFileError, QueryError, WriteError
        ``lake.toml`` or the query cannot be understood, or the files not be written.
    """
    from stemzarr import api

    target, citation = as_path(folder), needed_citation(lake.path)
    if overwrite and target.exists():
        hint = "remove it, or choose another name"
        raise StoreExistsError("a folder of files is never replaced", path=target, hint=hint)
    check_destination(target, overwrite=False)
    entries = lake.search(query)
    if not entries:
        hint = "'stemzarr ls' shows what there is"
        raise SourceNotFoundError("no entry matches", path=lake.path, hint=hint)
    virtual = [entry.name for entry in entries if entry.source.get("virtual")]
    if virtual:
        hint = "ingest its source without --virtual, or leave it out by the query"
        raise OptionError(f"{virtual[0]} is virtual: it has no pixels", path=lake.path, hint=hint)
    count = len(entries) + len(CITATION_FILES) + 1
    if count > MOST_FILES:
        msg = f"makes {count} files, while a record of Zenodo has {MOST_FILES} at most"
        raise OptionError(msg, path=target, hint="write several folders, each by its own query")
    with publish(target, sync=False) as temporary:
        temporary.mkdir()
        for entry in entries:
            dest = temporary / f"{entry.name}{_SUFFIX}"
            done = api.export(entry.path, dest, options=ExportOptions(sync=False))
            for said in done.notes:
                note(f"{entry.name}: {said}")
        place = LocalFolder(temporary)
        today = dt.datetime.now(dt.UTC).date()
        place.put(CITATION_FILES[0], render_toml(citation).encode())
        for name, text in citation_files(citation, entries, today, zipped=True).items():
            place.put(name, text.encode())
        place.put(SHA256, list_digests(place).encode())
    return len(entries)
