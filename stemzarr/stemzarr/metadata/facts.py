"""The table of facts: what stemzarr knows of an acquisition, under one name for every format.

To add a fact, add its row to `FACTS`, and a test. From the rows come what readers look for and
exporters write, the attributes of a store, what ``calibrate`` and ``--set`` take, what
``--redact`` removes, and the columns of the index. tests/test_fact_table.py walks this way with a
new row, and compares the JSON Schema of the attributes and the docs with the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = [
    "FACTS",
    "FACT_NAMES",
    "PERSONAL_FACTS",
    "FactRow",
    "FactType",
    "Place",
    "facts_in",
    "rank_last",
]

FactType = Literal["number", "text", "date", "flag"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where files of one format have a fact."""

    paths: tuple[str, ...]
    """Paths of tags, the most trusted first."""
    unit: str = ""
    """Unit of the number there; empty where it is that of the fact."""
    prefix: str = ""
    """What is put before a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRow:
    """One fact: what it means, and where the formats have it."""

    name: str
    """Name in every store, query and command; it ends in its unit."""
    meaning: str
    """What it says, in a few words."""
    type: FactType = "number"
    """What its values are; a date is ISO 8601, a flag 0 or 1."""
    unit: str = ""
    """Unit of a number, a key of `stemzarr.metadata.units.UNITS`; empty for bare numbers."""
    least: Literal["any", "zero", "above zero"] = "above zero"
    """What a number must be at least. Read from a file, a zero says that nothing is known, unless
    any number can be true."""
    or_text: bool = False
    """Whether a number may be a text instead."""
    personal: bool = False
    """Whether it says who measured what, so that ``--redact`` removes it."""
    shown: bool = True
    """Whether the gallery shows it."""
    words: tuple[str, ...] = ()
    """What people may call it in a query, for hints."""
    hyperspy: str = ""
    """Path in HyperSpy's metadata under which exporters write it; empty where none fits."""
    found: Mapping[str, Place] = field(default_factory=dict)
    """Where readers look for it, by format. Paths are below ``ImageTags`` for ``dm``, from the
    root of the metadata for ``hyperspy`` (``TEM`` is any instrument), below the root of the
    ``.xml`` for ``empad``; attributes of the record of the scan for ``arina``; from the root of
    the properties for ``nion``; names of items for ``topspin``."""


def at(*paths: str, unit: str = "", prefix: str = "") -> Place:
    """Return a place, for one line in the table."""
    return Place(paths=paths, unit=unit, prefix=prefix)


_TEM: Final = "Acquisition_instrument.TEM"

