"""Raw pixels equal what numpy finds in the same bytes, however they are laid out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemzarr.errors import SourceChangedError
from stemzarr.model import ArrayBlocks, read_box
from stemzarr.pixels.partial import SpreadBlocks
from stemzarr.pixels.raw import RawBlocks
from stemzarr.storage.objects import Stamp


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6)),
    dtype=st.sampled_from(["|u1", "<u2", ">u2", ">f4", "<c8", ">i8"]),
    offset=st.integers(0, 9),
    gap=st.integers(0, 40_000),
    flipped=st.booleans(),
    transposed=st.booleans(),
    data=st.data(),
)
def test_frames_behind_headers_are_read_as_numpy_reads_them(  # noqa: PLR0917 - what may vary
    tmp_path: Path,
    shape: tuple[int, int, int],
    dtype: str,
    offset: int,
    gap: int,
    flipped: bool,
    transposed: bool,
    data: st.DataObject,
) -> None:
    """At any place, of any byte order, with anything between the frames, from any side."""
    stored = np.dtype(dtype)
    stride = int(np.prod(shape[1:])) * stored.itemsize + gap
    content = np.random.default_rng(0).integers(0, 100, offset + shape[0] * stride, np.uint8)
    (tmp_path / "raw").write_bytes(content.tobytes())
    natural = np.empty(shape[1:], stored).strides
    whole = np.ndarray(shape, stored, content.tobytes(), offset, (stride, *natural))
    whole = whole[:, ::-1] if flipped else whole
    blocks = RawBlocks(
        path=tmp_path / "raw",
        stamp=Stamp.of(tmp_path / "raw"),
        offset=offset,
        disk_shape=shape,
        stored=stored,
        stride=stride,
        flipped=flipped,
    )
    start = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    size = tuple(data.draw(st.integers(1, n - a)) for a, n in zip(start, shape, strict=True))
    wanted = whole[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))]
    out = np.empty(size[::-1], blocks.dtype).T if transposed else np.empty(size, blocks.dtype)
    blocks.read_into(out, start)
    np.testing.assert_array_equal(out, wanted)
    assert blocks.dtype.byteorder in "<|="


def test_a_file_that_changed_is_not_read(tmp_path: Path) -> None:
    """Other bytes under the same name, or another time, are no longer what was recognised."""
    path = tmp_path / "raw"
    path.write_bytes(bytes(8))
    blocks = RawBlocks(
        path=path, stamp=Stamp.of(path), offset=0, disk_shape=(8,), stored=np.dtype("u1")
    )
    read_box(blocks, (0,), (8,))
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceChangedError, match="changed since it was recognised"):
        read_box(blocks, (0,), (8,))


@given(data=st.data())
def test_parts_with_gaps_are_an_array_with_zeros(data: st.DataObject) -> None:
    """Whatever is cut from it, and whatever box is read."""
    gaps = data.draw(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=1))
    whole = np.zeros((sum(map(sum, gaps)) + 2, 3), np.uint8)
    parts, place = [], 0
    for gap, size in gaps:
        place += gap
        whole[place : place + size] = place + 1
        parts.append((place, ArrayBlocks(whole[place : place + size].copy())))
        place += size
    first = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(first + 1, len(whole)))
    blocks = SpreadBlocks(parts=tuple(parts), frames=len(whole)).cut(first, end)
    low = data.draw(st.integers(0, end - first - 1))
    high = data.draw(st.integers(low + 1, end - first))
    out = np.full((high - low, 2), 99, np.uint8)
    blocks.read_into(out, (low, 1))
    np.testing.assert_array_equal(out, whole[first:end][low:high, 1:])
    np.testing.assert_array_equal(blocks.valid(), whole[first:end, 0] > 0)
