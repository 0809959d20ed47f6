"""EMPAD acquisitions: an ``.xml`` that describes them and the ``.raw`` with their frames.

A frame is 130 rows of 128 float32, of which the last two are not pixels. All frames are read at
their positions; how many there must be is said by the ``.xml`` or by the name of the ``.raw``.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import numpy as np

from stemzarr.errors import (
    CorruptFileError,
    SourceNotFoundError,
    UnsupportedDataError,
)
from stemzarr.format_row import FormatRow
from stemzarr.formats.found import FileFacts, Found, build_source, refuse_dataset
from stemzarr.formats.frames import FrameRun
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import Facts, find_numbers, iso_datetime, positive_number
from stemzarr.model import Fact, Source
from stemzarr.options import ReadOptions
from stemzarr.pixels.raw import RawBlocks
from stemzarr.storage.acquisitions import names_in
from stemzarr.storage.objects import Stamp
from stemzarr.storage.reasons import reading

__all__ = ["FORMATS", "described_by", "is_empad", "read_empad"]

FORMATS = (
    FormatRow(
        name="EMPAD",
        formats=("empad",),
        suffixes=(".xml", ".raw"),
        read="the scan of the `.raw` that the `.xml` names, steps, exposure, voltage",
        lazy="each pattern at its place in the `.raw`",
        complete="frames on disk against the scan that the `.xml`, or the name of the `.raw`, says",
        unseen="the two last rows of each frame, which are not pixels",
        writers=("empad",),
    ),
)
"""Rows of docs/formats.md."""


_SIDE: Final = 128
_ROWS: Final = 130
_FRAME_BYTES: Final = _ROWS * _SIDE * 4
_LARGEST_XML: Final = 16 * 1024**2
_NAMED: Final = re.compile(r"scan_x(\d+)_y(\d+)", re.IGNORECASE)
_EVIDENCE: Final = "an EMPAD writes pattern after pattern"


def is_empad(path: Path, head: bytes) -> bool:
    """Return whether a file is an EMPAD's ``.xml``, or a ``.raw`` that one beside it names."""
    suffix = path.suffix.lower()
    if suffix == ".xml":
        return b"<" in head and _raw_name(path) is not None
    return suffix == ".raw" and (described_by(path) is not None or _named_shape(path) is not None)


def described_by(raw: Path) -> Path | None:
    """Return the ``.xml`` beside a ``.raw`` that names it, None where there is none."""
    names = sorted(name for lower, name in names_in(raw.parent).items() if lower.endswith(".xml"))
    beside = map(raw.with_name, names)
    return next((xml for xml in beside if _raw_name(xml) == raw.name), None)


def _named_shape(raw: Path) -> tuple[int, int] | None:
    """Return (scan_y, scan_x) by the name of a ``.raw`` whose size is that of so many frames."""
    match = _NAMED.search(raw.stem)
    if match is None or raw.stat().st_size % _FRAME_BYTES:
        return None
    return int(match[2]), int(match[1])


@functools.lru_cache(256)
def _raw_name_of(path: Path, _stamp: Stamp) -> str | None:
    try:
        root = _parse(path)
    except CorruptFileError:
        return None
    raw = root.find("raw_file")
    return None if raw is None else raw.get("filename")


def _raw_name(path: Path) -> str | None:
    """Return the file name of the frames that an ``.xml`` describes; None where it is another."""
    if not path.is_file():
        return None
    name = _raw_name_of(path, Stamp.of(path))
    # The path of the machine that wrote it means nothing here.
    return None if name is None else re.split(r"[\\/]", name)[-1]


def _parse(path: Path) -> ET.Element:
    with reading(path):
        if path.stat().st_size > _LARGEST_XML:
            msg = f"is larger than the {_LARGEST_XML} bytes that an EMPAD's .xml has at most"
            raise CorruptFileError(msg, path=path, hint="give the .xml of the acquisition")
        text = path.read_bytes()
    if b"<!ENTITY" in text:
        msg = "declares entities, which no EMPAD writes"
        raise CorruptFileError(msg, path=path, hint="give the .xml of the acquisition")
    try:
        return ET.fromstring(text)  # noqa: S314 - entities are refused above
    except ET.ParseError as error:
        msg = f"is not readable XML: {error}"
        raise CorruptFileError(msg, path=path, hint="copy it again from its origin") from error


