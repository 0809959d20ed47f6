"""Checks a store: every file against the manifest, every chunk against its checksum and digest."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import xxhash

from stemzarr.errors import (
    CorruptFileError,
    DamagedStoreError,
    SchemaVersionError,
    SourceChangedError,
    StemzarrError,
)
from stemzarr.model import Blocks, Document, Progress, Source
from stemzarr.options import available_threads
from stemzarr.pixels.segments import differing_offsets
from stemzarr.pixels.threads import map_in_threads
from stemzarr.registry import read_source
from stemzarr.storage.fingerprints import combine_digests, digest_files, digest_of
from stemzarr.storage.local import LocalFolder, open_root
from stemzarr.storage.reasons import reason_of
from stemzarr.store.blocks import StoreBlocks
from stemzarr.store.format.form import SourceRecord
from stemzarr.store.format.manifest import (
    Manifest,
    digest_node,
    files_of,
    read_manifest,
    stray_files,
    walk_files,
)
from stemzarr.store.format.plan import ArrayPlan
from stemzarr.store.format.schema import Nodes
from stemzarr.store.format.tree import read_nodes
from stemzarr.store.ingest.origin import recorded_digest
from stemzarr.store.ingest.run import ProgressCounter
from stemzarr.store.ingest.task import Workspace, digest_values, hash_values
from stemzarr.store.open import source_of_nodes
from stemzarr.store.results import find_added, same_listing, same_node
from stemzarr.store.upkeep.digest import digest_shard, plan_of
from stemzarr.store.upkeep.findings import DamagedChunk, Findings, describe_damage, read_twice
from stemzarr.store.upkeep.mirror import Mirror, mirrored
from stemzarr.store.upkeep.restore import find_differences
from stemzarr.store.virtual import SourceBlocks, read_options

__all__ = ["VerifyReport", "verify_store"]

_Job: TypeAlias = "tuple[Document, ArrayPlan, Blocks | None, int]"
"""A shard: the document, how its array is cut, the same pixels in the original, its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a verification found."""

    path: Path
    """The store."""
    problems: tuple[str, ...]
    """What is wrong, one sentence each; empty where all is well."""
    added: tuple[str, ...]
    """Results below ``analysis`` that people added: paths of arrays, and of files that belong to
    none. They are theirs, and not checked."""
    notes: tuple[str, ...]
    """What was wrong at the first reading and not at the second, one sentence each."""
    files: int
    """Files that were compared with the manifest."""
    chunks: int
    """Chunks that were decoded and digested."""
    nbytes: int
    """Bytes of values in them."""
    original: str | None
    """The source that the values were compared with; None where none was."""
    rebuildable: bool
    """Whether the source can be given back byte for byte."""
    whole: bool
    """Whether every byte of the original was compared, not its values alone."""
    seconds: float
    """Time that it took."""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.problems

    def json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        lists = {name: list(fields[name]) for name in ("problems", "added", "notes")}
        return {"ok": self.ok, **fields, "path": str(self.path), **lists}


def verify_store(
    path: Path,
    *,
    source: Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check every file and chunk of a store, and compare it with its original if that is given.

    What fails is read a second time, so that one failed read is a note and no damage.

    Parameters
    ----------
    path
        The store.
    source
        The original file.
    threads
        How many threads decode; all processors by default.
    progress
        Receives how many bytes of values are checked.

    Raises
    ------
    SourceNotFoundError, ReadError
        There is no store, or the original cannot be read; damage is reported, not raised.
    """
    while True:
        with _near(path) as (folder, mirror):
            before = _metadata_now(folder)
            report = _verify(folder, mirror, source=source, threads=threads, progress=progress)
        report = dataclasses.replace(report, path=path)
        # What was revised meanwhile does not fit what was read before.
        if report.ok or _metadata_now(path) == before:
            return report


