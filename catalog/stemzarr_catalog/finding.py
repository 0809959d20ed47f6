"""Where the lake is."""

from __future__ import annotations

import os
from pathlib import Path

from stemzarr.options import as_path
from stemzarr.storage.files import writing

__all__ = ["ENVIRONMENT", "find_lake", "is_lake", "make_folders"]

ENVIRONMENT = "STEMZARR_LAKE"
"""Environment variable that names the lake where none is given."""

_DEFAULT = "stemzarr-lake"


def make_folders(folder: Path) -> None:
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
    """Return whether a folder is a lake: it has stores and a catalog."""
    has_catalog = (folder / "catalog.yaml").is_file() or (folder / "catalog.sqlite").is_file()
    return has_catalog and (folder / "stores").is_dir()


def find_lake(path: str | os.PathLike[str] | None = None) -> Path:
    """Return where the lake is, or would be made.

    It is `path`, else ``$STEMZARR_LAKE``, else the folder that encloses the present one and is a
    lake, else ``stemzarr-lake`` in the present one.
    """
    given = path or os.environ.get(ENVIRONMENT)
    if given:
        return as_path(given)
    here = Path.cwd()
    enclosing = (folder for folder in (here, *here.parents) if is_lake(folder))
    return next(enclosing, here / _DEFAULT)
