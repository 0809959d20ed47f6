"""A scan in the browser: a page of plain JavaScript, and what hands it numbers."""

from __future__ import annotations

from stemzarr.explorer.server import Explorer

__all__ = ["Explorer"]
