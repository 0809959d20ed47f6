"""Letters of 5 × 7 pixels, so that a picture needs no font."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import UnsupportedDataError

__all__ = ["HEIGHT", "draw_text"]

HEIGHT: Final = 7
_WIDTH: Final = 5

_ROWS: Final = {
    " ": "00 00 00 00 00 00 00",
    "(": "02 04 08 08 08 04 02",
    ")": "08 04 02 02 02 04 08",
    "+": "00 04 04 1f 04 04 00",
    "-": "00 00 00 1f 00 00 00",
    ".": "00 00 00 00 00 0c 0c",
    "/": "00 01 02 04 08 10 00",
    "0": "0e 11 13 15 19 11 0e",
    "1": "04 0c 04 04 04 04 0e",
    "2": "0e 11 01 02 04 08 1f",
    "3": "1f 02 04 02 01 11 0e",
    "4": "02 06 0a 12 1f 02 02",
    "5": "1f 10 1e 01 01 11 0e",
    "6": "06 08 10 1e 11 11 0e",
    "7": "1f 01 02 04 08 08 08",
    "8": "0e 11 11 0e 11 11 0e",
    "9": "0e 11 11 0f 01 02 0c",
    "A": "0e 11 11 11 1f 11 11",
    "B": "1e 11 11 1e 11 11 1e",
    "C": "0e 11 10 10 10 11 0e",
    "D": "1c 12 11 11 11 12 1c",
    "E": "1f 10 10 1e 10 10 1f",
    "F": "1f 10 10 1e 10 10 10",
    "G": "0e 11 10 17 11 11 0f",
    "H": "11 11 11 1f 11 11 11",
    "I": "0e 04 04 04 04 04 0e",
    "J": "07 02 02 02 02 12 0c",
    "K": "11 12 14 18 14 12 11",
    "L": "10 10 10 10 10 10 1f",
    "M": "11 1b 15 15 11 11 11",
    "N": "11 11 19 15 13 11 11",
    "O": "0e 11 11 11 11 11 0e",
    "P": "1e 11 11 1e 10 10 10",
    "Q": "0e 11 11 11 15 12 0d",
    "R": "1e 11 11 1e 14 12 11",
    "S": "0f 10 10 0e 01 01 1e",
    "T": "1f 04 04 04 04 04 04",
    "U": "11 11 11 11 11 11 0e",
    "V": "11 11 11 11 11 0a 04",
    "W": "11 11 11 15 15 15 0a",
    "X": "11 11 0a 04 0a 11 11",
    "Y": "11 11 11 0a 04 04 04",
    "Z": "1f 01 02 04 08 10 1f",
    "a": "00 00 0e 01 0f 11 0f",
    "b": "10 10 16 19 11 11 1e",
    "c": "00 00 0e 10 10 11 0e",
    "d": "01 01 0d 13 11 11 0f",
    "e": "00 00 0e 11 1f 10 0e",
    "f": "06 09 08 1c 08 08 08",
    "g": "00 0f 11 11 0f 01 0e",
    "h": "10 10 16 19 11 11 11",
    "i": "04 00 0c 04 04 04 0e",
    "j": "02 00 06 02 02 12 0c",
    "k": "10 10 12 14 18 14 12",
    "l": "0c 04 04 04 04 04 0e",
    "m": "00 00 1a 15 15 11 11",
    "n": "00 00 16 19 11 11 11",
    "o": "00 00 0e 11 11 11 0e",
    "p": "00 00 1e 11 1e 10 10",
    "q": "00 00 0d 13 0f 01 01",
    "r": "00 00 16 19 10 10 10",
    "s": "00 00 0e 10 0e 01 1e",
    "t": "08 08 1c 08 08 09 06",
    "u": "00 00 11 11 11 13 0d",
    "v": "00 00 11 11 11 0a 04",
    "w": "00 00 11 11 15 15 0a",
    "x": "00 00 11 0a 04 0a 11",
    "y": "00 00 11 11 0f 01 0e",
    "z": "00 00 1f 02 04 08 1f",
    "\N{DEGREE SIGN}": "0c 12 12 0c 00 00 00",
    "\N{MICRO SIGN}": "00 00 12 12 12 1d 10",
    "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": "04 0a 04 0e 11 1f 11",
}
"""Rows of each letter from above, their leftmost pixel the highest of five bits."""


def draw_text(text: str) -> NDArray[np.bool_]:
    """Return text as pixels, (`HEIGHT`, 6 a letter less 1).

    Raises
    ------
    UnsupportedDataError
        A letter is not known.

    Examples
    --------
    >>> for row in draw_text("1/nm")[2:]: print("".join(" #"[int(bit)] for bit in row).rstrip())
      #      #  # ##  ## #
      #     #   ##  # # # #
      #    #    #   # # # #
      #   #     #   # #   #
     ###        #   # #   #
    """
    unknown = "".join(dict.fromkeys(letter for letter in text if letter not in _ROWS))
    if unknown:
        msg = f"a picture cannot show {text!r}: there are no letters for {unknown!r}"
        raise UnsupportedDataError(msg, hint="calibrate the axes in units such as nm or 1/nm")
    gap = np.zeros((HEIGHT, 1), bool)
    parts = [part for letter in text for part in (_letter(letter), gap)]
    return np.concatenate(parts[:-1] or [np.zeros((HEIGHT, 0), bool)], axis=1)


def _letter(letter: str) -> NDArray[np.bool_]:
    rows = np.array([int(row, 16) for row in _ROWS[letter].split()])
    return (rows[:, np.newaxis] >> np.arange(_WIDTH)[::-1] & 1).astype(bool)
