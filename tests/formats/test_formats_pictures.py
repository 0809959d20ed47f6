"""Pictures and TIFF files are read with all of their values, colours and calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.errors import CorruptFileError, OptionError, TruncatedFileError, UnsupportedDataError
from stemzarr.formats.picture import reader as picture
from stemzarr.model import read_all
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader

Image = pytest.importorskip("PIL.Image")
tifffile = pytest.importorskip("tifffile")


def values(*shape: int, dtype: str = "u1", seed: int = 0) -> np.ndarray[Any, Any]:
    """Return an array in which hardly two values are equal."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


@pytest.mark.parametrize(
    ("suffix", "array", "channels"),
    [
        ("png", values(6, 8), 0),
        ("png", values(6, 8, dtype="u2"), 0),
        ("png", values(6, 8, 3), 3),
        ("png", values(6, 8, 4), 4),
        ("bmp", values(6, 8), 0),
        ("bmp", values(6, 8, 3), 3),
        ("ppm", values(6, 8, 3), 3),
        ("pgm", values(6, 8), 0),
        ("pcx", values(6, 8), 0),
    ],
)
def test_a_picture_keeps_values_and_colours(
    tmp_path: Path, suffix: str, array: np.ndarray[Any, Any], channels: int
) -> None:
    """What Pillow writes without loss comes back value by value."""
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(array).save(path)
    document = check_reader(path).document
    assert document.kind == "image"
    assert len(document.channels) == channels
    np.testing.assert_array_equal(read_all(document.blocks), array)
    assert not any(axis.calibrated for axis in document.axes)


def test_one_colour_alone_is_no_grey(tmp_path: Path) -> None:
    """A picture whose green and blue are equal keeps its red."""
    array = np.zeros((6, 8, 3), "u1")
    array[..., 0] = values(6, 8)
    Image.fromarray(array).save(tmp_path / "red.png")
    document = check_reader(tmp_path / "red.png").document
    assert document.channels == ("red", "green", "blue")
    np.testing.assert_array_equal(read_all(document.blocks), array)


def test_equal_colours_are_grey_and_said(tmp_path: Path) -> None:
    """Grey values saved as colours are one channel, and a note says so."""
    grey = values(6, 8)
    Image.fromarray(np.repeat(grey[..., None], 3, axis=-1)).save(tmp_path / "grey.png")
    source = check_reader(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_all(source.document.blocks), grey)
    assert "colours are equal" in source.notes[0]


def test_a_palette_and_transparency_become_colours(tmp_path: Path) -> None:
    """Pictures of a palette, or of grey and alpha, are the colours that they show."""
    picture_of_palette = Image.fromarray(values(6, 8, 3)).quantize(16)
    picture_of_palette.save(tmp_path / "p.png")
    shown = np.asarray(picture_of_palette.convert("RGB"))
    np.testing.assert_array_equal(read_all(read_source(tmp_path / "p.png").document.blocks), shown)
    Image.fromarray(values(6, 8, 2)).save(tmp_path / "la.png")
    document = read_source(tmp_path / "la.png").document
    assert document.channels == ("red", "green", "blue", "alpha")
    np.testing.assert_array_equal(read_all(document.blocks)[..., 2:], values(6, 8, 2))


