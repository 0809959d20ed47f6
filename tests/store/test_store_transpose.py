"""Scan-fast sources, split by shards through files beside the unfinished store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.errors import WriteError
from stemzarr.model import LayoutOrder, RotatedBlocks
from stemzarr.options import IngestOptions
from stemzarr.pixels.raw import RawBlocks
from stemzarr.registry import read_source
from stemzarr.storage.objects import Stamp
from stemzarr.store import write_store
from stemzarr.store.format.plan import ArrayPlan
from stemzarr.store.ingest import write as writing_module
from stemzarr.store.ingest.scan_fast import transpose
from stemzarr.store.ingest.task import Workspace
from stemzarr.testing import DMAxis, DMImage, write_dm

KIB = 1024
PATTERNS = (9, 7)
DETECTOR = (6, 8)
NM = DMAxis(scale=2.0, units="nm")
PER_NM = DMAxis(scale=0.1, units="1/nm")
AXES = (NM, NM, PER_NM, PER_NM)


def values_of(dtype: str, *, wide_rows: int) -> NDArray[Any]:
    """Return a scan whose first detector rows, `wide_rows` of them, do not fit into bytes."""
    values = np.random.default_rng(0).integers(0, 120, (*PATTERNS, *DETECTOR)).astype(dtype)
    if np.dtype(dtype).itemsize > 1:
        values[:, :, :wide_rows] *= values.dtype.type(250)
    return values


def scan_fast(folder: Path, values: NDArray[Any]) -> RawBlocks:
    """Return blocks over a file that keeps each pixel of all patterns together."""
    path = folder / "pixels.bin"
    path.write_bytes(b"head" + np.ascontiguousarray(values.transpose(2, 3, 0, 1)).tobytes())
    shape = (*values.shape[2:], *values.shape[:2])
    return RawBlocks(
        path=path, stamp=Stamp.of(path), offset=4, disk_shape=shape, stored=values.dtype, rotation=2
    )


def plan_of(values: NDArray[Any], shard: tuple[int, int]) -> ArrayPlan:
    """Return a plan with shards of some patterns."""
    lengths = (*shard, *values.shape[2:])
    return ArrayPlan(
        document=0,
        slug="x",
        path="intensity",
        shape=values.shape,
        dtype=values.dtype.newbyteorder("<").str,
        pattern_ndim=2,
        chunk=(1, shard[1], *values.shape[2:]),
        shard=lengths,
        box=lengths,
        transposed=True,
    )


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(["u1", "i1", "<u2", ">u2", "<i4", ">f4", "<f8", "<c8", "?"]),
    wide_rows=st.integers(0, 2),
    shard=st.tuples(st.integers(1, 9), st.integers(1, 7)),
    room=st.integers(1, 40 * KIB),
    data=st.data(),
)
def test_turned_shards_hold_the_values(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: str,
    wide_rows: int,
    shard: tuple[int, int],
    room: int,
    data: st.DataObject,
) -> None:
    """Any box of a wanted shard is that of the array, however little is read at once."""
    folder = tmp_path_factory.mktemp("transpose")
    values = values_of(dtype, wide_rows=wide_rows)
    source, plan = scan_fast(folder, values), plan_of(values, shard)
    assert isinstance(source, RotatedBlocks)
    wanted = data.draw(st.sets(st.integers(0, plan.shards - 1), min_size=1))
    transposed, tasks = transpose(source, folder / "transposed", plan, sorted(wanted), room)
    for task in tasks:
        task.run(Workspace())
    for number in wanted:
        start, shape = plan.shard_box(number)
        first = [data.draw(st.integers(0, n - 1)) for n in shape[:2]]
        size = [data.draw(st.integers(1, n - f)) for n, f in zip(shape[:2], first, strict=True)]
        corner = (start[0] + first[0], start[1] + first[1])
        out = np.empty((*size, *DETECTOR), transposed.dtype)
        transposed.read_into(out, (*corner, 0, 0))
        rows, columns = (slice(a, a + n) for a, n in zip(corner, size, strict=True))
        np.testing.assert_array_equal(out, values[rows, columns])


def test_counts_in_bytes_take_half_the_space(tmp_path: Path) -> None:
    """Pixels of 16 bits whose values fit into 8 are laid down in 8."""
    sizes = []
    for wide_rows in (0, DETECTOR[0]):
        folder = tmp_path / str(wide_rows)
        folder.mkdir()
        values = values_of("<u2", wide_rows=wide_rows)
        plan = plan_of(values, PATTERNS)
        transposed, tasks = transpose(
            scan_fast(folder, values), folder / "transposed", plan, [0], 10**6
        )
        for task in tasks:
            task.run(Workspace())
        sizes.append(sum(file.stat().st_size for file in transposed.folder.iterdir()))
    assert sizes[0] == sizes[1] / 2


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small scans into several shards."""
    monkeypatch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", KIB)
    monkeypatch.setattr("stemzarr.store.format.plan._LEAST_SHARD", 2 * KIB)
    monkeypatch.setattr("stemzarr.store.format.plan._SHARD_PATTERNS", 1)


def dm4_of(path: Path, layout: LayoutOrder) -> Path:
    """Write a scan in one of the two orders."""
    image = DMImage(
        data=values_of("u2", wide_rows=1),
        layout=layout,
        swapped=layout == "detector-fast",
        axes=AXES,
    )
    write_dm(path, [image])
    return path


def shards_of(store: Path) -> dict[str, bytes]:
    """Return the bytes of all shards of the main document."""
    folder = store / "intensity" / "c"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("space", [True, False])
def test_both_layouts_make_the_same_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, space: bool
) -> None:
    """A scan gives the same bytes in both orders, also where the disk has no space for more."""
    monkeypatch.setattr(writing_module, "has_space", lambda _folder, _nbytes: space)
    found = []
    orders: tuple[LayoutOrder, ...] = ("detector-fast", "scan-fast")
    for layout in orders:
        path = dm4_of(tmp_path / f"{layout}.dm4", layout)
        write_store(read_source(path), tmp_path / f"{layout}.zarr", IngestOptions(sync=False))
        found.append(shards_of(tmp_path / f"{layout}.zarr"))
    assert len(found[0]) > 2
    assert found[0] == found[1]


@pytest.mark.usefixtures("small_shards")
def test_a_failure_leaves_no_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk is full while a source is transposed, nothing of it is kept."""
    path = dm4_of(tmp_path / "x.dm4", "scan-fast")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stemzarr.store.ingest.scan_fast.transpose_into", fail)
    with pytest.raises(WriteError, match="No space left"):
        write_store(read_source(path), tmp_path / "x.zarr", IngestOptions(sync=False))
    left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert left <= {"x.dm4", ".x.zarr.lock"}
