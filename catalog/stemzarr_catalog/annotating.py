"""What people add to the entries of a lake: notes, and results that they computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr_catalog import tables
from stemzarr_catalog.names import lookup_name
from stemzarr_catalog.notes import Notes, read_notes, write_notes
from stemzarr_catalog.reconcile import read_added

if TYPE_CHECKING:
    import xarray as xr

    from stemzarr.model import Fact
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.index_manager import IndexManager
    from stemzarr_catalog.results import Result

__all__ = ["Annotated"]


class Annotated:
    """A lake, as far as people add to its entries; `Lake` is the whole of it."""

    path: Path
    _manager: IndexManager

    if TYPE_CHECKING:

        def __getitem__(self, name: str) -> Entry: ...

    def notes_path(self, name: str) -> Path:
        """Return where the notes of an entry are, or would be."""
        return self.path / "notes" / f"{lookup_name(name)}.json"

    def tag(
        self,
        name: str,
        *tags: str,
        remove: tuple[str, ...] = (),
        remark: str | None = None,
        fields: Mapping[str, Fact | None] | None = None,
    ) -> Entry:
        """Add to what people say about an entry.

        Parameters
        ----------
        name
            The entry.
        tags
            Tags to add.
        remove
            Tags to take away; a tag that does not exist is not an error.
        remark
            The new remark; None leaves the present one, an empty text takes it away.
        fields
            Own fields to set; None as a value takes a field away.

        Raises
        ------
        EntryNotFoundError
            The lake has no such entry.
        OptionError
            A tag or the name of a field cannot be used.
        """
        return self._change_notes(
            name, lambda notes: notes.changed(tags, remove, remark, fields or {})
        )

    def add_export(self, name: str, record: Mapping[str, Any]) -> Entry:
        """Note that an export was made from an entry.

        Parameters
        ----------
        name
            The entry.
        record
            JSON that says where it went and what it holds, such as ``ExportResult.json()``.
        """
        return self._change_notes(
            name, lambda notes: dataclasses.replace(notes, exports=(*notes.exports, dict(record)))
        )

    def _change_notes(self, name: str, change: Callable[[Notes], Notes]) -> Entry:
        entry = self[name]
        path = self.notes_path(entry.name)
        with self._manager.locked():
            write_notes(path, change(read_notes(path)))
            self._note(entry.name)
        return self[name]

    def _note(self, name: str) -> None:
        """Bring the index in line with what people added to an entry; the caller holds the lake."""
        notes = read_notes(self.notes_path(name))
        self._manager.write(tables.replace_notes, name, notes, read_added(self.path, name))

    def add_result(
        self,
        name: str,
        array: xr.DataArray,
        lineage: Mapping[str, Any] | None = None,
        *,
        overwrite: bool = False,
    ) -> Result:
        """Keep what was computed from an entry, below ``results/NAME``; its store is not touched.

        Parameters
        ----------
        name
            The entry.
        array
            The result, such as a map over the scan, whose name it is called by. Dims, coordinates
            and attributes are kept.
        lineage
            Where it came from, such as ``{"code": "train.py", "model": model_digest(model)}``. The
            digest of the source, the time and the version of stemzarr are noted by themselves.
        overwrite
            Whether a result of that name is replaced.

        Raises
        ------
        EntryNotFoundError
            The lake has no such entry.
        OptionError
            The array has no name that can be a file's, or holds other values than numbers; or
            attributes or lineage are not JSON.
        StoreExistsError
            The entry has a result of that name.
        WriteError
            It cannot be written.
        """
        from stemzarr_catalog.results import add_result

        self._manager.check_writable()
        with self._manager.locked():
            result = add_result(self.path, self[name], array, lineage, overwrite=overwrite)
            self._note(name)
        return result

    def remove_result(self, name: str, result: str) -> None:
        """Delete a result of an entry.

        Raises
        ------
        EntryNotFoundError
            There is no such entry or result.
        WriteError
            It cannot be deleted.
        """
        from stemzarr_catalog.results import remove_result

        self._manager.check_writable()
        with self._manager.locked():
            remove_result(self[name], result)
            self._note(name)
