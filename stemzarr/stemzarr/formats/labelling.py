"""What the axes of a foreign format mean: kind, order and calibration, with the evidence.

Other formats' axis names, units and ``navigate`` flags are unreliable, each in its own way, so
all of them are weighed: what the user says, then units (a reciprocal length or an angle is on
a detector, an energy is a spectrum), then names, then the flags, then the order on disk.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from stemzarr.metadata.units import is_calibrated, normalise_units, quantity_of
from stemzarr.model import Axis, Kind, Layout, dims_of_kind
from stemzarr.options import ReadOptions

__all__ = ["FoundAxis", "Hints", "Labels", "label_axes"]

Role = Literal["detector", "space", "energy", "frame"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAxis:
    """One axis as a format describes it, in the order of the disk."""

    size: int
    """Number of pixels."""
    name: str = ""
    """Name, empty where there is none."""
    scale: float = 1.0
    """Distance of neighbouring pixels."""
    offset: float = 0.0
    """Position of the first pixel."""
    units: str = ""
    """Units as the format spells them."""
    navigate: bool | None = None
    """HyperSpy's word for a scan axis; None where the format has no such flag."""
    uneven: str = ""
    """Why the positions of the pixels are not an even grid, in words; empty where they are one."""

    def at(self, positions: object) -> FoundAxis:
        """Return the axis calibrated by positions of its pixels.

        Positions are compared, not steps: steps that differ by little add up along an axis. An
        axis is even where no position is further than a thousandth of a pixel, and the rounding
        of its type, from the line through the first and the last one. Any other axis counts
        pixels, and says why in `uneven`.

        Parameters
        ----------
        positions
            One for each pixel, or the first two of them, as py4DSTEM and NCEM write.
        """
        values = np.asarray(positions)
        if values.ndim != 1 or values.dtype.kind not in "iuf" or values.size not in (2, self.size):
            why = "" if values.size <= 1 else f"{values.size} positions for {self.size} pixels"
            return replace(self, scale=float("nan"), uneven=why)
        exact = values.astype(np.float64)
        if values.size == 1:
            return replace(self, offset=float(exact[0]))
        scale = float(exact[-1] - exact[0]) / (exact.size - 1)
        furthest = _furthest(exact, scale)
        if furthest <= _EVEN + _rounding(values) / abs(scale or math.nan):
            return replace(self, scale=scale, offset=float(exact[0]))
        if exact.size == 2 and scale == 0:  # noqa: PLR2004 - two equal positions calibrate nothing
            return replace(self, scale=float("nan"))
        why = f"positions that are uneven by up to {furthest:.3g} pixels"
        if not math.isfinite(furthest):
            same = bool((exact == exact[0]).all())
            why = "one position for all of its pixels" if same else "positions that are not numbers"
            why = why if same or not np.isfinite(exact).all() else "positions that are uneven"
        return replace(self, scale=float("nan"), uneven=why)

    def label(self, name: str) -> Axis:
        """Return the axis under its canonical name, calibrated where that can be believed."""
        units = normalise_units(self.units)
        usable = math.isfinite(self.scale) and self.scale != 0 and math.isfinite(self.offset)
        calibrated = usable and is_calibrated(units)
        return Axis(
            name=name,
            size=self.size,
            scale=float(self.scale) if usable else 1.0,
            offset=float(self.offset) if usable else 0.0,
            units=units if calibrated else "pixel",
            calibrated=calibrated,
            source_units=self.units,
            long_name=self.name,
        )


_EVEN: Final = 1e-3
"""How far from an even grid a position may be, in pixels."""


def _furthest(positions: NDArray[np.float64], scale: float) -> float:
    """Return how far the positions are from an even grid at most, in pixels."""
    if not (math.isfinite(scale) and scale and np.isfinite(positions).all()):
        return math.inf
    grid = positions[0] + np.arange(positions.size) * scale
    return float(np.abs(positions - grid).max() / abs(scale))


