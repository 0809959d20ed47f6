"""An exporter of another package: spectra and profiles as columns with tabs between.

An exporter is a function that takes an `ExportRequest` and writes ``request.dest``, a temporary
path: stemzarr renames it when all went well, so nothing half-written is ever at the
destination. Views are applied already; pixels come through ``document.blocks``.
"""

from __future__ import annotations

import csv

from stemzarr.errors import UnsupportedDataError
from stemzarr.model import read_box
from stemzarr.registry import Exported, Exporter, ExportRequest

__all__ = ["EXPORTER", "write_tsv"]


def write_tsv(request: ExportRequest) -> Exported:
    """Write a document with one axis as two columns: position and value.

    Raises
    ------
    UnsupportedDataError
        The document has more than one axis.
    """
    document = request.documents[0]
    if len(document.axes) != 1 or document.channels:
        msg = f"a TSV file holds one axis, and {document.slug!r} has {len(document.axes)}"
        raise UnsupportedDataError(msg, hint="choose a spectrum or profile with --document")
    (axis,) = document.axes
    values = read_box(document.blocks, (0,), document.shape)
    with request.dest.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow([f"{axis.name} ({axis.units})", "intensity"])
        rows.writerows(zip(axis.values().tolist(), values.tolist(), strict=True))
    return Exported(shape=document.shape, dtype=document.dtype.name)


EXPORTER = Exporter(name="tsv", target=write_tsv, suffixes=(".tsv",))
"""What the entry point names."""
