"""Header and canonical pixels make up the file again, for every form that DM files have."""

from pathlib import Path

import numpy as np
import pytest

from stemzarr.formats.dm.reader import read_dm
from stemzarr.model import ArrayBlocks, Source, read_all
from stemzarr.options import ReadOptions
from stemzarr.pixels.segments import iterate_segment
from stemzarr.testing import DMImage, write_dm, write_synthetic_dm4

NAN = np.array([0x7FC00001, 0xFF800123, 0x7F800000, 0x80000000], "u4").view("f4").reshape(2, 2)
"""NaNs that differ in their payload, an infinity and a negative zero."""


def rebuild(source: Source, memory: int) -> bytes:
    """Return a file made of its header and its pixels, which are held in memory in between."""
    header, whole, at = source.load_header(), bytearray(source.size), 0
    for start, nbytes in [*((s.offset, s.nbytes) for s in source.segments), (source.size, 0)]:
        whole[at:start], header = header[: start - at], header[start - at :]
        at = start + nbytes
    for segment in source.segments:
        blocks = source.find(segment.document).blocks
        held = ArrayBlocks(read_all(blocks))
        for offset, piece in iterate_segment(held, segment, memory=memory):
            whole[offset : offset + len(piece)] = piece
    return bytes(whole)


@pytest.mark.parametrize("memory", [1, 3000, 10**8])
@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize("version", [3, 4])
def test_every_form_of_file_is_rebuilt(
    tmp_path: Path, version: int, little_endian: bool, memory: int
) -> None:
    """Both layouts, colour, packed planes, NaN payloads, both byte orders."""
    rng = np.random.default_rng(0)
    plane = np.fft.fftshift(np.fft.fft2(rng.normal(size=(5, 6))))
    images = [
        DMImage(data=rng.integers(0, 9, (3, 4, 5, 6), "u2"), swapped=True),
        DMImage(data=rng.integers(0, 9, (3, 4, 5, 6), "i4"), swapped=False, layout="scan-fast"),
        DMImage(
            data=rng.normal(size=(3, 4, 7)),
            kind="spectrum-image",
            layout="scan-fast",
            format="Spectrum image",
        ),
        DMImage(data=plane.astype("c16"), packed=True),
        DMImage(data=plane.astype("c8")),
        DMImage(data=NAN),
        DMImage(data=np.array([[True, False]])),
        DMImage(data=rng.normal(size=(6, 6)).astype("f4"), code=5),
        DMImage(data=rng.integers(0, 9, (4, 4), "u2"), code=99),
    ]
    path = tmp_path / "x.dm"
    write_dm(path, images, version=version, little_endian=little_endian, header_extra=4)
    assert rebuild(read_dm(path, ReadOptions()), memory) == path.read_bytes()


def test_a_trailer_of_any_kind_is_kept(tmp_path: Path) -> None:
    """What stands behind the tree is part of the header."""
    path = tmp_path / "x.dm4"
    write_synthetic_dm4(path, (3, 3), (8, 8))
    whole = path.read_bytes()
    for content in (whole[:-8], whole[:-3], whole + b"and more"):
        path.write_bytes(content)
        assert rebuild(read_dm(path, ReadOptions()), 10**6) == content
