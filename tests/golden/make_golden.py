"""Write the golden stores and the golden lake of the present schema version.

Run by hand, on purpose, when a schema version is new; never to make a test pass: what lies here is
what people have on their disks.

    python tests/golden/make_golden.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

import stemzarr
from stemzarr.options import IngestOptions
from stemzarr.store.format.schema import SCHEMA_VERSION
from stemzarr.testing import DMAxis, DMImage, microscope_tags, write_dm
from stemzarr_catalog import open_lake


def images() -> dict[str, list[DMImage]]:
    """Return what the golden sources hold, by name."""
    rng = np.random.default_rng(SCHEMA_VERSION)
    nm, inverse = DMAxis(scale=0.5, origin=2, units="nm"), DMAxis(scale=0.125, units="1/nm")
    scan = rng.poisson(2, (3, 4, 6, 5)).astype(np.uint16)
    survey = DMImage(data=rng.random((5, 7)).astype(np.float32), axes=(nm, nm), name="survey")
    fast = DMImage(
        data=scan, axes=(nm, nm, inverse, inverse), swapped=True, tags=microscope_tags((3, 4)),
        name="fast", brightness=DMAxis(scale=0.5, units="e-"),
    )  # fmt: skip
    slow = DMImage(
        data=scan.astype(np.float32),
        layout="scan-fast",
        axes=(nm, nm, inverse, inverse),
        name="slow",
    )
    spectra = DMImage(
        data=rng.poisson(5, (2, 3, 8)).astype(np.int32), kind="spectrum-image", layout="scan-fast",
        axes=(nm, nm, DMAxis(scale=0.25, units="eV")), name="spectra",
    )  # fmt: skip
    colour = DMImage(data=rng.integers(0, 255, (4, 3, 4), np.uint8), color=True, name="colour")
    return {"fast": [fast, survey], "slow": [slow], "spectra": [spectra, colour]}


def main(folder: Path) -> None:
    """Write the lake, its sources' values, and what is to be read from it."""
    version = folder / f"schema-{SCHEMA_VERSION}"
    if version.exists():
        raise SystemExit(f"{version} stands already: golden files are never written again")
    lake = open_lake(version / "lake", create=True)
    codecs = {"fast": "zstd", "slow": "lz4", "spectra": "none"}
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in images().items():
            source = Path(scratch) / f"{name}.dm4"
            write_dm(source, content, thumbnail=False)
            options = IngestOptions(codec=codecs[name], threads=1)  # type: ignore[arg-type]
            lake.ingest(source, options=options)
            stemzarr.export(source, version / f"{name}.npy")
    lake.tag("fast", "golden", remark="kept", fields={"batch": 7})
    lake.calibrate("slow", {"camera_length_mm": 115.0, "det_x.scale": 0.25})
    expected = {
        name: {
            "shape": lake[name].shape,
            "facts": lake[name].facts,
            "hash": lake[name].source["hash"],
        }
        for name in lake
    }
    for made in (lake.path / "catalog.sqlite", *version.glob("*.npy.json")):
        made.unlink()  # what is made anew from the stores is not what must last
    text = json.dumps(expected, indent=1, ensure_ascii=False, sort_keys=True)
    (version / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(__file__).parent)
