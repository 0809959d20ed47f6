"""From Gatan dm4 files to labelled, searchable, trainable 4D-STEM data in Zarr."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemzarr.api import export, info, ingest, open, render, verify  # noqa: A004
    from stemzarr.errors import StemzarrError
    from stemzarr.options import ExportOptions, IngestOptions, ReadOptions
    from stemzarr.views import View

try:
    from stemzarr._version import __version__ as __version__
except ModuleNotFoundError:  # a tree that was not installed
    __version__ = "0+unknown"

_WHERE = {
    "ExportOptions": "stemzarr.options",
    "IngestOptions": "stemzarr.options",
    "ReadOptions": "stemzarr.options",
    "StemzarrError": "stemzarr.errors",
    "View": "stemzarr.views",
    "export": "stemzarr.api",
    "info": "stemzarr.api",
    "ingest": "stemzarr.api",
    "open": "stemzarr.api",
    "render": "stemzarr.api",
    "verify": "stemzarr.api",
}

__all__ = [
    "ExportOptions",
    "IngestOptions",
    "ReadOptions",
    "StemzarrError",
    "View",
    "export",
    "info",
    "ingest",
    "open",
    "render",
    "verify",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import a public name when it is first used: the command must answer at once."""
    if name not in _WHERE:
        msg = f"module 'stemzarr' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
