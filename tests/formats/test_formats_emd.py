"""EMD files of programs that store their dims in other orders: no scan comes back transposed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stemzarr.model import read_box
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader

SHAPE = (2, 3, 4, 5)
NAMES = [
    ("y", "x", "ky", "kx"),
    ("y", "x", "dy", "dx"),
    ("scan_y", "scan_x", "det_y", "det_x"),
    ("Ry", "Rx", "Qy", "Qx"),
    ("", "", "", ""),
    ("x", "y", "kx", "ky"),
]


def write_hyperspy(path: Path, data: np.ndarray[Any, Any], names: Sequence[str]) -> None:
    """Write a signal as HyperSpy does, by RosettaSciIO."""
    from rsciio.emd import file_writer

    units = ("nm", "nm", "1/nm", "1/nm")[-data.ndim :] if any(names) else ("",) * data.ndim
    axes = [
        {
            "name": name,
            "size": size,
            "scale": 0.5 * (dim + 1),
            "offset": float(dim),
            "units": unit,
            "navigate": dim < data.ndim - 2,
        }
        for dim, (name, size, unit) in enumerate(zip(names, data.shape, units, strict=True))
    ]
    metadata = {"General": {"title": "a scan"}, "Signal": {"signal_type": ""}}
    signal = {"data": data, "axes": axes, "metadata": metadata, "original_metadata": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file_writer(str(path), signal)


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("suffix", [".emd", ".de5"])
def test_scans_of_hyperspy_keep_their_dims(
    tmp_path: Path, names: Sequence[str], suffix: str
) -> None:
    """A 4D scan that HyperSpy saved has its values and steps, whatever its axes are called."""
    path = tmp_path / f"scan{suffix}"
    data = np.arange(np.prod(SHAPE), dtype="u2").reshape(SHAPE)
    write_hyperspy(path, data, names)
    document = check_reader(path).document
    assert document.kind == "4d-stem"
    np.testing.assert_array_equal(read_box(document.blocks, (0,) * 4, SHAPE), data)
    if any(names):
        assert [axis.scale for axis in document.axes] == [0.5, 1.0, 1.5, 2.0]
        assert [axis.long_name for axis in document.axes] == list(names)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (2, 2, 3, 4, 5)])
def test_other_ranks_of_hyperspy(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Images, stacks and arrays that HyperSpy saved are not transposed either."""
    path = tmp_path / "data.emd"
    data = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    write_hyperspy(path, data, [""] * len(shape))
    document = check_reader(path).document
    np.testing.assert_array_equal(read_box(document.blocks, (0,) * len(shape), shape), data)


def put(
    file: h5py.File, path: str, data: np.ndarray[Any, Any], dims: Sequence[tuple[str, str]]
) -> None:
    """Write one of Prismatic's arrays, its dims with x first."""
    folder, _, name = path.rpartition("/")
    group = file.create_group(f"4DSTEM_simulation/data/{folder}")
    group.attrs["emd_group_type"] = 1
    group[name] = data
    for number, ((dim, units), size) in enumerate(zip(dims, data.shape, strict=True), 1):
        vector = group.create_dataset(f"dim{number}", data=np.arange(size) * 0.25 * number)
        vector.attrs.update({"name": dim, "units": units})


def test_prismatic_arrays_are_labelled(tmp_path: Path) -> None:
    """Prismatic's x comes first: scans, slices of the potential and detector rings say so."""
    path = tmp_path / "simulation.emd"
    scan = [("R_x", "[n_m]"), ("R_y", "[n_m]")]
    pattern = [("Q_x", "[n_m^-1]"), ("Q_y", "[n_m^-1]")]
    cube = np.arange(4 * 5 * 6 * 7, dtype="f4").reshape(4, 5, 6, 7)
    rings = np.arange(4 * 5 * 9, dtype="f4").reshape(4, 5, 9)
    with h5py.File(path, "w") as file:
        put(file, "datacubes/CBED_array_depth0000/datacube", cube, [*scan, *pattern])
        put(
            file,
            "realslices/virtual_detector_depth0000/realslice",
            rings,
            [*scan, ("bin_outer_angle", "[mrad]")],
        )
        put(file, "realslices/ppotential/realslice", rings, [*scan, ("R_z", "[n_m]")])
        put(file, "realslices/annular_detector_depth0000/realslice", rings[..., 0], scan)
    source = check_reader(path)
    assert source.document.kind == "4d-stem"
    np.testing.assert_array_equal(
        read_box(source.document.blocks, (0,) * 4, (5, 4, 7, 6)), cube.transpose(1, 0, 3, 2)
    )
    assert [axis.long_name for axis in source.document.axes] == ["R_y", "R_x", "Q_y", "Q_x"]
    for slug in ("virtual_detector_depth0000", "ppotential"):
        stack = source.find(slug)
        assert (stack.kind, stack.shape) == ("stack", (9, 5, 4))
        np.testing.assert_array_equal(read_box(stack.blocks, (0,) * 3, (9, 5, 4)), rings.T)
    assert source.find("annular_detector_depth0000").shape == (5, 4)


def test_py4dstem_keeps_the_order_of_the_disk(tmp_path: Path) -> None:
    """In EMD 1.0 the first dim is the slow one, though it is called Rx."""
    path = tmp_path / "cube.h5"
    data = np.arange(np.prod(SHAPE), dtype="f4").reshape(SHAPE)
    with h5py.File(path, "w") as file:
        group = file.create_group("root/datacube")
        group.attrs.update({"emd_group_type": "array", "python_class": "DataCube"})
        group["data"] = data
        for number, name in enumerate(("Rx", "Ry", "Qx", "Qy")):
            vector = group.create_dataset(f"dim{number}", data=np.array([0.0, 0.5]))
            vector.attrs.update({"name": name, "units": "nm" if number < 2 else "A^-1"})
    document = read_source(path).document
    np.testing.assert_array_equal(read_box(document.blocks, (0,) * 4, SHAPE), data)
