"""A whole DM4 file as a 4D-STEM session leaves it: thumbnail, scan, survey image, tags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from stemzarr.model import LayoutOrder
from stemzarr.testing.dm_image import DMAxis, DMImage
from stemzarr.testing.dm_writer import write_dm
from stemzarr.testing.scans import synthetic_scan

__all__ = ["microscope_tags", "write_synthetic_dm4"]

_SURVEY_SHAPE = (128, 160)
_SURVEY_RECTANGLE = (32, 40, 96, 104)
_SURVEY_ID = (1804289383, 846930886, 1681692777, 1714636915)
_SCAN_ID = (1957747793, 424238335, 719885386, 1649760492)
_SCAN_STEP_NM = 2.5
_DETECTOR_STEP = 0.021


def microscope_tags(scan_shape: tuple[int, int], *, voltage_V: float = 300e3) -> dict[str, Any]:  # noqa: N803 - the unit's own letter
    """Return tags below ``ImageTags`` as GMS writes them for a scan with a pixelated detector."""
    rows, columns = scan_shape
    dwell_s = 0.0005
    return {
        "Acquisition": {
            "Device": {
                "Active Size (pixels)": (np.int64(512), np.int64(512)),
                "CCD": {"Pixel Size (um)": (np.float32(55), np.float32(55))},
                "Name": "Synthetic pixelated detector",
            },
            "Parameters": {
                "Detector": {"exposure (s)": dwell_s},
                "High Level": {
                    "Binning": (np.int64(1), np.int64(1)),
                    "Exposure (s)": dwell_s,
                    "Processing": "Gain normalized",
                },
            },
        },
        "DataBar": {
            "Acquisition Date": "9/16/2025",
            "Acquisition Time": "2:06:16 PM",
            "Device Name": "Synthetic pixelated detector",
        },
        "DigiScan": {"Flyback": 100.0, "Rotation": 12.5, "Sample Time": dwell_s * 1e6},
        "GMS Version": {"Created": "3.60.4435.0", "Saved": "3.60.4435.0"},
        "Microscope Info": {
            "Cs(mm)": 0.0,
            "Illumination Mode": "STEM NANOPROBE",
            "Imaging Mode": "DIFFRACTION",
            "Indicated Magnification": 640000.0,
            "Items": [
                {"Data Type": np.uint32(20), "Label": "Specimen", "Tag path": "Private:Specimen"},
                {"Data Type": np.uint32(20), "Label": "Operator", "Tag path": "Private:Operator"},
            ],
            "Microscope": "Synthetic TEM",
            "Name": "Synthetic TEM",
            "Operation Mode": "SCANNING",
            "Operator": "A. Microscopist",
            "Probe Current (nA)": 0.05,
            "Specimen": "SrTiO\u2083 lamella",
            "Stage Position": {
                "Stage Alpha": np.float32(1.25),
                "Stage Beta": np.float32(-0.5),
                "Stage X": np.float32(10.0),
                "Stage Y": np.float32(-20.0),
                "Stage Z": np.float32(3.5),
            },
            "STEM Camera Length": 115.0,
            "Voltage": float(voltage_V),
        },
        "Session Info": {"Operator": "A. Microscopist", "Specimen": "SrTiO\u2083 lamella"},
        "SI": {
            "Acquisition": {
                "Artefact Correction": {"Spatial Drift": {"Periodicity": 0}},
                "Date": "9/16/2025",
                "End time": "2:06:16 PM",
                "Last pixel": np.int32(rows * columns),
                "Number of cycles": np.int32(1),
                "Pixel time (s)": dwell_s,
                "Spatial Sampling": {"Height (pixels)": rows, "Width (pixels)": columns},
                "Start time": "1:59:02 PM",
                "Survey Image": {
                    "Spectrum Image Rect": tuple(np.int64(edge) for edge in _SURVEY_RECTANGLE),
                    "Unique Image ID": tuple(np.int64(part) for part in _SURVEY_ID),
                },
            }
        },
        "Notes \u00b5": {"Cal v1.2": 1.0, "Cal v12": 2.0},
    }


def _survey(seed: int) -> NDArray[np.float32]:
    """Return a smooth picture of some grains with noise, shape (y, x)."""
    rng = np.random.default_rng([seed, 5])
    y, x = np.mgrid[: _SURVEY_SHAPE[0], : _SURVEY_SHAPE[1]]
    centres = rng.random((12, 2)) * _SURVEY_SHAPE
    nearest = np.argmin([(y - cy) ** 2 + (x - cx) ** 2 for cy, cx in centres], axis=0)
    brightness = rng.uniform(800, 2400, len(centres))[nearest]
    picture: NDArray[np.float32] = rng.normal(brightness, np.sqrt(brightness)).astype(np.float32)
    return picture


def write_synthetic_dm4(  # noqa: PLR0913 - what varies between scans, one by one
    path: Path,
    scan_shape: tuple[int, int] = (32, 32),
    detector_shape: tuple[int, int] = (64, 64),
    dtype: DTypeLike = np.uint16,
    *,
    layout: LayoutOrder = "detector-fast",
    seed: int = 0,
    voltage_V: float = 300e3,  # noqa: N803 - the unit's own letter
    tags: Mapping[str, Any] | None = None,
) -> None:
    """Write a realistic 4D-STEM file of any size in bounded memory.

    It holds a colour thumbnail, the scan (calibrated: 2.5 nm a step, 0.021 1/nm a detector pixel,
    the direct beam at zero) and a survey image with the rectangle of the scan in it.

    Parameters
    ----------
    path
        The file; what is there is overwritten.
    scan_shape, detector_shape, dtype, seed
        As in `synthetic_scan`.
    layout
        Which axes are contiguous on disk; the flag ``Data Order Swapped`` is set as GMS does.
    voltage_V
        Acceleration voltage in volts.
    tags
        Further tags of the scan, below its ``ImageTags``.
    """
    rows, columns = detector_shape
    image_tags = microscope_tags(scan_shape, voltage_V=voltage_V)
    image_tags["Meta Data"] = {"Acquisition Mode": "Parallel imaging", "Signal": "Diffraction"}
    step = DMAxis(scale=_SCAN_STEP_NM, units="nm")
    scan = DMImage(
        data=synthetic_scan(scan_shape, detector_shape, dtype, seed=seed),
        layout=layout,
        axes=(
            step,
            step,
            DMAxis(scale=_DETECTOR_STEP, origin=(rows - 1) / 2, units="1/nm"),
            DMAxis(scale=_DETECTOR_STEP, origin=(columns - 1) / 2, units="1/nm"),
        ),
        brightness=DMAxis(scale=0.5, units="e-"),
        swapped=True if layout == "detector-fast" else None,
        format="Diffraction image",
        name="4D STEM Diffraction SI",
        tags={**image_tags, **(tags or {})},
        unique_id=_SCAN_ID,
    )
    side_nm = DMAxis(scale=0.625 * _SCAN_STEP_NM, units="nm")
    survey = DMImage(
        data=_survey(seed),
        axes=(side_nm, side_nm),
        brightness=DMAxis(units="Counts"),
        name="ADF Survey Image",
        tags={"Microscope Info": image_tags["Microscope Info"]},
        unique_id=_SURVEY_ID,
    )
    write_dm(path, [scan, survey])
