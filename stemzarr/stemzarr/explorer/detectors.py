"""Virtual detectors as the page's address writes them, such as ``+ring:0,0,0,1.5;-rect:…``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError
from stemzarr.model import Document, Progress
from stemzarr.pixels.resources import Resources
from stemzarr.views.virtual import sum_detector

__all__ = ["Detector", "parse_detectors", "sum_detectors"]

_FORM = re.compile(r"([+-])(ring|rect):([^,;]+),([^,;]+),([^,;]+),([^,;]+)")
_MOST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """One part of the detector plane whose counts are added or subtracted."""

    sign: Literal[1, -1]
    """Whether its counts are added or subtracted."""
    shape: Literal["ring", "rect"]
    """A ring, which is a disk where its inner radius is 0, or a rectangle."""
    numbers: tuple[float, float, float, float]
    """In the units of the detector axes: of a ring center_y, center_x, inner, outer (which may be
    infinite), of a rectangle top, left, bottom, right, of which the last two do not belong to it.
    """

    def __str__(self) -> str:
        """Return the detector as the address writes it."""
        numbers = ",".join(str(number) for number in self.numbers)
        return f"{'+' if self.sign > 0 else '-'}{self.shape}:{numbers}"

    def image(
        self, document: Document, *, memory: int, progress: Progress | None
    ) -> NDArray[np.generic]:
        """Return what it counts at every scan position, (scan_y, scan_x), exact.

        Raises
        ------
        OptionError
            It holds no pixel.
        """
        first, second, third, fourth = self.numbers
        resources = Resources(memory=memory, progress=progress)
        if self.shape == "rect":
            rect = (first, third, second, fourth)
            return sum_detector(document, resources, rect=rect)
        outer = None if math.isinf(fourth) else fourth
        return sum_detector(document, resources, inner=third, outer=outer, center=(first, second))


def parse_detectors(text: str) -> tuple[Detector, ...]:
    """Return the detectors that a text describes.

    Raises
    ------
    OptionError
        It describes none, too many, or something else.

    Examples
    --------
    >>> [str(each) for each in parse_detectors("+ring:0,0,0,inf;-rect:-1,-1,1,1.5")]
    ['+ring:0.0,0.0,0.0,inf', '-rect:-1.0,-1.0,1.0,1.5']
    """
    parts = text.split(";") if len(text) < _MOST * 200 else []
    if not 0 < len(parts) <= _MOST:
        hint = f"give 1 to {_MOST} of them, separated by semicolons"
        raise OptionError(f"{len(parts)} detectors", hint=hint)
    return tuple(_parse(part) for part in parts)


def _parse(text: str) -> Detector:
    match = _FORM.fullmatch(text)
    try:
        numbers: Any = tuple(float(number) for number in match.groups()[2:]) if match else ()
    except ValueError:
        numbers = ()
    if match is None or not numbers or not all(map(math.isfinite, numbers[:3])):
        hint = "such as +ring:CENTER_Y,CENTER_X,INNER,OUTER or -rect:TOP,LEFT,BOTTOM,RIGHT"
        raise OptionError(f"{text!r} is not a detector", hint=hint)
    if math.isnan(numbers[3]) or (match[2] == "rect" and math.isinf(numbers[3])):
        raise OptionError(f"{text!r} has no size", hint="give finite numbers")
    return Detector(
        sign=1 if match[1] == "+" else -1,
        shape="ring" if match[2] == "ring" else "rect",
        numbers=numbers,
    )


def sum_detectors(
    document: Document,
    detectors: tuple[Detector, ...],
    *,
    memory: int,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Return the sum of several detectors with their signs, (scan_y, scan_x).

    Each is what `.stem.virtual_image` gives; integers are exact up to 2**53.

    Raises
    ------
    OptionError, UnsupportedDataError
        A detector holds no pixel, or the document is not a 4D scan of real values.
    """
    total = np.zeros(document.shape[:2])
    for number, detector in enumerate(detectors):
        step = None if progress is None else _Share(progress, number, len(detectors))
        image = detector.image(document, memory=memory, progress=step).astype(np.float64)
        total += detector.sign * image
    return total


@dataclass(frozen=True, slots=True)
class _Share:
    """The progress of one detector as a share of all of them."""

    progress: Progress
    number: int
    count: int

    def __call__(self, done: int, total: int) -> None:
        self.progress(self.number * total + done, self.count * total)
