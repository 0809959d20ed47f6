"""Checks the metadata of a store before anything believes them.

A store may come from anywhere, and ``zarr.json`` has no checksum. Damage is found by comparing
every node with the digests in the manifest; what a person or a program made up, by the form of
the nodes, so that whatever is read later has the types and sizes that the rest counts on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import numpy as np

from stemzarr.measure.bad_pixels import BAD_PIXELS
from stemzarr.measure.measures import MEASURES
from stemzarr.measure.tiles import tile_grid
from stemzarr.model import CHANNEL, PATTERN_KINDS
from stemzarr.storage.objects import is_key
from stemzarr.store.format.form import (
    ATTRIBUTES,
    CODECS,
    MOST_BYTES,
    ArrayNode,
    DocumentAttributes,
    DocumentRecord,
    NamedCodec,
    RootAttributes,
    Sharding,
    SourceRecord,
)
from stemzarr.store.format.schema import place_of
from stemzarr.store.format.typed_json import Others, misfits

__all__ = [
    "OWN_DIMS_FIRST",
    "PREVIEWS",
    "SMALL_PREVIEWS",
    "SOURCE_ARRAYS",
    "check_nodes",
    "is_known",
    "misfits_of",
    "wrong_node",
]

PREVIEWS: Final = (*(measure.name for measure in MEASURES), BAD_PIXELS)
"""Arrays of ``preview`` that this version reads; all of them may be absent."""
SMALL_PREVIEWS: Final = (*(each.name for each in MEASURES if not each.large), BAD_PIXELS)
"""Those that fit into memory."""
SOURCE_ARRAYS: Final = ("header", "original_metadata", "manifest")
"""Arrays of ``source`` that this version reads."""

OWN_DIMS_FIRST: Final = {"name": "transpose", "configuration": {"order": [2, 3, 0, 1]}}
"""Codec that stores (scan_y, scan_x, own, own) as (own, own, scan_y, scan_x)."""

_ANY_FACTS: Final = Others(form=float | str)
_OPENED: Final = ATTRIBUTES | {
    "root": Annotated[RootAttributes, _ANY_FACTS],
    "document": Annotated[DocumentAttributes, _ANY_FACTS],
}
"""The attributes as opening needs them: a fact of another type than in the table is only odd."""
_SHARDED: Final = ["sharding_indexed"]
_GROUPS: Final = ("documents", "preview", "source")
"""Groups at the top of a store; results, which are not checked, are elsewhere."""


def check_nodes(nodes: Mapping[str, Any]) -> str:
    """Return what is wrong with the form of a store's nodes, empty where nothing is.

    Parameters
    ----------
    nodes
        The ``zarr.json`` of every group and array by path, the root's under ``""``.
    """
    for path in ("", "source"):
        if path not in nodes:
            return f"{path or 'the root'} is missing"
    for path, node in nodes.items():
        known = is_known(path)
        wrong = "" if is_key(path) else "is not a path in a store"
        wrong = wrong or (wrong_node(node) if known else _wrong_frame(node))
        wrong = wrong or _wrong_kind(path, node) or "; ".join(_misfits(path, node, _OPENED)[:1])
        if wrong:
            return f"{path or 'the root'}: {wrong}{_place_of_results(path, nodes)}"
    record: SourceRecord = nodes["source"]["attributes"]
    return _wrong_record(record) or _wrong_documents(nodes, record)


def _place_of_results(path: str, nodes: Mapping[str, Any]) -> str:
    """Return where a group belongs that somebody added beside those of a store; empty for ours."""
    group, _, below = path.partition("/")
    is_array = not below and nodes[path].get("node_type") == "array"
    if is_array or not group or group in _GROUPS:
        return ""
    return f"; {group} is not a group of the store: results belong below analysis/{group}"


def misfits_of(path: str, node: Mapping[str, Any]) -> list[str]:
    """Return where the attributes of a node are not as the schema of stores has them.

    Parameters
    ----------
    path
        Path of the node in its store.
    node
        A node that `check_nodes` takes.
    """
    return _misfits(path, node, ATTRIBUTES)


def _misfits(path: str, node: Mapping[str, Any], forms: Mapping[str, Any]) -> list[str]:
    parts = path.split("/") if path else []
    own = parts[2:] if parts[:1] == ["documents"] and parts[1:] else parts
    if not own:  # an array there is no document, but one that another program added
        kind = "root" if not path else "document" if node["node_type"] == "group" else ""
    elif own in (["preview"], ["source"], ["intensity"]):
        kind = own[0]
    elif own in (["preview", "tile_sums"], ["preview", BAD_PIXELS]):
        kind = own[1]
    else:
        kind = "coordinate" if node.get("dimension_names") == own[-1:] == own else ""
    return misfits(node["attributes"], forms[kind]) if kind else []


def is_known(path: str) -> bool:
    """Return whether this version knows what the node at a path is for.

    Schema 1 grows by optional arrays below ``preview`` and ``source``: those that a later version
    writes are checked by `verify` like every other file, and otherwise ignored.
    """
    parts = path.split("/")
    if parts[0] == "documents":
        parts = parts[2:]  # its slug
    names = {"preview": PREVIEWS, "source": SOURCE_ARRAYS}.get(parts[0]) if parts else None
    return names is None or len(parts) == 1 or (parts[1] in names and not parts[2:])


def _wrong_kind(path: str, node: dict[str, Any]) -> str:
    group, _, name = path.rpartition("/")
    arrays = {"preview": PREVIEWS, "source": SOURCE_ARRAYS}.get(group.rpartition("/")[2], ())
    return "is not an array" if name in arrays and node["node_type"] != "array" else ""


def wrong_node(node: Any) -> str:  # noqa: ANN401 - any JSON
    """Return what is wrong with the form of one node, empty where nothing is."""
    wrong = _wrong_frame(node)
    if wrong or node["node_type"] == "group":
        return wrong
    return "; ".join(misfits(node, ArrayNode)[:1]) or _wrong_array(node)


def _wrong_frame(node: Any) -> str:  # noqa: ANN401 - any JSON
    """Return what is wrong with what groups and arrays of any form have in common."""
    if not isinstance(node, dict) or not isinstance(node.get("attributes"), dict):
        return "has no attributes"
    return "" if node.get("node_type") in ("group", "array") else "is neither group nor array"


def _wrong_array(node: ArrayNode) -> str:
    """Return what is wrong with the sizes and codecs of an array whose form is right."""
    shape, chunk = node["shape"], node["chunk_grid"]["configuration"]["chunk_shape"]
    dims, codecs = node["dimension_names"], node["codecs"]
    itemsize = np.dtype(node["data_type"]).itemsize
    if not (0 < len(shape) == len(chunk) == len(dims) == len(set(dims))):
        return "its shape, chunks and dims do not belong together"
    if 0 in chunk or max(math.prod(shape), math.prod(chunk)) * itemsize >= MOST_BYTES:
        return f"of shape {shape} and chunks {chunk} cannot be"
    if _names(codecs)[:1] == ["transpose"]:
        ours = codecs[0] == OWN_DIMS_FIRST and chunk[2:] == [max(1, n) for n in shape[2:]]
        return _wrong_chain(codecs[1:]) if ours else "its values are transposed in an unknown way"
    if _names(codecs) != _SHARDED:
        rows = chunk[1:] == [max(1, n) for n in shape[1:]]
        return _wrong_chain(codecs) if rows else "its pieces are not whole rows"
    sharding: Any = codecs[0].get("configuration")
    return "; ".join(misfits(sharding, Sharding, "sharding")[:1]) or _wrong_sharding(
        sharding, chunk
    )


def _names(codecs: Sequence[NamedCodec]) -> list[str]:
    return [codec["name"] for codec in codecs]


def _wrong_sharding(sharding: Sharding, shard: list[int]) -> str:
    inner = sharding["chunk_shape"]
    if len(inner) != len(shard) or any(not c or s % c for s, c in zip(shard, inner, strict=True)):
        return f"its shards of {shard} are not made of whole chunks of {inner}"
    if _names(sharding["index_codecs"]) != ["bytes", "crc32c"]:
        return "the index of its shards is encoded in an unknown way"
    return _wrong_chain(sharding["codecs"])


def _wrong_chain(codecs: Sequence[NamedCodec]) -> str:
    """Return what is wrong with a chain; names that are unknown are for the one who decodes."""
    for codec in codecs:
        for wrong in misfits(codec, CODECS.get(codec["name"], NamedCodec), codec["name"]):
            return wrong
    return ""


def _wrong_record(record: SourceRecord) -> str:
    """Return what contradicts itself in the record of the source."""
    indices = [item["index"] for item in record["documents"]]
    slugs = [item["slug"] for item in record["documents"]]
    if record["main"] not in indices or len({*indices}) < len(indices) > len({*slugs}):
        return "source: its documents contradict one another"
    pixels = all("pixels" in item for item in record["documents"])
    if record["virtual"] and not (record.get("path") and pixels):
        return "source: does not say where the pixels of a virtual store are"
    end = 0
    for segment in record["segments"]:
        if segment["document"] not in indices or segment["offset"] < end:
            return "source: its segments contradict one another"
        end = segment["offset"] + segment["nbytes"]
    return "source: its segments are beyond its end" if end > record["size"] else ""


def _wrong_documents(nodes: Mapping[str, Any], record: SourceRecord) -> str:
    """Return what is wrong with the groups of the documents."""
    for item in record["documents"]:
        prefix, stem = place_of(item["index"], item["slug"], record["main"])
        wrong = _wrong_document(nodes, prefix, stem, item)
        if wrong:
            return f"{prefix.rstrip('/') or 'the root'}: {wrong}"
    return ""


def _wrong_document(nodes: Mapping[str, Any], prefix: str, stem: str, item: DocumentRecord) -> str:
    group = prefix.rstrip("/")
    if group not in nodes:
        return "is missing"
    if "pixels" in item:
        pixels = item["pixels"]
        shape, dims, codecs = pixels["shape"], [stem + dim for dim in pixels["dims"]], _SHARDED
    else:
        node = nodes.get(f"{prefix}intensity", {})
        if "codecs" not in node:
            return "has no pixels"
        shape, dims, codecs = node["shape"], node["dimension_names"], _names(node["codecs"])
    valid = nodes.get(f"{prefix}valid", {"shape": shape[:2]})
    if codecs != _SHARDED or len(dims) != len(shape) or valid.get("shape") != shape[:2]:
        return "its pixels, its dims and its mask do not belong together"
    bad = nodes.get(f"{prefix}bad_pixels")
    if bad is not None and not _is_pattern_mask(bad, nodes[group]["attributes"]["kind"], shape):
        return "its bad pixels are not a mask of its patterns"
    sizes = dict(zip(dims, shape, strict=True))
    for dim, size in sizes.items():
        axis = nodes.get(prefix + dim, {})
        fits = axis.get("shape") == [size] and axis["dimension_names"] == [dim]
        if dim.removeprefix(stem) != CHANNEL and not fits:
            return f"its coordinate {prefix}{dim} is missing or of another length"
    return _wrong_previews(nodes, prefix, stem, sizes)


def _is_pattern_mask(node: Mapping[str, Any], kind: str, shape: list[int]) -> bool:
    fits = node.get("shape") == shape[-2:] and node.get("data_type") == "bool"
    return fits and kind in PATTERN_KINDS


def _wrong_previews(
    nodes: Mapping[str, Any], prefix: str, stem: str, sizes: Mapping[str, int]
) -> str:
    for measure in MEASURES:
        path = f"{prefix}preview/{measure.name}"
        node = nodes.get(path)
        if node is None:
            continue
        shape, dims = node.get("shape"), node.get("dimension_names", ())
        own = {stem + dim for dim in measure.own_dims}
        known = {dim: n for dim, n in zip(dims, shape, strict=False) if dim in own} | {**sizes}
        if [known.get(dim) for dim in dims] != shape:
            return f"{path} has not the shape of its document"
        if measure.large != (_names(node["codecs"])[:1] == ["transpose"]):
            return f"{path} is not stored as it is read"
    return _wrong_found(nodes, f"{prefix}preview", list(sizes.values()))


def _wrong_found(nodes: Mapping[str, Any], group: str, shape: list[int]) -> str:
    """Return what is wrong with the tiles and the bad pixels of a document of `shape`."""
    tiles, bad = nodes.get(f"{group}/tile_sums"), nodes.get(f"{group}/{BAD_PIXELS}")
    if bad is not None and (bad["shape"], bad["data_type"]) != (shape[2:], "uint8"):
        return f"{group}/{BAD_PIXELS} has not the shape of its detector"
    if tiles is not None:
        side = tiles["attributes"]["tile_side"]
        if not side or tiles["shape"] != [*shape[:2], *tile_grid((shape[2], shape[3]), side)]:
            return f"{group}/tile_sums has tiles that are not those of its detector"
    return ""
