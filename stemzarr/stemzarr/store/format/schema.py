"""The form of a store, schema version 1: nodes, names and attributes as they are on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np

from stemzarr.metadata.clean import clean_json
from stemzarr.model import Document
from stemzarr.store.format.encode import ChunkCodec
from stemzarr.store.format.plan import ArrayPlan
from stemzarr.store.format.shard import sharding_metadata

__all__ = [
    "NOTHING_BELOW",
    "SCHEMA_VERSION",
    "Nodes",
    "array_node",
    "consolidated",
    "group_node",
    "pixel_node",
    "place_of",
    "prefix_of",
    "stored_dims",
    "to_json",
]

SCHEMA_VERSION = 1
"""Version of the store's form, in the root attribute ``stemzarr_schema``."""

_JSON_FLOATS = {"f": 0.0, "c": [0.0, 0.0], "b": False}

Nodes = dict[str, dict[str, Any]]
"""The ``zarr.json`` of every group and array, by path; the root has the path ``""``."""


NOTHING_BELOW: Final = {"kind": "inline", "must_understand": False, "metadata": {}}
"""What a group says of the nodes below it where there are none."""


def group_node(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``zarr.json`` of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": flat_attributes(attributes)}


def flat_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes that JSON can hold; those that are unknown or not finite are left out."""
    known = {name: value for name, value in attributes.items() if value is not None}
    return {
        name: clean_json(value)
        for name, value in known.items()
        if not isinstance(value, float | np.floating) or math.isfinite(value)
    }


def array_node(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    dims: Sequence[str],
    *,
    chunk: Sequence[int],
    codecs: list[dict[str, Any]],
    attributes: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the ``zarr.json`` of an array."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _JSON_FLOATS.get(dtype.kind, 0),
        "codecs": codecs,
        "attributes": flat_attributes(attributes),
        "dimension_names": list(dims),
        "storage_transformers": [],
    }


def place_of(index: int, slug: str, main: int) -> tuple[str, str]:
    """Return what is before the paths of a document, and before the names of its dims.

    Equal names in one tree must always mean the same axis: only those of the main document are
    plain.
    """
    return ("", "") if index == main else (f"documents/{slug}/", f"{slug}_")


def prefix_of(document: Document, main: int) -> str:
    """Return what is before the paths of a document: nothing, or ``documents/<slug>/``."""
    return place_of(document.index, document.slug, main)[0]


def stored_dims(
    document: Document, main: int, dims: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """Return dims of a document, those of its pixels by default, as they are in the store."""
    stem = place_of(document.index, document.slug, main)[1]
    return tuple(stem + dim for dim in (document.dims if dims is None else dims))


def pixel_node(document: Document, main: int, plan: ArrayPlan, codec: ChunkCodec) -> dict[str, Any]:
    """Return the ``zarr.json`` of the pixels of a document."""
    return array_node(
        document.shape,
        document.dtype,
        stored_dims(document, main),
        chunk=plan.shard,
        codecs=sharding_metadata(plan.chunk, codec),
        attributes=document.intensity_attributes(),
    )


def to_json(node: Mapping[str, Any]) -> bytes:
    """Return the bytes of a ``zarr.json``; equal nodes give equal bytes."""
    return json.dumps(node, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def consolidated(nodes: Nodes, *, childless: bool = True) -> bytes:
    """Return the root's ``zarr.json`` with the nodes of all groups and arrays in it.

    Parameters
    ----------
    nodes
        All nodes of the store.
    childless
        Whether to say of groups that nothing is below them: zarr lists the store where that is
        not said, which a web server does not let it. Stores of early versions do not say it.
    """
    below = {path: nodes[path] for path in sorted(nodes) if path}
    above = {str(parent) for path in below for parent in PurePosixPath(path).parents}
    for path, node in below.items() if childless else ():
        is_group = isinstance(node, dict) and node.get("node_type") == "group"
        if is_group and path not in above:
            below[path] = {**node, "consolidated_metadata": NOTHING_BELOW}
    inline = {**NOTHING_BELOW, "metadata": below}
    return to_json({**nodes[""], "consolidated_metadata": inline})
