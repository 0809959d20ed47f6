"""The mask of bad pixels that DECTRIS and NeXus files hold beside their frames."""

from __future__ import annotations

from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["read_pixel_mask"]

_DETECTOR: Final = "entry/instrument/detector"
_PLACES: Final = (f"{_DETECTOR}/pixel_mask", f"{_DETECTOR}/detectorSpecific/pixel_mask")
_MOST_PIXELS: Final = 2**28
_PATTERN_NDIM: Final = 2


def is_pixel_mask(name: str) -> bool:
    """Tell whether a data set of a master is where its mask is looked for."""
    return name.strip("/") in _PLACES


def read_pixel_mask(file: h5py.File, group: str = "") -> NDArray[np.bool_] | None:
    """Return which pixels of the detector are bad, None where the file names none.

    Every bit of a ``pixel_mask`` is a reason not to trust a pixel: a gap, dead, noisy.

    Parameters
    ----------
    file
        A master, or any other file of that arrangement.
    group
        Path of the group that holds the frames, whose own mask comes first.

    Returns
    -------
    numpy.ndarray or None
        (det_y, det_x) booleans, in the order of the file.
    """
    own = [f"{group.strip('/')}/pixel_mask".strip("/")] if group.strip("/") else []
    places = (*own, *_PLACES)
    masks = (_read(file, place) for place in places)
    return next((mask for mask in masks if mask is not None and mask.any()), None)


def _read(file: h5py.File, path: str) -> NDArray[np.bool_] | None:
    item: Any = file
    for name in path.split("/"):
        if not isinstance(item, h5py.Group):
            return None
        if not isinstance(item.get(name, getlink=True), h5py.HardLink):
            return None
        item = item[name]
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
        return None
    if len(item.shape or ()) != _PATTERN_NDIM or item.dtype.kind not in "iub":
        return None
    return None if item.size > _MOST_PIXELS else np.asarray(item[()] != 0, bool)
