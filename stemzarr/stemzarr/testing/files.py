"""Small files of every format that a test can write, from one scan.

Properties that hold whatever the format, such as that two different files are never one entry, are
tested on all of `FILE_WRITERS`. What the formats are read by is compared with other readers
elsewhere; here the files only have to be read.
"""

from __future__ import annotations

import importlib
import struct
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from stemzarr.testing.dm5 import write_dm5
from stemzarr.testing.dm_image import DMAxis, DMImage
from stemzarr.testing.dm_writer import write_dm
from stemzarr.testing.empad2 import pack_words, write_calibration, write_words
from stemzarr.testing.hdf5_files import HDF5_WRITERS, nion_properties
from stemzarr.testing.k2is import K2IS_SHAPE, write_k2is
from stemzarr.testing.merlin import write_hdr, write_mib
from stemzarr.testing.nion import write_ndata
from stemzarr.testing.tia import write_ser

__all__ = ["FILE_WRITERS", "NEEDED_MODULES", "WriteScan"]

_EMPAD_SIDE: Final = 128


class WriteScan(Protocol):
    """Writes a scan as one acquisition of a format."""

    def __call__(self, folder: Path, values: NDArray[Any], secret: str = "") -> Path:
        """Write the files and return the one to read.

        Parameters
        ----------
        folder
            Where the files are written; it exists.
        values
            Counts of 0-255 (scan_y, scan_x, det_y, det_x) with a square detector. A format that
            holds no scan takes what it can: the patterns, the first one, or its first row.
        secret
            A name that is put wherever the format keeps texts; empty leaves them out.
        """


def _personal(secret: str) -> dict[str, Any]:
    """Return tags that say who, of what and where, and such as only mention it."""
    if not secret:
        return {}
    return {
        "Operator": secret,
        "Sample Name": f"SrTiO3 {secret}",
        "Session": {"ID": f"{secret}-7", "User": secret},
        "Log": f"wrote '/scratch/{secret}/log.txt' twice",
        "Remark": f"for {secret}",
        "Script": f"run by {secret} on Monday",
        "Saved as": rf"C:\Users\{secret}\x.dat",
        "Elsewhere": f"file:///C:/{secret}/x",
        "List": [f"of {secret}", secret],
        secret: 7,
    }


def _write_npy(folder: Path, values: NDArray[Any], secret: str = "") -> Path:  # noqa: ARG001 - it holds no text
    np.save(folder / "scan.npy", values.astype("<u2"))
    return folder / "scan.npy"


def _write_ndata(
    folder: Path, values: NDArray[Any], secret: str = "", *, suffix: str = ".ndata"
) -> Path:
    path = folder / f"scan{suffix}"
    write_ndata(path, values.astype("<f4"), nion_properties(secret))
    return path


def _write_ser(folder: Path, values: NDArray[Any], secret: str = "") -> Path:  # noqa: ARG001 - it holds no text
    write_ser(folder / "scan.ser", values.astype("<u2"), delta=2e8)
    return folder / "scan.ser"


def _image(values: NDArray[Any], secret: str) -> DMImage:
    axis = DMAxis(scale=0.5, units="nm")
    texts = _personal(secret)
    texts = {name: value for name, value in texts.items() if not isinstance(value, list)}
    tags = {"Session Info": {"Operator": secret, "Specimen": secret}, "Notes": texts}
    return DMImage(
        data=values.astype("<u2"),
        axes=(axis,) * values.ndim,
        swapped=values.ndim > 3,  # noqa: PLR2004 - a scan
        name=f"scan of {secret}" if secret else "scan",
        tags=tags if secret else {},
    )


def _write_dm(folder: Path, values: NDArray[Any], secret: str = "", *, version: int) -> Path:
    path = folder / f"scan.dm{version}"
    images = [_image(values, secret), replace(_image(values[0, 0], secret), name="map")]
    write_dm(path, images, version=version, thumbnail=False)
    return path


