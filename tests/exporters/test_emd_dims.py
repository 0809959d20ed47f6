"""The vectors of dims in EMD files, as emdfile extends them."""

from __future__ import annotations

from collections.abc import Callable

import h5py
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stemzarr.formats.emd.writer import write_emd
from stemzarr.model import ArrayBlocks, Axis, Document, dims_of_kind
from stemzarr.registry import ExportRequest

emdfile = pytest.importorskip("emdfile")

MakeRequest = Callable[..., ExportRequest]


@settings(max_examples=60)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 4),
    scale=st.floats(1e-6, 1e3),
    offset=st.floats(-1e3, 1e3),
    sign=st.sampled_from([1, -1]),
)
@example(shape=(3, 3, 3, 3), scale=2.2, offset=1.1, sign=1)
@example(shape=(1, 1, 1, 1), scale=0.1, offset=0.7, sign=1)
def test_emdfile_counts_the_pixels_of_every_dim(
    make_request: MakeRequest,
    shape: tuple[int, ...],
    scale: float,
    offset: float,
    sign: int,
) -> None:
    """However scale and offset round, a dim has as many values as pixels, and tells its scale."""
    axes = tuple(
        Axis(name=name, size=size, scale=sign * scale, offset=offset, units="mm")
        for name, size in zip(dims_of_kind("array", 4), shape, strict=True)
    )
    blocks = ArrayBlocks(np.zeros(shape, np.uint8))
    document = Document(index=0, slug="a", title="a", kind="array", axes=axes, blocks=blocks)
    request = make_request(document, "a.emd")
    write_emd(request)
    array = emdfile.read(request.dest)
    for place, axis in enumerate(axes):
        assert len(array.dims[place]) == axis.size
        np.testing.assert_allclose(array.dims[place], axis.values(), rtol=1e-9, atol=1e-9)
        with h5py.File(request.dest) as file:
            first, second = file["stemzarr_root/a"][f"dim{place}"][:2]
        assert second - first == pytest.approx(axis.scale, rel=1e-6, abs=1e-12)