def read_empad(path: Path, options: ReadOptions) -> Source:
    """Return the frames of an EMPAD, given by its ``.xml`` or by a ``.raw`` of a telling name.

    Raises
    ------
    UnsupportedDataError
        It is a ``.raw`` that an ``.xml`` describes: that is the file to give.
    SourceNotFoundError
        The ``.raw`` that the ``.xml`` names is not beside it.
    TruncatedFileError, OptionError
        No frame is whole; the frames do not make the scan that was asked for.
    """
    refuse_dataset(path, options)
    if path.suffix.lower() == ".raw":
        xml = described_by(path)
        if xml is not None:
            msg = f"holds the frames of {xml.name}, which describes them"
            raise UnsupportedDataError(msg, path=path, hint=f"give {xml.name} instead")
        return _source(path, path, ET.Element("root"), options)
    raw = path.with_name(_raw_name(path) or "")
    if not raw.is_file():
        msg = f"its frames, {raw.name}, are not beside it"
        raise SourceNotFoundError(msg, path=path, hint="copy both into one folder")
    return _source(path, raw, _parse(path), options)


def _source(path: Path, raw: Path, root: ET.Element, options: ReadOptions) -> Source:
    tree = {"xml": clean_json(_as_dict(root))} if path != raw else {}
    run = _run(raw, root)
    whole = Found(
        title="",
        base=run.blocks,
        axes=_axes(root, run.scan),
        hints=Hints(signal_type="electron_diffraction", frames=_EVIDENCE),
        facts=_facts(root),
        notes=_contradiction(raw, root, run),
    )
    parts = () if path == raw else (raw,)
    file = FileFacts(
        format="empad",
        load_metadata=functools.partial(dict, tree),
        notes=run.notes,
        complete=run.complete,
        parts=parts,
    )
    return build_source(path, file, run.find(whole, options, path), options)


def _run(raw: Path, root: ET.Element) -> FrameRun:
    stamp = Stamp.of(raw)
    frames, beyond = divmod(stamp.size, _FRAME_BYTES)
    blocks = RawBlocks(
        path=raw,
        stamp=stamp,
        offset=0,
        disk_shape=(frames, _SIDE, _SIDE),
        stored=np.dtype("<f4"),
        stride=_FRAME_BYTES,
        pattern_ndim=2,
    )
    series = _number(root, "scan_parameters/series_count")
    if series is not None:
        return FrameRun(parts=((0, blocks),), declared=series, beyond=beyond, evidence=_EVIDENCE)
    shapes = list(_shapes(raw, root))
    fitting = (shape for shape in shapes if shape[0] * shape[1] == frames)
    scan = next(fitting, shapes[0] if shapes else None)
    declared = None if scan is None else scan[0] * scan[1]
    return FrameRun(
        parts=((0, blocks),),
        declared=declared,
        scan=scan,
        scan_evidence="the scan that the .xml or .raw names",
        beyond=beyond,
        evidence=_EVIDENCE,
    )


def _contradiction(raw: Path, root: ET.Element, run: FrameRun) -> tuple[str, ...]:
    """Say where the ``.xml`` and the name of the ``.raw`` declare two scans, and which is taken."""
    stated, named = _stated(root), _NAMED.search(raw.stem)
    if stated is None or named is None or stated == (int(named[2]), int(named[1])):
        return ()
    taken = "neither" if run.scan is None else "{} x {}".format(*run.scan)
    note = (
        f"the .xml declares a scan of {stated[0]} x {stated[1]}, and the name of {raw.name} one of "
        f"{int(named[2])} x {int(named[1])}: {taken} is taken"
    )
    return (note,)


