"""Another program in an environment of its own, given files of ours.

Each ``try_NAME.py`` beside this file is run by hand: ``python tests/programs/try_NAME.py FOLDER``.
It makes a scan, a store and exports of it in FOLDER, installs the program into ``FOLDER/venv``
(which takes minutes, and is skipped where it is there), and runs its check in that. What was found,
with the versions, is in docs/programs.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np

import stemzarr
from stemzarr.testing import DMAxis, DMImage, microscope_tags, synthetic_scan, write_dm

__all__ = ["check_in"]

ROOT = Path(__file__).parents[2]
SCAN, DETECTOR = (7, 6), (18, 20)
EXPECT = """
import numpy as np
values = np.load("values.npy")
"""


def write_files(folder: Path) -> None:
    """Write one scan as ``scan.dm4``, ``.zarr``, ``.hspy``, ``.emd`` and ``values.npy``."""
    pieces = list(synthetic_scan(SCAN, DETECTOR, seed=3).pieces())
    values = np.concatenate(pieces).reshape(*SCAN, *DETECTOR)
    nm, inverse = DMAxis(scale=0.5, units="nm"), DMAxis(scale=0.125, origin=9, units="1/nm")
    scan = DMImage(
        data=values,
        axes=(nm, nm, inverse, inverse),
        swapped=True,
        name="scan",
        tags=microscope_tags(SCAN),
    )
    write_dm(folder / "scan.dm4", [scan], thumbnail=False)
    stemzarr.ingest(folder / "scan.dm4", folder / "scan.zarr")
    for suffix in ("hspy", "emd"):
        stemzarr.export(folder / "scan.zarr", folder / f"scan.{suffix}")
    np.save(folder / "values.npy", values)


def check_in(packages: list[str], check: str, *, beside: bool = False) -> None:
    """Run Python in an environment with some packages, in a folder with the files.

    Parameters
    ----------
    packages
        What pip installs.
    check
        The Python, which finds the right values in ``values`` and prints what it found.
    beside
        Whether stemzarr is installed beside them.
    """
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "values.npy").exists():
        write_files(folder)
    if not (folder / "venv").exists():
        venv.create(folder / "venv", with_pip=True)
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / "python")
    own = [str(ROOT)] if beside else []
    # the packages of the environment that runs this are not those of the one that is made
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = [python, "-m", "pip", "install", "--quiet", *packages, *own]
    subprocess.run(install, check=True, env=clean)
    subprocess.run([python, "-c", EXPECT + check], check=True, env=clean, cwd=folder)
