"""Scales of values: logarithm, z-score, range, each from statistics of all values."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.model import Statistics
from stemzarr.options import check_choice
from stemzarr.views.view import Normalize, View

__all__ = ["Scaling", "cast_checked", "needs_statistics", "scaling_from"]


@runtime_checkable
class Measurable(Protocol):
    """Values that a scaling can be fitted to, such as those of a `PatternDataset`."""

    view: View
    """The recipe of the values."""

    def measure(self) -> Statistics:
        """Return the statistics of the values before any scaling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """What happens to each value: clip, logarithm, then ``(value - offset) * factor``.

    Raises
    ------
    OptionError
        A field is not a finite number, or is neither True nor False.

    Examples
    --------
    >>> scaling = Scaling(clip=True, logarithm=True, offset=0.25, factor=2.0)
    >>> scaling.to_json()
    '{"clip": true, "logarithm": true, "offset": 0.25, "factor": 2.0}'
    >>> Scaling.from_json(scaling.to_json()) == scaling
    True
    """

    clip: bool = False
    """Whether negative values become 0 first."""
    logarithm: bool = False
    """Whether log(1 + value) follows."""
    offset: float = 0.0
    """Subtracted after that."""
    factor: float = 1.0
    """Multiplied last."""

    def __post_init__(self) -> None:
        """Refuse what no value can be scaled by."""
        for name in ("clip", "logarithm"):
            check_choice(name, getattr(self, name), Literal[True, False])
        for name in ("offset", "factor"):
            object.__setattr__(self, name, _finite(name, getattr(self, name)))

    @classmethod
    def fit(cls, patterns: Measurable, normalize: Normalize) -> Scaling:
        """Return the scaling of a normalisation by the values of some patterns, and no others.

        Parameters
        ----------
        patterns
            A `PatternDataset`, such as the training part of a split. They are read once, as their
            view gives them before any scaling, in bounded memory; patterns that a salvage did not
            recover and bad pixels do not count.
        normalize
            Which normalisation, as in a view.

        Raises
        ------
        OptionError
            There is no such normalisation, or nothing that can be measured is given.
        UnsupportedDataError
            No value is finite.
        """
        check_choice("normalize", normalize, Normalize)
        _check_measurable(patterns)
        statistics = patterns.measure() if needs_statistics(normalize) else None
        return scaling_from(normalize, statistics, clip=patterns.view.clip_negative)

    def to_json(self) -> str:
        """Return the fields as a JSON object, which `from_json` reads exactly."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Scaling:
        """Return what `to_json` wrote.

        Raises
        ------
        OptionError
            It is not a JSON object of the four fields, or a field has no possible value.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        try:
            fields = json.loads(text)
        except ValueError:
            fields = None
        if not isinstance(fields, dict) or sorted(fields) != sorted(names):
            msg = f"expected a JSON object of {', '.join(names)}"
            raise OptionError(msg, hint="give what Scaling.to_json() returned")
        return cls(**fields)

    @property
    def acts(self) -> bool:
        """Whether anything happens at all."""
        return self != Scaling()

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return scaled values; an array of the result's type is changed in place."""
        if self.clip and values.dtype.kind not in "ub":
            np.maximum(values, values.dtype.type(0), out=values)
        if not (self.logarithm or self.offset or self.factor != 1):
            return values
        values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
        if self.logarithm:
            np.log1p(values, out=values)
        if self.offset or self.factor != 1:
            values -= values.dtype.type(self.offset)
            values *= values.dtype.type(self.factor)
        return values


def _check_measurable(patterns: object) -> None:
    if not isinstance(patterns, Measurable):
        msg = f"{type(patterns).__name__} has no values that a scaling can be fitted to"
        raise OptionError(msg, hint="give a PatternDataset, such as a part of split_blocks")


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise OptionError(f"{name} is {value!r}", hint="it must be a finite number")
    return float(value)