def _stated(root: ET.Element) -> tuple[int, int] | None:
    columns, rows = _number(root, "pix_x"), _number(root, "pix_y")
    return (rows, columns) if columns and rows else None


def _shapes(raw: Path, root: ET.Element) -> Iterator[tuple[int, int]]:
    """Yield the shapes (scan_y, scan_x) that are declared, the most telling first."""
    stated = _stated(root)
    if stated is not None:
        yield stated
    match = _NAMED.search(raw.stem)
    if match is not None and int(match[1]) and int(match[2]):
        yield int(match[2]), int(match[1])
    for mode in ("acquire", "search"):
        below = f"scan_parameters[@mode='{mode}']/scan_resolution_"
        columns, rows = _number(root, f"{below}x"), _number(root, f"{below}y")
        if columns and rows:
            yield rows, columns


def _number(root: ET.Element, path: str) -> int | None:
    value = positive_number((root.findtext(path) or "").strip() or None)
    return None if value is None else int(value)


def _axes(root: ET.Element, scan: tuple[int, int] | None) -> tuple[FoundAxis, ...]:
    """Return scan_y, scan_x and the two axes of a pattern, calibrated where the .xml says how."""
    step = positive_number(root.findtext("iom_measurements/calibrated_pixelsize"))
    # The G1's pixel size is 1e-9 of the step in 1/nm; the pattern is centred on its middle.
    scale = 1.0 if step is None else step * 1e9
    detector = tuple(
        FoundAxis(
            size=_SIDE,
            name=name,
            scale=scale,
            offset=-_SIDE / 2 * scale,
            units="" if step is None else "1/nm",
        )
        for name in ("height", "width")
    )
    steps = (None, None) if scan is None else _scan_steps(root, scan)
    scanned = tuple(
        FoundAxis(
            size=0,
            name=name,
            scale=1.0 if step is None else step * 1e9,
            units="" if step is None else "nm",
        )
        for name, step in zip(("scan_y", "scan_x"), steps, strict=True)
    )
    return (*scanned, *detector)


def _scan_steps(root: ET.Element, scan: tuple[int, int]) -> tuple[float | None, float | None]:
    """Return the steps (y, x) of the scan in m: the field of view over the positions."""
    below = "iom_measurements/full_scan_field_of_view"
    field, factor = (
        positive_number(root.findtext(f"{below}/{tag}")) for tag in ("x", "scale_factor")
    )
    if field is not None and factor is not None:
        # Both fields are that of the longer side, multiplied by the factor.
        step = field / factor / max(scan)
        return step, step
    text = root.findtext("iom_measurements/optics.get_full_scan_field_of_view")
    try:
        fields = ast.literal_eval(text) if text else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        fields = None
    if not isinstance(fields, list | tuple) or len(fields) != len(scan):
        return None, None
    rows, columns = (positive_number(value) for value in fields)
    if rows is None or columns is None:
        return None, None
    return rows / scan[0], columns / scan[1]


def _facts(root: ET.Element) -> Facts:
    facts: dict[str, tuple[Fact, str]] = {
        fact: (value, f"xml/{path}") for fact, value, path in find_numbers("empad", root.findtext)
    }
    stamp = root.find("timestamp")
    moment = "" if stamp is None else stamp.get("isoformat", "")
    acquired = iso_datetime(*moment.partition("T")[::2])
    if acquired:
        facts["acquired"] = acquired, "xml/timestamp/isoformat"
    return facts


def _as_dict(element: ET.Element) -> Mapping[str, Any] | str:
    """Return an element as JSON: its attributes, and what is below it by tag."""
    text = (element.text or "").strip()
    below: dict[str, Any] = dict(element.attrib)
    for child in element:
        value, name = _as_dict(child), child.tag
        if name not in below:
            below[name] = value
        elif isinstance(below[name], list):
            below[name].append(value)
        else:
            below[name] = [below[name], value]
    if not below:
        return text
    return below | {"text": text} if text else below
