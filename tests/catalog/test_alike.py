"""Scans that resemble one pattern: the planted one is found, what cannot be compared is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.model import ArrayBlocks, Axis, Document, Layout, Source
from stemzarr.options import IngestOptions
from stemzarr.store import read_store, write_store
from stemzarr.views.common_detector import DetectorPlane, find_common
from stemzarr.views.likeness import likeness
from stemzarr_catalog import Lake, find_alike, open_lake, read_model
from stemzarr_cli.program import run

SIDE = 32


def grain(seed: int, size: int = SIDE, center: float | None = None) -> NDArray[np.float64]:
    """Return the mean pattern of a grain: a central disk, and spots where its seed says."""
    middle = (size - 1) / 2 if center is None else center
    rng = np.random.default_rng(seed)
    spots = rng.uniform(-0.38, 0.38, (6, 2)) * size
    y, x = np.indices((size, size)) - middle
    pattern = 40.0 * (np.hypot(y, x) < size / 10)
    for down, right in spots:
        pattern = pattern + 15.0 * (np.hypot(y - down, x - right) < size / 14)
    return pattern + 0.05


def scan(path: Path, grains: NDArray[Any], **how: Any) -> Source:
    """Return a source of counts, a pattern for each of the grains (scan_y, scan_x)."""
    size, units, scale = how.get("size", SIDE), how.get("units", "1/nm"), how.get("scale", 0.1)
    means = {int(seed): grain(int(seed), size, how.get("center")) for seed in np.unique(grains)}
    rng = np.random.default_rng(len(path.name))
    values = np.stack([[rng.poisson(means[int(s)]) for s in row] for row in grains]).astype("u2")
    calibrated = units != "pixel"
    axes = [
        Axis(name=dim, size=n) for dim, n in zip(("scan_y", "scan_x"), grains.shape, strict=True)
    ]
    axes += [
        Axis(name=dim, size=size, scale=scale, units=units, calibrated=calibrated)
        for dim in ("det_y", "det_x")
    ]
    path.write_bytes(path.name.encode())
    document = Document(
        index=0,
        slug="main",
        title=path.stem,
        kind="4d-stem",
        axes=tuple(axes),
        blocks=ArrayBlocks(values),
        facts=how.get("facts", {}),
        layout=Layout(order="detector-fast"),
    )
    return Source(
        path=path,
        format="dm4",
        size=path.stat().st_size,
        modified_ns=path.stat().st_mtime_ns,
        documents=(document,),
        main=0,
    )


@pytest.fixture
def put(lake_path: Path) -> Callable[..., Path]:
    """Return a function that puts a scan of grains into the lake."""

    def put_scan(name: str, grains: Any, *, preview: bool = True, **how: Any) -> Path:
        store = lake_path / "stores" / f"{name}.zarr"
        options = IngestOptions(sync=False, overwrite=True, threads=1, preview=preview)
        write_store(scan(store.with_suffix(".dm4"), np.asarray(grains), **how), store, options)
        store.with_suffix(".dm4").unlink()
        return store

    return put_scan


def names(lake: Lake, at: tuple[int, int] = (0, 0), **how: Any) -> list[str]:
    """Return the scans that resemble a pattern of ``model``, the most alike first."""
    found = find_alike(lake, read_model(lake["model"].path, at), **how).found
    return [alike.entry.name for alike in found]


def test_the_planted_scan_is_found(
    lake_path: Path, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes first with its position; a second time no store is read for the mean patterns."""
    put("model", [[1, 2]])
    for number in range(8):
        put(f"other_{number}", np.full((2, 3), 10 + number))
    planted = np.full((2, 3), 30)
    planted[1, 2] = 2
    put("planted", planted)
    lake = open_lake(lake_path)
    found = find_alike(lake, read_model(lake["model"].path, (0, 1)), "name!=model")
    assert (found.found[0].entry.name, found.found[0].at) == ("planted", (1, 2))
    assert found.found[0].likeness > 0.95 > found.found[1].likeness
    assert not found.left
    assert not found.not_compared
    from stemzarr_catalog import alike

    monkeypatch.setattr(alike, "_read", None)
    again = find_alike(lake, read_model(lake["model"].path, (0, 1)), "name!=model", limit=5)
    assert again.found[0].entry.name == "planted"
    assert len(again.left) == 4
    assert min(one.mean_likeness for one in again.found) >= max(again.left.values())


