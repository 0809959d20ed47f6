"""A view as a store of its own.

`xarray` writes no store as it opened it: docs/upstream/xarray-sharded-copy.md.
"""

from __future__ import annotations

import dataclasses
import json

from stemzarr.model import Document
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import Exported, ExportRequest
from stemzarr.store import write_store

__all__ = ["write_zarr"]


def write_zarr(request: ExportRequest) -> Exported:
    """Write documents as a store, the recipe and where it came from among its attributes.

    The store has all that a store has, previews and checksums too; only the bytes of the original
    file are not in it.
    """
    documents = tuple(_with_lineage(document, request) for document in request.documents)
    source = dataclasses.replace(
        request.source,
        documents=documents,
        main=documents[0].index,
        load_header=bytes,
        segments=(),
    )
    chosen = request.options
    options = IngestOptions(
        read=ReadOptions(salvage=not source.complete),  # what there is was asked for
        memory=chosen.memory,
        threads=chosen.threads,
        sync=chosen.sync,
    )
    write_store(source, request.dest, options, request.progress)
    return Exported(shape=documents[0].shape, dtype=documents[0].dtype.name)


def _with_lineage(document: Document, request: ExportRequest) -> Document:
    lineage = {
        "derived_from": request.source.path.name,
        "provenance": json.dumps(request.provenance, allow_nan=False, ensure_ascii=False),
    }
    attributes = {**document.attributes, **lineage}
    if attributes.get("survey_document") not in {other.slug for other in request.documents}:
        attributes.pop("survey_document", None)
    return dataclasses.replace(document, attributes=attributes)
