"""Folders that are Zarr of other programs, recognized by their first file; the size of folders."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stemzarr.storage.reasons import reading
from stemzarr.storage.zipped import SUFFIX

__all__ = ["folder_size", "is_foreign_zarr", "is_store_folder", "is_zipped_store"]

_OLD_MARKS: Final = (".zarray", ".zgroup", ".zmetadata")


def is_store_folder(path: Path, _head: bytes = b"") -> bool:
    """Return whether a folder is a Zarr group of format 3, as a store is, or a file holds one."""
    return (path / "zarr.json").is_file() or is_zipped_store(path)


def is_zipped_store(path: Path) -> bool:
    """Return whether a file is named as a store in one file is, and is not that of another."""
    if not path.name.lower().endswith(SUFFIX) or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            tree = json.loads(archive.read("zarr.json"))
    except KeyError:
        return False
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return True  # a damaged one, of which its own reader says what is wrong
    return _is_ours(tree)


def is_foreign_zarr(path: Path, _head: bytes = b"") -> bool:
    """Return whether a folder is a Zarr array or group that stemzarr did not write."""
    if not path.is_dir() or path.suffix.lower() == ".zspy":
        return False
    if not (path / "zarr.json").is_file():
        return any((path / name).is_file() for name in _OLD_MARKS)
    try:
        tree = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # a damaged store, of which its own reader says what is wrong
    known = isinstance(tree, dict) and tree.get("node_type") in ("group", "array")
    ours = _is_ours(tree) and not _is_copied(tree)
    return known and not ours and not (path / "source").is_dir()


def _is_copied(tree: Mapping[str, Any]) -> bool:
    """Return whether xarray wrote the variables of a store: its attributes came with them."""
    listed = (tree.get("consolidated_metadata") or {}).get("metadata")
    return not isinstance(listed, dict) or "source" not in listed


def _is_ours(tree: Any) -> bool:  # noqa: ANN401 - what JSON holds
    attributes = tree.get("attributes") if isinstance(tree, dict) else None
    return isinstance(attributes, dict) and "stemzarr_schema" in attributes


def folder_size(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the latest modification time of all files below a folder.

    Raises
    ------
    ReadError
        A file cannot be looked at.
    """
    with reading(path):
        states = [Path(folder, name).stat() for folder, _, names in os.walk(path) for name in names]
    return sum(one.st_size for one in states), max((one.st_mtime_ns for one in states), default=0)
