"""What a file of bare numbers cannot say of itself, as JSON to stand beside it."""

from __future__ import annotations

import dataclasses
from typing import Any

from stemzarr.model import Axis, Blocks, Document
from stemzarr.registry import ExportRequest
from stemzarr.views.render import ViewBlocks

__all__ = ["describe_document", "describe_export"]


def describe_export(request: ExportRequest, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the sidecar of a file that holds the main document as an array of `shape`."""
    document = request.documents[0]
    return {
        "shape": list(shape),
        "dtype": document.dtype.name,
        **describe_document(document),
        "provenance": request.provenance,
    }


def describe_document(document: Document) -> dict[str, Any]:
    """Return dims, coordinates, views, statistics and facts of a document as JSON.

    ``coordinates`` gives each dim as ``offset + index * scale``. ``views`` lists the recipes that
    were applied, in their order, each with the scaling that it came to: with
    ``log(1 + value)`` first where ``logarithm`` is true, then ``(value - offset) * factor``.
    ``statistics`` are those of the values before the last scaling.
    """
    described: dict[str, Any] = {
        "title": document.title,
        "kind": document.kind,
        "dims": list(document.dims),
        "coordinates": {axis.name: _coordinate(axis) for axis in document.axes},
        "views": _views(document.blocks),
        "facts": {**document.facts, **document.attributes},
    }
    statistics = document.statistics
    if isinstance(document.blocks, ViewBlocks):
        statistics = document.blocks.statistics
    if statistics is not None:
        described["statistics"] = dataclasses.asdict(statistics)
    if document.brightness is not None:
        described["brightness"] = dataclasses.asdict(document.brightness)
    return described


def _coordinate(axis: Axis) -> dict[str, Any]:
    return {
        "size": axis.size,
        "offset": float(axis.offset),
        "scale": float(axis.scale),
        "units": axis.units,
        "calibrated": axis.calibrated,
    }


def _views(blocks: Blocks) -> list[dict[str, Any]]:
    if not isinstance(blocks, ViewBlocks):
        return []
    last = {
        "view": blocks.view.to_json(),
        "in_words": blocks.view.describe(),
        "scaling": dataclasses.asdict(blocks.scaling),
    }
    return [*_views(blocks.source), last]
