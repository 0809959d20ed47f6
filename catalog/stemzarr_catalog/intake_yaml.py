"""``catalog.yaml``: the lake as a catalog of intake, in the form that its version 1 reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stemzarr.files import publish
from stemzarr_catalog.entry import Entry
from stemzarr_catalog.names import LAKE_ENTRY

__all__ = ["LARGEST", "render_yaml", "write_yaml"]

LARGEST = 1000
"""Most entries that are listed one by one; intake takes seconds to open more."""


def render_yaml(entries: Iterable[Entry]) -> str:
    """Return the text of the catalog; paths in it are relative to its own folder.

    Parameters
    ----------
    entries
        The stores to list one by one; the entry ``lake`` for all of them comes on top.
    """
    import yaml

    lake = {
        "driver": "stemzarr_lake",
        "description": "Every entry of this lake, searchable",
        "args": {"path": "{{ CATALOG_DIR }}"},
    }
    content = {
        "metadata": {"version": 1, "stemzarr_lake": 1},
        "sources": {LAKE_ENTRY: lake} | {entry.name: _source(entry) for entry in entries},
    }
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
    return "# Written by stemzarr; changes are lost. Open it with intake.open_catalog.\n" + text


def _source(entry: Entry) -> dict[str, Any]:
    facts = {key: inert(value) for key, value in entry.facts.items()}
    return {
        "driver": ["stemzarr", "zarr"],
        "description": inert(entry.title),
        "args": {"urlpath": f"{{{{ CATALOG_DIR }}}}/stores/{entry.name}.zarr"},
        "metadata": {
            "kind": entry.kind,
            "dims": list(entry.dims),
            "shape": list(entry.shape),
            "dtype": entry.dtype,
            **facts,
        },
    }


def inert(value: Any) -> Any:  # noqa: ANN401 - a value of JSON
    """Return a value in which intake finds no template.

    intake renders every text of an entry with Jinja, without a sandbox: a specimen called
    ``{{ … }}`` would run code when the entry is opened.
    """
    if not isinstance(value, str):
        return value
    return re.sub(r"\{(?=[{%#])", "{\u2060", value)


def write_yaml(path: Path, entries: Iterable[Entry]) -> None:
    """Replace the catalog, if it says something else than before."""
    text = render_yaml(entries)
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except (OSError, UnicodeDecodeError):
        pass
    with publish(path, sync=False) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
