"""Spectra and profiles as ``.csv``."""

from __future__ import annotations

import csv

from stemzarr.formats.spectrum.line import iterate_line, label_axis, label_values
from stemzarr.registry import Exported, ExportRequest

__all__ = ["write_csv"]


def write_csv(request: ExportRequest) -> Exported:
    """Write a spectrum or profile as two columns, position and value, below a line of names.

    Values are as they were recorded. The text is UTF-8, as RFC 4180 has it.

    Raises
    ------
    UnsupportedDataError
        The document has more axes than one.
    """
    document = request.documents[0]
    rows = iterate_line(document)
    with request.dest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([label_axis(document), label_values(document)])
        writer.writerows(rows)
    return Exported(shape=document.shape, dtype=document.dtype.name)
