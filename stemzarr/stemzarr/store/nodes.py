"""Checks the metadata of a store before anything believes them.

A store may come from anywhere, and ``zarr.json`` has no checksum. Damage is found by comparing
every node with the digests in the manifest; what a person or a program made up, by the form of
the nodes, so that whatever is read later has the types and sizes that the rest counts on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, get_args

from stemzarr.model import CHANNEL, Kind, LayoutOrder, Statistics
from stemzarr.options import Codec

__all__ = ["check_nodes"]

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
_RECORD: Final[Form] = {
    "name": str, "path?": (None, str), "format": str, "size": _size, "modified": str,
    "modified_ns": int, "header_hash": _hex, "hash?": (None, _hex), "sha256?": (None, _hex),
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
_STATISTICS: Final[Form] = {f"{name}?": float for name in Statistics.__slots__}


def check_nodes(nodes: Mapping[str, Any]) -> str:
    """Return what is wrong with the form of a store's nodes, empty where nothing is.

    Parameters
    ----------
    nodes
        The ``zarr.json`` of every group and array by path, the root's under ``""``.
    """
    for path, node in nodes.items():
        wrong = _wrong_path(path) or _wrong_node(node)
        if wrong:
            return f"{path or 'the root'}: {wrong}"
    record = nodes.get("source", {}).get("attributes")
    wrong = _misfit(record, _RECORD)
    if wrong:
        return f"source: {wrong}"
    return _wrong_record(record) or _wrong_documents(nodes, record)


def _misfit(value: Any, form: Form, name: str = "") -> str:  # noqa: ANN401 - any JSON
    """Return where a value has not the form it must have, empty where it has."""
    if isinstance(form, tuple):
        found = [_misfit(value, each, name) for each in form]
        return "" if "" in found else found[-1]
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return f"{name or 'it'} is no object"
        below = f"{name}." if name else ""
        for key, each in form.items():
            known = key.removesuffix("?")
            if known in value:
                wrong = _misfit(value[known], each, below + known)
            else:
                wrong = "" if key != known else f"{below}{known} is missing"
            if wrong:
                return wrong
        return ""
    if isinstance(form, list):
        if not isinstance(value, list):
            return f"{name} is no list"
        found = (_misfit(item, form[0], f"{name}[{n}]") for n, item in enumerate(value))
        return next(filter(None, found), "")
    return "" if _is_a(value, form) else f"{name} is {str(value)[:40]!r}"


def _is_a(value: Any, form: Form) -> bool:  # noqa: ANN401 - any JSON
    if form is None or isinstance(form, str):
        return bool(value == form)
    if form is float:
        return type(value) in (int, float) and math.isfinite(value)
    if form is int:
        return type(value) is int
    return isinstance(value, form) if isinstance(form, type) else bool(form(value))


def _wrong_path(path: str) -> str:
    """Return whether a path could lead out of the store, on any system."""
    parts = PurePosixPath(path).parts
    if "/".join(parts) != path or {"..", "/"} & set(parts) or re.search(r"[\\:\x00]", path):
        return "is no path in a store"
    return ""


def _wrong_node(node: Any) -> str:  # noqa: ANN401 - any JSON
    if not isinstance(node, dict) or not isinstance(node.get("attributes"), dict):
        return "has no attributes"
    if node.get("node_type") == "group":
        return ""
    if node.get("node_type") != "array":
        return "is neither group nor array"
    form: Form = {
        "shape": [_size],
        "data_type": _one_of(*_DTYPES),
        "dimension_names": [str],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [_size]}},
        "codecs": [{"name": str}],
    }
    return _misfit(node, form) or _wrong_array(node)


def _wrong_array(node: dict[str, Any]) -> str:
    """Return what is wrong with the sizes and codecs of an array whose form is right."""
    shape, chunk = node["shape"], node["chunk_grid"]["configuration"]["chunk_shape"]
    itemsize = _DTYPES[node["data_type"]]
    if not (0 < len(shape) == len(chunk) == len(node["dimension_names"])):
        return "its shape, chunks and dims differ in number"
    if len(set(node["dimension_names"])) != len(shape):
        return "its dims repeat"
    if 0 in chunk or max(math.prod(shape), math.prod(chunk)) * itemsize >= _MOST_BYTES:
        return f"of shape {shape} and chunks {chunk} cannot be"
    codecs = node["codecs"]
    if [codec["name"] for codec in codecs] != ["sharding_indexed"]:
        return _wrong_chain(codecs)
    form: Form = {
        "chunk_shape": [_size], "codecs": [{"name": str}], "index_codecs": [{"name": str}],
        "index_location": "end",
    }  # fmt: skip
    sharding = codecs[0].get("configuration")
    wrong = _misfit(sharding, form)
    if wrong:
        return f"sharding: {wrong}"
    if [codec["name"] for codec in sharding["index_codecs"]] != ["bytes", "crc32c"]:
        return "the index of its shards is encoded in an unknown way"
    inner = sharding["chunk_shape"]
    if len(inner) != len(chunk) or any(not c or s % c for s, c in zip(chunk, inner, strict=True)):
        return f"its shards of {chunk} are not made of whole chunks of {inner}"
    return _wrong_chain(sharding["codecs"])


def _wrong_chain(codecs: list[dict[str, Any]]) -> str:
    """Return what is wrong with a chain; names that are unknown are for the one who decodes."""
    for codec in codecs:
        configuration = codec.get("configuration", {})
        if codec["name"] == "blosc":
            return _misfit(configuration, {"cname": _one_of(*get_args(Codec))}, "blosc")
        if codec["name"] == "bytes" and configuration.get("endian", "little") != "little":
            return "its values are not little-endian"
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
    return "source: its segments lie beyond its end" if end > record["size"] else ""


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
    if group not in nodes:
        return "is missing"
    attributes = nodes[group]["attributes"]
    wrong = _misfit(attributes, _GROUP)
    nested = [k for k, v in attributes.items() if type(v) not in (str, int, float)]
    if wrong or nested:
        return wrong or f"its attribute {nested[0]} is neither number nor text"
    if "pixels" in item:
        shape, dims = item["pixels"]["shape"], [stem + dim for dim in item["pixels"]["dims"]]
    elif "codecs" in nodes.get(f"{prefix}intensity", {}):
        node = nodes[f"{prefix}intensity"]
        if node["codecs"][0]["name"] != "sharding_indexed":
            return "its pixels are not in shards"
        shape, dims = node["shape"], node["dimension_names"]
        wrong = _misfit(node["attributes"], _PIXELS, "intensity")
    else:
        return "has no pixels"
    valid = nodes.get(f"{prefix}valid", {"shape": shape[:2]})
    statistics = nodes.get(f"{prefix}preview", {}).get("attributes", {})
    wrong = wrong or _misfit(statistics, _STATISTICS, "preview")
    if wrong or len(dims) != len(shape) or valid.get("shape") != shape[:2]:
        return wrong or "its dims or its mask are not those of its pixels"
    for dim, size in zip(dims, shape, strict=True):
        if dim.removeprefix(stem) != CHANNEL:
            wrong = wrong or _wrong_axis(nodes, prefix + dim, size)
    return wrong


def _wrong_axis(nodes: Mapping[str, Any], path: str, size: int) -> str:
    node = nodes.get(path, {})
    if node.get("shape") != [size]:
        return f"its coordinate {path} is missing or of another length"
    return _misfit(node["attributes"], _AXIS, path)
