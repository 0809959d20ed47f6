"""Stores of other versions: with arrays that this one does not know, or without some it does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stemzarr.storage.fingerprints import digest_of
from stemzarr.storage.local import LocalFolder
from stemzarr.store.format.manifest import files_of, write_manifest
from stemzarr.store.format.schema import Nodes, consolidated
from stemzarr.store.format.tree import MANIFEST, Tree

__all__ = ["change_store"]


def change_store(
    store: Path,
    *,
    arrays: Mapping[str, tuple[NDArray[Any], tuple[str, ...]]] | None = None,
    nodes: Nodes | None = None,
    remove: Collection[str] = (),
) -> None:
    """Write a store again as another version would have written it, its manifest included.

    Parameters
    ----------
    store
        The store, which is changed in place.
    arrays
        Values and names of dims of arrays to add, by path.
    nodes
        Further nodes to add or to replace, by path; such an array has no chunks.
    remove
        Paths of groups and arrays to leave out, with all below them.
    """
    root = json.loads((store / "zarr.json").read_bytes())
    there: Nodes = dict(root.pop("consolidated_metadata")["metadata"])
    for node in there.values():
        node.pop("consolidated_metadata", None)
    place = LocalFolder(store)
    tree = Tree(store=place, nodes={"": root, **there, **(nodes or {})})
    for path in remove:
        shutil.rmtree(store / path)
        for name in [n for n in tree.nodes if n == path or n.startswith(f"{path}/")]:
            del tree.nodes[name]
    for path, (values, dims) in (arrays or {}).items():
        tree.write_array(path, values, dims)
    tree.nodes.pop(MANIFEST, None)
    tree.write_nodes()
    write_manifest(tree, {key: digest_of(place, key) for key in files_of(place)})
    place.put("zarr.json", consolidated(tree.nodes))
