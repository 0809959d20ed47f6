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

    def to_py4dstem(self) -> Any:  # noqa: ANN401 - of py4DSTEM
        """Return a scan as a data cube of py4DSTEM, whose values are read at once.

        Returns
        -------
        py4DSTEM.DataCube
            With the calibration that an exported ``.emd`` has.

        Raises
        ------
        MissingDependencyError
            py4DSTEM cannot be imported here, which needs an older numpy; the message says how an
            ``.emd`` leads there.
        UnsupportedDataError
            The Dataset is no 4D scan.
        """
        from stemzarr.bridges.py4dstem import to_py4dstem

        return to_py4dstem(self._dataset)

    def to_torch(self, view: View | None = None, **options: Any) -> PatternDataset:  # noqa: ANN401
        """Return the patterns as a data set of PyTorch, see `stemzarr.torch.PatternDataset`.

        Raises
        ------
        MissingDependencyError
            PyTorch is not installed.
        """
        from stemzarr.bridges.torch import to_torch

        return to_torch(self._dataset, view, **options)
