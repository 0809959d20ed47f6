"""Whatever RosettaSciIO reads, lazily, under our labels."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import h5py

from stemzarr.errors import (
    CorruptFileError,
    MissingDependencyError,
    StemzarrError,
    UnknownFormatError,
)
from stemzarr.formats.found import FileFacts, Found, build_source, refuse_dataset
from stemzarr.formats.hdf5.files import contiguous_block, stored_dtype
from stemzarr.formats.labelling import Hints
from stemzarr.formats.packed import refuse_packed
from stemzarr.formats.rosettasciio.axes import find_axes
from stemzarr.formats.rosettasciio.incomplete import check_delivered, read_run
from stemzarr.formats.rosettasciio.library import (
    LibraryBlocks,
    Plugin,
    known_suffixes,
    open_signals,
    plugins_for,
)
from stemzarr.formats.rosettasciio.metadata import find_parts, find_value, map_metadata
from stemzarr.formats.rosettasciio.runs import find_run
from stemzarr.formats.zarr.marks import folder_size
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import plain_text
from stemzarr.model import Source
from stemzarr.options import ReadOptions
from stemzarr.recognition import lead_by_name, suffixes_of
from stemzarr.storage.objects import Stamp
from stemzarr.storage.reasons import reading

__all__ = ["read_rosettasciio"]

_FRAMES: Final = frozenset({"Blockfile", "TVIPS"})
"""Plugins of detectors that write pattern after pattern."""


def read_rosettasciio(path: Path, options: ReadOptions, suffix: str = "") -> Source:
    """Return what a file of one of RosettaSciIO's formats holds, without reading pixels.

    Formats that RosettaSciIO cannot read lazily are loaded once to be understood. A `suffix`
    other than that of the file is given where its content is known to be of another format.

    Raises
    ------
    UnknownFormatError
        Nobody reads files of that suffix, or it is a folder, or a part of another's acquisition.
    CorruptFileError
        The file is empty, or not what its suffix says.
    OptionError
        A data set was asked for in a format that has no paths.
    """
    stamp = _check(path)
    suffix = suffix or path.suffix.lower()
    plugins = plugins_for(suffix.removeprefix("."))
    if not plugins:
        refuse_packed(path)
        lead = lead_by_name(path)
        if lead is not None:
            msg = f"is a part of the acquisition that is read by {lead.name}"
            raise UnknownFormatError(msg, path=path, hint=f"give {lead.name} instead")
        shown = " ".join(sorted({".npy", *suffixes_of("named"), *known_suffixes()}))
        msg = f"unrecognized file format ({suffix!r})"
        raise UnknownFormatError(msg, path=path, hint=f"known are .dm3 .dm4 .hspy .mib {shown}")
    refuse_dataset(path, options)
    declared = find_run(path)
    if declared is not None and (declared.ours or not declared.run.complete):
        describe = functools.partial(_describe, plugins=plugins, origin=path)
        return read_run(path, declared, describe, options)
    plugin, signals, messages = _first_that_reads(path, plugins)
    source = _source(path, stamp, plugin, (signals, messages), options)
    return source if declared is None else check_delivered(source, declared)


def _describe(path: Path, plugins: Sequence[Plugin], origin: Path) -> Found | None:
    """Return the first data set of a file as RosettaSciIO describes it.

    The file is a sample of `origin`, whose records are located beside that one.
    """
    plugin, signals, _ = _first_that_reads(path, plugins)
    return _found(origin, Stamp.of(origin), plugin, 0, signals[0])


def _check(path: Path) -> Stamp:
    """Return the stamp of a file that may hold something.

    Raises
    ------
    UnknownFormatError, CorruptFileError, ReadError
        It is a folder, empty, or no HDF5 file under one of HDF5's suffixes.
    """
    if path.is_dir() and path.suffix.lower() == ".zspy":
        return Stamp.of(path)
    if path.is_dir():
        msg = "is a folder, and not a store"
        raise UnknownFormatError(
            msg, path=path, hint="name the files in it, or --join them as one set of frames"
        )
    stamp = Stamp.of(path)
    if stamp.size == 0:
        msg = "is empty"
        raise CorruptFileError(msg, path=path, hint="it may still be written; copy it again")
    with reading(path):
        is_hdf5 = path.suffix.lower() not in suffixes_of("expected") or h5py.is_hdf5(path)
    if not is_hdf5:
        msg = f"is not an HDF5 file, as its suffix {path.suffix} says"
        raise CorruptFileError(msg, path=path, hint="it may be truncated; copy it again")
    return stamp


def _first_that_reads(
    path: Path, plugins: Sequence[Plugin]
) -> tuple[Plugin, list[dict[str, Any]], tuple[str, ...]]:
    """Return the first plugin of a suffix that reads the file, and what it gives.

    Raises
    ------
    CorruptFileError, MissingDependencyError, UnsupportedDataError
        None does; where several were asked, what each of them said.
    """
    failures: list[StemzarrError] = []
    for plugin in plugins:
        try:
            return plugin, *open_signals(path, plugin)
        except StemzarrError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    found = [one for one in failures if not isinstance(one, MissingDependencyError)] or failures
    raise type(found[0])(
        "; ".join(one.message for one in failures),
        path=path,
        hint=" or ".join(dict.fromkeys(one.hint for one in failures if one.hint)),
    )


def _source(
    path: Path,
    stamp: Stamp,
    plugin: Plugin,
    read: tuple[list[dict[str, Any]], tuple[str, ...]],
    options: ReadOptions,
) -> Source:
    found, notes = [], list(read[1])
    parts = find_parts(plugin.name, path)
    stamps = tuple((part, Stamp.of(part)) for part in parts)
    for index, signal in enumerate(read[0]):
        one = _found(path, stamp, plugin, index, signal, stamps)
        if one is None:
            notes.append(f"{_name(signal, index)} holds no plain numbers and is left out")
        else:
            found.append(one)
    facts = FileFacts(
        format=path.suffix.lower().removeprefix("."),
        stamp=Stamp(*folder_size(path)) if path.is_dir() else None,
        notes=tuple(notes),
        parts=parts,
    )
    return build_source(path, facts, found, options)


def _name(signal: Mapping[str, Any], index: int) -> str:
    """Return how a note names a signal: by its title where it has one."""
    title = plain_text(find_value(clean_json(signal.get("metadata") or {}), "General.title"))
    return f"data set {index}" + (f" ({title!r})" if title else "")


def _found(
    path: Path,
    stamp: Stamp,
    plugin: Plugin,
    index: int,
    signal: Mapping[str, Any],
    parts: tuple[tuple[Path, Stamp], ...] = (),
) -> Found | None:
    array = signal.get("data")
    known = None if array is None else stored_dtype(array.dtype)
    if array is None or known is None or not array.shape or 0 in array.shape:
        return None
    dtype, channels = known
    metadata: dict[str, Any] = clean_json(map_metadata(plugin.name, path, signal))
    shape = (*array.shape, len(channels)) if channels else array.shape
    chunks = _chunks(plugin, array, dtype.itemsize)
    axes, notes = find_axes(plugin.name, path, signal, array.shape)
    described = signal.get("axes") or ()
    block = chunks or tuple(getattr(array, "chunksize", array.shape))
    return Found(
        title=plain_text(find_value(metadata, "General.title")),
        base=LibraryBlocks(
            path=path,
            stamp=stamp,
            plugin=plugin,
            index=index,
            shape=shape,
            dtype=dtype,
            block_shape=(*block, *shape[len(block) :]),
            chunks=chunks,
            whole=not hasattr(array, "compute"),
            parts=parts,
        ),
        axes=axes,
        notes=notes,
        hints=Hints(
            signal_type=plain_text(find_value(metadata, "Signal.signal_type")),
            frames=f"{path.suffix} files hold pattern after pattern" * (plugin.name in _FRAMES),
        ),
        channels=channels,
        metadata=metadata,
        original=clean_json(signal.get("original_metadata") or {}),
        # an axis that is uneven is described as a whole
        further={"axes": clean_json(list(described))} if any(a.uneven for a in axes) else {},
        computed=bool(signal.get("computed")),
    )


def _chunks(plugin: Plugin, array: Any, itemsize: int) -> tuple[int, ...] | None:  # noqa: ANN401 - dask or numpy
    """Return chunks to ask for, where those that RosettaSciIO chooses are larger than need be."""
    wanted = contiguous_block(array.shape, itemsize)
    chosen = getattr(array, "chunksize", None)
    if chosen is None or chosen == wanted or not plugin.takes_chunks:
        return None
    return wanted
