"""Values of an array in a file: what the readers that decode with a library have in common."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import ReadError, SourceChangedError, StemzarrError
from stemzarr.storage.reasons import reading

__all__ = ["FileBlocks", "Stamp", "box_of", "one_line"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """Size and modification time of a file, by which a change is noticed."""

    size: int
    """Size in bytes."""
    modified_ns: int
    """Modification time in nanoseconds since the epoch."""

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Return the stamp of a file as it is now.

        Raises
        ------
        ReadError
            There is no such file, or it may not be read.
        """
        with reading(path):
            status = path.stat()
        return cls(status.st_size, status.st_mtime_ns)

    def check(self, path: Path) -> None:
        """Raise where a file is no longer the one that this is the stamp of.

        Raises
        ------
        SourceChangedError, ReadError
            The file has another size or time by now, or cannot be read.
        """
        if Stamp.of(path) != self:
            msg = "changed since it was recognised"
            raise SourceChangedError(msg, path=path, hint="open it again")


def one_line(error: BaseException) -> str:
    """Return what another library complains of, on one line of bearable length."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def box_of(start: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """Return the slices of a box of `shape` at `start`."""
    return tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBlocks(abc.ABC):
    """Values of one array in the order of the disk, decoded by a library. Picklable.

    Subclasses fill a box by `fill` and may be read by several threads; each process opens the
    file for itself.
    """

    path: Path
    """The file or folder."""
    stamp: Stamp
    """What it was when it was recognised."""
    shape: tuple[int, ...]
    """Lengths of the dims as on disk, with ``channel`` as the last where there are colours."""
    dtype: np.dtype[Any]
    """Type of the values, little-endian."""
    block_shape: tuple[int, ...]
    """What is decoded at once: a chunk, a frame, or about 16 MiB."""

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`.

        Raises
        ------
        SourceChangedError, ReadError
            The file is another one by now, or its bytes cannot be decoded.
        """
        self.check()
        if not out.size:
            return
        try:
            self.fill(out, start)
        except (ReadError, SourceChangedError):
            raise
        except StemzarrError as error:
            raise ReadError(error.message, path=self.path, hint=error.hint) from error
        except Exception as error:  # libraries raise whatever the bytes make them stumble over
            failure, hint = self.failure()
            msg = f"{failure}: {one_line(error)}"
            raise ReadError(msg, path=self.path, hint=hint) from error

    def check(self) -> None:
        """Raise where the file is another one than was recognised."""
        self.stamp.check(self.path)

    @abc.abstractmethod
    def fill(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out`, which is not empty; whatever this raises becomes a `ReadError`."""

    def failure(self) -> tuple[str, str]:
        """Return what is said where the library fails, and what to do about it."""
        return "its values cannot be decoded", "the file is damaged; copy it again"
