"""The central disk of a scan, found from a sparse sample of its patterns."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.measure.sample import take_sample
from stemzarr.model import Document

__all__ = ["Disk", "find_disk", "locate_disk"]

_ANNULUS = 1.5
_FALLBACK = 8.0
_FINEST = 1024
"""Pixels along a side of a pattern in which the disk is looked for; larger ones are binned."""
_COARSE = 128
"""The same for the first look."""
_LEVELS = (0.5, 0.7)
"""Heights of the first look; at the second, Bragg disks that touch fall off."""
_RAYS = 96
_ANGLES = [math.tau * ray / _RAYS for ray in range(_RAYS)]
_DIRECTIONS = np.round([[math.sin(a) for a in _ANGLES], [math.cos(a) for a in _ANGLES]], 12)
"""Steps (y, x) along each ray, without the last bits, which differ between processors."""
_COMPACT = 0.85
_MARGIN = 0.1
_SMALLEST = 0.5
_HELD = 0.8
"""Share of the direct beam that the disk holds at least, however blurred it is."""

Image = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The disk that bright field is summed over, in pixels of the detector."""

    center_y: float
    """Row of its centre."""
    center_x: float
    """Column of its centre."""
    radius: float
    """Its radius; the pixels up to it belong to bright field."""
    inner: float
    """Inner radius of the annulus; all pixels farther than that belong to dark field."""
    found: bool
    """Whether it was found in the data; else it is a guess in the middle of the detector."""

    def attributes(self, detector: tuple[int, ...]) -> dict[str, float | int]:
        """Return the disk and the radii that the masks use as an attribute of ``preview``.

        Parameters
        ----------
        detector
            (det_y, det_x) lengths; the annulus ends at the farthest pixel.
        """
        far = [max(c, n - 1 - c) for c, n in zip(self._center, detector, strict=True)]
        return {
            "center_y": self.center_y,
            "center_x": self.center_x,
            "radius": self.radius,
            "annulus_inner": self.inner,
            "bright_field_inner": 0.0,
            "bright_field_outer": self.radius,
            "annular_dark_field_inner": self.inner,
            "annular_dark_field_outer": max(self.inner, math.hypot(*far)),
            "found": int(self.found),
        }

    @property
    def _center(self) -> tuple[float, float]:
        return self.center_y, self.center_x


def locate_disk(document: Document) -> Disk:
    """Return the central disk of a 4D scan, from a sample of its patterns."""
    return find_disk(take_sample(document).mean, document.bad_pixels)


def find_disk(mean: Image, bad: NDArray[np.bool_] | None = None) -> Disk:
    """Return the bright central disk of a mean diffraction pattern.

    The most intense compact region above half of the brightest is looked at along rays: a circle
    through their steepest falls, those that fit worst left out, is its centre, so that Bragg
    disks, a beam stop and hot pixels do not move it. Its radius is where the mean over all
    directions falls to half between the disk and what surrounds it, or, where the disk is so
    blurred that this holds less, where 80 % of the direct beam are inside.

    Parameters
    ----------
    mean
        (det_y, det_x) mean of some patterns.
    bad
        (det_y, det_x) pixels that say nothing; None where there are none.
    """
    filled = _filled(mean, bad)
    if not filled.size or not np.isfinite(filled).all():
        return _guess(mean.shape)
    factor = max(1, min(*mean.shape, math.ceil(max(mean.shape) / _FINEST)))
    # Sums of the largest floats must not overflow.
    filled = filled / (float(np.abs(filled).max()) or 1.0)
    found = _find_disk(_median(_binned(filled, factor)))
    return dataclasses.replace(
        found,
        center_y=found.center_y * factor + (factor - 1) / 2,
        center_x=found.center_x * factor + (factor - 1) / 2,
        radius=found.radius * factor,
        inner=found.inner * factor,
    )


def _filled(mean: Image, bad: NDArray[np.bool_] | None) -> Image:
    """Return a pattern whose bad pixels have the value of the nearest good one."""
    if bad is None or not bad.any() or bad.all():
        return mean
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True)
    return np.asarray(mean[tuple(nearest)], np.float64)


