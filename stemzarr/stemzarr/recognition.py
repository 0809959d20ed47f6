"""By what the formats of stemzarr's own readers are recognised: the path and the first bytes.

Modules of readers are imported where they are asked, so that the command starts fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = [
    "is_dm",
    "is_empad",
    "is_foreign_zarr",
    "is_hdf5",
    "is_merlin",
    "is_store_folder",
    "load",
]


def load(target: str) -> Any:  # noqa: ANN401 - whatever the path names
    """Return what ``module:name`` names."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def is_store_folder(path: Path, _head: bytes) -> bool:
    """Tell whether a folder is a Zarr group of format 3, as a store is."""
    return (path / "zarr.json").is_file()


def is_foreign_zarr(path: Path, _head: bytes) -> bool:
    """Tell whether a folder is Zarr of another program."""
    if not path.is_dir():
        return False
    recognises: Callable[[Path], bool] = load("stemzarr.formats.zarr.marks:is_foreign_zarr")
    return recognises(path)


def is_dm(_path: Path, head: bytes) -> bool:
    """Tell whether a file begins as DM3 or DM4."""
    return head[:4] in (b"\x00\x00\x00\x03", b"\x00\x00\x00\x04")


def is_hdf5(_path: Path, head: bytes) -> bool:
    """Tell whether a file begins as HDF5."""
    return head[:8] == b"\x89HDF\r\n\x1a\n"


def is_empad(path: Path, head: bytes) -> bool:
    """Tell whether a file is the description of an EMPAD, or frames of one."""
    if path.suffix.lower() not in (".xml", ".raw") or not path.is_file():
        return False
    recognises: Callable[[Path, bytes], bool] = load("stemzarr.formats.empad:is_empad")
    return recognises(path, head)


def is_merlin(path: Path, head: bytes) -> bool:
    """Tell whether a file is frames of a Merlin, or describes them."""
    if not head.startswith((b"MQ1,", b"HDR,")):
        return False
    recognises: Callable[[Path, bytes], bool] = load("stemzarr.formats.merlin.reader:is_merlin")
    return recognises(path, head)
