"""Facts are found wherever HyperSpy, of any version, keeps them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stemzarr.readers.facts import facts_from_hyperspy
from stemzarr.registry import read_source

TEM = "Acquisition_instrument.TEM"
PLACES: list[tuple[str, Any, str, Any]] = [
    (f"{TEM}.Camera.exposure", 0.2, "exposure_s", 0.2),
    (f"{TEM}.Detector.Camera.exposure", 0.2, "exposure_s", 0.2),
    (f"{TEM}.exposure", 0.2, "exposure_s", 0.2),
    ("Acquisition_instrument.Detector.integration_time", 0.05, "exposure_s", 0.05),
    ("Acquisition_instrument.SEM.dwell_time", 4e-5, "dwell_time_s", 4e-5),
    ("TEM.beam_energy", 100.0, "beam_energy_keV", 100.0),
    ("TEM.convergence_angle", 7.5, "convergence_angle_mrad", 7.5),
    ("TEM.tilt_stage", -3.0, "tilt_alpha_deg", -3.0),
    ("TEM.EELS.exposure", 0.01, "exposure_s", 0.01),
    ("SEM.beam_energy", 15.0, "beam_energy_keV", 15.0),
    (f"{TEM}.Detector.Camera.name", "Ultrascan", "detector", "Ultrascan"),
    (f"{TEM}.spot_size", 5, "spot_size", 5.0),
    ("date", "1991-10-01", "acquired", "1991-10-01"),
    ("General.date", "1991-10-01", "acquired", "1991-10-01"),
]


def tree_of(path: str, value: object) -> dict[str, Any]:
    """Return a tree that holds a value at a dotted path."""
    name, _, rest = path.partition(".")
    return {name: tree_of(rest, value) if rest else value}


@pytest.mark.parametrize(("path", "value", "name", "expected"), PLACES)
def test_a_fact_is_found_where_it_is(path: str, value: object, name: str, expected: object) -> None:
    """Each place of a fact is known, and named as its path."""
    facts, paths = facts_from_hyperspy(tree_of(path, value))
    assert facts == {name: expected}
    assert paths == {name: "metadata/" + path.replace(".", "/")}


@pytest.mark.parametrize("zero", [0, 0.0, float("nan"), "", None, "unknown"])
def test_what_is_not_known_is_no_fact(zero: object) -> None:
    """A beam energy or exposure of 0, NaN or words is left out, in every place."""
    for path, _, name, expected in PLACES:
        if isinstance(expected, float) and name != "tilt_alpha_deg":
            assert facts_from_hyperspy(tree_of(path, zero))[0] == {}


@pytest.mark.parametrize(
    ("zone", "suffix"), [("UTC", "+00:00"), ("+02:00", "+02:00"), ("-0530", "-05:30"), ("", "")]
)
def test_the_zone_of_a_time_is_kept(zone: str, suffix: str) -> None:
    """HyperSpy's time and time_zone are one moment."""
    general = {"date": "2021-09-16", "time": "12:06:16", "time_zone": zone}
    facts, _ = facts_from_hyperspy({"General": general})
    assert facts["acquired"] == f"2021-09-16T12:06:16{suffix}"


def test_the_oldest_files_of_hyperspy(tmp_path: Path) -> None:
    """Files of versions 1.0 and 1.1 have their metadata as mapped parameters."""
    with h5py.File(tmp_path / "old.hdf5", "w") as file:
        file.attrs["file_format"] = "HyperSpy"
        file.attrs["file_format_version"] = "1.0"
        group = file.create_group("Experiments/old spectrum")
        group["data"] = np.arange(8.0)
        axis = group.create_group("axis-0")
        axis.attrs.update(
            {"name": "Energy", "scale": 3.1, "offset": 520.0, "units": "eV", "size": 8}
        )
        mapped = group.create_group("mapped_parameters")
        mapped.attrs.update(
            {"name": "old spectrum", "record_by": "spectrum", "signal_type": "EELS"}
        )
        mapped.create_group("TEM").attrs["beam_energy"] = 120.0
    document = read_source(tmp_path / "old.hdf5").document
    assert document.facts["beam_energy_keV"] == 120
    assert document.kind == "spectrum"


def test_facts_of_a_dm_file_through_hyperspy(samples: Path, tmp_path: Path) -> None:
    """The exposure that HyperSpy maps from a DM file is found in the .hspy that it saves."""
    pytest.importorskip("hyperspy")
    code = (
        "import logging, warnings; warnings.simplefilter('ignore'); logging.disable(50)\n"
        "import sys, hyperspy.api as hs; hs.load(sys.argv[1]).save(sys.argv[2])"
    )
    path = samples / "dm" / "test_diffraction_pattern.dm3"
    subprocess.run([sys.executable, "-c", code, path, tmp_path / "a.hspy"], check=True)
    ours = read_source(path).document.facts
    theirs = read_source(tmp_path / "a.hspy").document.facts
    assert theirs["exposure_s"] == pytest.approx(ours["exposure_s"])
    assert theirs["beam_energy_keV"] == pytest.approx(ours["beam_energy_keV"])
