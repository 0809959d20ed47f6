"""A folder of a file system as a place for stores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stemzarr.errors import ReadError, SourceChangedError
from stemzarr.storage.files import PositionedFile, cache_open_files, read_error
from stemzarr.storage.foreign import without_foreign
from stemzarr.storage.objects import Address, Readable, Stamp
from stemzarr.storage.revision import finish_revision

__all__ = ["LocalFolder", "open_root"]

_OPEN_FILES = 32


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """The files below a folder.

    A file that is read in parts stays open. Each read compares its stamp by the open file, which
    needs no look-up of its path: a file that was replaced, removed or written is noticed.
    """

    root: Path
    """The folder."""

    def get(self, key: str) -> bytes:
        """Return all bytes of a file.

        Raises
        ------
        FileNotFoundError, ReadError
            It is missing, or cannot be read.
        """
        path = self.root / key
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise read_error(path, error) from error

    def read_into(self, key: str, out: memoryview, start: int, stamp: Stamp) -> None:
        """Fill `out` from byte `start` on.

        Raises
        ------
        SourceChangedError
            The file is gone, or does not have that stamp any more.
        ReadError
            It cannot be read.
        """
        path = f"{self.root}/{key}"
        file = _open_file(path, os.getpid(), stamp)
        if _stamp_of(file.status()) != stamp:
            raise _changed(path)
        file.read_into(out, start)

    def stamp(self, key: str) -> Stamp:
        """Return the stamp of a file or folder.

        Raises
        ------
        FileNotFoundError, ReadError
            It is missing, or cannot be looked at.
        """
        path = self.root / key
        try:
            return _stamp_of(path.stat())
        except FileNotFoundError:
            raise
        except OSError as error:
            raise read_error(path, error) from error

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the paths of all files below a folder; nothing where there is none."""
        for folder, below, names in os.walk(self.root / prefix):
            below[:] = without_foreign(below)
            files = (Path(folder, name) for name in without_foreign(names))
            yield from (file.relative_to(self.root).as_posix() for file in files if file.is_file())

    def settle(self) -> None:
        """Finish revisions that were committed.

        Raises
        ------
        DamagedStoreError, WriteError
            As `finish_revision`.
        """
        finish_revision(self.root)


def open_root(address: Address) -> Readable:
    """Return the place that an address means."""
    return LocalFolder(address) if isinstance(address, Path) else address


@cache_open_files(_OPEN_FILES)
def _open_file(path: str, _process: int, stamp: Stamp) -> PositionedFile:
    try:
        file = PositionedFile(Path(path))
    except ReadError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise _changed(path) from error
        raise
    if _stamp_of(file.status()) != stamp:
        raise _changed(path)
    return file


def _changed(path: str) -> SourceChangedError:
    return SourceChangedError("changed since it was opened", path=path, hint="open it again")


def _stamp_of(status: os.stat_result) -> Stamp:
    # The number of links falls when an open file is removed, whether or not its times are kept.
    version = (status.st_dev, status.st_ino, status.st_nlink, status.st_ctime_ns)
    return Stamp(status.st_size, status.st_mtime_ns, version)
