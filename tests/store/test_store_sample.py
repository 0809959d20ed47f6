"""What a few chunks tell before an ingest is what comes of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import stemzarr
from stemzarr.model import LayoutOrder, Source
from stemzarr.options import Codec, IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import expected_bytes, plan_store, write_store
from stemzarr.store.format.plan import ArrayPlan
from stemzarr.store.ingest.sample import _spread_chunks
from stemzarr.testing import DMImage, write_dm, write_synthetic_dm4


@pytest.mark.parametrize("codec", ["zstd", "lz4", "none"])
@pytest.mark.parametrize("layout", ["detector-fast", "scan-fast"])
def test_it_is_close_to_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: Codec, layout: str
) -> None:
    """A few chunks tell the size of all shards within a fifth, whatever the codec."""
    monkeypatch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", 2**16)
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


def noise(shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Return what a camera gives whose dark image was not subtracted."""
    return np.random.default_rng(0).normal(400, 6, shape).round().astype(np.uint16)


def counts(shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Return counted electrons, most of them zero."""
    return np.random.default_rng(0).poisson(0.05, shape).astype(np.uint16)


def stored_shuffle(store: Path) -> str:
    """Return how the main pixels of a store are shuffled."""
    node = json.loads((store / "intensity" / "zarr.json").read_text())
    (chain,) = [codec["configuration"]["codecs"] for codec in node["codecs"]]
    return str(chain[1]["configuration"]["shuffle"])


@pytest.mark.parametrize(
    ("make", "shuffle"), [(noise, "shuffle"), (counts, "bitshuffle")], ids=["noise", "counts"]
)
def test_the_smaller_shuffle_is_chosen_and_read_by_others(
    tmp_path: Path, make_source: Callable[..., Source], make: Any, shuffle: str
) -> None:
    """Bytes of noise and bits of counts are shuffled, and zarr and tensorstore read both."""
    values = make((4, 6, 48, 48))
    store = tmp_path / "x.zarr"
    write_store(make_source(values), store, IngestOptions(sync=False))
    assert stored_shuffle(store) == shuffle
    np.testing.assert_array_equal(zarr.open_array(store / "intensity", mode="r")[...], values)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(store / "intensity")}}
    theirs = tensorstore.open(spec, open=True).result().read().result()
    np.testing.assert_array_equal(theirs, values)
    np.testing.assert_array_equal(stemzarr.open(store).intensity.values, values)


@pytest.mark.parametrize("layout", ["detector-fast", "scan-fast"])
def test_the_choice_outlives_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: LayoutOrder
) -> None:
    """An ingest that continues encodes as it began, whichever shards are missing."""
    monkeypatch.setattr("stemzarr.store.format.plan._LEAST_SHARD", 2**16)
    monkeypatch.setattr("stemzarr.store.format.plan._SHARD_PATTERNS", 1)
    monkeypatch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", 2**16)
    scan = DMImage(data=noise((12, 24, 32, 32)), layout=layout, swapped=layout == "detector-fast")
    write_dm(tmp_path / "scan.dm4", [scan])
    source, options = read_source(tmp_path / "scan.dm4"), IngestOptions(sync=False, threads=1)
    whole, torn = tmp_path / "whole.zarr", tmp_path / "torn.zarr"
    write_store(source, whole, options)

    def stop(done: int, total: int) -> None:
        if 4 * done > 3 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(source, torn, options, stop)
    assert write_store(source, torn, options).status == "resumed"
    assert stored_shuffle(torn) == "shuffle"
    shards = sorted(path.relative_to(whole) for path in (whole / "intensity/c").rglob("*/*/*/*"))
    assert len(shards) > 1
    for shard in shards:
        assert (torn / shard).read_bytes() == (whole / shard).read_bytes()


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
    boxes = _spread_chunks(plan)
    chunks = math.prod(math.ceil(n / c) for n, c in zip(shape, chunk, strict=True))
    assert len({start for start, _ in boxes}) == len(boxes) == min(4, chunks)
    for start, size in boxes:
        for a, n, c, whole in zip(start, size, chunk, shape, strict=True):
            assert a % c == 0
            assert n == min(c, whole - a) > 0
