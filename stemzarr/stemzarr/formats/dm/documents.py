"""From the images of a DM tag tree to documents of the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemzarr.errors import (
    CorruptFileError,
    OptionError,
    StemzarrError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.formats.dm.facts import find_facts
from stemzarr.formats.dm.image import (
    RGBA,
    Calibration,
    DMPixels,
    read_dimensions,
    read_pixels,
)
from stemzarr.formats.dm.kinds import Meaning, find_meaning
from stemzarr.formats.dm.notes import find_notes
from stemzarr.formats.dm.pixels import ColourBlocks, PackedComplexBlocks
from stemzarr.formats.dm.salvage import recover_pixels
from stemzarr.formats.dm.survey import SurveyLink, find_survey, unique_id
from stemzarr.formats.dm.tags import TagGroup, TagTree
from stemzarr.formats.naming import make_slugs
from stemzarr.metadata.finding import split_facts
from stemzarr.metadata.units import is_calibrated, normalise_units
from stemzarr.model import Axis, Blocks, Document, Fact, Segment, dims_of_kind
from stemzarr.options import ReadOptions
from stemzarr.pixels.packing import COLOUR_CHANNELS
from stemzarr.pixels.partial import PartialBlocks
from stemzarr.pixels.raw import RawBlocks
from stemzarr.storage.objects import Stamp

__all__ = ["DMDocuments", "OpenBase", "read_documents"]

_BLOCK_BYTES = 1024**2
_LONG_NAMES = {
    "scan_y": "scan position y",
    "scan_x": "scan position x",
    "det_y": "detector y",
    "det_x": "detector x",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """One image with all that was found out about it."""

    index: int
    tags: TagGroup
    pixels: DMPixels
    meaning: Meaning
    thumbnail: bool
    survey: bool
    file_size: int | None

    @property
    def name(self) -> str:
        value = self.tags.value("Name")
        return value.strip() if isinstance(value, str) else ""

    @property
    def survey_link(self) -> SurveyLink | None:
        return find_survey(self.tags.group("ImageTags"))

    @property
    def cut(self) -> bool:
        end = self.pixels.offset + self.pixels.nbytes
        return self.file_size is not None and end > self.file_size


@dataclass(frozen=True, slots=True, kw_only=True)
class DMDocuments:
    """What the images of a tag tree are."""

    documents: tuple[Document, ...]
    """The documents in the order of the file."""
    segments: tuple[Segment, ...]
    """Where their pixels are, sorted by offset."""
    notes: tuple[str, ...]
    """What was left out."""


OpenBase = Callable[[int, DMPixels, Meaning], Blocks]
"""Gives the values of an image as they are stored, but in canonical order."""


def read_documents(
    tree: TagTree, options: ReadOptions, *, path: Path, open_base: OpenBase | None = None
) -> DMDocuments:
    """Return the documents of a tag tree, and where their pixels are.

    Parameters
    ----------
    tree
        What the file holds.
    options
        What is set where the file is silent or wrong.
    path
        The file.
    open_base
        Gives the pixels of an image by its index, where they are not a run of bytes of the file.

    Raises
    ------
    CorruptFileError
        Type, dims and size of an image contradict one another.
    TruncatedFileError
        A tree that ended early has lost what is needed.
    LayoutError
        The evidence for the order of a scan's axes contradicts itself.
    OptionError
        The scan shape that is set fits no image.
    UnsupportedDataError
        The pixels are in another file.
    """
    images, notes = _read_images(tree, options, path)
    if tree.early_end is None or not all(image.thumbnail for image in images):
        _check_scan_shape(images, options, path)
    slugs = dict(zip((i.index for i in images), make_slugs(map(_slug_title, images)), strict=True))
    links = _link_surveys(images, slugs)
    documents = tuple(
        _document(
            image,
            slugs[image.index],
            links[image.index],
            tree.root,
            _blocks(image, path, open_base),
        )
        for image in images
    )
    segments = sorted((_segment(image) for image in images), key=lambda part: part.offset)
    return DMDocuments(documents=documents, segments=tuple(segments), notes=tuple(notes))


def _read_images(tree: TagTree, options: ReadOptions, path: Path) -> tuple[list[_Image], list[str]]:
    entries = [tag.body for tag in tree.root.group("ImageList").entries]
    groups = [(n, entry) for n, entry in enumerate(entries) if isinstance(entry, TagGroup)]
    thumbnails = _thumbnails(tree.root, groups)
    links = [find_survey(entry.group("ImageTags")) for _, entry in groups]
    surveys = {link.survey_id for link in links if link is not None} - {None}
    images: list[_Image] = []
    notes: list[str] = []
    unread: dict[int, StemzarrError] = {}
    for index, entry in groups:
        tag_path = f"ImageList/[{index}]"
        try:
            if tree.early_end is None:
                pixels = read_pixels(entry, path=path, tag_path=tag_path)
            else:
                pixels = recover_pixels(entry, tree, options, path=path, tag_path=tag_path)
        except (UnsupportedDataError, CorruptFileError) as error:
            if isinstance(error, CorruptFileError) and index not in thumbnails:
                raise
            unread[index] = error
            notes.append(f"{error.message}: it is left out")
            continue
        if pixels is None:
            notes.append(f"{tag_path} holds no values of known dims and type: it is left out")
            continue
        chosen = ReadOptions() if index in thumbnails else options
        meaning = find_meaning(pixels, entry.group("ImageTags"), chosen, path=path)
        image = _Image(
            index=index,
            tags=entry,
            pixels=pixels,
            meaning=meaning,
            thumbnail=index in thumbnails,
            survey=unique_id(entry.find("UniqueID")) in surveys,
            file_size=None if tree.early_end is None else tree.file_size,
        )
        images.append(image)
    _check_unread(images, dict(groups), unread, thumbnails)
    return images, notes


def _check_unread(
    images: list[_Image],
    entries: dict[int, TagGroup],
    unread: dict[int, StemzarrError],
    thumbnails: set[int],
) -> None:
    """Raise where what cannot be read is what the file is for: no image beside it is as large."""
    largest = max((math.prod(one.pixels.shape) for one in images if not one.thumbnail), default=0)
    for index, error in unread.items():
        values = math.prod(read_dimensions(entries[index].group("ImageData")))
        if index not in thumbnails and values > largest:
            raise error
    if unread and not images:
        raise next(iter(unread.values()))


def _thumbnails(root: TagGroup, groups: list[tuple[int, TagGroup]]) -> set[int]:
    """Return the indices of thumbnails, by the list that a file has which did not end early."""
    listed = [entry.value("ImageIndex") for entry in root.group("Thumbnails").groups()]
    if root.get("Thumbnails") is not None:
        return {index for index in listed if isinstance(index, int)}
    first = groups[:1] if len(groups) > 1 else []
    return {
        index
        for index, entry in first
        if str(entry.value("Name")).startswith("Image Of ")
        and str(entry.value("ImageData", "DataType")) == str(RGBA)
    }


def _check_scan_shape(images: list[_Image], options: ReadOptions, path: Path) -> None:
    if options.scan_shape is None:
        return
    shapes = [image.meaning.scan_shape for image in images if not image.thumbnail]
    if options.scan_shape not in shapes:
        msg = f"scan_shape {options.scan_shape} fits none of its images"
        hint = "it is for stacks of patterns: leave it out for scans that know their shape"
        raise OptionError(msg, path=path, hint=hint)


def _link_surveys(images: list[_Image], slugs: dict[int, str]) -> dict[int, dict[str, Fact]]:
    """Return for each image the attributes that tie scan and survey image together."""
    links: dict[int, dict[str, Fact]] = {image.index: {} for image in images}
    surveys = {unique_id(image.tags.find("UniqueID")): image for image in images if image.survey}
    for image in images:
        link = image.survey_link
        if link is None or image.survey or image.thumbnail:
            continue
        links[image.index] |= link.attributes()
        survey = surveys.get(link.survey_id)
        if survey is not None:
            links[image.index]["survey_document"] = slugs[survey.index]
            rectangle = {**link.attributes(), "scan_document": slugs[image.index]}
            links[survey.index] = {**rectangle, **links[survey.index]}
    return links


def _slug_title(image: _Image) -> str:
    if image.thumbnail:
        return "thumbnail"
    return "survey" if image.survey else image.name or image.meaning.kind


def _segment(image: _Image) -> Segment:
    pixels = image.pixels
    return Segment(
        document=image.index,
        offset=pixels.offset,
        nbytes=pixels.nbytes,
        shape=image.meaning.disk_shape,
        dtype=pixels.dtype,
        rotation=image.meaning.rotation,
        encoding=pixels.encoding,
    )


def _blocks(image: _Image, path: Path, open_base: OpenBase | None) -> Blocks:
    pixels = image.pixels
    packed = pixels.encoding.startswith("packed")
    base: Blocks
    if open_base is not None:
        base = open_base(image.index, pixels, image.meaning)
    else:
        base = RawBlocks(
            path=path,
            stamp=Stamp.of(path),
            offset=pixels.offset,
            disk_shape=pixels.packed_shape if packed else image.meaning.disk_shape,
            stored=np.dtype(pixels.dtype),
            rotation=image.meaning.rotation,
            pattern_ndim=2,
            block_bytes=_BLOCK_BYTES,
        )
    if packed:
        return PackedComplexBlocks(base, width=pixels.shape[-1])
    if image.cut:
        return _partial_blocks(image, base, path)
    return ColourBlocks(base) if pixels.encoding == "bgra" else base


def _partial_blocks(image: _Image, base: Blocks, path: Path) -> PartialBlocks:
    """Return the patterns of a scan that its file holds before it ends."""
    pattern = math.prod(base.shape[2:]) * base.dtype.itemsize
    there = max(0, (image.file_size or 0) - image.pixels.offset)
    slow = bool(image.meaning.rotation)
    patterns = 0 if slow else there // max(1, pattern)
    if patterns == 0:
        order = "detector pixels are slowest on disk" if slow else "the file is too short"
        msg = f"ImageList/[{image.index}] has no complete pattern: {order}"
        raise TruncatedFileError(msg, path=path, hint="copy the file again from its origin")
    return PartialBlocks(base=base, patterns=patterns, pattern_ndim=2)


def _axes(meaning: Meaning) -> tuple[Axis, ...]:
    """Return the axes in canonical order."""
    turn, sizes = meaning.rotation, meaning.shape
    calibrations = (*meaning.calibrations[turn:], *meaning.calibrations[:turn])
    names = dims_of_kind(meaning.kind, len(sizes))
    return tuple(map(_axis, names, sizes, calibrations))


def _axis(name: str, size: int, calibration: Calibration) -> Axis:
    units = normalise_units(calibration.units)
    usable = calibration.scale != 0.0
    scale = calibration.scale if usable else 1.0
    return Axis(
        name=name,
        size=size,
        scale=scale,
        offset=0.0 - calibration.origin * scale,
        units=units,
        calibrated=usable and is_calibrated(units),
        source_units=calibration.units,
        long_name=_LONG_NAMES.get(name, ""),
    )


def _document(
    image: _Image, slug: str, attributes: dict[str, Fact], root: TagGroup, blocks: Blocks
) -> Document:
    axes = _axes(image.meaning)
    found = find_facts(root, image.index, scan_shape=image.meaning.scan_shape)
    notes = [
        *image.pixels.notes,
        *find_notes(image.tags.group("ImageTags"), image.meaning, axes),
    ]
    valid = None
    if isinstance(blocks, PartialBlocks):
        valid = blocks.valid()
        found["complete"] = 0, ""
        notes.append(f"recovered {blocks.patterns} of {valid.size} patterns; the rest is zero")
    facts, places = split_facts(found)
    return Document(
        index=image.index,
        slug=slug,
        title=image.name or slug,
        kind=image.meaning.kind,
        axes=axes,
        blocks=blocks,
        layout=image.meaning.layout,
        brightness=image.pixels.brightness,
        channels=COLOUR_CHANNELS if image.pixels.encoding == "bgra" else (),
        thumbnail=image.thumbnail,
        facts=facts,
        fact_paths=places,
        attributes=attributes,
        notes=tuple(notes),
        valid=valid,
    )