def needs_statistics(normalize: Normalize) -> bool:
    """Whether a normalisation depends on the values that it scales."""
    return normalize in ("log1p-zscore", "minmax")


def scaling_from(normalize: Normalize, statistics: Statistics | None, *, clip: bool) -> Scaling:
    """Return the scaling of a normalisation.

    Parameters
    ----------
    normalize
        Which one.
    statistics
        Of all values that are scaled; needed by ``log1p-zscore`` and ``minmax``. Values that are
        all the same become 0.
    clip
        Whether negative values become 0 first.

    Raises
    ------
    UnsupportedDataError
        No value is finite.
    """
    if normalize == "none":
        return Scaling(clip=clip)
    if normalize == "log1p":
        return Scaling(clip=True, logarithm=True)
    if statistics is None or not statistics.count:
        msg = f"there is no finite value, so {normalize!r} cannot scale by them"
        raise UnsupportedDataError(msg, hint="choose normalize='none' or 'log1p'")
    if normalize == "minmax":
        low, high = statistics.min, statistics.max
        if clip:
            low, high = max(low, 0.0), max(high, 0.0)
        return Scaling(clip=clip, offset=low, factor=_inverse(high - low))
    factor = _inverse(statistics.log1p_std)
    return Scaling(clip=True, logarithm=True, offset=statistics.log1p_mean, factor=factor)


def _inverse(width: float) -> float:
    return 1.0 / width if width > 0 else 1.0


def cast_checked(values: NDArray[Any], dtype: np.dtype[Any], out: NDArray[Any]) -> None:
    """Copy `values` into `out`, of `dtype`, where that changes no value beyond rounding.

    Raises
    ------
    UnsupportedDataError
        A value is outside the range of `dtype`, or is a fraction that an integer cannot hold.
    """
    if not (np.can_cast(values.dtype, dtype, "safe") or _safe_float(values.dtype, dtype)):
        _check_cast(values, dtype)
    np.copyto(out, values, casting="unsafe")


def _safe_float(source: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Whether no finite value of `source` overflows `dtype`."""
    return dtype.kind == "f" and dtype.itemsize >= 4 and source.kind in "iub"  # noqa: PLR2004


def _check_cast(values: NDArray[Any], dtype: np.dtype[Any]) -> None:
    if values.size == 0:
        return
    if values.dtype.kind == "c":
        msg = f"complex values cannot become {dtype}"
        raise UnsupportedDataError(msg, hint="leave dtype out")
    ends = values.min(), values.max()
    if dtype.kind == "f" and not np.isfinite(ends).all():
        # What is not finite stays so in any float type.
        magnitude = np.abs(values[np.isfinite(values)]).max(initial=0)
        ends = -magnitude, magnitude
    if not all(_holds(dtype, end.item()) for end in ends):
        msg = f"values from {ends[0]:g} to {ends[1]:g} do not fit into {dtype}"
        raise UnsupportedDataError(msg, hint=_wider(dtype, ends))
    if dtype.kind in "iu" and values.dtype.kind == "f" and np.any(values != np.rint(values)):
        msg = f"the values are fractions, which {dtype} cannot hold"
        raise UnsupportedDataError(msg, hint="choose float32")


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    """Whether a type reaches to a value, compared without rounding either."""
    if dtype.kind == "f":
        return abs(value) <= float(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return math.isfinite(value) and limits.min <= int(value) <= limits.max


def _wider(dtype: np.dtype[Any], ends: tuple[Any, Any]) -> str:
    """Return the hint for values that `dtype` does not hold."""
    single = not np.isfinite(ends).all() or all(_holds(np.dtype("f4"), end.item()) for end in ends)
    floats = "float32" if single else "float64"
    if dtype.kind in "iu":
        return f"choose a wider type, or {floats}"
    if dtype == np.float16:
        return f"choose {floats}, or a normalisation: float16 ends at 65504"
    return f"choose {floats}"
