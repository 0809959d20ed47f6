"""Publishes a store: copies it, checked, so that it is absent or complete wherever it goes.

The order is what makes that true. First the manifest is put, unless another one is there: from
then on, every object that has the size in the manifest was sent by someone with the same manifest,
and need not be sent again. Then all other objects follow, each compared with its digest as it is
read. The place is listed, and every size compared. Last the ``zarr.json`` of the root is put, only
if it is absent: without it, there is no store for any reader.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import xxhash

from stemzarr.errors import (
    DamagedStoreError,
    OptionError,
    ReadError,
    SourceChangedError,
    StemzarrError,
    StoreBusyError,
    StoreExistsError,
)
from stemzarr.model import Progress
from stemzarr.options import PublishOptions
from stemzarr.pixels.threads import map_in_threads
from stemzarr.storage.local import LocalFolder, open_root
from stemzarr.storage.objects import Address, Readable, Writable, is_key
from stemzarr.storage.probing import probe
from stemzarr.storage.publishing import check_apart, open_destination, place_of, send
from stemzarr.store.format.manifest import files_of, read_manifest
from stemzarr.store.format.schema import Nodes, consolidated
from stemzarr.store.format.tree import MANIFEST, RESULTS, is_result
from stemzarr.store.ingest.run import ProgressCounter
from stemzarr.store.open import read_checked
from stemzarr.store.results import same_listing
from stemzarr.store.upkeep.redacting import Redaction, stage_redaction

__all__ = ["Publication", "Status", "publish_store"]

_ROOT = "zarr.json"
_SHOWN = 3
"""Names that a message gives as examples."""

Status = Literal["published", "resumed", "replaced", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What became of a store that was published, or with `dry_run` what would."""

    dest: Path
    """Where it is, as the place names its root."""
    status: Status
    """Whether it was sent, the rest of it was, it took the place of another, or all was there."""
    files: int
    """Files that were sent, the manifest and the root's metadata among them."""
    nbytes: int
    """Bytes in them."""
    kept: int
    """Files that were there and right."""
    left_out: tuple[str, ...]
    """What is in the folder of the store and was not published, a sentence each."""
    cautions: tuple[str, ...]
    """What the server does not guard against, a sentence each; of a folder, nothing."""
    digest: str
    """xxh3-128 of the root's metadata as they are published."""
    names: bool
    """Whether it names persons, specimens, sessions or folders, and was not redacted."""
    redaction: Redaction | None
    """What was left out of it by redacting; None where that was not asked for."""
    seconds: float
    """Time that it took."""

    def json(self) -> dict[str, Any]:
        """Return the publication as JSON."""
        fields = ("status", "files", "nbytes", "kept", "seconds")
        said = {name: getattr(self, name) for name in fields}
        lists = {name: list(getattr(self, name)) for name in ("left_out", "cautions")}
        return {"dest": str(self.dest), **said, **lists}


