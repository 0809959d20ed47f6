"""The page of a lake is one file that shows text as text and asks nobody for anything."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stemzarr.errors import QueryError, StoreExistsError
from stemzarr.formats.picture.png import encode_png
from stemzarr.registry import read_source
from stemzarr.testing import DMAxis, DMImage, write_dm, write_synthetic_dm4
from stemzarr.views.marks import Frame, Ring
from stemzarr.views.scale_bar import choose_bar
from stemzarr_catalog import Lake, open_lake
from stemzarr_catalog.gallery import render_page, write_gallery
from stemzarr_catalog.html_repr import lake_html
from stemzarr_catalog.pictures import (
    LEVELS,
    MARK,
    Picture,
    read_pictures,
    render_png,
    shrink,
)

Add = Callable[..., Path]
LOOKS = ["image", "pattern"]
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028&amp;'\""


class Elements(html.parser.HTMLParser):
    """Collects what a browser would take for elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append(data)


def parse(page: str) -> Elements:
    """Return the elements of a page."""
    elements = Elements()
    elements.feed(page)
    return elements


def entries_of(page: str) -> list[dict[str, Any]]:
    """Return the data of a page."""
    match = re.search(r'id="entries">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    found: list[dict[str, Any]] = json.loads(match[1])
    return found


def test_a_page_shows_each_entry_with_its_pictures(lake: Lake, tmp_path: Path) -> None:
    """The pictures are PNG files that any reader opens."""
    dest = tmp_path / "page.html"
    assert write_gallery(lake, dest) == 3
    entries = entries_of(dest.read_text(encoding="utf-8"))
    assert [entry["name"] for entry in entries] == ["map", "overview", "scan"]
    for entry in entries:
        assert entry["pictures"]
        for _, data in entry["pictures"]:
            with Image.open(io.BytesIO(base64.b64decode(data))) as image:
                assert max(image.size) <= 128
    assert entries[2]["link"] == "./lake/stores/scan.zarr"
    assert entries[2]["axes"][0]["name"] == "scan_y"


def test_a_query_chooses_and_a_folder_gets_an_index(lake: Lake, tmp_path: Path) -> None:
    """A wrong query leaves nothing behind; a gallery is replaced, another file is not."""
    assert write_gallery(lake, tmp_path, "kind=4d-stem") == 2
    assert write_gallery(lake, tmp_path, "SrTiO3") == 1
    dest = tmp_path / "mine.html"
    dest.write_text("mine")
    with pytest.raises(StoreExistsError, match="not a gallery"):
        write_gallery(lake, dest)
    with pytest.raises(QueryError):
        write_gallery(lake, tmp_path / "other.html", "kimd=3")
    assert not (tmp_path / "other.html").exists()
    assert write_gallery(lake, dest, overwrite=True) == 3


@given(st.text(max_size=30) | st.just(EVIL))
def test_no_text_is_markup(text: str) -> None:
    """The elements of a page are the same whatever stands in the metadata; the data are kept."""
    entry = {"name": text, "specimen": [text], text: 1}
    plain = parse(render_page("title", [{"name": "x"}], "query"))
    page = render_page(text, [entry], text)
    evil = parse(page)
    assert [tag for tag, _ in evil.found] == [tag for tag, _ in plain.found]
    assert entries_of(page) == [entry]


def test_a_page_asks_nobody(lake: Lake, tmp_path: Path) -> None:
    """No address of the network, and a policy that forbids all but its own script and style."""
    write_gallery(lake, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", page.split("<script>")[0])
    policy = next(
        attributes["content"]
        for tag, attributes in parse(page).found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_browser_draws_the_page(lake_path: Path, add: Add, tmp_path: Path) -> None:
    """Chromium runs the script, draws cards and facets, and runs nothing of the metadata."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("there is no chromium")
    add("scan", specimen=EVIL, title=EVIL, operator="A. Curie")
    lake = open_lake(lake_path)
    lake.tag("scan", "<b>bold</b>", remark=EVIL)
    write_gallery(lake, tmp_path / "page.html")
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000"]
    address = (tmp_path / "page.html").as_uri()
    done = subprocess.run([*command, address], capture_output=True, timeout=120, check=True)
    drawn = parse(done.stdout.decode())
    classes = [attributes.get("class") for _, attributes in drawn.found]
    assert classes.count("card") == 1
    assert "<b>bold</b>" in drawn.texts
    assert EVIL in "".join(drawn.texts)
    tags = [tag for tag, _ in drawn.found]
    assert tags.count("script") == 3
    assert tags.count("b") == 0
    assert tags.count("img") == 2
    assert tags.count("legend") >= 3


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 50),
    st.sampled_from(["image", "pattern"]),
)
def test_a_picture_fits_and_keeps_its_proportions(
    rows: int, columns: int, size: int, look: Any
) -> None:
    """Each source pixel is a square block where there is room; the mean is kept where not."""
    values = np.random.default_rng(rows * columns).random((rows, columns))
    with Image.open(
        io.BytesIO(render_png(Picture(name="p", look=look, values=values), size))
    ) as png:
        assert max(png.size) <= size
        if max(rows, columns) <= size:
            factor = size // max(rows, columns)
            assert png.size == (columns * factor, rows * factor)
    if rows % 4 == 0 and columns % 4 == 0:
        small = shrink(values, rows // 4, columns // 4)
        assert small.mean() == pytest.approx(values.mean())


def test_png_gives_back_its_pixels() -> None:
    """Pillow reads the very shades and colours."""
    shades = np.arange(64, dtype=np.uint8).reshape(4, 16)
    palette = np.random.default_rng(0).integers(0, 256, (64, 3), np.uint8)
    with Image.open(io.BytesIO(encode_png(shades, palette=palette))) as image:
        np.testing.assert_array_equal(np.asarray(image), shades)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette[shades])


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 7, 3, 2)])
def test_the_smallest_scans_have_pictures(add: Add, shape: tuple[int, ...]) -> None:
    """One row, one column, one pixel."""
    pictures = read_pictures(add("tiny", shape=shape))
    assert [picture.name for picture in pictures] == ["bright_field", "mean_diffraction"]
    for picture in pictures:
        assert render_png(picture, 64).startswith(b"\x89PNG")


def test_a_spectrum_is_a_curve_and_damage_is_no_picture(add: Add) -> None:
    """What cannot be read has no picture, and stops nothing."""
    store = add("eels", kind="spectrum", shape=(100,))
    assert [picture.look for picture in read_pictures(store)] == ["curve"]
    assert render_png(read_pictures(store)[0], 64).startswith(b"\x89PNG")
    shutil.rmtree(store / "intensity")
    assert read_pictures(store) == []


def test_a_peak_does_not_hide_the_rest_of_a_spectrum(lake_path: Path, tmp_path: Path) -> None:
    """A zero-loss peak is drawn logarithmically, so that the edge behind it has a height."""
    values = np.full(200, 20, np.uint16)
    values[3], values[100:] = 60_000, 40
    write_dm(tmp_path / "eels.dm4", [DMImage(data=values, axes=(DMAxis(units="eV"),))])
    (picture,) = read_pictures(open_lake(lake_path).ingest(tmp_path / "eels.dm4").store)
    assert (picture.look, picture.name) == ("curve", "spectrum_(log)")
    assert np.ptp(picture.values[50:]) > 0.05 * np.ptp(picture.values)


@pytest.mark.parametrize("shape", [(300, 40), (40, 300), (300, 300)])
def test_a_large_image_keeps_its_proportions(add: Add, shape: tuple[int, int]) -> None:
    """Read band by band, it is what the whole image averaged is."""
    (picture,) = read_pictures(add("large", kind="image", shape=shape), 60)
    values = np.arange(np.prod(shape), dtype="uint16").reshape(shape).astype(float)
    assert picture.values.shape == tuple(round(n / 5) for n in shape)
    np.testing.assert_allclose(picture.values, shrink(values, 60, 60))
    assert picture.axis is not None
    assert picture.axis.size * picture.axis.scale == pytest.approx(shape[1] * 0.5)


def test_a_survey_image_has_the_frame_of_the_scan(lake_path: Path, tmp_path: Path) -> None:
    """It comes after the previews, and what is inside of the frame is what was scanned."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (6, 7), (24, 32))
    store = open_lake(lake_path).ingest(tmp_path / "scan.dm4").store
    known = read_source(store).document.attributes
    edges = [float(known[f"scan_rect_{edge}"]) for edge in ("top", "left", "bottom", "right")]
    pictures = read_pictures(store, 128)
    names = [picture.name for picture in pictures]
    assert names == ["bright_field", "mean_diffraction", "survey"]
    (frame,) = pictures[2].marks
    height, width = read_source(store).find("survey").shape
    scaled = (pictures[2].values.shape[0] / height, pictures[2].values.shape[1] / width) * 2
    expected = [edge * factor for edge, factor in zip(edges, scaled, strict=True)]
    assert isinstance(frame, Frame)
    assert [frame.top, frame.left, frame.bottom, frame.right] == pytest.approx(expected)
    with Image.open(io.BytesIO(render_png(pictures[2], 128))) as png:
        drawn = np.asarray(png) == MARK
    rows, columns = np.argwhere(drawn).T
    zoom = drawn.shape[1] / pictures[2].values.shape[1]
    there = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(there, np.array(expected) * zoom, atol=0.5)


def test_the_mean_pattern_has_the_disk_and_a_bar(lake_path: Path, tmp_path: Path) -> None:
    """Its rim is where the store says, and a white bar at the lower left as long as it says."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (6, 7), (128, 128))
    store = open_lake(lake_path).ingest(tmp_path / "scan.dm4").store
    measured = read_source(store).document.measured
    assert measured is not None
    picture = read_pictures(store, 128)[1]
    ring = picture.marks[0]
    assert isinstance(ring, Ring)
    disk = measured.disk
    place = (disk["center_y"], disk["center_x"], disk["radius"])
    assert (ring.y, ring.x, ring.radius) == pytest.approx(place)
    with Image.open(io.BytesIO(render_png(picture, 128))) as png:
        colours = np.asarray(png.convert("RGB"))
    white = (colours == 255).all(axis=-1)
    assert picture.axis is not None
    last = np.flatnonzero(white.any(axis=1))[-1]
    assert white[last].sum() == round(choose_bar(picture.axis).pixels)
    with Image.open(io.BytesIO(render_png(picture, 64))) as png:
        assert (np.asarray(png) < LEVELS).all()


def test_an_incomplete_scan_says_so(lake: Lake) -> None:
    """In lists and in the table of an entry, and a complete one does not."""
    assert [brief.name for brief in lake.briefs() if not brief.complete] == ["map"]
    assert lake.search()._repr_html_().count(">incomplete<") == 1
    assert f": {len(lake)} entries (" in lake._repr_html_()
    assert ": 1 entry (" in lake_html("lake", 1, {"4d-stem": 1}, [])
    assert "the source ends early" in lake["map"]._repr_html_()
    assert "incomplete" not in lake.search("name=scan")._repr_html_()


def test_notebooks_show_text_as_text(lake_path: Path, add: Add) -> None:
    """The HTML of lake, list and entry holds no markup of the metadata."""
    add("scan", specimen=EVIL, title=EVIL)
    lake = open_lake(lake_path)
    lake.tag("scan", "<b>", remark=EVIL, fields={"own": EVIL})
    for shown in (lake, lake.search(), lake["scan"]):
        page = shown._repr_html_()
        tags = {tag for tag, _ in parse(page).found}
        assert tags <= {"div", "b", "br", "table", "tr", "td", "th", "img", "p"}
        assert "alert(2)" in page
        assert "onerror" not in {key for _, attributes in parse(page).found for key in attributes}
