"""TIA's series: a ``.ser`` alone, or an ``.emi`` with all of its ``_1.ser``, ``_2.ser`` and so on.

The pixels are read in place. What the ``.emi`` says of a series, RosettaSciIO takes apart; its own
reader gives offsets in other units than steps: docs/upstream/rosettasciio-tia-offset.md.
"""

from __future__ import annotations

import functools
import importlib
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from stemzarr.errors import StemzarrError, TruncatedFileError, UnsupportedDataError
from stemzarr.format_row import FormatRow
from stemzarr.formats.file_blocks import one_line
from stemzarr.formats.found import FileFacts, Found, build_source, refuse_dataset, slugs_of
from stemzarr.formats.frames import FrameRun
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.formats.rosettasciio.library import quiet
from stemzarr.formats.rosettasciio.metadata import find_value, map_metadata
from stemzarr.formats.tia.series import Dimension, Series, open_series
from stemzarr.metadata.clean import clean_json
from stemzarr.model import Blocks, Source
from stemzarr.options import ReadOptions
from stemzarr.pixels.partial import SpreadBlocks
from stemzarr.pixels.reordered import ReorderedBlocks, SqueezedBlocks
from stemzarr.recognition import parts_of
from stemzarr.storage.acquisitions import find_beside
from stemzarr.storage.reasons import reading

__all__ = ["FORMATS", "read_tia"]

FORMATS = (
    FormatRow(
        name="FEI TIA",
        formats=("emi", "ser"),
        read="an `.emi` with all of its `.ser`, energy and tilts; a `.ser` alone; scans of images",
        lazy="each box at its place in the file",
        complete="elements recorded and on disk against those declared; series that are not there",
        unseen="elements that were overwritten in place; a single spectrum in an `.emi`",
        samples=("formats/tia/16x16_STEM_BF_DF_acquire.emi",),
        writers=("ser",),
    ),
)
"""Rows of docs/formats.md."""

_NAME: Final = re.compile(rb"_(\d{1,6})\.ser", re.IGNORECASE)
"""End of the path under which TIA saved a series, as the ``.emi`` names it."""
_NUMBER: Final = re.compile(r"_(\d+)\.ser", re.IGNORECASE)
_EVIDENCE: Final = "TIA writes element after element"
_LARGEST_EMI: Final = 1024**3
_KEPT_TAGS: Final = 65_536
_PLANE: Final = 2


def read_tia(path: Path, options: ReadOptions) -> Source:
    """Return the series of an ``.emi``, or of one ``.ser``, without reading pixels.

    Raises
    ------
    CorruptFileError, TruncatedFileError, UnsupportedDataError
        What `open_series` says of a ``.ser``; no series is beside an ``.emi``, or none of them
        can be read.
    OptionError
        ``scan_shape`` has fewer positions than there are elements.
    """
    refuse_dataset(path, options)
    if path.suffix.lower() == ".ser":
        one = _SeriesFound.open(path, {}, options)
        return _source(path, [one], (), (), options)
    described = _objects(path)
    parts = sorted(parts_of(path), key=_number)
    missing = _missing(path)
    if not parts:
        names = ", ".join(missing) or f"{path.stem}_1.ser"
        msg = f"its series, {names}, are not beside it"
        raise UnsupportedDataError(msg, path=path, hint="copy all of them into one folder")
    series, notes, failures = [], [], []
    for part in parts:
        place = _number(part) - 1
        original = described[place] if 0 <= place < len(described) else {}
        try:
            series.append(_SeriesFound.open(part, original, options))
        except StemzarrError as error:
            failures.append(error)
            notes.append(f"{part.name} is left out: {error.message}")
    if not series:
        raise failures[0]
    lost = any(isinstance(error, TruncatedFileError) for error in failures)
    notes += [f"its series {name!r} is missing" for name in missing]
    source = _source(path, series, tuple(parts), tuple(notes), options)
    return replace(source, complete=source.complete and not missing and not lost)


def _number(part: Path) -> int:
    found = _NUMBER.search(part.name)
    return 0 if found is None else int(found[1])


def _missing(path: Path) -> tuple[str, ...]:
    """Return the names of the series that an ``.emi`` declares and that are not beside it."""
    with reading(path):
        numbers = {int(number) for number in _NAME.findall(path.read_bytes())}
    names = [f"{path.stem}_{number}.ser" for number in sorted(numbers)]
    return tuple(name for name in names if find_beside(path, name) is None)


