"""Opens a lake, and makes one where it is wanted."""

from __future__ import annotations

import os

from stemzarr.errors import SourceNotFoundError
from stemzarr_catalog.finding import find_lake, is_lake, make_folders
from stemzarr_catalog.intake_yaml import write_yaml
from stemzarr_catalog.lake import YAML, Lake

__all__ = ["open_lake"]


def open_lake(
    path: str | os.PathLike[str] | None = None, *, create: bool = False, read_only: bool = False
) -> Lake:
    """Open a lake and reconcile its index with the stores that are there.

    Parameters
    ----------
    path
        Its folder; by default the one that `find_lake` finds.
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
    """
    folder = find_lake(path)
    if not is_lake(folder):
        if not create:
            hint = "stemzarr ingest FILE makes one; --lake, or $STEMZARR_LAKE, names another"
            raise SourceNotFoundError("there is no lake", path=folder, hint=hint)
        make_folders(folder)
        write_yaml(folder / YAML, [])
    return Lake(folder, read_only=read_only)
