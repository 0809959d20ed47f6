"""Checks the metadata of a store before anything believes them.

A store may come from anywhere, and ``zarr.json`` has no checksum. Damage is found by comparing
every node with the digests in the manifest; what a person or a program made up, by the form of
the nodes, so that whatever is read later has the types and sizes that the rest counts on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from stemzarr.measure.measures import MEASURES
from stemzarr.model import CHANNEL, PATTERN_KINDS, Kind, LayoutOrder, Statistics
from stemzarr.options import Codec
from stemzarr.storage.objects import is_key

__all__ = ["PREVIEWS", "SOURCE_ARRAYS", "check_nodes", "is_known", "wrong_node"]

PREVIEWS: Final = tuple(measure.name for measure in MEASURES)
"""Arrays of ``preview`` that this version reads; all of them may be absent."""
SOURCE_ARRAYS: Final = ("header", "original_metadata", "manifest")
"""Arrays of ``source`` that this version reads."""

Form = Any
"""A type, None, a tuple of alternatives, a list of one form, a mapping of names, or a test."""

_DTYPES: Final = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8,
    "uint64": 8, "float16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16,
}  # fmt: skip
_MOST_BYTES = 2**62
_SLUG = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")
_HEX = re.compile(r"[0-9a-f]{16,128}")


def _hex(value: object) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def _slug(value: object) -> bool:
    return isinstance(value, str) and _SLUG.fullmatch(value) is not None


def _size(value: object) -> bool:
    return type(value) is int and 0 <= value < _MOST_BYTES


def _dtype(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[<>|]?[biufc][0-9]{1,2}", value) is not None


def _one_of(*values: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in values


_LAYOUT: Final[Form] = (
    None,
    {"order": _one_of(*get_args(LayoutOrder)), "evidence": [str], "confidence": str},
)
_READ: Final[Form] = {
    "layout": str, "scan_shape?": (None, [int]), "dataset?": (None, str), "salvage": bool,
}  # fmt: skip
_DOCUMENT: Final[Form] = {
    "index": _size, "slug": _slug, "thumbnail": bool, "notes": [str], "fact_paths": dict,
    "layout?": _LAYOUT,
    "pixels?": {"shape": [_size], "dtype": _dtype, "block_shape": [_size], "dims": [str],
                "attributes": dict},
}  # fmt: skip
_SEGMENT: Final[Form] = {
    "document": _size, "offset": _size, "nbytes": _size, "shape": [_size], "dtype": _dtype,
    "rotation": _size,
    "encoding": _one_of("plain", "packed-complex", "packed-complex-old", "bgra"),
}  # fmt: skip
_FILE: Final[Form] = {"name": str, "size": _size, "modified_ns": int, "xxh3?": (None, _hex)}
_RECORD: Final[Form] = {
    "name": str, "path?": (None, str), "format": str, "size": _size, "modified": str,
    "modified_ns": int, "header_hash": _hex, "files?": [_FILE], "sample_hash?": _hex,
    "hash?": (None, _hex), "sha256?": (None, _hex),
    "rebuildable": bool, "redacted": bool, "virtual": bool, "layout?": _LAYOUT, "main": _size,
    "notes": [str], "documents": [_DOCUMENT], "segments": [_SEGMENT],
    "ingest": {"version": str, "options": {"read": _READ}, "finished": str}, "revisions": [dict],
}  # fmt: skip
_AXIS: Final[Form] = {
    "units": str, "scale": float, "offset": float, "calibrated": int, "source_units": str,
    "long_name": str,
}  # fmt: skip
_GROUP: Final[Form] = {"title": str, "kind": _one_of(*get_args(Kind))}
_PIXELS: Final[Form] = {
    "brightness_scale?": float, "brightness_offset?": float, "brightness_units?": str,
    "channel_names?": [str],
}  # fmt: skip
_CODEC_LIST: Final[Form] = [{"name": str}]
_ARRAY: Final[Form] = {
    "shape": [_size], "data_type": _one_of(*_DTYPES), "dimension_names": [str],
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [_size]}},
    "codecs": _CODEC_LIST,
}  # fmt: skip
_SHARDING: Final[Form] = {
    "chunk_shape": [_size], "codecs": _CODEC_LIST, "index_codecs": _CODEC_LIST,
    "index_location": "end",
}  # fmt: skip
_CODECS: Final[dict[str, Form]] = {
    "bytes": {"configuration?": {"endian?": "little"}},
    "blosc": {"configuration": {"cname": _one_of(*get_args(Codec))}},
}
_SHARDED: Final = ["sharding_indexed"]
_STATISTICS: Final[Form] = {f"{name}?": float for name in Statistics.__slots__}


def check_nodes(nodes: Mapping[str, Any]) -> str:
    """Return what is wrong with the form of a store's nodes, empty where nothing is.

    Parameters
    ----------
    nodes
        The ``zarr.json`` of every group and array by path, the root's under ``""``.
    """
    for path, node in nodes.items():
        check = wrong_node if is_known(path) else _wrong_frame
        astray = "" if is_key(path) else "is not a path in a store"
        wrong = astray or check(node) or _wrong_kind(path, node)
        if wrong:
            return f"{path or 'the root'}: {wrong}"
    record = nodes.get("source", {}).get("attributes")
    wrong = _misfit(record, _RECORD)
    if wrong:
        return f"source: {wrong}"
    return _wrong_record(record) or _wrong_documents(nodes, record)


def _misfit(value: Any, form: Form, name: str = "it") -> str:  # noqa: ANN401 - any JSON
    """Return where a value has not the form it must have, empty where it has."""
    match form:
        case tuple():
            misfits = [_misfit(value, each, name) for each in form]
            return "" if "" in misfits else misfits[-1]
        case dict():
            return _misfit_object(value, form, name)
        case list():
            if not isinstance(value, list):
                return f"{name} is not a list"
            below = (_misfit(item, form[0], f"{name}[{n}]") for n, item in enumerate(value))
            return next(filter(None, below), "")
    return "" if _is_a(value, form) else f"{name} is {str(value)[:40]!r}"


def _misfit_object(value: Any, form: dict[str, Form], name: str) -> str:  # noqa: ANN401
    if not isinstance(value, dict):
        return f"{name} is not an object"
    for key, each in form.items():
        known = key.removesuffix("?")
        wrong = "" if known != key else f"{name} has no {known}"
        if known in value:
            wrong = _misfit(value[known], each, f"{name}.{known}")
        if wrong:
            return wrong
    return ""


def _is_a(value: Any, form: Form) -> bool:  # noqa: ANN401 - any JSON
    if form is None or isinstance(form, str):
        return bool(value == form)
    if form is float:
        return type(value) in (int, float) and math.isfinite(value)
    if form is int:
        return type(value) is int
    return isinstance(value, form) if isinstance(form, type) else bool(form(value))


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
    return _misfit(node, _ARRAY) or _wrong_array(node)


def _wrong_frame(node: Any) -> str:  # noqa: ANN401 - any JSON
    """Return what is wrong with what groups and arrays of any form have in common."""
    if not isinstance(node, dict) or not isinstance(node.get("attributes"), dict):
        return "has no attributes"
    return "" if node.get("node_type") in ("group", "array") else "is neither group nor array"


def _wrong_array(node: dict[str, Any]) -> str:
    """Return what is wrong with the sizes and codecs of an array whose form is right."""
    shape, chunk = node["shape"], node["chunk_grid"]["configuration"]["chunk_shape"]
    dims, codecs = node["dimension_names"], node["codecs"]
    itemsize = _DTYPES[node["data_type"]]
    if not (0 < len(shape) == len(chunk) == len(dims) == len(set(dims))):
        return "its shape, chunks and dims do not belong together"
    if 0 in chunk or max(math.prod(shape), math.prod(chunk)) * itemsize >= _MOST_BYTES:
        return f"of shape {shape} and chunks {chunk} cannot be"
    if _names(codecs) != _SHARDED:
        rows = chunk[1:] == [max(1, n) for n in shape[1:]]
        return _wrong_chain(codecs) if rows else "its pieces are not whole rows"
    sharding = codecs[0].get("configuration")
    return _misfit(sharding, _SHARDING, "sharding") or _wrong_sharding(sharding, chunk)


def _names(codecs: list[dict[str, Any]]) -> list[str]:
    return [codec["name"] for codec in codecs]


def _wrong_sharding(sharding: dict[str, Any], shard: list[int]) -> str:
    inner = sharding["chunk_shape"]
    if len(inner) != len(shard) or any(not c or s % c for s, c in zip(shard, inner, strict=True)):
        return f"its shards of {shard} are not made of whole chunks of {inner}"
    if _names(sharding["index_codecs"]) != ["bytes", "crc32c"]:
        return "the index of its shards is encoded in an unknown way"
    return _wrong_chain(sharding["codecs"])


def _wrong_chain(codecs: list[dict[str, Any]]) -> str:
    """Return what is wrong with a chain; names that are unknown are for the one who decodes."""
    for codec in codecs:
        form = _CODECS.get(codec["name"], {})
        wrong = _misfit(codec, form, codec["name"])
        if wrong:
            return wrong
    return ""


def _wrong_record(record: dict[str, Any]) -> str:
    """Return what contradicts itself in the record of the source."""
    indices = [item["index"] for item in record["documents"]]
    slugs = [item["slug"] for item in record["documents"]]
    if record["main"] not in indices or len({*indices}) < len(indices) > len({*slugs}):
        return "source: its documents contradict one another"
    if record["virtual"] and not (
        record.get("path") and all("pixels" in item for item in record["documents"])
    ):
        return "source: does not say where the pixels of a virtual store are"
    end = 0
    for segment in record["segments"]:
        if segment["document"] not in indices or segment["offset"] < end:
            return "source: its segments contradict one another"
        end = segment["offset"] + segment["nbytes"]
    return "source: its segments are beyond its end" if end > record["size"] else ""


def _wrong_documents(nodes: Mapping[str, Any], record: dict[str, Any]) -> str:
    """Return what is wrong with the groups of the documents."""
    for item in record["documents"]:
        is_main = item["index"] == record["main"]
        group = "" if is_main else f"documents/{item['slug']}"
        wrong = _wrong_document(nodes, group, "" if is_main else f"{item['slug']}_", item)
        if wrong:
            return f"{group or 'the root'}: {wrong}"
    return ""


def _wrong_document(nodes: Mapping[str, Any], group: str, stem: str, item: dict[str, Any]) -> str:
    prefix = f"{group}/" if group else ""
    attributes = nodes.get(group, {}).get("attributes")
    wrong = _misfit(attributes, _GROUP)
    if wrong:
        return wrong
    nested = [k for k, v in attributes.items() if type(v) not in (str, int, float)]
    if nested:
        return f"its attribute {nested[0]} is neither number nor text"
    if "pixels" in item:
        pixels = item["pixels"]
        shape, dims, codecs = pixels["shape"], [stem + dim for dim in pixels["dims"]], _SHARDED
    else:
        pixels = nodes.get(f"{prefix}intensity", {})
        if "codecs" not in pixels:
            return "has no pixels"
        shape, dims, codecs = pixels["shape"], pixels["dimension_names"], _names(pixels["codecs"])
    valid = nodes.get(f"{prefix}valid", {"shape": shape[:2]})
    if codecs != _SHARDED or len(dims) != len(shape) or valid.get("shape") != shape[:2]:
        return "its pixels, its dims and its mask do not belong together"
    bad = nodes.get(f"{prefix}bad_pixels")
    if bad is not None and not _is_pattern_mask(bad, attributes["kind"], shape):
        return "its bad pixels are not a mask of its patterns"
    preview = nodes.get(f"{prefix}preview", {}).get("attributes", {})
    wrong = _misfit(pixels["attributes"], _PIXELS) or _misfit(preview, _STATISTICS, "preview")
    sizes = dict(zip(dims, shape, strict=True))
    axes = [dim for dim in sizes if dim.removeprefix(stem) != CHANNEL]
    found = (_wrong_axis(nodes, prefix + dim, sizes[dim]) for dim in axes)
    return wrong or next(filter(None, found), "") or _wrong_previews(nodes, prefix, stem, sizes)


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
    return ""


def _wrong_axis(nodes: Mapping[str, Any], path: str, size: int) -> str:
    node = nodes.get(path, {})
    if node.get("shape") != [size]:
        return f"its coordinate {path} is missing or of another length"
    return _misfit(node["attributes"], _AXIS, path)
