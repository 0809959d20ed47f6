"""The methods of ``.stem`` that hand a Dataset to other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    from stemzarr.torch import PatternDataset
    from stemzarr.views import View

__all__ = ["HandOver"]


class HandOver:
    """A Dataset, as far as other programs take it; `StemAccessor` is the whole of it."""

    _dataset: xr.Dataset

    def to_hyperspy(self, signal_type: str | None = None, *, lazy: bool = True) -> Any:  # noqa: ANN401
        """Return a signal of HyperSpy; nothing is read unless `lazy` is false.

        Parameters
        ----------
        signal_type
            HyperSpy's name of a kind of data, such as ``electron_diffraction`` of pyxem.
        lazy
            Whether the values stay where they are.

        Returns
        -------
        hyperspy.signals.BaseSignal
            With the axes and metadata of a ``.hspy`` file, and a preview as its navigator.

        Raises
        ------
        MissingDependencyError
            HyperSpy, or what has the type of signal, is not installed.
        """
        from stemzarr.bridges.hyperspy import to_hyperspy

        return to_hyperspy(self._dataset, signal_type=signal_type, lazy=lazy)

    def to_libertem(self, context: Any = None) -> Any:  # noqa: ANN401 - of LiberTEM
        """Return a data set of LiberTEM, whose workers read the store or file themselves.

        Parameters
        ----------
        context
            The ``libertem.api.Context`` that is to compute with it; by default one of this process.

        Raises
        ------
        MissingDependencyError
            LiberTEM is not installed.
        UnsupportedDataError
            There are no patterns, or they are spread over the whole file.
        """
        from stemzarr.bridges.libertem import to_libertem

        return to_libertem(self._dataset, context)

    def to_torch(self, view: View | None = None, **options: Any) -> PatternDataset:  # noqa: ANN401
        """Return the patterns as a data set of PyTorch, see `stemzarr.torch.PatternDataset`.

        Raises
        ------
        MissingDependencyError
            PyTorch is not installed.
        """
        from stemzarr.bridges.torch import to_torch

        return to_torch(self._dataset, view, **options)
