"""Options of each operation, as frozen dataclasses validated once.

The command line and Python build the same objects; a store records the one it was made with.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from stemzarr.errors import OptionError

__all__ = [
    "Codec",
    "ColourMap",
    "ExportOptions",
    "ImageName",
    "IngestOptions",
    "LayoutChoice",
    "PublishOptions",
    "ReadOptions",
    "TensorForm",
    "as_path",
    "available_threads",
    "parse_bytes",
]

LayoutChoice = Literal["auto", "detector-fast", "scan-fast"]
Codec = Literal["zstd", "lz4", "none"]
TensorForm = Literal["patterns", "scan"]
ImageName = Literal[
    "bright-field", "annular-dark-field", "total-intensity", "mean-diffraction", "max-diffraction",
    "com-y", "com-x", "com-magnitude", "dpc", "radial-profile", "likeness",
]  # fmt: skip
ColourMap = Literal["gray", "gray-inverted", "viridis", "cividis", "inferno"]
_MOST_ZOOM = 64
_CENTERED = ("com-y", "com-x", "com-magnitude", "dpc", "radial-profile")
"""Images that a centre may be given for, as for a ring."""

_BYTE_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BYTE_UNITS |= {f"{prefix}i": 1024**power for power, prefix in enumerate("kmgt", start=1)}
_LEAST_MEMORY = 16 * 1024**2
# A Path has lost the second slash; one letter is a drive of Windows.
_FILE_ADDRESS = re.compile(r"file:(?://(?:localhost)?)?/([^/].*)", re.IGNORECASE | re.DOTALL)
_ADDRESS = re.compile(r"((?:[\w+.-]+::)*([A-Za-z][A-Za-z0-9+.-]+):)[/\\]")


def parse_bytes(text: str | int) -> int:
    """Return a number of bytes from text such as ``512MiB``, ``2GB`` or ``1e9``.

    Raises
    ------
    OptionError
        The text is not a valid size.

    Examples
    --------
    >>> parse_bytes("512MiB")
    536870912
    """
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*([0-9][0-9.]*(?:e[0-9]{1,2})?)\s*([kmgt]i?)?b?\s*", text.lower())
    if match is None or match[1].count(".") > 1:
        raise OptionError(
            f"{text!r} is not a valid size in bytes", hint="write 512MiB, 2GB or 1000000"
        )
    return int(float(match[1]) * _BYTE_UNITS[match[2] or ""])


def available_threads() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_choice(name: str, value: object, choices: object) -> None:
    """Raise `OptionError` unless `value` is among the literal type's values."""
    known = get_args(choices)
    if value not in known:
        msg = f"{name} is {value!r}"
        raise OptionError(msg, hint=f"choose one of {', '.join(map(str, known))}")


def check_at_least(name: str, value: float, least: float) -> None:
    """Raise `OptionError` where `value` is smaller than `least`."""
    if value < least:
        msg = f"{name} is {value}"
        raise OptionError(msg, hint=f"it must be at least {least}")