def test_a_store_that_was_replaced_is_read_again(lake_path: Path, put: Callable[..., Path]) -> None:
    """What the index keeps of a mean pattern is of the store that is there."""
    put("model", [[1]])
    put("a", [[1, 1]])
    put("b", [[2, 2]])
    assert names(open_lake(lake_path), limit=2)[:2] == ["model", "a"]
    put("a", [[3, 3]])
    put("b", [[1, 1]])
    assert names(open_lake(lake_path), limit=2)[:2] == ["model", "b"]
    assert names(open_lake(lake_path, read_only=True), limit=2)[:2] == ["model", "b"]


def test_what_cannot_be_compared_is_named(
    lake_path: Path, put: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each scan is ranked or named with the reason, by the function and the command."""
    put("model", [[1]])
    put("wide", [[1]], size=2 * SIDE, scale=0.05)
    put("shifted", [[1]], center=SIDE / 2 + 1)
    put("angles", [[1]], units="mrad", scale=0.1 * 2.5079, facts={"beam_energy_keV": 200.0})
    put("no_energy", [[1]], units="mrad", scale=0.25)
    put("pixels", [[1]], units="pixel", scale=1.0)
    put("far", [[1]], scale=0.25)
    put("bare", [[1]], preview=False)
    lake = open_lake(lake_path)
    found = find_alike(lake, read_model(lake["model"].path, (0, 0)))
    likeness_of = {alike.entry.name: alike.likeness for alike in found.found}
    assert set(likeness_of) == {"model", "wide", "shifted", "angles"}
    assert likeness_of["model"] == pytest.approx(1)
    assert min(likeness_of.values()) > 0.9
    why = found.not_compared
    assert "mrad" in why["no_energy"]
    assert "pixel" in why["pixels"]
    assert "in common" in why["far"]
    assert "--measures" in why["bare"]
    assert run(["ls", "--like", "model@0,0", "--json", "--lake", str(lake_path)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["name"] == "model"
    assert {line["name"]: line["not_compared"] for line in lines if "not_compared" in line} == why
    assert run(["ls", "--like", "model@0,0", "--limit", "2", "--lake", str(lake_path)]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 4
    assert "2 scans more" in said.err
    assert all(f"not compared: {name}: " in said.err for name in why)


def test_uncalibrated_scans_of_one_detector_are_compared(
    lake_path: Path, put: Callable[..., Path]
) -> None:
    """Their pixels are laid upon each other; a detector of another shape is named."""
    for name, seed, size in (("model", 1, SIDE), ("same", 1, SIDE), ("other", 1, SIDE + 8)):
        put(name, [[seed]], size=size, units="pixel", scale=1.0)
    lake = open_lake(lake_path)
    assert sorted(names(lake)) == ["model", "same"]
    refused = find_alike(lake, read_model(lake["model"].path, (0, 0))).not_compared
    assert "calibrated" in refused["other"]


@pytest.mark.parametrize("word", ["model", "model@", "model@1", "@1,2", "model@0,9", "gone@0,0"])
def test_a_pattern_that_is_not_there_is_refused(
    lake_path: Path, put: Callable[..., Path], word: str
) -> None:
    """A position out of range, or no position at all, is an error that says so."""
    put("model", [[1]])
    assert run(["ls", "--like", word, "--lake", str(lake_path)]) != 0


def test_lists_of_other_kinds_are_refused() -> None:
    """What --like has no place for is an error."""
    for words in (["--sort", "name"], ["--facet", "kind"], ["--sessions"]):
        assert run(["ls", "--like", "model@0,0", *words]) == 2


def test_within_one_scan_it_is_its_likeness(lake_path: Path, put: Callable[..., Path]) -> None:
    """The best position of a scan is that of `likeness`, value for value."""
    store = put("model", [[1, 2, 3], [4, 5, 6]])
    lake = open_lake(lake_path)
    pattern = grain(5) * 3
    document = read_store(store).document
    image = likeness(document, pattern).to_numpy()
    model = read_model(store, (1, 1))
    found = find_alike(lake, type(model)(values=pattern, plane=model.plane)).found[0]
    assert found.at == (1, 1) == np.unravel_index(image.argmax(), image.shape)
    assert np.float32(found.likeness) == image.max()


QUARTERS = st.integers(-16, 16).map(lambda n: n / 4)


@given(
    shape=st.tuples(st.integers(4, 20), st.integers(4, 20)),
    other=st.tuples(st.integers(4, 20), st.integers(4, 20)),
    center=st.tuples(QUARTERS, QUARTERS),
    step=st.sampled_from([1.0, 0.5, 1.5, -1.0, 2.0]),
    seed=st.integers(0, 2**32),
)
def test_a_pattern_on_another_detector_equals_sums_of_small_squares(
    shape: tuple[int, int],
    other: tuple[int, int],
    center: tuple[float, float],
    step: float,
    seed: int,
) -> None:
    """Cut into 8 × 8 parts, the pixels of the pattern add up to the same, tile by tile."""
    pattern = np.random.default_rng(seed).integers(0, 99, shape).astype(np.float64)
    middle = tuple(n // 2 + c for n, c in zip(shape, center, strict=True))
    far = tuple(float(n // 2) for n in other)
    seen = DetectorPlane(shape=shape, center=middle, steps=(1.0, 1.0), units="1/nm")
    laid = DetectorPlane(shape=other, center=far, steps=(step, step), units="1/nm")
    side = 3
    edges = [
        np.rint(
            8 * ((np.minimum(np.arange(-(-n // side) + 1) * side, n) - 0.5 - c) * step + m + 0.5)
        )
        for n, c, m in zip(other, far, middle, strict=True)
    ]
    within = [(e >= 0) & (e <= 8 * n) for e, n in zip(edges, shape, strict=True)]
    chosen = (within[0][1:] & within[0][:-1])[:, None] & (within[1][1:] & within[1][:-1])
    try:
        common = find_common(pattern, seen, laid, side)
    except UnsupportedDataError:
        area = float(np.abs(np.diff(edges[0]))[(within[0][1:] & within[0][:-1])].sum()) / 8
        wide = float(np.abs(np.diff(edges[1]))[(within[1][1:] & within[1][:-1])].sum()) / 8
        least = min(area * wide / np.prod(shape), area * wide / (step**2 * np.prod(other)))
        assert least < 0.5 + 1e-9
        return
    np.testing.assert_array_equal(common.chosen, chosen)
    fine = pattern.repeat(8, 0).repeat(8, 1) / 64
    for y, x in np.argwhere(chosen):
        rows, columns = (
            sorted(e[i : i + 2].astype(int)) for e, i in zip(edges, (y, x), strict=True)
        )
        found = fine[slice(*rows), slice(*columns)].sum()
        assert common.sums[y, x] == pytest.approx(found, abs=1e-9)


def test_a_file_may_be_the_model(lake_path: Path, put: Callable[..., Path], tmp_path: Path) -> None:
    """The pattern may be one of a file that is not in the lake."""
    put("a", [[1, 2]])
    np.save(tmp_path / "b.npy", np.ones((2, 2, 8, 8), "u1"))
    lake = open_lake(lake_path)
    found = find_alike(lake, read_model(tmp_path / "b.npy", (0, 0)))
    assert set(found.not_compared) == {"a"}
    with pytest.raises(OptionError, match="position"):
        read_model(tmp_path / "b.npy", (0, 2))
