"""Archives, which are not read themselves: what is in one, and what to give instead."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from stemzarr.errors import UnknownFormatError

__all__ = ["refuse_packed"]

_MAGIC: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
}
"""First bytes of packed files, and by what they are packed."""
_MOST_NAMED: Final = 3
_ZARR: Final = frozenset({"zarr.json", ".zgroup", ".zarray"})


def refuse_packed(path: Path) -> None:
    """Raise where a file of an unknown suffix is an archive, with what is in it.

    Raises
    ------
    UnknownFormatError
        It is a zip archive, such as `.npz` and `.zarr.zip`, or packed by gzip,
        bzip2, xz, zstd, 7-Zip or RAR.
    """
    names = _members(path)
    if names:
        shown = ", ".join(names[:_MOST_NAMED]) + ", …" * (len(names) > _MOST_NAMED)
        is_zarr = any(name.rpartition("/")[2] in _ZARR for name in names)
        give = "give the folder" if is_zarr else "give the file of data in it"
        msg = f"is a zip archive ({shown}), which is not read as it is"
        raise UnknownFormatError(msg, path=path, hint=f"unpack it and {give}")
    with path.open("rb") as file:
        head = file.read(8)
    for magic, program in _MAGIC.items():
        if head.startswith(magic):
            msg = f"is packed by {program}, which is not read as it is"
            raise UnknownFormatError(msg, path=path, hint="unpack it and give what is in it")


def _members(path: Path) -> list[str]:
    """Return the names in a zip archive, none where the file is not such an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if name.isprintable()]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return []
