"""Rows of docs/formats.md on HDF5 files, one for each arrangement that `read_hdf5` knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from stemzarr.format_row import FormatRow

__all__ = ["FORMATS"]

_ARRAYS: Final = FormatRow(
    name="",
    read="",
    lazy="the HDF5 chunks that a box touches",
    complete="bytes stored against bytes declared, for each data set",
    unseen="chunks that were never written into a compressed data set read as its fill value",
)
"""What holds of most data sets in HDF5."""

FORMATS: Final = (
    replace(
        _ARRAYS,
        name="Gatan DM5",
        formats=("dm5",),
        suffixes=(".dm5",),
        read="what is read of DM4: every image, all tags",
        unseen="pixels in a `.raw` beside it (K3-IS) are refused",
        samples=("dm/ref_F_0_2.dm5", "dm/ref_F_1_2.dm5"),
        writers=("dm5",),
    ),
    replace(
        _ARRAYS,
        name="HyperSpy",
        formats=("hspy",),
        suffixes=(".hspy", ".hdf5"),
        read="every signal with its axes and metadata; other arrays are named",
        samples=("formats/example1_v1.2.hdf5", "formats/example2_v3.1.hspy"),
        writers=("hspy",),
    ),
    replace(
        _ARRAYS,
        name="EMD of Berkeley, py4DSTEM, HyperSpy",
        formats=("emd",),
        suffixes=(".emd", ".h5"),
        read="every group that is marked as an array, with its dim vectors; other arrays are named",
        samples=("formats/py4DSTEM_size2x3x4x5.h5",),
        writers=("emd", "hyperspy-emd"),
    ),
    replace(
        _ARRAYS,
        name="DECTRIS (ARINA, EIGER)",
        formats=("arina",),
        suffixes=("_master.h5",),
        read="frames of all data files as a scan, the mask, the record of the scan beside them",
        complete="frames on disk against master or record; missing files by name",
        unseen="frames lost where neither master nor record declares their number",
        samples=("formats/arina/test_00_master.h5", "formats/arina/test_00_data_000001.h5"),
        writers=("dectris",),
    ),
    replace(
        _ARRAYS,
        name="Counted electrons of stempy",
        formats=("hdf5",),
        suffixes=(".h5",),
        read="`electron_events` as a dense scan of counts, up to 256 MiB a pattern",
        lazy="the lists of the frames that a box touches",
        complete="positions that have a frame against the scan's shape",
        unseen="electrons that are missing in the list of a frame",
        writers=("events",),
    ),
    replace(
        _ARRAYS,
        name="Nion Swift",
        formats=("nion",),
        suffixes=(".nhdf", ".h5"),
        read="every item with the calibrations and facts of its `properties`",
        writers=("nion",),
    ),
    replace(
        _ARRAYS,
        name="Delmic",
        formats=("delmic",),
        suffixes=(".h5", ".hdf5"),
        read="every acquisition, spectra first; the picture of the screen as a thumbnail",
        samples=("formats/sparc-hyperspectral.h5",),
        writers=("delmic",),
    ),
    replace(
        _ARRAYS,
        name="EBSD of EDAX, Bruker, Oxford, EMsoft, kikuchipy",
        formats=("ebsd",),
        suffixes=(".h5", ".h5oina", ".hdf5"),
        read="patterns as a scan by the header's rows and columns, maps; drawings are named",
        complete="patterns on disk against rows × columns of the header",
        samples=("formats/edax_patterns.h5",),
        writers=("ebsd",),
    ),
    replace(
        _ARRAYS,
        name="NanoMEGAS TopSpin",
        formats=("app5",),
        suffixes=(".app5",),
        read="every result of every experiment with the calibration of its XML record",
        lazy="the patterns that a box touches, a data set each",
        complete="a data set for each position that the record declares, else it is refused",
        samples=("formats/topspin_test_A.app5",),
    ),
    replace(
        _ARRAYS,
        name="any other HDF5",
        formats=("hdf5",),
        suffixes=(".h5", ".hdf5"),
        read="up to 100 arrays of numbers; small ones in the metadata, others named; `--dataset`",
        unseen="what the arrays mean: axes are those of scales, calibrations only where named so",
        writers=("hdf5",),
    ),
)
"""What `read_hdf5` makes of a file, by its content."""
