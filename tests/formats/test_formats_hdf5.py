"""Plain HDF5, EMD and DECTRIS files: the right data set, and nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from stemzarr.errors import (
    CorruptFileError,
    EntryNotFoundError,
    OptionError,
    StemzarrError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.model import read_all, read_box
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader


def test_the_largest_scan_is_found(tmp_path: Path) -> None:
    """Among many data sets a 4D one is taken, though another is larger; any can be named."""
    path = tmp_path / "plain.h5"
    with h5py.File(path, "w") as file:
        file["a/image"] = np.zeros((500, 500))
        file["a/cube"] = np.arange(120, dtype=">u2").reshape(2, 3, 4, 5)
        file["small"] = np.zeros((1, 1, 2, 2))
        file["a/text"] = "words"
    document = check_reader(path).document
    assert (document.title, document.kind, document.dtype) == ("cube", "4d-stem", np.dtype("<u2"))
    np.testing.assert_array_equal(
        read_box(document.blocks, (0,) * 4, (2, 3, 4, 5)).ravel(), range(120)
    )
    named = check_reader(path, ReadOptions(dataset="/a/image")).document
    assert named.shape == (500, 500)


def test_a_missing_data_set_lists_the_others(tmp_path: Path) -> None:
    """A path that names no data set is answered with those that there are."""
    path = tmp_path / "plain.h5"
    with h5py.File(path, "w") as file:
        file["a/cube"] = np.zeros((2, 3, 4, 5))
    for wrong in ("b", "a", "a/cube/x", ""):
        with pytest.raises(EntryNotFoundError, match="/a/cube 2x3x4x5"):
            read_source(path, ReadOptions(dataset=wrong))


def test_a_file_without_numbers_is_refused(tmp_path: Path) -> None:
    """A file that holds no numbers says so."""
    path = tmp_path / "words.h5"
    with h5py.File(path, "w") as file:
        file["text"] = "words"
        file["scalar"] = 1.0
    with pytest.raises(UnsupportedDataError, match="no data set of numbers"):
        read_source(path)


def test_dimension_scales_and_nexus_axes(tmp_path: Path) -> None:
    """Axes come from dimension scales, or from the vectors that NXdata names."""
    path = tmp_path / "axes.nxs"
    with h5py.File(path, "w") as file:
        group = file.create_group("entry")
        group["counts"] = np.zeros((3, 4))
        group.attrs["axes"] = ["y", "E"]
        group["y"] = np.arange(3) * 0.5
        group["y"].attrs["units"] = "nm"
        group["E"] = 100 + np.arange(4) * 2.0
        group["E"].attrs["units"] = "eV"
    document = read_source(path).document
    assert document.kind == "spectrum-image"
    assert document.axis("energy").offset == 100
    assert document.axis("scan_x").scale == 0.5


def test_ncem_files_with_x_first_are_transposed(tmp_path: Path) -> None:
    """An EMD array whose dims are named x, y is an image (y, x)."""
    path = tmp_path / "image.emd"
    data = np.arange(12, dtype="f4").reshape(3, 4)
    with h5py.File(path, "w") as file:
        file.attrs.update({"version_major": 0, "version_minor": 2})
        group = file.create_group("data/image")
        group.attrs["emd_group_type"] = 1
        group["data"] = data
        for number, (name, size) in enumerate((("x", 3), ("y", 4)), 1):
            dim = group.create_dataset(f"dim{number}", data=np.arange(size) * 0.1 * number)
            dim.attrs.update({"name": name, "units": "[n_m]"})
    document = check_reader(path).document
    assert document.kind == "image"
    np.testing.assert_array_equal(read_box(document.blocks, (0, 0), (4, 3)), data.T)
    assert document.axis("x").scale == pytest.approx(0.1)
    assert document.axis("y").units == "nm"


def write_arina(folder: Path, frames: tuple[int, ...], target: str = "scan_data_{}.h5") -> Path:
    """Write a master with its data files."""
    count = 0
    for number, some in enumerate(frames, 1):
        with h5py.File(folder / f"scan_data_{number}.h5", "w") as file:
            values = np.arange(count * 6, (count + some) * 6, dtype="u4").reshape(some, 2, 3)
            data = file.create_dataset("entry/data/data", data=values, chunks=(1, 2, 3))
            data.attrs["image_nr_low"] = count + 1
        count += some
    with h5py.File(folder / "scan_master.h5", "w") as file:
        group = file.create_group("entry/data")
        for number in range(1, len(frames) + 1):
            group[f"data_{number}"] = h5py.ExternalLink(target.format(number), "/entry/data/data")
    return folder / "scan_master.h5"


def test_frames_of_several_files_are_joined(tmp_path: Path) -> None:
    """The frames behind a master are one stack, a scan where their number or the user says so."""
    path = write_arina(tmp_path, (3, 2, 1))
    document = check_reader(path).document
    assert document.kind == "stack"
    np.testing.assert_array_equal(read_box(document.blocks, (0,) * 3, (6, 2, 3)).ravel(), range(36))
    scan = check_reader(path, ReadOptions(scan_shape=(2, 3))).document
    assert scan.shape == (2, 3, 2, 3)
    square = check_reader(write_arina(tmp_path, (3, 1))).document
    assert square.shape == (2, 2, 2, 3)
    assert square.layout is not None
    assert square.layout.confidence == "low"


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    """A master without one of its data files is not complete; without any it is refused."""
    path = write_arina(tmp_path, (3, 2))
    (tmp_path / "scan_data_2.h5").unlink()
    source = read_source(path)
    assert not source.complete
    assert any("scan_data_2.h5" in note for note in source.notes)
    assert source.document.shape == (3, 2, 3)
    (tmp_path / "scan_data_1.h5").unlink()
    with pytest.raises(TruncatedFileError, match="scan_data_1"):
        read_source(path)


@pytest.mark.parametrize("target", ["../secret_{}.h5", "/etc/secret_{}.h5", "sub/s_{}.h5"])
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, target: str) -> None:
    """A master whose links leave its folder is refused, whether or not the file is there."""
    inside = tmp_path / "inside"
    inside.mkdir()
    path = write_arina(inside, (2,), target)
    with h5py.File(tmp_path / "secret_1.h5", "w") as file:
        file["entry/data/data"] = np.zeros((2, 2, 3))
    with pytest.raises(UnsupportedDataError, match="outside its folder"):
        read_source(path)


def test_external_storage_is_not_followed(tmp_path: Path) -> None:
    """Raw values in another file, and virtual ones from another file, are refused."""
    (tmp_path / "secret").write_bytes(bytes(24))
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("cube", (1, 2, 3, 4), "u1", external=str(tmp_path / "secret"))
    layout = h5py.VirtualLayout((1, 2, 3, 4), "u1")
    layout[...] = h5py.VirtualSource(tmp_path / "other.h5", "cube", (1, 2, 3, 4))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("cube", layout)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["cube"] = h5py.ExternalLink(str(tmp_path / "raw.h5"), "/cube")
    for name in ("raw.h5", "virtual.h5", "link.h5"):
        with pytest.raises(UnsupportedDataError):
            read_source(tmp_path / name)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    """A few bytes that declare terabytes are not believed."""
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("cube", (10**4, 10**4, 512, 512), "u2", chunks=(1, 1, 512, 512))
    with pytest.raises(CorruptFileError, match="declares"):
        read_source(path)


def test_cyclic_groups_end(tmp_path: Path) -> None:
    """Hard links that form a ring are walked once."""
    path = tmp_path / "ring.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("a")
        group["ring"] = file["/"]
        group["cube"] = np.zeros((2, 2, 2, 2))
    assert read_source(path).document.kind == "4d-stem"
    assert isinstance(read_source(path).load_metadata(), dict)


def test_scan_shape_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    """A scan shape of another number of patterns names both numbers."""
    path = tmp_path / "stack.h5"
    with h5py.File(path, "w") as file:
        file["stack"] = np.zeros((7, 4, 4))
    with pytest.raises(OptionError, match="needs 6 patterns, it holds 7"):
        read_source(path, ReadOptions(scan_shape=(2, 3)))


@pytest.mark.parametrize(
    "sample", ["example2_v3.1.hspy", "py4DSTEM_size2x3x4x5.h5", "topspin_test_A.app5"]
)
def test_cut_files_raise_only_our_errors(samples: Path, tmp_path: Path, sample: str) -> None:
    """Cut anywhere, a file is read or refused by name, and nothing else is raised."""
    content = (samples / "formats" / sample).read_bytes()
    for trial, length in enumerate(np.linspace(9, len(content) - 1, 40).astype(int)):
        path = tmp_path / f"{trial}{Path(sample).suffix}"
        path.write_bytes(content[:length])
        with pytest.raises(StemzarrError) as caught:
            read_whole(path)
        assert caught.value.path == str(path)


def read_whole(path: Path) -> None:
    """Read all that a file holds."""
    source = read_source(path)
    for document in source.documents:
        read_all(document.blocks)
    source.load_metadata()


def test_a_file_rewritten_in_place_is_read_anew(tmp_path: Path) -> None:
    """A file may be rewritten, in place too, and gives its new values."""
    path = tmp_path / "scan.h5"
    for size in (3, 4, 5):
        with h5py.File(path, "w") as file:
            file["cube"] = np.full((1, 1, size, size), size)
        document = read_source(path).document
        assert document.shape == (1, 1, size, size)
        assert read_box(document.blocks, (0, 0, 0, 0), document.shape).min() == size
