"""Stores as intake 2 reads them: a data type and its reader.

``intake.open_catalog`` of a lake's ``catalog.yaml`` needs none of this; it is for catalogs and
pipelines that people build with intake 2 themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intake.readers.datatypes import FileData
from intake.readers.readers import BaseReader

from stemzarr_catalog.drivers import open_address

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["StemzarrData", "StemzarrReader"]


class StemzarrData(FileData):  # type: ignore[misc]  # intake has no types
    """A store, or any file that stemzarr reads."""

    filepattern = r"\.(zarr|dm3|dm4|dm5)$"
    structure = {"array"}  # noqa: RUF012 - the form that intake asks for


class StemzarrReader(BaseReader):  # type: ignore[misc]  # intake has no types
    """Opens `StemzarrData` as a lazy, labelled Dataset.

    Examples
    --------
    ``StemzarrReader("scan.zarr").read(downsample=2)``
    """

    imports = {"stemzarr"}  # noqa: RUF012 - the form that intake asks for
    implements = {StemzarrData}  # noqa: RUF012 - the form that intake asks for
    output_instance = "xarray:Dataset"

    def _read(
        self,
        data: StemzarrData,
        document: int | str | None = None,
        **view: Any,  # noqa: ANN401 - the options of a View
    ) -> xr.Dataset:
        return open_address(data.url, document, **view)
