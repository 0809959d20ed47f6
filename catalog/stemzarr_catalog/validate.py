"""Whether a lake is what it should be: its stores' attributes, notes, names, index and YAML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemzarr.errors import StemzarrError
from stemzarr.storage.foreign import is_foreign
from stemzarr_catalog.citation import CITATION, read_citation
from stemzarr_catalog.lake import Lake
from stemzarr_catalog.names import casefold, is_device_name, safe_name
from stemzarr_catalog.notes import read_notes
from stemzarr_catalog.reconcile import list_stores
from stemzarr_catalog.results import FOLDER, find_results, read_result

__all__ = ["Finding", "validate_lake", "validate_store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be."""

    name: str | None
    """Name of the entry; None for the lake as a whole."""
    path: str
    """The file or folder."""
    message: str
    """What was found, and what to do."""

    def json(self) -> dict[str, Any]:
        """Return the finding as ``catalog validate --json`` prints it."""
        return {"name": self.name, "path": self.path, "message": self.message}


def validate_lake(lake: Lake) -> Iterator[Finding]:
    """Give all that is wrong with a lake; pixels are for `verify`, and not read.

    Parameters
    ----------
    lake
        The lake, whose index is brought in line with its folders first.
    """
    lake.refresh(thorough=True)
    problems = lake.problems
    for name in list_stores(lake.path):
        path = lake.store_path(name)
        if name in problems:
            yield Finding(name=name, path=str(path), message=problems[name])
        if name in lake:
            yield from validate_store(path, name)
    yield from _stray_folders(lake)
    yield from _stray_notes(lake)
    yield from _stray_results(lake)
    yield from _twins(lake)
    yield from _yaml(lake)
    yield from _citation(lake)


def validate_store(store: Path, name: str | None = None) -> Iterator[Finding]:
    """Give every attribute of a store that is not as the schema of stores has it.

    Parameters
    ----------
    store
        The store.
    name
        Name of its entry.
    """
    from stemzarr.store.format.nodes import misfits_of
    from stemzarr.store.format.tree import read_nodes

    try:
        nodes = read_nodes(store)
    except StemzarrError as error:
        yield Finding(name=name, path=str(store), message=str(error))
        return
    for path, node in sorted(nodes.items()):
        for wrong in misfits_of(path, node):
            file = str(store / path / "zarr.json")
            yield Finding(name=name, path=file, message=f"{path or 'root'}: {wrong}")


def _stray_folders(lake: Lake) -> Iterator[Finding]:
    """Give what is among the stores and is not a store."""
    known = set(list_stores(lake.path))
    for path in sorted(lake.stores.iterdir()):
        name = path.name.removesuffix(".zarr")
        hidden = path.name.startswith(".") or is_foreign(path.name)
        if hidden or (path.suffix == ".zarr" and name in known):
            continue
        if path.is_symlink():
            message = "is a link, which a lake does not follow; move the store itself here"
        elif path.suffix == ".zarr" and name != safe_name(name):
            message = f"cannot be an entry's name; rename it to {safe_name(name)}.zarr"
        elif path.suffix == ".zarr" and is_device_name(name):
            message = "is the name of a device on Windows; rename it"
        else:
            message = "is not a store; move it elsewhere"
        yield Finding(name=None, path=str(path), message=message)


def _stray_notes(lake: Lake) -> Iterator[Finding]:
    folder = lake.path / "notes"
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        name = path.name.removesuffix(".json")
        if name in lake or is_foreign(path.name):
            continue
        try:
            read_notes(path)
            message = "are notes of an entry that does not exist; remove or rename them"
        except StemzarrError as error:
            message = str(error)
        yield Finding(name=name, path=str(path), message=message)


def _stray_results(lake: Lake) -> Iterator[Finding]:
    """Give what is among the results and belongs to no entry."""
    folder = lake.path / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or is_foreign(path.name):
            continue
        if path.name not in lake:
            message = "are results of an entry that is not there; ingest its source, or remove them"
            yield Finding(name=None, path=str(path), message=message)
            continue
        own = lake[path.name].source.get("hash")
        for group in find_results(lake.path, path.name):
            try:
                wrong = read_result(group).source_hash != own
                message = "was computed from another source than that of the entry"
            except StemzarrError as error:
                wrong, message = True, str(error)
            if wrong:
                yield Finding(name=path.name, path=str(group), message=message)


def _twins(lake: Lake) -> Iterator[Finding]:
    """Give names that are one on a file system without case."""
    names: dict[str, str] = {}
    for name in lake:
        other = names.setdefault(casefold(name), name)
        if other != name:
            message = (
                f"cannot be distinguished from {other} on a file system without case; rename it"
            )
            yield Finding(name=name, path=str(lake.store_path(name)), message=message)


def _citation(lake: Lake) -> Iterator[Finding]:
    """Give a ``lake.toml`` from which nobody could cite the data."""
    try:
        read_citation(lake.path)
    except StemzarrError as error:
        yield Finding(name=None, path=str(lake.path / CITATION), message=str(error))


def _yaml(lake: Lake) -> Iterator[Finding]:
    import yaml

    from stemzarr_catalog.intake_yaml import LARGEST

    try:
        content = yaml.safe_load(lake.yaml.read_text(encoding="utf-8"))
        listed = set(content["sources"]) - {"lake"}
    except (
        OSError,
        UnicodeDecodeError,
        yaml.YAMLError,
        TypeError,
        KeyError,
        AttributeError,
    ) as error:
        message = f"cannot be read: {error}; run stemzarr catalog rebuild"
        yield Finding(name=None, path=str(lake.yaml), message=message)
        return
    names = set(lake)
    expected = names if len(names) <= LARGEST else set()
    if listed != expected:
        count = len(listed ^ expected)
        entries = "1 entry" if count == 1 else f"{count:,} entries"
        message = f"differs from the stores in {entries}; run stemzarr catalog rebuild"
        yield Finding(name=None, path=str(lake.yaml), message=message)
