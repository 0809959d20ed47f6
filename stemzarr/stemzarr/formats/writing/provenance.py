"""Where the numbers of an export came from, step by step back to the file of the microscope."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import stemzarr
from stemzarr.formats.writing.made import digest_labels
from stemzarr.formats.writing.sidecar import list_views
from stemzarr.model import ArrayBlocks, Document, Source
from stemzarr.options import ExportOptions, ReadOptions
from stemzarr.registry import Exporter, read_source
from stemzarr.storage.address import as_source

if TYPE_CHECKING:
    from stemzarr.views import View

__all__ = ["describe_given", "describe_provenance", "drop_lineage", "say_origin"]

_LINEAGE = ("derived_from", "provenance")
"""Attributes by which a store that is an export says what it was made from."""


def describe_provenance(
    source: Source,
    documents: Sequence[Document],
    exporter: Exporter,
    *,
    view: View | None,
    read: ReadOptions,
    options: ExportOptions,
) -> dict[str, Any]:
    """Return, as JSON, all that it takes to make the same file again.

    ``source``, ``format`` (and of a file ``size`` and ``modified``) say what was read and ``read``
    how; ``document``, ``view`` and ``image`` what was taken of it; ``labels`` is a digest of its
    axes, facts and masks, which may be revised later; ``export`` the form of the file.
    ``origin`` says the same of what a store was made from: its original file with the ``hash`` of
    all its bytes, or the export that the store is, with its own origin.
    """
    return {
        "stemzarr": stemzarr.__version__,
        **_identify(source),
        "read": _to_json(read),
        "document": documents[0].slug,
        "labels": digest_labels(documents),
        "view": None if view is None else view.to_json(),
        "image": _describe_image(options),
        "export": {
            "format": exporter.name,
            **{name: getattr(options, name) for name in exporter.options},
        },
        "origin": _describe_origin(source, documents[0]),
    }


def say_origin(source: Source, document: Document) -> str:
    """Return, as JSON text, the file that the values of a document are of.

    A Dataset has it as its attribute ``provenance``, so that what xarray writes of it says the
    same as an export: ``source``, ``format``, ``size``, ``modified``, and of what was ingested the
    ``hash`` of all bytes.
    """
    origin = _describe_origin(source, document)
    if source.record is None:
        origin = {**_identify(source), "origin": origin}
    return json.dumps(origin, ensure_ascii=False)


def describe_given(source: Source) -> dict[str, Any]:
    """Return what of a file a Dataset is, as JSON, in place of what names the file.

    ``selected`` gives for each dim of the file [first, end, step] or one position, None where all
    was taken; ``views`` the recipes that were applied; ``computed`` whether the values are other
    ones; ``origin`` names the file.
    """
    # Exports of files and stores do without xarray, whose import takes longer than small ones.
    from stemzarr.labelled import DataArrayBlocks
    from stemzarr.lazy import SelectedBlocks

    blocks = source.document.blocks
    selected = None
    if isinstance(blocks, SelectedBlocks):
        picks, blocks = blocks.picks, blocks.source.blocks
        selected = [p if isinstance(p, int) else [p.start, p.stop, p.step] for p in picks]
    origin = None
    if source.files:
        known = read_source(as_source(source.path))
        origin = {**_identify(known), "origin": _describe_origin(known, known.document)}
    return {
        "selected": selected,
        "views": list_views(blocks),
        "computed": isinstance(blocks, DataArrayBlocks | ArrayBlocks),
        "origin": origin,
    }


def _describe_image(options: ExportOptions) -> dict[str, Any] | None:
    """Return which image of a scan was taken; None where it was the scan itself."""
    if not options.takes_image:
        return None
    ring = {"image": options.image, "inner": options.inner, "outer": options.outer}
    places = {"at": options.at, "center": options.center}
    return ring | {name: list(place) for name, place in places.items() if place is not None}


def drop_lineage(document: Document) -> Document:
    """Return a document without the attributes that `describe_provenance` gives as ``origin``."""
    kept = {name: value for name, value in document.attributes.items() if name not in _LINEAGE}
    return dataclasses.replace(document, attributes=kept)


def _identify(source: Source) -> dict[str, Any]:
    named = {"source": source.path.name, "format": source.format}
    if source.format == "stemzarr" or not source.files:
        return named
    modified = dt.datetime.fromtimestamp(source.modified_ns / 1e9, dt.UTC)
    return {**named, "size": source.size, "modified": modified.isoformat(timespec="seconds")}


def _to_json(read: ReadOptions) -> dict[str, Any]:
    return {**read.record(), "scan_shape": read.scan_shape and list(read.scan_shape)}


def _describe_origin(source: Source, document: Document) -> dict[str, Any] | None:
    """Return where the values of a store came from, or those that xarray saved; else None."""
    lineage = document.attributes.get("provenance")
    with contextlib.suppress(ValueError, RecursionError):
        exported = json.loads(lineage) if isinstance(lineage, str) else None
        if isinstance(exported, dict):
            return exported
    if source.record is None:
        return None
    return {
        "source": source.record["name"],
        **{name: source.record.get(name) for name in ("format", "size", "modified", "hash")},
        "read": source.record["ingest"]["options"]["read"],
    }
