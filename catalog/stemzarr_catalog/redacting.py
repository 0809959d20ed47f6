"""Redacts an entry: its store, notes and results, the index and ``catalog.yaml``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stemzarr.metadata.facts import PERSONAL_FACTS
from stemzarr.metadata.privacy import Redactor, is_path, is_personal
from stemzarr_catalog.notes import Notes, read_notes, write_notes
from stemzarr_catalog.results import redact_results
from stemzarr_catalog.watched import WATCH_LOG, hide_events

if TYPE_CHECKING:
    from stemzarr.store import Redaction
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.index_manager import IndexManager
    from stemzarr_catalog.lake import Lake

__all__ = ["redact_entry", "redact_notes"]


def redact_entry(lake: Lake, manager: IndexManager, entry: Entry) -> Redaction:
    """Redact the store of an entry, then its notes, then the index.

    The notes come first, while the store still holds the names: so the same call again does what
    an interrupted one left.
    """
    from stemzarr.store import find_names, redact_store

    path = lake.notes_path(entry.name)
    secrets = find_names(entry.path)
    with manager.locked():
        notes = read_notes(path)
        cleaned = redact_notes(notes, Redactor(secrets))
        if cleaned != notes:
            write_notes(path, cleaned)
        redact_results(lake.path, entry.name, lambda said: _redact_export(said, Redactor(secrets)))
        hide_events(lake.path / WATCH_LOG, entry.name, lake.known.paths_of(entry))
        others = (lake[name].source.get("path") for name in lake if name != entry.name)
        lake.known.hide(entry, [path for path in others if path])
        done = redact_store(entry.path)
    manager.start_over()
    return done


def redact_notes(notes: Notes, redactor: Redactor) -> Notes:
    """Return notes without names, and exports without the folders that they went to.

    Former names of the entry go too: folders are in them, which often name people.
    """
    return dataclasses.replace(
        notes,
        tags=tuple(tag for tag in notes.tags if redactor.text(tag) == tag),
        remark=redactor.text(notes.remark),
        fields={
            name: redactor.texts(value)
            for name, value in notes.fields.items()
            if not _is_personal(name) and redactor.text(name) == name
        },
        formerly=(),
        exports=tuple(_redact_export(record, redactor) for record in notes.exports),
    )


def _is_personal(name: str) -> bool:
    return name in PERSONAL_FACTS or is_personal(name)


def _redact_export(record: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    cleaned: dict[str, Any] = redactor.texts(_name_of(record))
    return cleaned


def _name_of(value: object) -> object:
    """Return the last part of a path, also within mappings, and anything else as it is."""
    if isinstance(value, Mapping):
        return {key: _name_of(inner) for key, inner in value.items()}
    if isinstance(value, str) and is_path(value):
        return value.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return value