def _rounding(positions: NDArray[Any]) -> float:
    """Return by how much the type of the positions may have rounded them."""
    if positions.dtype.kind != "f" or not np.isfinite(positions).all():
        return 0.0
    return 2 * float(np.spacing(np.abs(positions).max()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What a format says about a whole data set."""

    signal_type: str = ""
    """HyperSpy's signal type, such as ``EELS`` or ``electron_diffraction``."""
    frames: str = ""
    """Why the order on disk is beyond doubt, such as ``a .mib file holds pattern by pattern``."""
    pages: str = ""
    """Why 4D data is most likely pattern after pattern, whatever its axes are called."""
    names_order: bool = False
    """Whether axes named x, y (or R_x, R_y) in this order are exchanged, as in NCEM's files."""
    scan: tuple[FoundAxis, FoundAxis] | None = None
    """The scan (slow, fast) that the frames of a stack make, where the format says it."""
    scan_evidence: str = ""
    """Why `scan` is believed."""
    scan_certain: bool = True
    """Whether `scan` was read rather than guessed."""

    @property
    def diffraction(self) -> bool:
        """Whether the values are diffraction patterns."""
        return "diffraction" in self.signal_type.lower()

    @property
    def spectra(self) -> bool:
        """Whether the values are spectra."""
        return self.signal_type.upper().startswith(("EELS", "EDS", "CL", "LUMINESCENCE"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The meaning of a data set: transpose by `order`, then give the scan its `scan` shape."""

    kind: Kind
    """What the data set is."""
    axes: tuple[Axis, ...]
    """Axes in canonical order."""
    order: tuple[int, ...]
    """For each dim of the transposed array, the dim on disk that it comes from."""
    scan: tuple[int, int] | None = None
    """Shape (scan_y, scan_x) that the leading dims are given; None where they have it."""
    layout: Layout | None = None
    """Meaning of the axes on disk, for 4D scans."""
    notes: tuple[str, ...] = ()
    """What a person should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guess:
    """A kind, and which dims on disk are its scan (or frame, or position) and its pattern."""

    kind: Kind
    scan: tuple[int, ...]
    pattern: tuple[int, ...]
    evidence: tuple[str, ...] = ()
    confidence: Literal["high", "low"] = "high"


_PLACE = r"(?:x|y|rows?|cols?|columns?|width|height)"
_NAMES: Final[tuple[tuple[re.Pattern[str], Role], ...]] = (
    (re.compile(r"energy.*|.*energy loss|e|ev|eloss|loss|wavelength.*|raman.*"), "energy"),
    (re.compile(r"time|frames?|t|(?:r[ _]?)?z|depth|tilt.*|slices?|stack|image.?number"), "frame"),
    (re.compile(rf"(?:q|k|d|g|det|detector|diff|diffraction|angle)[ _]?{_PLACE}"), "detector"),
    (re.compile(rf"(?:r|s|scan|nav|probe|real|image)?[ _]?{_PLACE}"), "space"),
)
_QUANTITIES: Final[dict[str, Role]] = {
    "reciprocal length": "detector",
    "angle": "detector",
    "energy": "energy",
    "time": "frame",
    "length": "space",
}
# a name outranks these units: dx in cm is a camera, z in nm a focus, a tilt has degrees, a
# wavelength nm, and a scan may be timed
_NAME_WINS: Final[dict[Role, frozenset[Role]]] = {
    "space": frozenset({"detector", "frame", "energy"}),
    "detector": frozenset({"frame"}),
    "frame": frozenset({"space", "detector"}),
}


def _role(axis: FoundAxis) -> tuple[Role | None, str]:
    """Return what an axis is by its units and name, and that evidence in words."""
    units = normalise_units(axis.units)
    by_units = _QUANTITIES.get(quantity_of(units))
    name = axis.name.strip().lower()
    by_name = next((role for pattern, role in _NAMES if pattern.fullmatch(name)), None)
    if by_units is None or by_name in _NAME_WINS.get(by_units, ()):
        return by_name, f"axis named {axis.name!r}"
    return by_units, f"axis {axis.name!r} in {units}" if name else f"axis in {units}"


def label_axes(
    found: Sequence[FoundAxis], options: ReadOptions, hints: Hints | None = None
) -> Labels:
    """Decide what a data set is and which of its axes are which.

    Parameters
    ----------
    found
        The axes in the order of the disk, slowest first.
    options
        ``layout`` outranks all evidence about 4D data (and about where the frames of a stack
        are counted); ``scan_shape`` makes a scan of a stack, or of a scan of another shape, that
        holds as many patterns, and is skipped where it does not fit.
    hints
        What the format says about the whole.

    Returns
    -------
    Labels
        Every axis of the disk is kept, one pixel long or not; a scan of one line gains a
        ``scan_y`` of one pixel.
    """
    hints = hints or Hints()
    rank = len(found)
    guess = _GUESSES.get(rank, _guess_array)(found, options, hints)
    if hints.names_order:
        guess = replace(
            guess, scan=_by_name(guess.scan, found), pattern=_by_name(guess.pattern, found)
        )
    shape = _scan_shape(guess, found, options, hints)
    if shape is not None:
        guess = _as_scan(guess, options, hints)
    return _labels(guess, found, shape, hints)


def _by_name(dims: tuple[int, ...], found: Sequence[FoundAxis]) -> tuple[int, ...]:
    """Return a pair named x, y or alike (``R_x``, ``R_y``) as y, x; anything else as it is."""
    names = [found[dim].name.strip().lower() for dim in dims]
    alike = len(names) == 2 and names[0][:-1] == names[1][:-1]  # noqa: PLR2004 - a plane
    return dims[::-1] if alike and (names[0][-1:], names[1][-1:]) == ("x", "y") else dims


def _with_role(found: Sequence[FoundAxis], role: Role) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the dims of a role, and the evidence for each."""
    roles = [_role(axis) for axis in found]
    dims = tuple(dim for dim, (known, _) in enumerate(roles) if known == role)
    return dims, tuple(dict.fromkeys(roles[dim][1] for dim in dims))


def _others(dims: Sequence[int], rank: int) -> tuple[int, ...]:
    return tuple(dim for dim in range(rank) if dim not in dims)


def _navigated(found: Sequence[FoundAxis], count: int) -> tuple[int, ...]:
    """Return the dims flagged ``navigate`` where all have a flag and just `count` are set."""
    if any(axis.navigate is None for axis in found):
        return ()
    dims = tuple(dim for dim, axis in enumerate(found) if axis.navigate)
    return dims if len(dims) == count else ()


def _guess_array(found: Sequence[FoundAxis], _options: ReadOptions, _hints: Hints) -> _Guess:
    return _Guess(kind="array", scan=(), pattern=tuple(range(len(found))))


def _guess_line(found: Sequence[FoundAxis], _options: ReadOptions, hints: Hints) -> _Guess:
    energy, _ = _with_role(found, "energy")
    return _Guess(kind="spectrum" if energy or hints.spectra else "profile", scan=(), pattern=(0,))


def _spectra(found: Sequence[FoundAxis], hints: Hints) -> tuple[int, ...]:
    """Return the energy dim of spectra along one or two other dims, or nothing."""
    energy, _ = _with_role(found, "energy")
    detector, _ = _with_role(found, "detector")
    if len(energy) == 1:
        return energy
    signal = _others(_navigated(found, len(found) - 1), len(found))
    if len(signal) == 1 and not energy and not detector and not hints.diffraction:
        return signal
    return (len(found) - 1,) if hints.spectra and not energy else ()


def _guess_plane(found: Sequence[FoundAxis], _options: ReadOptions, hints: Hints) -> _Guess:
    energy = _spectra(found, hints)
    if energy:
        return _Guess(kind="spectrum-image", scan=_others(energy, 2), pattern=energy)
    detector, _ = _with_role(found, "detector")
    space, _ = _with_role(found, "space")
    is_pattern = len(detector) == 2 or (hints.diffraction and not space)  # noqa: PLR2004 - a plane
    return _Guess(kind="diffraction" if is_pattern else "image", scan=(), pattern=(0, 1))


def _guess_stack(found: Sequence[FoundAxis], options: ReadOptions, hints: Hints) -> _Guess:
    forced = options.layout != "auto" and options.scan_shape is not None
    energy = () if forced else _spectra(found, hints)
    if energy:
        return _Guess(kind="spectrum-image", scan=_others(energy, 3), pattern=energy)
    frame, evidence, known = _frame_dim(found, options, hints)
    pattern = _others((frame,), 3)
    detector, _ = _with_role(found, "detector")
    is_line = _role(found[frame])[0] == "space" and (hints.diffraction or detector == pattern)
    return _Guess(
        kind="4d-stem" if is_line else "stack",
        scan=(frame,),
        pattern=pattern,
        evidence=evidence,
        confidence="high" if known else "low",
    )


def _frame_dim(
    found: Sequence[FoundAxis], options: ReadOptions, hints: Hints
) -> tuple[int, tuple[str, ...], bool]:
    """Return the dim that counts the frames of a stack, the evidence, and whether there is any."""
    if options.layout != "auto" and options.scan_shape is not None:
        return (0 if options.layout == "detector-fast" else 2), ("set by --layout",), True
    if hints.frames:
        return 0, (hints.frames,), True
    detector, evidence = _with_role(found, "detector")
    if len(detector) == 2:  # noqa: PLR2004 - a pattern has two axes
        return _others(detector, 3)[0], evidence, True
    space, evidence = _with_role(found, "space")
    frame, _ = _with_role(found, "frame")
    if len(space) == 2 and not frame:  # noqa: PLR2004 - an image has two axes
        return _others(space, 3)[0], evidence, True
    for dims, why in (_with_role(found, "frame"), (_navigated(found, 1), ("navigate flags",))):
        if len(dims) == 1:
            return dims[0], why, True
    return 0, ("the first axis counts by default",), False


def _guess_scan(found: Sequence[FoundAxis], options: ReadOptions, hints: Hints) -> _Guess:
    detector, evidence, known = _detector_dims(found, options, hints)
    others, _ = _with_role(found, "energy")
    frames, _ = _with_role(found, "frame")
    stated = hints.frames or hints.pages or options.scan_shape is not None
    if options.layout == "auto" and not stated and (others or frames):
        return _guess_array(found, options, hints)
    return _Guess(
        kind="4d-stem",
        scan=_others(detector, 4),
        pattern=detector,
        evidence=evidence,
        confidence="high" if known else "low",
    )


def _detector_dims(
    found: Sequence[FoundAxis], options: ReadOptions, hints: Hints
) -> tuple[tuple[int, ...], tuple[str, ...], bool]:
    """Return the detector's dims of 4D data, the evidence, and whether there is any."""
    if options.layout != "auto":
        dims = (2, 3) if options.layout == "detector-fast" else (0, 1)
        return dims, (f"set by --layout: {options.layout}",), True
    if hints.frames:
        return (2, 3), (hints.frames,), True
    detector, evidence = _with_role(found, "detector")
    if len(detector) == 2:  # noqa: PLR2004 - a pattern has two axes
        return detector, evidence, True
    space, evidence = _with_role(found, "space")
    if len(space) == 2 and not hints.pages:  # noqa: PLR2004 - a scan has two axes
        return _others(space, 4), evidence, True
    scan = _navigated(found, 2)
    if scan:
        return _others(scan, 4), ("navigate flags",), True
    default = "the last two axes are the detector by default"
    return (2, 3), (f"{hints.pages}: {default}" if hints.pages else default,), False


_GUESSES: Final[dict[int, Callable[[Sequence[FoundAxis], ReadOptions, Hints], _Guess]]] = {
    1: _guess_line,
    2: _guess_plane,
    3: _guess_stack,
    4: _guess_scan,
}


def _scan_shape(
    guess: _Guess, found: Sequence[FoundAxis], options: ReadOptions, hints: Hints
) -> tuple[int, int] | None:
    """Return the shape of the scan that the user, else the format, gives the patterns.

    None where neither does, or where the numbers do not agree.
    """
    if guess.kind not in ("stack", "4d-stem"):
        return None
    patterns = math.prod(found[dim].size for dim in guess.scan)
    stated = None if hints.scan is None else (hints.scan[0].size, hints.scan[1].size)
    for shape in (options.scan_shape, stated):
        if shape is not None and math.prod(shape) == patterns:
            return shape
    return None


def _as_scan(guess: _Guess, options: ReadOptions, hints: Hints) -> _Guess:
    user = options.scan_shape is not None
    why = "set by --scan-shape" if user else hints.scan_evidence
    certain = user or hints.scan_certain
    return replace(
        guess,
        kind="4d-stem",
        evidence=(why, *guess.evidence),
        confidence=guess.confidence if certain else "low",
    )


def _labels(
    guess: _Guess, found: Sequence[FoundAxis], shape: tuple[int, int] | None, hints: Hints
) -> Labels:
    order = (*guess.scan, *guess.pattern)
    scan = [found[dim] for dim in guess.scan]
    regrouped: tuple[int, int] | None = None
    if guess.kind in ("4d-stem", "spectrum-image"):
        scan, regrouped = _scan_axes(scan, shape, hints)
    pattern = [found[dim] for dim in guess.pattern]
    names = dims_of_kind(guess.kind, len(scan) + len(pattern))
    axes = tuple(axis.label(name) for name, axis in zip(names, [*scan, *pattern], strict=True))
    return Labels(
        kind=guess.kind,
        axes=axes,
        order=order,
        scan=regrouped,
        layout=_layout(guess),
        notes=(*_uneven(scan, axes), *_uneven(pattern, axes[len(scan) :]), *_notes(guess, axes)),
    )


def _scan_axes(
    scan: list[FoundAxis], shape: tuple[int, int] | None, hints: Hints
) -> tuple[list[FoundAxis], tuple[int, int] | None]:
    """Return the two scan axes, and their shape where the disk groups the patterns otherwise."""
    sizes = tuple(axis.size for axis in scan)
    if shape is not None and shape != sizes:
        stated = hints.scan or (FoundAxis(size=0), FoundAxis(size=0))
        return [replace(axis, size=n) for axis, n in zip(stated, shape, strict=True)], shape
    if len(scan) == 1:
        return [FoundAxis(size=1), *scan], (1, sizes[0])
    return scan, None


def _layout(guess: _Guess) -> Layout | None:
    if guess.kind != "4d-stem":
        return None
    last = max((*guess.scan, *guess.pattern))
    order: Literal["detector-fast", "scan-fast"] = (
        "detector-fast" if last in guess.pattern else "scan-fast"
    )
    return Layout(order=order, evidence=guess.evidence, confidence=guess.confidence)


def _uneven(found: Sequence[FoundAxis], axes: Sequence[Axis]) -> tuple[str, ...]:
    """Return a note for each axis that a single scale cannot describe."""
    return tuple(
        f"{axis.name} is not calibrated: the file's axis{_called(described)} has {described.uneven}"
        for described, axis in zip(found, axes, strict=False)
        if described.uneven
    )


def _called(axis: FoundAxis) -> str:
    return f" {axis.name!r}" if axis.name else ""


def _notes(guess: _Guess, axes: Sequence[Axis]) -> tuple[str, ...]:
    notes = []
    if guess.kind == "4d-stem" and guess.confidence == "low":
        notes.append("which axes are the scan and which the detector is a guess; see --layout")
    bare = [axis.name for axis in axes if axis.name.startswith("det_") and not axis.calibrated]
    if bare:
        notes.append(f"the detector is not calibrated: {', '.join(bare)} in pixels")
    return tuple(notes)
