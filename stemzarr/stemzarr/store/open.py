"""Opens a store as a source: from its consolidated metadata alone, pixels read on demand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, cast

import numpy as np

from stemzarr.model import (
    CHANNEL,
    Axis,
    Brightness,
    Document,
    Fact,
    Kind,
    Layout,
    Segment,
    Source,
    Statistics,
)
from stemzarr.options import ReadOptions
from stemzarr.store.blocks import StoreBlocks
from stemzarr.store.schema import FACT_NAMES, Nodes
from stemzarr.store.tree import read_nodes, read_small_array

__all__ = ["read_record", "read_store"]


def read_store(path: Path, options: ReadOptions | None = None) -> Source:
    """Return what a store holds, from its consolidated metadata alone.

    Parameters
    ----------
    path
        The store's folder.
    options
        Taken as every reader takes them; a store leaves no question open.

    Raises
    ------
    SourceNotFoundError, CorruptFileError, SchemaVersionError
        There is no store, it is none of ours, or it is newer than this program.
    """
    del options
    nodes = read_nodes(path)
    record = nodes["source"]["attributes"]
    root = path / "zarr.json"
    state = root.stat()
    return Source(
        path=path,
        format="stemzarr",
        size=state.st_size,
        modified_ns=state.st_mtime_ns,
        documents=tuple(
            _read_document(path, nodes, item, record["main"]) for item in record["documents"]
        ),
        main=record["main"],
        load_metadata=_Metadata(path),
        load_header=_Header(path),
        segments=tuple(_segment(item) for item in record["segments"]),
        complete=bool(nodes[""]["attributes"].get("complete", 1)),
        notes=tuple(record["notes"]),
    )


def read_record(path: Path) -> dict[str, Any]:
    """Return where a store came from: name, format, size, hash, layout, ingest, revisions.

    Raises
    ------
    SourceNotFoundError, CorruptFileError, SchemaVersionError
        As in `read_store`.
    """
    record: dict[str, Any] = read_nodes(path)["source"]["attributes"]
    return record


@dataclasses.dataclass(frozen=True, slots=True)
class _Metadata:
    """Loads the tag tree of the original source; picklable."""

    path: Path

    def __call__(self) -> dict[str, Any]:
        nodes = read_nodes(self.path)
        if "source/original_metadata" not in nodes:
            return {}
        text = read_small_array(self.path, nodes, "source/original_metadata").tobytes()
        tree: dict[str, Any] = json.loads(text)
        return tree


@dataclasses.dataclass(frozen=True, slots=True)
class _Header:
    """Loads the bytes of the original source outside its pixels; picklable."""

    path: Path

    def __call__(self) -> bytes:
        nodes = read_nodes(self.path)
        if "source/header" not in nodes:
            return b""
        return read_small_array(self.path, nodes, "source/header").tobytes()


def _segment(item: dict[str, Any]) -> Segment:
    return Segment(**{**item, "shape": tuple(item["shape"])})


def _read_document(path: Path, nodes: Nodes, item: dict[str, Any], main: int) -> Document:
    is_main = item["index"] == main
    prefix = "" if is_main else f"documents/{item['slug']}/"
    attributes = dict(nodes[prefix.rstrip("/")]["attributes"])
    node = nodes[f"{prefix}intensity"]
    strip = 0 if is_main else len(item["slug"]) + 1
    dims = [name[strip:] for name in node["dimension_names"]]
    facts, others = _split(attributes)
    return Document(
        index=item["index"],
        slug=item["slug"],
        title=attributes["title"],
        kind=cast("Kind", attributes["kind"]),
        axes=tuple(
            _axis(dim, size, nodes[prefix + stored]["attributes"])
            for dim, stored, size in zip(dims, node["dimension_names"], node["shape"], strict=True)
            if dim != CHANNEL
        ),
        blocks=StoreBlocks.from_node(path, f"{prefix}intensity", node),
        layout=None if item.get("layout") is None else _layout(item["layout"]),
        brightness=_brightness(node["attributes"]),
        channels=tuple(node["attributes"].get("channel_names", ())),
        thumbnail=item["thumbnail"],
        facts=facts,
        fact_paths=item["fact_paths"],
        attributes=others,
        notes=tuple(item["notes"]),
        statistics=_statistics(nodes, f"{prefix}preview"),
        valid=read_small_array(path, nodes, f"{prefix}valid").astype(np.bool_)
        if f"{prefix}valid" in nodes
        else None,
    )


def _split(attributes: dict[str, Any]) -> tuple[dict[str, Fact], dict[str, Fact]]:
    own = {"title", "kind", "stemzarr_schema"}
    facts = {name: value for name, value in attributes.items() if name in FACT_NAMES}
    others = {n: v for n, v in attributes.items() if n not in FACT_NAMES and n not in own}
    return facts, others


def _axis(name: str, size: int, attributes: dict[str, Any]) -> Axis:
    return Axis(
        name=name,
        size=size,
        scale=attributes["scale"],
        offset=attributes["offset"],
        units=attributes["units"],
        calibrated=bool(attributes["calibrated"]),
        source_units=attributes["source_units"],
        long_name=attributes["long_name"],
    )


def _layout(item: dict[str, Any]) -> Layout:
    return Layout(**{**item, "evidence": tuple(item["evidence"])})


def _brightness(attributes: dict[str, Any]) -> Brightness | None:
    if "brightness_scale" not in attributes:
        return None
    return Brightness(
        scale=attributes["brightness_scale"],
        offset=attributes["brightness_offset"],
        units=attributes["brightness_units"],
    )


def _statistics(nodes: Nodes, path: str) -> Statistics | None:
    if path not in nodes:
        return None
    attributes = nodes[path]["attributes"]
    known = {name: attributes[name] for name in Statistics.__slots__ if name in attributes}
    return Statistics(**known) if len(known) == len(Statistics.__slots__) else None
