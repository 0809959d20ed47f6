"""EMPAD-G2 acquisitions: a ``.raw`` with words of 32 bits, combined by the sensor's calibration.

A word holds 14 bits of an analog value, 16 bits of a digital counter, and a bit for the gain. What
they make together differs by pixel, and between even and odd columns of the scan: an HDF5 file of
constants says how, by a linear or a quadratic model (the package ``empad2`` of S. Zeltmann, which
has the files of two sensors). Background and flat field are not applied.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    SourceNotFoundError,
    StemzarrError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.format_row import FormatRow
from stemzarr.formats.empad import described_by
from stemzarr.formats.found import FileFacts, Found, build_source, refuse_dataset
from stemzarr.formats.frames import FrameRun
from stemzarr.formats.hdf5.files import open_hdf5
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.model import Source, read_box
from stemzarr.options import ReadOptions
from stemzarr.pixels.raw import RawBlocks
from stemzarr.recognition import lead_by_name
from stemzarr.storage.acquisitions import names_in
from stemzarr.storage.objects import Stamp
from stemzarr.storage.reasons import reading

__all__ = ["FORMATS", "Empad2Blocks", "is_empad2", "read_empad2"]

FORMATS = (
    FormatRow(
        name="EMPAD-G2",
        formats=("empad2",),
        suffixes=(".raw",),
        read="the scan, combined by the calibration of the sensor (`.h5`) beside the `.raw`",
        lazy="each pattern at its place in the `.raw`",
        complete="frames on disk against the scan that the name of the `.raw` says",
        unseen="frames lost where the name says no scan; background and flat field are not applied",
        writers=("empad2",),
    ),
)
"""Rows of docs/formats.md."""

_SIDE: Final = 128
_FRAME_BYTES: Final = _SIDE * _SIDE * 4
_OLDER_FRAME_BYTES: Final = (_SIDE + 2) * _SIDE * 4
"""Bytes of a frame of the EMPAD before, which has two more rows."""
_NAMED: Final = re.compile(r"x(\d{1,6})_y(\d{1,6})", re.IGNORECASE)
_EVIDENCE: Final = "an EMPAD-G2 writes pattern after pattern"
_SQUARE: Final = "a square number of frames"
_RAW: Final = "background and flat field are not applied"
_LARGEST_CALIBRATION: Final = 64 * 1024**2
_LARGEST_CONSTANT: Final = 1e12
"""Products of two constants and a word are then finite in float32; those of sensors are < 1e6."""
_ANALOG: Final = np.uint32(0x3FFF)
_COUNTER: Final = np.uint32(0x3FFFC000)
_UNUSED: Final = np.uint32(0x40000000)
_GAIN: Final = np.uint32(0x80000000)
_MODELS: Final[dict[str, dict[str, tuple[int, ...]]]] = {
    "linear": dict.fromkeys(("G1A", "G2A", "B2A", "G1B", "G2B", "B2B"), (_SIDE, _SIDE)),
    "quadratic": dict.fromkeys(("Ml", "alpha", "Md", "Oh", "Ot"), (_SIDE, _SIDE, 2)),
}
"""The constants of each model, and their shape (det_y, det_x) or (det_y, det_x, parity)."""

Constants = Mapping[str, NDArray[np.float32]]


def is_empad2(path: Path, _head: bytes) -> bool:
    """Return whether a ``.raw`` is one of an EMPAD-G2, by its size, its name, what is beside it."""
    if described_by(path) is not None or lead_by_name(path) is not None:
        return False
    size, named = path.stat().st_size, _named_scan(path)
    if named is not None:
        positions = named[0] * named[1]
        if size in (positions * _FRAME_BYTES, positions * _OLDER_FRAME_BYTES):
            return size == positions * _FRAME_BYTES
        return bool(_calibrations(path))
    return size > 0 and size % _FRAME_BYTES == 0 and bool(_calibrations(path))


def _named_scan(raw: Path) -> tuple[int, int] | None:
    """Return (scan_y, scan_x) by the name of a ``.raw``, such as ``scan_x256_y128.raw``."""
    match = _NAMED.search(raw.stem)
    return (
        None
        if match is None or not int(match[1]) * int(match[2])
        else (int(match[2]), int(match[1]))
    )


@functools.lru_cache(256)
def _model_of(path: Path, _stamp: Stamp) -> str:
    """Return the model whose constants a file holds; empty where it holds none."""
    try:
        with open_hdf5(path) as file:
            for model, shapes in _MODELS.items():
                held = (file.get(name) for name in shapes)
                if all(isinstance(one, h5py.Dataset) for one in held):
                    return model
    except StemzarrError:
        return ""
    return ""


def _calibrations(raw: Path) -> list[tuple[Path, str]]:
    """Return the files of constants beside a ``.raw``, and the model of each."""
    names = sorted(
        one for key, one in names_in(raw.parent).items() if key.endswith((".h5", ".hdf5"))
    )
    beside = [path for path in map(raw.with_name, names) if path.is_file()]
    small = [path for path in beside if path.stat().st_size <= _LARGEST_CALIBRATION]
    found = [(path, _model_of(path, Stamp.of(path))) for path in small]
    return [(path, model) for path, model in found if model]


def read_empad2(path: Path, options: ReadOptions) -> Source:
    """Return the frames of an EMPAD-G2, each word combined to its intensity.

    Raises
    ------
    SourceNotFoundError, UnsupportedDataError
        No calibration is beside the file, or several are; its words are not those of an EMPAD-G2.
    CorruptFileError
        The constants of the calibration are of another shape, or out of range.
    TruncatedFileError, OptionError
        No frame is whole; the frames do not make the scan that was asked for.
    """
    refuse_dataset(path, options)
    calibration, model = _calibration(path)
    stamp = Stamp.of(path)
    frames, beyond = divmod(stamp.size, _FRAME_BYTES)
    words = RawBlocks(
        path=path,
        stamp=stamp,
        offset=0,
        disk_shape=(frames, _SIDE, _SIDE),
        stored=np.dtype("<u4"),
        pattern_ndim=2,
    )
    _check_words(words)
    _constants(calibration, Stamp.of(calibration), model)
    named, square = _named_scan(path), _square(frames)
    scan = named or square
    line = (options.scan_shape or scan or (1, frames))[1]
    run = FrameRun(
        parts=((0, Empad2Blocks(words, line, calibration, Stamp.of(calibration), model)),),
        declared=None if named is None else named[0] * named[1],
        scan=scan,
        scan_evidence="the scan that the name of the .raw says" if named else _SQUARE,
        scan_certain=named is not None,
        beyond=beyond,
        evidence=_EVIDENCE,
    )
    whole = Found(
        title="",
        base=run.blocks,
        axes=tuple(FoundAxis(size=size) for size in (0, 0, _SIDE, _SIDE)),
        hints=Hints(signal_type="electron_diffraction", frames=_EVIDENCE),
        facts={"detector": ("EMPAD-G2", "")},
        notes=(f"combined by the {model} calibration of {calibration.name}", _RAW),
    )
    file = FileFacts(
        format="empad2",
        load_metadata=functools.partial(_load_metadata, calibration, model),
        notes=run.notes,
        complete=run.complete,
        parts=(calibration,),
    )
    return build_source(path, file, run.find(whole, options, path), options)


def _square(frames: int) -> tuple[int, int] | None:
    """Return the square scan that frames make, None where they make none."""
    side = math.isqrt(frames)
    return (side, side) if side > 1 and side * side == frames else None


def _calibration(raw: Path) -> tuple[Path, str]:
    """Return the one file of constants beside a ``.raw``, and its model."""
    found = _calibrations(raw)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path, _ in found)
        msg = f"several calibrations are beside it: {names}"
        hint = "leave that of its sensor beside it alone"
        raise UnsupportedDataError(msg, path=raw, hint=hint)
    msg = "its words need the calibration of the sensor, which is not beside it"
    names = " or ".join(", ".join(shapes) for shapes in _MODELS.values())
    hint = f"put the .h5 of the sensor beside it, whose data sets are {names}"
    raise SourceNotFoundError(msg, path=raw, hint=hint)


def _check_words(words: RawBlocks) -> None:
    """Raise where a word of the first, the middle or the last frame has the bit that none uses."""
    frames = words.shape[0]
    if not frames:
        msg = "holds no whole pattern"
        raise TruncatedFileError(msg, path=words.path, hint="copy it again from its origin")
    for number in sorted({0, frames // 2, frames - 1}):
        frame = read_box(words, (number, 0, 0), (1, _SIDE, _SIDE))
        if (frame & _UNUSED).any():
            msg = f"words of its pattern {number} have bit 30 set, which has no meaning"
            hint = "it may hold values that were combined already: save those as .npy"
            raise UnsupportedDataError(msg, path=words.path, hint=hint)


@functools.lru_cache(8)
def _constants(path: Path, _stamp: Stamp, model: str) -> Constants:
    """Return the constants of a model, two of each: for even and for odd columns.

    Raises
    ------
    CorruptFileError
        One has another shape, or holds what is not a number or out of range.
    """
    found: dict[str, NDArray[np.float32]] = {}
    with open_hdf5(path) as file:
        for name, shape in _MODELS[model].items():
            data = file[name]
            if data.shape != shape or data.dtype.kind not in "fiu":
                msg = f"its {name!r} is {data.dtype} of shape {data.shape}, expected floats {shape}"
                raise CorruptFileError(msg, path=path, hint="copy it again from its origin")
            found[name] = data[()]
            if not (np.abs(found[name]) <= _LARGEST_CONSTANT).all():
                msg = f"its {name!r} holds what is not a number, or beyond {_LARGEST_CONSTANT:g}"
                raise CorruptFileError(msg, path=path, hint="copy it again from its origin")
    return found


def _load_metadata(calibration: Path, model: str) -> dict[str, Any]:
    """Return which constants the values were combined by."""
    with reading(calibration):
        digest = xxhash.xxh3_128_hexdigest(calibration.read_bytes())
    return {"calibration": {"file": calibration.name, "model": model, "xxh3_128": digest}}


def _combine_linear(words: NDArray[np.uint32], of: Callable[[str], Any], parity: int) -> Any:  # noqa: ANN401 - float64
    analog, counter, gain = _parts(words)
    g1, g2, b2 = (of(f"{name}{'AB'[parity]}") for name in ("G1", "G2", "B2"))
    return analog * (1 - gain) + g1 * (analog - b2) * gain + g2 * counter


def _combine_quadratic(words: NDArray[np.uint32], of: Callable[[str], Any], parity: int) -> Any:  # noqa: ANN401 - float64
    analog, counter, gain = _parts(words)
    ml, alpha, md, oh, ot = (of(name)[..., parity] for name in _MODELS["quadratic"])
    high = analog * gain
    return analog * (1 - gain) + ml * high + alpha * high * high + md * counter + oh * gain - ot


def _parts(words: NDArray[np.uint32]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the analog value, the counter and the gain of words, as numbers."""
    analog = (words & _ANALOG).astype(np.float32)
    counter = ((words & _COUNTER) >> 14).astype(np.float32)
    return analog, counter, (words & _GAIN) >> 31


