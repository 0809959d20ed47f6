"""Data sets as a foreign format describes them, and the source that they become."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.formats.labelling import FoundAxis, Hints, Labels, label_axes
from stemzarr.formats.naming import make_slugs
from stemzarr.metadata.finding import Facts, facts_from_hyperspy, split_facts
from stemzarr.model import (
    PATTERN_KINDS,
    Blocks,
    Brightness,
    Document,
    Source,
    main_document,
)
from stemzarr.options import ReadOptions
from stemzarr.pixels.reordered import ReorderedBlocks
from stemzarr.storage.acquisitions import acquisition_name
from stemzarr.storage.objects import Stamp

__all__ = [
    "FileFacts",
    "Found",
    "build_source",
    "refuse_dataset",
    "reorder",
    "slugs_of",
    "stamp_of_all",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One data set before its axes are understood."""

    title: str
    """Name as the format gives it, empty where it has none."""
    base: Blocks
    """The pixels in the order of the disk; colour has ``channel`` as a further, last dim."""
    axes: tuple[FoundAxis, ...]
    """The axes in the order of the disk, without ``channel``."""
    hints: Hints = field(default_factory=Hints)
    """What the format says about the whole."""
    channels: tuple[str, ...] = ()
    """Names of the colour channels."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Metadata in HyperSpy's arrangement, from which facts are taken."""
    original: Mapping[str, Any] = field(default_factory=dict)
    """HyperSpy's ``original_metadata``; facts that `metadata` lacks are taken from tags of DM."""
    further: Mapping[str, Any] = field(default_factory=dict)
    """What is kept beside these two in the source's metadata."""
    facts: Facts = field(default_factory=dict)
    """Facts that the reader found by itself; they outrank those in `metadata`."""
    notes: tuple[str, ...] = ()
    """What a person should know."""
    valid: NDArray[np.bool_] | None = None
    """Mask of the patterns that are there, shaped as the scan; None where all are."""
    bad_pixels: NDArray[np.bool_] | None = None
    """Mask of the bad pixels of a pattern, its two dims in the order of `base`; None where none."""
    missing: str = ""
    """What the format declares and the file does not hold, in words; empty where all is there."""
    address: str = ""
    """Path of the data set inside the file, for ``--dataset``."""
    brightness: Brightness | None = None
    """Calibration of the values, where the format has one."""
    thumbnail: bool = False
    """Whether it is only a picture beside the data: a thumbnail, a screenshot, a drawing."""
    computed: bool = False
    """Whether it was computed from what an instrument recorded, as a map of an element."""
    document: Document | None = None
    """All of it with its labels, where the file has them as a store has; nothing else counts."""
    uses: tuple[str, ...] = ()
    """Paths of further data sets inside the file that are a part of it, such as masks."""


