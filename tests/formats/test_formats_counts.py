"""What a file holds is stored, kept in the metadata, or named, as other programs count it."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stemzarr.errors import StemzarrError
from stemzarr.model import Source, read_all
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import read_source
from stemzarr.store import read_store, write_store
from stemzarr.testing.files import FILE_WRITERS
from stemzarr.testing.hdf5_files import HDF5_WRITERS

LIBRARY = {
    "test2.blo": "blockfile",
    "test_tvips_2345_000.tvips": "tvips",
    "tvips_parts/test_tvips_2345_split_000.tvips": "tvips",
    "de_mrc/20241021_00405_final.mrc": "mrc",
    "de_mrc/20241021_00405_movie.mrc": "mrc",
    "tia/16x16_STEM_BF_DF_acquire.emi": "tia",
    "tia/16x16_STEM_BF_DF_acquire_1.ser": "tia",
    "tia/16x16_STEM_BF_DF_acquire_2.ser": "tia",
    "jobinyvon_test_spec_range.xml": "jobinyvon",
    "zspy/signal1d_10x10-ZipStore.zspy": "zspy._api",
    "zspy/signal1d_10x10-DirectoryStore.zspy": "zspy._api",
    "Merlin_navigation4x2_ROI.zip": "quantumdetector",
}
"""Samples of which RosettaSciIO says how many data sets they hold."""
COUNTS = np.random.default_rng(0).integers(1, 9, (2, 3, 16, 16))
PLAIN = IngestOptions(threads=1, sync=False, preview=False)


def values_of(source: Source) -> list[np.ndarray]:
    """Return the values of every document, sorted, so that no order of dims matters."""
    boxes = (read_all(one.blocks) for one in source.documents)
    return [np.sort(values, axis=None) for values in boxes]


def notes_of(source: Source) -> str:
    """Return all notes of a source as one text."""
    return "\n".join((*source.notes, *(note for one in source.documents for note in one.notes)))


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether the same values are held, whatever their types."""
    return one.size == other.size and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def arrays_of(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of numbers of an HDF5 file that have two dims of more than one.

    That is our rule for what is data. Frames that lie in numbered groups, or in files that a
    group links to, are one array.
    """
    groups: dict[str, list[tuple[int, np.ndarray]]] = {}
    with h5py.File(path) as file:
        for name, item in every_item(file):
            if isinstance(item, h5py.Group):
                linked = list(linked_arrays(item, path.parent))
                groups |= {name: linked} if linked else {}
            elif is_data(item):
                numbered = re.fullmatch(r"(.+)/(\d+)/Data", name)
                if numbered:
                    groups.setdefault(numbered[1], []).append((int(numbered[2]), item[()]))
                else:
                    yield name, item[()]
    for name, parts in groups.items():
        yield name, np.stack([array for _, array in sorted(parts, key=lambda part: part[0])])


def is_data(item: Any) -> bool:
    """Tell whether an item is an array of numbers with two dims of more than one."""
    array = isinstance(item, h5py.Dataset) and item.dtype.kind in "biufc"
    return array and sum(n > 1 for n in item.shape or ()) > 1


def linked_arrays(group: h5py.Group, folder: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the arrays that lie in other files."""
    for number, name in enumerate(group):
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            with h5py.File(folder / link.filename) as file:
                yield number, file[link.path][()]


def every_item(file: h5py.File) -> list[tuple[str, h5py.Group | h5py.Dataset]]:
    """Return path and item of everything in a file."""
    found: list[tuple[str, Any]] = []
    file.visititems(lambda name, item: found.append((name, item)))
    return found


def place_of(name: str, array: np.ndarray, source: Source, documents: list[np.ndarray]) -> str:
    """Return how an array of a file is accounted for, nothing where it is lost."""
    ordered = np.sort(array, axis=None)
    if any(same(ordered, values) for values in documents):
        return "document"
    if repr(name) in notes_of(source) or name in notes_of(source):
        return "note"
    masks = [one.bad_pixels for one in source.documents if one.bad_pixels is not None]
    if "mask" in name and (not array.any() or any(np.array_equal(array != 0, m) for m in masks)):
        return "mask"
    text = json.dumps(source.load_metadata())
    return "metadata" if json.dumps(array.tolist()) in text else ""


def hdf5_samples(samples: Path) -> list[Path]:
    """Return the HDF5 files among the samples; DM5 is counted by its list of images."""
    paths = (path for path in sorted(samples.rglob("*")) if path.is_file())
    return [path for path in paths if path.suffix != ".dm5" and h5py.is_hdf5(path)]


def check_hdf5(path: Path, options: ReadOptions | None = None) -> Source:
    """Require that each array of a file is stored or named, and each document is in the file."""
    source = read_source(path, options)
    documents, arrays = values_of(source), list(arrays_of(path))
    places = {name: place_of(name, array, source, documents) for name, array in arrays}
    assert not [name for name, place in places.items() if not place], places
    planes = [one for one in source.documents if sum(n > 1 for n in one.shape) > 1]
    stored = [name for name, place in places.items() if place == "document"]
    with h5py.File(path) as file:
        assert len(planes) == len(stored) + ("electron_events" in file)
    return source


def test_every_array_of_every_hdf5_sample_is_accounted_for(samples: Path) -> None:
    """Each array of numbers is a document, a mask, in the metadata, or named in a note."""
    checked = 0
    for path in hdf5_samples(samples):
        try:
            read_source(path)
        except StemzarrError as error:
            assert "instead" in str(error.hint) or "give" in str(error.hint)  # noqa: PT017 - the hint names the file
            continue
        check_hdf5(path)
        checked += 1
    assert checked > 7


@pytest.mark.parametrize("place", ["results/map", "metadata/table", "entry/extra/flatfield"])
@pytest.mark.parametrize("size", [12, 300])
@pytest.mark.parametrize("name", [*HDF5_WRITERS, "hspy", "hyperspy-emd"])
def test_an_array_that_is_added_is_accounted_for(
    tmp_path: Path, name: str, size: int, place: str
) -> None:
    """Whatever the arrangement, a small or large array beside its data is never lost."""
    path = FILE_WRITERS[name](tmp_path, COUNTS)
    with h5py.File(path, "a") as file:
        file[place] = np.random.default_rng(1).normal(size=(size, size + 1))
    source = check_hdf5(path)
    if f"{place!r}" not in notes_of(source):
        return
    [option] = re.findall(rf'--dataset "?({re.escape(place)})"?', notes_of(source))
    taken = read_source(path, ReadOptions(dataset=option)).document
    assert taken.shape == (size, size + 1)


def test_every_image_of_every_dm_sample_is_a_document(samples: Path) -> None:
    """As many documents are stored as ncempy and HDF5 find in the list of images."""
    paths = sorted((samples / "dm").glob("*.dm[345]"))
    assert len(paths) > 30
    for path in paths:
        assert len(read_source(path).documents) == images_of(path), path.name


def images_of(path: Path) -> int:
    """Return the number of images of a DM file, its thumbnail counted."""
    if path.suffix == ".dm5":
        with h5py.File(path) as file:
            return sum("Data" in image["ImageData"] for image in file["ImageList"].values())
    from ncempy.io.dm import fileDM

    with contextlib.redirect_stdout(io.StringIO()), fileDM(path) as file:
        return int(file.numObjects)


@pytest.mark.parametrize("name", LIBRARY)
def test_as_many_documents_as_the_library_finds(samples: Path, tmp_path: Path, name: str) -> None:
    """Documents that are read, and those that a note says are left out, are RosettaSciIO's."""
    if name.endswith(".blo"):
        pytest.importorskip("skimage")
    paths = [samples / "formats" / name]
    if paths[0].suffix == ".zip":
        with zipfile.ZipFile(paths[0]) as archive:
            archive.extractall(tmp_path)
        paths = sorted(tmp_path.rglob("*.mib"))
    assert paths
    for path in paths:
        source = read_source(path)
        left = sum("is left out" in note and "data set" in note for note in source.notes)
        assert len(source.documents) + left == signals_of(path, LIBRARY[name])


def signals_of(path: Path, plugin: str) -> int:
    """Return how many signals RosettaSciIO gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if plugin == "zspy._api":
            return len(importlib.import_module("stemzarr.formats.zarr.zspy").file_reader(str(path)))
        return len(importlib.import_module(f"rsciio.{plugin}").file_reader(str(path)))


@pytest.mark.parametrize("compressed", [False, True])
def test_every_series_of_a_tiff_is_a_document(tmp_path: Path, compressed: bool) -> None:
    """As many documents as tifffile finds series, of any shapes and types."""
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "several.tif"
    packing = {"compression": "zlib"} if compressed else {}
    with tifffile.TiffWriter(path) as tiff:
        for shape, dtype in (((5, 12, 14), "u2"), ((9, 8), "f4"), ((20, 24, 3), "u1")):
            photometric = "rgb" if shape[-1] == 3 else "minisblack"
            tiff.write(np.ones(shape, dtype), photometric=photometric, **packing)
    with tifffile.TiffFile(path) as tiff:
        assert len(read_source(path).documents) == len(tiff.series) == 3


def test_what_is_read_is_stored(samples: Path, tmp_path: Path) -> None:
    """A store has every document and every note of its file."""
    paths = [path for path in hdf5_samples(samples) if "arina" not in path.parts]
    for number, path in enumerate([*paths, *sorted((samples / "dm").glob("test*.dm[34]"))]):
        source, store = read_source(path), tmp_path / f"{number}.zarr"
        write_store(source, store, PLAIN)
        again = read_store(store)
        assert [one.slug for one in again.documents] == [one.slug for one in source.documents]
        assert set(source.notes) <= set(again.notes)


@pytest.mark.parametrize("name", ["blo"])
def test_the_image_before_the_patterns_is_named(tmp_path: Path, name: str) -> None:
    """The virtual image of a blockfile is no document: a note says how to make one."""
    pytest.importorskip("skimage")
    source = read_source(FILE_WRITERS[name](tmp_path, COUNTS))
    assert "2 × 3" in notes_of(source)
    assert "virtual_image" in notes_of(source)
