"""From a source to an entry: its name, whether it is there already, one writer for each name."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from stemzarr.acquisitions import acquisition_name
from stemzarr.errors import OptionError, StoreExistsError
from stemzarr.locks import FileLock
from stemzarr.model import Progress, Source
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr_catalog.names import LAKE_ENTRY, check_name, fold, is_device_name, safe_name

if TYPE_CHECKING:
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.lake import Lake

__all__ = ["Ingested", "ingest_into"]

_WAIT_SECONDS = 7 * 24 * 3600.0
"""How long to wait for another process that ingests under the same name: it may take days."""

_NO_HEADER = xxhash.xxh3_128_hexdigest(b"")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """What tells two sources apart without reading their pixels."""

    size: int
    """Size of the file in bytes."""
    modified_ns: int
    """Modification time."""
    header: str
    """Digest of the bytes outside the pixels, of none where the format has no such notion."""

    def is_that_of(self, entry: Entry) -> bool:
        """Tell whether an entry was made from this very source."""
        source = entry.source
        kept = tuple(source.get(key) for key in ("size", "modified_ns", "header_hash"))
        return kept == (self.size, self.modified_ns, self.header)

    def suffixes(self) -> Iterator[str]:
        """Give 8 hex digits of the header's digest, then of all that tells the source apart."""
        if self.header != _NO_HEADER:
            yield self.header[:8]
        all_of_it = f"{self.header} {self.size} {self.modified_ns}".encode()
        yield xxhash.xxh3_128_hexdigest(all_of_it)[:8]


def _identify(source: Source) -> _Identity:
    return _Identity(
        size=source.size,
        modified_ns=source.modified_ns,
        header=xxhash.xxh3_128_hexdigest(source.load_header()),
    )


def ingest_into(
    lake: Lake,
    path: Path,
    name: str | None,
    options: IngestOptions,
    progress: Progress | None,
) -> Ingested:
    """Write a source into a store of a lake, unless it is there already.

    The name is held by a lock while the source is read, so that of several processes that ingest
    the same source one does, and the others find it unchanged.
    """
    from stemzarr.store import remove_unfinished

    started = time.perf_counter()
    source = read_source(path, options.read)
    if source.format == "stemzarr":
        hint = "move the folder into the lake's stores to add it"
        raise OptionError("is a store already", path=path, hint=hint)
    identity = _identify(source)
    for candidate in _candidates(lake, path, name, identity):
        with _held(lake, candidate):
            entry, same = _standing(lake, candidate, identity)
            if same and not options.overwrite and entry is not None:
                remove_unfinished(entry.path)
                return _result(entry, "unchanged", source.size, started)
            if entry is None or same or (name is not None and options.overwrite):
                chosen = candidate if entry is None else entry.name
                result = _write(lake, chosen, source, options, progress)
                twin = _find_twin(lake, chosen) if name is None and entry is None else None
                if twin is None:
                    return dataclasses.replace(result, seconds=time.perf_counter() - started)
                # The file was copied or touched: it is kept once, under its first name.
                lake.remove(chosen)
                return _result(twin, "unchanged", source.size, started)
    raise StoreExistsError(
        f"another source has the name {name or safe_name(path.stem)!r}",
        path=lake.path,
        hint="choose another with --name, or replace it with --overwrite",
    )


def _candidates(lake: Lake, path: Path, name: str | None, identity: _Identity) -> Iterator[str]:
    """Give the names that the entry may have, the best one first."""
    if name is not None:
        yield check_name(name)
        return
    for entry in lake.find_source(identity.size, identity.header):
        if identity.is_that_of(entry):
            yield entry.name
    stem = safe_name(acquisition_name(path))
    if fold(stem) != LAKE_ENTRY and not is_device_name(stem):
        yield stem
    if is_device_name(stem):
        # A suffix behind a dot would leave `aux.2026` a device.
        stem = stem.replace(".", "_")
    for suffix in identity.suffixes():
        yield f"{stem}-{suffix}"


def _held(lake: Lake, name: str) -> FileLock:
    path = lake.stores / f".{fold(name)}.name.lock"
    return FileLock(path, timeout_s=_WAIT_SECONDS, what=f"the name {name}")


def _standing(lake: Lake, name: str, identity: _Identity) -> tuple[Entry | None, bool]:
    """Return the entry that has a name, compared without case, and whether it is that source."""
    lake.refresh()
    entry = lake.find_folded(name)
    return entry, entry is not None and identity.is_that_of(entry)


def _find_twin(lake: Lake, name: str) -> Entry | None:
    """Return another entry that holds the same bytes, where there is one."""
    digest = lake[name].source.get("hash")
    twins = lake.find_hash(digest) if digest else []
    return next((twin for twin in twins if twin.name != name), None)


def _write(
    lake: Lake, name: str, source: Source, options: IngestOptions, progress: Progress | None
) -> Ingested:
    from stemzarr.store import write_store

    written = write_store(source, lake.store_path(name), options, progress)
    result = _result(lake.update(name), written.status, source.size, 0.0)
    return dataclasses.replace(result, stored_bytes=written.stored_bytes, notes=written.notes)


def _result(entry: Entry, status: str, source_bytes: int, started: float) -> Ingested:
    return Ingested(
        name=entry.name,
        store=entry.path,
        kind=entry.kind,
        shape=entry.shape,
        dtype=entry.dtype,
        source_bytes=source_bytes,
        stored_bytes=entry.stored_bytes,
        seconds=time.perf_counter() - started,
        status=status,
    )
