"""Small lakes of small stores."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.model import ArrayBlocks, Axis, Document, Layout, Segment, Source
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.store import write_store
from stemzarr_catalog import Lake, open_lake

TAGS = {
    "ImageList": [
        {
            "ImageTags": {
                "Microscope Info": {"Voltage": 300000.0, "Name": "Titan X", "Cs(mm)": 0.001},
                "Acquisition": {"Device": {"Name": "K3-IS", "Active Size": [512, 512]}},
            }
        }
    ],
    "ApplicationBounds": {"Data": list(range(100))},
}


DIMS = {
    "4d-stem": ("scan_y", "scan_x", "det_y", "det_x"),
    "image": ("y", "x"),
    "spectrum": ("energy",),
}


def tiny_source(
    path: Path,
    *,
    kind: Any = "4d-stem",
    shape: tuple[int, ...] = (2, 3, 4, 5),
    tags: dict[str, Any] | None = None,
    attributes: dict[str, Any] | None = None,
    title: str | None = None,
    complete: bool = True,
    **facts: Any,
) -> Source:
    """Return a source of a main document that counts 0, 1, 2 and on, and a survey image."""
    values = np.arange(np.prod(shape), dtype="uint16").reshape(shape)
    axes = tuple(
        Axis(name=dim, size=size, scale=0.5, offset=1.0, units="nm", calibrated=True)
        for dim, size in zip(DIMS[kind], shape, strict=True)
    )
    main = Document(
        index=0,
        slug="main",
        title=path.stem if title is None else title,
        kind=kind,
        axes=axes,
        blocks=ArrayBlocks(values),
        facts=facts,
        attributes=attributes or {},
        layout=Layout(order="detector-fast") if kind == "4d-stem" else None,
    )
    survey = Document(
        index=1,
        slug="survey",
        title="Survey",
        kind="image",
        axes=(Axis(name="y", size=4), Axis(name="x", size=6)),
        blocks=ArrayBlocks(np.ones((4, 6), "float32")),
    )
    return Source(
        path=path,
        format="dm4",
        size=path.stat().st_size,
        modified_ns=path.stat().st_mtime_ns,
        documents=(main, survey),
        main=0,
        complete=complete,
        load_metadata=lambda: TAGS if tags is None else tags,
        load_header=path.read_bytes,
        segments=(Segment(document=0, offset=0, nbytes=0, shape=shape, dtype="<u2"),),
    )


def write_tiny_store(path: Path, **options: Any) -> Path:
    """Write a tiny source into a store, in place of one that may be there."""
    file = path.with_name(f"{path.stem}.dm4")
    file.write_bytes(path.stem.encode().ljust(1000))
    try:
        source = tiny_source(file, **options)
        read = ReadOptions(salvage=not source.complete)
        write_store(source, path, IngestOptions(read=read, sync=False, overwrite=True, threads=1))
    finally:
        file.unlink()
    return path


@pytest.fixture
def lake_path(tmp_path: Path) -> Path:
    """Return the folder of an empty lake."""
    return open_lake(tmp_path / "lake", create=True).path


@pytest.fixture
def add(lake_path: Path) -> Callable[..., Path]:
    """Return a function that adds a tiny store to the lake, behind the back of its index."""

    def add_store(name: str, **options: Any) -> Path:
        return write_tiny_store(lake_path / "stores" / f"{name}.zarr", **options)

    return add_store


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake of three stores that is copied for each test."""
    path = open_lake(tmp_path_factory.mktemp("template") / "lake", create=True).path
    stores = path / "stores"
    write_tiny_store(
        stores / "scan.zarr",
        beam_energy_keV=300.0,
        camera_length_mm=115.0,
        exposure_s=0.005,
        specimen="SrTiO3",
        operator="Ångström",
        instrument="Titan X",
        detector="K3 IS",
        acquired="2026-01-15T10:20:30",
    )
    write_tiny_store(
        stores / "map.zarr",
        beam_energy_keV=80.0,
        exposure_s=2.0,
        specimen="graphene on <SiN>",
        instrument="Nion",
        acquired="2025-12-31T23:59:59",
        complete=False,
    )
    carbon = {"Notes": {"Text": "lacey carbon"}}
    write_tiny_store(stores / "overview.zarr", kind="image", shape=(7, 9), tags=carbon)
    open_lake(path)
    return path


@pytest.fixture
def lake(lake_path: Path, template: Path) -> Lake:
    """Return a lake of three stores."""
    shutil.copytree(template, lake_path, dirs_exist_ok=True)
    return open_lake(lake_path)
