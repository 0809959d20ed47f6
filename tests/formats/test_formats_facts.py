"""Facts are found wherever HyperSpy, of any version, keeps them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stemzarr.metadata.finding import facts_from_hyperspy
from stemzarr.registry import read_source
from stemzarr.testing import DMImage, write_dm

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


def plane(energy_V: float, tilt: float, time: str) -> dict[str, Any]:  # noqa: N803 - the unit
    """Return the tags of one image of a stack."""
    return {
        "Microscope Info": {"Voltage": energy_V, "Stage Position": {"Stage Alpha": tilt}},
        "DataBar": {"Acquisition Date": "2016-08-18", "Acquisition Time": time},
        "Acquisition": {"Device": {"Name": "US1000"}},
    }


FIRST, SECOND = plane(2e5, 1.5, "20:11:41"), plane(2e5, 4.5, "20:12:00")
SHARED = {"beam_energy_keV": 200.0, "detector": "US1000", "acquired": "2016-08-18T20:11:41"}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"plane info": {"a": FIRST, "b": SECOND}}, SHARED),
        ({"plane info": {"a": {"source": {"tags": FIRST}}, "b": {"tags": SECOND}}}, SHARED),
        ({"plane info": {"a": FIRST}, "source": {"Tags at creation": SECOND}},
         {**SHARED, "tilt_alpha_deg": 1.5}),
        ({"source": {"Tags at creation": FIRST}}, {**SHARED, "tilt_alpha_deg": 1.5}),
        ({"plane info": {"a": FIRST}, "Microscope Info": {"Voltage": 3e5}},
         {**SHARED, "tilt_alpha_deg": 1.5, "beam_energy_keV": 300.0}),
        ({"plane info": {"a": {"note": "nothing"}}}, {}),
        ({"CL": {"Acquisition": {"Acquisition begin": "17/01/2022 16:01:14",
                                 "Dwell time (s)": 2.0, "Exposure (s)": 0.25}}},
         {"acquired": "2022-01-17T16:01:14", "dwell_time_s": 2.0, "exposure_s": 0.25}),
    ],
)  # fmt: skip
def test_tags_of_stacks_and_monocl(
    tmp_path: Path, tags: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A stack has what all its planes share, and begins with the first; MonoCL has its date."""
    path = tmp_path / "stack.dm4"
    write_dm(path, [DMImage(data=np.ones((2, 4, 5), "u2"), tags=tags)], thumbnail=False)
    document = read_source(path).document
    assert document.facts == expected
    tree = read_source(path).load_metadata()
    for place in document.fact_paths.values():
        node: Any = tree
        for part in place.split("/"):
            node = node[int(part[1:-1]) if part.startswith("[") else part]


def write_hspy(path: Path, tags: dict[str, Any], images: tuple[str, ...] = ("TagGroup0",)) -> None:
    """Write a .hspy whose original metadata are those of a DM file, as HyperSpy saves one."""
    with h5py.File(path, "w") as file:
        experiment = file.create_group("Experiments/scan")
        experiment["data"] = np.ones((4, 5), "u2")
        experiment.create_group("metadata/General").attrs["title"] = "scan"
        tem = experiment.create_group("metadata/Acquisition_instrument/TEM")
        tem.attrs["beam_energy"] = 80.0
        for image in images:
            fill(experiment.create_group(f"original_metadata/ImageList/{image}/ImageTags"), tags)


def fill(group: h5py.Group, tree: dict[str, Any]) -> None:
    """Write a tree as groups and attributes."""
    for name, value in tree.items():
        if isinstance(value, dict):
            fill(group.create_group(name), value)
        else:
            group.attrs[name] = value


def test_tags_that_hyperspy_keeps_give_what_its_metadata_lack(tmp_path: Path) -> None:
    """Exposure and detector are found in the tags; what the metadata say outranks them."""
    tags = {**FIRST, "DataBar": {"Exposure Time (s)": 0.5, "Large": 2**63 - 1}}
    write_hspy(tmp_path / "s.hspy", tags)
    source = read_source(tmp_path / "s.hspy")
    facts = source.document.facts
    assert facts == {
        "beam_energy_keV": 80.0,
        "exposure_s": 0.5,
        "detector": "US1000",
        "tilt_alpha_deg": 1.5,
    }
    tree = source.load_metadata()
    for place in source.document.fact_paths.values():
        node: Any = tree
        for part in place.split("/"):
            node = node[part]
    write_hspy(tmp_path / "two.hspy", tags, ("TagGroup0", "TagGroup1"))
    assert read_source(tmp_path / "two.hspy").document.facts == {"beam_energy_keV": 80.0}


def test_a_real_file_saved_by_hyperspy_keeps_its_facts(samples: Path, tmp_path: Path) -> None:
    """Every fact of a DM file is found in the .hspy that HyperSpy makes of it."""
    rsciio = pytest.importorskip("rsciio.digitalmicrograph")
    writer = pytest.importorskip("rsciio.hspy").file_writer
    path = samples / "dm" / "08_carbon.dm3"
    (signal,) = rsciio.file_reader(str(path))
    keys = ("axes", "data", "metadata", "original_metadata")
    signal = {key: signal[key] for key in keys}
    empty = ("package_info", "learning_results", "tmp_parameters", "models")
    info = {**{key: {} for key in empty}, "attributes": {"_lazy": False}}
    writer(str(tmp_path / "s.hspy"), {**info, **signal}, show_progressbar=False)
    told = read_source(path).document.facts
    found = read_source(tmp_path / "s.hspy").document.facts
    assert set(told) <= set(found)
    assert found["exposure_s"] == told["exposure_s"]
    assert found["detector"] == told["detector"]
