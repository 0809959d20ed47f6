"""Batches that were fetched whole, on their way through torch's loaders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

import torch
from torch.utils.data import default_collate

__all__ = ["Batch", "Labelled", "LabelledBatch", "ReadBatch", "batch_of", "take_batch"]

Labelled = tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]
"""Patterns, their labels by name, and their numbers in the dataset."""


class Batch(list[torch.Tensor]):
    """Patterns one by one, which still know the tensor that they are views of."""

    def __init__(self, whole: torch.Tensor) -> None:
        self.whole = whole
        super().__init__(whole.unbind(0))


class LabelledBatch(Sequence[Any]):
    """Patterns, labels and numbers one by one, each made when it is asked for."""

    def __init__(self, whole: Labelled) -> None:
        self.whole = whole

    def __len__(self) -> int:
        """Return the number of patterns."""
        return len(self.whole[0])

    @overload
    def __getitem__(self, index: int) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]: ...
    @overload
    def __getitem__(self, index: slice) -> LabelledBatch: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Return a pattern, its labels by name, and its number; or those of several."""
        patterns, targets, numbers = self.whole
        labels = {name: values[index] for name, values in targets.items()}
        if isinstance(index, slice):
            return LabelledBatch((patterns[index], labels, numbers[index]))
        return patterns[index], labels, int(numbers[index])


def batch_of(whole: torch.Tensor | Labelled) -> Batch | LabelledBatch:
    """Return what was fetched as a batch."""
    return Batch(whole) if isinstance(whole, torch.Tensor) else LabelledBatch(whole)


class ReadBatch(list[int]):
    """Numbers of patterns, with the patterns themselves, which were read ahead."""

    def __init__(self, numbers: Iterable[int], patterns: Batch | LabelledBatch) -> None:
        super().__init__(numbers)
        self.patterns = patterns


def take_batch(patterns: list[Any] | LabelledBatch) -> Any:  # noqa: ANN401 - with labels or without
    """Return patterns as the tensors that they were fetched in, or as new ones."""
    if isinstance(patterns, Batch | LabelledBatch):
        return patterns.whole
    return default_collate(patterns)
