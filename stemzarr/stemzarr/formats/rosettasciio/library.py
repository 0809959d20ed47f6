"""RosettaSciIO called with care: its messages kept to itself, its failures as errors of ours.

Files are read lazily where that can be believed. Where a plugin cannot, or where its lazy values
are not those that it gives at once, the file is read whole, up to `WHOLE_BYTES`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import inspect
import logging
import os
import re
import threading
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    MissingDependencyError,
    UnsupportedDataError,
)
from stemzarr.formats.file_blocks import NOT_OF_SUFFIX, FileBlocks, one_line
from stemzarr.model import box_of
from stemzarr.storage.files import cache_open_files
from stemzarr.storage.objects import Stamp

__all__ = ["LibraryBlocks", "Plugin", "open_signals", "plugins_for"]

_LOCK = threading.RLock()
_OPEN_FILES = 4
_MOST_MESSAGES = 5
_ABOUT_SOFTWARE: Final = re.compile(r"Cannot find package|Falling back to slow pure python")
"""What RosettaSciIO says of packages that are not installed and change no value of the file."""

WHOLE_BYTES: Final = 1024**3
"""Size of the largest file, unpacked, that is read whole where it cannot be read lazily."""

_OURS: Final = frozenset(
    {
        "DigitalMicrograph",
        "HSPY",
        "numpy",
        "Topspin",
        "Arina",
        "EMPAD",
        "Image",
        "TIFF",
        "QuantumDetector",
        "TIA",
    }
)
"""Plugins whose formats stemzarr reads itself."""
_UNSAFE: Final = frozenset({"netCDF"})
"""Plugins that evaluate text of a file as Python: docs/upstream/rosettasciio-netcdf-eval.md."""
_LAST: Final = frozenset({"MRCZ"})
"""Plugins that are asked after all others, so that installing what they need changes nothing."""
_WHOLE: Final = frozenset({"JEOL", "Semper"})
"""Plugins whose lazy values are not plain arrays, or leave a file open for each part of them."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One of RosettaSciIO's formats."""

    name: str
    """Its name there."""
    api: str
    """The module that reads it."""

    def read(self, path: Path, chunks: tuple[int, ...] | None = None) -> list[dict[str, Any]]:
        """Return the signals of a file, lazily where the format allows it and can be believed.

        Parameters
        ----------
        chunks
            Chunks of the lazy arrays, where the format takes them.

        Raises
        ------
        UnsupportedDataError
            It would have to be read whole and is larger than `WHOLE_BYTES`.
        """
        function = cast("Callable[..., list[dict[str, Any]]]", self._function())
        given = {} if chunks is None else {"chunks": chunks}
        if self._lazy_is_wrong(path):
            _check_whole(path, self.name)
            return function(str(path), lazy=False)
        try:
            return function(str(path), lazy=True, **given)
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - foreign code raises anything where it cannot
            traceback.clear_frames(error.__traceback__)  # closes the files that it left open
            _check_whole(path, self.name, error)
            return function(str(path), lazy=False)

    def _lazy_is_wrong(self, path: Path) -> bool:
        """Return whether the plugin's lazy values are not those of the file.

        That of PantaRhei maps the bytes of a member of a zip file, packed or not:
        docs/upstream/rosettasciio-prz-lazy.md.
        """
        if self.name in _WHOLE:
            return True
        if self.name != "PantaRhei" or not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            return any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist())

    @property
    def takes_chunks(self) -> bool:
        """Whether the chunks of the lazy arrays can be chosen."""
        return "chunks" in inspect.signature(self._function()).parameters

    def _function(self) -> Any:  # noqa: ANN401 - RosettaSciIO is untyped
        return importlib.import_module(self.api).file_reader


