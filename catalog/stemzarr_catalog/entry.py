"""Entries of a lake, and lists of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from stemzarr_catalog.notes import Notes

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stemzarr.model import Fact
    from stemzarr_catalog.results import Result

__all__ = ["Entry", "EntryList"]

_PANDAS = {
    "text": "str",
    "number": "float64",
    "whole": "Int64",
    "flag": "boolean",
    "date": "datetime64[us]",
}
"""What pandas calls the types of columns; lists are objects."""


class Entry:
    """One store of a lake: what it is, where it came from, and how to open it.

    Parameters
    ----------
    name
        Name of the entry.
    path
        The store.
    record
        The row of the index as JSON text; it is parsed when something of it is asked for.
    notes
        What people added, as JSON text.
    """

    def __init__(self, name: str, path: Path, record: str, notes: str) -> None:
        self.name = name
        self.path = path
        self._record_text = record
        self._notes_text = notes

    @cached_property
    def _record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self._record_text)
        return record

    @property
    def title(self) -> str:
        """Title of the main document."""
        return str(self._record["title"])

    @property
    def kind(self) -> str:
        """What the main document is, such as ``4d-stem``."""
        return str(self._record["kind"])

    @property
    def dims(self) -> tuple[str, ...]:
        """Dims of the main document."""
        return tuple(self._record["dims"])

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of these dims."""
        return tuple(self._record["shape"])

    @property
    def dtype(self) -> str:
        """Name that numpy gives the type of the values."""
        return str(self._record["dtype"])

    @property
    def facts(self) -> dict[str, Fact]:
        """What is known of the acquisition, under the names of the store schema."""
        return dict(self._record["facts"])

    @property
    def source(self) -> dict[str, Any]:
        """Provenance: name, format, size, hash of the source; how and when it was ingested."""
        return dict(self._record["source"])

    @property
    def documents(self) -> list[dict[str, Any]]:
        """All documents: index, slug, main, title, kind, dims, shape, dtype, axes."""
        return list(self._record["documents"])

    @property
    def document(self) -> dict[str, Any]:
        """The main document, as one of `documents`."""
        return next(document for document in self.documents if document["main"])

    @property
    def stored_bytes(self) -> int:
        """Size of the store, as its manifest has it; 0 where it has none."""
        return int(self._record.get("stored_bytes") or 0)

    @property
    def fingerprint(self) -> str:
        """What tells the entry from what it was before its last ingest, revision or note."""
        texts = f"{self.name}\0{self._record_text}\0{self._notes_text}"
        return xxhash.xxh3_64_hexdigest(texts.encode())

    @cached_property
    def notes(self) -> Notes:
        """What people added, and the exports that were made."""
        return Notes.from_json(json.loads(self._notes_text))

    @property
    def origins(self) -> tuple[str, ...]:
        """Marks of where the pixels came from: entries that share one have one origin.

        Equal pixels of equal type that are stored alike share one, and so do a source and what
        was exported from it and ingested again.
        """
        return tuple(self._record.get("origins") or ())

    @property
    def results(self) -> dict[str, Result]:
        """Results that were added to the entry, by name; `open_result` opens one.

        Raises
        ------
        CorruptFileError
            What is among them is not a result.
        """
        from stemzarr_catalog.results import read_results

        return read_results(self.path.parent.parent, self.name, self.source.get("hash"))

    def open_result(self, name: str) -> xr.DataArray:
        """Open a result that was added to the entry, lazily, as it was added.

        Raises
        ------
        EntryNotFoundError
            There is none of that name; the message names the nearest ones.
        """
        from stemzarr_catalog.results import open_result, pick_result

        return open_result(pick_result(self.results, name, self.name))

    def open(
        self,
        document: int | str | None = None,
        *,
        chunks: Mapping[str, int] | str | None = "source",
        **view: Any,  # noqa: ANN401 - the options of a View
    ) -> xr.Dataset:
        """Open a document of the entry, or a view of it, lazily and labelled.

        Parameters
        ----------
        document
            Slug or index; the main document by default.
        chunks
            How dask cuts the values, as for `stemzarr.open`; a view brings its own.
        view
            Options of a `stemzarr.View`, such as ``scan_step=2, downsample=4``.

        Returns
        -------
        xarray.Dataset
            As `stemzarr.open` gives it, or `stemzarr.render` where there is a view.

        Raises
        ------
        EntryNotFoundError, OptionError, DamagedStoreError
            There is no such document, the view does not fit, or the store has lost files.

        See Also
        --------
        stemzarr.open : The same of a path.

        Examples
        --------
        >>> from stemzarr_catalog import open_lake
        >>> entry = open_lake("stemzarr-lake")["scan"]
        >>> entry.open(scan_step=2, downsample=4).intensity.shape
        (4, 5, 4, 4)
        """
        from stemzarr import api

        if not view:
            return api.open(self.path, document=document, chunks=chunks)
        from stemzarr.views import View

        return api.render(self.path, View(**view), document=document)

    def json(self) -> dict[str, Any]:
        """Return the entry as ``ls --json`` and ``show --json`` print it."""
        said = self.said(str(self.path))
        added = [result.json() for result in self.results.values()]
        return {**said, "results": added} if added else said

    def said(self, store: str) -> dict[str, Any]:
        """Return what the index says of the entry as JSON, with the place of its store."""
        record = {key: value for key, value in self._record.items() if key != "origins"}
        return {**record, "store": store, "notes": self.notes.json()}

    def row(self) -> dict[str, Any]:
        """Return the entry as one flat row of a table, under the names that queries know.

        Every built-in field is there, None where it is not known; then calibrations as
        ``det_x.scale``, people's own fields, `tag` and `has` (names of results), `dims`, `shape`,
        and `store`.

        Raises
        ------
        CorruptFileError
            What is among the results of the entry is not a result.
        """
        from stemzarr_catalog.rows import make_row

        return make_row(self._record, self.notes, self.results, str(self.path))

    def _repr_html_(self) -> str:
        from stemzarr_catalog.html_repr import entry_html

        return entry_html(self)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{d}: {n}" for d, n in zip(self.dims, self.shape, strict=True))
        return f"<Entry {self.name!r} {self.kind} ({sizes}) {self.dtype}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        return (self.path, self._record_text, self._notes_text) == (
            other.path,
            other._record_text,
            other._notes_text,
        )

    def __hash__(self) -> int:
        return hash(self.path)


