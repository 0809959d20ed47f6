"""Publishes a lake, or what a query finds of it: each store, then notes, then the catalog."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr.errors import SourceNotFoundError, StemzarrError, StoreExistsError
from stemzarr.options import PublishOptions, as_path
from stemzarr.storage.foreign import is_foreign
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.publishing import check_apart
from stemzarr.storage.reasons import writing
from stemzarr_catalog.citation import read_citation, write_citation
from stemzarr_catalog.citing import CITATION_FILES, SHA256, citation_files, list_digests
from stemzarr_catalog.export import export_stac
from stemzarr_catalog.notes import Notes, read_notes, write_notes
from stemzarr_catalog.opening import open_lake
from stemzarr_catalog.redacting import redact_notes

if TYPE_CHECKING:
    from stemzarr.model import Progress
    from stemzarr.store import Publication
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.lake import Lake

__all__ = ["LEFT_OUT", "Published", "publish_lake"]

LEFT_OUT = (
    "of notes the tags, remarks and own fields are published, not which exports were made and "
    "what entries were called before; nor are known.jsonl and watch.jsonl, which name folders of "
    "this machine"
)
"""What of a lake is never published."""
_OF_A_LAKE = frozenset(
    {"stores", "notes", "catalog.yaml", "catalog.sqlite", "known.jsonl", "watch.jsonl"}
)
"""Names at the top of a folder to which entries may be added."""
STAC = "stac"
"""Folder of the STAC collection of a published lake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of one entry."""

    name: str
    """Its name."""
    publication: Publication | None
    """What was sent of its store; None where that failed."""
    notes: bool
    """Whether its tags, remark and fields were written."""
    error: StemzarrError | None
    """Why it is not there; None where it is."""

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        if self.publication is None:
            return {"name": self.name, "status": "failed", "error": str(self.error)}
        return {"name": self.name, **self.publication.json(), "notes": self.notes}


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
    last: it lists all stores that are there, also those that were there before. The folder can be
    served as it is, or opened where nothing can be written.

    Parameters
    ----------
    lake
        The lake, which is not changed.
    dest
        The folder.
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
        The query cannot be understood, or nothing is found by it.
    OptionError, StoreExistsError
        The folder is the lake itself, or one of other things.
    WriteError
        It cannot be made.
    """
    chosen, target = options or PublishOptions(), as_path(dest)
    entries = lake.search(query)
    if not entries:
        hint = "'stemzarr ls' shows what there is"
        raise SourceNotFoundError("nothing to publish is found", path=lake.path, hint=hint)
    check_apart(lake.path, target)
    _check_folder(target)
    if not chosen.dry_run:
        with writing(target):
            (target / "stores").mkdir(parents=True, exist_ok=True)
            (target / "notes").mkdir(exist_ok=True)
    for entry in entries:
        yield _publish_entry(lake, entry, target, (chosen, notes), begin(entry))
    if not chosen.dry_run and any((target / "stores").iterdir()):
        _write_catalog(lake, target, chosen)


def _write_catalog(lake: Lake, target: Path, options: PublishOptions) -> None:
    """Write what describes all stores that are at a destination, the digests last."""
    place = LocalFolder(target)
    # Digests that are of an earlier state are worse than none.
    place.delete(SHA256)
    if options.redact:
        # A database keeps for a while what was deleted from it.
        place.delete("catalog.sqlite")
    published = open_lake(target, create=True)
    published.refresh(thorough=True)
    citation = read_citation(lake.path)
    if citation is not None:
        write_citation(target, citation)
        entries, today = published.search(), dt.datetime.now(dt.UTC).date()
        for name, text in citation_files(citation, entries, today).items():
            place.put(name, text.encode())
        export_stac(published, target / STAC, overwrite=True)
    if options.sha256:
        place.put(SHA256, list_digests(target).encode(), sync=options.sync)


def _check_folder(target: Path) -> None:
    """Raise where a folder holds what no lake does."""
    if not target.exists():
        return
    if not target.is_dir():
        raise StoreExistsError("is not a folder", path=target, hint="choose another name")
    names = (path.name for path in target.iterdir())
    known = {*_OF_A_LAKE, *CITATION_FILES, SHA256, STAC}
    other = sorted(n for n in names if not (n in known or n.startswith(".") or is_foreign(n)))
    if other:
        msg = f"is a folder with other things in it ({', '.join(other[:3])})"
        raise StoreExistsError(msg, path=target, hint="choose another name")


def _publish_entry(
    lake: Lake,
    entry: Entry,
    target: Path,
    chosen: tuple[PublishOptions, bool],
    progress: Progress | None,
) -> Published:
    from stemzarr.store import publish_store

    options, with_notes = chosen
    try:
        said = _notes_of(lake, entry, redact=options.redact) if with_notes else Notes()
        dest = target / "stores" / f"{entry.name}.zarr"
        done = publish_store(entry.path, dest, options, progress=progress)
        if not options.dry_run:
            write_notes(target / "notes" / f"{entry.name}.json", said)
    except StemzarrError as error:
        return Published(name=entry.name, publication=None, notes=False, error=error)
    return Published(name=entry.name, publication=done, notes=said != Notes(), error=None)


def _notes_of(lake: Lake, entry: Entry, *, redact: bool) -> Notes:
    """Return what people said of an entry, without what names folders of this machine."""
    from stemzarr.metadata.privacy import Redactor
    from stemzarr.store import find_names

    notes = dataclasses.replace(read_notes(lake.notes_path(entry.name)), exports=(), formerly=())
    return redact_notes(notes, Redactor(find_names(entry.path))) if redact else notes
