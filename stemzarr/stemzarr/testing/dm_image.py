"""Images of a DM file: canonical arrays with the calibration and flags that DM stores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import UnsupportedDataError
from stemzarr.formats.dm.image import RGBA, TYPES
from stemzarr.formats.dm.tags import ARRAY, TagData
from stemzarr.formats.dm.values import ByteOrder, describe_type
from stemzarr.model import Kind, LayoutOrder
from stemzarr.testing.arrays import StreamedArray

__all__ = ["DMAxis", "DMImage"]

_CODES = {encoding: {t[0]: code for code, t in TYPES.items() if t[1] == encoding}
          for encoding in ("plain", "packed-complex")}  # fmt: skip
"""DM's ``DataType`` of each numpy type, by how the bytes become values."""
_ROTATION = {"4d-stem": 2, "spectrum-image": 1}
_KINDS: dict[int, Kind] = {1: "spectrum", 2: "image", 3: "stack", 4: "4d-stem"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DMAxis:
    """Calibration as DM stores it: value = (index - origin) * scale."""

    scale: float = 1.0
    """Distance of neighbouring pixels, in `units`; stored as float32."""
    origin: float = 0.0
    """Index at which the value is zero; stored as float32."""
    units: str = ""
    """Units as DM spells them."""

    def tags(self) -> dict[str, Any]:
        """Return the calibration as tags."""
        return {
            "Origin": np.float32(self.origin),
            "Scale": np.float32(self.scale),
            "Units": self.units,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DMImage:
    """One image of a DM file, in canonical order.

    Raises
    ------
    UnsupportedDataError
        No DM file holds such an image.
    """

    data: NDArray[Any] | StreamedArray
    """The values in canonical order; colour has r, g, b, a as its last dim."""
    kind: Kind | None = None
    """What the image is; by its number of dims where it is not given."""
    layout: LayoutOrder = "detector-fast"
    """Which dims are contiguous on disk; ``scan-fast`` puts detector or energy slowest."""
    axes: tuple[DMAxis, ...] = ()
    """Calibration in canonical order; axes that are not given are uncalibrated."""
    brightness: DMAxis = DMAxis()
    """Calibration of the values."""
    swapped: bool | None = None
    """The flag ``Data Order Swapped``; None leaves it out."""
    format: str | None = None
    """The tag ``Meta Data/Format``, such as ``Diffraction image``; None leaves it out."""
    color: bool = False
    """Whether the last dim, of length 4 and type uint8, is red, green, blue, alpha."""
    packed: bool = False
    """Whether a Hermitian complex plane is stored as its packed half."""
    code: int | None = None
    """The tag ``DataType`` where it is not the one that belongs to the values."""
    name: str = ""
    """The tag ``Name``."""
    tags: Mapping[str, Any] = field(default_factory=dict)
    """The tags below ``ImageTags``; see `make_group` for their values."""
    unique_id: tuple[int, int, int, int] = (0, 0, 0, 0)
    """The tag ``UniqueID``."""

    def __post_init__(self) -> None:
        """Refuse what no DM file can hold."""
        if self.color and (self.data.dtype != np.uint8 or self.data.shape[-1] != len("rgba")):
            raise UnsupportedDataError("colour is uint8 with a last dim of 4")

    @property
    def pixel_shape(self) -> tuple[int, ...]:
        """Lengths of the dims without colour, in canonical order."""
        return self.data.shape[:-1] if self.color else self.data.shape

    @property
    def rotation(self) -> int:
        """How many of the last canonical dims come first on disk."""
        kind = self.kind or _KINDS.get(len(self.pixel_shape), "array")
        return _ROTATION.get(kind, 0) if self.layout == "scan-fast" else 0

    @property
    def data_type(self) -> int:
        """DM's code of the type of the values.

        Raises
        ------
        UnsupportedDataError
            No DM file holds values of this type.
        """
        if self.color:
            return RGBA
        code = np.dtype(self.data.dtype).str[1:]
        found = _CODES["packed-complex" if self.packed else "plain"].get(code)
        if found is None:
            raise UnsupportedDataError(f"DM has no images of type {self.data.dtype}")
        return found

    def on_disk(self, canonical: Sequence[Any]) -> list[Any]:
        """Return what belongs to the canonical dims in DM's order, the fastest dim first."""
        cut = len(canonical) - self.rotation
        return [*canonical[cut:], *canonical[:cut]][::-1]

    def image_tags(self) -> dict[str, Any]:
        """Return the tags below ``ImageTags``, with the flags of the layout."""
        flags: dict[str, Any] = {}
        if self.swapped is not None:
            flags["Data Order Swapped"] = self.swapped
        if self.format is not None:
            flags["Format"] = self.format
        tags = dict(self.tags)
        if flags:
            tags["Meta Data"] = {**flags, **tags.get("Meta Data", {})}
        return tags

    def entry(self, pixels: TagData) -> dict[str, Any]:
        """Return the image's group in ``ImageList``."""
        unset = [DMAxis()] * (len(self.pixel_shape) - len(self.axes))
        axes = [axis.tags() for axis in self.on_disk([*self.axes, *unset])]
        depth = self.data.dtype.itemsize * (4 if self.color else 1)
        return {
            "ImageData": {
                "Calibrations": {
                    "Brightness": self.brightness.tags(),
                    "Dimension": axes,
                    "DisplayCalibratedUnits": True,
                },
                "Data": pixels,
                "DataType": np.uint32(self.data_type if self.code is None else self.code),
                "Dimensions": [np.uint32(n) for n in self.on_disk(self.pixel_shape)],
                "PixelDepth": np.uint32(depth),
            },
            "ImageTags": self.image_tags(),
            "Name": self.name,
            "UniqueID": [np.uint32(part) for part in self.unique_id],
        }

    def pixels(self, order: ByteOrder) -> TagData:
        """Return the type of the tag ``Data``, whose payload is written later."""
        values = math.prod(self.pixel_shape)
        dtype = np.dtype("i4") if self.color else np.dtype(self.data.dtype)
        if self.packed:
            height, width = self.pixel_shape
            values = 2 * height * (width // 2 + 1)
            dtype = np.dtype(f"f{dtype.itemsize // 2}")
        half = f"f{dtype.itemsize // 2}"
        described = np.dtype(f"{half},{half}") if dtype.kind == "c" else dtype
        return TagData(
            info=(ARRAY, *describe_type(described), values),
            dtype=dtype.newbyteorder(order),
            count=values,
            offset=0,
            payload=None,
        )
