"""Documents of one axis, as files of text hold them."""

from __future__ import annotations

from collections.abc import Iterator

from stemzarr.errors import UnsupportedDataError
from stemzarr.model import Document, read_box

__all__ = ["iterate_line", "label_axis", "label_values"]

_EXACT = 2**53
"""Up to which a float64, as which readers take text, holds every integer."""


def iterate_line(document: Document) -> Iterator[tuple[str, str]]:
    """Yield position and value of each channel, with all the digits that they have.

    Raises
    ------
    UnsupportedDataError
        The document has more axes than one, or complex or coloured values.
    """
    if len(document.axes) != 1 or document.channels or document.dtype.kind == "c":
        msg = f"the document {document.slug!r} is not a spectrum but {document.kind}"
        hint = "choose a spectrum or profile with --document, or export .hspy or .npy"
        raise UnsupportedDataError(f"{msg} of {document.dtype}", hint=hint)
    values = read_box(document.blocks, (0,), document.shape)
    for place, value in zip(document.axes[0].values(), values.tolist(), strict=True):
        exact = isinstance(value, int) and abs(value) > _EXACT
        yield repr(float(place)), str(value) if exact else repr(float(value))


def label_axis(document: Document) -> str:
    """Return name and unit of the axis, such as ``energy (eV)``."""
    axis = document.axes[0]
    return f"{axis.name} ({axis.units})"


def label_values(document: Document) -> str:
    """Return what the values are; with their unit where they are in it as they are."""
    brightness = document.brightness
    plain = brightness is not None and (brightness.scale, brightness.offset) == (1, 0)
    units = brightness.units if brightness is not None and plain else ""
    return f"intensity ({units})" if units else "intensity"
