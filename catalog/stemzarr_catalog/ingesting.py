"""From a source to an entry: its name, whether it is there already, one writer for each name."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr.errors import OptionError, StemzarrError, StoreExistsError
from stemzarr.model import Progress
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.storage.address import RemotePath
from stemzarr.storage.files import remove_abandoned
from stemzarr.store import recorded_digest
from stemzarr_catalog.asked import asks_nothing, check_asked, dataset_of, keep_calibration
from stemzarr_catalog.known import Given, key_of
from stemzarr_catalog.names import casefold, check_name
from stemzarr_catalog.naming import Naming, candidate_names, stem_of
from stemzarr_catalog.recognising import (
    Believe,
    Match,
    find_known,
    find_unread,
    recognise,
    remember,
)
from stemzarr_catalog.record import read_signature
from stemzarr_catalog.renaming import locks_folder, name_lock

if TYPE_CHECKING:
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.lake import Lake

__all__ = ["Callbacks", "Ingested", "find_unchanged", "ingest_into"]

_WAIT_SECONDS = 7 * 24 * 3600.0
"""How long to wait for another process that ingests under the same name: it may take days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """Callbacks of an ingest: its progress, and questions to the user."""

    progress: Progress | None = None
    """Progress callback: bytes of pixel data done, and in all."""
    believe: Believe | None = None
    """Is asked whether a folder was moved to another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What an ingest did."""

    name: str
    """Name of the entry."""
    store: Path
    """The store."""
    kind: str
    """What its main document is."""
    shape: tuple[int, ...]
    """Shape of the main document."""
    dtype: str
    """numpy name of the type of its values."""
    source_bytes: int
    """Size of the source."""
    stored_bytes: int
    """Size of the store."""
    seconds: float
    """Time that it took."""
    status: str
    """``ingested``, ``resumed`` after an interruption, or ``unchanged``: it was there already."""
    notes: tuple[str, ...] = ()
    """What a person should know."""

    def json(self) -> dict[str, Any]:
        """Return the line that ``ingest --json`` prints."""
        return {
            **dataclasses.asdict(self),
            "store": str(self.store),
            "shape": list(self.shape),
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
            "error": None,
        }


def ingest_into(
    lake: Lake, path: Path, naming: Naming, options: IngestOptions, callbacks: Callbacks
) -> Ingested:
    """Write a source into a store of a lake, unless it is there already.

    The name is held by a lock while the source is read, so that of several processes that ingest
    the same source one does, and the others find it unchanged.

    Raises
    ------
    OptionError, StoreExistsError, StemzarrError
        As `Lake.ingest`.
    """
    started = time.perf_counter()
    done = None if naming.name else find_unchanged(lake, [path], options).get(path)
    if done is not None:
        return dataclasses.replace(done, seconds=time.perf_counter() - started)
    source = read_source(path, options.read)
    if source.format == "stemzarr":
        hint = "move it, as a folder NAME.zarr, into the lake's folder stores to add it"
        raise OptionError("is a store already", path=path, hint=hint)
    given = Given(source)
    match = _find(lake, given, naming.name, callbacks)
    entry = None if match is None else _of_dataset(match, options)
    if match is None or entry is None:
        has_other = match is not None and naming.name is None
        result = _add(lake, given, naming, options, callbacks.progress, has_other=has_other)
    elif options.overwrite:
        with name_lock(lake, entry.name, _WAIT_SECONDS):
            result = _replace(lake, entry, given, options, callbacks.progress, same=True)
    else:
        result = _leave(lake, entry, given, options, match)
    return dataclasses.replace(result, seconds=time.perf_counter() - started)


def find_unchanged(
    lake: Lake, paths: Iterable[Path], options: IngestOptions
) -> dict[Path, Ingested]:
    """Say which files entries hold already, where path, size and time say so."""
    if not asks_nothing(options):
        return {}
    found = {}
    matches = find_unread(lake, paths)
    left = _list_left(lake) if matches else []
    for path, match in matches.items():
        entry = _of_dataset(match, options)
        if entry is None or entry.source.get("virtual") or not _is_there(entry):
            continue
        if any(name.startswith(f".{casefold(entry.name)}.") for name in left):
            _clean(lake, entry)
        found[path] = _result(entry, "unchanged", entry.source["size"])
    return found


def _is_there(entry: Entry) -> bool:
    """Return whether an entry has a store; at an address its index lists what was complete."""
    return isinstance(entry.path, RemotePath) or read_signature(entry.path) is not None


def _list_left(lake: Lake) -> list[str]:
    """Return what is hidden among the stores, without what no living process writes.

    Those are locks and unfinished ingests, spelled without case; most often there is nothing.
    """
    folder = locks_folder(lake)
    remove_abandoned(folder)
    try:
        with os.scandir(folder) as listing:
            return [casefold(item.name) for item in listing if item.name.startswith(".")]
    except OSError:
        return []


def _clean(lake: Lake, entry: Entry) -> None:
    """Remove what a killed process may have left of an entry."""
    from stemzarr.store import remove_unfinished

    remove_unfinished(entry.path)
    _free(lake, entry.name)


