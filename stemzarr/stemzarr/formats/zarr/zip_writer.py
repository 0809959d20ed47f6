"""A store as one file."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path

import xxhash

from stemzarr.errors import DamagedStoreError, OptionError, ReadError
from stemzarr.formats.zarr.writer import write_zarr
from stemzarr.registry import Exported, ExportRequest
from stemzarr.storage.files import temporary_path
from stemzarr.storage.local import LocalFolder, open_root
from stemzarr.storage.objects import Readable
from stemzarr.storage.zipped import SUFFIX
from stemzarr.store import read_record
from stemzarr.store.format.manifest import read_manifest
from stemzarr.store.format.schema import Nodes, consolidated
from stemzarr.store.format.tree import MANIFEST, RESULTS
from stemzarr.store.open import read_checked

__all__ = ["write_zip"]

_ROOT = "zarr.json"
_ZIP64_BYTES = 2**31 - 2**20
_THEN = (1980, 1, 1, 0, 0, 0)
"""Time of every member: the same store is the same file."""


def write_zip(request: ExportRequest) -> Exported:
    """Write a store as a zip whose members are stored as they are.

    A store that is exported whole is copied as it is, with all its documents, each file compared
    with its digest in the manifest. Of anything else a store is made first, as for ``.zarr``.

    Raises
    ------
    OptionError
        The name of the file would not say that it is a store.
    DamagedStoreError
        A file of the store is missing or not as it was written.
    """
    if request.name and not request.name.lower().endswith(SUFFIX):
        hint = f"name it {Path(request.name).stem.removesuffix('.zarr')}{SUFFIX}"
        raise OptionError("would not be recognised as a store", path=request.name, hint=hint)
    first = request.documents[0]
    shape, dtype = first.shape, first.dtype.name
    if _is_whole(request):
        notes = _pack(open_root(request.source.path), request.dest)
        return Exported(shape=shape, dtype=dtype, notes=notes)
    folder = temporary_path(request.dest)
    try:
        made = write_zarr(dataclasses.replace(request, dest=folder))
        _pack(LocalFolder(folder), request.dest)
    finally:
        LocalFolder(folder).delete("")
    return made


def _is_whole(request: ExportRequest) -> bool:
    """Return whether a store is exported, and all of its main document."""
    recipe = request.provenance
    if request.source.format != "stemzarr" or recipe["view"] or recipe["image"]:
        return False
    is_main = request.documents[0].index == request.source.main
    return is_main and not read_record(request.source.path)["virtual"]


def _pack(place: Readable, dest: Path) -> tuple[str, ...]:
    """Write the files of a store, those that are read first at the front, and note the rest."""
    nodes = read_checked(place)
    files = read_manifest(place, nodes).files
    own = [key for key in _own(nodes) if key not in files]
    keys = sorted([*files, *own], key=lambda key: (*_rank(key, nodes), key))
    with zipfile.ZipFile(dest, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_ROOT, _THEN), consolidated(nodes))
        for key in keys:
            _add(archive, place, key, files)
    return _left_out(place)


def _own(nodes: Nodes) -> list[str]:
    """Return the keys of the manifest's files, which it does not list."""
    node = nodes[MANIFEST]
    pieces = -(-node["shape"][0] // node["chunk_grid"]["configuration"]["chunk_shape"][0])
    return [f"{MANIFEST}/{_ROOT}", *(f"{MANIFEST}/c/{number}" for number in range(pieces))]


def _rank(key: str, nodes: Nodes) -> tuple[int, int]:
    """Return metadata before values, and shards last."""
    array = key.partition("/c/")[0]
    codecs = nodes.get(array, {}).get("codecs") or [{}]
    is_shard = codecs[0].get("name") == "sharding_indexed" and "/c/" in key
    return (2 if is_shard else 0 if key.startswith(MANIFEST) else 1), not key.endswith(_ROOT)


def _add(
    archive: zipfile.ZipFile, place: Readable, key: str, files: Mapping[str, tuple[int, str]]
) -> None:
    info = zipfile.ZipInfo(key, _THEN)
    state, size = xxhash.xxh3_128(), 0
    large = files.get(key, (0, ""))[0] > _ZIP64_BYTES
    try:
        with archive.open(info, "w", force_zip64=large) as member:
            for piece in place.stream(key):
                state.update(piece)
                size += len(piece)
                member.write(piece)
    except FileNotFoundError:
        raise DamagedStoreError("is missing", path=place.root / key) from None
    if key in files and files[key] != (size, state.hexdigest()):
        hint = "stemzarr verify says what else is damaged"
        msg = "is not as it was written"
        raise DamagedStoreError(msg, path=place.root / key, hint=hint)


def _left_out(place: Readable) -> tuple[str, ...]:
    try:
        added = sorted(place.list(RESULTS))
    except ReadError:
        return ("whether people added results is not known: the server lists none",)
    if not added:
        return ()
    return (f"left out what people added below {RESULTS}: {len(added)} files",)
