"""Values of an array in a file: what the readers that decode with a library have in common."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import CorruptFileError, ReadError, SourceChangedError, StemzarrError
from stemzarr.storage.objects import Stamp

__all__ = ["NOT_OF_SUFFIX", "FileBlocks", "one_line", "parsing"]

NOT_OF_SUFFIX: Final = "it may be truncated, or of another format than its suffix says"
"""What to do about a file that its library does not know."""


def one_line(error: BaseException) -> str:
    """Return what another library complains of, on one line of bearable length."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextlib.contextmanager
def parsing(path: Path, failure: str, hint: str) -> Iterator[None]:
    """Raise what a library complains of in the block as damage of a file; errors of ours pass.

    Raises
    ------
    CorruptFileError
        The library raises whatever the bytes make it stumble over.
    """
    try:
        yield
    except StemzarrError:
        raise
    except Exception as error:
        msg = f"{failure}: {one_line(error)}"
        raise CorruptFileError(msg, path=path, hint=hint) from error


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
