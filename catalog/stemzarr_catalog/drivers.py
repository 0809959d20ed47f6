"""What intake sees: one store as a source, one lake as a catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intake.catalog import Catalog
from intake.catalog.entry import CatalogEntry
from intake.source.base import DataSource, Schema

from stemzarr.errors import EntryNotFoundError, OptionError
from stemzarr.options import as_path
from stemzarr.storage.address import as_source
from stemzarr_catalog.entry import Entry
from stemzarr_catalog.intake_yaml import render_selection
from stemzarr_catalog.lake import Lake
from stemzarr_catalog.opening import open_lake

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["LakeCatalog", "StemzarrSource", "open_address"]

_DEPTH = 2


def _local_path(address: str) -> Path:
    """Return the path that intake means: it gives plain paths and ``file://`` addresses.

    Raises
    ------
    OptionError
        The address is on another machine.
    """
    scheme, colon, rest = address.partition(":")
    return as_path(f"file:{rest}" if colon and scheme.lower() == "local" else address)


def _place_of(address: str) -> Path:
    """Return where a store or lake is: a path, or the address of a bucket or web server."""
    return _local_path(address) if address.lower().startswith("local:") else as_source(address)


def open_address(
    address: str,
    document: int | str | None = None,
    *,
    chunks: str | None = "source",
    **view: Any,  # noqa: ANN401 - the options of a View
) -> xr.Dataset:
    """Open a store, or any file that stemzarr reads, from the address that intake gives.

    Raises
    ------
    OptionError
        The address is of a kind that is not read, or the view does not fit.
    """
    entry = Entry(address, _place_of(address), "{}", "{}")
    return entry.open(document, chunks=chunks, **view)


class StemzarrSource(DataSource):  # type: ignore[misc]  # intake has no types
    """A store, or any file that stemzarr reads, as a source of intake.

    Parameters
    ----------
    urlpath
        The store or file.
    document
        Slug or index of a document; the main one by default.
    storage_options
        Only empty ones: stores are on file systems.
    metadata
        What the catalog says about it.
    view
        Options of a `stemzarr.View`: ``cat["scan"](downsample=2).to_dask()``.

    Raises
    ------
    OptionError
        There are `storage_options`.
    """

    name = "stemzarr"
    version = "1"
    container = "xarray"
    partition_access = False

    def __init__(
        self,
        urlpath: str,
        document: int | str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **view: Any,  # noqa: ANN401 - the options of a View
    ) -> None:
        if storage_options:
            # Neither they nor the address are repeated: both may hold secrets.
            raise OptionError("a store takes no storage_options", hint="leave them out")
        super().__init__(storage_options={}, metadata=dict(metadata or {}))
        self.urlpath = urlpath
        self.document = document
        self.view = view

    def _open(self, chunks: str | None) -> xr.Dataset:
        return open_address(self.urlpath, self.document, **{"chunks": chunks, **self.view})

    def _get_schema(self) -> Schema:
        """Say what the source holds, without reading values."""
        dataset = self._open(None)
        intensity = dataset["intensity"]
        return Schema(
            dtype=str(intensity.dtype),
            shape=tuple(intensity.shape),
            npartitions=1,
            extra_metadata={
                **dataset.attrs,
                "dims": list(intensity.dims),
                "coords": list(map(str, dataset.coords)),
            },
        )

    def _get_partition(self, _number: int) -> xr.Dataset:
        return self.read()

    def to_dask(self) -> xr.Dataset:
        """Return the labelled Dataset, lazy, its values in dask arrays of whole patterns."""
        self._load_metadata()
        dataset = self._open("source")
        return dataset if dataset.chunks else dataset.chunk()

    def read(self) -> xr.Dataset:
        """Return the labelled Dataset with all values in memory."""
        self._load_metadata()
        return self._open("source").load()

    read_chunked = to_dask

    def _close(self) -> None:
        """Nothing stays open."""


class LakeEntry(CatalogEntry):  # type: ignore[misc]  # intake has no types
    """One entry of a lake as intake describes it; nothing in it is a template.

    Parameters
    ----------
    entry
        The entry of the lake.
    catalog
        The catalog that it is seen through.
    """

    def __init__(self, entry: Entry, catalog: Catalog) -> None:
        super().__init__(getenv=False, getshell=False)
        self._entry = entry
        self._catalog = catalog
        self._container = StemzarrSource.container
        self._user_parameters: list[Any] = []

    @property
    def name(self) -> str:
        """Name of the entry."""
        return self._entry.name

    @property
    def _metadata(self) -> dict[str, Any]:
        notes = self._entry.notes
        return {
            "kind": self._entry.kind,
            "dims": list(self._entry.dims),
            "shape": list(self._entry.shape),
            "dtype": self._entry.dtype,
            **self._entry.facts,
            "source": self._entry.source,
            "tags": list(notes.tags),
            "remark": notes.remark,
            **notes.fields,
        }

    def describe(self) -> dict[str, Any]:
        """Say what the entry is."""
        return {
            "name": self.name,
            "container": self._container,
            "plugin": [StemzarrSource.name],
            "driver": [StemzarrSource.name],
            "description": self._entry.title,
            "direct_access": "forbid",
            "user_parameters": [],
            "metadata": self._metadata,
            "args": {"urlpath": str(self._entry.path)},
        }

    def get(self, **arguments: Any) -> StemzarrSource:  # noqa: ANN401 - options of a View
        """Return the source, with a document or a view if they are given."""
        source = StemzarrSource(str(self._entry.path), metadata=self._metadata, **arguments)
        source.name = self.name
        source.description = self._entry.title
        source.cat = source.catalog_object = self._catalog
        return source


class LakeEntries(Mapping[str, LakeEntry]):
    """The entries of a lake that a query is true of, fetched when they are asked for.

    Parameters
    ----------
    lake
        The lake.
    query
        The query; an empty one is true of every entry.
    catalog
        The catalog that they are seen through.
    """

    def __init__(self, lake: Lake, query: str, catalog: Catalog) -> None:
        self._lake = lake
        self._query = query
        self._catalog = catalog

    @cached_property
    def _found(self) -> set[str]:
        return set(self._lake.names(self._query))

    def __getitem__(self, name: str) -> LakeEntry:
        if name not in self:
            raise EntryNotFoundError(f"there is no entry {name!r}", path=self._lake.path)
        return LakeEntry(self._lake[name], self._catalog)

    def __contains__(self, name: object) -> bool:
        return name in (self._found if self._query else self._lake)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._found) if self._query else self._lake)

    def __len__(self) -> int:
        return len(self._found if self._query else self._lake)

    def items(self) -> Any:  # noqa: ANN401 - a view of a mapping
        """Give name and entry, from one look at the index."""
        return [
            (entry.name, LakeEntry(entry, self._catalog))
            for entry in self._lake.search(self._query)
        ]


class LakeCatalog(Catalog):  # type: ignore[misc]  # intake has no types
    """A lake as a catalog of intake, however many entries it has.

    Parameters
    ----------
    path
        Folder or address of the lake; by default the one that `stemzarr_catalog.find_lake` finds.
    query
        Which entries are seen; see `stemzarr_catalog.query`.
    options
        Those of every catalog of intake.
    """

    name = "stemzarr_lake"
    version = "1"
    container = "catalog"
    partition_access = False

    def __init__(self, path: str | None = None, query: str = "", **options: Any) -> None:  # noqa: ANN401 - those of a catalog of intake
        self.path = path
        self.query = query
        super().__init__(**options)

    def _load(self) -> None:
        """Open the lake; intake calls this again when the catalog is older than ``ttl``."""
        self.lake = open_lake(None if self.path is None else _place_of(self.path))
        self._entries = LakeEntries(self.lake, self.query, self)

    def search(self, text: str, depth: int = _DEPTH) -> LakeCatalog:  # noqa: ARG002 - intake passes it
        """Return the catalog of the entries that a query is true of.

        Raises
        ------
        QueryError
            The query cannot be understood.
        """
        both = f"({self.query}) ({text})" if self.query and text.strip() else text or self.query
        found = LakeCatalog(
            str(self.lake.path), query=both, name=f"{self.name}_search", ttl=self.ttl
        )
        found.metadata = {**self.metadata, "search": {"text": text, "upstream": self.name}}
        found.cat = self
        len(found)
        return found

    def serialize(self) -> str:
        """Return the YAML of a catalog of these entries, as `save` writes it.

        The stores are named by their absolute paths, so that the file may be anywhere.
        """
        metadata = {"version": 1, **(self.metadata or {})}
        return render_selection(self.lake.search(self.query), metadata, self.name or "")
