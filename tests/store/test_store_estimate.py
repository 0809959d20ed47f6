"""What a dry run expects is what an ingest writes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.model import Source
from stemzarr.options import Codec, IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import expected_bytes, plan_store, write_store
from stemzarr.store.estimate import _spread_chunks
from stemzarr.store.plan import ArrayPlan
from stemzarr.testing import write_synthetic_dm4


@pytest.mark.parametrize("codec", ["zstd", "lz4", "none"])
@pytest.mark.parametrize("layout", ["detector-fast", "scan-fast"])
def test_it_is_close_to_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: Codec, layout: str
) -> None:
    """A few chunks tell the size of all shards within a fifth, whatever the codec."""
    monkeypatch.setattr("stemzarr.store.plan.CHUNK_BYTES", 2**16)
    path, store = tmp_path / "scan.dm4", tmp_path / "x.zarr"
    write_synthetic_dm4(path, (12, 24), (32, 32), layout=layout)  # type: ignore[arg-type]
    source = read_source(path)
    options = IngestOptions(codec=codec, sync=False)
    wanted = expected_bytes(source, plan_store(source, options))
    write_store(source, store, options)
    pixels = [file for file in store.rglob("intensity/c/**/*") if file.is_file()]
    assert wanted == pytest.approx(sum(f.stat().st_size for f in pixels), rel=0.2)


def test_nothing_is_expected_of_nothing(make_source: Callable[..., Source]) -> None:
    """Empty scans and virtual stores take no room for pixels."""
    empty = make_source(np.zeros((3, 0, 4, 4), "u2"))
    assert expected_bytes(empty, plan_store(empty, IngestOptions())) == 0
    full = make_source(np.ones((3, 2, 4, 4), "u2"))
    assert expected_bytes(full, plan_store(full, IngestOptions(virtual=True))) == 0
    assert expected_bytes(full, plan_store(full, IngestOptions())) > 0


@given(
    shape=st.tuples(*[st.integers(1, 40)] * 4),
    lengths=st.tuples(*[st.integers(1, 40)] * 2),
)
def test_chunks_are_spread_and_lie_within(
    shape: tuple[int, int, int, int], lengths: tuple[int, int]
) -> None:
    """At most four different chunks, each on the grid and within the array."""
    chunk = (*(min(n, size) for n, size in zip(lengths, shape, strict=False)), *shape[2:])
    plan = ArrayPlan(
        document=0,
        slug="scan",
        path="intensity",
        shape=shape,
        dtype="<u2",
        pattern_ndim=2,
        chunk=chunk,
        shard=chunk,
        box=chunk,
    )
    boxes = _spread_chunks(plan, 4)
    chunks = math.prod(math.ceil(n / c) for n, c in zip(shape, chunk, strict=True))
    assert len({start for start, _ in boxes}) == len(boxes) == min(4, chunks)
    for start, size in boxes:
        for a, n, c, whole in zip(start, size, chunk, shape, strict=True):
            assert a % c == 0
            assert n == min(c, whole - a) > 0
