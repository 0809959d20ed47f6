"""Which entries were made from the very file that is given: by where it is, else by its bytes."""

from __future__ import annotations

import datetime as dt
import functools
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr.errors import StemzarrError, StoreExistsError
from stemzarr.model import Progress
from stemzarr.registry import find_leads
from stemzarr.storage.fingerprints import combine_digests, digest_files
from stemzarr.store import is_source_of, recorded_digest
from stemzarr_catalog import search
from stemzarr_catalog.known import NO_HEADER, TICK_NS, Given, KnownFile, hidden_path, key_of
from stemzarr_catalog.names import split_path

if TYPE_CHECKING:
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.lake import Lake

__all__ = ["Believe", "Match", "find_known", "find_unread", "looks_like", "recognise", "remember"]

Believe = Callable[[str, str], bool]
"""Is asked whether what was below the first folder is below the second now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The entries of one file."""

    entries: tuple[Entry, ...]
    """Several where it was ingested under several names, or several of its data sets were."""
    note: str = ""
    """How it was recognised, where that is worth a word; ``{}`` stands for the entry's name."""
    is_new: bool = True
    """Whether it has to be remembered."""


def find_known(lake: Lake, given: Given) -> Match | None:
    """Return the entries of a file that is where it was, of the same size, time and header."""
    path = str(given.path)
    entries = _entries_at(lake, path, given)
    if not entries:
        return None
    source = entries[0].source
    is_origin = source.get("path") == path or (
        source.get("redacted") and source.get("name") == given.path.name
    )
    note = "" if is_origin else _same_file(given.path)
    return Match(entries=entries, note=note, is_new=False)


def find_unread(lake: Lake, paths: Iterable[Path]) -> dict[Path, Match]:
    """Return the entries of single files that are where they were, of the same size and time.

    None is opened. One has to be looked into where further files of its acquisition came later, or
    where it was written within a tick of the clock before its ingest ended: it may have been
    written again in that tick.
    """
    leads_in = functools.cache(find_leads)
    states = {path: state for path in paths if (state := _state_of(path)) is not None}
    entries: dict[str, list[Entry]] = defaultdict(list)
    for entry in lake.find(search.rows_from, [str(path) for path in states]):
        entries[entry.source["path"]].append(entry)
    return {
        path: Match(entries=tuple(found), is_new=False)
        for path, state in states.items()
        if (found := entries[str(path)])
        and all(_is_settled(entry.source, [state]) for entry in found)
        and path not in leads_in(path.parent)
    }


def _state_of(path: Path) -> tuple[int, int] | None:
    """Return size and time of a single file; None of what is none, or cannot be looked at."""
    try:
        str(path).encode()  # a path that is not text is refused by whoever opens it
        status = path.stat()
    except (OSError, ValueError):
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _is_settled(record: dict[str, Any], state: list[tuple[int, int]]) -> bool:
    """Return whether a store was made of one file of this size and time, a while after that."""
    files = [(file["size"], file["modified_ns"]) for file in record.get("files") or ()]
    finished = (record.get("ingest") or {}).get("finished")
    if files != state or finished is None:
        return False
    return dt.datetime.fromisoformat(finished).timestamp() * 1e9 > state[0][1] + TICK_NS


def _same_file(path: Path) -> str:
    return f"{path.name} is the same file as {{}}"


def _entries_at(lake: Lake, path: str, given: Given, *, exact: bool = True) -> tuple[Entry, ...]:
    found = [e for e in _from_path(lake, path) if given.is_that_of(e.source, exact=exact)]
    for known in lake.known.find(path):
        if given.is_in_state(known.state, known.header, exact=exact):
            found += _entries_of(lake, known)
    return tuple({entry.name: entry for entry in found}.values())


def _from_path(lake: Lake, path: str) -> list[Entry]:
    """Return the entries whose source was at a path when it was ingested."""
    return lake.find(search.rows_with, {"origin": path})