def check_whole(name: str, value: object, least: int) -> int:
    """Return a whole number, numpy's too, as an int.

    Raises
    ------
    OptionError
        It is not a whole number, or smaller than `least`.

    Examples
    --------
    >>> check_whole("scan_step", 2, 1)
    2
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        msg = f"{name} is {value!r}"
        raise OptionError(msg, hint=f"it must be a whole number of at least {least}") from None
    check_at_least(name, number, least)
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How to understand a source where the source does not say, or says it wrongly.

    Raises
    ------
    OptionError
        A value cannot work, or would have no effect.
    """

    layout: LayoutChoice = "auto"
    """Meaning of the axes on disk; anything but ``auto`` outranks every evidence in the file."""
    scan_shape: tuple[int, int] | None = None
    """Scan positions as (scan_y, scan_x), where the source holds a plain stack of patterns."""
    dataset: str | None = None
    """Path of the data set inside a container format such as HDF5."""
    salvage: bool = False
    """Whether to recover what is complete in a truncated source instead of refusing it."""
    join: bool = False
    """Whether the source is a folder whose files hold one frame each, in the order of names."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_choice("layout", self.layout, LayoutChoice)
        if self.join and (self.layout != "auto" or self.dataset is not None):
            name = "dataset" if self.dataset is not None else "layout"
            msg = f"join and {name} exclude each other: each file holds one whole frame"
            raise OptionError(msg, hint=f"leave --{name} out, or --join")
        if self.scan_shape is not None:
            for size in self.scan_shape:
                check_at_least("scan_shape", size, 1)

    def record(self) -> dict[str, Any]:
        """Return the options as stores and exports record them."""
        record = dataclasses.asdict(self)
        if not self.join:
            # Earlier versions, which do not know it, read all other stores too.
            del record["join"]
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """How a source becomes a store.

    Raises
    ------
    OptionError
        A value cannot work, or would have no effect.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    """How the source is understood."""
    codec: Codec = "zstd"
    """Compression of the pixel data: ``zstd`` (small), ``lz4`` (fast) or ``none``."""
    memory: int = 512 * 1024**2
    """Budget in bytes for the buffers of the ingest, whatever the size of the source."""
    threads: int = field(default_factory=available_threads)
    """Threads that read, measure and encode."""
    workers: int = 0
    """Worker processes of a local dask cluster; 0 uses threads of this process."""
    scheduler: str | None = None
    """Address of a dask.distributed scheduler that runs the tasks."""
    virtual: bool = False
    """Whether to catalogue the source in place, with its labels and without its pixels."""
    redact: bool = False
    """Whether to leave out operator, specimen, session, paths, remarks and printer records."""
    sha256: bool = False
    """Whether to record the SHA-256 of the whole source, for a second read of it."""
    preview: bool = True
    """Whether to compute previews and statistics in the same pass."""
    sync: bool = True
    """Whether to flush every file to the disk before the store is published."""
    facts: Mapping[str, str | float | int] = field(default_factory=dict)
    """Calibration and facts that outrank those of the source, as `calibrate` takes them."""
    overwrite: bool = False
    """Whether a store that exists at the destination is replaced."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_choice("codec", self.codec, Codec)
        check_at_least("memory", self.memory, _LEAST_MEMORY)
        check_at_least("threads", self.threads, 1)
        check_at_least("workers", self.workers, 0)
        if self.workers and self.scheduler:
            msg = "workers and scheduler exclude each other"
            raise OptionError(msg, hint="give one of them")
        if self.virtual and (self.codec != "zstd" or self.workers or self.scheduler):
            msg = "a virtual entry holds no pixels, so codec, workers and scheduler have no effect"
            raise OptionError(msg, hint="leave them out, or leave virtual out")

    def record(self) -> dict[str, Any]:
        """Return the options that shape the store, as JSON, for its ingest record."""
        record = dataclasses.asdict(self)
        for name in ("overwrite", "scheduler"):
            del record[name]
        record["read"] = self.read.record()
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How a document, or a view of it, becomes a file of another format.

    Raises
    ------
    OptionError
        A value cannot work, or would have no effect.
    """

    memory: int = 256 * 1024**2
    """Budget in bytes for the buffers of the export."""
    threads: int = field(default_factory=available_threads)
    """Threads that read, render and encode."""
    tensor: TensorForm = "patterns"
    """Form of a torch tensor: (N, 1, det_y, det_x) or (scan_y, scan_x, det_y, det_x)."""
    image: ImageName | None = None
    """Image of a 4D scan that is written instead of the scan; `None` with radii is their ring."""
    inner: float | None = None
    """Inner radius of a virtual image in the units of the detector axes; 0 with `outer` alone."""
    outer: float | None = None
    """Outer radius of it, no pixel of which counts; all beyond `inner` where that stands alone."""
    at: tuple[int, int] | None = None
    """Position (scan_y, scan_x) of the one pattern that is written, or that all are compared with
    for the image ``likeness``."""
    center: tuple[float, float] | None = None
    """Centre (det_y, det_x) of a ring, a profile or of the shifts of the centre of mass, in the
    units of the detector axes; that of the central disk where it is None."""
    with_metadata: bool = False
    """Whether a ``.pt`` holds a dict of tensor and metadata instead of the bare tensor."""
    scale_bar: bool = False
    """Whether a ``.png`` has a bar that says how long it is."""
    cmap: ColourMap | None = None
    """Colours of the values in a ``.png``; one channel of grey where it is None."""
    zoom: int = 1
    """How many pixels of a ``.png`` each value becomes, along either side."""
    sync: bool = True
    """Whether the file is flushed to the disk before it appears."""
    overwrite: bool = False
    """Whether a file that exists at the destination is replaced."""
    skip_existing: bool = False
    """Whether a file that exists at the destination is left, where it was made from the same
    source in the same way; any other one is replaced with `overwrite`, else refused."""
    dry_run: bool = False
    """Whether it is only found out what would be written; the folder need not be there yet."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if check_whole("zoom", self.zoom, 1) > _MOST_ZOOM:
            msg = f"zoom is {self.zoom}"
            raise OptionError(msg, hint=f"choose {_MOST_ZOOM} at most")
        if self.cmap is not None:
            check_choice("cmap", self.cmap, ColourMap)
        check_choice("tensor", self.tensor, TensorForm)
        check_at_least("memory", self.memory, _LEAST_MEMORY)
        check_at_least("threads", self.threads, 1)
        if self.image is not None:
            check_choice("image", self.image, ImageName)
            if self.inner is not None or self.outer is not None:
                msg = (
                    f"the image {self.image!r} and the radii of a virtual image exclude each other"
                )
                raise OptionError(msg, hint="give an image, or inner and outer")
        inner, outer = self.inner or 0.0, math.inf if self.outer is None else self.outer
        if not 0 <= inner < outer:
            msg = f"a virtual image has the radii {inner:g} and {outer:g}"
            raise OptionError(msg, hint="inner is at least 0, and outer larger than inner")
        self._check_places()

    def _check_places(self) -> None:
        """Refuse a position or a centre that nothing is made of."""
        ring = self.inner is not None or self.outer is not None
        if self.image == "likeness" and self.at is None:
            msg = "likeness compares all patterns with one"
            raise OptionError(msg, hint="say which one with at, by its position (scan_y, scan_x)")
        if self.at is not None and (ring or self.image not in (None, "likeness")):
            msg = f"at {self.at} has no meaning for the image {self.image or 'of a ring'!r}"
            raise OptionError(msg, hint="give it alone for one pattern, or with image='likeness'")
        if self.center is not None and not (ring or self.image in _CENTERED):
            msg = f"center {self.center} has no meaning for this export"
            raise OptionError(msg, hint=f"give it with radii, or for {', '.join(_CENTERED)}")

    @property
    def takes_image(self) -> bool:
        """Whether an image or a pattern of a scan is written instead of the scan."""
        chosen = (self.image, self.inner, self.outer, self.at)
        return any(one is not None for one in chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """How a store is copied to where others read it."""

    redact: bool = False
    """Whether the copy says neither who made the scan, nor of what, nor where it was kept."""
    overwrite: bool = False
    """Whether another version at the destination is replaced; readers find none meanwhile."""
    sync: bool = True
    """Whether everything is flushed to the disk before the copy is shown."""
    dry_run: bool = False
    """Whether it is only found out what would be sent."""
    threads: int = 8
    """Objects that are sent at once, each in pieces of a few MiB."""
    sha256: bool = False
    """Whether the SHA-256 of every file of a published lake is listed, which reads all of it."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_at_least("threads", self.threads, 1)


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path with ``~`` expanded; symbolic links are kept.

    An address of this machine, such as ``file:///data/scan%201.dm4``, is the path that it means.

    Raises
    ------
    OptionError
        It is empty, or "-", by which other programs mean standard input or output, there is no
        such home folder, or it is the address of another machine, as fsspec and intake write them.
        Such an address may hold a password or a signature, so no more of it than its scheme is
        repeated.

    Examples
    --------
    >>> as_path("file:///data/scan%201.dm4").name
    'scan 1.dm4'
    """
    if not os.fspath(path):
        hint = "a variable of the shell may be unset; write . for the folder that you are in"
        raise OptionError("a path is empty", hint=hint)
    if os.fspath(path) == "-":
        hint = "save what comes through a pipe under a name, or give a name to write to"
        raise OptionError("is not a file", path="-", hint=hint)
    local = _FILE_ADDRESS.fullmatch(os.fspath(path))
    if local is not None and not Path("file:").exists():
        from urllib.request import url2pathname

        return Path(url2pathname(f"/{local[1]}")).absolute()
    match = _ADDRESS.match(os.fspath(path))
    if match is not None and not Path(match[1]).exists():
        msg = "is an address, where a file or folder of this machine is needed"
        hint = (
            "copy it here; open, info, show, export, verify and training read stores at s3://, "
            "gs://, az:// and https:// addresses"
        )
        raise OptionError(msg, path=f"{match[2]}://\N{HORIZONTAL ELLIPSIS}", hint=hint)
    return _at_home(Path(path)).absolute()


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        hint = "./~name means a file whose name begins so"
        raise OptionError("there is no such home folder", path=path, hint=hint) from error
