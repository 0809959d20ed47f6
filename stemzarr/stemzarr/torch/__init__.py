"""Training straight from stores: patterns rendered, shuffled and batched as they are needed."""

from __future__ import annotations

from stemzarr.torch.augment import Orient, Resample, Rotate, Shift, Thin
from stemzarr.torch.dataset import PatternDataset
from stemzarr.torch.loader import PatternLoader, make_loader
from stemzarr.torch.sampler import PatternSampler
from stemzarr.torch.scaling import DeviceScaling
from stemzarr.torch.split import split_blocks
from stemzarr.views.normalize import Scaling

__all__ = [
    "DeviceScaling",
    "Orient",
    "PatternDataset",
    "PatternLoader",
    "PatternSampler",
    "Resample",
    "Rotate",
    "Scaling",
    "Shift",
    "Thin",
    "make_loader",
    "split_blocks",
]
