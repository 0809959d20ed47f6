"""A store that is far, or in one file, as a folder for a while: every object is read once.

Small files are copied at once; a shard is there only while it is worked on. So a verification
takes as many bytes as the store has, and space for a few shards.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stemzarr.errors import ReadError, SourceNotFoundError, StemzarrError
from stemzarr.pixels.threads import map_in_threads
from stemzarr.storage.files import forget_open_files
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.objects import Readable
from stemzarr.store.format.manifest import read_manifest
from stemzarr.store.format.schema import Nodes
from stemzarr.store.format.tree import MANIFEST, is_result, read_nodes

__all__ = ["Mirror", "mirrored"]

_AT_ONCE = 8
_ROOT = "zarr.json"


@dataclass(frozen=True, slots=True)
class Mirror:
    """A folder with the files of a far store, but for its shards."""

    place: Readable
    """The store."""
    path: Path
    """The folder."""
    shards: frozenset[str]
    """Keys of the shards, by what the server lists, else by the manifest."""
    listed: bool
    """Whether the server says which objects there are."""

    @contextlib.contextmanager
    def fetched(self, key: str) -> Iterator[None]:
        """Have a shard in the folder inside the block; nothing is there where the store lacks it.

        Raises
        ------
        ReadError
            It cannot be read.
        """
        try:
            _copy(self.place, self.path, key)
            yield
        finally:
            forget_open_files()
            LocalFolder(self.path).delete(key)


@contextlib.contextmanager
def mirrored(place: Readable) -> Iterator[Mirror]:
    """Give the mirror of a far store inside the block.

    Raises
    ------
    SourceNotFoundError, ReadError
        There is no store, or it cannot be read.
    """
    nodes, known = _known(place)
    keys = _list(place)
    listed = keys is not None
    prefixes = tuple(f"{name}/c/" for name, node in nodes.items() if _is_sharded(node))
    small = {key for key in keys or known if not key.startswith(prefixes)}
    copied = {key for key in small if (is_result(key) and key.endswith(_ROOT)) or key in known}
    with tempfile.TemporaryDirectory(prefix="stemzarr-verify-") as folder:
        path = Path(folder, place.root.name)
        local = LocalFolder(path)
        for key in small - copied:  # what others put there is only named
            local.put(key, b"")
        copy = functools.partial(_copy, place, path)
        for _ in map_in_threads(copy, sorted(copied), threads=_AT_ONCE):
            pass
        try:
            yield Mirror(place, path, frozenset(keys or known) - small, listed)
        finally:
            forget_open_files()


def _known(place: Readable) -> tuple[Nodes, set[str]]:
    """Return the nodes of a store and the keys of its files, as far as they can be read."""
    nodes: Nodes = {}
    known = {_ROOT}
    try:
        nodes = read_nodes(place)
        node = nodes[MANIFEST]
        pieces = -(-node["shape"][0] // node["chunk_grid"]["configuration"]["chunk_shape"][0])
        known |= {f"{name}/{_ROOT}" for name in nodes if name}
        known |= {f"{MANIFEST}/c/{number}" for number in range(pieces)}
        known |= set(read_manifest(place, nodes).files)
    except (ReadError, SourceNotFoundError):
        raise
    except (StemzarrError, KeyError):
        pass  # what is damaged is found in the copy
    return nodes, known


def _is_sharded(node: dict[str, object]) -> bool:
    codecs = node.get("codecs")
    first = codecs[0] if isinstance(codecs, list) and codecs else {}
    return isinstance(first, dict) and first.get("name") == "sharding_indexed"


def _list(place: Readable) -> set[str] | None:
    try:
        return set(place.list())
    except ReadError:
        return None


def _copy(place: Readable, path: Path, key: str) -> None:
    """Copy an object, unless there is none."""
    pieces = place.stream(key)
    try:
        first = next(pieces, memoryview(b""))
    except FileNotFoundError:
        return
    with LocalFolder(path).writing(key) as file:
        for piece in itertools.chain([first], pieces):
            file.write(piece)