def _objects(path: Path) -> list[dict[str, Any]]:
    """Return what an ``.emi`` says of its series, in their order.

    Raises
    ------
    UnsupportedDataError
        It is larger than what is read whole.
    """
    with reading(path):
        if path.stat().st_size > _LARGEST_EMI:
            msg = f"is larger than the {_LARGEST_EMI} bytes that are read whole"
            raise UnsupportedDataError(msg, path=path, hint="give its .ser files one by one")
    library = importlib.import_module("rsciio.tia._api")
    trees = []
    with quiet():
        try:
            texts = library.get_xml_info_from_emi(str(path))
        except UnicodeDecodeError:
            return []
        for text in texts:
            tree = library.DTBox(box_dots=True)
            try:
                library.emixml2dtb(ET.fromstring(text), tree)  # noqa: S314 - no entity is resolved
            except Exception as error:  # noqa: BLE001 - whatever it stumbles over is no record
                trees.append({"unreadable": one_line(error)})
                continue
            trees.append(tree.to_dict())
    return trees


@dataclass(frozen=True, slots=True, kw_only=True)
class _SeriesFound:
    """A series, and the data sets that it makes."""

    series: Series
    found: tuple[Found, ...]
    run: FrameRun

    @classmethod
    def open(cls, path: Path, original: Mapping[str, Any], options: ReadOptions) -> _SeriesFound:
        """Return a series with its labels."""
        series = open_series(path)
        missing = ("the tags of its last elements are cut",) if series.cut_tags else ()
        run = FrameRun(
            parts=((0, series.blocks),),
            declared=series.total,
            scan=_scan(series),
            scan_evidence="the dimensions of its series",
            beyond=series.beyond,
            missing=missing,
            evidence=_EVIDENCE,
        )
        whole = _described(series, original)
        make: Callable[..., list[Found]] = _images if series.kind == "image" else _spectra
        found = make(series, run, whole, options)
        return cls(series=series, found=tuple(found), run=run)


def _source(
    path: Path,
    series: Sequence[_SeriesFound],
    parts: tuple[Path, ...],
    notes: tuple[str, ...],
    options: ReadOptions,
) -> Source:
    found = [found for one in series for found in one.found]
    file = FileFacts(
        format=path.suffix.lower().removeprefix("."),
        load_metadata=functools.partial(_load_metadata, path, series),
        notes=(*notes, *(note for one in series for note in one.run.notes)),
        complete=all(one.run.complete for one in series),
        parts=parts,
    )
    return build_source(path, file, found, options)


def _load_metadata(path: Path, series: Sequence[_SeriesFound]) -> dict[str, Any]:
    """Return what is known of each data set, with moment and place of each element."""
    every = [(one.series, found) for one in series for found in one.found]
    tree: dict[str, Any] = {}
    for slug, (one, found) in zip(slugs_of(path, [f for _, f in every]), every, strict=True):
        tags = one.read_tags(_KEPT_TAGS)
        names = dict(zip(("f2", "f3", "f4"), ("Time", "PositionX", "PositionY"), strict=True))
        known = {names[name]: tags[name] for name in tags.dtype.names or () if name in names}
        header = {**found.original.get("ser_header_parameters", {}), **known}
        original = {**found.original, "ser_header_parameters": header}
        tree[slug] = clean_json({"metadata": found.metadata, "original_metadata": original})
    return tree


def _described(series: Series, original: Mapping[str, Any]) -> Found:
    """Return what is said of a series, its axes those of an element."""
    general: dict[str, Any] = {"original_filename": series.path.name}
    library = importlib.import_module("rsciio.tia._api")
    moment = find_value(original, "ObjectInfo.AcquireDate")
    if isinstance(moment, str):
        try:
            general["date"], general["time"] = library._get_date_time(moment)  # noqa: SLF001
        except (ValueError, OverflowError):
            general["acquired_text"] = moment
    signal = {
        "metadata": {"General": general, "Signal": {"signal_type": ""}},
        "original_metadata": {"ser_header_parameters": series.header, **original},
        "mapping": library.mapping,
    }
    metadata: dict[str, Any] = clean_json(map_metadata("TIA", series.path, signal))
    return Found(
        title="",
        base=series.blocks,
        axes=tuple(_inner_axis(series, dim) for dim in range(len(series.inner))),
        hints=Hints(frames=_EVIDENCE),
        metadata=metadata,
        original=clean_json(signal["original_metadata"]),
    )


