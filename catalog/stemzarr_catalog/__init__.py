"""Many stores: the lake, its index, and its catalog for intake."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemzarr_catalog.alike import find_alike, read_model
    from stemzarr_catalog.entry import Entry, EntryList
    from stemzarr_catalog.lake import Lake
    from stemzarr_catalog.opening import find_lake, is_lake, open_lake
    from stemzarr_catalog.splitting import split_scans

_WHERE = {
    "Entry": "stemzarr_catalog.entry",
    "EntryList": "stemzarr_catalog.entry",
    "Lake": "stemzarr_catalog.lake",
    "find_alike": "stemzarr_catalog.alike",
    "find_lake": "stemzarr_catalog.opening",
    "is_lake": "stemzarr_catalog.opening",
    "open_lake": "stemzarr_catalog.opening",
    "read_model": "stemzarr_catalog.alike",
    "split_scans": "stemzarr_catalog.splitting",
}

__all__ = [
    "Entry",
    "EntryList",
    "Lake",
    "find_alike",
    "find_lake",
    "is_lake",
    "open_lake",
    "read_model",
    "split_scans",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import a public name when it is first used: the command must answer at once."""
    if name not in _WHERE:
        msg = f"module 'stemzarr_catalog' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
