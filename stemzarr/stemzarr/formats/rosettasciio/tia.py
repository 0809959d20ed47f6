"""TIA's ``.emi`` with its series ``_1.ser``, ``_2.ser`` …, each read by RosettaSciIO.

RosettaSciIO's own loop over the series ends at nine, takes the date of the first for all, and
leaves out in silence what it cannot read or what is missing.
"""

from __future__ import annotations

import importlib
import re
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Final

from stemzarr.errors import UnsupportedDataError
from stemzarr.recognition import parts_of
from stemzarr.storage.acquisitions import find_beside

__all__ = ["file_reader", "missing_series"]

_NAME: Final = re.compile(rb"_(\d{1,6})\.ser", re.IGNORECASE)
"""End of the path under which TIA saved a series, as the ``.emi`` names it."""
_NUMBER: Final = re.compile(r"_(\d+)\.ser", re.IGNORECASE)


def missing_series(path: Path) -> tuple[str, ...]:
    """Return the names of the series that an ``.emi`` declares and that are not beside it."""
    numbers = {int(number) for number in _NAME.findall(path.read_bytes())}
    names = [f"{path.stem}_{number}.ser" for number in sorted(numbers)]
    return tuple(name for name in names if find_beside(path, name) is None)


def file_reader(filename: str, lazy: bool = False) -> list[dict[str, Any]]:  # noqa: FBT001, FBT002 - the form of RosettaSciIO's plugins
    """Return the signals of all series; a warning names each that cannot be read.

    Raises
    ------
    UnsupportedDataError
        None of them is beside the file.
    """
    path = Path(filename)
    library = importlib.import_module("rsciio.tia._api")
    series = sorted(parts_of(path), key=_number)
    if not series:
        names = ", ".join(missing_series(path)) or f"{path.stem}_1.ser"
        msg = f"its series, {names}, are not beside it"
        raise UnsupportedDataError(msg, path=path, hint="copy all of them into one folder")
    objects = library.get_xml_info_from_emi(filename)
    signals: list[dict[str, Any]] = []
    for part in series:
        described = objects[_number(part) - 1 : _number(part)]
        try:
            read = library.ser_reader(str(part), described or None, lazy)
        except OSError as error:
            warnings.warn(f"{part.name} is left out: {error}", stacklevel=2)
            continue
        signals += [_described(library, signal, described) for signal in read]
    return signals


def _number(part: Path) -> int:
    found = _NUMBER.search(part.name)
    return 0 if found is None else int(found[1])


def _described(library: Any, signal: dict[str, Any], described: list[str]) -> dict[str, Any]:  # noqa: ANN401 - RosettaSciIO is untyped
    """Return a signal with what the ``.emi`` says about its series."""
    tree = library.DTBox(signal["original_metadata"], box_dots=True)
    for text in described:
        library.emixml2dtb(ET.fromstring(text), tree)  # noqa: S314 - entities are not resolved there
    return {**signal, "original_metadata": tree.to_dict()}