def _write_dm5(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    path = _write_dm(folder, values, secret, version=4)
    written = write_dm5(path)
    path.unlink()
    return written


def _write_mib(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    scan, frames = values.shape[:2], values.reshape(-1, *values.shape[2:]).astype("u2")
    write_mib(folder / "scan.mib", frames)
    write_hdr(folder / "scan.hdr", len(frames), 1, (scan[0], scan[1]))
    if secret:
        with (folder / "scan.hdr").open("a", encoding="latin-1") as file:
            file.write(
                f"\nOperator:\t{secret}\nFile:\tC:\\Users\\{secret}\\x.mib\nFor {secret}:\t1"
            )
    return folder / "scan.mib"


def _write_blo(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    rows, columns, side = values.shape[:3]
    head = bytearray(0x1000)
    fields = (b"IMGBLO", 0x102, 0x1000, 0x1000 + rows * columns, 0, side, 0, columns, rows, 0)
    struct.pack_into("<6sH3I4HH2dIHI", head, 0, *fields, 2.0, 3.0, 200_000, 500, 0)
    note = f"Operator: {secret}, C:\\Users\\{secret}\\x.blo" if secret else ""
    head[0xF0 : 0xF0 + len(note)] = note.encode()
    path = folder / "scan.blo"
    with path.open("wb") as file:
        file.write(head + bytes(rows * columns))
        for number, frame in enumerate(values.reshape(-1, side, side).astype("u1")):
            file.write(b"\xaa\x55" + struct.pack("<I", number) + frame.tobytes())
    return path


def _write_mrc(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    frames, side = values.shape[0] * values.shape[1], values.shape[2]
    head = bytearray(1024)
    struct.pack_into("<10i", head, 0, side, side, frames, 6, 0, 0, 0, side, side, frames)
    struct.pack_into("<3f3f3i", head, 40, 8.0, 8.0, 12.0, 90.0, 90.0, 90.0, 1, 2, 3)
    head[208:216] = b"MAP DD\0\0"
    label = f"Operator {secret} /home/{secret}/x.mrc".encode() if secret else b""
    struct.pack_into("<i80s", head, 220, bool(label), label)
    (folder / "scan.mrc").write_bytes(bytes(head) + values.astype("<u2").tobytes())
    return folder / "scan.mrc"


def _write_tvips(folder: Path, values: NDArray[Any], secret: str = "") -> Path:  # noqa: ARG001 - it holds no text
    frames = values.reshape(-1, *values.shape[2:]).astype("<u2")
    side = frames.shape[-1]
    fields = (256, 2, side, side, 16, 0, 0, 1, 1, 5, 200_000, 1000, 64)
    parts = [
        struct.pack("<4If2I5fI2f4x", n, 1_700_000_000 + n, 0, 0, 0, 0, 2, *[0.0] * 5, 0, 0, 0)
        + one.tobytes()
        for n, one in enumerate(frames)
    ]
    head, half = struct.pack("<13I204x", *fields), len(parts) // 2
    (folder / "scan_000.tvips").write_bytes(head + b"".join(parts[:half]))
    (folder / "scan_001.tvips").write_bytes(b"".join(parts[half:]))
    return folder / "scan_000.tvips"


def _write_empad(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    rows, columns, height, width = values.shape
    frames = np.zeros((rows, columns, _EMPAD_SIDE + 2, _EMPAD_SIDE), "<f4")
    frames[:, :, :height, :width] = values
    frames.tofile(folder / "frames.raw")
    texts = f"<operator>{secret}</operator><comments>for {secret}</comments>" if secret else ""
    path = folder / "scan.xml"
    path.write_text(
        f'<root><raw_file filename="C:\\Users\\{secret or "data"}\\frames.raw"/>'
        f"<pix_x>{columns}</pix_x><pix_y>{rows}</pix_y>{texts}</root>"
    )
    return path


def _write_empad2(folder: Path, values: NDArray[Any], secret: str = "") -> Path:  # noqa: ARG001 - it holds no text
    height, width = values.shape[2:]
    words = np.zeros((*values.shape[:2], _EMPAD_SIDE, _EMPAD_SIDE), np.uint32)
    words[:, :, :height, :width] = pack_words(values)
    write_calibration(folder / "sensor.h5")
    return write_words(folder, words)


def _write_k2is(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    rows, columns, height, width = values.shape
    frames = np.zeros((rows * columns, *K2IS_SHAPE), np.uint16)
    frames[:, :height, :width] = values.reshape(-1, height, width)
    tags = {"Private": {"Operator": secret}} if secret else {}
    return write_k2is(folder, frames, (rows, columns), tags=tags)


def _write_tiff(
    folder: Path, values: NDArray[Any], secret: str = "", *, kind: str = "plain"
) -> Path:
    import tifffile

    path = folder / "scan.tif"
    array = values.astype("<u2")
    stated = {name: str(one) for name, one in _personal(secret).items()}
    if kind == "imagej":
        notes = {"Info": f"Operator = {secret}\nfor {secret}"} if secret else {}
        tifffile.imwrite(path, array, imagej=True, metadata={"axes": "TZYX", "unit": "nm", **notes})
    elif kind == "ome":
        tifffile.imwrite(
            path,
            array,
            ome=True,
            metadata={"axes": "TZYX", "Name": f"of {secret}" if secret else "scan"},
        )
    else:
        texts: dict[str, Any] = {"software": f"by {secret}"} if secret else {}
        more = [(315, "s", 0, secret, True)] if secret else []
        frames = array.reshape(-1, *array.shape[2:])
        grey: dict[str, Any] = {"photometric": "minisblack", "metadata": stated}
        tifffile.imwrite(path, frames, extratags=more, **grey, **texts)
    return path


def _write_picture(
    folder: Path, values: NDArray[Any], secret: str = "", *, suffix: str = "png"
) -> Path:
    from PIL import Image, PngImagePlugin

    path = folder / f"scan.{suffix}"
    picture = Image.fromarray(values[0, 0].astype("u1"))
    info = PngImagePlugin.PngInfo()
    if secret:
        for name, text in _personal(secret).items():
            info.add_text(name, str(text))
        info.add_itxt("Author", secret)
    more: dict[str, Any] = {"comment": f"Operator {secret}".encode()} if secret else {}
    picture.save(path, **({"pnginfo": info} if suffix == "png" else more))
    return path


def _signal(values: NDArray[Any], secret: str) -> dict[str, Any]:
    """Return a signal as RosettaSciIO's writers take it."""
    ndim = values.ndim
    axes = [
        {
            "_type": "UniformDataAxis",
            "name": name,
            "size": size,
            "scale": 0.5,
            "offset": 1.0,
            "units": "nm",
            "navigate": dim < ndim - 2,
            "index_in_array": dim,
        }
        for dim, (name, size) in enumerate(
            zip(("y", "x", "dy", "dx")[-ndim:], values.shape, strict=True)
        )
    ]
    title = f"scan of {secret}" if secret else "scan"
    general = {"title": title, "original_filename": "x.dat"}
    if secret:
        general |= {"authors": secret, "notes": f"for {secret}"}
    sample = {"name": secret, "description": f"cut by {secret}"} if secret else {}
    return {
        "data": values,
        "axes": axes,
        "metadata": {"General": general, "Signal": {"signal_type": ""}, "Sample": sample},
        "original_metadata": {"Tags": _personal(secret)},
        "attributes": {"_lazy": False},
        "learning_results": {},
        "models": {},
        "package_info": {"package": "hyperspy", "package_version": "2.0"},
        "tmp_parameters": {"folder": f"/home/{secret}" if secret else "", "filename": "x"},
    }


def _write_library(
    folder: Path, values: NDArray[Any], secret: str = "", *, plugin: str, name: str, rank: int = 4
) -> Path:
    """Write the last dims of the scan by a writer of RosettaSciIO."""
    path = folder / name
    array = values[(0,) * (4 - rank)].astype("f4" if plugin in ("semper", "msa") else "<u2")
    array = array.astype("<i4") if plugin == "digitalsurf" else array
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writer = importlib.import_module(f"rsciio.{plugin}").file_writer
        writer(str(path), _signal(array, secret))
    return path


def _write_zarr(folder: Path, values: NDArray[Any], secret: str = "", *, form: Any = 3) -> Path:  # noqa: ANN401 - 2 or 3
    import zarr

    path = folder / "scan.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=form)
    root.attrs.update(_personal(secret))
    array = root.create_array("frames", data=values.astype("<u2"))
    array.attrs.update(_personal(secret))
    return path


def _write_zspy(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    """Write what HyperSpy's folders are; RosettaSciIO writes them by versions of zarr before 3."""
    import zarr

    path, signal = folder / "scan.zspy", _signal(values, secret)
    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.attrs.update({"file_format": "ZSpy", "file_format_version": "3.3"})
    group = root.create_group("Experiments/__unnamed__")
    group.create_array("data", data=values.astype("<u2"))
    for dim, axis in enumerate(signal["axes"]):
        group.create_group(f"axis-{dim}").attrs.update(axis)
    for name in ("metadata", "original_metadata", "learning_results", "attributes"):
        _write_tree(group.create_group(name), signal[name])
    return path


def _write_tree(group: Any, tree: dict[str, Any]) -> None:  # noqa: ANN401 - of zarr
    for name, value in tree.items():
        if isinstance(value, dict):
            _write_tree(group.create_group(name), value)
        elif not isinstance(value, list):
            group.attrs[name] = value


_library: Callable[..., WriteScan] = partial(partial, _write_library)

FILE_WRITERS: Final[dict[str, WriteScan]] = {
    "npy": _write_npy,
    "ndata": _write_ndata,
    "ndata1": partial(_write_ndata, suffix=".ndata1"),
    "dm3": partial(_write_dm, version=3),
    "dm4": partial(_write_dm, version=4),
    "dm5": _write_dm5,
    "mib": _write_mib,
    "ser": _write_ser,
    "blo": _write_blo,
    "mrc": _write_mrc,
    "tvips": _write_tvips,
    "empad": _write_empad,
    "empad2": _write_empad2,
    "k2is": _write_k2is,
    "tif": _write_tiff,
    "imagej": partial(_write_tiff, kind="imagej"),
    "ome": partial(_write_tiff, kind="ome"),
    "png": _write_picture,
    "gif": partial(_write_picture, suffix="gif"),
    "zarr2": partial(_write_zarr, form=2),
    "zarr": _write_zarr,
    "hspy": _library(plugin="hspy", name="scan.hspy"),
    "zspy": _write_zspy,
    "hyperspy-emd": _library(plugin="emd", name="scan.emd"),
    "nxs": _library(plugin="nexus", name="scan.nxs"),
    "prz": _library(plugin="pantarhei", name="scan.prz", rank=2),
    "rpl": _library(plugin="ripple", name="scan.rpl", rank=3),
    "unf": _library(plugin="semper", name="scan.unf", rank=2),
    "sur": _library(plugin="digitalsurf", name="scan.sur", rank=2),
    "msa": _library(plugin="msa", name="scan.msa", rank=1),
    **HDF5_WRITERS,
}
"""By name: how a scan is written in each format."""

NEEDED_MODULES: Final = {
    **dict.fromkeys(("tif", "imagej", "ome"), "tifffile"),
    **dict.fromkeys(("png", "gif"), "PIL"),
    "blo": "skimage",
}
"""By name: a module that is not always installed, without which the files are not read."""