FACTS: Final = (
    FactRow(
        name="beam_energy_keV",
        meaning="energy of the beam",
        unit="keV",
        words=("voltage", "high_tension"),
        hyperspy=f"{_TEM}.beam_energy",
        found={
            "dm": at("Microscope Info/Voltage", unit="V"),
            "hyperspy": at("TEM.beam_energy"),
            "empad": at(
                "iom_measurements/high_voltage",
                "iom_measurements/source.get_voltage",
                "iom_measurements/ColumnSourceHighVoltage",
                unit="V",
            ),
            "arina": at("High Tension", unit="V"),
            "nion": at(
                "metadata.instrument.high_tension",
                "metadata.hardware_source.autostem.high_tension",
                "metadata.hardware_source.high_tension",
                "metadata.instrument.high_tension_v",
                "metadata.instrument.autostem.high_tension_v",
                "metadata.hardware_source.autostem.high_tension_v",
                "metadata.hardware_source.high_tension_v",
                unit="V",
            ),
            "topspin": at("GunHighVoltage", unit="V"),
        },
    ),
    FactRow(  # in DM files too, by the mode of the microscope: see formats/dm/facts.py
        name="camera_length_mm",
        meaning="camera length",
        unit="mm",
        hyperspy=f"{_TEM}.camera_length",
        found={
            "hyperspy": at("TEM.camera_length"),
            "empad": at(
                "iom_measurements/nominal_camera_length",
                "iom_measurements/optics.get_cameralength",
                "iom_measurements/ColumnOpticsGetCameraLengthNominalCameraLength",
                unit="m",
            ),
            "arina": at("Camera Length", unit="m"),
            "topspin": at("DiffractionCameraLength", unit="m"),
        },
    ),
    FactRow(
        name="convergence_angle_mrad",
        meaning="semi-angle of convergence",
        unit="mrad",
        least="zero",
        hyperspy=f"{_TEM}.convergence_angle",
        found={
            "dm": at(
                "Microscope Info/Convergence Angle (mrad)",
                "Microscope Info/Convergence semi-angle (mrad)",
                "EELS/Experimental Conditions/Convergence semi-angle (mrad)",
            ),
            "hyperspy": at("TEM.convergence_angle"),
        },
    ),
    FactRow(  # in DM files too, by the mode of the microscope: see formats/dm/facts.py
        name="magnification",
        meaning="indicated magnification",
        hyperspy=f"{_TEM}.magnification",
        found={"hyperspy": at("TEM.magnification"), "arina": at("Magnification")},
    ),
    FactRow(
        name="exposure_s",
        meaning="exposure of one frame",
        unit="s",
        hyperspy=f"{_TEM}.Detector.Camera.exposure",
        found={
            "dm": at(
                "Acquisition/Parameters/High Level/Exposure (s)",
                "Acquisition/Parameters/Detector/exposure (s)",
                "Acquisition/Parameters/Detector/Exposure (s)",
                "EELS/Acquisition/Exposure (s)",
                "CL/Acquisition/Exposure (s)",
                "DataBar/Exposure Time (s)",
            ),
            "hyperspy": at(
                "TEM.Detector.Camera.exposure",
                "TEM.Camera.exposure",
                "TEM.Detector.Diffraction.exposure",
                "TEM.Detector.exposure",
                "TEM.Detector.EELS.exposure",
                "TEM.EELS.exposure",
                "TEM.exposure",
                "Acquisition_instrument.Detector.integration_time",
            ),
            "empad": at("exposure_time", unit="ms"),
            "nion": at("metadata.hardware_source.exposure", "metadata.exposure"),
        },
    ),
    FactRow(
        name="dwell_time_s",
        meaning="time spent at one scan position",
        unit="s",
        hyperspy=f"{_TEM}.dwell_time",
        found={
            "dm": at("SI/Acquisition/Pixel time (s)", "CL/Acquisition/Dwell time (s)"),
            "hyperspy": at(
                "TEM.Detector.EELS.dwell_time",
                "TEM.dwell_time",
                "TEM.EELS.dwell_time",
                "Acquisition_instrument.dwell_time",
            ),
            "arina": at("ScanDwellTime"),
            "nion": at(
                "metadata.scan.pixel_time_us", "metadata.hardware_source.pixel_time_us", unit="us"
            ),
        },
    ),
    FactRow(
        name="probe_current_nA",
        meaning="current of the probe",
        unit="nA",
        least="zero",
        hyperspy=f"{_TEM}.beam_current",
        found={
            "dm": at("Microscope Info/Probe Current (nA)"),
            "hyperspy": at("TEM.beam_current"),
        },
    ),
    FactRow(
        name="spot_size",
        meaning="index of the spot size",
        or_text=True,
        shown=False,
        found={"dm": at("Microscope Info/Spot Size"), "hyperspy": at("TEM.spot_size")},
    ),
    FactRow(
        name="scan_rotation_deg",
        meaning="rotation of the scan",
        unit="deg",
        least="any",
        shown=False,
        hyperspy=f"{_TEM}.rotation",
        found={
            "dm": at("DigiScan/Rotation"),
            "hyperspy": at("TEM.scan_rotation", "TEM.rotation"),
        },
    ),
    FactRow(
        name="tilt_alpha_deg",
        meaning="stage tilt alpha",
        unit="deg",
        least="any",
        hyperspy=f"{_TEM}.Stage.tilt_alpha",
        found={
            "dm": at("Microscope Info/Stage Position/Stage Alpha"),
            "hyperspy": at("TEM.Stage.tilt_alpha", "TEM.tilt_stage"),
        },
    ),
    FactRow(
        name="tilt_beta_deg",
        meaning="stage tilt beta",
        unit="deg",
        least="any",
        hyperspy=f"{_TEM}.Stage.tilt_beta",
        found={
            "dm": at("Microscope Info/Stage Position/Stage Beta"),
            "hyperspy": at("TEM.Stage.tilt_beta"),
        },
    ),
    FactRow(
        name="instrument",
        type="text",
        meaning="microscope",
        words=("microscope",),
        hyperspy=f"{_TEM}.microscope",
        found={
            "dm": at(
                "Session Info/Microscope", "Microscope Info/Microscope", "Microscope Info/Name"
            ),
            "hyperspy": at(f"{_TEM}.microscope", "Acquisition_instrument.SEM.microscope"),
            "topspin": at("SystemName"),
        },
    ),
    FactRow(
        name="detector",
        type="text",
        meaning="camera or detector",
        words=("camera",),
        hyperspy=f"{_TEM}.Detector.Camera.name",
        found={
            "dm": at("Acquisition/Device/Name", "DataBar/Device Name", "DataBar/Signal Name"),
            "hyperspy": at(f"{_TEM}.Detector.Camera.name", f"{_TEM}.Camera.name"),
        },
    ),
    FactRow(
        name="operator",
        type="text",
        meaning="who acquired it",
        personal=True,
        words=("user",),
        hyperspy="General.authors",
        found={
            "dm": at("Session Info/Operator", "Microscope Info/Operator"),
            "hyperspy": at("General.authors"),
            "topspin": at("CreatedBy"),
        },
    ),
    FactRow(
        name="specimen",
        type="text",
        meaning="what was looked at",
        personal=True,
        words=("sample", "material"),
        hyperspy="Sample.description",
        found={
            "dm": at("Session Info/Specimen", "Microscope Info/Specimen"),
            "hyperspy": at("Sample.name", "Sample.description"),
            "topspin": at("Specimen"),
        },
    ),
    FactRow(
        name="session",
        type="text",
        meaning="session as the source names it",
        personal=True,
        found={"dm": at("Session Info/Session", "Session Info/Session Name")},
    ),
    FactRow(
        name="software",
        type="text",
        meaning="program that wrote the source",
        found={"dm": at("GMS Version/Created", "GMS Version/Saved", prefix="GMS ")},
    ),
    # Dates and times are spread over several tags of a file: the readers put them together.
    FactRow(
        name="acquired", type="date", meaning="when it was acquired", words=("date", "time", "day")
    ),
    FactRow(
        name="complete",
        type="flag",
        meaning="whether the source holds all it declares",
        shown=False,
    ),
)
"""Every fact, in the order in which documents have them."""

FACT_NAMES: Final = frozenset(fact.name for fact in FACTS)
"""Names of the facts, the same for every format."""
PERSONAL_FACTS: Final = tuple(fact.name for fact in FACTS if fact.personal)
"""The facts that say who measured what. Everything that redacts goes by this list."""


def facts_in(format_name: str, *types: FactType) -> Iterator[tuple[FactRow, Place]]:
    """Iterate over the facts of some types that files of a format may have, and where."""
    for fact in FACTS:
        place = fact.found.get(format_name)
        if place is not None and fact.type in types:
            yield fact, place


def rank_last(fact: FactRow, names: Sequence[str]) -> int:
    """Return a key that sorts the named facts behind all others, in the order of the names."""
    return names.index(fact.name) if fact.name in names else -1
