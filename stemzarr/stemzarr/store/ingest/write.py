"""Writes a store: plan, shards, previews, labels, manifest, and then the rename that shows it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import xxhash

import stemzarr
from stemzarr.errors import (
    OptionError,
    SourceChangedError,
    StemzarrError,
    TruncatedFileError,
)
from stemzarr.measure.accumulate import PARTIAL_FORM
from stemzarr.measure.disk_mask import disk_mask
from stemzarr.measure.glance import Glance, take_glance
from stemzarr.measure.measures import MEASURES
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.dates import utc_now
from stemzarr.metadata.privacy import Redactor, user_names
from stemzarr.metadata.redact import redact_facts, redact_source, redactor_of
from stemzarr.model import Blocks, Document, Progress, RotatedBlocks, Source
from stemzarr.options import IngestOptions
from stemzarr.pixels.foresight import fetch_small
from stemzarr.storage.address import RemotePath
from stemzarr.storage.files import follow_link
from stemzarr.storage.fingerprints import digest_of
from stemzarr.storage.reasons import reading, writing
from stemzarr.store.facts import apply_facts
from stemzarr.store.format.encode import ChunkCodec, find_codec
from stemzarr.store.format.form import OptionsRecord, SourceRecord
from stemzarr.store.format.manifest import files_of, write_manifest
from stemzarr.store.format.plan import ArrayPlan, StorePlan, plan_store
from stemzarr.store.format.records import (
    document_record,
    layout_record,
    segment_record,
)
from stemzarr.store.format.schema import (
    SCHEMA_VERSION,
    consolidated,
    group_node,
    pixel_node,
    to_json,
)
from stemzarr.store.format.tree import Tree, write_labels
from stemzarr.store.ingest.journal import (
    Far,
    Journal,
    ShardRecord,
    open_journal,
    store_lock,
    unfinished_folder,
)
from stemzarr.store.ingest.origin import Origin
from stemzarr.store.ingest.preview import ShardPartials, write_preview
from stemzarr.store.ingest.run import ProgressCounter, checking, run_in_threads
from stemzarr.store.ingest.sample import choose_codec
from stemzarr.store.ingest.scan_fast import has_space, transpose
from stemzarr.store.ingest.site import site_of
from stemzarr.store.ingest.task import ShardTask, hash_values

__all__ = ["StoreResult", "write_store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreResult:
    """What an ingest wrote."""

    path: Path
    """The store."""
    status: str
    """``ingested``, or ``resumed`` where an unfinished ingest was continued."""
    kind: str
    """Kind of the main document."""
    shape: tuple[int, ...]
    """Shape of the main document."""
    dtype: str
    """numpy name of its type."""
    source_bytes: int
    """Size of the source."""
    stored_bytes: int
    """Size of all files of the store."""
    seconds: float
    """Time that the ingest took."""
    notes: tuple[str, ...]
    """What a person should know."""


@dataclass(slots=True, kw_only=True)
class _Ingest:
    """One ingest on its way."""

    source: Source
    options: IngestOptions
    plan: StorePlan
    journal: Journal
    header_digest: bytes
    origin: Origin
    tree: Tree
    notes: list[str]
    restarted: str
    redactor: Redactor | None
    glances: dict[int, Glance | None] = field(default_factory=dict)
    codecs: dict[int, ChunkCodec] = field(default_factory=dict)

    def glance(self, document: Document) -> Glance | None:
        """Return what a sample of a scan shows, taken once; None for other documents."""
        if document.index not in self.glances:
            self.glances[document.index] = take_glance(document)
        return self.glances[document.index]

    def codec(self, place: int, blocks: Blocks) -> ChunkCodec:
        """Return the codec of an array, chosen once, by its pixels in the source or transposed."""
        if place not in self.codecs:
            self.codecs[place] = choose_codec(blocks, self.plan.arrays[place], self.plan.codec)
        return self.codecs[place]

    def document(self, array: ArrayPlan) -> Document:
        return self.source.find(array.document)

    def records(self, place: int) -> list[ShardRecord]:
        return [self.journal.records[place, n] for n in range(self.plan.arrays[place].shards)]


def write_store(
    source: Source, dest: Path, options: IngestOptions, progress: Progress | None = None
) -> StoreResult:
    """Write all documents of a source into a new store at `dest`.

    Parameters
    ----------
    source
        What a reader recognised.
    dest
        The store's folder; it appears by a rename when all is written. Or its address, where it
        appears when its root's metadata are put, last.
    options
        Codec, budget, threads and the rest.
    progress
        Receives how many bytes of values are done.

    Raises
    ------
    StoreExistsError
        Something exists at `dest` and ``options.overwrite`` is false, or it holds results that
        people added, which would be deleted.
    StoreBusyError
        Another process writes the same store, or took it over while this one was asleep.
    TruncatedFileError
        The source holds less than it declares, and ``options.read.salvage`` is false.
    SourceChangedError, ReadError, WriteError
        The source changed or cannot be read, or the store cannot be written. What is done
        already is kept where it can be used: the same call continues.

    Notes
    -----
    Beside `dest` are, until the store is complete, the folder ``.NAME.ingest`` with the finished
    shards and their journal, and the lock ``.NAME.lock``. The same call on the same source with
    the same options continues there, also after a crash. Of a store at an address they are in a
    folder of this user, but for the shards, which are sent as they are made.
    """
    started = time.perf_counter()
    _check_whole(source, options)
    site_of(dest, source, options).check()
    dest = dest if isinstance(dest, RemotePath) else follow_link(dest)
    site = site_of(dest, source, options)
    with store_lock(dest) as lock, writing(dest):
        far = site.begin()
        ingest = _begin(source, dest, options, lock.check, far)
        resumed = bool(ingest.journal.records)
        try:
            with ingest.origin.following(checking(lock.check, progress)) as advance:
                _write_pixels(ingest, advance)
            ingest.origin.check()
            lock.check(now=True)
            _complete(ingest)
            stored = site.show(ingest.journal)
        except BaseException as error:
            # What is there is another's as soon as the lock is.
            lock.check(now=True)
            if not _keep_or_remove(ingest.journal, error):
                site.leave()
            raise
    return StoreResult(
        path=dest,
        status="resumed" if resumed else "ingested",
        kind=source.document.kind,
        shape=source.document.shape,
        dtype=source.document.dtype.name,
        source_bytes=source.size,
        stored_bytes=stored,
        seconds=time.perf_counter() - started,
        notes=tuple(filter(None, [*ingest.notes, ingest.restarted])),
    )


def _check_whole(source: Source, options: IngestOptions) -> None:
    """Refuse a source that holds less than it declares, unless a salvage was asked for."""
    if source.complete or options.read.salvage:
        return
    why = "; ".join(source.notes) or "holds less than it declares"
    hint = "copy it again, or keep what is there with --salvage"
    raise TruncatedFileError(why, path=source.path, hint=hint)


def _keep_or_remove(journal: Journal, error: BaseException) -> bool:
    """Keep finished shards for the next try, unless they are of a source that changed.

    Returns
    -------
    bool
        Whether some are kept.
    """
    journal.remove_parts()
    if isinstance(error, SourceChangedError) or not journal.records:
        journal.remove()
        return False
    if isinstance(error, StemzarrError):
        error.hint = "; ".join(filter(None, [error.hint, "the same command continues"]))
    return True


def _prepare(source: Source, options: IngestOptions) -> tuple[Source, Redactor | None]:
    """Return the source with the user's facts, without what is redacted, and what removes it."""
    if options.redact and options.virtual:
        msg = "redact and virtual exclude each other"
        raise OptionError(msg, hint="a virtual store names its source and shows all of it")
    if options.sha256 and source.path.is_dir():
        msg = "is a folder, and a SHA-256 is that of one file"
        hint = "leave --sha256 out: a store keeps a digest of all files of a folder anyway"
        raise OptionError(msg, path=source.path, hint=hint)
    if options.facts:
        source, _ = apply_facts(source, options.facts)
    if not options.redact:
        return source, None
    redactor = redactor_of(source, *user_names(str(source.path)))
    return redact_source(source, redactor), redactor


