"""napari is given lazy layers in the units of the axes; napari itself is not needed."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr

import stemzarr
from stemzarr.bridges.napari import get_reader, read_layers
from stemzarr.errors import UnsupportedDataError
from stemzarr.options import IngestOptions
from stemzarr.recognition import suffixes_of
from stemzarr.store import write_store
from stemzarr.testing.sources import document_of, source_of

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "stemzarr/stemzarr/bridges/napari.yaml"


def store_of(folder: Path, kind: Any, values: Any, **rest: Any) -> str:
    """Return a store of one document."""
    document = document_of(values, kind, **rest)
    write_store(
        source_of(folder / "a.dm4", [document]), folder / "a.zarr", IngestOptions(sync=False)
    )
    return str(folder / "a.zarr")


def test_a_scan_and_its_image_share_the_scan(folder: Path, pixel_reads: list[int]) -> None:
    """Both layers have the axes of the scan, and the image is as wide as the detector."""
    with pytest.warns(UserWarning, match="holds survey besides document_scan"):
        image, patterns = read_layers(str(folder / "scan.zarr"))
    scan = stemzarr.open(folder / "scan.zarr", chunks=None)
    assert not pixel_reads
    assert patterns[2] == image[2] == "image"
    np.testing.assert_array_equal(patterns[0][3, 2].compute(), scan.intensity[3, 2])
    preview = zarr.open_array(folder / "scan.zarr/preview/bright_field", mode="r")
    np.testing.assert_array_equal(image[0][:, :, 0, 0], preview[...])
    for place, dim in enumerate(scan.intensity.dims):
        first, step = patterns[1]["translate"][place], patterns[1]["scale"][place]
        found = first + step * np.arange(scan.sizes[dim])
        np.testing.assert_allclose(found, scan[dim])
        assert patterns[1]["units"][place] == scan[dim].units
        edges = [
            (layer["translate"][place] - layer["scale"][place] / 2)
            + np.array([0, layer["scale"][place] * data.shape[place]])
            for data, layer, _ in (image, patterns)
        ]
        np.testing.assert_allclose(*edges)
    assert patterns[1]["metadata"]["beam_energy_keV"] == 300.0


KINDS = {"image": (6, 5), "diffraction": (6, 5), "stack": (3, 6, 5), "array": (2, 3, 4, 6, 5)}


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_every_kind_are_layers(tmp_path: Path, kind: str) -> None:
    """Values and axes are those of the document, in its order."""
    values = np.random.default_rng(2).poisson(3, KINDS[kind]).astype(np.uint16)
    ((data, layer, _),) = read_layers(store_of(tmp_path, kind, values))
    np.testing.assert_array_equal(np.asarray(data), values)
    axes = document_of(values, kind).axes  # type: ignore[arg-type]
    assert layer["axis_labels"] == [axis.name for axis in axes]
    assert layer["scale"] == [axis.scale for axis in axes]


def test_a_spectrum_image_is_a_stack_of_energies(tmp_path: Path) -> None:
    """The picture that is seen is one of the area, and the slider moves along the energy."""
    values = np.random.default_rng(2).poisson(3, (4, 5, 7)).astype(np.uint16)
    ((data, layer, _),) = read_layers(store_of(tmp_path, "spectrum-image", values))
    np.testing.assert_array_equal(np.asarray(data), values.transpose(2, 0, 1))
    assert layer["axis_labels"] == ["energy", "scan_y", "scan_x"]


def test_colour_is_colour_and_a_spectrum_is_refused(tmp_path: Path) -> None:
    """Red, green and blue are one layer; what is not an image says how it is plotted."""
    (tmp_path / "b").mkdir()
    values = np.random.default_rng(2).integers(0, 255, (4, 5, 3)).astype(np.uint8)
    path = store_of(tmp_path, "image", values, channels=("red", "green", "blue"))
    ((data, layer, _),) = read_layers(path)
    assert layer["rgb"]
    np.testing.assert_array_equal(np.asarray(data), values)
    with pytest.raises(UnsupportedDataError, match="napari shows images"):
        read_layers(store_of(tmp_path / "b", "spectrum", values[:, 0, 0]))


def test_only_what_stemzarr_reads_is_taken(folder: Path, tmp_path: Path) -> None:
    """Other files, files that are not there, and lists of files are left to other readers."""
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    for path in (str(tmp_path / "a.txt"), str(tmp_path / "none.dm4x"), [str(folder / "scan.dm4")]):
        assert get_reader(path) is None  # type: ignore[arg-type]
    assert get_reader(str(folder / "scan.zarr")) is read_layers


def test_the_manifest_names_what_is_there() -> None:
    """The entry point finds the manifest, the manifest the function; files are those of xarray."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, name = project["entry-points"]["napari.manifest"]["stemzarr"].partition(":")
    folder = Path(str(importlib.import_module(module).__file__)).parent
    manifest = yaml.safe_load((folder / name).read_text("utf-8"))
    assert manifest["name"] == project["name"]
    (command,) = manifest["contributions"]["commands"]
    module, _, function = command["python_name"].partition(":")
    assert getattr(importlib.import_module(module), function) is get_reader
    (reader,) = manifest["contributions"]["readers"]
    assert reader["command"] == command["id"]
    suffixes = {pattern.removeprefix("*") for pattern in reader["filename_patterns"]}
    assert suffixes == suffixes_of("guessed") | {".zarr"}