def _find(lake: Lake, given: Given, name: str | None, callbacks: Callbacks) -> Match | None:
    """Return the entries of a file; with a name, that entry alone where it is of this file."""
    if name is not None:
        folded = casefold(check_name(name))
        lake.refresh()
        standing = lake.find_folded(name)
        if standing is None:
            return None
        return recognise(
            lake,
            given,
            believe=callbacks.believe,
            within=lambda entry: casefold(entry.name) == folded,
            progress=callbacks.progress,
        )
    match = find_known(lake, given)
    if match is not None and all(map(_is_there, match.entries)):
        return match
    lake.refresh()
    return recognise(lake, given, believe=callbacks.believe, progress=callbacks.progress)


def _of_dataset(match: Match, options: IngestOptions) -> Entry | None:
    """Return the entry that was made from the data set that is asked for."""
    wanted = options.read.dataset and options.read.dataset.strip("/")
    return next((entry for entry in match.entries if dataset_of(entry) == wanted), None)


def _leave(
    lake: Lake, entry: Entry, given: Given, options: IngestOptions, match: Match
) -> Ingested:
    """Say that an entry holds the file already, and remember where that was found by reading."""
    notes = check_asked(entry, given.source, options)
    if match.is_new:
        remember(lake, given, entry)
    _clean(lake, entry)
    result = _result(entry, "unchanged", given.source.size)
    note = (match.note.replace("{}", entry.name),) if match.note else ()
    return dataclasses.replace(result, notes=(*note, *notes))


def _add(
    lake: Lake,
    given: Given,
    naming: Naming,
    options: IngestOptions,
    progress: Progress | None,
    *,
    has_other: bool,
) -> Ingested:
    """Write a file that is not in the lake under the first name that is free."""
    name = naming.name
    for candidate in candidate_names(naming, given, options, lake.find_folded, has_other=has_other):
        with name_lock(lake, candidate, _WAIT_SECONDS):
            lake.refresh()
            entry = lake.find_folded(candidate)
            if entry is None:
                result = _write(lake, candidate, given, options, progress)
                is_far = isinstance(lake.path, RemotePath)
                return result if name is not None or is_far else _merge(lake, result, given)
            match = find_known(lake, given)
            # Another process may have ingested this very file meanwhile.
            mine = None if match is None else _of_dataset(match, options)
            if match is not None and mine is not None and mine.name == entry.name:
                return _leave(lake, entry, given, options, match)
            if name is not None and options.overwrite:
                return _replace(lake, entry, given, options, progress, same=False)
    raise StoreExistsError(
        f"another source has the name {name or stem_of(given)!r}",
        path=lake.path,
        hint="choose another with --name, or replace it with --overwrite",
    )


def _free(lake: Lake, name: str) -> None:
    """Remove the lock of a process that died when its store was there."""
    lock = name_lock(lake, name, 0.0)
    if lock.path.exists():
        with contextlib.suppress(StemzarrError, OSError), lock:
            pass


def _merge(lake: Lake, result: Ingested, given: Given) -> Ingested:
    """Keep a file once that another process ingested from a copy at the same time.

    The lake is held while that is decided, so that of two such processes one keeps its store.
    """
    with lake.known.locked():
        lake.refresh()
        own = lake[result.name]
        for other in lake.find_hash(own.source.get("hash") or ""):
            is_same = (key_of(other), dataset_of(other)) == (key_of(own), dataset_of(own))
            has_proof = own.source.get("rebuildable") or recorded_digest(own.source)
            if other.name != own.name and is_same and has_proof:
                lake.remove(own.name)
                remember(lake, given, other)
                note = f"{given.path.name} is the same file as {other.name}"
                found = _result(other, "unchanged", given.source.size)
                return dataclasses.replace(found, notes=(note,))
    return result


def _replace(
    lake: Lake,
    entry: Entry,
    given: Given,
    options: IngestOptions,
    progress: Progress | None,
    *,
    same: bool,
) -> Ingested:
    """Write a file in place of an entry, with the calibrations that people made of it."""
    options, notes = keep_calibration(entry, given.source, options, same=same)
    result = _write(lake, entry.name, given, options, progress)
    return dataclasses.replace(result, notes=(*result.notes, *notes))


def _write(
    lake: Lake, name: str, given: Given, options: IngestOptions, progress: Progress | None
) -> Ingested:
    from stemzarr.store import write_store

    source = given.source
    written = write_store(source, lake.store_path(name), options, progress)
    entry = lake.update(name)
    if options.redact:
        remember(lake, given, entry)
    result = _result(entry, written.status, source.size)
    return dataclasses.replace(result, stored_bytes=written.stored_bytes, notes=written.notes)


def _result(entry: Entry, status: str, source_bytes: int) -> Ingested:
    return Ingested(
        name=entry.name,
        store=entry.path,
        kind=entry.kind,
        shape=entry.shape,
        dtype=entry.dtype,
        source_bytes=source_bytes,
        stored_bytes=entry.stored_bytes,
        seconds=0.0,
        status=status,
    )
