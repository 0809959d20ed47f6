"""Spectra and profiles as ``.msa``, the EMSA/MAS format that every program of spectra reads.

Egerton, Fiori, Hunt, Isaacson, Kirkland and Zaluzec, EMSA/MAS standard file format for spectral
data exchange, EMSA Bulletin 21 (1991); ISO 22029.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from stemzarr.formats.spectrum.line import iterate_line
from stemzarr.model import Document
from stemzarr.registry import Exported, ExportRequest

__all__ = ["write_msa"]

_FACTS: Final = {
    "operator": ("OWNER", 1.0),
    "beam_energy_keV": ("BEAMKV", 1.0),
    "probe_current_nA": ("PROBECUR", 1.0),
    "magnification": ("MAGCAM", 1.0),
    "convergence_angle_mrad": ("CONVANGLE", 1.0),
    "tilt_alpha_deg": ("XTILTSTGE", 1.0),
    "tilt_beta_deg": ("YTILTSTGE", 1.0),
    "exposure_s": ("INTEGTIME", 1e3),
    "dwell_time_s": ("DWELLTIME", 1e3),
}
"""Keywords of the facts, and how many of their units are one of ours."""
_MONTHS: Final = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"


def write_msa(request: ExportRequest) -> Exported:
    """Write a spectrum or profile with its calibration and what is known of the microscope.

    Values are as they were recorded; where they are calibrated, a comment says how.

    Raises
    ------
    UnsupportedDataError
        The document has more axes than one.
    """
    document = request.documents[0]
    rows = [f"{place}, {value}" for place, value in iterate_line(document)]
    text = "\n".join((*_header(document), "#SPECTRUM    : Spectral Data Starts Here", *rows))
    content = f"{text}\n#ENDOFDATA   :\n"
    request.dest.write_bytes(content.encode("latin-1", "backslashreplace"))
    kept = content.isascii() or content == content.encode("latin-1", "ignore").decode("latin-1")
    note = "a .msa holds Latin letters alone: others are written as their code, such as \\u03b1"
    return Exported(shape=document.shape, dtype=document.dtype.name, notes=() if kept else (note,))


def _header(document: Document) -> Iterator[str]:
    axis, facts = document.axes[0], document.facts
    date, time = _moment(str(facts.get("acquired", "")))
    yield _line("FORMAT", "EMSA/MAS Spectral Data File")
    yield _line("VERSION", "1.0")
    yield _line("TITLE", document.title or document.slug)
    yield _line("DATE", date)
    yield _line("TIME", time)
    yield _line("OWNER", facts.get("operator", ""))
    yield _line("NPOINTS", float(axis.size))
    yield _line("NCOLUMNS", 1.0)
    yield _line("XUNITS", axis.units)
    yield _line("XLABEL", axis.name)
    yield _line("YLABEL", "intensity")
    yield _line("DATATYPE", "XY")
    yield _line("XPERCHAN", axis.scale)
    yield _line("OFFSET", axis.offset)
    for fact, (keyword, factor) in _FACTS.items():
        value = facts.get(fact)
        if isinstance(value, int | float):
            yield _line(keyword, value * factor)
    if document.brightness is not None:
        by = document.brightness
        yield _line("COMMENT", f"in {by.units or 'its unit'}: {by.offset!r} + value * {by.scale!r}")


def _line(keyword: str, value: object) -> str:
    """Return a line of the header; ``: `` ends a keyword for some readers, wherever it is."""
    text = " ".join(str(value).split()).replace(": ", ":")
    return f"#{keyword:<12}: {text}"


def _moment(acquired: str) -> tuple[str, str]:
    """Return date and time as the format has them; empty where they are not known.

    Examples
    --------
    >>> _moment("2026-01-15T10:20:30+01:00")
    ('15-JAN-2026', '10:20')
    >>> _moment("")
    ('', '')
    """
    try:
        moment = dt.datetime.fromisoformat(acquired)
    except ValueError:
        return "", ""
    date = f"{moment.day:02d}-{_MONTHS[3 * moment.month - 3 : 3 * moment.month]}-{moment.year}"
    return date, f"{moment:%H:%M}" if "T" in acquired else ""
