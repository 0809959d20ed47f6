"""DM5: the same tree in HDF5 gives the same documents as DM4."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from stemzarr.errors import StemzarrError, UnsupportedDataError
from stemzarr.formats.dm.dm5 import read_dm5
from stemzarr.formats.dm.reader import read_dm
from stemzarr.model import Source, read_all, read_box
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing import DMAxis, DMImage, write_dm
from stemzarr.testing.dm5 import write_dm5

SAMPLES = os.environ.get("STEMZARR_SAMPLES")
NM, PER_NM, EV = (DMAxis(scale=0.5, origin=1, units=units) for units in ("nm", "1/nm", "eV"))
SCAN = (NM, NM, PER_NM, PER_NM)
NUMBERS = np.arange(2 * 3 * 4 * 5, dtype="u2").reshape(2, 3, 4, 5)
TITANX = {"4D STEM Tags": {"Scan shape X": 3, "Scan shape Y": 2}}


def same(first: Source, second: Source) -> None:
    """Compare all that documents say and hold."""
    assert len(first.documents) == len(second.documents)
    for one, two in zip(first.documents, second.documents, strict=True):
        for name in ("index", "slug", "title", "kind", "axes", "layout", "brightness"):
            assert getattr(one, name) == getattr(two, name)
        for name in ("facts", "attributes", "notes", "thumbnail", "channels", "dtype", "shape"):
            assert getattr(one, name) == getattr(two, name)
        values = [read_all(d.blocks) for d in (one, two)]
        np.testing.assert_array_equal(*values)
        start = tuple(size // 2 for size in one.shape)
        shape = tuple(size - first for size, first in zip(one.shape, start, strict=True))
        np.testing.assert_array_equal(*[read_box(d.blocks, start, shape) for d in (one, two)])


@pytest.mark.parametrize(
    "image",
    [
        DMImage(data=NUMBERS, axes=SCAN, swapped=True),
        DMImage(data=NUMBERS, axes=SCAN, layout="scan-fast"),
        DMImage(data=NUMBERS.reshape(6, 4, 5), tags=TITANX),
        DMImage(data=NUMBERS[0], axes=(NM, PER_NM, PER_NM)),
        DMImage(data=NUMBERS[0].transpose(1, 2, 0), axes=(PER_NM, PER_NM, NM)),
        DMImage(data=NUMBERS[0], axes=(NM, NM, EV), kind="spectrum-image", layout="scan-fast"),
        DMImage(data=NUMBERS[0, 0], axes=(NM, EV)),
        DMImage(data=NUMBERS[0, 0, :1], format="Spectrum"),
        DMImage(data=NUMBERS[0, 0].astype("c8")),
        DMImage(data=np.fft.fftshift(np.fft.fft2(NUMBERS[0, 0])).astype("c8"), packed=True),
        DMImage(data=NUMBERS[0, :, :, :4].astype("u1"), color=True),
    ],
)
def test_documents_equal_those_of_dm4(tmp_path: Path, image: DMImage) -> None:
    """The same tree gives the same documents, whether DM4 or HDF5 holds it."""
    path = tmp_path / "x.dm4"
    write_dm(path, image)
    dm5 = write_dm5(path)
    source = read_source(dm5)
    assert (source.format, source.rebuildable) == ("dm5", False)
    same(source, read_dm(path, ReadOptions()))
    tree = source.load_metadata()
    assert tree["Thumbnails"][0]["ImageIndex"] == 0


@pytest.mark.skipif(SAMPLES is None, reason="STEMZARR_SAMPLES is not set")
@pytest.mark.parametrize("name", ["ref_F_0_2", "ref_F_1_2"])
def test_files_of_another_program(name: str) -> None:
    """DM5 files of another program hold the values of the DM4 files beside them."""
    first, second = (read_source(Path(SAMPLES or "", "dm", f"{name}.dm{n}")) for n in (4, 5))
    one, two = first.document, second.document
    assert (one.kind, one.dims, one.shape) == (two.kind, two.dims, two.shape)
    assert [axis.source_units for axis in one.axes] == [axis.source_units for axis in two.axes]
    values = [read_all(d.blocks) for d in (one, two)]
    np.testing.assert_array_equal(*values)


def test_pixels_in_another_file_are_named(tmp_path: Path) -> None:
    """K3-IS keeps its pixels in a ``.raw`` file: unsupported, not corrupt."""
    path = tmp_path / "k3.dm4"
    write_dm(path, DMImage(data=NUMBERS[0, 0]))
    dm5 = write_dm5(path)
    with h5py.File(dm5, "a") as file:
        del file["ImageList/[1]/ImageData/Data"]
    with pytest.raises(UnsupportedDataError, match="another file"):
        read_dm5(dm5, ReadOptions())


def test_other_trees_give_our_errors(tmp_path: Path) -> None:
    """Files whose tree is not what it seems give our errors."""
    path = tmp_path / "odd.dm5"
    for odd in ("empty", "data set", "dims"):
        with h5py.File(path, "w") as file:
            if odd == "data set":
                file["ImageList"] = np.arange(3)
                continue
            image = file.create_group("ImageList/[0]/ImageData")
            if odd == "dims":
                image["Data"] = np.arange(6.0).reshape(2, 3)
                image.create_group("Dimensions").attrs["[0]"] = 5
                image.attrs["DataType"] = 12
        with pytest.raises(StemzarrError):
            read_dm5(path, ReadOptions())
