"""The plan is pure: whole patterns, equal parts, a uniform grid, whatever the budget."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from stemzarr.model import Layout
from stemzarr.options import IngestOptions
from stemzarr.store import plan_store
from stemzarr.store.format.plan import ArrayPlan, chunk_shape, shard_shape
from stemzarr.testing.sources import document_of, source_of

MIB = 1024**2
SCANS = st.tuples(
    st.integers(1, 600), st.integers(1, 600), st.integers(1, 4096), st.integers(1, 4096)
)


def plan_of(
    folder: Path,
    shape: tuple[int, ...],
    dtype: str = "u2",
    *,
    order: str = "detector-fast",
    **rest: int,
) -> tuple[ArrayPlan, int]:
    """Return the plan of a scan of any size (of one zero, repeated) and its threads."""
    values = as_strided(np.zeros(1, dtype), shape, (0,) * len(shape))
    layout = Layout(order=order)  # type: ignore[arg-type]
    source = source_of(folder / "source.bin", [document_of(values, layout=layout)])
    plan = plan_store(source, IngestOptions(**rest))
    return plan.arrays[0], plan.threads


@given(shape=SCANS, itemsize=st.sampled_from([1, 2, 4, 8, 16]))
def test_chunks_hold_whole_patterns_in_c_order(shape: tuple[int, ...], itemsize: int) -> None:
    """A chunk never splits a pattern, is one run in C order, and is small or one pattern."""
    chunk = chunk_shape(shape, itemsize, 2)
    assert chunk[2:] == shape[2:]
    assert chunk[0] == 1 or chunk[1] == shape[1]
    pattern = math.prod(shape[2:]) * itemsize
    assert math.prod(chunk) * itemsize <= max(MIB, pattern)


@given(shape=SCANS, itemsize=st.sampled_from([1, 2, 4, 8]))
def test_shards_are_whole_rows_or_parts_of_one(shape: tuple[int, ...], itemsize: int) -> None:
    """A shard is whole rows, or a part of one row; chunks divide it; it is 512 MiB at most."""
    chunk = chunk_shape(shape, itemsize, 2)
    shard = shard_shape(shape, itemsize, chunk, 2)
    assert all(s % c == 0 for s, c in zip(shard, chunk, strict=True))
    assert shard[1] >= shape[1] or shard[0] == chunk[0] == 1
    chunk_bytes = math.prod(chunk) * itemsize
    row_padding = math.ceil(shape[1] / chunk[1]) * chunk_bytes
    assert math.prod(shard) * itemsize <= max(512 * MIB, chunk_bytes) + row_padding


@given(shape=SCANS)
def test_padding_is_small(shape: tuple[int, ...]) -> None:
    """Equal parts: the last chunk and the last shard of a dim are nearly as full as the others."""
    chunk = chunk_shape(shape, 2, 2)
    shard = shard_shape(shape, 2, chunk, 2)
    for size, part in zip(shape, chunk, strict=True):
        assert math.ceil(size / part) * part - size < math.ceil(size / part)
    for size, part, unit in zip(shape, shard, chunk, strict=True):
        parts = math.ceil(size / part)
        assert parts * part - size < (parts + 1) * unit


@pytest.mark.parametrize("order", ["detector-fast", "scan-fast"])
@pytest.mark.parametrize(
    "shape", [(128, 128, 256, 256), (1, 4000, 64, 64), (512, 512, 256, 256), (64, 64, 2048, 2048)]
)
def test_the_budget_bounds_the_buffers_but_shapes_nothing(
    tmp_path: Path, shape: tuple[int, ...], order: str
) -> None:
    """Memory and threads change what is read at once, never chunks or shards."""
    plans = {
        plan_of(tmp_path, shape, order=order, memory=memory * MIB, threads=threads)
        for memory in (64, 512, 4096)
        for threads in (1, 2, 8)
    }
    assert len({(plan.chunk, plan.shard) for plan, _ in plans}) == 1
    for memory in (64, 512, 4096):
        for threads in (1, 2, 8):
            plan, granted = plan_of(
                tmp_path, shape, order=order, memory=memory * MIB, threads=threads
            )
            assert granted <= threads
            if granted > 1:
                assert granted * plan.box_bytes <= memory * MIB


def test_two_gigabytes_make_about_32_shards(tmp_path: Path) -> None:
    """The common scan of 2 GiB has enough shards for any machine, of whole rows."""
    plan, _ = plan_of(tmp_path, (128, 128, 256, 256))
    assert plan.shards == 32
    assert plan.shard[1:] == (128, 256, 256)


@pytest.mark.parametrize(
    "shape",
    [(1, 700, 10, 10), (300, 1, 2048, 2048), (7, 11, 10, 10), (2, 2, 20000, 20000), (1, 1, 1, 1)],
)
def test_boxes_and_chunks_tile_the_array(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Every value lies in one shard, one box of it, and one chunk of that; chunks in C order."""
    plan, _ = plan_of(tmp_path, shape, memory=16 * MIB)
    total = 0
    for number in range(plan.shards):
        chunks = [c for box in plan.boxes(number) for c in plan.chunks_of(box)]
        assert chunks == list(plan.chunks_of(plan.shard_box(number)))
        numbers = [plan.chunk_number(start) for start, _ in chunks]
        assert numbers == sorted(set(numbers))
        total += sum(math.prod(size) for _, size in chunks)
    assert total == math.prod(shape)


def test_the_description_is_json_with_what_to_expect(tmp_path: Path) -> None:
    """`--dry-run` shows shapes, memory, threads, size and time."""
    values = np.zeros((4, 4, 8, 8), "u2")
    source = source_of(tmp_path / "source.bin", [document_of(values)])
    described = json.loads(json.dumps(plan_store(source, IngestOptions()).describe()))
    assert described["arrays"][0]["chunk"] == [4, 4, 8, 8]
    assert described["source_bytes"] == values.nbytes
    assert described["expected_bytes"] < values.nbytes
    assert {"threads", "memory", "expected_seconds", "codec"} <= set(described)
