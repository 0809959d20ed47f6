"""The manifest: every file of a store with its size and xxh3-128.

It lists all files but two kinds: its own, and the root's ``zarr.json``, which follows from the
others: ``root`` is the digest of the root's node, the rest of that file repeats the nodes below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from stemzarr.errors import DamagedStoreError
from stemzarr.store.schema import Nodes, to_json
from stemzarr.store.shard import write_file
from stemzarr.store.tree import REVISION, Tree, read_small_array

__all__ = [
    "MANIFEST",
    "Manifest",
    "check_digests",
    "digest_node",
    "files_of",
    "read_manifest",
    "stray_files",
    "write_manifest",
]

MANIFEST = "source/manifest"
"""Path of the manifest in a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the files of a store must be."""

    files: dict[str, tuple[int, str]]
    """Size and xxh3-128 in hex of every file, by its path in the store."""
    root: str
    """xxh3-128 in hex of the root's node without the consolidated metadata."""


def digest_node(node: dict[str, object]) -> str:
    """Return the xxh3-128 of a node in hex."""
    return xxhash.xxh3_128_hexdigest(to_json(node))


def files_of(store: Path) -> list[str]:
    """Return the paths of all files of a store that a manifest lists, sorted."""
    paths = (path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file())
    own = (f"{MANIFEST}/", f"{REVISION}/")
    return sorted(p for p in paths if p != "zarr.json" and not p.startswith(own))


def stray_files(store: Path, nodes: Nodes) -> set[str]:
    """Return the paths of files beside the manifest's own that do not belong to it."""
    node = nodes[MANIFEST]
    pieces = -(-node["shape"][0] // node["chunk_grid"]["configuration"]["chunk_shape"][0])
    own = {"zarr.json", *(f"c/{number}" for number in range(pieces))}
    folder = store / MANIFEST
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {f"{MANIFEST}/{name}" for name in found if name not in own}


def write_manifest(tree: Tree, files: Mapping[str, tuple[int, str]]) -> None:
    """Write the manifest of a store, and note its node.

    Parameters
    ----------
    tree
        The store; all its other nodes must be known.
    files
        Size and digest of every file that the manifest lists, by path.
    """
    listed = {path: list(state) for path, state in files.items()}
    content = {"root": digest_node(tree.nodes[""]), "files": listed}
    text = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    values = np.frombuffer(text, np.uint8)
    tree.write_array(MANIFEST, values, ("manifest_byte",), codec="zstd")
    write_file(tree.folder / MANIFEST / "zarr.json", to_json(tree.nodes[MANIFEST]))


def read_manifest(path: Path, nodes: Nodes) -> Manifest:
    """Return the manifest of a store.

    Raises
    ------
    DamagedStoreError
        It is missing or damaged.
    """
    if MANIFEST not in nodes:
        raise DamagedStoreError("the store has no manifest", path=path)
    text = read_small_array(path, nodes, MANIFEST).tobytes()
    try:
        content = json.loads(text)
        files = {
            name: (int(size), str(digest)) for name, (size, digest) in content["files"].items()
        }
        return Manifest(files=files, root=content["root"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedStoreError(f"the manifest cannot be read: {error}", path=path) from error


def check_digests(path: Path, nodes: Nodes) -> None:
    """Raise unless the nodes of a store are those that were written, byte for byte.

    ``zarr.json`` has no checksum of its own: a shape, a calibration or a fact with one changed
    digit would be believed otherwise.

    Parameters
    ----------
    path
        The store.
    nodes
        As its consolidated metadata give them.

    Raises
    ------
    DamagedStoreError
        A node differs from its digest in the manifest, or the manifest is damaged itself.
    """
    manifest = read_manifest(path, nodes)
    digests = {"": manifest.root}
    for name, (_, digest) in manifest.files.items():
        if name.endswith("/zarr.json"):
            digests[name.removesuffix("/zarr.json")] = digest
    for name in sorted({*nodes, *digests} - {MANIFEST}):
        if name not in nodes or digests.get(name) != digest_node(nodes[name]):
            raise DamagedStoreError(
                f"the metadata of {name or 'the root'} changed since they were written",
                path=path,
                hint="restore zarr.json from a copy, or look at it with xarray.open_zarr",
            )
