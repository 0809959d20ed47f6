"""A streaming writer of DM3 and DM4 files, as Gatan's software lays them out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stemzarr.formats.dm.tags import TagData
from stemzarr.formats.dm.values import ByteOrder
from stemzarr.pixels.packing import pack_colour, pack_plane
from stemzarr.pixels.transposing import transpose_into
from stemzarr.testing.arrays import StreamedArray, flat_pieces
from stemzarr.testing.dm_image import DMImage
from stemzarr.testing.dm_tags import make_group, write_tree

__all__ = ["write_dm"]

_SLAB_BYTES = 128 * 1024**2
_TRAILER = bytes(8)
_SIZE_BEYOND_TREE = {3: 16, 4: 24}
"""File size minus the header's size field, in files of GMS."""
_DM4 = 4
_THUMBNAIL_SIDE = 64


def write_dm(  # noqa: PLR0913 - what varies between files, one by one
    path: Path,
    images: DMImage | Sequence[DMImage],
    *,
    version: int = 4,
    little_endian: bool = True,
    tags: Mapping[str, Any] | None = None,
    thumbnail: NDArray[np.uint8] | bool = True,
    header_extra: int = 0,
) -> None:
    """Write a DM file in bounded memory.

    Parameters
    ----------
    path
        The file; what is there is overwritten.
    images
        The images, the one that is shown first; a thumbnail comes before them, as GMS does it.
    version
        3 or 4.
    little_endian
        Byte order of the values.
    tags
        Further tags of the root; they replace those of the same name.
    thumbnail
        Colour picture (y, x, 4); True makes a grey one, False leaves it out.
    header_extra
        Added to the size field: 4 is what writers other than GMS put there.

    Raises
    ------
    UnsupportedDataError
        An image has a type or shape that no DM file can hold.
    """
    every = [images] if isinstance(images, DMImage) else list(images)
    shown = every[0]
    if thumbnail is not False:
        picture = _grey_picture() if isinstance(thumbnail, bool) else thumbnail
        every.insert(0, DMImage(data=picture, color=True, name=f"Image Of {shown.name}"))
    order: ByteOrder = "<" if little_endian else ">"
    pixels = [image.pixels(order) for image in every]
    content = {
        **_document_tags(shown, int(thumbnail is not False)),
        "ImageList": [image.entry(tag) for image, tag in zip(every, pixels, strict=True)],
        **(tags or {}),
    }
    root = make_group({name: content[name] for name in sorted(content, key=str.lower)}, order)
    image_of = {id(tag): image for tag, image in zip(pixels, every, strict=True)}

    def write_payload(file: BinaryIO, tag: TagData) -> None:
        _write_pixels(file, image_of[id(tag)], order)

    width = 8 if version == _DM4 else 4
    with path.open("wb") as file:
        file.write(version.to_bytes(4, "big") + bytes(width))
        file.write(int(little_endian).to_bytes(4, "big"))
        write_tree(file, root, version=version, write_payload=write_payload)
        file.write(_TRAILER)
        size = file.tell() - _SIZE_BEYOND_TREE[version] + header_extra
        file.seek(4)
        file.write((size % (1 << 8 * width)).to_bytes(width, "big"))


def _grey_picture() -> NDArray[np.uint8]:
    ramp = np.hypot(*np.mgrid[-1 : 1 : _THUMBNAIL_SIDE * 1j, -1 : 1 : _THUMBNAIL_SIDE * 1j])
    picture = np.zeros((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE, 4), np.uint8)
    picture[..., :3] = (255 * np.exp(-4 * ramp**2))[..., np.newaxis]
    return picture


