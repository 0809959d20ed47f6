"""What people add to a store: the group ``analysis``, which is theirs and no manifest covers.

Programs write there as xarray does, with ``to_zarr(store, group="analysis/NAME", mode="a")``.
xarray then writes the consolidated metadata of the root again, in its own words and with the
results among them. So the list of nodes in the root may hold results, may lack them, and may say
the same of all other nodes in other words; `renew_listing` brings it in line.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from stemzarr.errors import StemzarrError, StoreExistsError
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.objects import Readable
from stemzarr.store.format.schema import NOTHING_BELOW, Nodes, consolidated
from stemzarr.store.format.tree import RESULTS, is_result, read_nodes
from stemzarr.store.ingest.journal import revising_store
from stemzarr.store.open import read_checked

__all__ = [
    "check_no_results",
    "find_added",
    "listed_results",
    "renew_listing",
    "result_nodes",
    "same_listing",
    "same_node",
]

_NODE = "zarr.json"
_BELOW = "consolidated_metadata"


def _files(store: Readable) -> list[PurePosixPath]:
    """Return the keys of all files of the results."""
    return [PurePosixPath(key) for key in sorted(store.list(RESULTS))]


def find_added(store: Path) -> tuple[str, ...]:
    """Return what people added: the paths of arrays, and of files that belong to none.

    Parameters
    ----------
    store
        The store.
    """
    place = LocalFolder(store)
    files = _files(place)
    nodes = {str(file.parent): _read_node(place, file) for file in files if file.name == _NODE}
    arrays = {path for path, node in nodes.items() if (node or {}).get("node_type") == "array"}
    loose = {
        str(file)
        for file in files
        if file.name != _NODE and arrays.isdisjoint(map(str, file.parents))
    }
    return tuple(sorted(arrays | loose))


def check_no_results(store: Path) -> None:
    """Refuse to replace a store with results that people added to it.

    Parameters
    ----------
    store
        The store, which need not exist.

    Raises
    ------
    StoreExistsError
        It holds results.
    """
    added = find_added(store)
    if added:
        msg = f"holds results, which replacing it would delete: {', '.join(added)}"
        hint = f"move the folder {RESULTS} out of the store first, or choose another name"
        raise StoreExistsError(msg, path=store, hint=hint)


def result_nodes(store: Path, nodes: Nodes) -> Nodes:
    """Return the nodes of all results that can be listed, each below groups that are there.

    Arrays without names for their dims, and those whose dims have another length than in the main
    document, are not: listed, they would keep xarray from opening the store as a tree
    (docs/upstream/xarray-datatree-names.md).
    """
    found: Nodes = {}
    sizes = {name: node["shape"][0] for name, node in nodes.items() if _is_axis(name, node)}
    place = LocalFolder(store)
    for file in sorted((f for f in _files(place) if f.name == _NODE), key=lambda f: len(f.parts)):
        above = str(file.parent.parent)
        node = _read_node(place, file)
        if node is None or not _fits(node, sizes):
            continue
        if above == "." or found.get(above, {}).get("node_type") == "group":
            found[str(file.parent)] = node
    return found


def _is_axis(name: str, node: Mapping[str, Any]) -> bool:
    return node.get("dimension_names") == [name]


def _fits(node: Mapping[str, Any], sizes: Mapping[str, int]) -> bool:
    """Return whether xarray can open a node below the main document."""
    if node["node_type"] == "group":
        return True
    dims, shape = node.get("dimension_names") or [], node["shape"]
    return (
        isinstance(shape, list)
        and len(dims) == len(shape)
        and all(isinstance(dim, str) for dim in dims)
        and all(sizes.get(dim, n) == n for dim, n in zip(dims, shape, strict=True))
    )


def _read_node(store: Readable, file: PurePosixPath) -> dict[str, Any] | None:
    """Return a node of Zarr v3 without what it repeats of those below it."""
    try:
        node = json.loads(store.get(str(file)))
        json.dumps(node, ensure_ascii=False, allow_nan=False).encode()
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(node, dict) or node.get("zarr_format") != 3:  # noqa: PLR2004 - Zarr v3
        return None
    needed = {"group": (), "array": ("shape", "data_type", "codecs", "chunk_grid")}
    kind = node.get("node_type")
    if kind not in needed or any(name not in node for name in needed[kind]):
        return None
    return {name: value for name, value in node.items() if name != "consolidated_metadata"}


def listed_results(store: Path, nodes: Nodes) -> Nodes:
    """Return the nodes of results that the root lists and that are there, as they are now."""
    try:
        root = json.loads(LocalFolder(store).get(_NODE))
        listed = set(root["consolidated_metadata"]["metadata"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    if not any(map(is_result, listed)):
        return {}
    return {path: node for path, node in result_nodes(store, nodes).items() if path in listed}


def _listings(nodes: Nodes) -> tuple[bytes, bytes]:
    """Return the root's ``zarr.json`` as this version writes it, and as early ones did."""
    return consolidated(nodes), consolidated(nodes, childless=False)


