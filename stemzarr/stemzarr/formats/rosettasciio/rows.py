"""Rows of docs/formats.md on what RosettaSciIO reads.

A plugin of RosettaSciIO has a row in `PLUGIN_ROWS` under its name there. One that is installed and
has none fails the test of the table.
"""

from __future__ import annotations

from typing import Final

from stemzarr.format_row import FormatRow

__all__ = ["FORMATS", "PLUGIN_ROWS"]

_MAPPED: Final = "the part of the file that a box touches"
_BOXES: Final = "the HDF5 chunks that a box touches"
_WHOLE: Final = "nothing: the file is read whole when it is opened, up to 1 GiB"
_NOT: Final = "not known: what RosettaSciIO gives is taken"
_TRUST: Final = "what RosettaSciIO skips"
_FRAMES: Final = "frames on disk against those that the header declares"


def _taken(
    name: str,
    suffixes: tuple[str, ...],
    read: str,
    lazy: str = _WHOLE,
    *,
    samples: tuple[str, ...] = (),
    writers: tuple[str, ...] = (),
) -> FormatRow:
    """Return the row of a plugin of which nothing but its word is known."""
    return FormatRow(
        name=name,
        formats=tuple(suffix.removeprefix(".") for suffix in suffixes),
        suffixes=suffixes,
        read=read,
        lazy=lazy,
        whole=lazy == _WHOLE,
        complete=_NOT,
        unseen=_TRUST,
        samples=samples,
        writers=writers,
    )


PLUGIN_ROWS: Final[dict[str, FormatRow]] = {
    "Blockfile": FormatRow(
        name="NanoMEGAS blockfile",
        formats=("blo",),
        suffixes=(".blo",),
        read="the scan, its steps and camera length; the image before it is named in a note",
        lazy="the part of the file that a box touches",
        complete=_FRAMES,
        unseen="frames that were overwritten: their numbers are not compared",
        samples=("formats/test2.blo",),
        writers=("blo",),
    ),
    "MRC": FormatRow(
        name="MRC",
        formats=("mrc", "ali"),
        suffixes=(".mrc", ".ali"),
        read="image or stack; scan and calibration from Direct Electron's `_info.txt` beside it",
        lazy=_MAPPED,
        complete=f"{_FRAMES} (two and more)",
        unseen="big-endian files are refused; `.ali` and single images are not compared",
        samples=("formats/de_mrc/20241021_00405_movie.mrc",),
        writers=("mrc",),
    ),
    "TVIPS": FormatRow(
        name="TVIPS",
        formats=("tvips",),
        suffixes=(".tvips",),
        read="the frames of all parts as a stack, a scan by `--scan-shape`",
        lazy=_MAPPED,
        complete="whole frames in each part, and no part missing between others",
        unseen="parts and frames lost at the end: their number is declared nowhere",
        samples=("formats/test_tvips_2345_000.tvips",),
        writers=("tvips",),
    ),
    "EMD": _taken(
        "Velox, known by content",
        (".emd", ".de5"),
        "images, spectra, streams of X-rays (with `sparse`), each alone; others are named",
        _BOXES,
        samples=("formats/STEM HAADF Diffraction Micro.emd",),
    ),
    "ZSPY": _taken(
        "HyperSpy's Zarr",
        (".zspy",),
        "the signals of a folder or a zip of it, metadata",
        "the chunks that a box touches",
        samples=("formats/zspy/signal1d_10x10-ZipStore.zspy",),
        writers=("zspy",),
    ),
    "NeXus": _taken("NeXus", (".nxs",), "every array of `NXdata`, axes", _BOXES, writers=("nxs",)),
    "Bruker": _taken("Bruker", (".bcf", ".spx"), "images, the cube of EDS spectra of a `.bcf`",
                     "the cube by its pixels; an `.spx` is read whole"),
    "EDAX": _taken("EDAX", (".spd", ".spc", ".lsd"), "maps and spectra of EDS", _MAPPED),
    "Ripple": _taken("Ripple", (".rpl",), "the array of the `.raw` beside it", _MAPPED,
                     writers=("rpl",)),
    "PantaRhei": _taken("Panta Rhei", (".prz",), "the array; not its pickled metadata",
                        "the part of the file that a box touches; a packed one is read whole",
                        writers=("prz",)),
    "MRCZ": _taken("MRCZ", (".mrcz", ".mrc"), "compressed frames, with `mrcz`", _MAPPED),
    "Quadstar": _taken("Quadstar", (".sac", ".sbc"), "mass spectra"),
    "JEOL": _taken("JEOL", (".asw", ".img", ".map", ".pts", ".eds"), "images, maps, EDS spectra"),
    "Semper": _taken("Semper", (".unf",), "one array with its calibration", writers=("unf",)),
    "DigitalSurf": _taken("DigitalSurf", (".sur", ".pro"), "surfaces and profiles",
                          writers=("sur",)),
    "MSA": _taken("EMSA/MSA", (".msa", ".ems", ".mas", ".emsa"), "one spectrum", writers=("msa",)),
    "JobinYvon": _taken("Horiba JobinYvon", (".xml",), "spectra and maps",
                        samples=("formats/jobinyvon_test_spec_range.xml",)),
    "Renishaw": _taken("Renishaw", (".wdf",), "spectra and maps"),
    "TriVista": _taken("TriVista", (".tvf",), "spectra and maps"),
    "Hamamatsu": _taken("Hamamatsu", (".img",), "images of a streak camera"),
    "Phenom": _taken("Phenom", (".elid",), "images and spectra of EDS"),
    "DENS": _taken("DENSsolutions", (".dens",), "logs of a holder"),
    "Impulse": _taken("Impulse", (".csv",), "logs of a holder"),
    "Protochips": _taken("Protochips", (".csv",), "logs of a holder"),
}  # fmt: skip
"""By the name of the plugin: what becomes of its files."""

FORMATS: Final = tuple(PLUGIN_ROWS.values())
"""What is read by RosettaSciIO."""
