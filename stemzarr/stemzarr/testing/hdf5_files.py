"""Small HDF5 files as instruments and programs arrange them, from one scan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["HDF5_WRITERS", "nion_properties"]


def _mark(group: h5py.Group | h5py.Dataset, secret: str) -> None:
    """Put a name into attributes: who, of what, where, and texts that only mention it."""
    if secret:
        group.attrs["operator"] = secret
        group.attrs["filepath"] = f"/home/{secret}/scan.h5"
        group.attrs["about"] = f"of {secret}, at 200 kV"
        group.attrs["names"] = [f"by {secret}", secret]
        group.attrs[secret] = 7


def _write_plain(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    path = folder / "scan.h5"
    with h5py.File(path, "w") as file:
        _mark(file, secret)
        _mark(file.create_dataset("scan/data", data=values.astype("u2")), secret)
        if secret:
            file["scan/sample_name"] = secret
            table = np.array([(1, secret.encode())], [("n", "i4"), ("user", "S20")])
            file["scan/table"] = table
    return path


def _write_emd(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    """Write what Berkeley's EMD is: a group that is marked, with its array and dim vectors."""
    path = folder / "scan.emd"
    with h5py.File(path, "w") as file:
        file.attrs.update({"version_major": 0, "version_minor": 2})
        group = file.create_group(f"data/scan {secret}".strip())
        group.attrs["emd_group_type"] = 1
        group["data"] = values.astype("u2")
        for dim, size in enumerate(values.shape, start=1):
            group[f"dim{dim}"] = np.arange(size) * 0.5
            group[f"dim{dim}"].attrs.update({"name": "x", "units": "[n_m]"})
        for name in ("microscope", "sample", "user", "comments"):
            _mark(file.create_group(name), secret)
        if secret:
            file["user"].attrs["name"] = secret
    return path


def _write_dectris(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    """Write master, data file and record of the scan."""
    frames = values.reshape(-1, *values.shape[2:]).astype("u4")
    with h5py.File(folder / "scan_data_000001.h5", "w") as file:
        data = file.create_dataset("entry/data/data", data=frames)
        data.attrs["image_nr_low"] = np.uint64(1)
    with h5py.File(folder / "scan.h5", "w") as file:
        record = file.create_group("STEM Metadata")
        record.attrs.update({"NumPixelsY": values.shape[0], "NumPixelsX": values.shape[1]})
        _mark(record, secret)
    path = folder / "scan_master.h5"
    with h5py.File(path, "w") as file:
        link = h5py.ExternalLink("scan_data_000001.h5", "/entry/data/data")
        file["entry/data/data_000001"] = link
        detector = file.create_group("entry/instrument/detector")
        _mark(detector, secret)
        if secret:
            file["entry/sample/name"] = secret
            detector["description"] = f"of {secret}"
    return path


def nion_properties(secret: str = "") -> dict[str, Any]:
    """Return what Nion Swift says of a scan."""
    calibration = {"offset": 0.0, "scale": 0.5, "units": "nm"}
    properties: dict[str, Any] = {
        "collection_dimension_count": 2,
        "datum_dimension_count": 2,
        "dimensional_calibrations": [calibration] * 4,
        "title": f"scan {secret}".strip(),
        "created": "2020-05-06T07:08:09.123456",
    }
    if secret:
        properties["session"] = {"microscopist": secret, "site": f"of {secret}", "sample": secret}
        properties["metadata"] = {"user": secret, "path": f"/home/{secret}/x"}
    return properties


def _write_nion(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    path = folder / "scan.nhdf"
    with h5py.File(path, "w") as file:
        file["data/0"] = values.astype("f4")
        file["data/0"].attrs["properties"] = json.dumps(nion_properties(secret))
    return path


def _write_delmic(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    path = folder / "scan.h5"
    cube = values.reshape(-1, 1, 1, *values.shape[2:]).astype("u2")
    with h5py.File(path, "w") as file:
        group = file.create_group("Acquisition0/ImageData")
        data = group.create_dataset("Image", data=cube)
        for dim, label in zip(data.dims, "CTZYX", strict=True):
            dim.label = label
        group["DimensionScaleX"], group["DimensionScaleY"] = 2e-8, 3e-8
        group["XOffset"], group["YOffset"], group["TOffset"] = 1e-6, 0.0, 1724925265.5
        group["DimensionScaleC"] = 4e-7 + np.arange(cube.shape[0]) * 1e-9
        group.parent["PhysicalData/Title"] = f"Spectra {secret}".strip()
        file["Preview/Image"] = np.zeros((32, 32, 3), "u1")
        if secret:
            _mark(group, secret)
            group.parent["PhysicalData/Operator"] = secret
            group.parent["PhysicalData/Log"] = f"of {secret}"
    return path


def _write_ebsd(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    path = folder / "scan.h5"
    rows, columns = values.shape[:2]
    tags: dict[str, Any] = {"nRows": rows, "nColumns": columns, "Step Y": 0.5, "Step X": 0.5}
    if secret:
        tags |= {"Operator": secret, "Sample ID": secret, "Notes": f"of {secret}"}
    with h5py.File(path, "w") as file:
        group = file.create_group(f"Scan {secret or 1}/EBSD")
        group["Data/Pattern"] = values.reshape(-1, *values.shape[2:]).astype("u2")
        group["Header/Coordinate System/Schematic 1"] = np.zeros((30, 30, 3), "u1")
        for tag, value in tags.items():
            group[f"Header/{tag}"] = value if isinstance(value, str) else np.array([value])
    return path


def _write_events(folder: Path, values: NDArray[Any], secret: str = "") -> Path:
    """Write each value of the scan as so many electrons."""
    path = folder / "scan.h5"
    frames = values.reshape(-1, values[0, 0].size).astype(int)
    rows, columns, height, width = values.shape
    with h5py.File(path, "w") as file:
        group = file.create_group("electron_events")
        kind = h5py.vlen_dtype(np.uint32)
        data = group.create_dataset("frames", (len(frames),), dtype=kind)
        for number, frame in enumerate(frames):
            data[number] = np.repeat(np.arange(frame.size, dtype="u4"), frame)
        data.attrs.update({"Ny": height, "Nx": width})
        group["scan_positions"] = np.arange(len(frames))
        group["scan_positions"].attrs.update({"Ny": rows, "Nx": columns})
        _mark(group, secret)
    return path


HDF5_WRITERS: Final[dict[str, Callable[..., Path]]] = {
    "hdf5": _write_plain,
    "emd": _write_emd,
    "dectris": _write_dectris,
    "nion": _write_nion,
    "delmic": _write_delmic,
    "ebsd": _write_ebsd,
    "events": _write_events,
}
"""By name: how a scan is written in each arrangement, as `WriteScan` says it."""
