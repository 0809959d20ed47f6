"""What is known of a scan before the pass over it: its central disk, and which pixels stand out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemzarr.measure.disk import Disk, find_disk
from stemzarr.measure.sample import take_sample
from stemzarr.model import Document

__all__ = ["Glance", "take_glance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a sample of the patterns shows."""

    disk: Disk
    """The central disk."""
    peaks: NDArray[np.float64]
    """(det_y, det_x) share of the patterns in which a pixel exceeds all its neighbours."""


def take_glance(document: Document) -> Glance | None:
    """Return what a sample of a scan shows; None for other documents, and for an empty one."""
    if document.kind != "4d-stem" or document.channels or not document.nbytes:
        return None
    sample = take_sample(document)
    return Glance(disk=find_disk(sample.mean, document.bad_pixels), peaks=sample.peaks)
