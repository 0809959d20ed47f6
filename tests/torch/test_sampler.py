"""What a sampler is made with: numbers that work, or an error that says which does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stemzarr.errors import OptionError
from stemzarr.testing.sources import counted, document_of

pytest.importorskip("torch")

from stemzarr.torch import PatternDataset, PatternSampler, split_blocks

SCAN = document_of(counted((7, 10, 4, 4)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": "8"}, "batch_size is '8'"),
        ({"num_workers": -1}, "num_workers is -1"),
        ({"world_size": 0}, "world_size is 0"),
        ({"rank": 1}, "rank is 1, and world_size is 1"),
        ({"rank": 2, "world_size": 2}, "rank is 2, and world_size is 2"),
        ({"rank": -1, "world_size": 2}, "rank is -1"),
    ],
)
def test_a_sampler_refuses_what_gives_no_batches(fields: dict[str, Any], message: str) -> None:
    """A number that cannot work is refused when the sampler is made: no epoch is empty unsaid."""
    with pytest.raises(OptionError, match=message) as caught:
        PatternSampler(PatternDataset(SCAN), **fields)
    assert caught.value.hint


def test_numbers_of_numpy_are_numbers() -> None:
    """What was calculated counts as a number here, too."""
    dataset = PatternDataset(SCAN)
    two: Any = np.int64(2)
    sampler = PatternSampler(dataset, two, seed=two, rank=two - 1, world_size=two)
    assert list(sampler) == list(PatternSampler(dataset, 2, seed=2, rank=1, world_size=2))
    assert len(split_blocks(dataset, tile=two, gap=two - 2)[1])
