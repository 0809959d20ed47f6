"""Puts the metadata of a store back as they were written, where another program changed them.

xarray is one that does so unasked: docs/upstream/xarray-attributes-lost.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stemzarr.errors import DamagedStoreError, SourceNotFoundError
from stemzarr.storage.local import LocalFolder
from stemzarr.store.format.manifest import Difference, differences, read_manifest
from stemzarr.store.format.nodes import check_nodes, wrong_node
from stemzarr.store.format.schema import Nodes, consolidated, to_json
from stemzarr.store.format.tree import MANIFEST, is_result
from stemzarr.store.ingest.journal import revising_store
from stemzarr.store.results import listed_results

__all__ = ["find_differences", "restore_metadata"]


def restore_metadata(path: Path) -> tuple[Difference, ...]:
    """Write every ``zarr.json`` of a store again as the manifest remembers it.

    Nothing else is touched: pixels, coordinates, and files that others added stay as they are;
    results below ``analysis`` that were listed in the root's metadata stay listed.

    Parameters
    ----------
    path
        The store.

    Returns
    -------
    tuple of Difference
        What was different, attribute by attribute; empty where nothing was, or where only the
        form of the files differed.

    Raises
    ------
    SourceNotFoundError
        There is no store.
    DamagedStoreError
        The manifest is damaged, or of an early version that kept no copy.
    StoreBusyError, WriteError
        Another process revises the store, or it cannot be written.

    Notes
    -----
    The files are put in place as by `revise`: after a crash the old ones or the new ones count.
    """
    if not (path / MANIFEST).is_dir():
        raise SourceNotFoundError("there is no store", path=path, hint="check the spelling")
    with revising_store(path) as stage:
        nodes = _written_nodes(path)
        wanted = {f"{name}/zarr.json": to_json(node) for name, node in nodes.items() if name}
        wanted["zarr.json"] = consolidated({**nodes, **listed_results(path, nodes)})
        found = tuple(find_differences(path, nodes))
        for name, content in wanted.items():
            if _read(path, name) != content:
                stage.put(name, content)
        return found


def _written_nodes(path: Path) -> Nodes:
    """Return all nodes as the manifest remembers them, whatever the root's metadata say."""
    hint = "restore zarr.json from a copy, or ingest the source again"
    own = _node(_read(path, f"{MANIFEST}/zarr.json"))
    wrong = "is gone" if own is None else wrong_node(own)
    if own is None or wrong:
        raise DamagedStoreError(f"its manifest {wrong}", path=path, hint=hint)
    try:
        manifest = read_manifest(path, {MANIFEST: own})
    except DamagedStoreError as error:
        raise DamagedStoreError(error.message, path=error.path, hint=hint) from error
    nodes = {**manifest.nodes, MANIFEST: own}
    if not manifest.nodes:
        msg = "is of an early version: its manifest holds no copy of the metadata"
        raise DamagedStoreError(msg, path=path, hint=hint)
    if "" not in nodes or check_nodes(nodes):
        msg = f"its manifest holds metadata that are not valid: {check_nodes(nodes)}"
        raise DamagedStoreError(msg, path=path, hint=hint)
    return nodes


def _read(path: Path, key: str) -> bytes:
    try:
        return LocalFolder(path).get(key)
    except OSError:
        return b""


def _node(content: bytes) -> dict[str, Any] | None:
    try:
        node = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return node if _is_node(node) else None


def _is_node(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("attributes"), dict)


def find_differences(path: Path, written: Nodes) -> list[Difference]:
    """Return what the root's metadata, and those below it, say otherwise than was written."""
    root = _node(_read(path, "zarr.json")) or {"attributes": {}}
    inline = root.get("consolidated_metadata")
    listed = inline.get("metadata") if isinstance(inline, dict) else None
    below = {name: _node(_read(path, f"{name}/zarr.json")) for name in written if name}
    own = {"": root} | {name: node for name, node in below.items() if node is not None}
    found = list(differences(written, own))
    if isinstance(listed, dict):
        own_words = {name: node for name, node in listed.items() if _is_node(node)}
        repeated = {name: node for name, node in own_words.items() if not is_result(name)}
        found += differences({n: node for n, node in written.items() if n}, repeated)
    return [one for number, one in enumerate(found) if one not in found[:number]]