def _entries_of(lake: Lake, known: KnownFile) -> list[Entry]:
    found = lake.find_hash(known.hash) if known.hash else _from_path(lake, known.origin or "")
    return [entry for entry in found if key_of(entry) == known.key]


def recognise(
    lake: Lake,
    given: Given,
    *,
    believe: Believe | None = None,
    within: Callable[[Entry], bool] = lambda _: True,
    progress: Progress | None = None,
) -> Match | None:
    """Return the entries that were made from the very file that is given, if there are any.

    Parameters
    ----------
    lake
        Where they are.
    given
        The file; it is read as a whole only where samples of it agree with those of an entry.
    believe
        Is asked whether folders were moved, where a file looks like one that was elsewhere; when
        it denies that, every byte is compared.
    within
        Which entries are looked at.
    progress
        Progress callback of a comparison.

    Raises
    ------
    StoreExistsError
        It looks like a file that was elsewhere, and nobody can be asked.
    ReadError, SourceChangedError
        It cannot be read.
    """
    match = find_known(lake, given) or _find_moved(lake, given)
    if match is None:
        alike = [entry for entry in _find_alike(lake, given) if within(entry)]
        match = (
            _same_place(given, alike)
            or _ask_moved(lake, given, alike, believe)
            or _same_bytes(lake, given, alike, progress)
        )
    if match is None:
        return None
    entries = tuple(entry for entry in match.entries if within(entry))
    return Match(entries=entries, note=match.note, is_new=match.is_new) if entries else None


def looks_like(lake: Lake, given: Given) -> list[Entry]:
    """Return the entries whose source has the same size, header and samples, all of them known."""
    return [entry for entry in _find_alike(lake, given) if entry.source.get("sample_hash")]


def _find_alike(lake: Lake, given: Given) -> list[Entry]:
    """Return the entries whose source may have the same bytes, as far as samples tell."""
    headers = (given.header, NO_HEADER)
    size = given.source.size
    if not lake.find(search.rows_of_size, size, headers):
        return []
    return lake.find(search.rows_of_size, size, headers, given.sample)


def _find_moved(lake: Lake, given: Given) -> Match | None:
    """Return the entries of a file whose folder is known to have been elsewhere."""
    for path in lake.known.earlier_paths(str(given.path)):
        entries = tuple(
            entry
            for entry in _entries_at(lake, path, given, exact=False)
            if entry.source.get("sample_hash") in (None, given.sample)
        )
        if entries:
            note = f"{given.path.name} is taken for {{}}, whose file was moved here from {path}"
            return Match(entries=entries, note=note)
    return None


def _same_place(given: Given, alike: Iterable[Entry]) -> Match | None:
    """Return the entries whose path leads to the same file by another way, such as a link."""
    entries = []
    for entry in alike:
        try:
            is_same = given.path.samefile(entry.source.get("path") or "")
        except (OSError, ValueError):
            continue
        if is_same and given.is_that_of(entry.source):
            entries.append(entry)
    return Match(entries=tuple(entries), note=_same_file(given.path)) if entries else None


def _places(lake: Lake, given: Given, alike: Iterable[Entry]) -> Iterator[tuple[str, Entry]]:
    """Give the paths at which files of the same name, size, time and samples were."""
    name = given.path.name
    listed = list(alike)
    for entry in listed:
        path = entry.source.get("path")
        if path and given.is_that_of(entry.source, exact=False):
            yield path, entry
    names = {entry.name for entry in listed}
    for known in lake.known.alike(given.sample):
        if split_path(known.path)[-1] == name and given.is_in_state(
            known.state, known.header, exact=False
        ):
            yield from ((known.path, e) for e in _entries_of(lake, known) if e.name in names)