def _document_tags(shown: DMImage, index: int) -> dict[str, Any]:
    """Return the tags of the root that say which image is shown and which is a thumbnail."""
    height, width = (1, 1, *shown.pixel_shape)[-2:]
    rectangle = tuple(np.float32(edge) for edge in (0, 0, height, width))
    tags: dict[str, Any] = {
        "DocumentObjectList": [
            {
                "AnnotationGroupList": [],
                "AnnotationType": 20,
                "ImageDisplayType": 1,
                "ImageSource": np.uint64(0),
                "IsVisible": True,
                "Rectangle": rectangle,
                "UniqueID": np.uint32(8),
            }
        ],
        "DocumentTags": {},
        "HasWindowPosition": False,
        "Image Behavior": {"DoIntegralZoom": False, "ViewDisplayID": np.uint32(8)},
        "ImageSourceList": [
            {
                "ClassName": "ImageSource:Summed",
                "Do Sum": True,
                "Id": [np.uint32(0)],
                "ImageRef": np.uint32(index),
                "LayerEnd": np.uint32(0),
                "LayerStart": np.uint32(0),
                "Summed Dimension": np.uint32(max(2, len(shown.pixel_shape) - 1)),
            }
        ],
        "InImageMode": True,
        "MinVersionList": [{"RequiredVersion": np.uint32(50659328)}],
        "NextDocumentObjectID": np.uint32(9),
        "SentinelList": [],
    }
    if index:
        source = (np.int64(width), np.int64(height))
        tags["Thumbnails"] = [{"ImageIndex": np.uint32(0), "SourceSize_Pixels": source}]
    return tags


def _write_pixels(file: BinaryIO, image: DMImage, order: ByteOrder) -> None:
    """Write the values of an image in disk order, from the current position of the file."""
    data = image.data
    if isinstance(data, StreamedArray) and data.pieces is None:
        file.seek(data.nbytes, 1)
    elif image.packed:
        whole = data.to_array() if isinstance(data, StreamedArray) else data
        file.write(_disk_bytes(pack_plane(whole), image, order))
    elif image.rotation:
        _write_rotated(file, image, order)
    else:
        file.writelines(_disk_bytes(piece, image, order) for piece in flat_pieces(data))


def _disk_bytes(piece: NDArray[Any], image: DMImage, order: ByteOrder) -> memoryview:
    if image.color:
        piece = pack_colour(piece.reshape(-1, 4))
    return (
        np.ascontiguousarray(piece, piece.dtype.newbyteorder(order)).reshape(-1).view(np.uint8).data
    )


def _write_rotated(file: BinaryIO, image: DMImage, order: ByteOrder) -> None:
    """Write the matrix (positions, rest) transposed, slab by slab of positions."""
    cut = len(image.pixel_shape) - image.rotation
    positions = math.prod(image.pixel_shape[:cut])
    rest = math.prod(image.pixel_shape[cut:])
    start, itemsize = file.tell(), image.data.dtype.itemsize
    done = 0
    for slab in _slabs(image.data, rest):
        turned = np.empty(slab.shape[::-1], slab.dtype)
        transpose_into(turned, slab)
        runs = [turned.reshape(-1)] if len(slab) == positions else list(turned)
        for number, run in enumerate(runs):
            file.seek(start + (number * positions + done) * itemsize)
            file.write(_disk_bytes(run, image, order))
        done += len(slab)
    file.seek(start + positions * rest * itemsize)


def _slabs(data: NDArray[Any] | StreamedArray, width: int) -> Iterator[NDArray[Any]]:
    """Iterate over the rows of the matrix (…, width), as many at once as the budget allows."""
    rows = max(1, _SLAB_BYTES // max(1, width * data.dtype.itemsize))
    rows = min(rows, math.prod(data.shape) // max(1, width))
    slab = np.empty(rows * width, data.dtype)
    filled = 0
    for piece in flat_pieces(data):
        rest = piece
        while rest.size:
            part = rest[: slab.size - filled]
            slab[filled : filled + part.size] = part
            filled += part.size
            rest = rest[part.size :]
            if filled == slab.size:
                yield slab.reshape(-1, width)
                filled = 0
    if filled:
        yield slab[:filled].reshape(-1, width)