def same_listing(content: bytes, nodes: Nodes) -> bool:
    """Return whether the root's ``zarr.json`` repeats the nodes of a store, in whatever words.

    Parameters
    ----------
    content
        The bytes of the root's ``zarr.json``.
    nodes
        All nodes of the store, without results.

    Notes
    -----
    What another program wrote must be JSON as Python writes it, so that a changed byte is noticed
    even where it changes no value.
    """
    if content in _listings(nodes):
        return True
    try:
        root = json.loads(content)
        text = content.decode()
        listed = root["consolidated_metadata"]["metadata"]
        own = {path: node for path, node in listed.items() if not is_result(path)}
        inlines = [{**root["consolidated_metadata"], "metadata": {}}]
        inlines += [node[_BELOW] for node in listed.values() if _BELOW in node]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
    if any(_text(inline) != _text(NOTHING_BELOW) for inline in inlines):
        return False
    del root["consolidated_metadata"]
    written = {path: _plain(node) for path, node in nodes.items()}
    if _text({"": _plain(root), **{p: _plain(n) for p, n in own.items()}}) != _text(written):
        return False
    return any(text == way for way in _ways(json.loads(content)))


def same_node(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two nodes say the same, in whatever words."""
    return _text(_plain(one)) == _text(_plain(other))


def _ways(value: object) -> Iterator[str]:
    """Yield the texts that a program in Python may write for a value."""
    forms: tuple[dict[str, Any], ...] = (
        {"separators": (",", ":")},
        {},
        {"indent": 2},
        {"indent": 4},
    )
    for form, escaped in itertools.product(forms, (True, False)):
        yield json.dumps(value, ensure_ascii=escaped, **form)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a node without what Zarr writes or leaves out as it likes: what is empty."""
    if isinstance(value, Mapping):
        empty: tuple[tuple[str, Any], ...] = (("configuration", {}), ("storage_transformers", []))
        return {
            key: _plain(item)
            for key, item in value.items()
            if key != "consolidated_metadata" and (key, item) not in empty
        }
    return [_plain(item) for item in value] if isinstance(value, list) else value


def renew_listing(store: Path) -> bool:
    """Let the consolidated metadata of a store list the results that are there, and no others.

    Parameters
    ----------
    store
        The store.

    Returns
    -------
    bool
        Whether anything was written.

    Raises
    ------
    StemzarrError
        The store is damaged, busy, or cannot be written; nothing is changed then.
    """
    if not _may_differ(store):
        return False
    with revising_store(store) as stage:
        nodes = read_checked(store)
        wanted = _listings({**nodes, **result_nodes(store, nodes)})
        if LocalFolder(store).get(_NODE) in wanted:
            return False
        stage.put(_NODE, wanted[0])
        return True


def _may_differ(store: Path) -> bool:
    """Return, without reading all of it, whether a store has or lists results."""
    if (store / RESULTS).is_dir():
        return True
    try:
        content = LocalFolder(store).get(_NODE)
        return f'"{RESULTS}'.encode() in content or content not in _listings(read_nodes(store))
    except (OSError, StemzarrError):
        return False
