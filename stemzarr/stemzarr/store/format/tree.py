"""A store as a tree: its nodes, its small arrays, its labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    DamagedStoreError,
    SchemaVersionError,
    SourceNotFoundError,
)
from stemzarr.model import Document
from stemzarr.options import Codec
from stemzarr.storage.local import open_root
from stemzarr.storage.objects import Address, Readable, Writable
from stemzarr.storage.reasons import reason_of
from stemzarr.store.format.encode import codec_from_metadata, find_codec
from stemzarr.store.format.nodes import check_nodes
from stemzarr.store.format.schema import (
    SCHEMA_VERSION,
    Nodes,
    array_node,
    group_node,
    prefix_of,
    stored_dims,
    to_json,
)

__all__ = [
    "MANIFEST",
    "RESTORE",
    "RESULTS",
    "Tree",
    "is_result",
    "read_nodes",
    "read_small_array",
    "write_labels",
]

_PIECE = 16 * 1024**2

MANIFEST = "source/manifest"
"""Path of the manifest in a store."""
RESULTS = "analysis"
"""Group of what people add to a store; see `stemzarr.store.results`."""
RESTORE = (
    "stemzarr verify --restore-metadata puts back what was written; "
    "to change facts so that they last, use stemzarr calibrate or tag"
)
"""What to do about metadata that were changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A store that is being written."""

    store: Writable
    """Where it is written."""
    nodes: Nodes = field(default_factory=dict)
    """The ``zarr.json`` of all groups and arrays so far."""

    def write_array(
        self,
        path: str,
        values: NDArray[Any],
        dims: Sequence[str],
        *,
        attributes: Mapping[str, Any] | None = None,
        codec: Codec = "none",
    ) -> None:
        """Write an array of a few MiB at most, unsharded, and note its node.

        Parameters
        ----------
        path
            Path of the array in the store.
        values
            The array; one that is 1-D is cut in pieces of 16 MiB.
        dims
            Names of its dims.
        attributes
            Attributes of the array.
        codec
            Compression.
        """
        values = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
        chunk = tuple(max(1, n) for n in values.shape)
        if values.ndim == 1:
            chunk = (min(chunk[0], _PIECE // values.dtype.itemsize),)
        chunk_codec = find_codec(codec, values.dtype, chunk)
        self.nodes[path] = array_node(
            values.shape,
            values.dtype,
            dims,
            chunk=chunk,
            codecs=chunk_codec.metadata(),
            attributes=attributes or {},
        )
        for number in range(math.ceil(values.shape[0] / chunk[0])):
            piece = np.zeros(chunk, values.dtype)
            part = values[number * chunk[0] : (number + 1) * chunk[0]]
            piece[: len(part)] = part
            key = piece_key(path, number, values.ndim)
            self.store.put(key, b"".join(chunk_codec.encode(piece)))

    def write_nodes(self) -> None:
        """Write every ``zarr.json`` but the root's, which marks a store as complete."""
        for path in filter(None, self.nodes):
            self.store.put(f"{path}/zarr.json", self.node_bytes(path))

    def node_bytes(self, path: str) -> bytes:
        """Return the ``zarr.json`` of a group or array."""
        return to_json(self.nodes[path])


def write_labels(tree: Tree, document: Document, main: int, attributes: Mapping[str, Any]) -> None:
    """Write the coordinates and the masks of a document, and note its group with `attributes`."""
    prefix = prefix_of(document, main)
    tree.nodes[prefix.rstrip("/")] = group_node({**document.group_attributes(), **attributes})
    names = stored_dims(document, main)
    dims = names[:-1] if document.channels else names
    for name, axis in zip(dims, document.axes, strict=True):
        tree.write_array(prefix + name, axis.values(), (name,), attributes=axis.attributes())
    if document.valid is not None:
        tree.write_array(prefix + "valid", document.valid, names[:2])
    if document.bad_pixels is not None:
        tree.write_array(prefix + "bad_pixels", document.bad_pixels, names[-2:])


def piece_key(path: str, number: int, ndim: int) -> str:
    """Return the key of a piece of an array that is cut along its first dim."""
    return "/".join((path, "c", str(number), *["0"] * (ndim - 1)))


