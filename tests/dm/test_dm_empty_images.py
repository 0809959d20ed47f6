"""An image without values costs only itself, unless it is what the file is for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from stemzarr.errors import UnsupportedDataError
from stemzarr.formats.dm.tags import TagData
from stemzarr.formats.dm.values import ByteOrder
from stemzarr.model import read_all
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import rebuild, verify_store, write_store
from stemzarr.testing import DMImage, write_dm
from stemzarr.testing.contracts import check_reader

SCAN = np.arange(5 * 6 * 7 * 8, dtype="u2").reshape(5, 6, 7, 8)


@dataclass(frozen=True, kw_only=True)
class EmptyImage(DMImage):
    """An image that has dims and no values."""

    shape: tuple[int, ...] = (4, 4)
    """The dims that it declares."""

    @property
    def pixel_shape(self) -> tuple[int, ...]:
        """The dims that it declares."""
        return self.shape

    def pixels(self, order: ByteOrder) -> TagData:
        """Return a tag for an array of no values."""
        whole = DMImage.pixels(self, order)
        return dataclasses.replace(whole, info=(*whole.info[:-1], 0), count=0)


def empty(*shape: int) -> EmptyImage:
    """Return an image of these dims without values."""
    return EmptyImage(data=np.zeros((0, *shape[1:]), "u2"), shape=shape, name="empty")


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("version", [3, 4])
def test_a_small_image_without_values_is_named(tmp_path: Path, place: int, version: int) -> None:
    """The scan beside it is read, stored and rebuilt, and a note names what is left out."""
    path = tmp_path / f"scan.dm{version}"
    images = [DMImage(data=SCAN, name="scan")]
    images.insert(place, empty(4, 4))
    write_dm(path, images, version=version)
    check_reader(path)
    source = read_source(path)
    blocks = source.document.blocks
    np.testing.assert_array_equal(read_all(blocks), SCAN)
    assert [note for note in source.notes if "(4, 4)" in note and "left out" in note]
    store = tmp_path / "scan.zarr"
    write_store(source, store, IngestOptions())
    assert verify_store(store, source=path).ok
    rebuild(store, tmp_path / f"again.dm{version}")
    assert (tmp_path / f"again.dm{version}").read_bytes() == path.read_bytes()


def test_a_scan_without_values_is_refused(tmp_path: Path) -> None:
    """A scan whose pixels lie elsewhere is never passed over for the survey image beside it."""
    path = tmp_path / "k3.dm4"
    write_dm(path, [DMImage(data=SCAN[0, 0], name="survey"), empty(5, 6, 7, 8)])
    with pytest.raises(UnsupportedDataError, match="no values"):
        read_source(path)


def test_a_file_of_nothing_but_empty_images_is_refused(tmp_path: Path) -> None:
    """There is nothing to store, and the reason is that of the first image."""
    path = tmp_path / "nothing.dm4"
    write_dm(path, [empty(4, 4), empty(3, 3)], thumbnail=False)
    with pytest.raises(UnsupportedDataError, match="no values"):
        read_source(path)
