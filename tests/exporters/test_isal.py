"""Checksums and streams that zlib, which is not ours, finds right."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.formats.hdf5.writer import _compress
from stemzarr.formats.writing.isal import crc32, crc32_combine, deflate


@given(st.binary(max_size=3000), st.integers(0, 200_000))
def test_a_stream_unpacks_to_its_bytes_and_the_zeros_behind_them(
    content: bytes, zeros: int
) -> None:
    """Zeros that were never compressed count in the stream's checksum like all others."""
    stream = deflate(np.frombuffer(content, np.uint8), zeros)
    assert zlib.decompress(stream) == content + bytes(zeros)


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_checksums_are_those_of_zlib(first: bytes, second: bytes) -> None:
    """Also that of two runs, from each of them alone."""
    parts = [crc32(memoryview(part)) for part in (first, second)]
    assert parts == [zlib.crc32(part) for part in (first, second)]
    assert crc32_combine(*parts, len(second)) == zlib.crc32(first + second)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i8", "f4", "f8", "c16", "?"])
@given(st.integers(0, 2**31), st.integers(0, 40))
def test_a_chunk_is_what_the_filters_of_hdf5_make_of_it(dtype: str, seed: int, bits: int) -> None:
    """All first bytes of the values come first, whether high bytes are used or not."""
    values = np.random.default_rng(seed).integers(0, 2**bits, (3, 50)).astype(dtype)
    planes = values.reshape(-1).view(np.uint8).reshape(-1, values.itemsize).T
    assert zlib.decompress(_compress(values)) == planes.tobytes()