def is_result(path: str) -> bool:
    """Return whether a node or file of a store is a result that a person added."""
    return path == RESULTS or path.startswith(f"{RESULTS}/")


def read_nodes(address: Address) -> Nodes:
    """Return all nodes of a store from its consolidated metadata, but not those of results.

    Parameters
    ----------
    address
        The store.

    Raises
    ------
    SourceNotFoundError, ReadError, CorruptFileError, SchemaVersionError
        There is no store, it cannot be read, is not one of stemzarr, or is newer than this program.
    """
    store = open_root(address)
    path = store.root
    store.settle()
    try:
        content = store.get("zarr.json")
    except FileNotFoundError:
        hint = "check the spelling"
        raise SourceNotFoundError("there is no store", path=path, hint=hint) from None
    try:
        root = json.loads(content, parse_constant=_refuse_constant)
        json.dumps(root, ensure_ascii=False).encode()  # half a surrogate pair is not text
        listed = root.pop("consolidated_metadata")["metadata"]
        nodes: Nodes = {name: _alone(node) for name, node in listed.items() if not is_result(name)}
        version = root["attributes"]["stemzarr_schema"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _no_metadata(store) from error
    if version != SCHEMA_VERSION:
        raise SchemaVersionError(
            f"is of schema version {version}, this program knows {SCHEMA_VERSION}",
            path=path,
            hint="update stemzarr",
        )
    nodes[""] = root
    wrong = check_nodes(nodes)
    if wrong:
        raise CorruptFileError(f"its metadata are not valid: {wrong}", path=path, hint=RESTORE)
    return nodes


def _no_metadata(store: Readable) -> CorruptFileError:
    path = store.root
    if _has(store, f"{MANIFEST}/zarr.json"):
        return CorruptFileError(
            "its zarr.json is damaged, or another program wrote it again without what it held",
            path=path,
            hint=RESTORE,
        )
    return CorruptFileError(
        "its metadata are not those of a stemzarr store",
        path=path,
        hint="open another zarr store with xarray.open_zarr",
    )


def _alone(node: Any) -> Any:  # noqa: ANN401 - whatever a file may hold
    """Return a node without what it says of those below it."""
    if isinstance(node, dict) and "consolidated_metadata" in node:
        return {key: value for key, value in node.items() if key != "consolidated_metadata"}
    return node


def _has(store: Readable, key: str) -> bool:
    try:
        store.stamp(key)
    except OSError:
        return False
    return True


def _refuse_constant(name: str) -> None:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def read_small_array(address: Address, nodes: Nodes, name: str) -> NDArray[Any]:
    """Return an array that `Tree.write_array` wrote.

    Parameters
    ----------
    address
        The store.
    nodes
        Its nodes.
    name
        Path of the array.

    Raises
    ------
    DamagedStoreError
        A piece of it is missing or its checksum does not fit.
    """
    store, node = open_root(address), nodes[name]
    shape, dtype = tuple(node["shape"]), np.dtype(node["data_type"])
    chunk = tuple(node["chunk_grid"]["configuration"]["chunk_shape"])
    try:
        codec = codec_from_metadata(node["codecs"], dtype)
    except SchemaVersionError as error:  # damage, in a store of the version that is known
        raise DamagedStoreError(error.message, path=store.root / name, hint=error.hint) from error
    pieces = [np.empty((0, *shape[1:]), dtype)]
    for number in range(math.ceil(shape[0] / chunk[0])):
        key = piece_key(name, number, len(chunk))
        try:
            stored = memoryview(store.get(key))
            codec.check(stored, math.prod(chunk) * dtype.itemsize)
            piece = np.empty(chunk, dtype)
            codec.decode(stored, piece)
        except DamagedStoreError as error:
            raise DamagedStoreError(error.message, path=store.root / key) from error
        except OSError as error:
            msg = f"a piece of {name} {reason_of(error)}"
            raise DamagedStoreError(msg, path=store.root / key) from error
        pieces.append(piece)
    return np.concatenate(pieces)[: shape[0]]
