"""Batches that were fetched whole, on their way through torch's loaders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.data import default_collate

__all__ = ["Batch", "Labelled", "ReadBatch", "take_batch"]

Labelled = tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]
"""Patterns, their labels by name, and their numbers in the dataset."""


class Batch(list[Any]):
    """Patterns one by one, which still know the tensors that they are views of."""

    def __init__(self, whole: torch.Tensor | Labelled) -> None:
        self.whole = whole
        if isinstance(whole, torch.Tensor):
            super().__init__(whole.unbind(0))
            return
        patterns, targets, numbers = whole
        rows = zip(*(values.unbind(0) for values in targets.values()), strict=True)
        labels = (dict(zip(targets, row, strict=True)) for row in rows)
        super().__init__(zip(patterns.unbind(0), labels, numbers.tolist(), strict=True))


class ReadBatch(list[int]):
    """Numbers of patterns, with the patterns themselves, which were read ahead."""

    def __init__(self, numbers: Iterable[int], patterns: Batch) -> None:
        super().__init__(numbers)
        self.patterns = patterns


def take_batch(patterns: list[Any]) -> Any:  # noqa: ANN401 - with labels or without
    """Return patterns as the tensors that they were fetched in, or as new ones."""
    return patterns.whole if isinstance(patterns, Batch) else default_collate(patterns)
