"""Images of a scan, to be exported as documents: its previews, and sums over a ring."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from numpy.typing import NDArray

from stemzarr.errors import UnsupportedDataError
from stemzarr.formats.writing.computed import COMPUTED, compute_image, take_pattern
from stemzarr.formats.writing.labelling_images import label_image
from stemzarr.measure.accumulate import Accumulator, Partial
from stemzarr.measure.disk import locate_disk
from stemzarr.measure.disk_mask import disk_mask
from stemzarr.measure.reduction import Reduction
from stemzarr.model import Blocks, Document, Kind, Progress, Source, read_box
from stemzarr.options import ExportOptions
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.resources import Resources
from stemzarr.store.format.schema import prefix_of
from stemzarr.store.format.tree import read_nodes, read_small_array
from stemzarr.views.slabs import map_document
from stemzarr.views.view import View
from stemzarr.views.viewed import apply
from stemzarr.views.virtual import sum_detector

__all__ = ["fold_previews", "take_image"]


def take_image(
    source: Source,
    document: Document,
    view: View | None,
    options: ExportOptions,
    progress: Progress | None = None,
) -> Document:
    """Return the image of a scan that the options name, as a document in memory.

    Region, steps and downsampling of the view come before it, normalisation and type after it.
    The previews of a store are read where the view leaves its pixels as they are; all others are
    made in one pass by the code that makes the previews, the central disk looked for again.

    Parameters
    ----------
    source, document
        A 4D scan and where it comes from.
    view
        The recipe; none where it is None.
    options
        Say which image; budget and threads of the pass.
    progress
        Receives how far the pass is.

    Returns
    -------
    Document
        Of kind ``image`` (y, x) over the scan, ``diffraction`` (det_y, det_x), or ``profile`` (x,).
        Positions of the scan that a salvage did not recover are NaN.

    Raises
    ------
    UnsupportedDataError
        The document is not a 4D scan.
    OptionError
        The ring holds no pixel, there is no such position, or the view does not fit the document.
    """
    if document.kind != "4d-stem":
        msg = f"the document {document.slug!r} is of kind {document.kind!r}"
        hint = "images and patterns are taken of 4D scans; leave image, radii and at out"
        raise UnsupportedDataError(msg, hint=hint)
    chosen = view or View()
    before = dataclasses.replace(chosen, normalize="none", dtype=None)
    after = View(normalize=chosen.normalize, dtype=chosen.dtype)
    limits = {"threads": options.threads, "memory": options.memory}
    viewed = apply(document, before, **limits)
    resources = Resources(threads=options.threads, memory=options.memory, progress=progress)
    if options.image in COMPUTED:
        image = compute_image(viewed, options, resources)
    elif options.image is not None:
        values = _stored(source, viewed, options.image) if viewed is document else None
        if values is None:
            values = fold_previews(viewed, resources)[_key(options.image)]
        name = options.image.replace("-", " ")
        kind: Kind = "diffraction" if name.endswith("diffraction") else "image"
        image = label_image(viewed, name, values, kind=kind)
    elif options.at is not None:
        image = take_pattern(viewed, options)
    else:
        image = _take_ring(viewed, options, resources)
    return apply(image, after, **limits)


def _take_ring(document: Document, options: ExportOptions, resources: Resources) -> Document:
    ring = {"inner": options.inner or 0.0, "outer": options.outer}
    summed = sum_detector(document, resources, **ring, center=options.center)
    radii = {name: radius for name, radius in ring.items() if radius is not None}
    return label_image(document, "virtual image", summed, attributes=radii)


def _key(image: str) -> str:
    return image.replace("-", "_")


def _stored(source: Source, document: Document, image: str) -> NDArray[Any] | None:
    """Return a preview that a store holds; None where the source is none, or made none."""
    if source.format != "stemzarr":
        return None
    nodes = read_nodes(source.path)
    name = f"{prefix_of(document, source.main)}preview/{_key(image)}"
    return read_small_array(source.path, nodes, name) if name in nodes else None


def fold_previews(document: Document, resources: Resources) -> dict[str, NDArray[Any]]:
    """Return the previews of a scan, as an ingest would make them.

    Parameters
    ----------
    document
        A 4D scan.
    resources
        Threads, memory and progress of the one pass over the values.

    Returns
    -------
    dict
        Array of every measure by its name, such as ``mean_diffraction`` (det_y, det_x) and
        ``bright_field`` (scan_y, scan_x); see `stemzarr.measure.measures`.
    """
    mask = disk_mask(locate_disk(document), document.shape[2:])
    pixels = math.prod(document.shape[2:])
    bad = None if document.bad_pixels is None else document.bad_pixels.reshape(-1)
    valid = document.valid

    def measure_box(readable: Blocks, box: Box) -> tuple[Box, Partial]:
        values = read_box(readable, box.start, box.shape).reshape(-1, pixels)
        recorded = None if valid is None else valid[box.slices()[:2]].reshape(-1)
        sums = Accumulator(pixels=pixels, dtype=document.dtype, mask=mask, bad=bad)
        sums.add(values, [len(values)], recorded)
        return box, sums.partial()

    reduction = Reduction(shape=document.shape, dtype=document.dtype)
    for box, part in map_document(measure_box, document.blocks, 2, resources):
        reduction.add(part, [(box.start, box.shape)])
    return reduction.previews(valid)