@contextlib.contextmanager
def _near(path: Path) -> Iterator[tuple[Path, Mirror | None]]:
    """Give the folder of a store: itself, or a mirror of what is far or in one file."""
    place = open_root(path)
    if isinstance(place, LocalFolder):
        yield path, None
        return
    with mirrored(place) as mirror:
        yield mirror.path, mirror


def _metadata_now(path: Path) -> bytes:
    """Return the root's metadata, once a revision that is under way is in place."""
    with contextlib.suppress(StemzarrError, OSError):
        store = open_root(path)
        store.settle()
        return store.get("zarr.json")
    return b""


def _verify(
    path: Path,
    mirror: Mirror | None,
    *,
    source: Path | None,
    threads: int | None,
    progress: Progress | None,
) -> VerifyReport:
    started = time.perf_counter()
    found = Findings()
    opened = read_twice(found, functools.partial(_open, path))
    if opened is None:
        return _report(path, found, None, started, rebuildable=False, whole=False)
    nodes, store, manifest = opened
    record = nodes["source"]["attributes"]
    if manifest is not None:
        _check_files(path, nodes, manifest, found, mirror)
    original = None if source is None else read_source(source, read_options(record))
    arrays = list(_arrays(store, original, found))
    check = functools.partial(_check_shard, path, mirror, manifest)
    factor = 1 if original is None else 2
    total = factor * sum(plan.nbytes for _, plan, _ in arrays)
    counter = ProgressCounter(total=total, progress=progress)
    digests = _digest_arrays(arrays, threads or available_threads(), found, counter, check)
    read_twice(found, functools.partial(_check_hash, store, record, digests))
    if original is not None:
        read_twice(found, functools.partial(_compare_rest, store, record, original))
    if record["virtual"]:
        read_twice(found, functools.partial(_check_virtual, store))
    named = None if original is None else str(original.path)
    whole = named is not None and (record["rebuildable"] or recorded_digest(record) is not None)
    return _report(path, found, named, started, rebuildable=record["rebuildable"], whole=whole)


def _open(path: Path, found: Findings) -> tuple[Nodes, Source, Manifest | None] | None:
    """Return the metadata, what they say, and the manifest; None where they cannot be used."""
    try:
        nodes = read_nodes(path)
        store = _source(path, nodes)
    except (CorruptFileError, DamagedStoreError) as error:
        found.problem(f"zarr.json: {error.message}")
        return None
    _check_metadata(path, nodes, found)
    return nodes, store, _manifest(path, nodes, found)


def _source(path: Path, nodes: Nodes) -> Source:
    """Return what the metadata say; an unknown codec is damage in a store of this version."""
    try:
        return source_of_nodes(path, nodes)
    except SchemaVersionError as error:
        raise CorruptFileError(error.message, path=path, hint=error.hint) from error


def _report(
    path: Path,
    found: Findings,
    original: str | None,
    started: float,
    *,
    rebuildable: bool,
    whole: bool,
) -> VerifyReport:
    return VerifyReport(
        path=path,
        problems=tuple(sorted(found.problems)),
        added=find_added(path),
        notes=tuple(sorted(found.notes)),
        files=found.files,
        chunks=found.chunks,
        nbytes=found.nbytes,
        original=original,
        rebuildable=rebuildable,
        whole=whole,
        seconds=time.perf_counter() - started,
    )


def _check_metadata(path: Path, nodes: Nodes, found: Findings) -> None:
    """Compare the root's metadata with the nodes that they repeat, but for the words."""
    below: Nodes = {"": nodes[""]}
    store = open_root(path)
    for key in walk_files(store):
        name, _, file = key.rpartition("/")
        if not name or file != "zarr.json":
            continue
        try:
            below[name] = json.loads(store.get(key))
        except (OSError, ValueError) as error:
            found.problem(f"{name}/zarr.json: cannot be read: {error}")
            return
    if not same_listing(store.get("zarr.json"), below):
        found.problem("zarr.json: does not repeat the metadata of the groups and arrays below it")


