"""Pictures such as ``.png``, ``.jpg``, ``.bmp`` and ``.gif``, decoded whole by Pillow."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import MissingDependencyError, UnsupportedDataError
from stemzarr.format_row import FormatRow
from stemzarr.formats.file_blocks import NOT_OF_SUFFIX, FileBlocks, one_line, parsing
from stemzarr.formats.found import FileFacts, Found, build_source, refuse_dataset
from stemzarr.formats.labelling import FoundAxis
from stemzarr.formats.rosettasciio.library import WHOLE_BYTES, quiet
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import finite_number, positive_number
from stemzarr.model import Source, box_of
from stemzarr.options import ReadOptions
from stemzarr.pixels.packing import COLOUR_CHANNELS
from stemzarr.storage.files import cache_open_files
from stemzarr.storage.objects import Stamp

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FORMATS", "PictureBlocks", "read_picture"]

FORMATS = (
    FormatRow(
        name="Pictures",
        read="all colours, every frame of a `.gif`, EXIF tags",
        lazy="nothing: the file is read whole when it is opened, up to 1 GiB",
        whole=True,
        complete="Pillow refuses a picture that ends early",
        unseen="further texts of a picture are not kept",
        writers=("png", "gif"),
    ),
)
"""Rows of docs/formats.md."""

_PLAIN: Final = frozenset({"1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N", "RGB", "RGBA"})
"""Pillow's modes whose arrays are the values of the file."""
_WIDENED: Final = {"LA": "RGBA", "PA": "RGBA", "RGBX": "RGB"}
"""Modes that another one holds without loss."""
_SAVE_AS: Final = "save it as a TIFF, which is read with all of its bits and colours"
# tags of Renishaw's pictures: origin, field of view (x, y) and its unit
_ORIGIN, _WIDTH, _HEIGHT, _UNIT = 0xFEA0, 0xA20E, 0xA20F, 0xA210
_UNITS: Final = {3: "cm", 4: "mm", 5: "µm"}


def read_picture(path: Path, options: ReadOptions) -> Source:
    """Return the picture, or the stack of pictures, that a file holds.

    A picture whose three colours are equal throughout, and which is opaque, is one of grey values.

    Raises
    ------
    CorruptFileError
        It is not a picture, or a damaged one.
    UnsupportedDataError
        Pillow would drop bits or colours of it, or it is larger than `WHOLE_BYTES`.
    MissingDependencyError
        Pillow is not installed.
    """
    refuse_dataset(path, options)
    stamp = Stamp.of(path)
    picture = _open(path, stamp, os.getpid())
    shape = picture.values.shape
    dims = len(shape) - bool(picture.channels)
    block = tuple(1 if dims == 3 and not dim else size for dim, size in enumerate(shape))  # noqa: PLR2004 - frame, y, x
    found = Found(
        title="",
        base=PictureBlocks(
            path=path, stamp=stamp, shape=shape, dtype=picture.values.dtype, block_shape=block
        ),
        axes=_axes(shape[:dims], picture.tags),
        channels=picture.channels,
    )
    tree = {"exif_tags": clean_json(_named(picture.tags))}
    file = FileFacts(
        format=path.suffix.lower().removeprefix("."),
        load_metadata=functools.partial(dict, tree),
        notes=picture.notes,
    )
    return build_source(path, file, [found], options)


