"""The bad pixels that DECTRIS and NeXus files name: by a mask, or by a value of their own."""

from __future__ import annotations

from typing import Final

import h5py
import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import StemzarrError
from stemzarr.formats.hdf5.files import own_data
from stemzarr.model import Blocks, read_box

__all__ = ["find_flagged_pixels", "is_pixel_mask", "join_masks", "read_pixel_mask"]

_DETECTOR: Final = "entry/instrument/detector"
_PLACES: Final = (f"{_DETECTOR}/pixel_mask", f"{_DETECTOR}/detectorSpecific/pixel_mask")
_MOST_PIXELS: Final = 2**28
_PATTERN_NDIM: Final = 2
_FLAGGING: Final = ("u2", "u4")


def is_pixel_mask(name: str) -> bool:
    """Return whether a data set of a master is where its mask is looked for."""
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


def find_flagged_pixels(frames: Blocks) -> NDArray[np.bool_] | None:
    """Return which pixels the detector flags as bad in its frames, None where it flags none.

    The file writer sets pixels that it does not trust to the largest value of the type, 0xFFFF or
    0xFFFFFFFF, whether or not the file has a ``pixel_mask``. A pixel is flagged that has this
    value in the first, the middle and the last frame; a byte is not a type that flags, since 255 is
    an ordinary count.

    Parameters
    ----------
    frames
        The frames, (frame, det_y, det_x), or a scan of them.

    Returns
    -------
    numpy.ndarray or None
        (det_y, det_x) booleans, in the order of the file. None too where a frame is damaged: what
        reads all of them reports that.
    """
    *outer, rows, columns = frames.shape
    if (
        frames.dtype.newbyteorder("=") not in _FLAGGING
        or not outer
        or rows * columns > _MOST_PIXELS
    ):
        return None
    flagged: NDArray[np.bool_] | None = None
    for place in (0, 0.5, 1):
        start = (*(int((n - 1) * place) for n in outer), 0, 0)
        try:
            frame = read_box(frames, start, (*(1 for _ in outer), rows, columns))
        except (StemzarrError, OSError):
            return None
        here = frame.reshape(rows, columns) == np.iinfo(frames.dtype).max
        flagged = here if flagged is None else flagged & here
    return flagged if flagged is not None and flagged.any() else None


def join_masks(
    first: NDArray[np.bool_] | None, second: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Return the pixels that are in one of two masks; the first where they are of two shapes."""
    if first is None or second is None:
        return second if first is None else first
    return first | second if first.shape == second.shape else first


def _read(file: h5py.File, path: str) -> NDArray[np.bool_] | None:
    item = own_data(file, path)
    if item is None or len(item.shape or ()) != _PATTERN_NDIM or item.dtype.kind not in "iub":
        return None
    return None if item.size > _MOST_PIXELS else np.asarray(item[()] != 0, bool)
