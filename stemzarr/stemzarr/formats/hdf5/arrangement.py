"""How programs and instruments arrange their arrays in HDF5: a row for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.files import Hdf5Blocks, data_set_blocks
from stemzarr.formats.hdf5.tree import load_tree
from stemzarr.formats.labelling import FoundAxis
from stemzarr.storage.objects import Stamp

__all__ = ["Arrangement", "bare_found"]

_Values = tuple[Hdf5Blocks, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Where a program keeps its arrays, and what describes them."""

    name: str
    """Every `Source.format` of its files."""
    arrays: Callable[[h5py.File], Iterable[tuple[Any, Any]]] = lambda _file: ()
    """Gives each array of a file, and what describes it: a group, its tags."""
    describe: Callable[[Found, Any, Any], Found | None] = lambda bare, _array, _record: bare
    """Gives an array its title, axes and facts; None where it is none of the program's."""
    load: Callable[[Path], dict[str, Any]] = load_tree
    """Gives the metadata of a file as clean JSON."""
    whole: bool = False
    """Whether all other data sets are results, so that they are named and not read."""
    blocks: Callable[[Path, Stamp, Any], _Values | None] = data_set_blocks
    """Gives the values of an array and the names of its colours."""

    def is_in(self, file: h5py.File) -> bool:
        """Return whether a file has any such array."""
        return any(True for _ in self.arrays(file))

    def find(self, file: h5py.File, path: Path, stamp: Stamp) -> list[Found]:
        """Return the arrays of a file that hold numbers, nothing where it is of another kind.

        Raises
        ------
        CorruptFileError, UnsupportedDataError, MissingDependencyError
            The values of one cannot be read.
        """
        found = []
        for array, record in self.arrays(file):
            values = self.blocks(path, stamp, array)
            if values is not None:
                one = self.describe(bare_found(values, str(array.name)), array, record)
                found += [] if one is None else [one]
        return found


def bare_found(values: _Values, address: str) -> Found:
    """Return a data set of which nothing is known but its values."""
    base, channels = values
    shape = base.shape[: len(base.shape) - bool(channels)]
    return Found(
        title="",
        base=base,
        axes=tuple(FoundAxis(size=size) for size in shape),
        channels=channels,
        address=address,
    )
