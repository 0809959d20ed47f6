"""Where a store grows and is shown: beside its path on this machine, or at its address.

On this machine a rename shows it. Far away nothing can be renamed: shards go to their keys at
once, then what is small, and last the ``zarr.json`` of the root, only if there is none. Until then
there is no store for any reader. An object beside it says who writes there, so that two machines
never mix what they write.
"""

from __future__ import annotations

import contextlib
import functools
import math
import uuid
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from stemzarr.errors import (
    DamagedStoreError,
    OptionError,
    StemzarrError,
    StoreBusyError,
    StoreExistsError,
)
from stemzarr.model import Source
from stemzarr.options import IngestOptions
from stemzarr.pixels.threads import map_in_threads
from stemzarr.storage.address import RemotePath
from stemzarr.storage.files import check_destination
from stemzarr.storage.fingerprints import digest_of
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.objects import Publish, get_or_none
from stemzarr.storage.probing import probe
from stemzarr.storage.publishing import send
from stemzarr.storage.remote import RemoteFolder
from stemzarr.store.ingest.journal import (
    CLAIM,
    Far,
    Journal,
    ShardRecord,
    claim_of,
    give_back,
    hidden_path,
)
from stemzarr.store.results import check_no_results

__all__ = ["Site", "site_of"]

_ROOT = "zarr.json"
_AT_ONCE = 16
_SHOWN = 3
"""Names that a message gives as examples."""


class Site(Protocol):
    """A place that a store is made at."""

    def check(self) -> None:
        """Raise unless the store may be made there."""
        ...

    def begin(self) -> Far | None:
        """Make the place ours, and return what is there already, where it is far."""
        ...

    def show(self, journal: Journal) -> int:
        """Show the finished store, and return its size in bytes."""
        ...

    def leave(self) -> None:
        """Give the place back, where no shard is kept for another try."""
        ...


def site_of(dest: Path, source: Source, options: IngestOptions) -> Site:
    """Return the place that a destination means.

    Raises
    ------
    OptionError
        It is an address, and an option is one for stores of this machine.
    """
    if not isinstance(dest, RemotePath):
        return _Near(dest, source, options)
    for name, given in (
        ("virtual", options.virtual),
        ("overwrite", options.overwrite),
        ("scheduler", options.scheduler),
    ):
        if given:
            hint = "ingest it here, and 'stemzarr publish' the store"
            raise OptionError(f"{name} does not go with an address", path=dest, hint=hint)
    return _Far(dest)


@functools.cache
def _say(caution: str) -> None:
    """Say once what a server does not guard against."""
    warnings.warn(caution, stacklevel=4)


@dataclass(slots=True)
class _Near:
    """A path of this machine."""

    dest: Path
    source: Source
    options: IngestOptions

    def check(self) -> None:
        overwrite = self.options.overwrite
        check_destination(self.dest, overwrite=overwrite, source=self.source.files[0])

    def begin(self) -> Far | None:
        self.check()
        check_no_results(self.dest)
        return None

    def leave(self) -> None:
        """Leave all: nothing is there."""

    def show(self, journal: Journal) -> int:
        """Flush what is not flushed, and rename."""
        tree, sync = journal.tree, journal.sync
        keys = set(tree.list())
        stored = sum(tree.stamp(key).size for key in keys)
        if sync:
            folders = {str(above) for key in keys for above in PurePosixPath(key).parents}
            shards = {record.path for record in journal.records.values()}
            for group in (keys - shards, folders):
                # Many at once, as each waits for the disk and not for us.
                list(map_in_threads(tree.flush, group, threads=_AT_ONCE, ahead=math.inf))
        journal.check(now=True)
        check_no_results(self.dest)  # a person may have added some meanwhile
        shown: Publish = tree
        shown.publish(self.dest, sync=sync)
        journal.remove()
        return stored


@dataclass(slots=True)
class _Far:
    """An address."""

    dest: RemotePath

    @property
    def _place(self) -> RemoteFolder:
        return RemoteFolder(self.dest)

    def check(self) -> None:
        if get_or_none(self._place, _ROOT) is not None:
            hint = "choose another name; a store at an address is never replaced by an ingest"
            raise StoreExistsError("exists already", path=self.dest, hint=hint)

    def begin(self) -> Far | None:
        abilities = probe(self._place)
        for caution in abilities.cautions():
            _say(caution)
        self.check()
        there = dict(self._place.sizes())
        path = hidden_path(self.dest, CLAIM)
        note, name = LocalFolder(path.parent), path.name
        token = get_or_none(note, name)
        if token is None:
            if there:
                raise _occupied(self.dest, sorted(there))
            token = uuid.uuid4().hex.encode()
            note.put(name, token, sync=True)
        if not self._is_ours(token, creates_once=abilities.creates_once):
            msg = "another machine writes there, or one that was stopped did"
            beside, key = claim_of(self.dest)
            hint = (
                f"wait for it, or choose another --name; if none does, delete {beside.root / key}"
            )
            raise StoreBusyError(msg, path=self.dest, hint=hint)
        return self._place, there

    def _is_ours(self, token: bytes, *, creates_once: bool) -> bool:
        beside, key = claim_of(self.dest)
        if creates_once:
            return beside.put_if_absent(key, token)
        found = get_or_none(beside, key)
        if found is None:
            beside.put(key, token)
        return found in (None, token)

    def show(self, journal: Journal) -> int:
        """Send what is small, compare what is there, and put the root's metadata."""
        tree, place = journal.tree, self._place
        root = tree.get(_ROOT)
        small = {key: digest_of(tree, key) for key in tree.list() if key != _ROOT}

        def work(key: str) -> None:
            send(tree, place, key, small[key], sync=journal.sync, advance=lambda _: None)

        list(map_in_threads(work, sorted(small), threads=_AT_ONCE, ahead=math.inf))
        sizes = {key: size for key, (size, _) in small.items()} | _sizes(journal.records.values())
        _compare(place, sizes)
        journal.check(now=True)
        self._put_root(root)
        journal.remove()
        give_back(self.dest)
        return sum(sizes.values()) + len(root)

    def leave(self) -> None:
        with contextlib.suppress(StemzarrError, OSError):
            if get_or_none(self._place, _ROOT) is None:
                self._place.delete("")
                give_back(self.dest)

    def _put_root(self, root: bytes) -> None:
        if not probe(self._place).creates_once:
            self.check()
            self._place.put(_ROOT, root)
        elif not self._place.put_if_absent(_ROOT, root):
            self.check()


def _sizes(records: Iterable[ShardRecord]) -> dict[str, int]:
    return {record.path: record.size for record in records}


def _compare(place: RemoteFolder, wanted: Mapping[str, int]) -> None:
    """Raise unless all is there, in the sizes that it must have; what an earlier try left goes."""
    there = dict(place.sizes())
    for key in sorted(there.keys() - wanted.keys()):
        place.delete(key)
    for key, due in wanted.items():
        size = there.get(key)
        if size != due:
            what = "is missing" if size is None else f"has {size} bytes instead of {due}"
            hint = "nothing is shown there; run the same command again"
            raise DamagedStoreError(f"{what} after all was sent", path=place.root / key, hint=hint)


def _occupied(dest: Path, keys: list[str]) -> StoreExistsError:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    msg = f"holds other things ({', '.join(keys[:_SHOWN])}{more}), which are never replaced"
    return StoreExistsError(msg, path=dest, hint="choose another name, or move them away")
