"""Training straight from documents and stores: right patterns, each once, each block once."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import pickle
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import stemzarr
from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.model import ArrayBlocks, Axis, Document, Source, dims_of_kind, read_all
from stemzarr.options import IngestOptions
from stemzarr.store import write_store
from stemzarr.views import View, apply, measure_document

torch = pytest.importorskip("torch")

from stemzarr.torch import (  # noqa: E402 - needs torch
    PatternDataset,
    PatternSampler,
    make_loader,
)

SHAPE = (9, 14, 8, 10)
COUNTS = np.random.default_rng(4).poisson(1.0, SHAPE).astype(np.uint16)
# every pattern can be told from the others by its first pixels
COUNTS[..., 0, 0] = np.arange(9)[:, np.newaxis]
COUNTS[..., 0, 1] = np.arange(14)


@dataclasses.dataclass(frozen=True)
class TiledBlocks(ArrayBlocks):
    """An array in blocks, that counts how often each block is read."""

    block: tuple[int, ...] = (1, 4, 8, 10)
    reads: Counter[tuple[int, ...]] = dataclasses.field(default_factory=Counter)
    lock: Any = dataclasses.field(default_factory=threading.Lock)

    @property
    def block_shape(self) -> tuple[int, ...]:
        return self.block

    def read_into(self, out: NDArray[Any], start: Any) -> None:
        spans = [
            range(a // b, -(-(a + n) // b))
            for a, n, b in zip(start, out.shape, self.block, strict=True)
        ]
        with self.lock:
            for y in spans[0]:
                self.reads.update((y, x) for x in spans[1])
        super().read_into(out, start)


@dataclasses.dataclass(frozen=True)
class ArrayUnits(ArrayBlocks):
    """An array in blocks, that can be sent to another process."""

    block: tuple[int, ...]

    @property
    def block_shape(self) -> tuple[int, ...]:
        return self.block


def scan(values: NDArray[Any] = COUNTS, **fields: Any) -> Document:
    """Return a 4D document in small blocks."""
    axes = tuple(
        Axis(name=name, size=size)
        for name, size in zip(dims_of_kind("4d-stem", 4), values.shape, strict=True)
    )
    given: dict[str, Any] = {"blocks": ArrayBlocks(values)} | fields
    return Document(index=0, slug="scan", title="scan", kind="4d-stem", axes=axes, **given)


@pytest.fixture(autouse=True)
def workers_are_gone() -> Iterator[None]:
    """Let the loaders of a test end their workers."""
    yield
    gc.collect()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store of the counts."""
    document = scan()
    source = Source(
        path=tmp_path / "scan.dm4",
        format="dm4",
        size=0,
        modified_ns=0,
        documents=(document,),
        main=0,
    )
    (tmp_path / "scan.dm4").touch()
    source = dataclasses.replace(source, modified_ns=(tmp_path / "scan.dm4").stat().st_mtime_ns)
    write_store(source, tmp_path / "scan.zarr", IngestOptions())
    return tmp_path / "scan.zarr"


def values_of(document: Document) -> NDArray[Any]:
    """Return all patterns of a document, (N, 1, det_y, det_x)."""
    values = read_all(document.blocks)
    return values.reshape(-1, 1, *values.shape[2:])


def numbers_of(batches: Any) -> list[int]:
    """Return which pattern of the scan each pattern of some batches is."""
    patterns = torch.cat(list(batches)).numpy()[:, 0]
    return [int(p[0, 0]) * SHAPE[1] + int(p[0, 1]) for p in patterns]


