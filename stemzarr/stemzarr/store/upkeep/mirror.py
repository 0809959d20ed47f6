"""A store that is far, or in one file, as a folder for a while: every object is read once.

Small files are copied at once; a shard is there only while it is worked on. So a verification
takes as many bytes as the store has, and space for a few shards.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
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
_EXPECTED = 32
_SMALL = 1024**2
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
    with tempfile.TemporaryDirectory(prefix="stemzarr-verify-") as folder:
        path = Path(folder, place.root.name)
        local = LocalFolder(path)
        copy = functools.partial(_copy, place, path)
        copy(_ROOT)
        if not (path / _ROOT).exists():
            read_nodes(place)  # raises what is wrong
        nodes, known = _known(local, copy)
        keys = _list(place)
        prefixes = tuple(f"{name}/c/" for name, node in nodes.items() if _is_sharded(node))
        small = {key for key in keys or set(known) if not key.startswith(prefixes)}
        copied = {key for key in small if (is_result(key) and key.endswith(_ROOT)) or key in known}
        for key in small - copied:  # what others put there is only named
            local.put(key, b"")
        missing = sorted(copied - set(local.list()))
        little = [key for key in missing if known.get(key, _SMALL) < _SMALL]
        for start in range(0, len(little), _EXPECTED):
            _copy_small(place, local, little[start : start + _EXPECTED])
        for _ in map_in_threads(copy, sorted({*missing} - {*little}), threads=_AT_ONCE):
            pass
        try:
            yield Mirror(place, path, frozenset(keys or known) - small, keys is not None)
        finally:
            forget_open_files()


def _known(local: LocalFolder, copy: Callable[[str], None]) -> tuple[Nodes, dict[str, int]]:
    """Copy the manifest; return the nodes, and all files with their sizes as far as it says them.

    The size of those that it does not list is 0.
    """
    nodes: Nodes = {}
    known = {_ROOT: 0}
    try:
        nodes = read_nodes(local)
        node = nodes[MANIFEST]
        pieces = -(-node["shape"][0] // node["chunk_grid"]["configuration"]["chunk_shape"][0])
        known |= {f"{name}/{_ROOT}": 0 for name in nodes if name}
        own = {f"{MANIFEST}/c/{number}": 0 for number in range(pieces)}
        known |= own
        for key in own:
            copy(key)
        known |= {key: size for key, (size, _) in read_manifest(local, nodes).files.items()}
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


def _copy_small(place: Readable, local: LocalFolder, keys: Sequence[str]) -> None:
    """Copy small objects at once, but those that there are not."""
    place.expect(*keys)
    for key in keys:
        with contextlib.suppress(FileNotFoundError):
            local.put(key, place.get(key))


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