def _manifest(path: Path, nodes: Nodes, found: Findings) -> Manifest | None:
    try:
        manifest = read_manifest(path, nodes)
    except DamagedStoreError as error:
        found.problem(f"source/manifest: {error.message}")
        return None
    written = manifest.nodes.get("", nodes[""])
    if digest_node(written if same_node(written, nodes[""]) else nodes[""]) != manifest.root:
        found.problem("zarr.json: its attributes are not those that the manifest knows")
    if manifest.nodes:
        for difference in find_differences(path, manifest.nodes):
            found.problem(f"metadata: {difference}")
    return manifest


def _check_files(
    path: Path, nodes: Nodes, manifest: Manifest, found: Findings, mirror: Mirror | None
) -> None:
    later = frozenset[str]() if mirror is None else mirror.shards
    there = set(files_of(path)) | later
    for name in sorted(set(manifest.files) - there):
        found.problem(f"{name}: is missing")
    for name in sorted((there | stray_files(open_root(path), nodes)) - set(manifest.files)):
        found.problem(f"{name}: does not belong to the store")
    if mirror is not None and not mirror.listed:
        found.notes.append("whether other files are in it is not known: the server lists none")
    for name in sorted((there & set(manifest.files)) - later):
        read_twice(found, functools.partial(_check_file, path, name, *manifest.files[name]))


@contextlib.contextmanager
def _check_shard(
    path: Path,
    mirror: Mirror | None,
    manifest: Manifest | None,
    job: _Job,
    found: Findings,
) -> Iterator[None]:
    """Have a shard at hand inside the block; one that was fetched for it is checked as a file."""
    document, plan, _, number = job
    key = plan.shard_path(number)
    listed = {} if manifest is None else manifest.files
    with contextlib.nullcontext() if mirror is None else mirror.fetched(key):
        if mirror is not None and key in mirror.shards and key in listed:
            _check_file(path, key, *listed[key], found)
        yield
        if manifest is not None:
            _check_lengths(manifest, document.blocks, plan, number, found)


def _check_lengths(
    manifest: Manifest, blocks: Blocks, plan: ArrayPlan, number: int, found: Findings
) -> None:
    """Compare what the manifest says of the chunks of a shard with the shard's own index."""
    key = plan.shard_path(number)
    if key not in manifest.chunks or not isinstance(blocks, StoreBlocks):
        return
    # An index that cannot be read is reported with the chunks.
    with contextlib.suppress(OSError, SourceChangedError):
        if blocks.chunk_lengths(plan.shard_box(number)[0]) != manifest.chunks[key]:
            found.problem(f"source/manifest: its lengths of the chunks of {key} are wrong")


def _check_file(path: Path, name: str, size: int, digest: str, found: Findings) -> None:
    """Compare one file with what the manifest knows of it."""
    found.files += 1
    try:
        now_size, now = digest_of(LocalFolder(path), name)
    except FileNotFoundError:
        found.problem(f"{name}: is missing")
        return
    except OSError as error:
        found.problem(f"{name}: {reason_of(error)}")
        return
    if now_size != size:
        found.problem(f"{name}: has {now_size} bytes instead of {size}")
    elif now != digest:
        found.problem(f"{name}: its bytes changed")


def _arrays(
    store: Source, original: Source | None, found: Findings
) -> Iterator[tuple[Document, ArrayPlan, Blocks | None]]:
    """Yield every document with the cut of its array, and the same pixels in the original."""
    for document in store.documents:
        if not isinstance(document.blocks, StoreBlocks):
            continue
        other = None
        if original is not None:
            known = {each.index: each for each in original.documents}
            match = known.get(document.index)
            if match is None or (match.shape, match.dtype) != (document.shape, document.dtype):
                found.problem(f"{document.slug}: is not in {original.path.name} in this form")
            else:
                other = match.blocks
        yield document, plan_of(document, document.blocks, other), other


