"""Whole scans for training, validation and further parts: no origin is in two of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stemzarr.errors import OptionError
from stemzarr.options import check_whole
from stemzarr_catalog.entry import Entry, EntryList

if TYPE_CHECKING:
    from stemzarr.model import Fact

__all__ = ["group_by_origin", "mixtures_of", "split_scans"]

_MIXED = ("beam_energy_keV", "camera_length_mm")
_CALIBRATION = "calibration"


def split_scans(
    entries: Iterable[Entry],
    parts: Mapping[str, float],
    *,
    by: str | None = None,
    allow_mixed: bool | Collection[str] = False,
    seed: int = 0,
) -> dict[str, EntryList]:
    """Split entries of a lake into parts, so that what belongs together is in one of them.

    Entries of one origin are kept together: those with equal pixels, whatever format they were
    read from, and those that were exported from the same source and ingested again. Shares are
    met as nearly as whole groups can, counted by scan positions.

    Parameters
    ----------
    entries
        The entries, such as those of a search.
    parts
        Share of each part by its name, such as ``{"training": 0.8, "validation": 0.2}``.
    by
        A fact or field of one's own whose equal values are kept together, such as ``specimen``.
    allow_mixed
        Whether beam energy, camera length and calibration of the detector may differ among the
        entries; or the names of those that may: ``beam_energy_keV``, ``camera_length_mm``,
        ``calibration``.
    seed
        The same seed gives the same parts.

    Returns
    -------
    dict
        Name → entries, in the order in which they were given.

    Raises
    ------
    OptionError
        Shares do not sum to 1, an entry does not have the field, what may not differ does, or
        there are fewer groups than parts.
    """
    chosen = list(entries)
    _check_shares(parts)
    mixed = mixtures_of(chosen)
    allowed = set(mixed) if allow_mixed is True else set(allow_mixed or ())
    if refused := {name: values for name, values in mixed.items() if name not in allowed}:
        said = "; ".join(f"{name} is {', '.join(values)}" for name, values in refused.items())
        msg = f"the entries are a mixture: {said}"
        raise OptionError(msg, hint="search for one of them, or say allow_mixed=True")
    groups = group_by_origin(chosen, [] if by is None else [_values(chosen, by)])
    if len(groups) < len(parts):
        msg = f"{len(chosen)} entries are {len(groups)} groups, and there are {len(parts)} parts"
        raise OptionError(msg, hint="give more entries, or fewer parts")
    rng = np.random.default_rng(check_whole("seed", seed, 0))
    weights = [sum(_positions(chosen[n]) for n in group) for group in groups]
    order = sorted(rng.permutation(len(groups)).tolist(), key=lambda n: -weights[n])
    placed: dict[str, list[int]] = {name: [] for name in parts}
    held = dict.fromkeys(parts, 0.0)
    for left, number in zip(range(len(order), 0, -1), order, strict=True):
        empty = [name for name in parts if not placed[name]]
        among = empty if len(empty) >= left else list(parts)
        part = max(among, key=lambda name: parts[name] * sum(weights) - held[name])
        placed[part] += groups[number]
        held[part] += weights[number]
    return {name: EntryList(chosen[n] for n in sorted(found)) for name, found in placed.items()}


def _check_shares(parts: object) -> None:
    values = list(parts.values()) if isinstance(parts, Mapping) else []
    real = all(isinstance(share, int | float) and 0 < share < 1 for share in values)
    if len(values) < 2 or not real or not math.isclose(sum(values), 1, abs_tol=1e-6):  # noqa: PLR2004 - one part is no split
        msg = f"the parts are {parts!r}"
        raise OptionError(msg, hint="give two or more, each with its share; they sum to 1")


def _values(entries: Sequence[Entry], by: str) -> list[Fact]:
    """Return the value of a field of each entry."""
    found = [{**entry.facts, **entry.notes.fields}.get(by) for entry in entries]
    unknown = [entry.name for entry, value in zip(entries, found, strict=True) if value is None]
    if unknown:
        some = "1 entry has" if len(unknown) == 1 else f"{len(unknown)} entries have"
        msg = f"{some} no {by}: {', '.join(unknown[:5])}"
        raise OptionError(msg, hint=f"say it with stemzarr tag NAME --set {by}=VALUE")
    return [value for value in found if value is not None]


def _positions(entry: Entry) -> int:
    sizes = dict(zip(entry.dims, entry.shape, strict=True))
    return math.prod(n for dim, n in sizes.items() if dim in ("scan_y", "scan_x", "frame"))


def group_by_origin(
    entries: Sequence[Entry], more: Sequence[Sequence[Fact]] = ()
) -> list[list[int]]:
    """Return the numbers of entries that belong together, in groups.

    Parameters
    ----------
    entries
        The entries.
    more
        Further values for each entry; equal ones belong together, too.
    """
    group = list(range(len(entries)))

    def root(number: int) -> int:
        while group[number] != number:
            number = group[number]
        return number

    seen: dict[tuple[str | int, Fact], int] = {}
    for number, entry in enumerate(entries):
        marks: list[tuple[str | int, Fact]] = [("origin", mark) for mark in entry.origins]
        marks += [(k, values[number]) for k, values in enumerate(more)]
        for mark in marks:
            group[root(number)] = root(seen.setdefault(mark, number))
    found: dict[int, list[int]] = {}
    for number in range(len(entries)):
        found.setdefault(root(number), []).append(number)
    return list(found.values())


def mixtures_of(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Return what differs among entries that one model is to learn from, and its values.

    Beam energy, camera length, and the calibration of the detector axes; what is not known of
    some and known of others differs.
    """
    found: dict[str, list[str]] = {name: [] for name in (*_MIXED, _CALIBRATION)}
    for entry in entries:
        axes = [axis for axis in entry.document["axes"] if axis["name"].startswith("det_")]
        said = {name: _say(entry.facts.get(name)) for name in _MIXED}
        said[_CALIBRATION] = " × ".join(f"{a['scale']:.6g} {a['units']}" for a in axes)
        for name, value in said.items():
            if value not in found[name]:
                found[name].append(value)
    return {name: values for name, values in found.items() if len(values) > 1}


def _say(value: Fact | None) -> str:
    if value is None:
        return "not known"
    return value if isinstance(value, str) else f"{value:.6g}"
