"""What an image of a DM file is, and how its dims on disk become canonical ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from stemzarr.errors import OptionError
from stemzarr.formats.dm.image import Calibration, DMPixels
from stemzarr.formats.dm.layout import LayoutClues, detect_layout, pair_meaning
from stemzarr.formats.dm.tags import TagData, TagGroup
from stemzarr.metadata.units import Quantity, normalise_units, quantity_of
from stemzarr.model import Kind, Layout, LayoutOrder
from stemzarr.options import ReadOptions

__all__ = ["Meaning", "find_meaning"]

_PICTURES: Final[dict[int, Kind]] = {1: "profile", 2: "image", 3: "stack"}
_SPECTRAL_SIGNALS = ("eels", "x-ray", "cl", "eds", "edx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """How an image is to be understood."""

    kind: Kind
    """What it is."""
    disk_shape: tuple[int, ...]
    """Lengths of the dims on disk, slowest first; 1-pixel dims may be added or left out."""
    calibrations: tuple[Calibration, ...]
    """One for each dim of `disk_shape`."""
    rotation: int = 0
    """How many of the leading dims on disk come last in canonical order."""
    layout: Layout | None = None
    """For 4D data: why the axes are believed to be so."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims in canonical order."""
        return (*self.disk_shape[self.rotation :], *self.disk_shape[: self.rotation])

    @property
    def scan_shape(self) -> tuple[int, int] | None:
        """(height, width) of the scan of a 4D or spectrum image; None for other kinds."""
        if self.kind not in ("4d-stem", "spectrum-image"):
            return None
        return self.shape[0], self.shape[1]


@dataclass(frozen=True, slots=True)
class _Clues:
    """What the tags of an image say of its meaning."""

    pixels: DMPixels
    format: str
    signal: str
    swapped: bool | None
    si_shape: tuple[int, int] | None
    scan_shape: tuple[int, int] | None

    @property
    def quantities(self) -> list[Quantity]:
        return [quantity_of(normalise_units(c.units)) for c in self.pixels.calibrations]


def find_meaning(pixels: DMPixels, tags: TagGroup, options: ReadOptions, *, path: Path) -> Meaning:
    """Return what an image is.

    Parameters
    ----------
    pixels
        Shape and calibration on disk.
    tags
        The group ``ImageTags``.
    options
        Layout and scan shape that are set.
    path
        The file, for messages.

    Raises
    ------
    LayoutError
        The evidence for the order of the axes contradicts itself.
    OptionError
        The scan shape that is set does not fit the number of frames.
    """
    clues = _read_clues(pixels, tags)
    if pixels.encoding != "plain":
        return _plain(clues, _PICTURES.get(len(pixels.shape), "array"))
    if options.scan_shape is not None and len(pixels.shape) == len(("frame", "y", "x")):
        return _as_scan(clues, options.scan_shape, options, path, "set by --scan-shape")
    by_rank = {1: _line, 2: _plane, 3: _cube}
    if len(pixels.shape) in by_rank:
        return by_rank[len(pixels.shape)](clues, options, path)
    if len(pixels.shape) == len(("y", "x", "y", "x")) and "energy" not in clues.quantities:
        return _scan(clues, options, path)
    return _plain(clues, "array")


def _read_clues(pixels: DMPixels, tags: TagGroup) -> _Clues:
    swapped = tags.value("Meta Data", "Data Order Swapped")
    return _Clues(
        pixels=pixels,
        format=_text(tags.find("Meta Data", "Format")),
        signal=_text(tags.find("Meta Data", "Signal")),
        swapped=bool(swapped) if isinstance(swapped, bool | int) else None,
        si_shape=_shape_of(
            tags.group("SI", "Acquisition", "Spatial Sampling"), "Height (pixels)", "Width (pixels)"
        ),
        scan_shape=_shape_of(tags.group("4D STEM Tags"), "Scan shape Y", "Scan shape X"),
    )


def _text(tag: TagGroup | TagData | None) -> str:
    value = tag.value() if isinstance(tag, TagData) else None
    return value.strip().lower() if isinstance(value, str) else ""


def _shape_of(tags: TagGroup, height: str, width: str) -> tuple[int, int] | None:
    found = tuple(tags.value(name) for name in (height, width))
    if any(not isinstance(n, int | float) or not 1 <= n < math.inf for n in found):
        return None
    return int(found[0]), int(found[1])


def _plain(clues: _Clues, kind: Kind) -> Meaning:
    return Meaning(kind=kind, disk_shape=clues.pixels.shape, calibrations=clues.pixels.calibrations)


def _line(clues: _Clues, _options: ReadOptions, _path: Path) -> Meaning:
    spectral = (
        clues.format.startswith("spectrum")
        or clues.signal in _SPECTRAL_SIGNALS
        or "energy" in clues.quantities
    )
    return _plain(clues, "spectrum" if spectral else "profile")


