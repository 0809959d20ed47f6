"""Damaged files: whatever the bytes are, only our own errors come out, and never much memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import CorruptFileError, StemzarrError
from stemzarr.formats.dm.reader import read_dm
from stemzarr.model import read_box
from stemzarr.options import ReadOptions
from stemzarr.testing import DMAxis, DMImage, microscope_tags, write_dm

OPTIONS = [
    ReadOptions(),
    ReadOptions(salvage=True),
    ReadOptions(salvage=True, scan_shape=(2, 3)),
    ReadOptions(layout="scan-fast"),
]


@pytest.fixture(scope="module", params=[(3, True), (4, True), (4, False)])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a small file with all that files hold."""
    version, little = request.param
    path = tmp_path_factory.mktemp("fuzz") / "x.dm4"
    tags = {**microscope_tags((2, 3)), "Big": np.arange(20_000.0), "Pairs": np.zeros(3, "u1,f4")}
    images = [
        DMImage(data=np.ones((2, 3, 4, 5), "u2"), axes=(DMAxis(units="nm"),), tags=tags),
        DMImage(data=np.ones((4, 6), "c8"), packed=True),
        DMImage(data=np.ones((3, 3), "u1"), unique_id=(1, 2, 3, 4)),
    ]
    write_dm(
        path, images, version=version, little_endian=little, thumbnail=np.ones((4, 4, 4), "u1")
    )
    return path.read_bytes()


def read_all(path: Path, options: ReadOptions) -> None:
    """Read all that a file holds; only our own errors may come out, on one line each."""
    message = str(path)
    try:
        source = read_dm(path, options)
        source.load_header()
        source.load_metadata()
        for document in source.documents:
            if document.nbytes < 10**7:
                read_box(document.blocks, (0,) * len(document.shape), document.shape)
                for axis in document.axes:
                    axis.attributes()
    except StemzarrError as error:
        message = str(error)
    assert str(path) in message
    assert "\n" not in message


@given(data=st.data())
@settings(max_examples=120)
def test_damage_gives_our_errors(tmp_path: Path, whole: bytes, data: st.DataObject) -> None:
    """Bytes that were flipped, overwritten, removed or inserted give documents or our errors."""
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["flip", "fill", "remove", "insert", "length"]))
        if kind == "flip":
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "fill":
            content[at : at + 8] = bytes([data.draw(st.sampled_from([0, 1, 20, 21, 255]))]) * 8
        elif kind == "remove":
            del content[at : at + data.draw(st.integers(1, 40))]
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(min_size=1, max_size=40))
        else:
            content[at : at + 8] = data.draw(st.integers(0, 2**63)).to_bytes(8, "big")
    path = tmp_path / "damaged.dm4"
    path.write_bytes(content)
    read_all(path, data.draw(st.sampled_from(OPTIONS)))


@given(content=st.binary(max_size=400))
@settings(max_examples=60)
def test_noise_gives_our_errors(tmp_path: Path, content: bytes) -> None:
    """Noise behind the first bytes of a DM file is not an image."""
    path = tmp_path / "noise.dm4"
    path.write_bytes(b"\x00\x00\x00\x04" + content)
    with pytest.raises(StemzarrError):
        read_dm(path, ReadOptions())


@pytest.mark.parametrize("length", [2**31, 2**40, 2**63])
def test_lengths_are_checked_before_anything_is_allocated(tmp_path: Path, length: int) -> None:
    """A length of terabytes costs no memory, wherever it stands."""
    path = tmp_path / "x.dm4"
    write_dm(path, DMImage(data=np.ones((4, 4), "u2"), tags={"Text": "text"}), thumbnail=False)
    whole = path.read_bytes()
    wide = length.to_bytes(8, "big")
    tracemalloc.start()
    for at in range(16, len(whole) - 8, 29):
        path.write_bytes(whole[:at] + wide + whole[at + 8 :])
        read_all(path, ReadOptions())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20


def test_depth_is_bounded(tmp_path: Path) -> None:
    """Groups nested without end are corruption, not a stack overflow."""
    tree: dict = {}
    for _ in range(100):
        tree = {"deeper": tree}
    path = tmp_path / "deep.dm4"
    write_dm(path, DMImage(data=np.ones((4, 4), "u2"), tags=tree))
    with pytest.raises(CorruptFileError, match="nested"):
        read_dm(path, ReadOptions())
