"""Many stores: the lake, its index, and the intake face of it."""

from __future__ import annotations

from stemzarr_catalog.entry import Entry, EntryList
from stemzarr_catalog.lake import Lake, find_lake, is_lake, open_lake

__all__ = ["Entry", "EntryList", "Lake", "find_lake", "is_lake", "open_lake"]