def _check_whole(path: Path, name: str, reason: Exception | None = None) -> None:
    """Refuse to read a file whole that is larger than the budget, packed or not.

    Raises
    ------
    UnsupportedDataError
        It is.
    """
    size = path.stat().st_size
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = max(size, sum(one.file_size for one in archive.infolist()))
    if size > WHOLE_BYTES:
        why = f" ({type(reason).__name__}: {one_line(reason)})" if reason is not None else ""
        msg = (
            f"the {name} file cannot be read lazily{why}, and its {size} bytes are more than the "
            f"{WHOLE_BYTES} that are read whole"
        )
        hint = "open it in HyperSpy on a machine with the memory and save it as .hspy"
        raise UnsupportedDataError(msg, path=path, hint=hint)


_GUARDED: Final = {
    "velox": Plugin("EMD", "stemzarr.formats.emd.velox"),
    "zspy": Plugin("ZSPY", "stemzarr.formats.zarr.zspy"),
}
"""Formats that RosettaSciIO reads by a way of ours; ``velox`` is not a suffix but a content."""


def plugins_for(suffix: str) -> list[Plugin]:
    """Return RosettaSciIO's plugins for a suffix in lower case, without its dot.

    They come in one order, whatever else is installed.
    """
    if suffix in _GUARDED:
        return [_GUARDED[suffix]]
    found = [
        Plugin(known["name"], known["api"])
        for known in _library_plugins()
        if known["name"] not in _OURS | _UNSAFE
        and suffix in [extension.lower() for extension in known["file_extensions"]]
    ]
    return sorted(found, key=lambda plugin: (plugin.name in _LAST, plugin.name))


def known_suffixes() -> list[str]:
    """Return all suffixes that RosettaSciIO reads here, in lower case."""
    found = {e.lower() for known in _library_plugins() for e in known["file_extensions"]}
    return sorted(f".{suffix}" for suffix in found if plugins_for(suffix))


@functools.cache
def _library_plugins() -> Sequence[Mapping[str, Any]]:
    with quiet():
        plugins: Sequence[Mapping[str, Any]] = importlib.import_module("rsciio").IO_PLUGINS
        return plugins


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Collect what RosettaSciIO warns of and logs, instead of letting it out."""
    collected: list[str] = []
    with _LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loggers = [logging.getLogger(name) for name in ("rsciio", "tifffile")]
        before = [(logger.handlers, logger.propagate) for logger in loggers]
        for logger in loggers:
            logger.handlers, logger.propagate = [_Collector(collected)], False
        try:
            yield collected
        finally:
            for logger, (handlers, propagate) in zip(loggers, before, strict=True):
                logger.handlers, logger.propagate = handlers, propagate
            collected.extend(
                str(warning.message)
                for warning in caught
                if not issubclass(warning.category, ResourceWarning)
            )


class _Collector(logging.Handler):
    """Keeps the text of warnings."""

    def __init__(self, collected: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._collected = collected

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record's text."""
        self._collected.append(record.getMessage())


