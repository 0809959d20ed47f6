"""The centre of the patterns is part of py4DSTEM's calibration where it is known, never else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

import stemzarr
from stemzarr.formats.emd.writer import write_emd
from stemzarr.model import Axis
from stemzarr.options import ExportOptions, IngestOptions
from stemzarr.registry import ExportRequest, read_source
from stemzarr.store import read_store, write_store
from stemzarr.testing.sources import document_of, source_of
from stemzarr.views import View

SHAPE = (2, 3, 24, 20)
CENTRE = (13.0, 8.0)
"""Row and column of the disk."""


def centre_of(path: Path) -> tuple[float, float] | None:
    """Return what py4DSTEM reads as the origin: rows, which it calls x, come first."""
    with h5py.File(path) as file:
        found = file["stemzarr_root/metadatabundle/calibration"]
        if "qx0" not in found:
            assert not {"qy0", "qx0_mean", "qy0_mean", "probe_semiangle"} & set(found)
            return None
        places = found["qx0"][()], found["qy0"][()]
        assert places == (found["qx0_mean"][()], found["qy0_mean"][()])
        return float(places[0]), float(places[1])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store of patterns with one bright disk, on axes that begin with 0."""
    rows, columns = np.ogrid[: SHAPE[2], : SHAPE[3]]
    pattern = 100 * (np.hypot(rows - CENTRE[0], columns - CENTRE[1]) <= 4)
    np.save(tmp_path / "scan.npy", np.broadcast_to(pattern, SHAPE).astype("u2"))
    write_store(read_source(tmp_path / "scan.npy"), tmp_path / "s.zarr", IngestOptions(sync=False))
    return tmp_path / "s.zarr"


def test_the_disk_of_a_store_is_the_centre(store: Path, tmp_path: Path) -> None:
    """What the previews were made with is exported; of a part of the detector it would be wrong."""
    stemzarr.export(store, tmp_path / "whole.emd")
    assert centre_of(tmp_path / "whole.emd") == pytest.approx(CENTRE, abs=0.3)
    with h5py.File(tmp_path / "whole.emd") as file:
        radius = file["stemzarr_root/metadatabundle/calibration/probe_semiangle"][()]
    assert radius == pytest.approx(4, abs=1)
    stemzarr.export(store, tmp_path / "few.emd", view=View(scan_step=2))
    assert centre_of(tmp_path / "few.emd") == pytest.approx(CENTRE, abs=0.3)
    stemzarr.export(store, tmp_path / "small.emd", view=View(downsample=2))
    assert centre_of(tmp_path / "small.emd") is None
    stemzarr.export(tmp_path / "scan.npy", tmp_path / "source.emd")
    assert centre_of(tmp_path / "source.emd") is None


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        ((-5.0, -4.0), (10.0, 8.0)),
        ((-11.4, -9.4), (22.8, 18.8)),
        ((0.0, 0.0), None),
        ((-5.0, 0.0), None),
        ((-5.0, 3.0), None),
        ((-5.0, -40.0), None),
    ],
)
@pytest.mark.parametrize("calibrated", [True, False])
def test_zero_inside_the_detector_is_the_centre(
    tmp_path: Path,
    offsets: tuple[float, float],
    expected: tuple[float, float] | None,
    calibrated: bool,
) -> None:
    """Axes that are calibrated about a zero inside the detector say where it is."""
    document = document_of(np.ones(SHAPE, "u2"))
    detector = tuple(
        Axis(name=name, size=size, scale=0.5, offset=offset, units="mrad", calibrated=calibrated)
        for name, size, offset in zip(("det_y", "det_x"), SHAPE[2:], offsets, strict=True)
    )
    document = dataclasses.replace(document, axes=(*document.axes[:2], *detector))
    request = ExportRequest(
        documents=(document,),
        source=source_of(tmp_path / "x.bin", [document]),
        dest=tmp_path / "x.emd",
        options=ExportOptions(),
        provenance={},
    )
    write_emd(request)
    found = centre_of(tmp_path / "x.emd")
    assert found == (pytest.approx(expected) if expected and calibrated else None)


def test_no_disk_no_centre(tmp_path: Path) -> None:
    """A store without a disk, or without previews, gives no centre."""
    document = document_of(np.zeros(SHAPE, "u2"))
    axes = tuple(dataclasses.replace(axis, offset=0.0) for axis in document.axes)
    document = dataclasses.replace(document, axes=axes)
    for name, preview in (("a", True), ("b", False)):
        store = tmp_path / f"{name}.zarr"
        options = IngestOptions(sync=False, preview=preview)
        write_store(source_of(tmp_path / "x.bin", [document]), store, options)
        assert read_store(store).document.kind == "4d-stem"
        stemzarr.export(store, tmp_path / f"{name}.emd")
        assert centre_of(tmp_path / f"{name}.emd") is None


def test_bad_pixels_are_in_the_metadata(tmp_path: Path) -> None:
    """Those that the file names, and with them those that an ingest found."""
    values = np.random.default_rng(1).poisson(20, (6, 7, 24, 20)).astype("u2")
    values[:, :, 5, 7] = 60000
    named = np.zeros(SHAPE[2:], bool)
    named[2, 3] = True
    source = source_of(tmp_path / "x.bin", [document_of(values, bad_pixels=named)])
    write_store(source, tmp_path / "s.zarr", IngestOptions(sync=False))
    stemzarr.export(tmp_path / "s.zarr", tmp_path / "s.emd")
    with h5py.File(tmp_path / "s.emd") as file:
        tags = file["stemzarr_root/metadatabundle/stemzarr"]
        np.testing.assert_array_equal(tags["bad_pixels"], named)
        assert np.argwhere(tags["all_bad_pixels"]).tolist() == [[2, 3], [5, 7]]
