"""Scans as a data set of PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from stemzarr.bridges.missing import import_program
from stemzarr.labelled import from_dataset

if TYPE_CHECKING:
    from stemzarr.torch import PatternDataset
    from stemzarr.views import View

__all__ = ["to_torch"]


def to_torch(dataset: xr.Dataset, view: View | None = None, **options: Any) -> PatternDataset:  # noqa: ANN401
    """Return the patterns of a Dataset as a data set of PyTorch; none is read before it is used.

    Parameters
    ----------
    dataset
        As stemzarr opened it, or what was selected from that.
    view
        The recipe by which patterns are rendered.
    **options
        The others of `stemzarr.torch.PatternDataset`.

    Raises
    ------
    MissingDependencyError
        PyTorch is not installed.
    OptionError, UnsupportedDataError
        As `stemzarr.torch.PatternDataset`.
    """
    import_program("torch", "pip install 'stemzarr[torch]'")
    from stemzarr.torch import PatternDataset

    return PatternDataset(from_dataset(dataset), view, **options)