def open_signals(path: Path, plugin: Plugin) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the signals of a file as RosettaSciIO describes them, and what it warned of.

    Raises
    ------
    CorruptFileError
        The plugin cannot read the file.
    MissingDependencyError
        The plugin needs a package that is not installed.
    UnsupportedDataError
        It cannot be read lazily, and is too large to be read whole.
    """
    failure = ""
    try:
        with quiet():  # what is said while importing is not about the file
            importlib.import_module(plugin.api)
        with quiet() as messages:
            try:
                signals = plugin.read(path)
            except (ImportError, UnsupportedDataError):
                raise
            except Exception as error:  # noqa: BLE001 - foreign code raises anything
                failure = f"{type(error).__name__}: {one_line(error)}"
                traceback.clear_frames(error.__traceback__)  # closes the files that it left open
    except ImportError as error:
        msg = f"the format {plugin.name!r} needs {error.name or error}, which is not installed"
        hint = f"pip install {_what_to_install(plugin, error.name)}"
        raise MissingDependencyError(msg, path=path, hint=hint) from error
    if failure:
        msg = f"is not a {plugin.name} file that can be read: {failure}"
        raise CorruptFileError(msg, path=path, hint=NOT_OF_SUFFIX)
    about_file = (text for text in messages if _ABOUT_SOFTWARE.match(text) is None)
    lines = [_without_folder(text, path) for text in about_file]
    ours = dict.fromkeys(line for line in lines if " is left out: " in line)
    theirs = dict.fromkeys(f"RosettaSciIO: {line}" for line in lines if line not in ours)
    return signals, (*ours, *tuple(theirs)[:_MOST_MESSAGES])


def _without_folder(text: str, path: Path) -> str:
    """Return a message on one line, in which a file is named without its folder."""
    text = text.replace(str(path), path.name).replace(f"{path.parent}{os.sep}", "")
    return " ".join(text.split())[:300]


def _what_to_install(plugin: Plugin, module: str | None) -> str:
    """Return RosettaSciIO's extra for a format where it has one, else the missing module."""
    extra = plugin.api.rpartition(".")[2]
    known = importlib.metadata.metadata("rosettasciio").get_all("Provides-Extra") or []
    return f"'rosettasciio[{extra}]'" if extra in known or not module else module


@cache_open_files(1)
def _open_whole(
    path: Path, _stamps: tuple[Stamp, ...], plugin: Plugin, _process: int
) -> tuple[Any, ...]:
    """Return the arrays of a file that is held in memory, one such file at a time."""
    with quiet():
        return tuple(signal["data"] for signal in plugin.read(path))


@cache_open_files(_OPEN_FILES)
def _open_arrays(
    path: Path,
    _stamps: tuple[Stamp, ...],
    plugin: Plugin,
    chunks: tuple[int, ...] | None,
    _process: int,
) -> tuple[Any, ...]:
    """Return the arrays of a file's signals, lazy ones where the format allows it."""
    with quiet():
        return tuple(signal["data"] for signal in plugin.read(path, chunks))


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryBlocks(FileBlocks):
    """Values of one signal as RosettaSciIO gives them, opened again in each process.

    Lazy arrays are computed in the thread that asks, so that no scheduler waits for another.
    """

    plugin: Plugin
    """By what it is read."""
    index: int
    """Place of the signal among those of the file."""
    chunks: tuple[int, ...] | None = None
    """Chunks to be asked for."""
    whole: bool = False
    """Whether the file is read whole, so that one alone is kept."""
    parts: tuple[tuple[Path, Stamp], ...] = ()
    """Further files that the values are in, and what they were."""

    def check(self) -> None:
        """Raise where the file, or one of its parts, is another one than was recognised."""
        for path, stamp in ((self.path, self.stamp), *self.parts):
            stamp.check(path)

    def fill(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`."""
        np.copyto(out, self._box(self._arrays()[self.index], out.shape, start), casting="same_kind")

    def failure(self) -> tuple[str, str]:
        """Return what is said where the plugin fails, and what to do about it."""
        return f"{self.plugin.name} values cannot be read", "the file may be damaged"

    def _arrays(self) -> tuple[Any, ...]:
        stamps = (self.stamp, *(stamp for _, stamp in self.parts))
        if self.whole:
            return _open_whole(self.path, stamps, self.plugin, os.getpid())
        return _open_arrays(self.path, stamps, self.plugin, self.chunks, os.getpid())

    def _box(
        self,
        array: Any,  # noqa: ANN401 - dask or numpy
        shape: Sequence[int],
        start: Sequence[int],
    ) -> NDArray[Any]:
        box = box_of(start, shape)
        values = array[box[: array.ndim]]
        if hasattr(values, "compute"):
            values = values.compute(scheduler="synchronous")
        values = np.asarray(values)
        if values.dtype.names is None:
            return values
        plain = np.ascontiguousarray(values).view(values.dtype[0])
        return plain.reshape(*values.shape, -1)[..., box[-1]]