class EntryList(list[Entry]):
    """Entries in the order of a search."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        super().__init__(entries)

    @property
    def names(self) -> list[str]:
        """The names of the entries."""
        return [entry.name for entry in self]

    def _repr_html_(self) -> str:
        from stemzarr_catalog.html_repr import entries_html

        return entries_html(self)

    def to_dataset(
        self,
        dim: str,
        *,
        document: int | str | None = None,
        chunks: Mapping[str, int] | str | None = "source",
    ) -> xr.Dataset:
        """Return the entries as one lazy Dataset with a further dim, as `stemzarr.open` does.

        Parameters
        ----------
        dim
            A fact, such as ``tilt_alpha_deg``, in whose order they come and whose values are the
            coordinate; any other name keeps the order, and has no coordinate.
        document, chunks
            As for `stemzarr.open`.

        Raises
        ------
        OptionError, UnsupportedDataError
            There are no entries, one lacks the fact, or their shapes, types or axes differ.
        """
        from stemzarr import api

        return api.open([each.path for each in self], dim=dim, document=document, chunks=chunks)

    def to_dataframe(self) -> pd.DataFrame:
        """Return a table with one row an entry, its name as index and a column for each field.

        Columns are called as queries call the fields, see `Entry.row`. Numbers are float64, sizes
        and other whole numbers Int64, flags boolean, dates datetime64 without a zone, as the clock
        at the instrument showed them (``ingested`` in UTC).

        Raises
        ------
        CorruptFileError
            As `Entry.row`.
        """
        import pandas as pd

        from stemzarr_catalog.rows import sort_into_columns

        columns = sort_into_columns([entry.row() for entry in self])
        series = {
            name: pd.Series(values, dtype=_PANDAS.get(kind, "object"))
            for name, (kind, values) in columns.items()
        }
        return pd.DataFrame(series).set_index("name")
