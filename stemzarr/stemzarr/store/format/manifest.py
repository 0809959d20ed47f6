"""The manifest: every file of a store with its size and xxh3-128, every shard with its chunks.

It lists all files but three kinds: its own; results that people add below ``analysis``; and the
root's ``zarr.json``, which follows from the others: ``root`` is the digest of the root's node, the
rest of that file repeats the nodes below. It also holds a copy of all nodes but its own, from which
metadata that another program changed are reported and restored. The lengths of the chunks of every
shard tell where each chunk is: who opens a store far away has them with the manifest, and needs no
index of a shard.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from stemzarr.errors import DamagedStoreError
from stemzarr.storage.local import REVISION, open_root
from stemzarr.storage.objects import Address, Readable
from stemzarr.store.format.nodes import check_nodes
from stemzarr.store.format.schema import Nodes, to_json
from stemzarr.store.format.tree import (
    MANIFEST,
    RESTORE,
    RESULTS,
    Tree,
    is_result,
    read_nodes,
    read_small_array,
)

__all__ = [
    "Difference",
    "Manifest",
    "check_digests",
    "differences",
    "digest_node",
    "files_of",
    "known_lengths",
    "read_manifest",
    "size_of",
    "stray_files",
    "walk_files",
    "write_manifest",
]

_LONGEST = 60
_KEPT = 16
_REWORDED = ("codecs", "consolidated_metadata", "storage_transformers", "chunk_key_encoding")
"""Keys of a node that mean the same in several forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the files of a store must be."""

    files: dict[str, tuple[int, str]]
    """Size and xxh3-128 in hex of every file, by its path in the store."""
    root: str
    """xxh3-128 in hex of the root's node without the consolidated metadata."""
    nodes: Nodes
    """Every node but the manifest's own as it was written; empty in stores of early versions."""
    chunks: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Bytes of all chunks of every shard in C order, 0 for those that are not there; those of
    stores of early versions are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A value in the metadata that is not what was written."""

    node: str
    """Path of the group or array; empty for the root."""
    name: str
    """The attribute, or another key of the node; empty where the whole node came or went."""
    written: Any
    """What stemzarr wrote; None where there was nothing."""
    found: Any
    """What is there now; None where nothing does."""

    def __str__(self) -> str:
        """Return what differs as a clause."""
        of = f"{self.node}: {self.name}" if self.node and self.name else self.node or self.name
        if self.found is None:
            return f"{of} is gone"
        if self.written is None:
            return f"{of} was added"
        return f"{of} is {_brief(self.found)} instead of {_brief(self.written)}"


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def differences(written: Nodes, found: Nodes) -> Iterator[Difference]:
    """Yield what differs between the nodes that were written and those that are there.

    Other programs write the same codecs in other words, which makes no difference.
    """
    for path in sorted({*written, *found} - {MANIFEST}):
        one, other = written.get(path), found.get(path)
        if one is None or other is None:
            yield Difference(node=path, name="", written=one, found=other)
            continue
        for name in sorted({*one, *other} - {*_REWORDED, "attributes"}):
            yield from _differ(path, name, one.get(name), other.get(name))
        mine, theirs = (dict(node.get("attributes") or {}) for node in (one, other))
        for name in sorted({*mine, *theirs}):
            yield from _differ(path, name, mine.get(name), theirs.get(name))


def _differ(node: str, name: str, written: Any, found: Any) -> Iterator[Difference]:  # noqa: ANN401
    if written != found:
        yield Difference(node=node, name=name, written=written, found=found)


def digest_node(node: dict[str, object]) -> str:
    """Return the xxh3-128 of a node in hex."""
    return xxhash.xxh3_128_hexdigest(to_json(node))


def walk_files(store: Readable) -> Iterator[str]:
    """Yield the keys of all files that stemzarr put in a store, and of others in it.

    Not those of a revision, which may come and go meanwhile, and not the results that people add.
    """
    for key in store.list():
        if not (key.startswith(REVISION) or is_result(key)):
            yield key


def files_of(address: Address) -> list[str]:
    """Return the keys of all files of a store that a manifest lists, sorted."""
    keys = walk_files(open_root(address))
    return sorted(k for k in keys if k != "zarr.json" and not k.startswith(f"{MANIFEST}/"))


def stray_files(store: Readable, nodes: Nodes) -> set[str]:
    """Return the keys of files beside the manifest's own that do not belong to it."""
    node = nodes[MANIFEST]
    pieces = -(-node["shape"][0] // node["chunk_grid"]["configuration"]["chunk_shape"][0])
    own = {"zarr.json", *(f"c/{number}" for number in range(pieces))}
    return set(store.list(MANIFEST)) - {f"{MANIFEST}/{key}" for key in own}


def _without_own(nodes: Nodes) -> Nodes:
    return {path: nodes[path] for path in sorted(nodes) if path != MANIFEST}


def write_manifest(
    tree: Tree,
    files: Mapping[str, tuple[int, str]],
    chunks: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Write the manifest of a store, and note its node.

    Parameters
    ----------
    tree
        The store; all its other nodes must be known.
    files
        Size and digest of every file that the manifest lists, by path.
    chunks
        Bytes of all chunks of shards, by path.
    """
    content: dict[str, object] = {
        "root": digest_node(tree.nodes[""]),
        "files": {path: list(state) for path, state in sorted(files.items())},
    }
    if chunks:
        content["chunks"] = {path: list(lengths) for path, lengths in sorted(chunks.items())}
    content["nodes"] = _without_own(tree.nodes)
    text = to_json(content)
    values = np.frombuffer(text, np.uint8)
    tree.write_array(MANIFEST, values, ("manifest_byte",), codec="zstd")
    tree.store.put(f"{MANIFEST}/zarr.json", tree.node_bytes(MANIFEST))


def read_manifest(address: Address, nodes: Nodes) -> Manifest:
    """Return the manifest of a store.

    Raises
    ------
    DamagedStoreError
        It is missing or damaged.
    """
    store = open_root(address)
    return _parse(store, _read_text(store, nodes))


def _parse(store: Readable, text: bytes) -> Manifest:
    try:
        content = json.loads(text)
        files = {
            name: (int(size), str(digest)) for name, (size, digest) in content["files"].items()
        }
        kept = {name: dict(node) for name, node in content.get("nodes", {}).items()}
        chunks = {name: tuple(map(int, sizes)) for name, sizes in content.get("chunks", {}).items()}
        return Manifest(files=files, root=str(content["root"]), nodes=kept, chunks=chunks)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedStoreError(f"the manifest cannot be read: {error}", path=store.root) from error


def _read_text(store: Readable, nodes: Nodes) -> bytes:
    if MANIFEST not in nodes:
        raise DamagedStoreError("the store has no manifest", path=store.root)
    text = read_small_array(store, nodes, MANIFEST).tobytes()
    if store.far:
        _keep(store, text)
    return text


_texts: dict[Readable, bytes] = {}
"""The manifests of far stores that this process read last."""


def _keep(store: Readable, text: bytes) -> None:
    _texts.pop(store, None)
    _texts[store] = text
    for first in list(_texts)[:-_KEPT]:
        _texts.pop(first, None)


def size_of(store: Readable, identity: str, key: str) -> int:
    """Return the bytes that a file of a store must have.

    Parameters
    ----------
    store
        The store.
    identity
        What tells it from one that takes its place.
    key
        The file.

    Raises
    ------
    DamagedStoreError
        The manifest is damaged, or does not list the file.
    """
    files = _kept_manifest(store, identity).files
    if key not in files:
        raise DamagedStoreError("is not listed in the manifest", path=store.root / key)
    return files[key][0]


def known_lengths(store: Readable, identity: str, key: str) -> tuple[int, ...]:
    """Return the bytes of all chunks of a shard, as `Manifest.chunks`; empty where not known.

    Raises
    ------
    DamagedStoreError
        The manifest is damaged.
    """
    return _kept_manifest(store, identity).chunks.get(key, ())


@functools.lru_cache(maxsize=_KEPT)
def _kept_manifest(store: Readable, _identity: str) -> Manifest:
    """Return the manifest that was read last, or is read now."""
    if store not in _texts:
        _read_text(store, read_nodes(store))
    return _parse(store, _texts[store])


def check_digests(store: Readable, nodes: Nodes) -> Nodes:
    """Return the nodes of a store as they were written, or raise where others are listed.

    ``zarr.json`` has no checksum of its own: a shape, a calibration or a fact with one changed
    digit would be believed otherwise.

    Parameters
    ----------
    store
        The store.
    nodes
        As its consolidated metadata give them.

    Returns
    -------
    dict
        `nodes`; where another program wrote the same in other words, those of the manifest.

    Raises
    ------
    DamagedStoreError
        A node differs from its digest in the manifest, or the manifest is damaged itself.
    """
    # The copy of the nodes is last, so that it can be compared unparsed. As text, not as
    # values: to Python, 1 and 1.0 and true are equal.
    if _read_text(store, nodes).endswith(b',"nodes":%b}' % to_json(_without_own(nodes))):
        return nodes
    manifest, path = read_manifest(store, nodes), store.root
    if manifest.nodes:
        first = next(differences(manifest.nodes, nodes), None)
        if first is None:
            return _written(path, {**manifest.nodes, MANIFEST: nodes[MANIFEST]})
        raise _changed(path, "zarr.json", first)
    digests = {"": manifest.root}
    for name, (_, digest) in manifest.files.items():
        if name.endswith("/zarr.json"):
            digests[name.removesuffix("/zarr.json")] = digest
    for name in sorted({*nodes, *digests} - {MANIFEST}):
        if name not in nodes or digests.get(name) != digest_node(nodes[name]):
            raise _changed(path, name or "the root", None)
    return nodes


def _written(path: Path, nodes: Nodes) -> Nodes:
    wrong = check_nodes(nodes)
    if wrong:
        msg = f"its manifest holds metadata that are not valid: {wrong}"
        raise DamagedStoreError(msg, path=path, hint="stemzarr verify says what is damaged")
    return nodes


def _changed(path: Path, name: str, difference: Difference | None) -> DamagedStoreError:
    """Return what to say of metadata that another program, a person or the disk changed."""
    what = f"see {name}" if difference is None else str(difference)
    msg = f"its metadata changed since stemzarr wrote them: {what}"
    added = difference is not None and difference.written is None and not difference.name
    place = f"results go below {RESULTS}/, as by to_zarr(store, group='{RESULTS}/NAME'); "
    return DamagedStoreError(msg, path=path, hint=place + RESTORE if added else RESTORE)
