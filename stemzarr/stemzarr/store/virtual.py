"""Virtual stores: the labels here, the pixels in the source, which must not move or change."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import SourceChangedError, SourceNotFoundError
from stemzarr.model import Blocks
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.storage.fingerprints import FileState, state_of
from stemzarr.storage.reasons import reading
from stemzarr.store.format.form import DocumentRecord, SourceRecord

__all__ = ["SourceBlocks", "read_options"]


def read_options(record: SourceRecord) -> ReadOptions:
    """Return the options that the source of a store was read with."""
    options: dict[str, Any] = dict(record["ingest"]["options"]["read"])
    if options.get("scan_shape") is not None:
        options["scan_shape"] = tuple(options["scan_shape"])
    return ReadOptions(**options)


@functools.lru_cache(maxsize=16)
def _blocks_of(path: Path, options: ReadOptions, index: int, _state: tuple[int, int]) -> Blocks:
    return read_source(path, options).find(index).blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBlocks:
    """The pixels of one document, read from the source that a virtual store names."""

    path: Path
    """The source."""
    options: ReadOptions
    """How it is understood."""
    index: int
    """`Document.index` in the source."""
    state: tuple[int, int]
    """Size and modification time in nanoseconds when it was catalogued."""
    files: tuple[FileState, ...] = ()
    """What the file system said then of each of its files; empty in early stores."""
    shape: tuple[int, ...]
    """Lengths of the dims."""
    dtype: np.dtype[Any]
    """Type of the values."""
    block_shape: tuple[int, ...]
    """The box that is cheapest to read as a whole."""

    @classmethod
    def from_record(cls, record: SourceRecord, item: DocumentRecord) -> Self:
        """Return the blocks that the record of a virtual store describes."""
        pixels = item["pixels"]
        return cls(
            path=Path(record["path"] or ""),
            options=read_options(record),
            index=item["index"],
            state=(record["size"], record["modified_ns"]),
            files=tuple(
                FileState(name=file["name"], size=file["size"], modified_ns=file["modified_ns"])
                for file in record.get("files") or ()
            ),
            shape=tuple(pixels["shape"]),
            dtype=np.dtype(pixels["dtype"]),
            block_shape=tuple(pixels["block_shape"]),
        )

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of ``out.shape`` whose first corner is at `start`.

        Raises
        ------
        SourceNotFoundError
            The source was moved or removed.
        SourceChangedError
            It has another size or time than when it was catalogued.
        """
        if math.prod(out.shape):
            self.check()
            _blocks_of(self.path, self.options, self.index, self.state).read_into(out, start)

    def check(self) -> None:
        """Raise where the source is gone or changed."""
        if not self.files and not self.path.is_dir():
            check_source(self.path, self.state)
        for file in self.files:
            check_source(self.path.parent / file.name, (file.size, file.modified_ns))


def check_source(path: Path, state: tuple[int, int]) -> None:
    """Raise where a file of a catalogued source is gone or changed.

    Raises
    ------
    SourceNotFoundError, SourceChangedError, ReadError
        It is gone, it changed, it cannot be looked at.
    """
    try:
        with reading(path, passing=(FileNotFoundError,)):
            now = state_of(path, path.parent)
    except FileNotFoundError:
        raise SourceNotFoundError(
            "the source of a virtual store is gone",
            path=path,
            hint="put it back, or ingest it from where it is now",
        ) from None
    if (now.size, now.modified_ns) != state:
        resized = f"{state[0]} bytes then, {now.size} now"
        how = "its modification time differs" if now.size == state[0] else resized
        raise SourceChangedError(
            f"changed since it was catalogued: {how}", path=path, hint="ingest it again"
        )