def _inner_axis(series: Series, dim: int) -> FoundAxis:
    """Return an axis of an element: eV, else a length or its reciprocal by its number.

    TIA says in no unit whether a pixel is in m or 1/m. No image has pixels of a metre, and no
    pattern pixels of less than 1/m.
    """
    inner = series.inner[dim]
    if series.kind == "spectrum":
        return FoundAxis(
            size=inner.size,
            name="Energy",
            scale=inner.delta,
            offset=inner.first,
            units="eV",
            navigate=False,
        )
    reciprocal = abs(inner.delta) > 1
    factor = 1e-9 if reciprocal else 1e9
    known = inner.delta not in (0, 1, -1)
    return FoundAxis(
        size=inner.size,
        name="yx"[dim],
        scale=inner.delta * factor if known else math.nan,
        offset=inner.first * factor,
        units="1/nm" if reciprocal else "nm",
        navigate=False,
    )


def _outer_axis(dim: Dimension, name: str = "") -> FoundAxis:
    """Return an axis along which elements follow one another."""
    metres = dim.units.strip().lower() in ("meters", "m", "meter")
    factor = 1e9 if metres else 1.0
    return FoundAxis(
        size=dim.size,
        name=name or dim.text,
        scale=dim.delta * factor,
        offset=dim.first * factor,
        units="nm" if metres else dim.units,
        navigate=True,
    )


def _scan(series: Series) -> tuple[int, int] | None:
    """Return the scan (slow, fast) that all elements make; None where they make none."""
    if len(series.dims) != _PLANE:
        return None
    fast, slow = series.dims[::-1] if series.by_columns else series.dims
    return (slow.size, fast.size) if slow.size * fast.size == series.total else None


def _scan_axes(series: Series) -> tuple[FoundAxis, FoundAxis]:
    x, y = series.dims
    return _outer_axis(y, "y"), _outer_axis(x, "x")


def _images(series: Series, run: FrameRun, whole: Found, options: ReadOptions) -> list[Found]:
    """Return one image, a stack, or a scan of patterns."""
    if series.total == 1:
        single = SqueezedBlocks(series.blocks, (0,))
        return [replace(whole, base=single, hints=Hints())]
    if run.scan is None:
        bare = not series.dims or series.dims[0].size != series.total
        outer = FoundAxis(size=0, name="frame") if bare else _outer_axis(series.dims[0])
        return run.find(replace(whole, axes=(outer, *whole.axes)), options, series.path)
    whole = replace(whole, axes=(*_scan_axes(series), *whole.axes))
    if not series.by_columns:
        return run.find(whole, options, series.path)
    if not run.complete:
        return replace(run, scan=None).find(whole, options, series.path)
    return [replace(whole, base=_grid(series.blocks, run.scan, by_columns=True))]


def _spectra(series: Series, run: FrameRun, whole: Found, options: ReadOptions) -> list[Found]:
    """Return one spectrum, a line or a map of them."""
    whole = replace(whole, hints=Hints())
    if series.total == 1:
        return [replace(whole, base=SqueezedBlocks(series.blocks, (0,)))]
    whole = replace(whole, notes=tuple(filter(None, (run.note,))))
    if run.scan is None or not (run.complete or options.salvage):
        first = replace(
            _outer_axis(series.dims[0]) if len(series.dims) == 1 else FoundAxis(size=0),
            size=run.frames,
            navigate=True,
        )
        return [replace(whole, axes=(first, *whole.axes))]
    base = SpreadBlocks(parts=run.parts, frames=series.total)
    blocks = _grid(base, run.scan, by_columns=series.by_columns)
    valid = base.valid().reshape(run.scan)
    valid = valid.T if series.by_columns else valid
    axes = (*_scan_axes(series), *whole.axes)
    return [replace(whole, base=blocks, axes=axes, valid=None if valid.all() else valid)]


def _grid(elements: Blocks, scan: tuple[int, int], *, by_columns: bool) -> Blocks:
    """Return elements that follow one another as a scan (y, x, …)."""
    order = tuple(range(len(elements.shape)))
    inner = len(order) - 1
    grid = ReorderedBlocks(base=elements, order=order, scan=scan, pattern_ndim=inner)
    if not by_columns:
        return grid
    turned = (1, 0, *range(2, 2 + inner))
    return ReorderedBlocks(base=grid, order=turned, pattern_ndim=inner)
