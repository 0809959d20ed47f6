"""py4DSTEM is given what its reader finds in the ``.emd`` file of a scan."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import stemzarr
from stemzarr.errors import UnsupportedDataError


class Calibration(dict[str, Any]):
    """Items by their names, as py4DSTEM's has them."""


class DataCube:
    """What of py4DSTEM's data cube is used; the real one cannot be installed beside this numpy."""

    def __init__(self, data: Any, name: str) -> None:
        self.data, self.name, self.calibrated = data, name, False
        self.calibration = Calibration()

    def calibrate(self) -> None:
        self.calibrated = bool(self.calibration)


@pytest.fixture
def py4dstem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for py4DSTEM in its place."""
    module = types.ModuleType("py4DSTEM")
    module.DataCube = DataCube  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "py4DSTEM", module)


@pytest.mark.usefixtures("py4dstem")
@pytest.mark.parametrize("name", ["scan.zarr", "scan.dm4"])
def test_a_cube_has_the_calibration_of_the_file(folder: Path, tmp_path: Path, name: str) -> None:
    """Pixel sizes, units, origin and probe are those of the ``.emd``."""
    scan = stemzarr.open(folder / name)
    cube = scan.stem.to_py4dstem()
    np.testing.assert_array_equal(cube.data, scan.intensity)
    assert cube.calibrated
    stemzarr.export(folder / name, tmp_path / "scan.emd")
    with h5py.File(tmp_path / "scan.emd") as file:
        items = file["stemzarr_root/metadatabundle/calibration"]
        for key, value in cube.calibration.items():
            assert items[key][()] == (value.encode() if isinstance(value, str) else value)
        assert set(items) - set(cube.calibration) == {"_root_treepath", "_target_paths"}
    assert ("probe_semiangle" in cube.calibration) == (name == "scan.zarr")


@pytest.mark.usefixtures("py4dstem")
def test_pixels_are_read_once(folder: Path, pixel_reads: list[int]) -> None:
    """The values are in memory, as py4DSTEM has them, and were read once."""
    scan = stemzarr.open(folder / "scan.zarr")
    assert scan.stem.to_py4dstem().data.nbytes == scan.intensity.nbytes
    files = (folder / "scan.zarr/intensity/c").rglob("*")
    assert sum(pixel_reads) <= sum(path.stat().st_size for path in files if path.is_file())


@pytest.mark.usefixtures("py4dstem")
def test_only_scans_are_cubes(folder: Path) -> None:
    """An image is refused."""
    with pytest.raises(UnsupportedDataError, match="4D scans"):
        stemzarr.open(folder / "scan.zarr", document="survey").stem.to_py4dstem()