@pytest.mark.parametrize("how", ["mask", "median"])
@pytest.mark.parametrize("factor", [1, 2])
def test_bad_pixels_are_mended_before_all_else(tmp_path: Path, how: Any, factor: int) -> None:
    """A batch of a store has the values of the mended scan, those found by the ingest too."""
    values = np.random.default_rng(0).poisson(9, (6, 8, 12, 16)).astype(np.uint16)
    values[..., 4, 6] = 0
    values[..., 8, 3] = 9000
    (tmp_path / "scan.dm4").touch()
    source = Source(
        path=tmp_path / "scan.dm4",
        format="dm4",
        size=0,
        modified_ns=(tmp_path / "scan.dm4").stat().st_mtime_ns,
        documents=(scan(values),),
        main=0,
    )
    write_store(source, tmp_path / "scan.zarr", IngestOptions(sync=False))
    view = View(bad_pixels=how, downsample=factor, reduce="sum" if factor > 1 else "mean")
    expected = values.astype(float)
    for y, x in ((4, 6), (8, 3)):
        near = np.delete(values[..., y - 1 : y + 2, x - 1 : x + 2].reshape(6, 8, 9), 4, axis=-1)
        expected[..., y, x] = np.sort(near, axis=-1)[..., 3] if how == "median" else 0
    expected = expected.reshape(48, 1, 12 // factor, factor, 16 // factor, factor).sum((3, 5))
    batches = make_loader(PatternDataset(tmp_path / "scan.zarr", view=view), batch_size=7, seed=1)
    found = torch.cat(list(batches)).numpy()
    order = np.lexsort(found.reshape(48, -1).T), np.lexsort(expected.reshape(48, -1).T)
    np.testing.assert_allclose(found[order[0]], expected[order[1]], rtol=1e-6)


@given(
    step=st.integers(1, 3),
    factor=st.integers(1, 4),
    method=st.sampled_from(["bin", "stride", "gauss", "fft"]),
    normalize=st.sampled_from(["none", "log1p", "log1p-zscore", "minmax"]),
    wanted=st.lists(st.integers(0, 8), min_size=1, max_size=12),
)
@settings(max_examples=40)
def test_patterns_are_those_of_the_exported_tensor(
    step: int, factor: int, method: Any, normalize: Any, wanted: list[int]
) -> None:
    """A pattern is what the same view exports at the same place, alone or in a batch."""
    method = method if factor > 1 else "bin"
    view = View(scan_step=step, downsample=factor, method=method, normalize=normalize)
    document = scan(blocks=TiledBlocks(COUNTS))
    exported = values_of(apply(document, dataclasses.replace(view, dtype="float32")))
    dataset = PatternDataset(document, view, threads=2)
    assert dataset.shape == exported.shape
    assert len(dataset) == len(exported)
    assert dataset.dtype == torch.float32
    batch = torch.stack(dataset.__getitems__(wanted))
    np.testing.assert_allclose(batch, exported[wanted], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dataset[wanted[0]], exported[wanted[0]], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dataset[-1], exported[-1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("method", "workers"), [(None, 0), ("fork", 1), ("fork", 2), ("spawn", 2)])
def test_every_pattern_comes_once_from_any_workers(
    store: Path, method: str | None, workers: int
) -> None:
    """Workers of every kind give each pattern exactly once, and the same values."""
    dataset = PatternDataset(store)
    loader = make_loader(dataset, 16, num_workers=workers, multiprocessing_context=method)
    numbers = numbers_of(loader)
    assert sorted(numbers) == list(range(9 * 14))
    assert numbers != sorted(numbers)


@given(
    batch=st.integers(1, 40),
    workers=st.integers(0, 3),
    world=st.integers(1, 4),
    shuffle=st.booleans(),
    seed=st.integers(0, 5),
)
@settings(max_examples=60)
def test_ranks_share_an_epoch_without_loss_or_overlap(
    batch: int, workers: int, world: int, shuffle: bool, seed: int
) -> None:
    """All ranks together give every pattern once, in batches of the size that was asked for."""
    dataset = PatternDataset(scan(blocks=TiledBlocks(COUNTS)), memory=4 * 1024**2)
    samplers = [
        PatternSampler(
            dataset,
            batch,
            shuffle=shuffle,
            seed=seed,
            num_workers=workers,
            rank=rank,
            world_size=world,
        )
        for rank in range(world)
    ]
    epochs = [list(sampler) for sampler in samplers]
    assert sorted(n for epoch in epochs for part in epoch for n in part) == list(range(126))
    for sampler, epoch in zip(samplers, epochs, strict=True):
        assert len(epoch) == len(sampler)
        assert all(len(part) == batch for part in epoch[:-1])


@given(batch=st.integers(1, 30), workers=st.integers(0, 3), world=st.integers(1, 4))
def test_dropping_the_last_gives_every_rank_as_many_batches(
    batch: int, workers: int, world: int
) -> None:
    """With drop_last all batches are full and all ranks have equally many: none waits for ever."""
    dataset = PatternDataset(scan())
    counts = set()
    for rank in range(world):
        sampler = PatternSampler(
            dataset, batch, drop_last=True, num_workers=workers, rank=rank, world_size=world
        )
        parts = list(sampler)
        assert all(len(part) == batch for part in parts)
        assert len(parts) == len(sampler)
        counts.add(len(parts))
    assert len(counts) == 1


def test_the_order_follows_seed_and_epoch() -> None:
    """The same seed and epoch give the same order; each pass and each seed another one."""
    dataset = PatternDataset(scan())
    first = PatternSampler(dataset, 10, seed=3)
    one, two = list(first), list(first)
    assert one != two
    again = PatternSampler(dataset, 10, seed=3)
    again.set_epoch(1)
    assert list(again) == two
    assert list(PatternSampler(dataset, 10, seed=4)) != one


@pytest.mark.parametrize("method", ["bin", "stride", "gauss", "fft"])
def test_every_block_is_decoded_once_an_epoch(method: Any) -> None:
    """However patterns are shuffled, an epoch reads every block of the disk once."""
    values = np.tile(COUNTS, (2, 2, 1, 1))
    blocks = TiledBlocks(values)
    dataset = PatternDataset(
        scan(values, blocks=blocks), View(downsample=2, method=method), memory=4 * 1024**2
    )
    patterns = list(make_loader(dataset, 25, seed=1))
    assert sum(map(len, patterns)) == 18 * 28
    assert set(blocks.reads.values()) == {1}
    assert len(blocks.reads) == 18 * 7


def test_memory_is_bounded_by_the_budget() -> None:
    """The cache holds no more than its budget, whatever order is asked for."""
    values = np.zeros((16, 64, 64, 64), np.uint16)
    blocks = TiledBlocks(values, block=(1, 16, 64, 64))
    dataset = PatternDataset(scan(values, blocks=blocks), memory=4 * 1024**2)
    for start in range(0, len(dataset), 100):
        dataset.fetch(range(start, min(start + 100, len(dataset)), 7))
        assert dataset._cache is not None
        assert dataset._cache.nbytes <= 4 * 1024**2


class Slots(torch.utils.data.Dataset[Any]):
    """Tells for each pattern how many units the process that rendered it may keep."""

    def __init__(self, patterns: PatternDataset) -> None:
        self.patterns = patterns

    def __len__(self) -> int:
        return len(self.patterns)

    def __getitem__(self, index: int) -> Any:
        assert self.patterns[index][0, 0, 0] == index // SHAPE[1]
        assert self.patterns._cache is not None
        return torch.tensor(self.patterns._cache.slots)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_the_budget_whatever_was_read_before(method: str) -> None:
    """A worker that begins after its parent has read, or while it reads, keeps only its share."""
    values = np.repeat(np.repeat(COUNTS, 32, axis=2), 32, axis=3)
    block = (1, 4, *values.shape[2:])
    dataset = PatternDataset(scan(values, blocks=ArrayUnits(values, block)), memory=16 * 1024**2)
    alone, together = dataset.units_in_memory(1), dataset.units_in_memory(2)
    assert alone > together
    assert Slots(dataset)[0] == alone
    loader = torch.utils.data.DataLoader(
        Slots(dataset), num_workers=2, multiprocessing_context=method, timeout=60
    )
    with dataset._lock if method == "fork" else contextlib.nullcontext():
        assert {int(slots) for slots in loader} == {together}


def test_several_sources_are_one_data_set() -> None:
    """Patterns of several scans follow each other, scaled by one pair of numbers."""
    other = (COUNTS[:4] * 3).astype(np.uint16)
    dataset = PatternDataset([scan(), scan(other)], View(normalize="log1p-zscore"))
    assert len(dataset) == 126 + 56
    together = dataset.fetch(range(len(dataset))).double()
    assert abs(float(together.mean())) < 1e-6
    assert abs(float(together.std(correction=0)) - 1) < 1e-5
    assert dataset.position(126 + 15) == (1, (1, 1))
    logs = np.log1p(np.concatenate([COUNTS.ravel(), other.ravel()]).astype(float))
    expected = (np.log1p(COUNTS[0, 0]) - logs.mean()) / logs.std()
    np.testing.assert_allclose(dataset[0][0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("normalize", ["none", "log1p", "log1p-zscore", "minmax"])
def test_scaling_on_the_device_gives_the_same(normalize: Any) -> None:
    """Counts that are scaled by the module equal patterns that were scaled before."""
    view = View(downsample=2, reduce="sum", normalize=normalize)
    there = PatternDataset(scan(), view, scale_on_device=True)
    here = PatternDataset(scan(), view)
    raw = there.fetch(range(20))
    assert raw.dtype == torch.uint32
    np.testing.assert_allclose(there.scaling(raw), here.fetch(range(20)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(here.scaling(here.fetch([1])), here.fetch([1]))


@pytest.mark.parametrize(
    "view",
    [
        View(normalize="log1p", dtype="float16"),
        View(normalize="minmax", dtype="float16"),
        View(normalize="log1p-zscore", dtype="float16"),
        View(clip_negative=True, dtype="uint16"),
        View(clip_negative=True, dtype="uint32"),
    ],
)
def test_a_view_that_exports_trains(view: View) -> None:
    """A known range of the raw values does not stand against a type that the view's values fit."""
    values = COUNTS.astype(np.int32)
    values[0, 0, 3, 3] = -5 if view.clip_negative else 65535
    document = scan(values)
    document = dataclasses.replace(document, statistics=measure_document(document))
    exported = values_of(apply(document, view))
    assert exported.dtype == view.dtype
    np.testing.assert_allclose(
        PatternDataset(document, view).fetch(range(126)).numpy(), exported, rtol=1e-3
    )


def test_a_known_overflow_is_refused_before_training() -> None:
    """Where nothing scales the values, their known range tells at once that a type is too small."""
    document = scan(COUNTS.astype(np.uint32) * 60000)
    document = dataclasses.replace(document, statistics=measure_document(document))
    with pytest.raises(UnsupportedDataError, match="do not fit into float16"):
        PatternDataset(document, View(dtype="float16"))


def test_a_type_that_the_device_does_not_give_is_refused() -> None:
    """Scaling on the device gives float32; another type is not silently another."""
    with pytest.raises(OptionError, match="scaling on the device gives float32"):
        PatternDataset(scan(), View(dtype="float16"), scale_on_device=True)
    assert PatternDataset(scan(), View(dtype="float32"), scale_on_device=True).dtype == torch.uint16


def test_patterns_that_were_not_recovered_are_left_out() -> None:
    """A salvaged scan trains with what it holds."""
    valid = np.ones((9, 14), bool)
    valid[7:] = False
    dataset = PatternDataset(scan(valid=valid), View(normalize="log1p-zscore"))
    assert len(dataset) == 7 * 14
    assert dataset.position(len(dataset) - 1) == (0, (6, 13))
    patterns = dataset.fetch(range(len(dataset))).double()
    assert float(patterns.mean()) == pytest.approx(0, abs=1e-6)
    assert float(patterns.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_a_data_set_survives_a_pickle_and_threads(store: Path) -> None:
    """A copy in another process gives the same; several threads may ask at once."""
    dataset = PatternDataset(store, View(downsample=2))
    expected = dataset.fetch(range(len(dataset)))
    copy: PatternDataset = pickle.loads(pickle.dumps(dataset))
    found: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: copy.fetch(range(len(copy)))}))
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(batch, expected) for batch in found.values())
    assert len(found) == 3


def test_any_other_sampler_works(store: Path) -> None:
    """A plain loader that shuffles by itself gives every pattern once too."""
    loader = torch.utils.data.DataLoader(PatternDataset(store), batch_size=32, shuffle=True)
    assert sorted(numbers_of(loader)) == list(range(126))


def test_what_cannot_train_is_refused() -> None:
    """No source, patterns of different sizes, or no patterns at all: errors that say what to do."""
    with pytest.raises(OptionError, match="no source"):
        PatternDataset([])
    with pytest.raises(OptionError, match="different sizes: 8 × 8, 8 × 10"):
        PatternDataset([scan(), scan(COUNTS[..., :8])])
    image = dataclasses.replace(
        scan(), kind="image", axes=scan().axes[2:], blocks=ArrayBlocks(COUNTS[0, 0])
    )
    with pytest.raises(UnsupportedDataError, match="holds no patterns"):
        PatternDataset(image)
    slabs = TiledBlocks(COUNTS, block=(9, 14, 1, 10))
    with pytest.raises(UnsupportedDataError, match="spread over the whole file"):
        PatternDataset(scan(blocks=slabs))
    for other in (None, 3, [None], {"intensity": COUNTS}.values()):
        with pytest.raises(OptionError, match="is an unsupported source type"):
            PatternDataset(other)  # type: ignore[arg-type]
    for number in ({"memory": 2.5}, {"memory": 1}, {"threads": 0}, {"threads": "2"}):
        with pytest.raises(OptionError, match="it must be"):
            PatternDataset(scan(), **number)
    with pytest.raises(IndexError, match="no pattern 126"):
        PatternDataset(scan())[126]


def test_masks_must_fit_their_scans() -> None:
    """A mask of another shape or type, or too few masks, are refused; an empty one is allowed."""
    dataset = PatternDataset(scan())
    for mask in (np.ones((14, 9), bool), np.ones(126, bool), np.ones((9, 14), int)):
        with pytest.raises(OptionError, match="and the scan has"):
            dataset.take([mask])
    with pytest.raises(OptionError, match="0 masks are given for 1 documents"):
        dataset.take([])
    nothing = dataset.take([np.zeros((9, 14), bool)])
    assert nothing.fetch([]).shape == (0, 1, 8, 10)
    for workers in (0, 2):
        sampler = PatternSampler(nothing, num_workers=workers)
        assert (len(sampler), list(sampler)) == (0, [])


def test_a_dataset_trains_as_it_is(store: Path) -> None:
    """What stemzarr opened, or an analysis selected, needs no detour over a file."""
    opened = stemzarr.open(store)
    part = PatternDataset([opened.isel(scan_y=slice(2, 4)), opened])
    assert len(part) == 2 * 14 + 126
    np.testing.assert_array_equal(part.fetch(range(28))[:, 0], COUNTS[2:4].reshape(28, 8, 10))


class _Interrupt:
    """An array in blocks, of which some reads are interrupted as by Ctrl-C."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.inner = TiledBlocks(values)
        self.shape, self.dtype, self.block_shape = values.shape, values.dtype, (1, 4, 8, 10)
        self.reads = 0

    def read_into(self, out: NDArray[Any], start: Any) -> None:
        self.reads += 1
        if self.reads % 5 == 0:
            raise KeyboardInterrupt
        self.inner.read_into(out, start)


def test_interrupts_leave_no_wrong_patterns() -> None:
    """Whatever was under way, and though its traceback is kept, later patterns are right."""
    dataset = PatternDataset(scan(blocks=_Interrupt(COUNTS)), memory=4 * 1024**2, threads=2)
    expected, kept = values_of(scan()), []
    rng = np.random.default_rng(0)
    for _ in range(60):
        wanted = rng.integers(0, len(dataset), 40)
        try:
            found = dataset.fetch(wanted)
        except KeyboardInterrupt as error:
            kept.append(error)
        else:
            np.testing.assert_array_equal(found.numpy(), expected[wanted])
    assert kept
