"""The recipe of a view: what part of a 4D scan to show, how coarse, and on which scale."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np

from stemzarr.errors import OptionError
from stemzarr.options import check_choice, check_whole
from stemzarr.views.region import format_roi, parse_roi

__all__ = ["BadPixels", "Method", "Normalize", "Reduce", "View"]

Method = Literal["bin", "stride", "gauss", "fft"]
Reduce = Literal["mean", "sum"]
BadPixels = Literal["mask", "median"]
Normalize = Literal["none", "log1p", "log1p-zscore", "minmax"]

_METHODS = {
    "bin": "blocks of {0} detector pixels, {1}",
    "stride": "every {0} detector pixel",
    "gauss": "detector smoothed with sigma {2} and every {0} pixel kept",
    "fft": "detector reduced {0} times by cropping its spectrum",
}
_BAD_PIXELS: dict[BadPixels, str] = {
    "mask": "bad pixels set to 0",
    "median": "bad pixels replaced by the median of their neighbours",
}
_NORMALIZE = {
    "log1p": "log(1 + value), negative values taken as 0",
    "log1p-zscore": "log(1 + value), negative values taken as 0, to mean 0 and deviation 1",
    "minmax": "values scaled to 0 … 1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A frozen recipe, applied in the order of its fields; rendering it changes no store.

    Raises
    ------
    OptionError
        A value cannot work, or would have no effect.

    See Also
    --------
    stemzarr.render : A view as a Dataset.
    stemzarr.export : A view as a file.
    stemzarr.torch.PatternDataset : A view to train on.

    Examples
    --------
    >>> View(scan_step=2, downsample=2, method="fft").describe()
    'every 2nd scan position; detector reduced 2×2 times by cropping its spectrum'
    """

    roi: str = ""
    """Region of scan and detector as `parse_roi` reads it; empty for all."""
    bad_pixels: BadPixels | None = None
    """What becomes of bad pixels, those that the file names and those that were found: ``mask``
    makes them 0, ``median`` the median of their good neighbours; None leaves all as recorded.
    This comes before all else."""
    scan_step: int = 1
    """Keep every n-th scan position in both directions, the first one included."""
    scan_downsample: int = 1
    """Join blocks of n × n of the kept scan positions, by `reduce`."""
    downsample: int | tuple[int, int] = 1
    """Factor of the detector, or (det_y, det_x); the new size is size // factor."""
    method: Method = "bin"
    """How the detector is downsampled: ``bin``, ``stride``, ``gauss`` or ``fft``. Any but ``bin``
    needs a factor, or for ``gauss`` a width."""
    reduce: Reduce = "mean"
    """Whether joined pixels and positions become their ``mean`` or their ``sum``, which needs a
    factor."""
    sigma: float | None = None
    """Width of the Gaussian in pixels of the source; factor / 2 where it is None."""
    clip_negative: bool = False
    """Whether negative values become 0: ``fft`` rings around sharp spots, which biases the mean."""
    normalize: Normalize = "none"
    """Scale of the values."""
    dtype: str | None = None
    """numpy name of the type of the result; None keeps what the steps before give."""

    def __post_init__(self) -> None:
        """Bring the fields into their one form and refuse what cannot work."""
        check_choice("method", self.method, Method)
        check_choice("reduce", self.reduce, Reduce)
        if self.bad_pixels is not None:
            check_choice("bad_pixels", self.bad_pixels, BadPixels)
        check_choice("normalize", self.normalize, Normalize)
        plain = {
            "roi": _region(self.roi),
            "scan_step": check_whole("scan_step", self.scan_step, 1),
            "scan_downsample": check_whole("scan_downsample", self.scan_downsample, 1),
            "downsample": _factors(self.downsample),
            "sigma": None if self.sigma is None else _width(self.sigma, self.method),
            "clip_negative": _flag(self.clip_negative),
            "dtype": None if self.dtype is None else _dtype_name(self.dtype),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.reduce == "sum" and self.method != "bin":
            msg = f"the method {self.method!r} has no sum"
            raise OptionError(msg, hint="use the method 'bin', or reduce='mean'")
        if self.method != "bin" and not self.changes_detector:
            msg = f"the method is {self.method!r}, and the detector stays as it is"
            hint = "give a factor, downsample=2"
            raise OptionError(msg, hint=hint + (", or sigma" if self.method == "gauss" else ""))
        if self.reduce == "sum" and self.scan_downsample == 1 and not self.changes_detector:
            msg = "reduce is 'sum', and nothing is joined"
            raise OptionError(msg, hint="give a factor, downsample=2 or scan_downsample=2")
        if self.gives_fractions and self.dtype is not None and np.dtype(self.dtype).kind in "iu":
            msg = f"the view gives fractions, which {self.dtype} cannot hold"
            counts = self.normalize == "none" and self.method == "bin"
            hint = "choose float32, or reduce='sum' to keep counts" if counts else "choose float32"
            raise OptionError(msg, hint=hint)

    @property
    def factors(self) -> tuple[int, int]:
        """Factors of (det_y, det_x)."""
        if isinstance(self.downsample, int):
            return self.downsample, self.downsample
        return self.downsample

    @property
    def sigmas(self) -> tuple[float, float]:
        """Widths of the Gaussian along (det_y, det_x) in pixels; 0 leaves the axis as it is."""
        if self.method != "gauss":
            return 0.0, 0.0
        if self.sigma is not None:
            return self.sigma, self.sigma
        y, x = (factor / 2 if factor > 1 else 0.0 for factor in self.factors)
        return y, x

    @property
    def changes_detector(self) -> bool:
        """Whether the patterns change before they are normalised."""
        return self.factors != (1, 1) or any(self.sigmas)

    @property
    def gives_fractions(self) -> bool:
        """Whether integers become fractions on the way."""
        averages = self.reduce == "mean" and self.scan_downsample > 1
        smooths = self.changes_detector and self.method in ("gauss", "fft")
        bins = self.changes_detector and self.method == "bin" and self.reduce == "mean"
        return averages or smooths or bins or self.normalize != "none"

    @property
    def keeps_values(self) -> bool:
        """Whether every value of the document, and no other, enters the normalisation."""
        moves = self.roi or self.scan_step > 1 or self.scan_downsample > 1
        return not (moves or self.changes_detector)

    def describe(self) -> str:
        """Return the steps in words, in their order."""
        return "; ".join(self._steps()) or "as it is"

    def _steps(self) -> list[str]:
        steps = [] if self.bad_pixels is None else [_BAD_PIXELS[self.bad_pixels]]
        steps += [f"region {self.roi}"] if self.roi else []
        if self.scan_step > 1:
            steps.append(f"every {_ordinal(self.scan_step)} scan position")
        if self.scan_downsample > 1:
            n = self.scan_downsample
            steps.append(f"blocks of {n}×{n} scan positions, {self.reduce}")
        if self.changes_detector:
            steps.append(self._method_in_words())
        if self.clip_negative:
            steps.append("negative values set to 0")
        if self.normalize != "none":
            steps.append(_NORMALIZE[self.normalize])
        if self.dtype is not None:
            exact = ", exact for whole numbers up to 2048" if self.dtype == "float16" else ""
            steps.append(f"as {self.dtype}{exact}")
        return steps

    def _method_in_words(self) -> str:
        y, x = self.factors
        how = f"{y}×{x}"
        if self.method in ("stride", "gauss"):
            how = _ordinal(y) if y == x else f"{_ordinal(y)} (det_y) and {_ordinal(x)} (det_x)"
        low, high = sorted(self.sigmas)
        return _METHODS[self.method].format(
            how, self.reduce, f"{low:g}" if low == high else f"{low:g} and {high:g}"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the words, and the fields that are set."""
        from stemzarr.views.notebook import view_html

        return view_html(self)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON that `from_json` reads."""
        fields = dataclasses.asdict(self)
        if not isinstance(self.downsample, int):
            fields["downsample"] = list(self.downsample)
        if self.bad_pixels is None:
            del fields["bad_pixels"]  # so that the record of other views is what it always was
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> View:
        """Return the view of fields that `to_json` gave; absent ones keep their default.

        Raises
        ------
        OptionError
            A field is unknown or its value cannot work.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(fields) - known)
        if unknown:
            msg = f"a view has no field {', '.join(unknown)}"
            raise OptionError(msg, hint=f"its fields are {', '.join(sorted(known))}")
        return cls(**fields)


def _region(roi: object) -> str:
    if not isinstance(roi, str):
        msg = f"roi is {roi!r}"
        raise OptionError(msg, hint="write scan_y=10:50,det_x=-1nm:1nm, or leave it empty for all")
    return format_roi(parse_roi(roi))


def _factors(downsample: object) -> int | tuple[int, int]:
    if not isinstance(downsample, Iterable) or isinstance(downsample, str):
        return check_whole("downsample", downsample, 1)
    factors = [check_whole("downsample", factor, 1) for factor in downsample]
    if len(factors) != 2:  # noqa: PLR2004 - the two dims of a detector
        msg = f"downsample is {downsample!r}"
        raise OptionError(msg, hint="give one factor, or two as (det_y, det_x)")
    return factors[0], factors[1]


def _width(sigma: object, method: str) -> float:
    width = float(sigma) if isinstance(sigma, Real) else math.nan
    if method != "gauss" or not 0 < width < math.inf:
        msg = f"sigma is {sigma!r} with the method {method!r}"
        raise OptionError(msg, hint="sigma is a positive number for the method 'gauss'")
    return width


def _flag(clip_negative: object) -> bool:
    if not isinstance(clip_negative, bool | np.bool_):
        msg = f"clip_negative is {clip_negative!r}"
        raise OptionError(msg, hint="give True or False")
    return bool(clip_negative)


def _dtype_name(dtype: object) -> str:
    try:
        found = np.dtype(dtype)  # type: ignore[call-overload]
    except (TypeError, ValueError, SyntaxError):
        found = None
    if found is None or found.kind not in "iuf" or found.itemsize > 8:  # noqa: PLR2004 - 64 bits
        msg = f"dtype is {dtype!r}"
        raise OptionError(
            msg, hint="choose float32, float16, float64 or an integer type such as uint16"
        )
    return str(found.name)


def _ordinal(number: int) -> str:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}th" if number % 100 in (11, 12, 13) else f"{number}{suffix}"