@dataclass(frozen=True, kw_only=True)
class _Parcel:
    """A store as it is sent."""

    source: Readable
    """Where it is."""
    before: Nodes
    """All its nodes there, but those of results."""
    stage: LocalFolder | None
    """Where the files are that differ, of a redacted store."""
    staged: frozenset[str]
    """Which these are."""
    nodes: Nodes
    """All nodes as they are published."""
    files: dict[str, tuple[int, str]]
    """Size and digest of every file that the manifest lists."""
    claim: dict[str, bytes]
    """The files of the manifest itself."""
    root: bytes
    """The root's metadata, without results."""

    def place_of(self, key: str) -> Readable:
        """Return where a file is."""
        return self.stage if self.stage is not None and key in self.staged else self.source

    @functools.cached_property
    def sizes(self) -> dict[str, int]:
        """Size of every file of the published store."""
        small = {key: len(content) for key, content in self.claim.items()}
        return {**{key: size for key, (size, _) in self.files.items()}, **small} | {
            _ROOT: len(self.root)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be done at the destination."""

    clear: tuple[str, ...]
    """Files that go first, in this order."""
    claim: tuple[str, ...]
    """Files of the manifest that are put."""
    send: tuple[str, ...]
    """Other files that are sent."""
    show: bool
    """Whether the root's metadata are put."""
    kept: int
    """Files that stay."""

    @property
    def status(self) -> Status:
        """What it comes to."""
        if self.clear:
            return "replaced"
        if not (self.claim or self.send or self.show):
            return "unchanged"
        return "resumed" if self.kept else "published"


def publish_store(
    source: Address,
    dest: Path | Writable,
    options: PublishOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Publication:
    """Copy a store to a folder or another place, where it is absent until it is complete.

    Every file is compared with the manifest as it is read. What a run that was cut short has sent
    is not sent again. Results below ``analysis`` stay where they are, and the copy does not list
    them; otherwise it is equal to the source in every byte.

    Parameters
    ----------
    source
        The store, which is not changed.
    dest
        A folder that becomes the store, in one that exists; or another place.
    options
        What is left out, what may be replaced, how many threads.
    progress
        Receives how many bytes are sent.

    Returns
    -------
    Publication
        What was sent, what was there, what is not published.

    Raises
    ------
    OptionError
        The store is virtual, or is its own destination.
    SourceNotFoundError, CorruptFileError, SchemaVersionError, DamagedStoreError
        There is no store, or it is damaged; or a file at the destination is not what was sent.
    SourceChangedError
        The store was revised while it was read.
    StoreExistsError
        Something else is at the destination, or another version of the store.
    StoreBusyError, ReadError, WriteError
        Another process writes there, or something cannot be read or written.
    """
    chosen, started = options or PublishOptions(), time.perf_counter()
    cautions: tuple[str, ...] = ()
    store = open_root(source)
    check_apart(store.root, dest if isinstance(dest, Path) else dest.root)
    with _as_published(store, redact=chosen.redact) as (parcel, redaction):
        left_out = tuple(_left_out(store, parcel))
        if chosen.dry_run:
            place = place_of(dest)
            plan = _plan(parcel, place, overwrite=chosen.overwrite)
        else:
            with open_destination(dest) as place:
                plan = _plan(parcel, place, overwrite=chosen.overwrite)
                if plan.status != "unchanged":
                    cautions = _carry_out(parcel, plan, place, chosen, progress)
    sent = [*plan.claim, *plan.send, *([_ROOT] if plan.show else ())]
    return Publication(
        dest=place.root,
        status=plan.status,
        files=len(sent),
        nbytes=sum(parcel.sizes[key] for key in sent),
        kept=plan.kept,
        left_out=left_out,
        cautions=cautions,
        digest=xxhash.xxh3_128_hexdigest(parcel.root),
        names=redaction is None and _names(parcel.nodes),
        redaction=redaction,
        seconds=time.perf_counter() - started,
    )


@contextlib.contextmanager
def _as_published(store: Readable, *, redact: bool) -> Iterator[tuple[_Parcel, Redaction | None]]:
    """Give what is published of a store, redacted files from a temporary folder."""
    before = read_checked(store)
    record = before["source"]["attributes"]
    if record["virtual"]:
        hint = "ingest its source without --virtual first"
        raise OptionError("is virtual: its pixels are in its source", path=store.root, hint=hint)
    if not redact:
        yield _read_parcel(store, before), None
        return
    if not isinstance(store, LocalFolder):
        hint = "copy it to this machine first"
        raise OptionError("only a store in a folder can be redacted", path=store.root, hint=hint)
    with tempfile.TemporaryDirectory(prefix="stemzarr-") as folder:
        stage = LocalFolder(Path(folder))
        # The time is that of the store's last change, so that the same store gives the same bytes.
        times = [record["ingest"]["finished"], *(one["at"] for one in record["revisions"])]
        redaction = stage_redaction(store.root, stage, at=times[-1])
        yield _read_parcel(store, before, stage if redaction.changed else None), redaction


def _read_parcel(store: Readable, before: Nodes, stage: LocalFolder | None = None) -> _Parcel:
    """Read what is sent of a store, its metadata from the stage where there is one."""
    place = store if stage is None else stage
    nodes = before if stage is None else read_checked(stage)
    files = read_manifest(place, nodes).files
    odd = [key for key in files if not is_key(key)]
    if odd:
        msg = f"its manifest lists {odd[0]!r}, which leads out of it"
        raise DamagedStoreError(msg, path=store.root, hint="do not trust this store")
    shape = nodes[MANIFEST]["shape"][0]
    pieces = math.ceil(shape / nodes[MANIFEST]["chunk_grid"]["configuration"]["chunk_shape"][0])
    names = [*(f"c/{number}" for number in range(pieces)), _ROOT]
    return _Parcel(
        source=store,
        before=before,
        stage=stage,
        staged=frozenset(stage.list() if stage is not None else ()),
        nodes=nodes,
        files=files,
        claim={f"{MANIFEST}/{name}": place.get(f"{MANIFEST}/{name}") for name in names},
        root=_root_of(place, nodes),
    )


def _root_of(place: Readable, nodes: Nodes) -> bytes:
    """Return the root's metadata as they are, or written again where they list results."""
    content = place.get(_ROOT)
    # The node of the manifest was needed to read it, so that nothing has compared it yet.
    manifest = None
    with contextlib.suppress(ValueError):
        manifest = json.loads(place.get(f"{MANIFEST}/{_ROOT}"))
    if manifest != nodes[MANIFEST] or not same_listing(content, nodes):
        msg = "does not repeat the metadata of the groups and arrays below it"
        raise DamagedStoreError(msg, path=place.root / _ROOT, hint="run stemzarr verify")
    return consolidated(nodes) if f'"{RESULTS}'.encode() in content else content


def _left_out(store: Readable, parcel: _Parcel) -> Iterator[str]:
    """Yield what is in the folder of a store and is not published."""
    try:
        results, files = sorted(store.list(RESULTS)), files_of(store)
    except ReadError:
        if not store.far:
            raise
        yield "what else is in it, which is not known: its server lists none"
        return
    if results:
        arrays = [str(PurePosixPath(key).parent) for key in results if key.endswith(f"/{_ROOT}")]
        yield f"{len(results)} files of results that people added ({_some(arrays or results)})"
    strange = sorted(set(files) - parcel.files.keys())
    if strange:
        yield f"{len(strange)} files that do not belong to the store ({_some(strange)})"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _names(nodes: Nodes) -> bool:
    """Return whether a store says who made it, of what, or in which folder it was."""
    from stemzarr.metadata.facts import PERSONAL_FACTS

    record = nodes["source"]["attributes"]
    named = any(name in node["attributes"] for node in nodes.values() for name in PERSONAL_FACTS)
    return named or bool(record.get("path"))


def _plan(parcel: _Parcel, dest: Writable, *, overwrite: bool) -> _Plan:
    """Compare a destination with what is to be there.

    Raises
    ------
    StoreExistsError
        Something else is there.
    """
    listed = dict(dest.sizes())
    there = {key: size for key, size in listed.items() if not is_result(key)}
    claimed = {key for key in parcel.claim if key in there}
    is_ours = all(dest.get(key) == parcel.claim[key] for key in claimed)
    is_begun = len(claimed) == len(parcel.claim) or there.keys() <= parcel.claim.keys()
    root = dest.get(_ROOT) if _ROOT in there else None
    is_shown = root is not None and (root == parcel.root or same_listing(root, parcel.nodes))
    is_whole = is_ours and is_begun and is_shown == (root is not None)
    clear: tuple[str, ...] = ()
    if there and not (is_whole and there.keys() <= parcel.sizes.keys()):
        files = _files_of_another(dest)
        own = {*parcel.sizes, *files, *(key for key in there if key.startswith(f"{MANIFEST}/"))}
        others = sorted(listed.keys() - own)
        if others or not overwrite:
            raise _occupied(dest, others, complete=root is not None)
        same = {key for key, state in parcel.files.items() if files.get(key) == state}
        kept = {key for key in same if there.get(key) == parcel.files[key][0]}
        clear = tuple(sorted(there.keys() - kept, key=lambda key: (key != _ROOT, key)))
        there, is_shown = {key: there[key] for key in kept}, False
    right = {key for key, size in parcel.sizes.items() if there.get(key) == size}
    return _Plan(
        clear=clear,
        claim=tuple(key for key in parcel.claim if key not in there),
        send=tuple(key for key in sorted(parcel.files) if key not in right),
        show=not is_shown,
        kept=len(right),
    )


def _files_of_another(dest: Writable) -> dict[str, tuple[int, str]]:
    """Return what the manifest at a destination says of its files; nothing where none is sound.

    What it says of a file that has its size holds, since the manifest was put before the file.
    """
    try:
        node = json.loads(dest.get(f"{MANIFEST}/{_ROOT}"))
        return read_manifest(dest, {MANIFEST: node}).files
    except (StemzarrError, OSError, ValueError, TypeError, LookupError):
        return {}


def _occupied(dest: Writable, others: Sequence[str], *, complete: bool) -> StoreExistsError:
    if others:
        msg = f"holds other things ({_some(others)}), which are never replaced"
        hint = "choose another name, or move them away"
    elif complete:
        msg = "holds another store, or another version of this one"
        hint = "choose another name, or --overwrite: readers find no store until all is sent"
    else:
        msg = "holds what another version of this store left when it was cut short"
        hint = "choose another name, or --overwrite to begin again"
    return StoreExistsError(msg, path=dest.root, hint=hint)


def _carry_out(
    parcel: _Parcel,
    plan: _Plan,
    dest: Writable,
    options: PublishOptions,
    progress: Progress | None,
) -> tuple[str, ...]:
    """Bring a destination to what is to be there, and return what its server does not guard."""
    sync, abilities = options.sync, probe(dest)

    def put(key: str, content: bytes) -> None:
        if not abilities.creates_once:
            dest.put(key, content, sync=sync)
        elif not dest.put_if_absent(key, content, sync=sync):
            _check_same(dest, key, content)

    for key in plan.clear:
        dest.delete(key)
    for key in plan.claim:
        put(key, parcel.claim[key])
    _send_files(parcel, plan.send, dest, options, progress)
    if sync:
        for folder in sorted({str(PurePosixPath(key).parent) for key in parcel.sizes}):
            dest.flush("" if folder == "." else folder)
    _check_listing(parcel, dest)
    if plan.show:
        put(_ROOT, parcel.root)
    return abilities.cautions()


def _send_files(
    parcel: _Parcel,
    keys: Sequence[str],
    dest: Writable,
    options: PublishOptions,
    progress: Progress | None,
) -> None:
    """Send files in threads, each compared with its digest."""
    total = sum(parcel.sizes[key] for key in keys)
    counter = ProgressCounter(total=total, progress=progress)

    def work(key: str) -> None:
        expected, source = parcel.files[key], parcel.place_of(key)
        send(source, dest, key, expected, sync=options.sync, advance=counter.add)

    try:
        for _ in map_in_threads(work, keys, threads=options.threads):
            pass
    except DamagedStoreError as error:
        raise _reason(parcel, error) from error


def _reason(parcel: _Parcel, error: DamagedStoreError) -> StemzarrError:
    """Return why a file is not what it was: the store is damaged, or was revised meanwhile."""
    with contextlib.suppress(StemzarrError):
        if read_checked(parcel.source) != parcel.before:
            msg, hint = "was revised while it was published", "publish it again"
            return SourceChangedError(msg, path=parcel.source.root, hint=hint)
    return error


def _check_same(dest: Writable, key: str, content: bytes) -> None:
    """Raise unless an object that somebody put first is the one that we would have put."""
    if dest.get(key) != content:
        msg = f"another version of this store is being published there ({key})"
        raise StoreBusyError(msg, path=dest.root, hint="wait for it, or choose another name")


def _check_listing(parcel: _Parcel, dest: Writable) -> None:
    """Raise unless all is there, in the sizes that it must have, and nothing else."""
    there = {key: size for key, size in dest.sizes() if not is_result(key) and key != _ROOT}
    wanted = {key: size for key, size in parcel.sizes.items() if key != _ROOT}
    for key in sorted(there.keys() | wanted.keys()):
        size, due = there.get(key), wanted.get(key)
        if size != due:
            what = "is missing" if size is None else f"has {size} bytes instead of {due}"
            if due is None:
                what = "does not belong to the store"
            hint = "nothing is shown there; run the same command again, or choose another place"
            raise DamagedStoreError(f"{what} after all was sent", path=dest.root / key, hint=hint)
