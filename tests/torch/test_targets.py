"""Labels joined to patterns by the coordinates of the scan."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import OptionError
from stemzarr.model import ArrayBlocks, Axis, Document, dims_of_kind
from stemzarr.views import View

torch = pytest.importorskip("torch")

from stemzarr.torch import PatternDataset, PatternSampler, make_loader  # noqa: E402 - needs torch

SHAPE = (9, 14, 4, 4)
VALUES = np.arange(126, dtype=np.float32).reshape(9, 14, 1, 1) * np.ones(SHAPE, np.float32)


def scan(valid: Any = None) -> Document:
    """Return a calibrated scan whose patterns are their own numbers."""
    named = zip(dims_of_kind("4d-stem", 4), SHAPE, strict=True)
    axes = tuple(Axis(name=name, size=n, scale=0.5, offset=3.0, units="nm") for name, n in named)
    blocks = ArrayBlocks(VALUES)
    return Document(
        index=0, slug="scan", title="", kind="4d-stem", axes=axes, blocks=blocks, valid=valid
    )


def label_map(more: tuple[int, ...] = ()) -> xr.DataArray:
    """Return labels of the scan that say which pattern they are of."""
    coords = {axis.name: axis.values() for axis in scan().axes[:2]}
    values = np.arange(126).reshape(9, 14, *(1 for _ in more)) * np.ones((9, 14, *more), int)
    return xr.DataArray(values, coords, ("scan_y", "scan_x", *(f"more_{n}" for n in more)))


@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.sampled_from(["", "scan_y=2:9,scan_x=0:11"]),
    st.sampled_from([(), (2,)]),
)
@settings(max_examples=20)
def test_labels_are_those_of_their_patterns(
    seed: int, step: int, roi: str, more: tuple[int, ...]
) -> None:
    """After regions, steps, salvage, choice and shuffling, wherever labels are and in any order."""
    rng = np.random.default_rng(seed)
    valid = rng.random((9, 14)) < 0.8
    valid[2, 0] = True
    labels = label_map(more)
    shuffled = labels.isel(scan_y=rng.permutation(9), scan_x=rng.permutation(14)) + 0.0
    shuffled = shuffled.transpose(..., "scan_x", "scan_y").assign_coords(
        scan_x=shuffled.scan_x + 1e-9
    )
    targets: Any = {"number": [labels, shuffled], "twice": [2 * labels, 2 * labels]}
    whole = PatternDataset([scan(), scan(valid)], View(roi=roi, scan_step=step), targets=targets)
    kept = [rng.random(part.shape[:2]) < 0.7 for part in whole.documents]
    some = whole.take(kept)
    seen = []
    for patterns, labelled, numbers in make_loader(some, 8, seed=seed % 9):
        value = patterns[:, 0, 0, 0].numpy().reshape(-1, *(1 for _ in more))
        np.testing.assert_array_equal(*np.broadcast_arrays(labelled["number"], value))
        np.testing.assert_array_equal(labelled["twice"], 2 * labelled["number"])
        np.testing.assert_array_equal(some.fetch(numbers)[:, 0], patterns[:, 0])
        seen += numbers.tolist()
    assert sorted(seen) == list(range(len(some)))
    if len(some):
        assert some.targets["number"].shape == (len(some), *more)


def test_any_loader_of_torch_gives_labels() -> None:
    """Workers, torch's own collation and single patterns give what the loader gives."""
    dataset = PatternDataset(scan(), targets={"n": label_map()})
    pattern, labels, number = dataset[-1]
    assert (int(pattern[0, 0, 0]), int(labels["n"]), number) == (125, 125, 125)
    sampler = PatternSampler(dataset, 20, num_workers=2)
    plain = torch.utils.data.DataLoader(dataset, batch_sampler=sampler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fork beside threads
        loaders = [plain, make_loader(dataset, 20, num_workers=2)]
        epochs = [list(loader) for loader in loaders]
    for mine, theirs in zip(*epochs, strict=True):
        for one, other in ((mine[0], theirs[0]), (mine[1]["n"], theirs[1]["n"])):
            assert torch.equal(one, other)
        assert mine[2].tolist() == theirs[2].tolist() == mine[1]["n"].tolist()


def test_positions_are_those_of_single_patterns() -> None:
    """All positions at once are those that are asked for one by one."""
    dataset = PatternDataset([scan(), scan()], View(roi="scan_y=2:6,scan_x=1:6")).take(
        [np.eye(4, 5, dtype=bool), np.ones((4, 5), bool)]
    )
    parts, places = dataset.positions()
    one_by_one = [dataset.position(index) for index in range(len(dataset))]
    assert list(zip(parts.tolist(), map(tuple, places.tolist()), strict=True)) == one_by_one
    assert dataset.positions([-1])[1].tolist() == [[3, 4]]


def test_classes_weigh_as_much_as_scikit_learn_says() -> None:
    """Every class weighs as much in all: N / (classes × count); the reference is a plain loop."""
    classes = (label_map() % 7 == 0).astype(np.int16) * 2
    dataset = PatternDataset(scan(), targets={"class": classes, "number": label_map() * 0.5})
    counts = [sum(int(c) == k for c in classes.to_numpy().ravel()) for k in range(3)]
    expected = [126 / (2 * count) if count else 0 for count in counts]
    np.testing.assert_allclose(dataset.class_weights("class"), expected, rtol=1e-6)
    labels = dataset.targets["class"]
    assert float(dataset.class_weights("class")[labels.long()].sum()) == pytest.approx(126)
    for name, message in (("number", "whole numbers"), ("other", "there are: class, number")):
        with pytest.raises(OptionError) as caught:
            dataset.class_weights(name)
        assert message in f"{caught.value.message} {caught.value.hint}"


def test_labels_that_do_not_fit_are_refused() -> None:
    """A label is found by coordinate or named as missing, never guessed."""
    labels = label_map()
    twice = xr.concat([labels, labels.isel(scan_y=[0])], "scan_y")
    refused: list[tuple[Any, str]] = [
        (labels.drop_vars("scan_y"), "no coordinate scan_y"),
        (labels.isel(scan_y=slice(3)), "84 of 126 patterns have no label"),
        (labels.where(labels != 5), "1 of 126 patterns have no label"),
        (labels.assign_coords(scan_x=labels.scan_x + 0.1), "126 of 126"),
        (labels.astype(str), "is <U"),
        (twice, "a position along scan_y twice"),
        ([labels, labels], "2 maps for 1 documents"),
        (labels.assign_coords(scan_x=labels.scan_x.assign_attrs(units="um")), "is in um"),
    ]
    for given_labels, message in refused:
        with pytest.raises(OptionError, match=message):
            PatternDataset(scan(), targets={"label": given_labels})
    partly = labels.where(labels != 5)
    dataset = PatternDataset(scan()).take([partly.notnull().to_numpy()])
    assert dataset.with_targets({"label": partly}).targets["label"].shape == (125,)
