"""Nion Swift's ``.ndata`` files, for tests: a zip file of values and the JSON text about them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["write_ndata"]


def write_ndata(path: Path, values: NDArray[Any], properties: Mapping[str, Any]) -> None:
    """Write values and properties as Nion Swift does, by the suffix of the path.

    An ``.ndata``, which a project keeps, begins with the values; an ``.ndata1``, which is
    exported, with the text, in which calibrations have another name.
    """
    exported = path.suffix.lower() == ".ndata1"
    renamed = {"dimensional_calibrations": "spatial_calibrations"} if exported else {}
    tree = {renamed.get(name, name): value for name, value in properties.items()}
    file = io.BytesIO()
    np.save(file, values)
    members = [("data.npy", file.getvalue()), ("metadata.json", json.dumps(tree).encode())]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in reversed(members) if exported else members:
            archive.writestr(zipfile.ZipInfo(name, (2024, 5, 2, 12, 0, 0)), content)
