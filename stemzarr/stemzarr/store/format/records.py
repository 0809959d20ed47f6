"""Documents, layouts and segments as ``source`` records them, and back."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from stemzarr.model import Document, Layout, Segment
from stemzarr.store.format.form import (
    DocumentRecord,
    IntensityAttributes,
    LayoutRecord,
    SegmentRecord,
)

__all__ = ["document_record", "layout_of", "layout_record", "segment_of", "segment_record"]


def document_record(document: Document, *, virtual: bool) -> DocumentRecord:
    """Return what ``source`` records of a document; of a virtual one, its pixels as well."""
    record: DocumentRecord = {
        "index": document.index,
        "slug": document.slug,
        "thumbnail": document.thumbnail,
        "notes": list(document.notes),
        "fact_paths": dict(document.fact_paths),
        "layout": layout_record(document.layout),
    }
    if virtual:
        record["pixels"] = {
            "shape": list(document.shape),
            "dtype": document.dtype.str,
            "block_shape": list(document.blocks.block_shape),
            "dims": list(document.dims),
            "attributes": cast("IntensityAttributes", document.intensity_attributes()),
        }
    return record


def layout_record(layout: Layout | None) -> LayoutRecord | None:
    """Return what ``source`` records of the meaning of axes."""
    return None if layout is None else cast("LayoutRecord", dataclasses.asdict(layout))


def segment_record(segment: Segment) -> SegmentRecord:
    """Return what ``source`` records of a segment."""
    return cast("SegmentRecord", dataclasses.asdict(segment))


def layout_of(record: LayoutRecord | None) -> Layout | None:
    """Return the meaning of axes that `layout_record` recorded."""
    if record is None:
        return None
    return Layout(**{**cast("Any", record), "evidence": tuple(record["evidence"])})


def segment_of(record: SegmentRecord) -> Segment:
    """Return the segment that `segment_record` recorded."""
    return Segment(**{**cast("Any", record), "shape": tuple(record["shape"])})
