"""What a person should know of a DM image: stale tags, binning by GMS, an early end."""

from __future__ import annotations

import math
from collections.abc import Iterator

from stemzarr.formats.dm.kinds import Meaning
from stemzarr.formats.dm.tags import TagGroup
from stemzarr.model import Axis

__all__ = ["find_notes"]


def find_notes(tags: TagGroup, meaning: Meaning, axes: tuple[Axis, ...]) -> Iterator[str]:
    """Iterate over what is noteworthy about an image.

    Parameters
    ----------
    tags
        The group ``ImageTags``.
    meaning
        What the image is.
    axes
        Its axes in canonical order.
    """
    layout = meaning.layout
    if layout is not None and layout.confidence == "low":
        yield (
            f"it is not certain which axes are the scan: {layout.order} is assumed;"
            " --layout sets it"
        )
    if meaning.kind == "4d-stem" and not all(axis.calibrated for axis in axes[2:]):
        yield "the detector is not calibrated: its coordinates count pixels"
    if meaning.scan_shape is not None:
        yield from _scan_notes(tags, meaning.scan_shape)
    yield from _history_notes(tags)


def _scan_notes(tags: TagGroup, scan_shape: tuple[int, int]) -> Iterator[str]:
    """Iterate over what the SI tags say that the data do not."""
    acquisition = tags.group("SI", "Acquisition")
    sampling = acquisition.group("Spatial Sampling")
    named = (sampling.value("Height (pixels)"), sampling.value("Width (pixels)"))
    if not all(isinstance(size, int | float) for size in named):
        return
    if named != scan_shape:
        yield (
            f"the SI tags are stale: they name a scan of {named[0]} x {named[1]},"
            f" the data hold {scan_shape[0]} x {scan_shape[1]}"
        )
        return
    last = acquisition.value("Last pixel")
    if isinstance(last, int) and last < math.prod(scan_shape):
        yield f"the scan ended early, at position {last} of {math.prod(scan_shape)}"


def _history_notes(tags: TagGroup) -> Iterator[str]:
    """Iterate over what GMS did to the data after they were acquired."""
    steps = [step.value("Operation") for step in tags.group("Processing").groups()]
    operations = [step for step in steps if isinstance(step, str) and step]
    size = tags.group("Parent", "Size")
    lengths = [size.value(name) for name in ("X", "Y", "Z", "T")]
    parent = " x ".join(str(length) for length in lengths if isinstance(length, int))
    if parent or operations:
        by = f" by {', '.join(operations)}" if operations else ""
        of = f" from a parent of {parent}" if parent else ""
        yield f"GMS derived these data{by}{of}; tags of the acquisition may be stale"
    if any("bin" in operation.lower() for operation in operations):
        yield "GMS binned these data: values may be averages, not sums of counts"