_COMBINE: Final = {"linear": _combine_linear, "quadratic": _combine_quadratic}


@dataclass(frozen=True, slots=True)
class Empad2Blocks:
    """Intensities (frame, det_y, det_x) of words of an EMPAD-G2. Picklable and thread-safe."""

    words: RawBlocks
    """The words as they are on disk."""
    line: int
    """Frames of a line of the scan, whose even and odd columns have constants of their own."""
    calibration: Path
    """The file of constants."""
    calibration_stamp: Stamp
    """What it was when it was recognised."""
    model: str
    """``linear`` or ``quadratic``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims."""
        return self.words.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the intensities."""
        return np.dtype("<f4")

    @property
    def block_shape(self) -> tuple[int, ...]:
        """That of the words."""
        return self.words.block_shape

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`.

        Raises
        ------
        SourceChangedError, ReadError
            The file or its calibration is another one by now, or cannot be read.
        """
        self.calibration_stamp.check(self.calibration)
        constants = _constants(self.calibration, self.calibration_stamp, self.model)
        words = np.empty(out.shape, np.uint32) if not out.flags.c_contiguous else out.view("<u4")
        self.words.read_into(words, start)
        rows, columns = (slice(a, a + n) for a, n in zip(start[1:], out.shape[1:], strict=True))
        combine = _COMBINE[self.model]
        for place in range(out.shape[0]):
            parity = (start[0] + place) % self.line % 2
            out[place] = combine(words[place], lambda name: constants[name][rows, columns], parity)
