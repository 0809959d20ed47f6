"""What one page shows: a document of a source, its arrays as the page asks for them."""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import DamagedStoreError, OptionError, StemzarrError, UnsupportedDataError
from stemzarr.explorer.detectors import Detector, parse_detectors, sum_detectors
from stemzarr.explorer.tile_sums import TileSums, all_tiles, sampled_tiles
from stemzarr.measure.disk import Disk, locate_disk
from stemzarr.measure.disk_mask import disk_mask
from stemzarr.model import Document, Progress, Source, read_box
from stemzarr.pixels.resources import Resources
from stemzarr.views.deflection import measure_shifts
from stemzarr.views.marks import frames_of

__all__ = ["Subject"]

_TILE_BYTES = 64 * 1024**2
_MEMORY = 64 * 1024**2
_COUNTED_AT_ONCE = 4 * 1024**3
"""Bytes of values up to which the tile sums of all positions are computed unasked."""
_PIECE = 32 * 1024**2
_MOST_PIXELS = 2048**2


class Subject:
    """A document of a source that is looked at.

    Parameters
    ----------
    source
        Any source or store.
    document
        Slug or index of the document; the main one by default.
    name
        How the page calls it.
    """

    def __init__(self, source: Source, document: str | int | None, name: str) -> None:
        self.source = source
        self.name = name
        self.document = source.document if document is None else source.find(document)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._tiles: TileSums | None = None
        self._worker: threading.Thread | None = None
        self._trouble = ""

    @property
    def is_scan(self) -> bool:
        """Whether it has a pattern at every position of a scan."""
        return self.document.kind == "4d-stem" and self.document.dtype.kind != "c"

    def describe(self) -> dict[str, Any]:
        """Return what the page knows before it asks for values, as JSON."""
        document = self.document
        return {
            "name": self.name,
            "title": document.title,
            "kind": document.kind,
            "document": document.slug,
            "main": document.index == self.source.main,
            "documents": [
                {"slug": other.slug, "title": other.title, "kind": other.kind}
                for other in self.source.documents
                if not other.thumbnail or other is document
            ],
            "dims": list(document.dims),
            "shape": list(document.shape),
            "dtype": document.dtype.name,
            "nbytes": document.nbytes,
            "axes": [dataclasses.asdict(axis) for axis in document.axes],
            "channels": list(document.channels),
            "facts": {key: value for key, value in document.facts.items() if key != "complete"},
            "complete": document.facts.get("complete") != 0,
            "notes": [*self.source.notes, *document.notes],
            "frames": [dataclasses.astuple(frame) for frame in frames_of(self.source, document)],
            "presets": self.presets,
            "instant": [name for name in self.presets if self._is_stored(name)],
            "bad_pixels": int(self.bad_pixels().sum()) if self.is_scan else 0,
            "path": str(self.source.path.absolute()),
        }

    @functools.cached_property
    def disk(self) -> Disk:
        """The central disk: as the previews of the store have it, else found in a sample."""
        measured = self.document.measured
        if measured is None:
            return locate_disk(self.document)
        return Disk(
            center_y=float(measured.disk["center_y"]),
            center_x=float(measured.disk["center_x"]),
            radius=float(measured.disk["radius"]),
            inner=float(measured.disk["annulus_inner"]),
            found=bool(measured.disk["found"]),
        )

    def _measured(self, name: str) -> NDArray[Any] | None:
        """Return an array that the store keeps; None where it does not, or it is damaged."""
        measured = self.document.measured
        if measured is None or name not in measured.names:
            return None
        try:
            return measured.load(name)
        except DamagedStoreError:
            return None  # verify says so; it can be computed

    @functools.cached_property
    def presets(self) -> dict[str, str]:
        """Detectors that the page offers by name, as the address writes them."""
        if not self.is_scan:
            return {}
        disk = self.disk
        y, x = self.document.axes[2:]
        scale = math.sqrt(abs(y.scale * x.scale))
        center = (y.offset + disk.center_y * y.scale, x.offset + disk.center_x * x.scale)
        # The pixels up to the radius belong to the disk, and less than `outer` to a ring.
        radius, inner = (math.nextafter(r * scale, math.inf) for r in (disk.radius, disk.inner))
        rings = {
            "bright_field": (0.0, radius),
            "annular_dark_field": (inner, math.inf),
            "total_intensity": (0.0, math.inf),
        }
        return {
            name: str(Detector(sign=1, shape="ring", numbers=(*center, *radii)))
            for name, radii in rings.items()
        }

    def image(self, detectors: str, progress: Progress | None = None) -> NDArray[np.float64]:
        """Return what detectors count at every position, (scan_y, scan_x), exact.

        Raises
        ------
        OptionError, UnsupportedDataError
            They cannot be understood, hold no pixel, or this is not a scan.
        """
        parsed = parse_detectors(detectors)
        stored = self._stored_image(parsed)
        if stored is not None:
            return stored
        return sum_detectors(self.document, parsed, memory=_MEMORY, progress=progress)

    def _stored_image(self, detectors: tuple[Detector, ...]) -> NDArray[np.float64] | None:
        """Return the preview of the store that these very detectors give, where there is one."""
        known = {parse_detectors(preset): name for name, preset in self.presets.items()}
        name = known.get(detectors)
        return None if name is None or not self._is_stored(name) else self._measured(name)

    def _is_stored(self, name: str) -> bool:
        """Return whether a preset gives what the store keeps under its name."""
        measured = self.document.measured
        return measured is not None and name in measured.names and self._is_exact(name)

    def _is_exact(self, name: str) -> bool:
        """Return whether a preset selects the same pixels as the preview of that name."""
        if name == "total_intensity":
            return True
        (detector,) = parse_detectors(self.presets[name])
        cy, cx, inner, outer = detector.numbers
        y, x = self.document.axes[2:]
        distance = np.hypot(y.values()[:, np.newaxis] - cy, x.values() - cx)
        shape = self.document.shape[2:]
        mask = disk_mask(self.disk, shape)
        flags = np.zeros((2, *shape), bool)
        flags[:, *mask.window] = mask.flags
        stored = flags[0] if name == "bright_field" else ~flags[1]
        return bool(((distance >= inner) & (distance < outer) == stored).all())

    def center_of_mass(self, progress: Progress | None = None) -> NDArray[np.float64]:
        """Return the shifts of the centre of mass, (2, scan_y, scan_x): those of y, those of x.

        They are in the units of the detector axes, and those of the store where it keeps them.

        Raises
        ------
        UnsupportedDataError
            This is not a scan, or one so large that it should be ingested first.
        """
        if not self.is_scan:
            msg = f"the document {self.document.slug!r} is {self.document.kind}"
            raise UnsupportedDataError(msg, hint="the centre of mass is that of a 4D scan")
        if self.document.measured is None and self.document.nbytes > _COUNTED_AT_ONCE:
            msg = "all of the scan would be read for this"
            raise UnsupportedDataError(msg, hint="ingest it: the store keeps what one pass finds")
        shifts, _ = measure_shifts(
            self.document, resources=Resources(memory=_MEMORY, progress=progress)
        )
        return np.stack(shifts)

    def pattern(self, y: int, x: int) -> NDArray[Any]:
        """Return the pattern at a position, (det_y, det_x)."""
        self.check_inside(y, x, y + 1, x + 1)
        box = read_box(self.document.blocks, (y, x, 0, 0), (1, 1, *self.document.shape[2:]))
        pattern: NDArray[Any] = box[0, 0]
        return pattern

    def mean(
        self, top: int, left: int, bottom: int, right: int, progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """Return the mean pattern of a region, (det_y, det_x); the last two ends are not in it."""
        self.check_inside(top, left, bottom, right)
        shape = self.document.shape[2:]
        total = np.zeros(shape)
        size = max(1, math.prod(shape) * self.document.dtype.itemsize)
        step = max(1, min(right - left, _PIECE // size))
        done, count = 0, (bottom - top) * (right - left)
        for y in range(top, bottom):
            for x in range(left, right, step):
                width = min(step, right - x)
                box = read_box(self.document.blocks, (y, x, 0, 0), (1, width, *shape))
                total += box[0].sum(axis=0, dtype=np.float64)
                done += width
                if progress is not None:
                    progress(done, count)
        return total / count

    def check_inside(self, top: int, left: int, bottom: int, right: int) -> None:
        """Refuse a region that is not in the scan; its last two ends are not in it.

        Raises
        ------
        UnsupportedDataError, OptionError
            This is not a scan, or the region is empty or reaches out of it.
        """
        if not self.is_scan:
            msg = f"the document {self.document.slug!r} is {self.document.kind}"
            raise UnsupportedDataError(msg, hint="patterns are those of a 4D scan of real values")
        rows, columns = self.document.shape[:2]
        if not (0 <= top < bottom <= rows and 0 <= left < right <= columns):
            msg = f"the region {top}:{bottom}, {left}:{right} is not in the scan"
            raise OptionError(msg, hint=f"it has {rows} × {columns} positions")

    def bad_pixels(self) -> NDArray[np.uint8]:
        """Return 1 where a pixel is bad, as its file or its ingest says, (det_y, det_x)."""
        bad = np.zeros(self.document.shape[-2:], np.uint8)
        for mask in (self.document.bad_pixels, self._measured("bad_pixels")):
            if mask is not None and mask.shape == bad.shape:
                bad |= mask.astype(np.uint8)
        return bad

    def plane(self, index: int) -> NDArray[Any]:
        """Return the values over the last dims of what is not a 4D scan: an image, a curve.

        A large image is thinned out to every n-th pixel. Complex values give their magnitude.

        Parameters
        ----------
        index
            Which, counted over all dims before them.

        Raises
        ------
        OptionError
            There is no such plane.
        """
        document = self.document
        own = 1 if document.kind in _CURVES else min(2, len(document.axes))
        own += bool(document.channels)
        lead, shape = document.shape[: len(document.shape) - own], document.shape[-own:]
        if not 0 <= index < max(1, math.prod(lead)):
            msg = f"there is no plane {index}"
            raise OptionError(msg, hint=f"they are 0 to {max(1, math.prod(lead)) - 1}")
        place = tuple(int(n) for n in np.unravel_index(index, lead)) if lead else ()
        return _thin(document, place, shape)

    def totals(self) -> NDArray[np.float64]:
        """Return the sum of every spectrum of a spectrum image, (scan_y, scan_x).

        Raises
        ------
        UnsupportedDataError
            The document is not a spectrum image.
        """
        document = self.document
        if document.kind != "spectrum-image" or document.channels:
            msg = f"the document {document.slug!r} is {document.kind}"
            raise UnsupportedDataError(msg, hint="sums are those of a spectrum image")
        rows, columns, energies = document.shape
        image = np.zeros((rows, columns))
        step = max(1, _PIECE // max(1, columns * energies * document.dtype.itemsize))
        for y in range(0, rows, step):
            height = min(step, rows - y)
            box = read_box(document.blocks, (y, 0, 0), (height, columns, energies))
            image[y : y + height] = np.abs(box).sum(axis=2, dtype=np.float64)
        return image

    def tiles(self, stop: Callable[[], bool] = bool) -> TileSums:
        """Return the best tile sums there are by now; better ones may be on their way.

        Parameters
        ----------
        stop
            Says that nobody waits for them any more.

        Raises
        ------
        InterruptedError
            They were stopped.
        UnsupportedDataError
            The document is not a 4D scan.
        """
        if not self.is_scan:
            raise UnsupportedDataError("only a 4D scan has tile sums", hint="open a scan")
        if self.document.tiles is not None:  # read again as quickly as they are sent
            return all_tiles(self.document, _TILE_BYTES, stop=lambda: self._stop.is_set() or stop())
        with self._lock:
            if self._tiles is None:
                self._tiles = sampled_tiles(self.document, _TILE_BYTES)
                if self.document.nbytes <= _COUNTED_AT_ONCE:
                    self._worker = threading.Thread(target=self._sum, name="stemzarr-tiles")
                    self._worker.start()
                else:
                    self._tiles = dataclasses.replace(self._tiles, whole=True)
            return self._tiles

    def _sum(self) -> None:
        try:
            better = all_tiles(self.document, _TILE_BYTES, stop=self._stop.is_set)
        except (InterruptedError, StemzarrError, OSError, MemoryError):
            better = None  # what is damaged is named where it is looked at
        with self._lock:
            if better is None and self._tiles is not None:
                better = dataclasses.replace(self._tiles, whole=True)
            self._tiles = better

    def close(self) -> None:
        """End what is still being computed."""
        self._stop.set()
        if self._worker is not None:
            self._worker.join()

    @property
    def path(self) -> Path:
        """Where the source is."""
        return self.source.path


_CURVES = ("spectrum", "profile", "spectrum-image")


def _thin(document: Document, place: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[Any]:
    """Read one plane, every n-th row and column of it where it is large."""
    one = tuple(1 for _ in place)
    if document.kind in _CURVES or len(shape) == 1 or shape[0] * shape[1] <= _MOST_PIXELS:
        box = read_box(document.blocks, (*place, *(0 for _ in shape)), (*one, *shape))
        return _magnitude(box.reshape(shape))
    step = math.ceil(math.sqrt(shape[0] * shape[1] / _MOST_PIXELS))
    rows = [
        read_box(
            document.blocks, (*place, y, *(0 for _ in shape[1:])), (*one, 1, *shape[1:])
        ).reshape(shape[1:])[::step]
        for y in range(0, shape[0], step)
    ]
    return _magnitude(np.stack(rows))


def _magnitude(values: NDArray[Any]) -> NDArray[Any]:
    return np.abs(values) if values.dtype.kind == "c" else values