def refuse_dataset(path: Path, options: ReadOptions) -> None:
    """Raise where one data set is asked for of a format that has none with paths.

    Raises
    ------
    OptionError
        ``dataset`` is set.
    """
    if options.dataset is not None:
        msg = f"{path.suffix} files have no data sets with paths such as {options.dataset!r}"
        raise OptionError(msg, path=path, hint="leave --dataset out: all that it holds is read")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What is known of the file as a whole."""

    format: str
    """Name of the format."""
    stamp: Stamp | None = None
    """Size and modification time where they are not those of the file and all its `parts`."""
    load_metadata: Callable[[], dict[str, Any]] | None = None
    """Gives the whole metadata as clean JSON, where they are not those of the data sets."""
    notes: tuple[str, ...] = ()
    """What a person should know."""
    complete: bool = True
    """Whether the file holds all that it declares, and no more."""
    parts: tuple[Path, ...] = ()
    """Further files of the same acquisition."""
    joined: bool = False
    """Whether the path is a folder, and the parts are all files of the acquisition."""


def stamp_of_all(paths: Sequence[Path]) -> Stamp:
    """Return the size of all files together and the latest of their modification times."""
    stamps = [Stamp.of(path) for path in paths]
    return Stamp(sum(one.size for one in stamps), max(one.modified_ns for one in stamps))


def build_source(
    path: Path, file: FileFacts, found: Sequence[Found], options: ReadOptions
) -> Source:
    """Label all data sets of a file and return them as a source.

    Raises
    ------
    UnsupportedDataError
        There is no data set.
    OptionError
        ``scan_shape`` fits none of them.
    """
    if not found:
        msg = "holds no data that stemzarr can take"
        raise UnsupportedDataError(msg, path=path, hint="only arrays of numbers become stores")
    slugs = slugs_of(path, found)
    documents = tuple(
        _document(index, slug, one.title or acquisition_name(path), one, options)
        for index, (slug, one) in enumerate(zip(slugs, found, strict=True))
    )
    _check_scan_shape(path, documents, options)
    stamp = file.stamp or stamp_of_all((path, *file.parts))
    return Source(
        path=path,
        format=file.format,
        size=stamp.size,
        modified_ns=stamp.modified_ns,
        documents=documents,
        main=main_document(documents),
        load_metadata=file.load_metadata or functools.partial(_metadata_tree, path, found),
        notes=(*file.notes, *dict.fromkeys(one.missing for one in found if one.missing)),
        parts=file.parts,
        joined=file.joined,
        complete=file.complete and not any(one.missing for one in found),
    )


def slugs_of(path: Path, found: Iterable[Found]) -> tuple[str, ...]:
    """Return the slug of each data set of a file."""
    return make_slugs(one.title or acquisition_name(path) for one in found)


def _metadata_tree(path: Path, found: Sequence[Found]) -> dict[str, Any]:
    """Return ``metadata`` and ``original_metadata`` of each data set that has some, by its slug."""
    return {
        slug: {"metadata": one.metadata, "original_metadata": one.original, **one.further}
        for slug, one in zip(slugs_of(path, found), found, strict=True)
        if one.metadata or one.original or one.further
    }


def _document(index: int, slug: str, title: str, found: Found, options: ReadOptions) -> Document:
    if found.document is not None:
        return dataclasses.replace(found.document, index=index, slug=slug, notes=found.notes)
    labels = label_axes(found.axes, options, found.hints)
    facts, places = split_facts({**_told_facts(found, slug), **found.facts})
    bad = _bad_pixels(found, labels)
    return Document(
        index=index,
        slug=slug,
        title=title,
        kind=labels.kind,
        axes=labels.axes,
        blocks=reorder(found.base, labels),
        layout=labels.layout,
        channels=found.channels,
        brightness=found.brightness,
        thumbnail=found.thumbnail,
        computed=found.computed,
        facts=facts,
        fact_paths=places,
        notes=(*filter(None, (found.missing,)), *found.notes, *labels.notes, *_bad_notes(bad)),
        valid=_valid(found, tuple(axis.size for axis in labels.axes)),
        bad_pixels=bad,
    )


def _told_facts(found: Found, slug: str) -> Facts:
    """Return the facts in HyperSpy's metadata, and others in the tags that it made them from."""
    facts, paths = facts_from_hyperspy(found.metadata, f"{slug}/metadata")
    stated = {name: (value, paths[name]) for name, value in facts.items()}
    if "ImageList" not in found.original:
        return stated
    from stemzarr.formats.dm.hyperspy_tags import facts_from_tags

    return {**facts_from_tags(found.original, f"{slug}/original_metadata"), **stated}


def _bad_pixels(found: Found, labels: Labels) -> NDArray[np.bool_] | None:
    """Return the mask of the last two dims, turned as they are; None where it is not theirs."""
    mask, dims = found.bad_pixels, labels.order[-2:]
    if mask is None or found.channels or labels.kind not in PATTERN_KINDS:
        return None
    if len(dims) < mask.ndim or not mask.any():
        return None
    if mask.shape != tuple(found.base.shape[dim] for dim in sorted(dims)):
        return None
    return mask if dims[0] < dims[1] else mask.T


def _bad_notes(bad: NDArray[np.bool_] | None) -> tuple[str, ...]:
    if bad is None:
        return ()
    number = int(np.count_nonzero(bad))
    verb = "is" if number == 1 else "are"
    return (f"{number} of {bad.size} detector pixels {verb} marked as bad",)


def _valid(found: Found, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return the mask of a scan, None where it is not that of its first two dims."""
    if found.valid is None or found.valid.shape != shape[:2]:
        return None
    return found.valid


def _check_scan_shape(path: Path, documents: Sequence[Document], options: ReadOptions) -> None:
    wanted = options.scan_shape
    if wanted is None:
        return
    if any(one.kind == "4d-stem" and one.shape[:2] == wanted for one in documents):
        return
    counts = [
        math.prod(one.shape[:2]) if one.kind == "4d-stem" else one.shape[0]
        for one in documents
        if one.kind in ("4d-stem", "stack")
    ]
    held = " and ".join(map(str, counts)) or "no"
    msg = f"a scan of {wanted[0]} x {wanted[1]} needs {math.prod(wanted)} patterns, it holds {held}"
    raise OptionError(msg, path=path, hint="give --scan-shape rows,columns of the whole scan")


def reorder(base: Blocks, labels: Labels) -> Blocks:
    """Return `base` in the order and shape of its labels.

    A colour channel, the one dim that `base` has and the labels do not name, stays last.
    """
    channel = len(labels.order) < len(base.shape)
    order = (*labels.order, len(labels.order)) if channel else labels.order
    if order == tuple(range(len(base.shape))) and labels.scan is None:
        return base
    pattern = len(labels.axes) - 2 + channel if labels.scan else 2
    return ReorderedBlocks(base=base, order=order, scan=labels.scan, pattern_ndim=pattern)
