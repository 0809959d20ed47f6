"""HyperSpy's ``.zspy``, a folder or a zip, opened for reading alone and handed to RosettaSciIO."""

from __future__ import annotations

import importlib
import zipfile
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import LocalStore, ZipStore

__all__ = ["file_reader"]


def file_reader(filename: str, lazy: bool = False) -> list[dict[str, Any]]:  # noqa: FBT001, FBT002 - the form of RosettaSciIO's plugins
    """Return the signals of a ``.zspy`` as RosettaSciIO describes them.

    RosettaSciIO itself opens lazy ones for writing, which neither a zip nor a read-only share
    allows: docs/upstream/rosettasciio-zspy-lazy.md.
    """
    reader = importlib.import_module("rsciio.zspy._api").ZspyReader
    path = Path(filename)
    store: ZipStore | LocalStore = (
        ZipStore(path, mode="r") if zipfile.is_zipfile(path) else LocalStore(path, read_only=True)
    )
    signals: list[dict[str, Any]] = reader(zarr.open_group(store, mode="r")).read(lazy=lazy)
    for signal in signals:
        for name in ("metadata", "original_metadata"):
            signal[name] = _in_order(signal.get(name) or {})
    return signals


def _in_order(tree: Any) -> Any:  # noqa: ANN401 - any tree
    """Return a tree with its groups by their names: zarr lists them in an order of chance."""
    if not isinstance(tree, dict):
        return tree
    groups = sorted(name for name, value in tree.items() if isinstance(value, dict))
    values = {name: value for name, value in tree.items() if not isinstance(value, dict)}
    return {**values, **{name: _in_order(tree[name]) for name in groups}}
