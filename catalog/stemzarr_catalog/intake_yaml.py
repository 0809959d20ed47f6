"""``catalog.yaml``: the lake as a catalog of intake, in the form that its version 1 reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stemzarr.storage.local import put_text
from stemzarr_catalog.entry import Entry
from stemzarr_catalog.names import LAKE_ENTRY

__all__ = ["LARGEST", "dump_yaml", "render_selection", "render_yaml", "write_yaml"]

LARGEST = 1000
"""Most entries that are listed one by one; intake takes seconds to open more."""


_HERE = "{{ CATALOG_DIR }}"
"""The catalog's own folder, so that a lake can be moved."""


def render_yaml(entries: Iterable[Entry]) -> str:
    """Return the text of the catalog; paths in it are relative to its own folder.

    Parameters
    ----------
    entries
        The stores to list one by one; the entry ``lake`` for all of them comes on top.
    """
    lake = {
        "driver": "stemzarr_lake",
        "description": "Every entry of this lake, searchable",
        "args": {"path": _HERE},
    }
    content = {
        "metadata": {"version": 1, "stemzarr_lake": 1},
        "sources": {LAKE_ENTRY: lake}
        | {entry.name: _source(entry, f"{_HERE}/stores/{entry.name}.zarr") for entry in entries},
    }
    note = "# Written by stemzarr; changes are lost. Open it with intake.open_catalog.\n"
    return note + dump_yaml(content)


def render_selection(entries: Iterable[Entry], metadata: Mapping[str, Any], name: str) -> str:
    """Return the text of a catalog of some entries, with the absolute paths of their stores.

    Parameters
    ----------
    entries
        The stores to list.
    metadata, name
        What the catalog says about itself.
    """
    sources = {entry.name: _source(entry, _literal(str(entry.path))) for entry in entries}
    return dump_yaml({"name": name, "metadata": _inert_tree(metadata), "sources": sources})


def dump_yaml(content: Mapping[str, Any]) -> str:
    """Return YAML of plain values, in the order that they have."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def _literal(path: str) -> str:
    """Return the template that renders to a path, which may look like a template itself."""
    return re.sub(r"\{(?=[{%#])", '{{ "{" }}', path)


def _inert_tree(value: Any) -> Any:  # noqa: ANN401 - a value of JSON
    if isinstance(value, Mapping):
        return {key: _inert_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_inert_tree(item) for item in value]
    return inert(value)


def _source(entry: Entry, address: str) -> dict[str, Any]:
    facts = {key: inert(value) for key, value in entry.facts.items()}
    return {
        "driver": ["stemzarr", "zarr"],
        "description": inert(entry.title),
        "args": {"urlpath": address},
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
    ``{{ … }}`` would run code when the entry is opened: docs/upstream/intake-templates.md.
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
    put_text(path, text, sync=False)