def _digest_arrays(
    arrays: list[tuple[Document, ArrayPlan, Blocks | None]],
    threads: int,
    found: Findings,
    counter: ProgressCounter,
    check: Callable[[_Job, Findings], AbstractContextManager[None]],
) -> list[bytes | None]:
    """Return the digests of all chunks in canonical order, a shard each; None where damaged."""
    first, second = Workspace(report=counter.add), Workspace()

    def work(job: _Job) -> bytes | None:
        # The second reading of a shard is no further progress.
        spaces = iter((first, second))

        def digest(each: Findings) -> bytes | None:
            with check(job, each):
                return _digest_shard(*job, next(spaces), each)

        return read_twice(found, digest)

    jobs = [(*array, number) for array in arrays for number in range(array[1].shards)]
    return list(map_in_threads(work, jobs, threads=threads, ahead=math.inf))


def _digest_shard(
    document: Document,
    plan: ArrayPlan,
    other: Blocks | None,
    number: int,
    workspace: Workspace,
    found: Findings,
) -> bytes | None:
    digests: list[bytes] = []
    damaged: list[DamagedChunk] = []
    for box in plan.chunks_of(plan.shard_box(number)):
        start, shape = box
        values = workspace.buffer.array(shape, document.dtype)
        try:
            document.blocks.read_into(values, start)
        except StemzarrError as error:
            damaged.append(DamagedChunk(plan.chunk_number(start), box, error.message))
            continue
        digests.append(digest_values(values))
        found.count(1, values.nbytes)
        workspace.advance(values.nbytes)
    for said in describe_damage(plan, number, damaged):
        found.problem(f"{document.slug}: {said}")
    if other is not None and not damaged:
        others = digest_shard(other, plan, number, workspace)
        for mine, (box, theirs) in zip(digests, others, strict=True):
            if mine != theirs:
                ranges = ", ".join(f"{a}:{a + n}" for a, n in zip(*box, strict=True))
                found.problem(f"{document.slug}: values [{ranges}] differ from the original")
    return None if damaged else b"".join(digests)


def _check_hash(
    store: Source, record: SourceRecord, digests: list[bytes | None], found: Findings
) -> None:
    """Compare all values with the digest that was taken when they were read from the source."""
    if "hash" not in record or None in digests:
        return
    known = filter(None, digests)
    if hash_values(bytes.fromhex(record["header_hash"]), known) != record["hash"]:
        found.problem("intensity: the values are not those that were read from the source")
    if record["rebuildable"] and not record["redacted"]:
        try:
            header = xxhash.xxh3_128_hexdigest(store.load_header())
        except DamagedStoreError as error:
            found.problem(f"source/header: {error.message}")
            return
        if header != record["header_hash"]:
            found.problem("source/header: is not what was read from the source")


def _compare_rest(store: Source, record: SourceRecord, original: Source, found: Findings) -> None:
    """Compare what is not a plain pixel: size, header, and pixels in another form on disk."""
    name = original.path.name
    if original.size != record["size"]:
        found.problem(f"{name}: has {original.size} bytes instead of {record['size']}")
        return
    if xxhash.xxh3_128_hexdigest(original.load_header()) != record["header_hash"]:
        found.problem(f"{name}: differs from the store outside its pixels")
    for offset, segment in differing_offsets(store, original.path):
        slug = store.find(segment.document).slug
        found.problem(f"{slug}: its bytes at {offset} in {name} differ")
    known = recorded_digest(record)
    if known is not None and combine_digests(digest_files(original.files)) != known:
        found.problem(f"{name}: its bytes are not those that were ingested")


def _check_virtual(store: Source, found: Findings) -> None:
    blocks = store.document.blocks
    if isinstance(blocks, SourceBlocks):
        try:
            blocks.check()
        except StemzarrError as error:
            found.problem(f"{error.path}: {error.message}")
