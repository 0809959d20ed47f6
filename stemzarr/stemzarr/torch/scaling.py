"""Normalisation on the device that trains."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from stemzarr.views.normalize import Scaling

__all__ = ["DeviceScaling"]


class DeviceScaling(torch.nn.Module):
    """Casts batches of counts to float32 and scales them, wherever they are.

    Parameters
    ----------
    scaling
        What happens to each value. It is a part of the module's `state_dict`.

    Examples
    --------
    >>> scale = DeviceScaling(Scaling(clip=True, logarithm=True))
    >>> scale(torch.tensor([-1, 0, 1])).tolist()
    [0.0, 0.0, 0.6931471824645996]
    """

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self.scaling = scaling

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return a batch of any type as scaled float32."""
        values = batch.to(torch.float32)
        if self.scaling.clip:
            values = values.clamp(min=0)
        if self.scaling.logarithm:
            values = values.log1p()
        if self.scaling.offset or self.scaling.factor != 1:
            values = (values - self.scaling.offset) * self.scaling.factor
        return values

    def get_extra_state(self) -> dict[str, Any]:
        """Return the scaling as a part of the `state_dict` of a model."""
        return dataclasses.asdict(self.scaling)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the scaling of a `state_dict`: a model scales as it was trained."""
        self.scaling = Scaling(**state)

    def extra_repr(self) -> str:
        """Return what `print` shows of the module."""
        return str(self.scaling)