def _ask_moved(
    lake: Lake, given: Given, alike: list[Entry], believe: Believe | None
) -> Match | None:
    """Ask whether a folder was moved, where a file looks like one that is not there any more."""
    here = split_path(str(given.path))
    known = [
        (path, entry)
        for path, entry in _places(lake, given, alike)
        if split_path(path)[-1] == here[-1]
        and entry.source.get("sample_hash") == given.sample
        and not _is_another(path, given.path)
    ]
    if not known:
        return None
    path, entry = max(known, key=lambda item: _common(split_path(item[0]), here))
    common = _common(split_path(path), here)
    old, new = _without(path, common), _without(str(given.path), common)
    if believe is None:
        msg = (
            f"looks like {path}, which is in the lake as {entry.name!r}: it has the same name,"
            " size, time and samples"
        )
        hint = f"--moved '{old}={new}' if it was moved; --moved none compares every byte"
        raise StoreExistsError(msg, path=given.path, hint=hint)
    if not believe(old, new):
        return None
    lake.known.add_move(old, new)
    return _find_moved(lake, given)


def _is_another(path: str, given: Path) -> bool:
    """Return whether another file is at a path: then the one that is given was not moved."""
    try:
        there, here = Path(path).stat(), given.stat()
    except (OSError, ValueError):
        return False
    # One file under two mounts has one number on two devices.
    return there.st_ino != here.st_ino or there.st_dev == here.st_dev


def _common(one: list[str], other: list[str]) -> int:
    """Return how many of their last parts two paths have in common, less than all of either."""
    number = 0
    for a, b in zip(reversed(one[1:]), reversed(other[1:]), strict=False):
        if a != b:
            break
        number += 1
    return number


def _without(path: str, number: int) -> str:
    """Return a path without its last parts."""
    parts = split_path(path)
    separator = "\\" if "\\" in path and not path.startswith("/") else "/"
    return separator.join(parts[: len(parts) - number]) or separator


def _same_bytes(
    lake: Lake, given: Given, alike: Iterable[Entry], progress: Progress | None
) -> Match | None:
    """Return the entries whose sources have the same bytes, all of which are read."""
    entries = tuple(e for e in alike if _has_same_bytes(lake, given, e, progress))
    if not entries:
        return None
    is_origin = entries[0].source.get("path") == str(given.path)
    return Match(entries=entries, note="" if is_origin else _same_file(given.path))


def _has_same_bytes(lake: Lake, given: Given, entry: Entry, progress: Progress | None) -> bool:
    record = entry.source
    digest = recorded_digest(record)
    if digest is None and record.get("hash") and record.get("rebuildable"):
        return is_source_of(given.path, entry.path, progress=progress)
    if digest is None:
        digest = _digest_of_origin(lake, record)
    return digest is not None and digest == given.content


def _digest_of_origin(lake: Lake, record: dict[str, Any]) -> str | None:
    """Return the digest of a file that is still where an entry found it; None where it is not."""
    path = Path(record.get("path") or "")
    state = [(file["size"], file["modified_ns"]) for file in record.get("files") or ()]
    for known in lake.known.find(str(path)):
        if known.content is not None and list(known.state) == state:
            return known.content
    files = [path.parent / file["name"] for file in record.get("files") or ()] or [path]
    expected = state or [(record.get("size"), record.get("modified_ns"))]
    try:
        now = [(status.st_size, status.st_mtime_ns) for status in map(Path.stat, files)]
        if now != expected or any(file.is_dir() for file in files):
            return None
        return combine_digests(digest_files(files))
    except (OSError, StemzarrError):
        return None


def remember(lake: Lake, given: Given, entry: Entry, *, content: str | None = None) -> None:
    """Note in the lake that a file holds the bytes of the source of an entry.

    Raises
    ------
    WriteError
        The lake cannot be written.
    """
    path = str(given.path)
    lake.known.add(
        KnownFile(
            path=hidden_path(path) if entry.source.get("redacted") else path,
            state=given.state,
            header=given.header,
            sample=given.sample,
            content=content or given.__dict__.get("content"),
            key=key_of(entry),
            hash=entry.source.get("hash"),
            origin=entry.source.get("path"),
        )
    )
