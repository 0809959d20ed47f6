"""What can be recovered of a scan whose file ends too early.

``Data`` is before ``DataType``, ``Dimensions`` and ``ImageTags``, so a file that is cut inside
the pixels has lost its shape. Left are the number and type of the values, the calibrations, and
the size of what was shown on the screen, which is near the beginning of the file.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from stemzarr.errors import TruncatedFileError
from stemzarr.formats.dm.image import Calibration, DMPixels, read_calibration, read_pixels
from stemzarr.formats.dm.layout import pair_meaning
from stemzarr.formats.dm.tags import TagData, TagGroup, TagTree
from stemzarr.options import ReadOptions

__all__ = ["describe_loss", "is_cut", "recover_pixels"]

_LEAST_BEYOND_SIZE = 16
"""Whole files are at least this many bytes longer than the header's size field says."""


def recover_pixels(
    entry: TagGroup, tree: TagTree, options: ReadOptions, *, path: Path, tag_path: str
) -> DMPixels | None:
    """Return what is known of an image in a file that ended early; None if there is none of it.

    Raises
    ------
    TruncatedFileError
        The shape is lost and the user does not give it, or nothing is complete.
    """
    data = entry.find("ImageData", "Data")
    if not isinstance(data, TagData) or data.offset >= tree.file_size:
        return None
    if data.offset + data.nbytes <= tree.file_size:
        pixels = read_pixels(entry, path=path, tag_path=tag_path)
        if pixels is not None:
            return pixels
    if options.scan_shape is None:
        msg = f"{tag_path} has lost its shape: {_describe_data(entry, data, tree)}"
        raise TruncatedFileError(
            msg, path=path, hint="give the shape of the scan with --scan-shape Y,X"
        )
    detector = _detector_shape(data, tree.root, options.scan_shape)
    if detector is None:
        msg = f"{tag_path} holds {data.count} values, which make no scan of {options.scan_shape}"
        raise TruncatedFileError(msg, path=path, hint="give its shape with --scan-shape Y,X")
    return _as_scan(entry, options, detector, path=path, tag_path=tag_path)


def _detector_shape(
    data: TagData, root: TagGroup, scan_shape: tuple[int, int]
) -> tuple[int, int] | None:
    """Return (det_y, det_x) by what was shown on the screen, else of a square detector."""
    pixels, rest = divmod(data.count or 0, math.prod(scan_shape))
    if rest or not pixels:
        return None
    for shown in (
        *(item.value("Rectangle") for item in root.group("DocumentObjectList").groups()),
        root.value("Image Behavior", "ImageDisplayBounds"),
    ):
        numbers = isinstance(shown, tuple) and all(
            isinstance(edge, int | float) and math.isfinite(edge) for edge in shown
        )
        if numbers and len(shown) == len(("top", "left", "bottom", "right")):
            height, width = round(shown[2] - shown[0]), round(shown[3] - shown[1])
            if min(height, width) > 0 and height * width == pixels:
                return height, width
    side = math.isqrt(pixels)
    return (side, side) if side * side == pixels else None


def _as_scan(
    entry: TagGroup,
    options: ReadOptions,
    detector: tuple[int, int],
    *,
    path: Path,
    tag_path: str,
) -> DMPixels | None:
    """Return the pixels of a scan with the shape that the file has lost."""
    scan = options.scan_shape or (1, 1)
    whole = (*scan, *detector)
    calibrated = entry.group("ImageData", "Calibrations", "Dimension")
    units = [read_calibration(group).units for group in calibrated.groups()]
    scan_fast = options.layout == "scan-fast" or (
        options.layout == "auto"
        and len(units) == len(whole)
        and (pair_meaning(units[:2]) == "scan" or pair_meaning(units[2:]) == "detector")
    )
    shape = (*detector, *scan) if scan_fast else whole
    pixels = read_pixels(entry, path=path, tag_path=tag_path, shape=shape)
    if pixels is not None and len(units) < len(whole) and not scan_fast:
        unknown = (Calibration(), Calibration())
        return dataclasses.replace(pixels, calibrations=(*unknown, *pixels.calibrations[2:]))
    return pixels


def describe_loss(tree: TagTree) -> str:
    """Return in words where a file ends, and what is known of the pixels that it cuts."""
    declared = tree.declared_size + _LEAST_BEYOND_SIZE
    text = f"ends at byte {tree.file_size} of about {declared} declared"
    for index, entry in enumerate(tree.root.group("ImageList").groups()):
        data = entry.find("ImageData", "Data")
        if isinstance(data, TagData) and data.offset + data.nbytes > tree.file_size:
            return f"{text}, inside ImageList/[{index}]: {_describe_data(entry, data, tree)}"
    end = tree.early_end
    return text if end is None else f"{text}, inside tag {end.tag_path}"


def _describe_data(entry: TagGroup, data: TagData, tree: TagTree) -> str:
    """Return number and type of the values, how many are there, and the calibrations."""
    itemsize = max(1, data.dtype.itemsize)
    there = max(0, min(data.nbytes, tree.file_size - data.offset)) // itemsize
    axes = entry.group("ImageData", "Calibrations", "Dimension").groups()
    known = map(read_calibration, axes)
    steps = [f"{axis.scale:.6g} {axis.units or 'pixel'}" for axis in known]
    calibration = f", pixels of {', '.join(steps)}" if steps else ""
    return f"{there} of {data.count} values of type {data.dtype.name}{calibration}"


def is_cut(tree: TagTree) -> bool:
    """Return whether a file that ends early is shorter than its header says, or says nothing."""
    declared = tree.declared_size + _LEAST_BEYOND_SIZE
    return tree.declared_size == 0 or declared > tree.file_size