def _begin(
    original: Source,
    dest: Path,
    options: IngestOptions,
    check: Callable[..., None],
    far: Far | None,
) -> _Ingest:
    origin = Origin(original, digested=not (original.rebuildable or options.virtual))
    source, redactor = _prepare(original, options)
    plan = plan_store(source, options)
    header_digest = xxhash.xxh3_128_digest(original.load_header())
    identity = _identity(source, options, plan, header_digest)
    if source.parts:
        identity["files"] = origin.identity
    folder = unfinished_folder(dest)
    journal, restarted = open_journal(folder, identity, check, sync=options.sync, far=far)
    return _Ingest(
        source=source,
        options=options,
        plan=plan,
        journal=journal,
        header_digest=header_digest,
        origin=origin,
        tree=Tree(store=journal.tree),
        notes=list(source.notes),
        restarted=restarted,
        redactor=redactor,
    )


def _identity(
    source: Source, options: IngestOptions, plan: StorePlan, header_digest: bytes
) -> dict[str, Any]:
    """Return all that finished shards depend on."""
    chosen = options.record()
    shaping = ("read", "codec", "virtual", "redact", "preview", "facts")
    shown = {name: chosen[name] for name in shaping}
    if options.redact:  # what was interrupted must not say what is to be left out
        shown["facts"] = xxhash.xxh3_128_hexdigest(to_json(clean_json({"": chosen["facts"]})))
    identity = {
        "version": f"{stemzarr.__version__}, schema {SCHEMA_VERSION}",
        "source": [source.format, source.size, source.modified_ns, header_digest.hex()],
        "options": shown,
        "measures": [PARTIAL_FORM, *(measure.name for measure in MEASURES)],
        "plan": [
            [
                *(array.path, array.dtype),
                *map(list, (array.shape, array.chunk, array.shard)),
                find_codec(plan.codec, np.dtype(array.dtype), array.chunk).metadata(),
            ]
            for array in plan.arrays
        ],
    }
    masks = {one.slug: one.bad_pixels for one in source.documents if one.bad_pixels is not None}
    if masks:
        hashes = {k: xxhash.xxh3_128_hexdigest(np.packbits(m).tobytes()) for k, m in masks.items()}
        identity["bad_pixels"] = hashes
    cleaned: dict[str, Any] = clean_json(identity)
    return cleaned


