"""Opens a file in a process of its own first, which can be stopped when it does not come back.

HDF5 decodes in C, and a few flipped bytes can make it loop for ever or end the process.
Nothing inside a process can stop that, so whoever reads files that nobody looks at, as `watch`
does, lets another process try them.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from stemzarr.errors import CorruptFileError, StemzarrError
from stemzarr.model import read_box
from stemzarr.options import ReadOptions
from stemzarr.registry import find_reader, read_source

__all__ = ["probe_source"]

_LONGEST_S = 120.0
_HINT = "copy it again from its origin; h5dump or h5debug may say more"
_PROGRAM = "import sys; from stemzarr_catalog.probe import try_source; try_source(*sys.argv[1:])"


def probe_source(path: Path, options: ReadOptions, *, longest_s: float = _LONGEST_S) -> None:
    """Raise where reading a file would not come to an end, or end this process.

    It takes half a second, and only where the HDF5 library reads the file: our own parsers are
    bounded. What is wrong with a file otherwise is left to whoever reads it then.

    Parameters
    ----------
    path
        The file.
    options
        How it will be read.
    longest_s
        How long opening it, and reading a corner of each document, may take.

    Raises
    ------
    CorruptFileError
        It took too long, or the process that tried it died.
    """
    if find_reader(path).name != "hdf5":
        return
    words = [str(path), json.dumps(dataclasses.asdict(options))]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and our own program
            [sys.executable, "-c", _PROGRAM, *words],
            check=False,
            capture_output=True,
            timeout=longest_s,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"HDF5 has not finished opening it after {longest_s:.0f} s"
        raise CorruptFileError(msg, path=path, hint=_HINT) from error
    if done.returncode not in (0, 1):  # 1 is an exception of Python's
        msg = f"HDF5 crashed while opening it (status {done.returncode})"
        raise CorruptFileError(msg, path=path, hint=_HINT)


def try_source(path: str, options: str) -> None:
    """Open a file and read a corner of each document; errors of ours do not matter here."""
    chosen = json.loads(options)
    shape = chosen["scan_shape"]
    chosen["scan_shape"] = None if shape is None else tuple(shape)
    try:
        source = read_source(Path(path), ReadOptions(**chosen))
        source.load_metadata()
        for document in source.documents:
            one = (1,) * len(document.shape)
            read_box(document.blocks, (0,) * len(one), one)
            read_box(document.blocks, tuple(n - 1 for n in document.shape), one)
    except StemzarrError:
        return