def _plane(clues: _Clues, _options: ReadOptions, _path: Path) -> Meaning:
    pixels, (slow, fast) = clues.pixels, clues.quantities
    spectral = clues.format in ("spectrum", "spectrum image")
    if spectral and pixels.shape[0] == 1 and clues.format == "spectrum":
        return Meaning(
            kind="spectrum", disk_shape=pixels.shape[1:], calibrations=pixels.calibrations[1:]
        )
    if spectral or (fast == "energy" and slow == "length"):
        return Meaning(
            kind="spectrum-image",
            disk_shape=(1, *pixels.shape),
            calibrations=(Calibration(), *pixels.calibrations),
        )
    units = tuple(c.units for c in pixels.calibrations)
    diffraction = np.dtype(pixels.dtype).kind != "c" and pair_meaning(units) == "detector"
    if clues.format == "diffraction image" and pair_meaning(units) is None:
        diffraction = True
    return _plain(clues, "diffraction" if diffraction else "image")


def _cube(clues: _Clues, options: ReadOptions, path: Path) -> Meaning:
    pixels, quantities = clues.pixels, clues.quantities
    if clues.scan_shape is not None and math.prod(clues.scan_shape) == pixels.shape[0]:
        return _as_scan(clues, clues.scan_shape, options, path, "4D STEM Tags name the scan shape")
    if quantities[-1] == "energy" and quantities[0] != "energy":
        return _plain(clues, "spectrum-image")
    if clues.format == "spectrum image" or quantities[0] == "energy":
        return Meaning(
            kind="spectrum-image",
            disk_shape=pixels.shape,
            calibrations=pixels.calibrations,
            rotation=1,
        )
    return _line_scan(clues) or _plain(clues, "stack")


def _line_scan(clues: _Clues) -> Meaning | None:
    """Return the meaning of a scan along a line, which DM stores without its 1-pixel dim."""
    quantities, angular = clues.quantities, {"reciprocal length", "angle"}
    if quantities[0] == "length" and set(quantities[1:]) <= angular:
        rotation, evidence = 0, "units"
    elif quantities[-1] == "length" and set(quantities[:-1]) <= angular:
        rotation, evidence = 2, "units"
    elif clues.swapped and clues.format == "diffraction image":
        rotation, evidence = 0, "Data Order Swapped is true"
    else:
        return None
    shape, calibrations = list(clues.pixels.shape), list(clues.pixels.calibrations)
    shape.insert(rotation, 1)
    calibrations.insert(rotation, Calibration())
    return Meaning(
        kind="4d-stem",
        disk_shape=tuple(shape),
        calibrations=tuple(calibrations),
        rotation=rotation,
        layout=Layout(
            order="scan-fast" if rotation else "detector-fast",
            evidence=(f"a scan along a line: {evidence}",),
        ),
    )


def _as_scan(
    clues: _Clues,
    scan_shape: tuple[int, int],
    options: ReadOptions,
    path: Path,
    evidence: str,
) -> Meaning:
    """Return the meaning of a stack of patterns whose scan shape is known."""
    frames = clues.pixels.shape[0]
    scan_fast = options.layout == "scan-fast"
    if scan_fast:
        frames = clues.pixels.shape[-1]
    if math.prod(scan_shape) != frames:
        msg = f"scan_shape {scan_shape} makes {math.prod(scan_shape)} positions, not {frames}"
        raise OptionError(msg, path=path, hint="its sizes must multiply to the number of frames")
    plane = clues.pixels.shape[:-1] if scan_fast else clues.pixels.shape[1:]
    calibrations = clues.pixels.calibrations
    scan = (Calibration(), Calibration())
    order: LayoutOrder = "scan-fast" if scan_fast else "detector-fast"
    return Meaning(
        kind="4d-stem",
        disk_shape=(*plane, *scan_shape) if scan_fast else (*scan_shape, *plane),
        calibrations=(*calibrations[:-1], *scan) if scan_fast else (*scan, *calibrations[1:]),
        rotation=2 if scan_fast else 0,
        layout=Layout(order=order, evidence=(evidence,)),
    )


def _scan(clues: _Clues, options: ReadOptions, path: Path) -> Meaning:
    pixels = clues.pixels
    one, two, three, four = pixels.shape
    units = [calibration.units for calibration in pixels.calibrations]
    layout = detect_layout(
        LayoutClues(
            shape=(one, two, three, four),
            units=(units[0], units[1], units[2], units[3]),
            swapped=clues.swapped,
            format=clues.format,
            scan_shape=clues.si_shape,
        ),
        options.layout,
        path=path,
    )
    rotation = 2 if layout.order == "scan-fast" else 0
    return Meaning(
        kind="4d-stem",
        disk_shape=pixels.shape,
        calibrations=pixels.calibrations,
        rotation=rotation,
        layout=layout,
    )