def _write_pixels(ingest: _Ingest, progress: Progress | None) -> None:
    if ingest.plan.virtual:
        return
    transposed = sum(array.nbytes for array in ingest.plan.arrays if array.transposed)
    counter = ProgressCounter(total=ingest.plan.nbytes + transposed, progress=progress)
    tasks: list[ShardTask] = []
    for place, array in enumerate(ingest.plan.arrays):
        tasks += _tasks_of(ingest, place, array, counter)
    if not (ingest.options.workers or ingest.options.scheduler):
        run_in_threads(tasks, ingest.plan.threads, ingest.journal.add, counter)
    elif tasks:
        from stemzarr.store.ingest.cluster import run_on_cluster

        run_on_cluster(tasks, ingest.options, ingest.journal.add, counter)


def _tasks_of(
    ingest: _Ingest, place: int, array: ArrayPlan, counter: ProgressCounter
) -> list[ShardTask]:
    """Return the tasks of the shards that are missing, and count the others as done."""
    document = ingest.document(array)
    missing = [n for n in range(array.shards) if (place, n) not in ingest.journal.records]
    itemsize = document.dtype.itemsize
    for number in set(range(array.shards)) - set(missing):
        counter.add(int(np.prod(array.shard_box(number)[1])) * itemsize)
    if len(missing) == array.shards:
        fetch_small(document.blocks)
    blocks = _transpose(ingest, array, missing, counter) if array.transposed else document.blocks
    glance = ingest.glance(document) if missing and ingest.options.preview else None
    mask = None if glance is None else disk_mask(glance.disk, document.shape[-2:])
    # Of what is transposed, only missing shards are there.
    codec = ingest.codec(place, blocks if len(missing) == array.shards else document.blocks)
    return [
        ShardTask(
            place=place,
            number=number,
            array=array,
            blocks=blocks,
            codec=codec,
            tree=ingest.journal.shards,
            partials=ingest.journal.partials if ingest.options.preview else None,
            mask=mask,
            valid=document.valid,
            bad=document.bad_pixels,
            sync=ingest.options.sync,
        )
        for number in missing
    ]


def _transpose(
    ingest: _Ingest, array: ArrayPlan, shards: list[int], counter: ProgressCounter
) -> Blocks:
    """Return the pixels of a source that keeps each of them together, split by shards."""
    source, folder = ingest.document(array).blocks, ingest.journal.place.root
    if not shards or not has_space(folder, array.nbytes) or not isinstance(source, RotatedBlocks):
        counter.add(array.nbytes)
        return source
    threads = ingest.plan.threads
    budget = ingest.plan.memory // threads
    transposed, tasks = transpose(source, ingest.journal.new_folder(), array, shards, budget)
    run_in_threads(tasks, threads, lambda _: None, counter)
    return transposed


