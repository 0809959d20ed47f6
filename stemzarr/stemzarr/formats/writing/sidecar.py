"""What a file of bare numbers cannot say of itself, as JSON beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import StoreExistsError
from stemzarr.model import Axis, Blocks, Document
from stemzarr.registry import ExportRequest
from stemzarr.storage.files import check_destination
from stemzarr.views.correcting import CorrectedBlocks
from stemzarr.views.render import ViewBlocks

__all__ = [
    "check_sidecar",
    "describe_document",
    "describe_export",
    "is_sidecar",
    "list_views",
    "place_sidecar",
]


def place_sidecar(dest: Path) -> Path:
    """Return where the sidecar of a file is: beside it, under its name and ``.json``."""
    return dest.with_name(f"{dest.name}.json")


def check_sidecar(dest: Path, *, overwrite: bool, source: Path | None) -> None:
    """Raise unless the sidecar of `dest` may be written, before any work is done for it.

    A sidecar of ours whose file is gone describes nothing, and is replaced.

    Raises
    ------
    StoreExistsError
        Something exists there that is not to be replaced, or that is a folder.
    OptionError
        It is the source itself.
    """
    beside = place_sidecar(dest)
    if beside.is_dir():
        msg = f"is a folder in the place of the sidecar of {dest.name}"
        raise StoreExistsError(msg, path=beside, hint="choose another name for the export")
    orphan = not dest.exists() and is_sidecar(beside)
    check_destination(beside, overwrite=overwrite or orphan, source=source)


def is_sidecar(path: Path) -> bool:
    """Return whether a file is a sidecar that an export wrote."""
    with contextlib.suppress(OSError, ValueError, RecursionError, TypeError, KeyError):
        return "stemzarr" in dict(json.loads(path.read_text(encoding="utf-8"))["provenance"])
    return False


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
    ``statistics`` are those of the values before the last scaling. ``valid``, only where a scan
    was salvaged, gives the patterns that are there as runs [first, end) of their numbers, row by
    row; the others are zeros that nobody measured. ``bad_pixels``, only where there are some,
    gives them in the same way.
    """
    described: dict[str, Any] = {
        "title": document.title,
        "kind": document.kind,
        "dims": list(document.dims),
        "coordinates": {axis.name: _coordinate(axis) for axis in document.axes},
        "views": list_views(document.blocks),
        "facts": {**document.facts, **document.attributes},
    }
    statistics = document.statistics
    if isinstance(document.blocks, ViewBlocks):
        statistics = document.blocks.statistics
    if statistics is not None:
        described["statistics"] = dataclasses.asdict(statistics)
    if document.brightness is not None:
        described["brightness"] = dataclasses.asdict(document.brightness)
    if document.valid is not None:
        described["valid"] = _runs(document.valid)
    if document.bad_pixels is not None:
        described["bad_pixels"] = _runs(document.bad_pixels)
    return described


def _runs(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Return where runs of True begin and end in a mask, row by row."""
    padded = np.concatenate([[False], mask.reshape(-1), [False]])
    edges: list[list[int]] = np.flatnonzero(np.diff(padded)).reshape(-1, 2).tolist()
    return edges


def _coordinate(axis: Axis) -> dict[str, Any]:
    return {
        "size": axis.size,
        "offset": float(axis.offset),
        "scale": float(axis.scale),
        "units": axis.units,
        "calibrated": axis.calibrated,
    }


def list_views(blocks: Blocks) -> list[dict[str, Any]]:
    """Return the recipes that blocks were rendered by, in their order, with their scalings."""
    if isinstance(blocks, CorrectedBlocks):
        return list_views(blocks.base)
    if not isinstance(blocks, ViewBlocks):
        return []
    last = {
        "view": blocks.view.to_json(),
        "in_words": blocks.view.describe(),
        "scaling": dataclasses.asdict(blocks.scaling),
    }
    return [*list_views(blocks.base), last]
