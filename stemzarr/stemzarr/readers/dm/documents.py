"""From the images of a DM tag tree to documents of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemzarr.model import Axis, Blocks, Document, Segment, dims_of_kind
from stemzarr.options import ReadOptions
from stemzarr.packing import COLOUR_CHANNELS
from stemzarr.readers.contiguous import ContiguousBlocks
from stemzarr.readers.dm.facts import find_facts
from stemzarr.readers.dm.image import Calibration, DMPixels, read_pixels
from stemzarr.readers.dm.kinds import Meaning, find_meaning
from stemzarr.readers.dm.notes import find_notes
from stemzarr.readers.dm.pixels import ColourBlocks, PackedComplexBlocks
from stemzarr.readers.dm.tags import TagData, TagGroup
from stemzarr.readers.naming import make_slugs
from stemzarr.readers.units import is_calibrated, normalise_units

__all__ = ["read_documents"]

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

    @property
    def name(self) -> str:
        value = self.tags.value("Name")
        return value.strip() if isinstance(value, str) else ""


def read_documents(
    root: TagGroup, options: ReadOptions, *, path: Path
) -> tuple[tuple[Document, ...], tuple[Segment, ...]]:
    """Return the documents of a tag tree, and where their pixels lie.

    Raises
    ------
    CorruptFileError
        Type, dims and size of an image contradict one another.
    LayoutError
        The evidence for the order of a scan's axes contradicts itself.
    """
    images = list(_images(root, options, path))
    slugs = make_slugs(map(_slug_title, images))
    documents = tuple(
        _document(image, slug, root, path) for image, slug in zip(images, slugs, strict=True)
    )
    segments = sorted((_segment(image) for image in images), key=lambda part: part.offset)
    return documents, tuple(segments)


def _images(root: TagGroup, options: ReadOptions, path: Path) -> Iterator[_Image]:
    thumbnails = {entry.value("ImageIndex") for entry in root.group("Thumbnails").groups()}
    entries = [tag.body for tag in root.group("ImageList").entries]
    surveys = _survey_ids(entries)
    for index, entry in enumerate(entries):
        if not isinstance(entry, TagGroup):
            continue
        pixels = read_pixels(entry, path=path, tag_path=f"ImageList/[{index}]")
        if pixels is None:
            continue
        thumbnail = index in thumbnails
        tags = entry.group("ImageTags")
        chosen = ReadOptions() if thumbnail else options
        yield _Image(
            index=index,
            tags=entry,
            pixels=pixels,
            meaning=find_meaning(pixels, tags, chosen, path=path),
            thumbnail=thumbnail,
            survey=_unique_id(entry.find("UniqueID")) in surveys,
        )


def _unique_id(node: TagGroup | TagData | None) -> tuple[int, ...] | None:
    """Return an image's identifier from a group or struct of numbers; None for all zeros."""
    if isinstance(node, TagData):
        value = node.value()
        numbers = tuple(value) if isinstance(value, tuple) else ()
    else:
        numbers = tuple(node.value(i) for i in range(len(node.entries))) if node else ()
    known = all(isinstance(number, int) for number in numbers) and any(numbers)
    return tuple(number % (1 << 32) for number in numbers) if known else None


def _survey_links(tags: TagGroup) -> Iterator[tuple[tuple[int, ...] | None, Any]]:
    """Iterate over identifier and rectangle (top, left, bottom, right) of survey images."""
    for entry in tags.group("SurveyImages").groups():
        yield _unique_id(entry.find("Unique Image ID")), entry.value("Spectrum Image Rect")
    survey = tags.group("SI", "Acquisition", "Survey Image")
    rectangle = survey.value("Spectrum Image Rect") or tags.value(
        "SI", "Acquisition", "Spectrum Image Rect"
    )
    yield _unique_id(survey.find("UID")), rectangle


def _survey_ids(entries: Sequence[TagGroup | TagData]) -> set[tuple[int, ...]]:
    groups = [entry.group("ImageTags") for entry in entries if isinstance(entry, TagGroup)]
    return {uid for tags in groups for uid, _ in _survey_links(tags) if uid is not None}


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


def _blocks(image: _Image, path: Path) -> Blocks:
    encoding = image.pixels.encoding
    packed = encoding.startswith("packed")
    plain = ContiguousBlocks(
        path=path,
        offset=image.pixels.offset,
        disk_shape=image.pixels.packed_shape if packed else image.meaning.disk_shape,
        disk_dtype=image.pixels.dtype,
        rotation=image.meaning.rotation,
    )
    if packed:
        return PackedComplexBlocks(plain, width=image.pixels.shape[-1])
    return ColourBlocks(plain) if encoding == "bgra" else plain


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


def _document(image: _Image, slug: str, root: TagGroup, path: Path) -> Document:
    axes = _axes(image.meaning)
    facts, paths = find_facts(root, image.index, scan_shape=image.meaning.scan_shape)
    notes = find_notes(image.tags.group("ImageTags"), image.meaning, axes)
    return Document(
        index=image.index,
        slug=slug,
        title=image.name or slug,
        kind=image.meaning.kind,
        axes=axes,
        blocks=_blocks(image, path),
        layout=image.meaning.layout,
        brightness=image.pixels.brightness,
        channels=COLOUR_CHANNELS if image.pixels.encoding == "bgra" else (),
        thumbnail=image.thumbnail,
        facts=facts,
        fact_paths=paths,
        notes=(*image.pixels.notes, *notes),
    )