def test_an_animation_is_a_stack(tmp_path: Path) -> None:
    """Every frame of a .gif is read, and they are a stack."""
    frames = [Image.fromarray(values(6, 8, seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    document = check_reader(tmp_path / "a.gif").document
    assert document.kind == "stack"
    expected = np.stack([np.asarray(frame) for frame in frames])
    got = read_all(document.blocks)
    np.testing.assert_array_equal(got if got.ndim == 3 else got[..., 0], expected)


def deep_png() -> bytes:
    """Return a .png with colours of 16 bits."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    lines = b"".join(b"\0" + bytes(range(24)) for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.png", deep_png()), ("a.ppm", b"P6 # sixteen\n2 1\n65535\n" + bytes(range(12)))],
)
def test_bits_are_not_dropped_in_silence(tmp_path: Path, name: str, content: bytes) -> None:
    """Colours of 16 bits, of which Pillow keeps 8, are refused with a way out."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnsupportedDataError, match=r"16 bits.*TIFF"):
        read_source(tmp_path / name)


def test_a_picture_beyond_the_budget_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that unpacks to more than is read whole is refused before it is decoded."""
    Image.fromarray(values(60, 80)).save(tmp_path / "a.png")
    monkeypatch.setattr(picture, "WHOLE_BYTES", 1000)
    with pytest.raises(UnsupportedDataError, match="19200 bytes, more than the 1000"):
        read_source(tmp_path / "a.png")


def test_a_damaged_picture_is_an_error_of_ours(tmp_path: Path) -> None:
    """A picture that is cut off is refused."""
    Image.fromarray(values(60, 80)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptFileError):
        read_source(tmp_path / "a.png")


SCAN = values(4, 5, 16, 12, dtype="u2")


def write_hyperstack(
    path: Path, array: np.ndarray[Any, Any], axes: str, **metadata: object
) -> None:
    """Write an ImageJ hyperstack of 50 pixels per unit along x, 40 along y."""
    told = {"axes": axes, **metadata}
    tifffile.imwrite(path, array, imagej=True, resolution=(50.0, 40.0), metadata=told)


def test_a_hyperstack_is_a_scan_by_its_shape(tmp_path: Path) -> None:
    """4D in a TIFF file is a scan like that of an .npy file, with the units that ImageJ wrote."""
    write_hyperstack(tmp_path / "a.tif", SCAN, "TZYX", unit="nm", spacing=0.5)
    document = check_reader(tmp_path / "a.tif").document
    assert document.dims == ("scan_y", "scan_x", "det_y", "det_x")
    assert document.layout is not None
    assert (document.layout.order, document.layout.confidence) == ("detector-fast", "low")
    np.testing.assert_array_equal(read_all(document.blocks), SCAN)
    assert [axis.units for axis in document.axes] == ["pixel", "nm", "nm", "nm"]
    assert [axis.scale for axis in document.axes] == pytest.approx([1.0, 0.5, 0.025, 0.02])


@pytest.mark.parametrize("unit", ["nm", "\\u00B5m", "micron", "mm"])
def test_imagejs_unit_is_read(tmp_path: Path, unit: str) -> None:
    """The unit of an image is that of ImageJ, whatever it is; none is no calibration."""
    expected = {"nm": "nm", "mm": "mm"}.get(unit, "µm")
    write_hyperstack(tmp_path / "a.tif", SCAN[0, 0], "YX", unit=unit)
    y, x = check_reader(tmp_path / "a.tif").document.axes
    assert (y.units, x.units) == (expected, expected)
    assert (y.scale, x.scale) == pytest.approx((0.025, 0.02))
    write_hyperstack(tmp_path / "b.tif", SCAN[0, 0], "YX")
    assert not any(axis.calibrated for axis in read_source(tmp_path / "b.tif").document.axes)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_stack_takes_a_scan_shape(
    tmp_path: Path, compression: str | None, byteorder: str
) -> None:
    """Frames of a TIFF file become a scan by --scan-shape, packed or not, in any byte order."""
    stack = SCAN.reshape(20, 16, 12)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, compression=compression, byteorder=byteorder)
    assert check_reader(path).document.kind == "stack"
    document = check_reader(path, ReadOptions(scan_shape=(4, 5))).document
    assert document.kind == "4d-stem"
    np.testing.assert_array_equal(read_all(document.blocks), SCAN)
    with pytest.raises(OptionError, match="20"):
        read_source(path, ReadOptions(scan_shape=(3, 5)))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_of_a_tiff(tmp_path: Path, planar: str) -> None:
    """Colours keep their values, whether interleaved or plane by plane."""
    array = values(6, 8, 3)
    stored = array if planar == "contig" else np.moveaxis(array, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    document = check_reader(tmp_path / "a.tif").document
    assert document.channels == ("red", "green", "blue")
    np.testing.assert_array_equal(read_all(document.blocks), array)


def test_ome_sizes_are_read(tmp_path: Path) -> None:
    """OME's physical sizes and their units calibrate the axes, each its own."""
    metadata = {
        "axes": "ZYX",
        "PhysicalSizeX": 0.25,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.5,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 3.0,
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", SCAN[0], ome=True, metadata=metadata)
    axes = check_reader(tmp_path / "a.ome.tif").document.axes
    assert [(axis.scale, axis.units) for axis in axes] == [(3.0, "µm"), (0.5, "nm"), (0.25, "nm")]


def test_pixels_for_print_are_no_calibration(tmp_path: Path) -> None:
    """Pixels per cm calibrate nothing, and a note says so."""
    tifffile.imwrite(tmp_path / "a.tif", SCAN[0, 0], resolution=(118, 118), resolutionunit=3)
    document = check_reader(tmp_path / "a.tif").document
    assert not any(axis.calibrated for axis in document.axes)
    assert "118 pixels per cm" in document.notes[-1]


@pytest.mark.parametrize("imagej", [False, True])
@pytest.mark.parametrize("missing", [100, 3000])
@pytest.mark.parametrize("described", [True, False])
def test_a_cut_tiff_is_refused(tmp_path: Path, missing: int, imagej: bool, described: bool) -> None:
    """A file that ends before its last page does is refused, never given as fewer pages.

    However often it is asked for: tifffile warns of a list of pages that is cut only once.
    """
    path = tmp_path / "a.tif"
    more = {} if described or imagej else {"metadata": None}
    tifffile.imwrite(path, SCAN.reshape(20, 16, 12), imagej=imagej, **more)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - missing)
    for _ in range(3):
        with pytest.raises(TruncatedFileError):
            read_source(path)


def test_pages_of_several_sizes_are_several_documents(tmp_path: Path) -> None:
    """Images of different sizes in one file are a document each."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(SCAN[0, 0])
        writer.write(SCAN[:, :, 0, 0])
    source = check_reader(tmp_path / "a.tif")
    assert [one.shape for one in source.documents] == [(16, 12), (4, 5)]
    np.testing.assert_array_equal(read_all(source.documents[1].blocks), SCAN[:, :, 0, 0])


def test_a_tiff_by_hyperspy_keeps_its_calibration(tmp_path: Path) -> None:
    """Scale, offset and units that RosettaSciIO writes come back, those of the slices too."""
    writer = pytest.importorskip("rsciio.tiff").file_writer
    described = [
        {
            "name": name,
            "size": size,
            "scale": scale,
            "offset": offset,
            "units": "nm",
            "navigate": nav,
        }
        for name, size, scale, offset, nav in (
            ("z", 4, 0.5, 0.0, True),
            ("y", 16, 0.2, 3.0, False),
            ("x", 12, 0.1, -1.0, False),
        )
    ]
    signal = {"data": SCAN[:, 0], "axes": described, "metadata": {}, "original_metadata": {}}
    writer(str(tmp_path / "a.tif"), signal)
    axes = check_reader(tmp_path / "a.tif").document.axes
    assert [axis.units for axis in axes] == ["nm", "nm", "nm"]
    assert [axis.scale for axis in axes] == pytest.approx([0.5, 0.2, 0.1])
    assert [axis.offset for axis in axes[1:]] == pytest.approx([3.0, -1.0])
