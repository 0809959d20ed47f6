"""The lake: a folder of stores, found by what they are."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from stemzarr.errors import EntryNotFoundError, StemzarrError
from stemzarr.options import IngestOptions, as_path
from stemzarr.storage.address import RemotePath
from stemzarr_catalog import search, tables
from stemzarr_catalog.annotating import Annotated
from stemzarr_catalog.entry import Entry, EntryList
from stemzarr_catalog.index import Index
from stemzarr_catalog.index_manager import IndexManager
from stemzarr_catalog.intake_yaml import LARGEST, write_yaml
from stemzarr_catalog.names import casefold, lookup_name
from stemzarr_catalog.reconcile import list_results
from stemzarr_catalog.results import results_folder
from stemzarr_catalog.search import Brief, Searchable
from stemzarr_catalog.sessions import Session, read_sessions

if TYPE_CHECKING:
    from sqlite3 import Connection

    from stemzarr.model import Fact, Progress
    from stemzarr.store import Change, Redaction
    from stemzarr_catalog.ingesting import Ingested
    from stemzarr_catalog.known import Known
    from stemzarr_catalog.recognising import Believe

__all__ = ["YAML", "Lake"]

_P = ParamSpec("_P")

YAML = "catalog.yaml"
"""Name of the catalog for intake."""


class Lake(Annotated):
    """A folder of stores with its catalog, or one that was published to an address.

    Parameters
    ----------
    path
        The folder or address, which must be a lake; `open_lake` finds and makes lakes.
    read_only
        Whether to leave its files alone.

    Examples
    --------
    >>> from stemzarr_catalog import open_lake
    >>> lake = open_lake("stemzarr-lake")
    >>> lake["scan"].kind, "other" in lake
    ('4d-stem', False)
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        if isinstance(path, RemotePath):
            from stemzarr_catalog.remote_index import RemoteIndexManager

            self._manager: IndexManager = RemoteIndexManager(path)
        else:
            self._manager = IndexManager(path, read_only=read_only, write_yaml=self._write_yaml)
        self.refresh()

    @property
    def read_only(self) -> bool:
        """Whether the files of the lake are left alone, because they must or cannot be written."""
        return self._manager.read_only

    @property
    def obstacle(self) -> StemzarrError | None:
        """Why the lake cannot be written here, with the file in the way; None where it can."""
        return self._manager.obstacle

    @property
    def manager(self) -> IndexManager:
        """The index kept up to date, for questions and changes that have no method here."""
        return self._manager

    @property
    def index(self) -> Index:
        """The tables that searches go through."""
        return self._manager.index

    @functools.cached_property
    def known(self) -> Known:
        """What is remembered of copies and moved folders."""
        from stemzarr_catalog.known import Known

        return Known(self._manager.workplace / "known.jsonl", self._manager.remembering)

    @property
    def stores(self) -> Path:
        """Folder of the stores."""
        return self.path / "stores"

    @property
    def yaml(self) -> Path:
        """The catalog for intake."""
        return self.path / YAML

    def store_path(self, name: str) -> Path:
        """Return where the store of an entry is, or would be.

        Raises
        ------
        EntryNotFoundError
            No entry of any lake has such a name.
        """
        return self.stores / f"{lookup_name(name)}.zarr"

    # -- the index ------------------------------------------------------------------------

    def refresh(self, *, thorough: bool = False) -> None:
        """Bring the index in line with the folders.

        Parameters
        ----------
        thorough
            Whether to look at every store; otherwise a large lake is looked through only when
            a store came, went or was replaced since.
        """
        self._manager.refresh(thorough=thorough)

    def rebuild(self) -> dict[str, str]:
        """Make the index and ``catalog.yaml`` again from the stores and notes.

        The consolidated metadata of each store then list the results that people added to it.

        Returns
        -------
        dict
            Name → why the results of a store could not be listed.

        Raises
        ------
        WriteError
            The lake cannot be written.
        """
        failed = list_results(self.path)
        self._manager.rebuild()
        return {name: said for name, said in failed.items() if name not in self.problems}

    def _write_yaml(self, changed: bool) -> None:  # noqa: FBT001 - one answer, no option
        if not changed and self.yaml.is_file():
            return
        with self._manager.locked():
            write_yaml(self.yaml, self.search() if len(self) <= LARGEST else [])

    def update(self, name: str) -> Entry:
        """Bring one entry in line with its store, after it was written or revised."""
        self._manager.update(name)
        return self[name]

    # -- entries --------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._manager.ask(search.count)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, sorted."""
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._manager.ask(search.rows_with, {"name": name}))

    def __getitem__(self, name: str) -> Entry:
        """Return the entry of a name.

        Raises
        ------
        EntryNotFoundError
            The lake has no such entry; the message names the nearest ones.
        """
        for entry in self.find(search.rows_with, {"name": name}):
            return entry
        hint = self._manager.ask(search.hint_for, name)
        raise EntryNotFoundError(f"there is no entry {name!r}", path=self.path, hint=hint)

    def find_folded(self, name: str) -> Entry | None:
        """Return the entry that has a name but for case."""
        return next(iter(self.find(search.rows_with, {"folded": casefold(name)})), None)

    def find_hash(self, digest: str) -> EntryList:
        """Return the entries whose source has this digest: the same header and values."""
        return self.find(search.rows_with, {"hash": digest})

    def find(
        self,
        question: Callable[Concatenate[Connection, _P], list[search.Row]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> EntryList:
        """Return the entries of the rows that a question finds in the index."""
        return EntryList(
            Entry(name, self.stores / f"{name}.zarr", record, notes)
            for name, record, notes in self._manager.ask(question, *args, **kwargs)
        )

    def sessions(self, query: str = "") -> list[Session]:
        """Group the entries of a query by instrument, operator and day, the latest first.

        Raises
        ------
        QueryError
            The query cannot be understood.
        """
        return self._manager.ask(read_sessions, query)

    def search(
        self,
        query: str = "",
        *,
        sort: str | None = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> EntryList:
        """Return the entries that a query is true of.

        Parameters
        ----------
        query
            Such as ``beam_energy_keV>=200 kind=4d-stem SrTiO3``; see `stemzarr_catalog.query`.
        sort
            The field to order by, unknown values last; the name by default. ``newest`` is when it
            was acquired, else ingested.
        limit
            The most entries to return.
        descending
            Whether to reverse the order.

        Returns
        -------
        EntryList
            Of entries; ``to_dataframe`` makes a table of them, ``to_dataset`` one Dataset.

        Raises
        ------
        QueryError
            The query cannot be understood, or names a field that does not exist.

        See Also
        --------
        facets : How often each value of a field occurs.
        Entry.open : One of the entries as a Dataset.

        Examples
        --------
        >>> lake = Lake(Path("stemzarr-lake"))
        >>> lake.search("kind=4d-stem beam_energy>=200keV", sort="newest").names
        ['scan']
        """
        return self.find(search.rows, query, sort=sort, limit=limit, descending=descending)

    def briefs(
        self,
        query: str = "",
        *,
        sort: str | None = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[Brief]:
        """Return what a line of a list says of the entries that `search` would return.

        Raises
        ------
        QueryError
            As `search`.
        """
        asked = search.briefs
        return self._manager.ask(asked, query, sort=sort, limit=limit, descending=descending)

    def unknown_values(self, query: str) -> list[str]:
        """Say which values that a query asks for no entry has, and what was probably meant.

        Raises
        ------
        QueryError
            The query cannot be understood.
        """
        return self._manager.ask(search.unknown_values, query)

    def names(self, query: str = "") -> list[str]:
        """Return the names of the entries that a query is true of, sorted.

        Raises
        ------
        QueryError
            As `search`.
        """
        return self._manager.ask(search.names, query)

    def searchable(self, query: str = "") -> dict[str, Searchable]:
        """Return what queries compare of the entries that one is true of, by name."""
        return self._manager.ask(search.searchable, query)

    def facets(self, field: str, query: str = "") -> dict[Fact | None, int]:
        """Count the values of a field among the entries of a query, the most frequent first.

        Returns
        -------
        dict
            Value → number of entries; None stands for the entries where it is not known.

        Raises
        ------
        QueryError
            There is no such field, or the query cannot be understood.
        """
        return self._manager.ask(search.facets, field, query)

    def duplicates(self, query: str = "") -> list[EntryList]:
        """Return the entries of a query that have one origin with another, group by group.

        Those with equal pixels, whatever format they were read from, and those that were exported
        from the same source and ingested again.

        Raises
        ------
        QueryError
            As `search`.
        """
        from stemzarr_catalog.splitting import group_by_origin

        entries = self.search(query)
        groups = group_by_origin(entries)
        return [EntryList(entries[n] for n in group) for group in groups if len(group) > 1]

    @property
    def problems(self) -> dict[str, str]:
        """Stores that are there and cannot be read, and why."""
        return dict(self._manager.ask(tables.fetch, "SELECT name, error FROM problem"))

    # -- changes --------------------------------------------------------------------------

    def together(self) -> AbstractContextManager[None]:
        """Return a context in which many entries change, each in the same time in any lake.

        Stores that others bring are noticed, and ``catalog.yaml`` is written, now and then, and at
        the end.
        """
        return self._manager.together()

    def ingest(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        folders: int = 0,
        options: IngestOptions | None = None,
        progress: Progress | None = None,
        believe: Believe | None = None,
    ) -> Ingested:
        """Write a source into a store of this lake, unless it is there already.

        Into a lake in a bucket, too: shards are sent as they are made.

        Parameters
        ----------
        path
            Any file that stemzarr reads.
        name
            Name of the entry; by default the source's stem made safe. Where another source has
            that name, as many folders of the path as tell them apart come first, and 8 hex
            digits of the header's digest last where none do.
        folders
            How many folders such a name begins with at least.
        options
            Codec, budget, threads and the rest.
        progress
            Receives how many bytes of pixel data are done.
        believe
            Is asked whether the first folder was moved to the second, where a file looks like one
            that was there: True trusts that it was, False compares every byte.

        Raises
        ------
        StoreExistsError
            Another source has the given name, the file is in the lake and would differ by the
            options, or it looks like one that was moved, and `believe` is not given.
        OptionError
            The given name is not safe on every system.
        SourceNotFoundError, CorruptFileError, SourceChangedError, WriteError
            The source cannot be read, or the store not be written.
        """
        from stemzarr_catalog.ingesting import Callbacks, ingest_into
        from stemzarr_catalog.naming import Naming

        self._manager.check_ingest()
        naming = Naming(name=name, folders=folders)
        callbacks = Callbacks(progress=progress, believe=believe)
        return ingest_into(self, as_path(path), naming, options or IngestOptions(), callbacks)

    def calibrate(self, name: str, facts: Mapping[str, Fact]) -> tuple[Change, ...]:
        """Set calibration and facts of an entry; the store keeps the earlier values.

        Parameters
        ----------
        name
            The entry.
        facts
            Values by name, such as ``camera_length_mm`` or ``det_x.scale``.

        Returns
        -------
        tuple of Change
            What is different now.

        Raises
        ------
        EntryNotFoundError, OptionError, WriteError
            There is no such entry or fact, or the store cannot be written.
        """
        from stemzarr.store import revise

        self._manager.check_writable()
        changes = revise(self[name].path, facts)
        self.update(name)
        return changes

    def redact(self, name: str) -> Redaction:
        """Remove from store, notes, index and ``catalog.yaml`` who made a scan, of what, and where.

        Raises
        ------
        EntryNotFoundError, OptionError, WriteError
            There is no such entry, it is virtual, or the store cannot be written.
        """
        self._manager.check_writable()
        from stemzarr_catalog.redacting import redact_entry

        return redact_entry(self, self._manager, self[name])

    def rename(self, name: str, new: str) -> Entry:
        """Give an entry another name, in its store, notes, the index and ``catalog.yaml``.

        Its former name is remembered, because exports say it, unless the entry is redacted.

        Raises
        ------
        EntryNotFoundError
            The lake has no such entry.
        OptionError, StoreExistsError
            The new name is not safe on every system, or another entry has it.
        StoreBusyError, WriteError
            Another process writes the entry, or it cannot be renamed.
        """
        from stemzarr_catalog.renaming import rename_entry

        self._manager.check_writable()
        rename_entry(self, self._manager, self[name], new)
        return self[new]

    def remove(self, name: str, *, keep_results: bool = False) -> None:
        """Delete an entry: its store, its notes, and the results that were added to it.

        Parameters
        ----------
        name
            The entry.
        keep_results
            Whether its results stay where they are. They belong to the entry again when the same
            source is ingested under the same name.

        Raises
        ------
        EntryNotFoundError
            The lake has no such entry.
        WriteError
            The store cannot be deleted; the entry stays.
        """
        from stemzarr_catalog.removing import remove_entry

        self._manager.check_writable()
        store = self.store_path(name) if name in self.problems else self[name].path
        results = None if keep_results else results_folder(self.path, name)
        remove_entry(self._manager, name, store, self.notes_path(name), results)

    def _repr_html_(self) -> str:
        from stemzarr_catalog.html_repr import lake_html

        first = self.search(sort="acquired", descending=True, limit=20)
        return lake_html(str(self.path), len(self), self.facets("kind"), first)

    def __repr__(self) -> str:
        return (
            f"<Lake {str(self.path)!r} with {len(self)} {'entry' if len(self) == 1 else 'entries'}>"
        )
