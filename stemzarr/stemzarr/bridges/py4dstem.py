"""Scans as py4DSTEM's data cubes, calibrated as its ``.emd`` files are."""

from __future__ import annotations

from typing import Any

import xarray as xr

from stemzarr.bridges.missing import import_program
from stemzarr.bridges.origin import source_of
from stemzarr.errors import UnsupportedDataError
from stemzarr.formats.emd.calibration import calibration_of
from stemzarr.labelled import from_dataset

__all__ = ["to_py4dstem"]

_HINT = (
    "py4DSTEM 0.14 needs a numpy below 2, which stemzarr is too new for: write "
    ".stem.export('scan.emd'), and open it by py4DSTEM.read in an environment of its own"
)


def to_py4dstem(dataset: xr.Dataset) -> Any:  # noqa: ANN401 - of py4DSTEM
    """Return a scan as a data cube of py4DSTEM, whose values are in memory as it takes them.

    Parameters
    ----------
    dataset
        A 4D scan as stemzarr opened it, or what was selected or computed from that.

    Returns
    -------
    py4DSTEM.DataCube
        With pixel sizes, units, origin and probe in its calibration, where they are known.

    Raises
    ------
    MissingDependencyError
        py4DSTEM cannot be imported here; the message says how a file leads there.
    UnsupportedDataError
        The Dataset is no 4D scan.
    """
    program = import_program("py4DSTEM", _HINT)
    document = from_dataset(dataset)
    if document.kind != "4d-stem":
        msg = f"this is of kind {document.kind!r}, and py4DSTEM's data cubes are 4D scans"
        raise UnsupportedDataError(msg, hint="open the scan")
    cube = program.DataCube(data=dataset["intensity"].to_numpy(), name="datacube")
    for name, value in calibration_of(source_of(dataset, document), document).items():
        cube.calibration[name] = value
    cube.calibrate()
    return cube
