"""Normalisation as a value: fitted to one part, the same for the others and for later scans."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.model import ArrayBlocks, Axis, Document, dims_of_kind
from stemzarr.views import View

torch = pytest.importorskip("torch")

from stemzarr.torch import (  # noqa: E402 - needs torch
    DeviceScaling,
    PatternDataset,
    Scaling,
    split_blocks,
)

COUNTS = np.random.default_rng(4).poisson(np.linspace(1, 60, 14)[:, None, None], (9, 14, 8, 10))
ONES = np.ones((9, 14), bool)


def scan(valid: Any = None, bad: Any = None) -> Document:
    """Return a scan whose counts grow from left to right."""
    named = zip(dims_of_kind("4d-stem", 4), COUNTS.shape, strict=True)
    axes = tuple(Axis(name=name, size=size) for name, size in named)
    return Document(
        index=0,
        slug="scan",
        title="",
        kind="4d-stem",
        axes=axes,
        blocks=ArrayBlocks(COUNTS.astype(np.int32)),
        valid=valid,
        bad_pixels=bad,
    )


@given(st.integers(0, 2**32), st.booleans(), st.booleans())
@settings(max_examples=25)
def test_a_fit_is_that_of_the_chosen_patterns_alone(
    seed: int, salvaged: bool, masked: bool
) -> None:
    """Mean and width are numpy's of these patterns: no other, no lost one, no bad pixel."""
    rng = np.random.default_rng(seed)
    valid = rng.random((9, 14)) < 0.7 if salvaged else None
    bad = rng.random((8, 10)) < 0.1 if masked else None
    masks = [rng.random((9, 14)) < 0.5, ONES]
    masks[0][0, 0] = True
    sources = [scan(valid, bad), scan()]
    kept = [COUNTS[masks[0] & (ONES if valid is None else valid)], COUNTS.reshape(-1, 8, 10)]
    kept[0] = kept[0][:, ~(np.zeros((8, 10), bool) if bad is None else bad)]
    values = np.concatenate([k.ravel() for k in kept]).astype(float)
    chosen = PatternDataset(sources, threads=1).take(masks)
    score, span = Scaling.fit(chosen, "log1p-zscore"), Scaling.fit(chosen, "minmax")
    logs = np.log1p(values)
    assert score.offset == pytest.approx(logs.mean(), rel=1e-12)
    assert score.factor == pytest.approx(1 / logs.std(), rel=1e-10)
    assert (span.offset, 1 / span.factor) == pytest.approx((values.min(), np.ptp(values)))


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("view", [View(), View(downsample=2, clip_negative=True)])
def test_validation_does_not_enter_a_scaling(view: View, on_device: bool) -> None:
    """One scaling, through JSON, of a part or given at the start, scales all parts alike."""
    patterns = PatternDataset(scan(), view, scale_on_device=on_device)
    training, validation = split_blocks(patterns, tile=3)
    scaling = Scaling.from_json(Scaling.fit(training, "log1p-zscore").to_json())
    raw = PatternDataset(scan(), view)
    assert scaling != Scaling.fit(raw, "log1p-zscore")
    expected = (
        np.log1p(raw.fetch(range(len(raw))).double().numpy()) - scaling.offset
    ) * scaling.factor
    given_first = PatternDataset(scan(), view, scaling=scaling, scale_on_device=on_device)
    parts = [training.scaled(scaling), validation.scaled(scaling), given_first]
    for part in parts:
        batch = part.scaling(part.fetch(range(len(part))))
        places = [part.position(n)[1] for n in range(len(part))]
        rows = [y * 14 + x for y, x in places]
        np.testing.assert_allclose(batch, expected[rows], rtol=1e-5, atol=1e-6)
    whole = PatternDataset(scan(), View(normalize="log1p-zscore"))
    assert torch.equal(
        whole[5], PatternDataset(scan(), scaling=Scaling.fit(whole, "log1p-zscore"))[5]
    )


def test_a_model_keeps_its_scaling() -> None:
    """The weights of a model that scales bring the scaling along."""
    kept = io.BytesIO()
    scaling = Scaling(clip=True, logarithm=True, offset=1 / 3, factor=2.5)
    torch.save(torch.nn.Sequential(DeviceScaling(scaling)).state_dict(), kept)
    kept.seek(0)
    other = torch.nn.Sequential(DeviceScaling(Scaling()))
    other.load_state_dict(torch.load(kept, weights_only=True))
    assert other[0].scaling == scaling


def test_what_cannot_scale_is_refused() -> None:
    """Two normalisations at once, other JSON, and parts without values are named."""
    scored = PatternDataset(scan(), View(normalize="log1p"))
    for make in (
        lambda: scored.scaled(Scaling()),
        lambda: PatternDataset(scan(), View(normalize="minmax"), scaling=Scaling()),
    ):
        with pytest.raises(OptionError, match="leave normalize out of the view"):
            make()
    wrong: Any
    for wrong in ("log1p", 3):
        with pytest.raises(OptionError, match="give a Scaling"):
            PatternDataset(scan(), scaling=wrong)
    for text in ("{", "[]", "{}", '{"clip": true}'):
        with pytest.raises(OptionError, match="expected a JSON object of clip"):
            Scaling.from_json(text)
    for fields in ({"factor": float("nan")}, {"offset": "1"}, {"factor": True}, {"clip": 2}):
        with pytest.raises(OptionError, match=next(iter(fields))):
            Scaling(**fields)
    with pytest.raises(OptionError, match="give a PatternDataset"):
        Scaling.fit(COUNTS, "minmax")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="normalize is 'other'"):
        Scaling.fit(scored, "other")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedDataError, match="no finite value"):
        Scaling.fit(PatternDataset(scan()).take([~ONES]), "minmax")