def _complete(ingest: _Ingest) -> None:
    """Write all that is small, the root's metadata last."""
    source, tree, main = ingest.source, ingest.tree, ingest.source.main
    known: dict[str, tuple[int, str]] = {}
    chunks: dict[str, Sequence[int]] = {}
    if len(source.documents) > 1:
        tree.nodes["documents"] = group_node({})
    for place, array in enumerate(ingest.plan.arrays):
        document = ingest.document(array)
        attributes: dict[str, Any] = {}
        if document.index == main:
            # A file may be whole while the acquisition in it was stopped early.
            complete = source.complete and bool(document.facts.get("complete", 1))
            attributes = {"stemzarr_schema": SCHEMA_VERSION, "complete": int(complete)}
        write_labels(tree, document, main, attributes)
        if ingest.plan.virtual:
            continue
        tree.nodes[array.path] = pixel_node(
            document, main, array, ingest.codec(place, document.blocks)
        )
        records = ingest.records(place)
        known |= {record.path: (record.size, record.digest) for record in records}
        chunks |= {record.path: record.lengths for record in records if record.lengths}
        if ingest.options.preview:
            partials = ShardPartials(ingest.journal.partials, records, array)
            glance = ingest.glance(document)
            reduction, statistics = write_preview(tree, document, main, partials, glance)
            if reduction.integral and document.dtype.kind == "f" and statistics.count:
                note = f"{document.slug}: stored as {document.dtype.name}, holds only integers"
                ingest.notes.append(note)
    _write_source(ingest)
    tree.write_nodes()
    write_manifest(
        tree,
        {
            key: known.get(key) or digest_of(tree.store, key)
            for key in {*files_of(tree.store), *known}
        },
        chunks,
    )
    tree.store.put("zarr.json", consolidated(tree.nodes))


def _write_source(ingest: _Ingest) -> None:
    """Write the group ``source``: where all this came from."""
    source = ingest.source
    header = source.load_header() if source.rebuildable and not ingest.plan.virtual else b""
    metadata = json.dumps(source.load_metadata(), ensure_ascii=False, allow_nan=False).encode()
    for name, content in (("header", header), ("original_metadata", metadata)):
        if content:
            values = np.frombuffer(content, np.uint8)
            dims = (f"{name}_byte",)
            ingest.tree.write_array(f"source/{name}", values, dims, codec="zstd")
    ingest.tree.nodes["source"] = group_node(_source_attributes(ingest))


def _source_attributes(ingest: _Ingest) -> SourceRecord:
    source, options = ingest.source, ingest.options
    finished = utc_now()
    recorded = options.record()
    if ingest.redactor is not None:
        recorded["facts"] = redact_facts(options.facts, ingest.redactor)
    return {
        "name": source.path.name,
        "path": None if options.redact else str(source.path),
        "format": source.format,
        "size": source.size,
        "modified": _iso(source.modified_ns),
        "modified_ns": source.modified_ns,
        "header_hash": ingest.header_digest.hex(),
        **ingest.origin.record(redact=options.redact),
        "hash": None if ingest.plan.virtual else _hash(ingest),
        "sha256": _sha256(source.path) if options.sha256 else None,
        "rebuildable": source.rebuildable and not ingest.plan.virtual,
        "redacted": options.redact,
        "virtual": options.virtual,
        "layout": layout_record(source.document.layout),
        "main": source.main,
        "notes": list(ingest.notes),
        "documents": [
            document_record(document, virtual=options.virtual) for document in source.documents
        ],
        "segments": [] if options.virtual else list(map(segment_record, source.segments)),
        "ingest": {
            "version": stemzarr.__version__,
            "options": cast("OptionsRecord", recorded),
            "finished": finished,
        },
        "revisions": [],
    }


def _hash(ingest: _Ingest) -> str:
    """Return the digest over those of the header and of all chunks in canonical order."""
    places = range(len(ingest.plan.arrays))
    records = (record for place in places for record in ingest.records(place))
    return hash_values(ingest.header_digest, (bytes.fromhex(each.chunks) for each in records))


def _sha256(path: Path) -> str:
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _iso(nanoseconds: int) -> str:
    moment = dt.datetime.fromtimestamp(nanoseconds / 1e9, dt.UTC)
    return moment.isoformat(timespec="seconds")
