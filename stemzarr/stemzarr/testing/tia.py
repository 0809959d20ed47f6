"""TIA's ``.ser`` files, for tests: images or spectra along up to two dims."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["write_ser"]

_CODES: Final = {
    name: code
    for code, name in enumerate(("u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8", "c8", "c16"), 1)
}
_METRES: Final = b"meters"


def write_ser(  # noqa: PLR0913 - what the fields of the file may be
    path: Path,
    values: NDArray[Any],
    *,
    inner: int = 2,
    steps: Sequence[float] = (),
    delta: float = 2e-10,
    valid: int | None = None,
    places: bool = True,
    by_columns: bool = False,
    rotation_deg: float = 0.0,
    version: int = 0x0220,
) -> None:
    """Write elements as TIA does: header, places, each element from the bottom up and its tag.

    Parameters
    ----------
    values
        Shape (…, y, x), or (…, energy) where `inner` is 1; up to two dims before.
    steps
        Distance of neighbours in m along each of the dims before; 1e-9 where there are none.
    delta
        Distance of neighbouring pixels in m or 1/m, or of energies in eV.
    valid
        Number of elements that were recorded; all where it is None.
    places
        Whether the tags have the place of each element, or its moment alone.
    by_columns
        Whether elements that follow one another are neighbours along y.
    rotation_deg
        By how much the places are rotated about the first one.
    version
        0x0210 has offsets of four bytes, 0x0220 of eight.
    """
    outer = values.shape[: values.ndim - inner] or (1,)
    steps = steps or [1e-9] * len(outer)
    total = int(np.prod(outer, dtype=int))
    recorded = total if valid is None else valid
    long = "Q" if version >= 0x0220 else "I"  # noqa: PLR2004 - the version of long offsets
    ordered = values.swapaxes(0, 1) if by_columns else values
    elements = ordered.reshape(total, *values.shape[values.ndim - inner :])
    elements = elements[:, ::-1] if inner > 1 else elements
    elements = elements.astype(elements.dtype.newbyteorder("<"))
    code = _CODES[elements.dtype.str[1:]]
    dims = b"".join(
        struct.pack("<I2dI", size, 0.0, step, 0)
        + struct.pack("<I8sI6s", 8, b"Position", 6, _METRES)
        for size, step in zip(reversed(outer), reversed(list(steps)), strict=True)
    )
    kind = 0x4122 if inner > 1 else 0x4120
    tag = 0x4142 if places else 0x4152
    lead = struct.pack("<3H4I", 0x4949, 0x0197, version, kind, tag, total, recorded)
    place = len(lead) + struct.calcsize(long) + 4 + len(dims)
    axis = struct.pack("<2dI", 5 * delta, delta, 1)
    lengths = struct.pack(f"<{inner}I", *reversed(elements.shape[1:]))
    head = axis * inner + struct.pack("<H", code) + lengths
    nbytes = len(head) + elements[0].nbytes
    first = place + 2 * total * struct.calcsize(long)
    tagged = 24 if places else 8
    offsets = [first + (nbytes + tagged) * number for number in range(total)]
    tags = [offset + nbytes for offset in offsets]
    rows, columns = (1, 1, *outer)[-2:]
    with path.open("wb") as file:
        file.write(lead + struct.pack(f"<{long}I", place, len(outer)) + dims)
        file.write(struct.pack(f"<{2 * total}{long}", *offsets, *tags))
        for number, element in enumerate(elements[:recorded]):
            y, x = divmod(number, rows)[::-1] if by_columns else divmod(number, columns)
            moment = struct.pack("<2HI", tag, 0, 1_600_000_000 + number)
            place_m = complex(x * steps[-1], y * steps[0]) * np.exp(1j * np.deg2rad(rotation_deg))
            where = struct.pack("<2d", place_m.real, place_m.imag) if places else b""
            file.write(head + element.tobytes() + moment + where)
