"""The names that a new entry may have, the best first: as much of its path as tells it apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from stemzarr.options import IngestOptions
from stemzarr.storage.acquisitions import acquisition_name
from stemzarr_catalog.known import NO_HEADER, Given
from stemzarr_catalog.names import (
    LAKE_ENTRY,
    casefold,
    check_name,
    is_device_name,
    safe_name,
    split_path,
)

if TYPE_CHECKING:
    from stemzarr_catalog.entry import Entry

__all__ = ["Naming", "candidate_names", "count_folders", "expected_name", "stem_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How a new entry is named."""

    name: str | None = None
    """The name that a person chose; None for one that is made from the path."""
    folders: int = 0
    """How many folders of the path such a name begins with at least."""


def stem_of(given: Given) -> str:
    """Return the name of an acquisition; that of a folder may have dots in it."""
    name = given.path.name if given.source.joined else acquisition_name(given.path)
    return safe_name(name)


def count_folders(paths: Iterable[Path]) -> dict[Path, int]:
    """Return how many folders each name begins with, so that files of one stem differ.

    Parameters
    ----------
    paths
        Files that are ingested together.

    Examples
    --------
    >>> list(count_folders([Path("/a/Diff1/SI.dm4"), Path("/a/Diff2/SI.dm4")]).values())
    [1, 1]
    """
    alike: dict[str, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        alike[casefold(safe_name(acquisition_name(path)))].append(path)
    return {path: _depth(group) for group in alike.values() for path in group}


def expected_name(path: Path, folders: int = 0) -> str:
    """Return the name that the entry of a file gets, where no other entry has it.

    Parameters
    ----------
    path
        The file.
    folders
        How many folders the name begins with.

    Examples
    --------
    >>> expected_name(Path("/day/Diff 1/SI.dm4"), 1)
    'Diff_1-SI'
    """
    parts = split_path(str(path))[1:-1]
    own = safe_name(acquisition_name(path))
    return safe_name("-".join((*parts[max(0, len(parts) - folders) :], own))) if folders else own


def _depth(paths: list[Path]) -> int:
    """Return the fewest folders by which as many paths differ as differ by all of theirs."""
    folders = [_folders(str(path)) for path in paths]
    different = len(set(map(tuple, folders)))
    depth = 0
    while len({tuple(parts[max(0, len(parts) - depth) :]) for parts in folders}) < different:
        depth += 1
    return depth


def _folders(path: str) -> list[str]:
    """Return the folders of a path, as names compare, without its root."""
    return [casefold(safe_name(part)) for part in split_path(path)[1:-1] if part]


def candidate_names(
    naming: Naming,
    given: Given,
    options: IngestOptions,
    find: Callable[[str], Entry | None],
    *,
    has_other: bool,
) -> Iterator[str]:
    """Give the names that the entry of a file may have, the best one first.

    Parameters
    ----------
    naming
        What was asked for.
    given
        The file.
    options
        How it is ingested; folders often name people, so that a redacted entry has none.
    find
        Returns the entry that has a name but for case.
    has_other
        Whether another data set of the file is in the lake.

    Raises
    ------
    OptionError
        The chosen name is not safe on every system, or is reserved.
    """
    if naming.name is not None:
        yield check_name(naming.name)
        return
    stem, dataset = stem_of(given), options.read.dataset
    own = stem.replace(".", "_") if is_device_name(stem) else stem
    if dataset:
        own = safe_name(f"{own}-{dataset.strip('/').replace('/', '_')}")
    if casefold(stem) == LAKE_ENTRY or is_device_name(stem):
        if dataset:
            yield own
    else:
        if naming.folders == 0 and dataset and not has_other:
            yield stem
        yield from _with_folders(given, own, naming, options, find)
    for suffix in _suffixes(given):
        yield f"{own}-{suffix}"


def _with_folders(
    given: Given,
    own: str,
    naming: Naming,
    options: IngestOptions,
    find: Callable[[str], Entry | None],
) -> Iterator[str]:
    """Give a name, and then that name behind as many folders as tell it from who has it."""
    parts = [] if options.redact else split_path(str(given.path))[1:-1]
    depth = min(naming.folders, len(parts))
    while depth <= len(parts):
        name = safe_name("-".join((*parts[len(parts) - depth :], own)))
        if not name.endswith(own):
            return  # it is too long, and was cut
        yield name
        holder = find(name)
        origin = None if holder is None else holder.source.get("path")
        apart = _depth([Path(origin), given.path]) if origin else depth + 1
        if apart == 0:
            return  # both are in one folder
        depth = max(depth + 1, apart)


def _suffixes(given: Given) -> Iterator[str]:
    """Give 8 hex digits of the header's digest, then of more and more that tells files apart."""
    if given.header != NO_HEADER:
        yield given.header[:8]
    source = given.source
    for stated in (source.size, source.modified_ns), (given.sample,), (given.path,):
        text = " ".join(map(str, (given.header, source.size, source.modified_ns, *stated)))
        yield xxhash.xxh3_128_hexdigest(text.encode())[:8]
