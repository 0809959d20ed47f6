"""Facts from the tags of a DM file that HyperSpy keeps beside its own metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stemzarr.formats.dm.facts import image_facts
from stemzarr.formats.dm.tags import Tag, TagGroup
from stemzarr.formats.dm.values import make_data
from stemzarr.metadata.finding import Facts, facts_below

__all__ = ["facts_from_tags"]

_IMAGE: Final = "TagGroup0"
"""Name that RosettaSciIO gives to the first entry of a list."""
_DEEPEST: Final = 32
_LARGEST: Final = 2**63


def facts_from_tags(original: Mapping[str, Any], root: str) -> Facts:
    """Return what the tags of a DM file say, of which HyperSpy keeps those of one image.

    Parameters
    ----------
    original
        A tree such as HyperSpy's ``signal.original_metadata``.
    root
        Path of that tree in the source's metadata.

    Returns
    -------
    dict
        Nothing where the tree is that of another format.
    """
    images = original.get("ImageList")
    if not isinstance(images, Mapping) or list(images) != [_IMAGE]:
        return {}
    image = images[_IMAGE]
    tags = image.get("ImageTags") if isinstance(image, Mapping) else None
    if not isinstance(tags, Mapping):
        return {}
    above = f"{root}/ImageList/{_IMAGE}/ImageTags"
    return facts_below(above, image_facts(_group(tags, 0)))


def _group(tree: Mapping[str, Any], depth: int) -> TagGroup:
    """Return a tree as a DM file has it, its texts and numbers alone."""
    entries = []
    for name, value in tree.items():
        if isinstance(value, Mapping) and depth < _DEEPEST:
            entries.append(Tag(name=name, body=_group(value, depth + 1)))
        elif isinstance(value, str | int | float) and _fits(value):
            entries.append(Tag(name=name, body=make_data(value, "<")))
    return TagGroup(entries=entries)


def _fits(value: str | float) -> bool:
    """Return whether a value has a form in a DM file, whose integers have 64 bits."""
    return not isinstance(value, int) or -_LARGEST <= value < _LARGEST
