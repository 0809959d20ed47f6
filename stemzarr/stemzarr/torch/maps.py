"""Results of a model as labelled maps over the scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from stemzarr.errors import OptionError
from stemzarr.torch.part import Part

__all__ = ["make_map", "to_rows"]


def to_rows(values: object, count: int, dims: Sequence[str]) -> NDArray[Any]:
    """Return results as an array, one row for each of `count` patterns.

    Raises
    ------
    OptionError
        There are more or fewer rows, or `dims` does not name what follows in each row.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype is torch.bfloat16 else values).numpy()
    rows = np.asarray(values)
    if rows.dtype.kind not in "biufc" or rows.ndim == 0 or len(rows) != count:
        msg = f"the results are {rows.dtype} of shape {rows.shape}, and there are {count} patterns"
        raise OptionError(msg, hint="give one row of numbers for each pattern, in their order")
    if len(dims) != rows.ndim - 1 or len(set(dims)) != len(dims):
        msg = f"dims are {tuple(dims)}, and each row has the shape {rows.shape[1:]}"
        raise OptionError(msg, hint='name each dim of a row, such as dims=("latent",)')
    return rows


def make_map(part: Part, rows: NDArray[Any], dims: Sequence[str]) -> xr.DataArray:
    """Return rows, one for each pattern of a part, over its scan; NaN where there is no pattern.

    Raises
    ------
    OptionError
        A dim of the rows has the name of one of the scan.
    """
    document = part.document
    if taken := set(dims) & set(document.dims[: len(part.lead)]):
        msg = f"{', '.join(sorted(taken))} is a dim of the scan"
        raise OptionError(msg, hint="choose another name in dims")
    filled = np.full((*part.lead, *rows.shape[1:]), np.nan, np.result_type(rows, np.float16))
    filled.reshape(-1, *rows.shape[1:])[part.positions] = rows
    names = (*document.dims[: len(part.lead)], *dims)
    sizes = dict(zip(names, filled.shape, strict=True))
    coords = {
        axis.name: xr.Variable((axis.name,), axis.values(), axis.attributes())
        for axis in document.axes
        if sizes.get(axis.name) == axis.size
    }
    return xr.DataArray(filled, coords, names)