def _binned(image: Image, factor: int) -> Image:
    """Return the mean of every square of `factor` pixels a side; what is left over is dropped."""
    if factor == 1:
        return image
    rows, columns = (size // factor for size in image.shape)
    whole = image[: rows * factor, : columns * factor]
    binned: Image = whole.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    return binned


@dataclass(frozen=True, slots=True)
class _Circle:
    y: float
    x: float
    radius: float

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether it is on a detector, but for its margin."""
        places = zip((self.y, self.x), shape, strict=True)
        inside = all(-_SMALLEST <= place <= n - _SMALLEST for place, n in places)
        return inside and _SMALLEST < self.radius <= max(shape) / 2


def _find_disk(smooth: Image) -> Disk:
    shape = smooth.shape
    peak, usual = float(smooth.max(initial=0.0)), float(np.median(smooth))
    if not peak > max(0.0, usual):
        return _guess(shape)
    circle, blur = _first_look(smooth)
    if circle is None or not circle.fits(shape):
        return _guess(shape)
    image = _blurred(smooth, blur)
    for _ in range(3):
        better = _fit_edge(image, circle)
        if better is None or not better.fits(shape):
            break
        circle = better
    radius = _edge_radius(image, circle)
    if not _Circle(circle.y, circle.x, radius).fits(shape):
        radius = circle.radius
    return Disk(
        center_y=circle.y,
        center_x=circle.x,
        radius=radius,
        inner=_ANNULUS * radius,
        found=True,
    )


def _first_look(smooth: Image) -> tuple[_Circle | None, int]:
    """Return the most intense compact region, and the blur that made it one, in pixels.

    Patterns of few counts fall apart into many small regions unless they are blurred.
    """
    factor = max(1, min(*smooth.shape, math.ceil(max(smooth.shape) / _COARSE)))
    coarse = _binned(smooth, factor)
    best, best_score, best_reach = None, 0.0, 0
    for reach in (0, 1, 2, 4):
        if reach > min(coarse.shape) // 8:
            break
        image = _blurred(coarse, reach)
        for level in _LEVELS:
            circle, score = _brightest_region(image, level)
            if circle is not None and score > best_score + (_MARGIN if best else 0.0):
                best, best_score, best_reach = circle, score, reach
            if best_score >= _COMPACT:
                break
        if best_score >= _COMPACT:
            break
    if best is None:
        return None, 0
    shift = (factor - 1) / 2
    circle = _Circle(best.y * factor + shift, best.x * factor + shift, best.radius * factor)
    return circle, best_reach * factor


def _brightest_region(image: Image, level: float) -> tuple[_Circle | None, float]:
    """Return the region above a level that holds most, and how round it is."""
    from scipy import ndimage

    peak, usual = float(image.max()), float(np.median(image))
    usual = min(usual, peak / 2)  # a disk may fill more than half of the detector
    labels, count = ndimage.label(image > usual + level * (peak - usual))
    if not count:
        return None, 0.0
    sums = ndimage.sum_labels(image - usual, labels, np.arange(1, count + 1))
    region = labels == 1 + int(np.argmax(sums))
    region = ndimage.binary_fill_holes(region)
    places = np.argwhere(region)
    y, x = (float(place) for place in places.mean(axis=0))
    radius = math.sqrt(len(places) / math.pi)
    inside = np.hypot(places[:, 0] - y, places[:, 1] - x) <= radius + _SMALLEST
    share = float(sums.max() / sums.sum())
    score = float(inside.mean()) * min(1.0, radius) * share**0.25
    return _Circle(y, x, radius), score * _isolation(labels > 0, y, x, radius)


def _isolation(above: NDArray[np.bool_], y: float, x: float, radius: float) -> float:
    """Return 1 for a region in empty surroundings, down to 0 for a piece of a noisy disk."""
    rows, columns = np.ogrid[: above.shape[0], : above.shape[1]]
    distance = np.hypot(rows - y, columns - x)
    around = (distance > 1.2 * radius + 1) & (distance < 1.7 * radius + 2)
    return max(0.0, 1 - 2 * float(above[around].mean())) if around.any() else 1.0


def _blurred(image: Image, reach: int) -> Image:
    from scipy import ndimage

    if not reach:
        return image
    return np.asarray(ndimage.uniform_filter(image, 2 * reach + 1, mode="nearest"), np.float64)


def _rays(image: Image, circle: _Circle) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return values along rays (rays, steps), NaN off the detector, and their radii."""
    from scipy import ndimage

    reach = 2.5 * circle.radius + 3
    step = max(0.25, reach / 256)
    radii = np.arange(0.0, reach, step)
    rows, columns = (
        place + steps[:, np.newaxis] * radii
        for place, steps in zip((circle.y, circle.x), _DIRECTIONS, strict=True)
    )
    values = ndimage.map_coordinates(image, [rows, columns], order=1, mode="nearest")
    inside = (rows >= -_SMALLEST) & (rows <= image.shape[0] - _SMALLEST)
    inside &= (columns >= -_SMALLEST) & (columns <= image.shape[1] - _SMALLEST)
    return np.where(inside, values, np.nan), radii


def _fit_edge(image: Image, circle: _Circle) -> _Circle | None:
    """Return the circle through the steepest fall along every ray, the worst left out."""
    values, radii = _rays(image, circle)
    step = radii[1]
    width = max(2, round(max(1.0, 0.25 * circle.radius) / step))
    sums = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    inner = sums[:, width:-width] - sums[:, : -2 * width]
    falls = inner - (sums[:, 2 * width :] - sums[:, width:-width])
    falls = np.where(np.isfinite(falls), falls, -np.inf)
    best = falls.argmax(axis=1)
    heights = falls[np.arange(len(falls)), best]
    good = np.isfinite(heights) & (heights > 0)
    if np.count_nonzero(good) < _RAYS // 4:
        return None
    good &= heights > 0.3 * np.median(heights[good])
    edges = radii[best + width]
    ys, xs = circle.y + edges * _DIRECTIONS[0], circle.x + edges * _DIRECTIONS[1]
    return _fit_circle(ys[good], xs[good])


def _fit_circle(ys: Image, xs: Image) -> _Circle | None:
    """Return the circle of least squares through points, fitted again without those far off it.

    Least squares of the squared radii (I. Kåsa, 1976), by exact sums: those of a linear algebra
    library differ between processors in their last bits, and stores of one file must not.
    """
    kept = np.ones(len(ys), bool)
    circle = None
    for _ in range(6):
        if np.count_nonzero(kept) < _RAYS // 6:
            return circle
        n, middle_y, middle_x = np.count_nonzero(kept), _mean_of(ys[kept]), _mean_of(xs[kept])
        y, x = ys[kept] - middle_y, xs[kept] - middle_x
        yy, yx, xx = math.fsum(y * y), math.fsum(y * x), math.fsum(x * x)
        determinant = yy * xx - yx * yx
        if not determinant > 0:
            return circle
        square = y * y + x * x
        by_y, by_x = math.fsum(square * y) / 2, math.fsum(square * x) / 2
        cy, cx = (xx * by_y - yx * by_x) / determinant, (yy * by_x - yx * by_y) / determinant
        radius = math.sqrt((yy + xx) / n + cy * cy + cx * cx)
        circle = _Circle(middle_y + cy, middle_x + cx, radius)
        off = np.abs(np.hypot(ys - circle.y, xs - circle.x) - radius)
        kept = off <= max(0.5, 2.5 * float(np.median(off)))
    return circle


def _mean_of(values: Image) -> float:
    return math.fsum(values) / len(values)


def _edge_radius(image: Image, circle: _Circle) -> float:
    """Return the radius at half height, or that which holds enough of a blurred beam."""
    values, radii = _rays(image, circle)
    radii = radii[np.isfinite(values).sum(axis=0) >= _RAYS // 8]
    if not radii.size:
        return circle.radius
    profile = _usual(values[:, : len(radii)])
    plateau = float(np.median(profile[radii <= 0.6 * circle.radius]))
    beyond = (radii >= circle.radius) & (radii <= 2 * circle.radius + 1)
    ground = float(profile[beyond].min()) if beyond.any() else 0.0
    half = three_quarters = circle.radius
    end = radii[-1]
    for _ in range(2):
        half = _falls_to(profile, radii, ground + 0.5 * (plateau - ground), circle.radius)
        three_quarters = _falls_to(profile, radii, ground + 0.75 * (plateau - ground), half)
        end = half + 4.5 * max(0.0, half - three_quarters)  # three standard deviations of the blur
        near = (radii >= half) & (radii <= end + 1)
        ground = float(profile[near].min()) if near.any() else ground
    inside = radii <= end
    held = np.cumsum(np.maximum(profile[inside] - ground, 0) * radii[inside])
    if not held.size or not held[-1] > 0:
        return half
    return max(half, float(radii[int(np.searchsorted(held, _HELD * held[-1]))]))


def _usual(values: Image) -> Image:
    """Return the mean over all rays at each radius without the quarters that are most unlike."""
    ordered = np.sort(values, axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    rank = np.arange(len(values))[:, np.newaxis]
    middle = (rank >= count // 4) & (rank < count - count // 4)
    return np.asarray(np.where(middle, ordered, 0.0).sum(axis=0) / middle.sum(axis=0), np.float64)


def _falls_to(profile: Image, radii: Image, level: float, near: float) -> float:
    """Return the radius at which a profile falls below a level for good, nearest to `near`."""
    above = profile >= level
    falls = np.flatnonzero(above[:-1] & ~above[1:])
    if not falls.size:
        return near
    at = int(falls[np.argmin(np.abs(radii[falls] - near))])
    drop = profile[at] - profile[at + 1]
    share = (profile[at] - level) / drop if drop > 0 else 0.0
    return float(radii[at] + share * (radii[at + 1] - radii[at]))


def _guess(shape: tuple[int, ...]) -> Disk:
    radius = max(1.0, min(shape) / _FALLBACK)
    return Disk(
        center_y=(shape[0] - 1) / 2,
        center_x=(shape[1] - 1) / 2,
        radius=radius,
        inner=_ANNULUS * radius,
        found=False,
    )


def _median(image: Image) -> Image:
    """Return the median of the 3x3 neighbourhood of each pixel, which removes hot pixels."""
    from scipy import ndimage

    return np.asarray(ndimage.median_filter(image, 3, mode="nearest"), np.float64)
