"""Colours of values: maps that people with any colour vision read, evenly brighter.

viridis, inferno: S. van der Walt, N. Smith (CC0). cividis: J. Nuñez et al., PLOS ONE 13 (2018).
Between the published colours that are listed here, a map is linear; the explorer has the same.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.options import ColourMap

__all__ = ["colour_table"]

_ANCHORS: Final = {
    "gray": "000000 ffffff",
    "gray-inverted": "ffffff 000000",
    "viridis": (
        "440154 46085c 471063 481769 481d6f 482475 472a7a 46307e 453781 433d84 414287 3f4889 "
        "3d4e8a 3a538b 38598c 355e8d 33638d 31688e 2e6d8e 2c718e 2a768e 297b8e 27808e 25848e "
        "23898e 218e8d 20928c 1f978b 1e9c89 1fa188 21a585 24aa83 28ae80 2eb37c 35b779 3dbc74 "
        "46c06f 50c46a 5ac864 65cb5e 70cf57 7cd250 89d548 95d840 a2da37 b0dd2f bddf26 cae11f "
        "d8e219 e5e419 f1e51d fde725"
    ),
    "cividis": (
        "00224e 002656 002a5f 002d68 003070 083370 163770 203a6f 273e6e 2e416d 34456c 3a486c "
        "3f4c6c 444f6c 49536c 4e566c 535a6d 575d6d 5c616e 60646f 656870 696b71 6d6f72 727274 "
        "767676 7a7a78 7e7d78 838179 888578 8d8878 928c78 969077 9b9476 a09875 a59c74 aaa073 "
        "afa471 b5a86f baac6d bfb06b c4b468 c9b965 cfbd62 d4c15f dac65b dfca57 e5cf52 ead34c "
        "f0d846 f6dd3f fce236 fee838"
    ),
    "inferno": (
        "000004 02020c 050417 0a0722 10092d 160b39 1e0c45 260c51 2f0a5b 380962 400a67 490b6a "
        "510e6c 59106e 61136e 69166e 71196e 781c6d 801f6c 88226a 902568 982766 a02a63 a82e5f "
        "b0315b b73557 bf3952 c63d4d cc4248 d34743 d94d3d df5337 e45a31 e9612b ed6925 f1711f "
        "f47918 f78212 f98b0b fa9407 fb9d07 fca60c fcb014 fbba1f fac42a f8cd37 f6d746 f4e156 "
        "f2ea69 f2f27d f5f992 fcffa4"
    ),
}


def colour_table(name: ColourMap, size: int) -> NDArray[np.uint8]:
    """Return `size` colours of a map, from that of the lowest value on, (size, 3).

    Examples
    --------
    >>> colour_table("gray", 3).tolist()
    [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    """
    anchors = np.array([list(bytes.fromhex(word)) for word in _ANCHORS[name].split()])
    places = np.linspace(0, len(anchors) - 1, size)
    channels = [np.interp(places, np.arange(len(anchors)), channel) for channel in anchors.T]
    colours: NDArray[np.uint8] = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    return colours
