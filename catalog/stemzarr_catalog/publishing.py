"""Publishes a lake, or what a query finds of it: each store, then notes, then the catalog."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr.errors import SourceNotFoundError, StemzarrError, StoreExistsError
from stemzarr.options import PublishOptions
from stemzarr.storage.address import RemotePath, as_source
from stemzarr.storage.foreign import is_foreign
from stemzarr.storage.publishing import check_apart, place_of
from stemzarr.storage.reasons import writing
from stemzarr.storage.remote import RemoteFolder
from stemzarr_catalog.citation import read_citation
from stemzarr_catalog.citing import CITATION_FILES, SHA256, list_digests
from stemzarr_catalog.committing import Sent, commit
from stemzarr_catalog.index import Index
from stemzarr_catalog.lake import YAML
from stemzarr_catalog.notes import Notes, read_notes, render_notes, write_notes
from stemzarr_catalog.opening import open_lake
from stemzarr_catalog.redacting import redact_notes
from stemzarr_catalog.results import FOLDER as RESULTS
from stemzarr_catalog.results import find_results
from stemzarr_catalog.site import EXPLORER, PAGE, PICTURES, STAC, put_site
from stemzarr_catalog.snapshot import LAKE, SNAPSHOTS, State, read_state

if TYPE_CHECKING:
    from stemzarr.model import Progress
    from stemzarr.store import Publication
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.lake import Lake

__all__ = ["LEFT_OUT", "Published", "publish_lake"]

LEFT_OUT = (
    "of the notes, tags, remarks and own fields are published, but not which exports were made "
    "and what entries were called before; nor are known.jsonl and watch.jsonl, which name folders "
    "of this machine"
)
"""What of a lake is never published."""
_INDEX = "catalog.sqlite"
_OF_A_LAKE = frozenset(
    {
        *("stores", "notes", RESULTS, YAML, _INDEX, "known.jsonl", "watch.jsonl"),
        *(*CITATION_FILES, SHA256, STAC, LAKE, SNAPSHOTS, PAGE, EXPLORER, PICTURES),
    }
)
"""Names at the top of a folder to which entries may be added."""
_SHOWN = 3
"""Names that a message gives as examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of one entry."""

    name: str
    """Its name."""
    publication: Publication | None
    """What was sent of its store; None where that failed."""
    notes: bool
    """Whether its tags, remark and fields were written."""
    results: tuple[str, ...]
    """Names of results beside its store, which are not published."""
    error: StemzarrError | None
    """Why it is not there; None where it is."""

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        if self.publication is None:
            return {"name": self.name, "status": "failed", "error": str(self.error)}
        record = {"name": self.name, **self.publication.json(), "notes": self.notes}
        return {**record, "left_out": [*record["left_out"], *self.left_out]}

    @property
    def left_out(self) -> tuple[str, ...]:
        """What belongs to it and is not published, a sentence each."""
        few = ", ".join(self.results[:_SHOWN]) + (" …" if len(self.results) > _SHOWN else "")
        return (f"{len(self.results)} results in the lake ({few})",) if self.results else ()


def publish_lake(
    lake: Lake,
    dest: str | os.PathLike[str],
    query: str = "",
    options: PublishOptions | None = None,
    *,
    notes: bool = True,
    begin: Callable[[Entry], Progress | None] = lambda _: None,
) -> Iterator[Published]:
    """Copy the entries of a query to a folder that is a lake of its own then, or grows.

    Each store is absent or complete, as `stemzarr.store.publish_store` makes it. The catalog comes
    last: it lists all stores that are there, also those that others publish at the same time. The
    folder can be served as it is, or opened where nothing can be written.

    Parameters
    ----------
    lake
        The lake, which is not changed.
    dest
        The folder, or an address of a bucket.
    query
        Which entries are published; all by default.
    options
        As for one store; with `redact`, notes are redacted too.
    notes
        Whether tags, remarks and own fields are published.
    begin
        Called with each entry before it is sent; returns its progress callback.

    Yields
    ------
    Published
        Each entry, one that failed too: the rest is done all the same. The catalog is written
        when the last one was taken.

    Raises
    ------
    QueryError, SourceNotFoundError
        The query cannot be understood, or no entry matches it.
    OptionError, StoreExistsError, CorruptFileError
        The folder is the lake itself, or one of other things; or ``lake.toml`` cannot be
        understood.
    WriteError
        It cannot be made.

    Warns
    -----
    UserWarning
        pyarrow is not installed, so that there is no table in Parquet.
    """
    chosen, target = options or PublishOptions(), as_source(dest)
    entries = lake.search(query)
    if not entries:
        hint = "'stemzarr ls' shows what there is"
        raise SourceNotFoundError("there is nothing to publish", path=lake.path, hint=hint)
    check_apart(lake.path, target)
    read_citation(lake.path)  # one that cannot be understood is said before anything is sent
    there = set(_names_at(target))
    other = sorted(n for n in there - _OF_A_LAKE if not (n.startswith(".") or is_foreign(n)))
    if other:
        msg = f"is a folder with other things in it ({', '.join(other[:3])})"
        raise StoreExistsError(msg, path=target, hint="choose another name")
    if not (chosen.dry_run or isinstance(target, RemotePath)):
        with writing(target):
            (target / "stores").mkdir(parents=True, exist_ok=True)
            (target / "notes").mkdir(exist_ok=True)
    sent: dict[str, Sent] = {}
    for entry in entries:
        yield _publish_entry(lake, entry, target, (chosen, notes), begin(entry), sent)
    if sent and not chosen.dry_run:
        _show(lake, target, sent, chosen)


def _show(lake: Lake, target: Path, sent: Mapping[str, Sent], options: PublishOptions) -> None:
    """Move ``lake.json`` to what is there now, and put what describes it.

    Where somebody else moves it meanwhile, it is described once more: the last one to move it may
    have been described before.
    """
    place = place_of(target)
    if options.redact:
        # A database keeps for a while what was deleted from it.
        place.delete(_INDEX)

    def refresh() -> Index:
        published = open_lake(target, create=True)
        published.refresh(thorough=True)
        return published.index

    state: State | None = commit(target, place, sent, options, refresh=refresh)
    # Digests that are of an earlier state are worse than none.
    place.delete(SHA256)
    stores = {name: one.store for name, one in sent.items()}
    while state is not None:
        put_site(lake, target, place, stores, options)
        now = read_state(place)
        state = None if now is None or now.text == state.text else now
    if options.sha256:
        place.put(SHA256, list_digests(place).encode(), sync=options.sync)


def _names_at(target: Path) -> Iterator[str]:
    """Yield what is at the top of a destination."""
    if isinstance(target, RemotePath):
        yield from RemoteFolder(target).names()
    elif target.exists():
        if not target.is_dir():
            raise StoreExistsError("is not a folder", path=target, hint="choose another name")
        yield from (path.name for path in target.iterdir())


def _publish_entry(
    lake: Lake,
    entry: Entry,
    target: Path,
    chosen: tuple[PublishOptions, bool],
    progress: Progress | None,
    sent: dict[str, Sent],
) -> Published:
    """Publish an entry with its notes, and add it to what was sent."""
    from stemzarr.store import publish_store

    options, with_notes = chosen
    try:
        said = _notes_of(lake, entry, redact=options.redact) if with_notes else Notes()
        dest = target / "stores" / f"{entry.name}.zarr"
        done = publish_store(entry.path, dest, options, progress=progress)
        if not options.dry_run:
            _put_notes(target, entry.name, said)
    except StemzarrError as error:
        return Published(name=entry.name, publication=None, notes=False, results=(), error=error)
    sent[entry.name] = Sent(store=entry.path, digest=done.digest, notes=said)
    results = tuple(path.stem for path in find_results(lake.path, entry.name))
    return Published(
        name=entry.name, publication=done, notes=said != Notes(), results=results, error=None
    )


def _put_notes(target: Path, name: str, notes: Notes) -> None:
    """Put notes in place of those that were published before."""
    if not isinstance(target, RemotePath):
        write_notes(target / "notes" / f"{name}.json", notes)
    elif notes == Notes():
        RemoteFolder(target).delete(f"notes/{name}.json")
    else:
        RemoteFolder(target).put(f"notes/{name}.json", render_notes(notes).encode())


def _notes_of(lake: Lake, entry: Entry, *, redact: bool) -> Notes:
    """Return what people said of an entry, without what names folders of this machine."""
    from stemzarr.metadata.privacy import Redactor
    from stemzarr.store import find_names

    notes = dataclasses.replace(read_notes(lake.notes_path(entry.name)), exports=(), formerly=())
    return redact_notes(notes, Redactor(find_names(entry.path))) if redact else notes