def _named(tags: Mapping[str, Any]) -> dict[str, Any]:
    """Return tags by their names, so that what is personal is known; by number without one."""
    from PIL.ExifTags import TAGS

    return {TAGS.get(int(number), number): value for number, value in tags.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """What a file holds."""

    values: NDArray[Any]
    """The values (y, x), with ``frame`` before and ``channel`` after them where there are some."""
    channels: tuple[str, ...]
    """Names of the colours."""
    tags: Mapping[str, Any]
    """EXIF tags by their number."""
    notes: tuple[str, ...]
    """What a person should know."""


@cache_open_files(1)
def _open(path: Path, _stamp: Stamp, _process: int) -> _Picture:
    try:
        import PIL.Image
    except ImportError as error:
        msg = "a picture needs Pillow, which is not installed"
        raise MissingDependencyError(
            msg, path=path, hint="pip install 'stemzarr[formats]'"
        ) from error
    with parsing(path, "is not a picture that can be read", NOT_OF_SUFFIX), quiet():
        try:
            with PIL.Image.open(path) as image:
                return _decode(path, image)
        except PIL.Image.DecompressionBombError as error:
            raise UnsupportedDataError(one_line(error), path=path, hint=_SAVE_AS) from error


def _decode(path: Path, image: Image) -> _Picture:
    count = int(getattr(image, "n_frames", 1))
    nbytes = image.width * image.height * len(COLOUR_CHANNELS) * count
    if nbytes > WHOLE_BYTES:
        msg = f"unpacks to {nbytes} bytes, more than the {WHOLE_BYTES} that are read whole"
        raise UnsupportedDataError(msg, path=path, hint=_SAVE_AS)
    _refuse_loss(path, image)
    tags = {str(key): value for key, value in image.getexif().items()}
    tags |= {str(key): value for key, value in image.getexif().get_ifd(0x8769).items()}
    frames = []
    for number in range(count):
        image.seek(number)
        frames.append(_plain_array(path, image))
    if len({frame.shape for frame in frames}) > 1:
        frames = [_coloured(frame) for frame in frames]
    values = np.stack(frames) if count > 1 else frames[0]
    return _grey_or_colour(values, colour=frames[0].ndim > 2, tags=tags)  # noqa: PLR2004 - y, x


def _plain_array(path: Path, image: Image) -> NDArray[Any]:
    """Return the values of the current frame (y, x) or (y, x, channel), little-endian."""
    mode = image.mode
    if mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif mode in _WIDENED:
        image = image.convert(_WIDENED[mode])
    elif mode not in _PLAIN:
        msg = f"holds colours as {mode}, which cannot be kept as red, green and blue"
        raise UnsupportedDataError(msg, path=path, hint=_SAVE_AS)
    values = np.array(image)
    return values.astype(values.dtype.newbyteorder("<"), copy=False)


def _coloured(values: NDArray[Any]) -> NDArray[Any]:
    """Return a frame with four colours, as those of an animation may differ in."""
    if values.ndim == 2:  # noqa: PLR2004 - y, x
        values = np.repeat(values[..., None], 3, axis=-1)
    if values.shape[-1] == len(COLOUR_CHANNELS):
        return values
    opaque = np.full((*values.shape[:-1], 1), np.iinfo(values.dtype).max, values.dtype)
    return np.concatenate([values, opaque], axis=-1)


def _grey_or_colour(values: NDArray[Any], *, colour: bool, tags: dict[str, Any]) -> _Picture:
    if not colour:
        return _Picture(values=values, channels=(), tags=tags, notes=())
    grey = bool((values[..., :1] == values[..., 1:3]).all())
    opaque = values.shape[-1] == 3 or bool((values[..., 3] == np.iinfo(values.dtype).max).all())  # noqa: PLR2004 - no alpha
    if grey and opaque:
        note = "its colours are equal in every pixel: one of them is kept"
        values = np.ascontiguousarray(values[..., 0])
        return _Picture(values=values, channels=(), tags=tags, notes=(note,))
    channels = COLOUR_CHANNELS[: values.shape[-1]]
    return _Picture(values=values, channels=channels, tags=tags, notes=())


def _refuse_loss(path: Path, image: Image) -> None:
    """Refuse colours of 16 bits, of which Pillow keeps 8 in silence."""
    with path.open("rb") as file:
        head = file.read(512)
    deep = False
    if image.format == "PNG":
        deep = head[24:25] == b"\x10" and head[25:26] != b"\x00"
    elif image.format == "PPM" and head[:2] in (b"P3", b"P6"):
        numbers = re.findall(rb"\d+", re.sub(rb"#[^\n]*", b"", head[2:]))
        deep = len(numbers) > 2 and int(numbers[2]) > np.iinfo(np.uint8).max  # noqa: PLR2004 - width, height, largest
    if deep:
        msg = "holds colours of 16 bits, of which Pillow keeps 8"
        raise UnsupportedDataError(msg, path=path, hint=_SAVE_AS)


def _axes(shape: Sequence[int], tags: Mapping[str, Any]) -> tuple[FoundAxis, ...]:
    """Return the axes, calibrated where Renishaw wrote the field of view.

    Cameras write the same tags for the pixels of their sensor, but no origin.
    """
    frames = [FoundAxis(size=size, name="frame") for size in shape[:-2]]
    origin = tags.get(str(_ORIGIN))
    fields = [positive_number(tags.get(str(tag))) for tag in (_HEIGHT, _WIDTH)]
    units = _UNITS.get(tags.get(str(_UNIT), 0), "")
    plane = []
    for name, size, field, place in zip("yx", shape[-2:], fields, (1, 0), strict=True):
        axis = FoundAxis(size=size, name=name)
        if isinstance(origin, Sequence) and len(origin) == 2 and field and units:  # noqa: PLR2004 - x, y
            offset = finite_number(origin[place]) or 0.0
            axis = FoundAxis(size=size, name=name, scale=field / size, offset=offset, units=units)
        plane.append(axis)
    return (*frames, *plane)


class PictureBlocks(FileBlocks):
    """Values of a picture, decoded again in each process, one picture at a time."""

    __slots__ = ()

    def fill(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`."""
        values = _open(self.path, self.stamp, os.getpid()).values
        np.copyto(out, values[box_of(start, out.shape)])
