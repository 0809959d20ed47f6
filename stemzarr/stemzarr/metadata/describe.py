"""What lists say of a document, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemzarr.model import Document

__all__ = ["describe_document"]

_PLAIN = ("index", "slug", "title", "kind", "thumbnail")
_OF_AXES = ("name", "size", "offset", "scale", "units", "calibrated")


def describe_document(document: Document) -> dict[str, Any]:
    """Return what lists say of a document, without its facts and notes."""
    return {
        **{name: getattr(document, name) for name in _PLAIN},
        "dims": list(document.dims),
        "shape": list(document.shape),
        "dtype": document.dtype.name,
        "bad_pixels": document.bad_pixel_count,
        "axes": [{name: getattr(axis, name) for name in _OF_AXES} for axis in document.axes],
    }
