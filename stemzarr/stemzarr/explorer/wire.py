"""Arrays as the server sends them: the plain values, in a type that JavaScript has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_array"]

_PLAIN = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
_OTHER = {"bool": "uint8", "float16": "float32"}


def from_array(values: NDArray[Any]) -> tuple[str, memoryview]:
    """Return the type and shape of an array, as its header says them, and its bytes.

    The bytes are copied only where the type changes. Integers of 64 bits become float64, exact up
    to 2**53.

    Examples
    --------
    >>> from_array(np.arange(3, dtype=np.uint64).reshape(1, 3))[0]
    'float64 1,3'
    """
    name = values.dtype.name
    if name not in _PLAIN:
        name = _OTHER.get(name, "float64")
    sent = np.ascontiguousarray(values, np.dtype(name).newbyteorder("<"))
    shape = ",".join(map(str, values.shape))
    return f"{name} {shape}", sent.reshape(-1).view(np.uint8).data
