"""Colours, zoom and scale bar of exported pictures, read back by Pillow."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.formats.picture.drawing import draw_scale_bar
from stemzarr.formats.picture.letters import HEIGHT, draw_text
from stemzarr.formats.picture.writer import write_png
from stemzarr.model import Axis, Document
from stemzarr.options import ColourMap, ExportOptions
from stemzarr.registry import EXPORTERS, ExportRequest
from stemzarr.views.colour_maps import colour_table
from stemzarr.views.scale_bar import choose_bar

Image = pytest.importorskip("PIL.Image")

MakeDocument = Callable[..., Document]
MakeRequest = Callable[..., ExportRequest]
MAPS = get_args(ColourMap)
RAMP = np.linspace(-2, 5, 6 * 8).reshape(6, 8)


def pixels_of(request: ExportRequest) -> NDArray[np.uint8]:
    """Return the pixels of the picture that a request writes."""
    write_png(request)
    with Image.open(request.dest) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("name", MAPS)
def test_colours_are_those_of_the_explorer(name: str) -> None:
    """Page and export show one map; of the published ones it is nearly what matplotlib has."""
    page = resources.files("stemzarr.explorer") / "page" / "colours.js"
    text = page.read_text(encoding="utf-8")
    there = re.search(rf'"?{name.replace("-", " ")}"?: ((?:"[^"]*"\s*\+?\s*)+)', text)
    assert there is not None
    words = "".join(re.findall(r'"([^"]*)"', there[1])).split()
    anchors = [list(bytes.fromhex(word)) for word in words]
    np.testing.assert_array_equal(colour_table(name, len(words)), anchors)  # type: ignore[arg-type]
    if name.startswith("gray"):
        return
    matplotlib = pytest.importorskip("matplotlib")
    theirs = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3].astype(int)
    assert np.abs(colour_table(name, 256) - theirs).max() <= 5  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MAPS)
def test_values_get_the_colours_of_a_map(
    make_document: MakeDocument, make_request: MakeRequest, name: str
) -> None:
    """Each grey of the plain picture becomes its colour, the first row on top."""
    grey = pixels_of(make_request(make_document("image", RAMP), "grey.png"))
    colour = pixels_of(make_request(make_document("image", RAMP), "colour.png", cmap=name))
    np.testing.assert_array_equal(colour, colour_table(name, 256)[grey])  # type: ignore[arg-type]


@given(zoom=st.integers(1, 9), shape=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_each_value_becomes_a_square(zoom: int, shape: tuple[int, int]) -> None:
    """A zoomed picture has every value zoom × zoom times, its neighbours untouched."""
    from stemzarr.formats.picture.drawing import enlarge

    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    np.testing.assert_array_equal(enlarge(pixels, zoom), np.kron(pixels, np.ones((zoom, zoom))))


@given(
    size=st.integers(100, 700),
    scale=st.floats(1e-3, 1e3),
    zoom=st.integers(1, 4),
    units=st.sampled_from(["nm", "1/nm", "µm", "mrad", "1/Å", "pixel"]),
)
def test_a_bar_is_as_long_as_it_says(size: int, scale: float, zoom: int, units: str) -> None:
    """Its white pixels, at the lower left, are the length in its words; above are the words."""
    axis = Axis(name="x", size=size, scale=scale, units=units)
    pixels = np.full((size * zoom, size * zoom), 128, np.uint8)
    draw_scale_bar(pixels, axis, zoom)
    bar = choose_bar(axis)
    white = pixels == 255
    rows = np.flatnonzero(white.any(axis=1))
    bottom = np.flatnonzero(white[rows[-1]])
    assert len(bottom) == bottom[-1] - bottom[0] + 1
    length = float(bar.label.split()[0])
    assert abs(len(bottom) - length / scale * zoom) <= 0.5
    thick = max(1, size * zoom // (24 * HEIGHT))
    text = draw_text(bar.label)
    drawn = white[rows[0] : rows[0] + HEIGHT * thick, bottom[0] :][:, : text.shape[1] * thick]
    np.testing.assert_array_equal(drawn[::thick, ::thick], text)
    middle = pixels[: size * zoom // 2]
    assert (middle == 128).all()
    assert (pixels[:, size * zoom * 3 // 4 :] == 128).all()


def test_a_bar_on_colours_is_opaque(make_document: MakeDocument, make_request: MakeRequest) -> None:
    """White and black of all channels, also where the picture is transparent."""
    values = np.full((20, 30, 4), 9, np.uint8)
    document = make_document("image", values, channels=tuple("rgba"))
    pixels = pixels_of(make_request(document, "a.png", zoom=8, scale_bar=True))
    drawn = pixels[(pixels != 9).any(axis=-1)]
    assert {tuple(pixel) for pixel in drawn.tolist()} == {(0, 0, 0, 255), (255, 255, 255, 255)}


def test_what_cannot_be_drawn_is_refused(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """A picture too small says which zoom does; colours take no map; letters may be unknown."""
    small = make_document("image", RAMP)
    with pytest.raises(OptionError, match=r"too small for a bar of 1 nm \(choose a zoom of 4 "):
        write_png(make_request(small, "a.png", scale_bar=True))
    write_png(make_request(small, "b.png", scale_bar=True, zoom=4))
    colour = make_document("image", np.zeros((4, 4, 3), np.uint8), channels=tuple("rgb"))
    with pytest.raises(OptionError, match="these are colours"):
        write_png(make_request(colour, "c.png", cmap="viridis"))
    with pytest.raises(OptionError, match="choose zoom"):
        write_png(make_request(make_document("image", np.zeros((600, 600))), "d.png", zoom=64))
    with pytest.raises(UnsupportedDataError, match="'%'"):
        draw_text("5 %")
    for wrong in ({"zoom": 0}, {"zoom": 65}, {"zoom": 1.5}, {"cmap": "jet"}):
        with pytest.raises(OptionError):
            ExportOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("chosen", [{"scale_bar": True}, {"cmap": "gray"}, {"zoom": 2}], ids=str)
def test_other_formats_refuse_them_by_name(chosen: dict[str, Any]) -> None:
    """Nothing that only a .png has is dropped in silence."""
    options = ExportOptions(**chosen)
    for exporter in EXPORTERS:
        if exporter.name == "png":
            exporter.check_options(options)
        else:
            with pytest.raises(OptionError, match=f"{next(iter(chosen))} is for the format 'png'"):
                exporter.check_options(options)
